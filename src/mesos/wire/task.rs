//! What a task is: its description as sent in a LAUNCH.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::command::CommandInfo;
use super::container::ContainerInfo;
use super::enums::{CheckType, Visibility};
use super::framework::ExecutorInfo;
use super::ids::{AgentId, TaskId};
use super::json::{Base64, Name};
use super::resource::{Resource, Scalar};

/// A task to launch.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskInfo {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(message, required, tag = "2")]
    pub task_id: TaskId,
    #[prost(message, required, tag = "3")]
    pub agent_id: AgentId,
    #[prost(message, repeated, tag = "4")]
    pub resources: Vec<Resource>,
    /// Our own executor; exactly one of this and `command` is set.
    #[prost(message, optional, tag = "5")]
    pub executor: Option<ExecutorInfo>,
    /// Opaque to Mesos; handed to the executor.
    #[prost(bytes = "vec", optional, tag = "6")]
    #[serde(with = "Base64")]
    pub data: Option<Vec<u8>>,
    #[prost(message, optional, tag = "7")]
    pub command: Option<CommandInfo>,
    #[prost(message, optional, tag = "8")]
    pub health_check: Option<HealthCheck>,
    #[prost(message, optional, tag = "9")]
    pub container: Option<ContainerInfo>,
    #[prost(message, optional, tag = "10")]
    pub labels: Option<Labels>,
    #[prost(message, optional, tag = "11")]
    pub discovery: Option<DiscoveryInfo>,
    #[prost(message, optional, tag = "12")]
    pub kill_policy: Option<KillPolicy>,
    #[prost(message, optional, tag = "13")]
    pub check: Option<CheckInfo>,
    #[prost(message, optional, tag = "14")]
    pub max_completion_time: Option<DurationInfo>,
    /// Hard limits above the request: `cpus` and `mem` only, infinity allowed.
    #[prost(btree_map = "string, message", tag = "15")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Scalar>,
}

/// A length of time.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct DurationInfo {
    #[prost(int64, required, tag = "1")]
    pub nanoseconds: i64,
}

impl From<std::time::Duration> for DurationInfo {
    /// Saturates at the longest that the wire can say (292 years).
    fn from(duration: std::time::Duration) -> DurationInfo {
        DurationInfo { nanoseconds: i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX) }
    }
}

impl DurationInfo {
    /// The length; nothing for a negative one.
    #[must_use]
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.nanoseconds).unwrap_or(0))
    }
}

/// A point in time, since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct TimeInfo {
    #[prost(int64, required, tag = "1")]
    pub nanoseconds: i64,
}

/// How long a task may take to end by itself.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct KillPolicy {
    #[prost(message, optional, tag = "1")]
    pub grace_period: Option<DurationInfo>,
}

/// A key with an optional value.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Label {
    #[prost(string, required, tag = "1")]
    pub key: String,
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
}

/// Labels, in the order given; a key may come twice.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Labels {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
}

impl Labels {
    /// The value of the first label of this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|label| label.key == key).and_then(|label| label.value.as_deref())
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(labels: I) -> Labels {
        let labels = labels.into_iter().map(|(k, v)| Label { key: k.into(), value: Some(v.into()) });
        Labels { labels: labels.collect() }
    }
}

/// How others find a task.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct DiscoveryInfo {
    #[prost(enumeration = "Visibility", optional, tag = "1")]
    #[serde(with = "Name::<Visibility>")]
    pub visibility: Option<i32>,
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub environment: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub location: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub version: Option<String>,
    #[prost(message, optional, tag = "6")]
    pub ports: Option<Ports>,
    #[prost(message, optional, tag = "7")]
    pub labels: Option<Labels>,
}

/// The ports of a discovery record.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Ports {
    #[prost(message, repeated, tag = "1")]
    pub ports: Vec<Port>,
}

/// A port of a discovery record.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Port {
    #[prost(uint32, required, tag = "1")]
    pub number: u32,
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub protocol: Option<String>,
    #[prost(enumeration = "Visibility", optional, tag = "4")]
    #[serde(with = "Name::<Visibility>")]
    pub visibility: Option<i32>,
    #[prost(message, optional, tag = "5")]
    pub labels: Option<Labels>,
}

/// A health check that an executor of Mesos runs; failing it kills the task.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    #[prost(message, optional, tag = "1")]
    pub http: Option<HttpCheck>,
    #[prost(double, optional, tag = "2", default = "15.0")]
    pub delay_seconds: Option<f64>,
    #[prost(double, optional, tag = "3", default = "10.0")]
    pub interval_seconds: Option<f64>,
    #[prost(double, optional, tag = "4", default = "20.0")]
    pub timeout_seconds: Option<f64>,
    #[prost(uint32, optional, tag = "5", default = "3")]
    pub consecutive_failures: Option<u32>,
    #[prost(double, optional, tag = "6", default = "10.0")]
    pub grace_period_seconds: Option<f64>,
    #[prost(message, optional, tag = "7")]
    pub command: Option<CommandInfo>,
    #[prost(enumeration = "CheckType", optional, tag = "8")]
    #[serde(with = "Name::<CheckType>")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "9")]
    pub tcp: Option<TcpCheck>,
}

/// An HTTP GET against a port of the task; in a general check only `port` and `path` count.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpCheck {
    #[prost(uint32, required, tag = "1")]
    pub port: u32,
    #[prost(string, optional, tag = "2")]
    pub path: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub scheme: Option<String>,
    #[prost(uint32, repeated, packed = "false", tag = "4")]
    pub statuses: Vec<u32>,
}

/// A TCP connection to a port of the task.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct TcpCheck {
    #[prost(uint32, required, tag = "1")]
    pub port: u32,
}

/// A command run beside the task.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct CommandCheck {
    #[prost(message, optional, tag = "1")]
    pub command: Option<CommandInfo>,
}

/// A check without consequences: its result is only reported.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckInfo {
    #[prost(enumeration = "CheckType", optional, tag = "1")]
    #[serde(with = "Name::<CheckType>")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub command: Option<CommandCheck>,
    #[prost(message, optional, tag = "3")]
    pub http: Option<HttpCheck>,
    #[prost(double, optional, tag = "4", default = "15.0")]
    pub delay_seconds: Option<f64>,
    #[prost(double, optional, tag = "5", default = "10.0")]
    pub interval_seconds: Option<f64>,
    #[prost(double, optional, tag = "6", default = "20.0")]
    pub timeout_seconds: Option<f64>,
    #[prost(message, optional, tag = "7")]
    pub tcp: Option<TcpCheck>,
}
