//! The Mesos v1 messages that Tenure speaks: one set of types for both encodings.
//!
//! Each message derives prost's `Message` (protobuf) and serde's traits; [`json`] reads and writes the JSON that
//! Mesos itself speaks, which is not protobuf's canonical JSON. Only fields that we use or must carry are present:
//! unknown fields are skipped on reading. An enum field is an `Option<i32>` beside a getter of the same name that
//! answers `Unrecognised` for a value that is absent or newer than this code, so that a stream never fails on one.
//! Protobuf does not enforce `required` on reading here: a missing required id reads as an empty one.
//!
//! Numbers and names are facts of the Mesos 1.12 interface; recorded conversations test them (`tests/house`).

pub mod agent_data;
pub mod command;
pub mod container;
pub mod encoding;
pub mod enums;
pub mod executor;
pub mod executor_data;
pub mod framework;
pub mod ids;
pub mod json;
pub mod offer;
pub mod resource;
pub mod scheduler;
pub mod status;
pub mod task;
pub mod task_data;

/// The keys of a [`DockerParameter`] that our executor understands.
pub use crate::api::docker_options;
pub use agent_data::{AgentData, Engine, MACHINE_EXECUTOR};
pub use command::{CommandInfo, Environment, EnvironmentVariable, Secret, SecretReference, SecretValue, Uri};
pub use container::{
    CgroupInfo, ContainerInfo, ContainerStatus, DockerImage, DockerInfo, DockerParameter, Image, IpAddress,
    MesosInfo, NetworkInfo, PortMapping, Volume,
};
pub use encoding::Encoding;
pub use enums::*;
pub use executor_data::{AGENT_HOST, EXEC_PATH, ExecOrder, ExecutorData, INSTALLATION, SHARED_EXECUTOR};
pub use framework::{AgentInfo, ExecutorInfo, FrameworkCapability, FrameworkInfo, MasterInfo};
pub use ids::{
    AgentId, ContainerId, ExecutorId, FrameworkId, OfferId, OperationId, ResourceProviderId, TaskId,
};
pub use offer::{DomainInfo, Filters, InverseOffer, Offer, Operation};
pub use resource::{Attribute, Range, Ranges, Resource, Scalar, Set, Text};
pub use status::{CheckStatusInfo, TaskStatus, is_uuid};
pub use task::{
    CheckInfo, DiscoveryInfo, DurationInfo, HealthCheck, KillPolicy, Label, Labels, TaskInfo, TimeInfo,
};
pub use task_data::{RegistryLogin, TaskData};
