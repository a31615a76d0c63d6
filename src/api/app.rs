//! App: a long-running service, wanted. What stands outside its template changes without restarting a task.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Condition, MicroTime, Span, Template};

resource! {
    /// A long-running service: so many instances of one template, kept running and replaced step by step.
    App {
        scope: Namespaced,
        plural: "apps",
        singular: "app",
        short: [],
        spec: AppSpec,
        status: AppStatus,
        scale: (".spec.instances", ".status.instances"),
        columns: [
            ("Instances", integer, ".spec.instances"),
            ("Running", integer, ".status.running"),
            ("Healthy", integer, ".status.healthy"),
            ("Updated", integer, ".status.updated"),
            ("Waiting", integer, ".status.waiting"),
            ("Ready", string, ".status.conditions[?(@.type==\"Ready\")].status"),
            ("Revision", string, ".status.revision", wide),
            ("Image", string, ".spec.container.image", wide),
            ("Age", date, ".metadata.creationTimestamp"),
        ],
    }
}

/// What is wanted of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AppSpec {
    /// How many instances shall run.
    #[schemars(range(min = 0, max = 100_000))]
    pub instances: u32,
    /// What each instance is. A change of any of it makes a new Revision.
    #[serde(flatten)]
    pub template: Template,
    /// How one revision replaces another.
    pub update: Update,
    /// How long to wait before an instance that keeps failing is tried again.
    pub backoff: Backoff,
    /// What happens to instances on an agent that has been cut off.
    pub unreachable: Unreachable,
    /// Apps of the same namespace that must be ready before an instance of this one starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
}

impl Default for AppSpec {
    fn default() -> Self {
        Self {
            instances: 1,
            template: Template::default(),
            update: Update::default(),
            backoff: Backoff::default(),
            unreachable: Unreachable::default(),
            depends_on: Vec::new(),
        }
    }
}

/// Bounds of a rolling update, as fractions of `instances`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Update {
    /// The healthy part that an update never goes below, rounded up to whole instances.
    #[schemars(range(min = 0, max = 1))]
    pub minimum_health_capacity: f64,
    /// The part by which an update may exceed `instances`, rounded down to whole instances.
    #[schemars(range(min = 0, max = 1))]
    pub maximum_over_capacity: f64,
}

impl Default for Update {
    fn default() -> Self {
        Self { minimum_health_capacity: 1.0, maximum_over_capacity: 1.0 }
    }
}

/// Growing delays between launches of an app whose instances fail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Backoff {
    /// The delay after the first failure.
    pub initial: Span,
    /// What each further failure multiplies the delay by.
    #[schemars(range(min = 1))]
    pub factor: f64,
    /// The longest delay.
    pub max: Span,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial: Span::from_secs(1), factor: 1.15, max: Span::from_secs(300) }
    }
}

/// The two steps by which an instance on a cut-off agent is given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Unreachable {
    /// How long after the agent was lost a replacement starts.
    pub inactive_after: Span,
    /// How long after the agent was lost the instance is forgotten. Coming back later, it is killed.
    pub expunge_after: Span,
}

impl Default for Unreachable {
    fn default() -> Self {
        Self { inactive_after: Span::from_secs(0), expunge_after: Span::from_secs(600) }
    }
}

/// What is observed of a service. Counts leave out instances that are being stopped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AppStatus {
    /// Instances that exist in any phase before their end.
    pub instances: u32,
    /// Instances that run.
    pub running: u32,
    /// Running instances that no health check calls unhealthy and all have called healthy.
    pub healthy: u32,
    /// Healthy instances that passed their readiness checks.
    pub ready: u32,
    /// Instances of the current revision.
    pub updated: u32,
    /// Instances that wait for an offer.
    pub waiting: u32,
    /// Name of the current Revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Name of the current Revision, once all wanted instances were ready and nothing else was left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolled_out: Option<String>,
    /// How many tasks were ever created for this app; names of tasks are made from it.
    pub launched: u64,
    /// The present delay before launches, if instances have been failing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<BackoffStatus>,
    /// Launches that the cluster has failed one after another, if it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_faults: Option<LaunchFaultsStatus>,
    /// The generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Available`, `Progressing`, `Degraded`, `Waiting`, `Reconciling`, `Stalled`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Failures of one revision in a row, and the time before which nothing is launched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackoffStatus {
    /// Name of the Revision whose instances failed; a new revision starts without delay.
    pub revision: String,
    /// Failures in a row.
    pub failures: u32,
    /// No launch before this time.
    pub until: MicroTime,
}

/// Launches of one revision that the cluster failed one after another by no fault of the app, and the time before which nothing is
/// launched again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LaunchFaultsStatus {
    /// Name of the Revision whose launches failed; a new revision starts without delay.
    pub revision: String,
    /// When the first of them was counted.
    pub since: MicroTime,
    /// No launch before this time. After the first one there is no pause.
    pub until: MicroTime,
    /// What was said of the last.
    pub message: String,
}
