//! Task: one instance of an App: wanted (`slot`, `revision`), bound (`binding`), ended (`stop`), observed (`status`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{MicroTime, Resources, Revocable, Time};

resource! {
    /// One instance of an App: wanted, bound to an offer, and observed.
    Task {
        scope: Namespaced,
        plural: "tasks",
        singular: "task",
        short: [],
        spec: TaskSpec,
        status: TaskStatus,
        columns: [
            ("App", string, ".spec.app"),
            ("Phase", string, ".status.phase"),
            ("Healthy", boolean, ".status.healthy"),
            ("Ready", boolean, ".status.ready"),
            ("Host", string, ".status.host"),
            ("Ports", string, ".status.ports"),
            ("Reason", string, ".status.reason", wide),
            ("Revision", string, ".spec.revision", wide),
            ("Container", string, ".status.containerId", wide),
            ("Age", date, ".metadata.creationTimestamp"),
        ],
    }
}

/// What is wanted of one instance, where it was placed, and why it is stopped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskSpec {
    /// Name of the App.
    pub app: String,
    /// Name of the Revision whose template this is an instance of.
    pub revision: String,
    /// The place among the App's instances, from 0.
    pub slot: u32,
    /// Name of the Task that this one replaces and that may run beside it for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// Where it was placed. Written before the offer is accepted: bound means possibly launched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
    /// Why and since when it shall end. Written before the task is killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
}

/// The part of an offer that a task was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// The agent, as Mesos names it.
    pub agent_id: String,
    /// Host name or address of the agent.
    pub host: String,
    /// The offer that was spent.
    pub offer_id: String,
    /// What was taken of it, beside ports.
    pub resources: Resources,
    /// Which of these are lent and may be taken back at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revocable: Vec<Revocable>,
    /// Host ports in the order of the template's ports; 0 for a port without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
    /// When the binding was made.
    pub bound_at: MicroTime,
    /// The id that Mesos knows the task by.
    pub mesos_task_id: String,
    /// The executor that runs it, where that is not one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_id: Option<String>,
}

impl Binding {
    /// The executor that runs the task, as Mesos names it.
    #[must_use]
    pub fn executor(&self) -> &str {
        self.executor_id.as_deref().unwrap_or(&self.mesos_task_id)
    }
}

/// Why and since when a task shall end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// One CamelCase word: `ScaledDown`, `Replaced`, `Unhealthy`, ….
    pub reason: String,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it was decided.
    pub at: MicroTime,
}

/// What is observed of one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskStatus {
    /// Where in its life the task is.
    pub phase: Phase,
    /// The last state that Mesos reported, `TASK_…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What the health checks say; absent before the first verdict and without checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
    /// Whether it may get requests.
    pub ready: bool,
    /// Whether its agent is connected.
    pub reachable: bool,
    /// Since when its agent is cut off, as the cluster tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreachable_since: Option<MicroTime>,
    /// Host name or address of the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Host ports in the order of the template's ports; 0 for a port without one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
    /// The container's own address, where its network gives it one that others can reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_ip: Option<String>,
    /// The container, as Docker names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// The id that Mesos knows the task by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mesos_task_id: Option<String>,
    /// One word about the last state, as Mesos gives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A sentence about the last state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it was first seen running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it was first seen ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

impl Default for TaskStatus {
    fn default() -> Self {
        Self {
            phase: Phase::Pending,
            state: None,
            healthy: None,
            ready: false,
            reachable: true,
            unreachable_since: None,
            host: None,
            ports: Vec::new(),
            container_ip: None,
            container_id: None,
            mesos_task_id: None,
            reason: None,
            message: None,
            started_at: None,
            finished_at: None,
        }
    }
}

/// Where in its life a task is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Phase {
    /// Wanted; no offer yet.
    #[default]
    Pending,
    /// An offer was chosen; possibly launched.
    Bound,
    /// The agent has it: pulling, creating, starting.
    Launching,
    /// Runs.
    Running,
    /// Was told to end.
    Stopping,
    /// Ended well, or because it was told to.
    Finished,
    /// Ended by itself with an error, or could not start.
    Failed,
    /// Its end was not seen: the agent is gone, or never had it.
    Lost,
}

impl Phase {
    /// Whether the task has ended for good.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Lost)
    }
}

impl Task {
    /// The phase, read from what was bound where no report has come yet.
    #[must_use]
    pub fn phase(&self) -> Phase {
        let reported = self.status.as_ref().map_or(Phase::Pending, |status| status.phase);
        if reported == Phase::Pending && self.spec.binding.is_some() { Phase::Bound } else { reported }
    }

    /// Whether it has ended for good.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.phase().is_terminal()
    }
}
