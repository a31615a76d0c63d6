//! The executor API: the calls of an executor and the events of its agent.

use serde::{Deserialize, Serialize};

use super::enums::{ExecutorCallType, ExecutorEventType};
use super::framework::{AgentInfo, ExecutorInfo, FrameworkInfo};
use super::ids::{ContainerId, ExecutorId, FrameworkId, TaskId};
use super::json::{Base64, Name};
use super::offer::TaskGroupInfo;
use super::scheduler::{Error, Update};
use super::task::{KillPolicy, TaskInfo};

/// A call of an executor.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Call {
    #[prost(message, required, tag = "1")]
    pub executor_id: ExecutorId,
    #[prost(message, required, tag = "2")]
    pub framework_id: FrameworkId,
    #[prost(enumeration = "ExecutorCallType", optional, tag = "3")]
    #[serde(with = "Name::<ExecutorCallType>")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "4")]
    pub subscribe: Option<Subscribe>,
    #[prost(message, optional, tag = "5")]
    pub update: Option<Update>,
    #[prost(message, optional, tag = "6")]
    pub message: Option<Message>,
}

/// SUBSCRIBE: what the agent has not confirmed yet.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Subscribe {
    #[prost(message, repeated, tag = "1")]
    pub unacknowledged_tasks: Vec<TaskInfo>,
    #[prost(message, repeated, tag = "2")]
    pub unacknowledged_updates: Vec<Update>,
}

/// MESSAGE between executor and scheduler. Best effort.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Message {
    #[prost(bytes = "vec", required, tag = "2")]
    #[serde(with = "Base64")]
    pub data: Vec<u8>,
}

/// An event of the agent; the field named as the type is set (SHUTDOWN and HEARTBEAT have none).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    #[prost(enumeration = "ExecutorEventType", optional, tag = "1")]
    #[serde(with = "Name::<ExecutorEventType>")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub subscribed: Option<Subscribed>,
    #[prost(message, optional, tag = "3")]
    pub acknowledged: Option<Acknowledged>,
    #[prost(message, optional, tag = "4")]
    pub launch: Option<Launch>,
    #[prost(message, optional, tag = "5")]
    pub kill: Option<Kill>,
    #[prost(message, optional, tag = "6")]
    pub message: Option<MessageEvent>,
    #[prost(message, optional, tag = "7")]
    pub error: Option<Error>,
    #[prost(message, optional, tag = "8")]
    pub launch_group: Option<LaunchGroup>,
}

/// SUBSCRIBED.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Subscribed {
    #[prost(message, required, tag = "1")]
    pub executor_info: ExecutorInfo,
    #[prost(message, required, tag = "2")]
    pub framework_info: FrameworkInfo,
    #[prost(message, required, tag = "3")]
    pub agent_info: AgentInfo,
    #[prost(message, optional, tag = "4")]
    pub container_id: Option<ContainerId>,
}

/// ACKNOWLEDGED: the agent (not the scheduler) has stored the update.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Acknowledged {
    #[prost(message, required, tag = "1")]
    pub task_id: TaskId,
    #[prost(bytes = "vec", required, tag = "2")]
    #[serde(with = "Base64")]
    pub uuid: Vec<u8>,
}

/// LAUNCH.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Launch {
    #[prost(message, required, tag = "1")]
    pub task: TaskInfo,
}

/// LAUNCH_GROUP.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct LaunchGroup {
    #[prost(message, required, tag = "1")]
    pub task_group: TaskGroupInfo,
}

/// KILL.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Kill {
    #[prost(message, required, tag = "1")]
    pub task_id: TaskId,
    #[prost(message, optional, tag = "2")]
    pub kill_policy: Option<KillPolicy>,
}

/// MESSAGE from the scheduler.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageEvent {
    #[prost(bytes = "vec", required, tag = "1")]
    #[serde(with = "Base64")]
    pub data: Vec<u8>,
}
