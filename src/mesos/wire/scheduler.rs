//! The scheduler API: the calls of a framework and the events of the master.

use serde::{Deserialize, Serialize};

use super::enums::{CallType, EventType};
use super::framework::{FrameworkInfo, MasterInfo, OfferConstraints};
use super::ids::{AgentId, ExecutorId, FrameworkId, OfferId, OperationId, ResourceProviderId, TaskId};
use super::json::{Base64, Name};
use super::offer::{Filters, InverseOffer, Offer, Operation};
use super::status::{OperationStatus, TaskStatus};
use super::task::KillPolicy;

/// A call of a framework. All but the very first SUBSCRIBE carry the framework's id.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Call {
    #[prost(message, optional, tag = "1")]
    pub framework_id: Option<FrameworkId>,
    #[prost(enumeration = "CallType", optional, tag = "2")]
    #[serde(with = "Name::<CallType>")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "3")]
    pub subscribe: Option<Subscribe>,
    #[prost(message, optional, tag = "4")]
    pub accept: Option<Accept>,
    #[prost(message, optional, tag = "5")]
    pub decline: Option<Decline>,
    #[prost(message, optional, tag = "6")]
    pub kill: Option<Kill>,
    #[prost(message, optional, tag = "7")]
    pub shutdown: Option<Shutdown>,
    #[prost(message, optional, tag = "8")]
    pub acknowledge: Option<Acknowledge>,
    #[prost(message, optional, tag = "9")]
    pub reconcile: Option<Reconcile>,
    #[prost(message, optional, tag = "10")]
    pub message: Option<Message>,
    #[prost(message, optional, tag = "11")]
    pub request: Option<Request>,
    #[prost(message, optional, tag = "13")]
    pub accept_inverse_offers: Option<InverseOfferAnswer>,
    #[prost(message, optional, tag = "14")]
    pub decline_inverse_offers: Option<InverseOfferAnswer>,
    #[prost(message, optional, tag = "15")]
    pub revive: Option<Roles>,
    #[prost(message, optional, tag = "16")]
    pub suppress: Option<Roles>,
    #[prost(message, optional, tag = "17")]
    pub acknowledge_operation_status: Option<AcknowledgeOperationStatus>,
    #[prost(message, optional, tag = "18")]
    pub reconcile_operations: Option<ReconcileOperations>,
    #[prost(message, optional, tag = "19")]
    pub update_framework: Option<Subscribe>,
}

impl Call {
    /// A call of this type that has no message of its own yet.
    #[must_use]
    pub fn of(framework_id: FrameworkId, r#type: CallType) -> Call {
        Call { framework_id: Some(framework_id), r#type: r#type.wire(), ..Call::default() }
    }

    /// SUBSCRIBE; the framework's id is taken from `framework_info`.
    #[must_use]
    pub fn subscribe(subscribe: Subscribe) -> Call {
        Call {
            framework_id: subscribe.framework_info.id.clone(),
            r#type: CallType::Subscribe.wire(),
            subscribe: Some(subscribe),
            ..Call::default()
        }
    }
}

/// SUBSCRIBE, and UPDATE_FRAMEWORK: who we are. The sets given here replace the previous ones.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Subscribe {
    #[prost(message, required, tag = "1")]
    pub framework_info: FrameworkInfo,
    #[prost(string, repeated, tag = "2")]
    pub suppressed_roles: Vec<String>,
    #[prost(message, optional, tag = "3")]
    pub offer_constraints: Option<OfferConstraints>,
}

/// ACCEPT: what to do with some offers, all of one agent and role.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Accept {
    #[prost(message, repeated, tag = "1")]
    pub offer_ids: Vec<OfferId>,
    #[prost(message, repeated, tag = "2")]
    pub operations: Vec<Operation>,
    /// For what is left over.
    #[prost(message, optional, tag = "3")]
    pub filters: Option<Filters>,
}

/// DECLINE: give offers back.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Decline {
    #[prost(message, repeated, tag = "1")]
    pub offer_ids: Vec<OfferId>,
    #[prost(message, optional, tag = "2")]
    pub filters: Option<Filters>,
}

/// The answer to inverse offers. For information only.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct InverseOfferAnswer {
    #[prost(message, repeated, tag = "1")]
    pub inverse_offer_ids: Vec<OfferId>,
    #[prost(message, optional, tag = "2")]
    pub filters: Option<Filters>,
}

/// REVIVE and SUPPRESS: which roles; none means all.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Roles {
    #[prost(string, repeated, tag = "1")]
    pub roles: Vec<String>,
}

/// KILL. A wrong agent id is ignored without an answer.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Kill {
    #[prost(message, required, tag = "1")]
    pub task_id: TaskId,
    #[prost(message, optional, tag = "2")]
    pub agent_id: Option<AgentId>,
    #[prost(message, optional, tag = "3")]
    pub kill_policy: Option<KillPolicy>,
}

/// SHUTDOWN of an executor.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Shutdown {
    #[prost(message, required, tag = "1")]
    pub executor_id: ExecutorId,
    #[prost(message, required, tag = "2")]
    pub agent_id: AgentId,
}

/// ACKNOWLEDGE: the update with this uuid is stored.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Acknowledge {
    #[prost(message, required, tag = "1")]
    pub agent_id: AgentId,
    #[prost(message, required, tag = "2")]
    pub task_id: TaskId,
    #[prost(bytes = "vec", required, tag = "3")]
    #[serde(with = "Base64")]
    pub uuid: Vec<u8>,
}

/// RECONCILE: tell the state of these tasks, or of all when none is named.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Reconcile {
    #[prost(message, repeated, tag = "1")]
    pub tasks: Vec<ReconcileTask>,
}

/// A task asked about. Without the agent's id some states answer TASK_UNKNOWN, so give it.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ReconcileTask {
    #[prost(message, required, tag = "1")]
    pub task_id: TaskId,
    #[prost(message, optional, tag = "2")]
    pub agent_id: Option<AgentId>,
}

/// MESSAGE between scheduler and executor. Best effort.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Message {
    #[prost(message, required, tag = "1")]
    pub agent_id: AgentId,
    #[prost(message, required, tag = "2")]
    pub executor_id: ExecutorId,
    #[prost(bytes = "vec", required, tag = "3")]
    #[serde(with = "Base64")]
    pub data: Vec<u8>,
}

/// REQUEST. Masters read it and do nothing; what is asked for is not kept here.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {}

/// ACKNOWLEDGE_OPERATION_STATUS.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct AcknowledgeOperationStatus {
    #[prost(message, optional, tag = "1")]
    pub agent_id: Option<AgentId>,
    #[prost(message, optional, tag = "2")]
    pub resource_provider_id: Option<ResourceProviderId>,
    #[prost(bytes = "vec", required, tag = "3")]
    #[serde(with = "Base64")]
    pub uuid: Vec<u8>,
    #[prost(message, required, tag = "4")]
    pub operation_id: OperationId,
}

/// RECONCILE_OPERATIONS.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ReconcileOperations {
    #[prost(message, repeated, tag = "1")]
    pub operations: Vec<ReconcileOperation>,
}

/// An operation asked about.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ReconcileOperation {
    #[prost(message, required, tag = "1")]
    pub operation_id: OperationId,
    #[prost(message, optional, tag = "2")]
    pub agent_id: Option<AgentId>,
    #[prost(message, optional, tag = "3")]
    pub resource_provider_id: Option<ResourceProviderId>,
}

/// An event of the master; the field named as the type is set (HEARTBEAT has none).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    #[prost(enumeration = "EventType", optional, tag = "1")]
    #[serde(with = "Name::<EventType>")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub subscribed: Option<Subscribed>,
    #[prost(message, optional, tag = "3")]
    pub offers: Option<Offers>,
    #[prost(message, optional, tag = "4")]
    pub rescind: Option<Rescind>,
    #[prost(message, optional, tag = "5")]
    pub update: Option<Update>,
    #[prost(message, optional, tag = "6")]
    pub message: Option<Message>,
    #[prost(message, optional, tag = "7")]
    pub failure: Option<Failure>,
    #[prost(message, optional, tag = "8")]
    pub error: Option<Error>,
    #[prost(message, optional, tag = "9")]
    pub inverse_offers: Option<InverseOffers>,
    #[prost(message, optional, tag = "10")]
    pub rescind_inverse_offer: Option<RescindInverseOffer>,
    #[prost(message, optional, tag = "11")]
    pub update_operation_status: Option<UpdateOperationStatus>,
}

impl Event {
    /// An event of this type that has no message of its own yet.
    #[must_use]
    pub fn of(r#type: EventType) -> Event {
        Event { r#type: r#type.wire(), ..Event::default() }
    }
}

/// SUBSCRIBED: we are known under this id, and heartbeats come this often.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Subscribed {
    #[prost(message, required, tag = "1")]
    pub framework_id: FrameworkId,
    #[prost(double, optional, tag = "2")]
    pub heartbeat_interval_seconds: Option<f64>,
    #[prost(message, optional, tag = "3")]
    pub master_info: Option<MasterInfo>,
}

/// OFFERS.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Offers {
    #[prost(message, repeated, tag = "1")]
    pub offers: Vec<Offer>,
}

/// RESCIND: this offer is gone.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Rescind {
    #[prost(message, required, tag = "1")]
    pub offer_id: OfferId,
}

/// UPDATE: a task's new status.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Update {
    #[prost(message, required, tag = "1")]
    pub status: TaskStatus,
}

/// FAILURE: an agent is gone, or (with `executor_id`) an executor has ended. A hint only.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Failure {
    #[prost(message, optional, tag = "1")]
    pub agent_id: Option<AgentId>,
    #[prost(message, optional, tag = "2")]
    pub executor_id: Option<ExecutorId>,
    /// In the form of wait(2).
    #[prost(int32, optional, tag = "3")]
    pub status: Option<i32>,
}

/// ERROR: the stream ends after it.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Error {
    #[prost(string, required, tag = "1")]
    pub message: String,
}

/// INVERSE_OFFERS.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct InverseOffers {
    #[prost(message, repeated, tag = "1")]
    pub inverse_offers: Vec<InverseOffer>,
}

/// RESCIND_INVERSE_OFFER.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct RescindInverseOffer {
    #[prost(message, required, tag = "1")]
    pub inverse_offer_id: OfferId,
}

/// UPDATE_OPERATION_STATUS.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateOperationStatus {
    #[prost(message, required, tag = "1")]
    pub status: OperationStatus,
}
