//! What became of a task: the status that UPDATE events carry.

use serde::{Deserialize, Serialize};

use super::container::ContainerStatus;
use super::enums::{CheckType, OperationState, Reason, Source, TaskState};
use super::ids::{AgentId, ExecutorId, OperationId, ResourceProviderId, TaskId};
use super::json::{Base64, Name};
use super::resource::Resource;
use super::task::{Labels, TimeInfo};

/// A task's state and what is known about it.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskStatus {
    #[prost(message, required, tag = "1")]
    pub task_id: TaskId,
    #[prost(enumeration = "TaskState", optional, tag = "2")]
    #[serde(with = "Name::<TaskState>")]
    pub state: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "3")]
    #[serde(with = "Base64")]
    pub data: Option<Vec<u8>>,
    #[prost(string, optional, tag = "4")]
    pub message: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub agent_id: Option<AgentId>,
    /// Seconds since the Unix epoch by the clock of whoever made it; never order by it across agents.
    #[prost(double, optional, tag = "6")]
    pub timestamp: Option<f64>,
    #[prost(message, optional, tag = "7")]
    pub executor_id: Option<ExecutorId>,
    /// Absent while no health check has given a result.
    #[prost(bool, optional, tag = "8")]
    pub healthy: Option<bool>,
    #[prost(enumeration = "Source", optional, tag = "9")]
    #[serde(with = "Name::<Source>")]
    pub source: Option<i32>,
    #[prost(enumeration = "Reason", optional, tag = "10")]
    #[serde(with = "Name::<Reason>")]
    pub reason: Option<i32>,
    /// 16 bytes when this must be acknowledged; absent when the master made it, and then it must not be.
    #[prost(bytes = "vec", optional, tag = "11")]
    #[serde(with = "Base64")]
    pub uuid: Option<Vec<u8>>,
    #[prost(message, optional, tag = "12")]
    pub labels: Option<Labels>,
    #[prost(message, optional, tag = "13")]
    pub container_status: Option<ContainerStatus>,
    #[prost(message, optional, tag = "14")]
    pub unreachable_time: Option<TimeInfo>,
    #[prost(message, optional, tag = "15")]
    pub check_status: Option<CheckStatusInfo>,
    #[prost(message, optional, tag = "16")]
    pub limitation: Option<TaskResourceLimitation>,
}

/// Whether Mesos takes `bytes` for a UUID: sixteen, of a version that it knows (1 to 5, stout's `UUID::fromBytes`).
#[must_use]
pub fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 16 && (1..=5).contains(&(bytes[6] >> 4))
}

impl TaskStatus {
    /// A status that says only where the task stands.
    #[must_use]
    pub fn of(task_id: TaskId, state: TaskState) -> TaskStatus {
        TaskStatus { task_id, state: state.wire(), ..TaskStatus::default() }
    }
}

/// The result of a general check; the inner message is empty until there is one.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckStatusInfo {
    #[prost(enumeration = "CheckType", optional, tag = "1")]
    #[serde(with = "Name::<CheckType>")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub command: Option<CommandCheckStatus>,
    #[prost(message, optional, tag = "3")]
    pub http: Option<HttpCheckStatus>,
    #[prost(message, optional, tag = "4")]
    pub tcp: Option<TcpCheckStatus>,
}

/// The exit code of a command check.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct CommandCheckStatus {
    #[prost(int32, optional, tag = "1")]
    pub exit_code: Option<i32>,
}

/// The status code of an HTTP check.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpCheckStatus {
    #[prost(uint32, optional, tag = "1")]
    pub status_code: Option<u32>,
}

/// Whether a TCP check connected.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct TcpCheckStatus {
    #[prost(bool, optional, tag = "1")]
    pub succeeded: Option<bool>,
}

/// The limit that a task ran into.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskResourceLimitation {
    #[prost(message, repeated, tag = "1")]
    pub resources: Vec<Resource>,
}

/// A UUID inside a message.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Uuid {
    #[prost(bytes = "vec", required, tag = "1")]
    #[serde(with = "Base64")]
    pub value: Vec<u8>,
}

/// Where an operation on resources stands.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct OperationStatus {
    #[prost(message, optional, tag = "1")]
    pub operation_id: Option<OperationId>,
    #[prost(enumeration = "OperationState", optional, tag = "2")]
    #[serde(with = "Name::<OperationState>")]
    pub state: Option<i32>,
    #[prost(string, optional, tag = "3")]
    pub message: Option<String>,
    #[prost(message, repeated, tag = "4")]
    pub converted_resources: Vec<Resource>,
    #[prost(message, optional, tag = "5")]
    pub uuid: Option<Uuid>,
    #[prost(message, optional, tag = "6")]
    pub agent_id: Option<AgentId>,
    #[prost(message, optional, tag = "7")]
    pub resource_provider_id: Option<ResourceProviderId>,
}
