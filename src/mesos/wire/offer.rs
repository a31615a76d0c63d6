//! Offers, and the operations that accept them.

use serde::{Deserialize, Serialize};

use super::enums::OperationType;
use super::framework::ExecutorInfo;
use super::ids::{AgentId, ExecutorId, FrameworkId, OfferId, OperationId};
use super::json::Name;
use super::resource::{AllocationInfo, Attribute, Resource};
use super::task::{DurationInfo, Label, TaskInfo, TimeInfo};

/// Free resources of one agent, offered to one role of one framework.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Offer {
    #[prost(message, required, tag = "1")]
    pub id: OfferId,
    #[prost(message, required, tag = "2")]
    pub framework_id: FrameworkId,
    #[prost(message, required, tag = "3")]
    pub agent_id: AgentId,
    #[prost(string, required, tag = "4")]
    pub hostname: String,
    #[prost(message, repeated, tag = "5")]
    pub resources: Vec<Resource>,
    /// Executors of ours that live on this agent.
    #[prost(message, repeated, tag = "6")]
    pub executor_ids: Vec<ExecutorId>,
    #[prost(message, repeated, tag = "7")]
    pub attributes: Vec<Attribute>,
    #[prost(message, optional, tag = "8")]
    pub url: Option<Url>,
    #[prost(message, optional, tag = "9")]
    pub unavailability: Option<Unavailability>,
    #[prost(message, optional, tag = "10")]
    pub allocation_info: Option<AllocationInfo>,
    #[prost(message, optional, tag = "11")]
    pub domain: Option<DomainInfo>,
}

impl Offer {
    /// The agent's address, where the offer tells it.
    #[must_use]
    pub fn agent_ip(&self) -> Option<&str> {
        self.url.as_ref()?.address.as_ref()?.ip.as_deref()
    }

    /// Where the agent listens, `IP:PORT`, where the offer tells it.
    #[must_use]
    pub fn agent_address(&self) -> Option<String> {
        let port = u16::try_from(self.url.as_ref()?.address.as_ref()?.port).ok()?;
        let ip = self.agent_ip()?;
        Some(if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") })
    }
}

/// A request to give resources back.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct InverseOffer {
    #[prost(message, required, tag = "1")]
    pub id: OfferId,
    #[prost(message, optional, tag = "2")]
    pub url: Option<Url>,
    #[prost(message, required, tag = "3")]
    pub framework_id: FrameworkId,
    #[prost(message, optional, tag = "4")]
    pub agent_id: Option<AgentId>,
    #[prost(message, optional, tag = "5")]
    pub unavailability: Option<Unavailability>,
    #[prost(message, repeated, tag = "6")]
    pub resources: Vec<Resource>,
}

/// When a machine is to be taken away.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Unavailability {
    #[prost(message, optional, tag = "1")]
    pub start: Option<TimeInfo>,
    #[prost(message, optional, tag = "2")]
    pub duration: Option<DurationInfo>,
}

/// Where an agent listens.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Url {
    #[prost(string, required, tag = "1")]
    pub scheme: String,
    #[prost(message, optional, tag = "2")]
    pub address: Option<Address>,
    #[prost(string, optional, tag = "3")]
    pub path: Option<String>,
    #[prost(message, repeated, tag = "4")]
    pub query: Vec<Label>,
    #[prost(string, optional, tag = "5")]
    pub fragment: Option<String>,
}

/// A host and port.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Address {
    #[prost(string, optional, tag = "1")]
    pub hostname: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub ip: Option<String>,
    #[prost(int32, required, tag = "3")]
    pub port: i32,
}

/// Where in the world a machine stands.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct DomainInfo {
    #[prost(message, optional, tag = "1")]
    pub fault_domain: Option<FaultDomain>,
}

impl DomainInfo {
    /// Somewhere in this region.
    #[must_use]
    pub fn in_region(name: &str) -> DomainInfo {
        let region = Some(Named { name: name.to_owned() });
        DomainInfo { fault_domain: Some(FaultDomain { region, zone: None }) }
    }

    /// The region, where one is told.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        Some(self.fault_domain.as_ref()?.region.as_ref()?.name.as_str())
    }
}

/// A region and a zone in it.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct FaultDomain {
    #[prost(message, optional, tag = "1")]
    pub region: Option<Named>,
    #[prost(message, optional, tag = "2")]
    pub zone: Option<Named>,
}

/// A region or a zone.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Named {
    #[prost(string, required, tag = "1")]
    pub name: String,
}

/// How long the rest of an offer is not wanted again.
#[derive(Clone, Copy, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Filters {
    #[prost(double, optional, tag = "1", default = "5.0")]
    pub refuse_seconds: Option<f64>,
}

impl From<std::time::Duration> for Filters {
    fn from(refuse: std::time::Duration) -> Filters {
        Filters { refuse_seconds: Some(refuse.as_secs_f64()) }
    }
}

/// One thing to do with accepted offers.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Operation {
    #[prost(enumeration = "OperationType", optional, tag = "1")]
    #[serde(with = "Name::<OperationType>")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub launch: Option<Launch>,
    #[prost(message, optional, tag = "3")]
    pub reserve: Option<Reserve>,
    #[prost(message, optional, tag = "4")]
    pub unreserve: Option<Unreserve>,
    #[prost(message, optional, tag = "5")]
    pub create: Option<Volumes>,
    #[prost(message, optional, tag = "6")]
    pub destroy: Option<Volumes>,
    #[prost(message, optional, tag = "7")]
    pub launch_group: Option<LaunchGroup>,
    #[prost(message, optional, tag = "12")]
    pub id: Option<OperationId>,
}

impl Operation {
    /// Launches `task_infos`. Put tasks of unrelated apps into separate operations: one malformed resource fails all
    /// tasks of its operation.
    #[must_use]
    pub fn launch(task_infos: Vec<TaskInfo>) -> Operation {
        Operation {
            r#type: OperationType::Launch.wire(),
            launch: Some(Launch { task_infos }),
            ..Operation::default()
        }
    }
}

/// Tasks to launch.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Launch {
    #[prost(message, repeated, tag = "1")]
    pub task_infos: Vec<TaskInfo>,
}

/// Tasks to launch together under one default executor.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct LaunchGroup {
    #[prost(message, optional, tag = "1")]
    pub executor: Option<ExecutorInfo>,
    #[prost(message, optional, tag = "2")]
    pub task_group: Option<TaskGroupInfo>,
}

/// The tasks of a group.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskGroupInfo {
    #[prost(message, repeated, tag = "1")]
    pub tasks: Vec<TaskInfo>,
}

/// Resources to reserve.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Reserve {
    #[prost(message, repeated, tag = "1")]
    pub resources: Vec<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub source: Vec<Resource>,
}

/// Reserved resources to give back to everybody.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Unreserve {
    #[prost(message, repeated, tag = "1")]
    pub resources: Vec<Resource>,
}

/// Persistent volumes to create or destroy.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Volumes {
    #[prost(message, repeated, tag = "1")]
    pub volumes: Vec<Resource>,
}
