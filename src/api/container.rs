//! Container: the image an instance runs in and what Docker is told about it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The image an instance runs in and what Docker is told about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Reference of the image, with registry and tag or digest.
    #[schemars(length(min = 1))]
    pub image: String,
    /// When the image is pulled.
    #[serde(default)]
    pub pull_policy: PullPolicy,
    /// `host`, `bridge`, `none`, or the name of a Docker network.
    #[serde(default = "bridge", rename = "network")]
    #[schemars(length(min = 1))]
    pub network_name: String,
    /// Gives the container all rights on the agent.
    #[serde(default)]
    pub privileged: bool,
    /// Further options of `docker run`, as in Mesos.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// Folders of the agent that the container sees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// Who runs the container on an agent of Apache Mesos, in the place of Tenure's own executor: `Docker` or `Mesos`, its own
    /// containerizers. They run no readiness checks and one health check at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containerizer: Option<Containerizer>,
    /// Name of a Secret of type `kubernetes.io/dockerconfigjson` for the registry. With containerizer `Mesos` the login stands in the task's
    /// description, which Mesos shows to those who may look at tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secret: Option<String>,
}

impl Container {
    /// A container of this image with all defaults.
    #[must_use]
    pub fn of_image(image: &str) -> Self {
        Self { image: image.to_owned(), network_name: bridge(), ..Self::default() }
    }

    /// The network by what it means.
    #[must_use]
    pub fn network(&self) -> Network<'_> {
        match self.network_name.as_str() {
            "host" => Network::Host,
            "bridge" => Network::Bridge,
            "none" => Network::None,
            name => Network::Named(name),
        }
    }
}

fn bridge() -> String {
    "bridge".to_owned()
}

/// A network by what it means for ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network<'a> {
    /// The agent's own: an instance listens at its host ports.
    Host,
    /// Docker's bridge: every port is published at a host port.
    Bridge,
    /// Nothing but loopback; no ports.
    None,
    /// A network of this name: a port is published only if its `hostPort` is given.
    Named(&'a str),
}

impl Network<'_> {
    /// Whether a port without `hostPort` gets a port of the agent.
    #[must_use]
    pub fn publishes_ports(self) -> bool {
        matches!(self, Self::Host | Self::Bridge)
    }
}

/// A containerizer of Apache Mesos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Containerizer {
    /// Through the agent's Docker engine.
    Docker,
    /// By the agent itself, which unpacks the image.
    Mesos,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    /// Before each start.
    Always,
    /// When the agent does not have it.
    #[default]
    IfNotPresent,
    /// Not at all: the agent must have it.
    Never,
}

/// An option of `docker run`: `--key=value`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Parameter {
    /// Name of the option, without dashes.
    #[schemars(length(min = 1))]
    pub key: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
}

/// A folder of the agent that the container sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Absolute path in the container.
    #[schemars(length(min = 1))]
    pub container_path: String,
    /// Absolute path on the agent.
    #[schemars(length(min = 1))]
    pub host_path: String,
    /// Whether the container may write.
    #[serde(default)]
    pub mode: VolumeMode,
}

/// Whether a container may write to a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VolumeMode {
    /// Read and write.
    #[default]
    #[serde(rename = "RW")]
    ReadWrite,
    /// Read only.
    #[serde(rename = "RO")]
    ReadOnly,
}
