//! The container that a task runs in, and what its agent tells about it.

use serde::{Deserialize, Serialize};

use super::command::Secret;
use super::enums::{
    ContainerType, DockerNetwork, ImageType, IpProtocol, SandboxPathType, VolumeMode, VolumeSourceType,
};
use super::ids::ContainerId;
use super::json::Name;
use super::task::Labels;

/// The container of a task; exactly one of `docker` and `mesos` is set, as `type` says.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerInfo {
    #[prost(enumeration = "ContainerType", optional, tag = "1")]
    #[serde(with = "Name::<ContainerType>")]
    pub r#type: Option<i32>,
    #[prost(message, repeated, tag = "2")]
    pub volumes: Vec<Volume>,
    #[prost(message, optional, tag = "3")]
    pub docker: Option<DockerInfo>,
    #[prost(string, optional, tag = "4")]
    pub hostname: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub mesos: Option<MesosInfo>,
    #[prost(message, repeated, tag = "7")]
    pub network_infos: Vec<NetworkInfo>,
}

/// What the Docker daemon is asked for.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct DockerInfo {
    #[prost(string, required, tag = "1")]
    pub image: String,
    #[prost(enumeration = "DockerNetwork", optional, tag = "2")]
    #[serde(with = "Name::<DockerNetwork>")]
    pub network: Option<i32>,
    #[prost(message, repeated, tag = "3")]
    pub port_mappings: Vec<PortMapping>,
    #[prost(bool, optional, tag = "4")]
    pub privileged: Option<bool>,
    #[prost(message, repeated, tag = "5")]
    pub parameters: Vec<DockerParameter>,
    #[prost(bool, optional, tag = "6")]
    pub force_pull_image: Option<bool>,
}

/// A port of the host that leads to a port of the container.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct PortMapping {
    #[prost(uint32, required, tag = "1")]
    pub host_port: u32,
    #[prost(uint32, required, tag = "2")]
    pub container_port: u32,
    #[prost(string, optional, tag = "3")]
    pub protocol: Option<String>,
}

/// An option of `docker run`, or of a volume driver.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct DockerParameter {
    #[prost(string, required, tag = "1")]
    pub key: String,
    #[prost(string, required, tag = "2")]
    pub value: String,
}

/// Several parameters.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Parameters {
    #[prost(message, repeated, tag = "1")]
    pub parameter: Vec<DockerParameter>,
}

/// What Mesos's own containerizer is asked for.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct MesosInfo {
    #[prost(message, optional, tag = "1")]
    pub image: Option<Image>,
}

/// A container image.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    #[prost(enumeration = "ImageType", optional, tag = "1")]
    #[serde(with = "Name::<ImageType>")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "3")]
    pub docker: Option<DockerImage>,
    #[prost(bool, optional, tag = "4", default = "true")]
    pub cached: Option<bool>,
}

/// A Docker image by name, and the credentials to pull it.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct DockerImage {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "3")]
    pub config: Option<Secret>,
}

/// A directory of the container that comes from elsewhere.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Volume {
    #[prost(string, required, tag = "1")]
    pub container_path: String,
    #[prost(string, optional, tag = "2")]
    pub host_path: Option<String>,
    #[prost(enumeration = "VolumeMode", optional, tag = "3")]
    #[serde(with = "Name::<VolumeMode>")]
    pub mode: Option<i32>,
    #[prost(message, optional, tag = "4")]
    pub image: Option<Image>,
    #[prost(message, optional, tag = "5")]
    pub source: Option<VolumeSource>,
}

/// Where a volume comes from when it is neither a host path nor an image.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeSource {
    #[prost(enumeration = "VolumeSourceType", optional, tag = "1")]
    #[serde(with = "Name::<VolumeSourceType>")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub docker_volume: Option<DockerVolume>,
    #[prost(message, optional, tag = "3")]
    pub sandbox_path: Option<SandboxPath>,
    #[prost(message, optional, tag = "4")]
    pub secret: Option<Secret>,
    #[prost(message, optional, tag = "5")]
    pub host_path: Option<HostPath>,
}

/// A volume of a Docker volume driver.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct DockerVolume {
    #[prost(string, optional, tag = "1")]
    pub driver: Option<String>,
    #[prost(string, required, tag = "2")]
    pub name: String,
    #[prost(message, optional, tag = "3")]
    pub driver_options: Option<Parameters>,
}

/// A directory of a sandbox.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct SandboxPath {
    #[prost(enumeration = "SandboxPathType", optional, tag = "1")]
    #[serde(with = "Name::<SandboxPathType>")]
    pub r#type: Option<i32>,
    #[prost(string, required, tag = "2")]
    pub path: String,
}

/// A directory of the host.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct HostPath {
    #[prost(string, required, tag = "1")]
    pub path: String,
}

/// A network that a container is asked to join, or has joined.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkInfo {
    #[prost(string, repeated, tag = "3")]
    pub groups: Vec<String>,
    #[prost(message, optional, tag = "4")]
    pub labels: Option<Labels>,
    #[prost(message, repeated, tag = "5")]
    pub ip_addresses: Vec<IpAddress>,
    #[prost(string, optional, tag = "6")]
    pub name: Option<String>,
    #[prost(message, repeated, tag = "7")]
    pub port_mappings: Vec<PortMapping>,
}

/// An address of a container.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct IpAddress {
    #[prost(enumeration = "IpProtocol", optional, tag = "1")]
    #[serde(with = "Name::<IpProtocol>")]
    pub protocol: Option<i32>,
    #[prost(string, optional, tag = "2")]
    pub ip_address: Option<String>,
}

/// What an agent tells about a task's container.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerStatus {
    #[prost(message, repeated, tag = "1")]
    pub network_infos: Vec<NetworkInfo>,
    #[prost(message, optional, tag = "2")]
    pub cgroup_info: Option<CgroupInfo>,
    #[prost(uint32, optional, tag = "3")]
    pub executor_pid: Option<u32>,
    #[prost(message, optional, tag = "4")]
    pub container_id: Option<ContainerId>,
}

impl ContainerStatus {
    /// The first address of the container.
    #[must_use]
    pub fn ip(&self) -> Option<&str> {
        address(self.network_infos.iter())
    }

    /// The first address that whoever runs the container told with the name of its network. An agent that was told none names its own,
    /// without a network.
    #[must_use]
    pub fn ip_on_its_network(&self) -> Option<&str> {
        address(self.network_infos.iter().filter(|network| network.name.is_some()))
    }
}

fn address<'a>(networks: impl Iterator<Item = &'a NetworkInfo>) -> Option<&'a str> {
    networks.flat_map(|n| &n.ip_addresses).find_map(|a| a.ip_address.as_deref())
}

/// The cgroup of a container; nothing of it is used here.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct CgroupInfo {}
