//! What one task asks of this machine, in the executor's own words and checked: whatever follows (Docker's create
//! request, the process under a shim, the checks) reads a [`Task`] and never the wire.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::executor::checks::Check;
use crate::mesos::wire::{TaskId, Uri};

/// One task to run: a container when `container` is set, else a plain process.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    pub id: TaskId,
    /// Put on the container as they are; `tenure.dev/installation` among them says whose it is.
    pub labels: BTreeMap<String, String>,
    pub env: BTreeMap<String, String>,
    pub command: Command,
    pub resources: Resources,
    pub container: Option<Container>,
    /// What its sandbox is filled with before it starts, where no agent of Mesos has done that.
    pub fetch: Vec<Uri>,
    /// Healthy when all say so, which is reported as `healthy`.
    pub health: Vec<Check>,
    /// Ready when all say so, which is reported as the check's status.
    pub readiness: Vec<Check>,
    /// Between the stop signal and SIGKILL, unless the kill says otherwise.
    pub kill_grace: Duration,
}

/// What is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The image's own entry point and command.
    Image,
    /// A line for `/bin/sh -c`.
    Shell(String),
    /// Arguments: of the image's entry point in a container; program first for a process.
    Args(Vec<String>),
}

/// What was granted. Memory is a limit; cpus are a weight.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Resources {
    pub cpus: f64,
    pub memory_mib: f64,
    pub gpus: f64,
}

/// How to make the container.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Container {
    pub image: String,
    pub pull: PullPolicy,
    pub registry_login: Option<RegistryLogin>,
    pub network: Network,
    pub hostname: Option<String>,
    pub privileged: bool,
    pub ports: Vec<PortMapping>,
    pub volumes: Vec<Volume>,
    /// `docker run` options by their long name, in order; keys may repeat.
    pub parameters: Vec<(String, String)>,
}

/// When the registry is asked for the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum PullPolicy {
    /// Once for every revision on every machine.
    Always,
    /// When the machine does not have it.
    #[default]
    IfNotPresent,
    /// Never: the machine has it, or the task fails.
    Never,
}

/// A login for one registry. Its `Debug` hides the secrets.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct RegistryLogin {
    pub username: String,
    pub password: String,
    /// The registry that it is for; empty: the image's own.
    pub server: String,
}

impl fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryLogin({:?} at {:?})", self.username, self.server)
    }
}

/// The container's network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Network {
    /// The machine's own; Mesos's default too.
    #[default]
    Host,
    Bridge,
    None,
    /// A network that exists in Docker.
    Named(String),
}

impl Network {
    /// As Docker's `NetworkMode` spells it.
    #[must_use]
    pub fn mode(&self) -> &str {
        match self {
            Network::Host => "host",
            Network::Bridge => "bridge",
            Network::None => "none",
            Network::Named(name) => name,
        }
    }

    /// Whether the container has an address of its own.
    #[must_use]
    pub fn has_own_address(&self) -> bool {
        matches!(self, Network::Bridge | Network::Named(_))
    }
}

/// One host port that reaches one port of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortMapping {
    pub host_port: u16,
    pub container_port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
}

/// Something mounted into the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub container_path: String,
    pub source: VolumeSource,
    pub read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeSource {
    /// A folder of this machine.
    HostPath(String),
    /// A Docker volume of a driver, made when it does not exist.
    Driver { driver: String, name: String, options: BTreeMap<String, String> },
}
