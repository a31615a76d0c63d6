//! Template: what one instance of an App is. Its canonical hash names the Revision.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::port::HostPort;
use super::{Bytes, Container, Cpus, Fetch, HealthCheck, Network, Port, ReadinessCheck, Span};

/// The fields of an App's spec that are its template, by their names in documents.
pub const FIELDS: &[&str] = &[
    "cmd",
    "args",
    "container",
    "resources",
    "ports",
    "env",
    "fetch",
    "healthChecks",
    "readinessChecks",
    "constraints",
    "role",
    "revocable",
    "kill",
    "restartedAt",
];

/// What one instance is: command, container, resources, ports, checks and where it may run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Template {
    /// A command line for `/bin/sh -c`. Not together with `args`; with neither, the image's entry point runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub cmd: Option<String>,
    /// The arguments of the image's entry point; without a container, the program and its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// The container to run in; absent, the command is a plain process on the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// What each instance takes from an offer.
    pub resources: Resources,
    /// The ports that an instance listens at, in the order of `PORT0`, `PORT1`, ….
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// Environment variables, beside those that Tenure sets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env: Vec<EnvVar>,
    /// Files that an instance finds in its working directory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fetch: Vec<Fetch>,
    /// How to find out that an instance no longer works. Failing them replaces the instance.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub health_checks: Vec<HealthCheck>,
    /// How to find out that an instance may get requests, and that a rolling update may go on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readiness_checks: Vec<ReadinessCheck>,
    /// Which agents may run an instance.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Constraint>,
    /// The Mesos role whose resources an instance takes: one of the server's (`--mesos-role`); absent, the first of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub role: Option<String>,
    /// Which of its resources an instance takes of those that Mesos lends until it wants them back (`--mesos-revocable`): all of a named one,
    /// and nothing else of that. It may be ended at any time, and another one is started.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub revocable: Vec<Revocable>,
    /// How an instance is stopped, and which first.
    pub kill: Kill,
    /// Any text; `rollout restart` writes the time here, which makes a new Revision of an unchanged template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarted_at: Option<String>,
}

impl Template {
    /// What each port asks of the agent's ports, in order.
    pub fn host_ports(&self) -> impl Iterator<Item = HostPort> + '_ {
        let publishes = self.container.as_ref().is_none_or(|container| container.network().publishes_ports());
        self.ports.iter().map(move |port| match port.host_port {
            Some(0) => HostPort::Any,
            Some(number) => HostPort::Fixed(number),
            None if publishes => HostPort::Any,
            None => HostPort::None,
        })
    }

    /// The network that instances are in: the host's for plain processes.
    #[must_use]
    pub fn network(&self) -> Network<'_> {
        self.container.as_ref().map_or(Network::Host, Container::network)
    }
}

/// What each instance takes from an offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    /// Processor time.
    pub cpus: Cpus,
    /// Memory; an instance that takes more is killed.
    pub memory: Bytes,
    /// Disk.
    pub disk: Bytes,
    /// Whole graphics processors.
    #[schemars(range(max = 1024))]
    pub gpus: u32,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            cpus: Cpus::from_millis(100),
            memory: Bytes::from_mebibytes(128),
            disk: Bytes::default(),
            gpus: 0,
        }
    }
}

/// A resource that may be taken of what Mesos lends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Revocable {
    /// Processor time.
    Cpus,
    /// Memory.
    Memory,
}

impl Resources {
    /// The same without these.
    #[must_use]
    pub fn without(&self, lent: &[Revocable]) -> Self {
        let mut kept = self.clone();
        for it in lent {
            match it {
                Revocable::Cpus => kept.cpus = Cpus::default(),
                Revocable::Memory => kept.memory = Bytes::default(),
            }
        }
        kept
    }
}

/// An environment variable: a value, or a reference to one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Name of the variable. One that Tenure sets too, such as `PORT0` or `HOST`, has the value that is given here.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its value. Not together with `valueFrom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where its value stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvVarSource>,
}

/// Where the value of an environment variable stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvVarSource {
    /// A key of a Secret in the App's namespace, read when a task is launched.
    pub secret_key_ref: SecretKeyRef,
}

/// A key of a Secret in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The key in its `data`.
    #[schemars(length(min = 1))]
    pub key: String,
}

/// A condition on the agent, and on where the other instances of the same revision are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Constraint {
    /// `hostname`, `@region`, `@zone`, or the name of an agent attribute.
    #[schemars(length(min = 1))]
    pub attribute: String,
    /// What is asked of the attribute.
    pub operator: Operator,
    /// The operand; a number may be written as one.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "text_or_number")]
    #[schemars(schema_with = "text_or_number_schema")]
    pub value: Option<String>,
}

/// What a constraint asks of an attribute, with the meanings of Marathon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Operator {
    /// All instances on one value: the given one, or the first one found.
    Cluster,
    /// Instances spread evenly over the values; with a number, over at least so many.
    GroupBy,
    /// The value, literally.
    Is,
    /// The whole value matches a regular expression.
    Like,
    /// At most so many instances per value.
    MaxPer,
    /// No two instances on one value.
    Unique,
    /// The whole value does not match a regular expression, or the attribute is absent.
    Unlike,
}

/// How an instance is stopped, and which first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Kill {
    /// The time between SIGTERM and SIGKILL.
    pub grace_period: Span,
    /// Which instances go first when there are too many.
    pub selection: KillSelection,
}

impl Default for Kill {
    fn default() -> Self {
        Self { grace_period: Span::from_secs(3), selection: KillSelection::YoungestFirst }
    }
}

/// Which instances go first when there are too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum KillSelection {
    /// The latest started.
    #[default]
    YoungestFirst,
    /// The earliest started.
    OldestFirst,
}

fn text_or_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum TextOrNumber<'a> {
        Text(Cow<'a, str>),
        Number(i64),
    }
    let value = Option::<TextOrNumber<'_>>::deserialize(deserializer)?;
    Ok(value.map(|value| match value {
        TextOrNumber::Text(text) => text.into_owned(),
        TextOrNumber::Number(number) => number.to_string(),
    }))
}

fn text_or_number_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"x-kubernetes-int-or-string": true})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_the_fields_are_those_of_the_schema() {
        let schema = super::super::resource::generator().root_schema_for::<Template>().to_value();
        let mut expected: Vec<&str> = FIELDS.to_vec();
        expected.sort_unstable();
        let mut fields: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        fields.sort_unstable();
        assert_eq!(fields, expected);
    }

    #[test]
    fn a_port_without_host_port_is_published_but_on_a_named_network() {
        let template = |json: &str| serde_json::from_str::<Template>(json).unwrap();
        let ports = |json: &str| template(json).host_ports().collect::<Vec<_>>();
        assert_eq!(ports(r#"{"ports": [{}, {"hostPort": 80}]}"#), [HostPort::Any, HostPort::Fixed(80)]);
        let named = r#"{"container": {"image": "a", "network": "net"}, "ports": [{}, {"hostPort": 0}]}"#;
        assert_eq!(ports(named), [HostPort::None, HostPort::Any]);
    }
}
