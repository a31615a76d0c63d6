//! What the master orders an agent to do with all that it runs: to drain, to say what became of a task, to leave.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::state::Entry;
use super::{Act, Agent};
use crate::mesos::embedded::launcher::Launch;
use crate::mesos::embedded::protocol::ToMaster;
use crate::mesos::wire::{FrameworkId, Reason, Source, TaskId, TaskInfo, TaskState, TaskStatus};

/// How the agent is being drained.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drain {
    pub(super) max_grace: Option<Duration>,
    pub(super) mark_gone: bool,
}

impl Drain {
    /// The grace of a kill while draining.
    pub(super) fn shorten(self, grace: Duration) -> Duration {
        self.max_grace.map_or(grace, |max| grace.min(max))
    }

    /// A status as it is told while draining: why a task ends, and that it is gone if the operator says so.
    pub(super) fn explain(self, status: TaskStatus) -> TaskStatus {
        if !matches!(status.state(), TaskState::Killing | TaskState::Killed) {
            return status;
        }
        let state = if self.mark_gone { TaskState::GoneByOperator } else { status.state() };
        TaskStatus { state: state.wire(), reason: Reason::AgentDraining.wire(), ..status }
    }
}

/// What is told of a task that was killed before anything of it was reported.
pub(super) fn killed_during_launch(status: TaskStatus) -> TaskStatus {
    TaskStatus {
        source: Source::Agent.wire(),
        reason: Reason::TaskKilledDuringLaunch.wire(),
        message: Some("Killed before delivery to the executor".to_owned()),
        ..status
    }
}

impl Agent {
    /// The master counts on a task. If it never came here, that is its end.
    pub(super) fn missing(&mut self, framework_id: FrameworkId, task_id: TaskId) {
        self.never_came(
            framework_id,
            task_id,
            Reason::Reconciliation,
            "Reconciliation: task unknown to the agent",
        );
    }

    /// Tells the end of a task that is not known here, as that of any other until it is acknowledged.
    pub(super) fn never_came(
        &mut self,
        framework_id: FrameworkId,
        task_id: TaskId,
        reason: Reason,
        message: &str,
    ) {
        if self.state.tasks.contains_key(&task_id) {
            return;
        }
        let name = task_id.value.clone();
        let task = TaskInfo { name, task_id: task_id.clone(), ..TaskInfo::default() };
        let launch = Launch { framework_id, agent_id: self.agent_id(), task, environment: BTreeMap::new() };
        self.record(Entry::Launched(Box::new(launch)));
        self.reported(TaskStatus {
            source: Source::Agent.wire(),
            reason: reason.wire(),
            message: Some(message.to_owned()),
            ..TaskStatus::of(task_id, TaskState::Dropped)
        });
    }

    /// Ends and forgets everything that runs; then the agent ends.
    pub(super) fn shut_down(&mut self) {
        let mut frameworks: BTreeSet<FrameworkId> =
            self.state.tasks.values().map(|task| task.launch.framework_id.clone()).collect();
        frameworks.extend(self.launcher.executors().into_iter().flatten().map(|(framework, _)| framework));
        for framework in frameworks {
            self.framework_removed(framework);
        }
        self.leaving = true;
    }

    /// Leaves for good: tells the master, and ends what runs.
    pub(super) async fn leave(&mut self) {
        if let Some(uplink) = &self.uplink {
            // The master may be gone, too.
            let _gone = uplink.send(ToMaster::Unregister).await;
        }
        self.shut_down();
    }

    pub(super) fn kill_now(&mut self, task_id: TaskId, grace: Duration) {
        let grace = self.draining.map_or(grace, |drain| drain.shorten(grace));
        self.acts.push(Act::Kill(task_id, grace));
    }
}
