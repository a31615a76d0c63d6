//! The nouns: specs, statuses, defaults, validation and CRDs of our kinds. Data only.
//!
//! A kind is a struct with `metadata`, `spec` and `status` declared once by [`resource!`](resource); the same
//! declaration makes it usable with kube-rs and yields its CustomResourceDefinition. Nothing here reads a
//! clock, a network or another room, so a plugin author can depend on `tenure` without its default features.

#[macro_use]
pub mod resource;

pub mod agent;
pub mod app;
pub mod check;
pub mod container;
pub mod crd;
pub mod docker_options;
pub mod endpoints;
pub mod exec;
pub mod fetch;
pub mod field;
pub mod format;
pub mod labels;
pub mod names;
pub mod offer;
pub mod port;
pub mod quantity;
pub mod revision;
pub mod role;
pub mod span;
pub mod task;
pub mod template;
pub mod validate;

pub use agent::{Agent, AgentStatus, Maintenance, Orphans, Totals};
pub use app::{App, AppSpec, AppStatus, Backoff, BackoffStatus, LaunchFaultsStatus, Unreachable, Update};
pub use check::{CheckPort, ExecCheck, HealthCheck, HttpCheck, ReadinessCheck, TcpCheck};
pub use container::{Container, Containerizer, Network, Parameter, PullPolicy, Volume, VolumeMode};
pub use crd::crds;
pub use endpoints::{Address, EndpointPort, Endpoints, EndpointsSpec};
pub use fetch::Fetch;
pub use field::FieldError;
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, ObjectMeta, Time};
pub use offer::{Held, Lent, Offer, OfferStatus};
pub use port::{HostPort, Port, Protocol};
pub use quantity::{Bytes, Cpus};
pub use resource::{Definition, Kind, Scope};
pub use revision::{Revision, RevisionSpec};
pub use span::Span;
pub use task::{Binding, Phase, Stop, Task, TaskSpec, TaskStatus};
pub use template::{
    Constraint, EnvVar, EnvVarSource, Kill, KillSelection, Operator, Resources, Revocable, SecretKeyRef,
    Template,
};

/// The API group of all our kinds.
pub const GROUP: &str = "tenure.dev";
/// The one served and stored version of our kinds.
pub const VERSION: &str = "v1";
/// `GROUP/VERSION`, as documents carry it.
pub const API_VERSION: &str = "tenure.dev/v1";
