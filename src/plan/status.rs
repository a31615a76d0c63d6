//! What an update of the cluster means for a Task's status.
//!
//! A terminal state is final: whatever comes later changes nothing (what runs in spite of it is an orphan). Phases
//! never go back, however late or repeated an update is. UNREACHABLE keeps the phase and says since when; so does
//! UNKNOWN of a Task that ran: its master forgot the agent, which may come back. A bound Task that the master does not
//! know never started.

use std::fmt;

use jiff::Timestamp;

use super::micro_time;
use crate::api::{Phase, Task, TaskStatus, Template, Time};

/// The states of Mesos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of Mesos, told in its own documentation")]
pub enum TaskState {
    Staging,
    Starting,
    Running,
    Killing,
    Finished,
    Failed,
    Killed,
    Error,
    Lost,
    Dropped,
    Unreachable,
    Gone,
    GoneByOperator,
    Unknown,
}

impl TaskState {
    /// All, in Mesos's order.
    pub const ALL: [Self; 14] = [
        Self::Staging,
        Self::Starting,
        Self::Running,
        Self::Killing,
        Self::Finished,
        Self::Failed,
        Self::Killed,
        Self::Error,
        Self::Lost,
        Self::Dropped,
        Self::Unreachable,
        Self::Gone,
        Self::GoneByOperator,
        Self::Unknown,
    ];

    /// The state of this name, `TASK_…`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Its name in Mesos.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Staging => "TASK_STAGING",
            Self::Starting => "TASK_STARTING",
            Self::Running => "TASK_RUNNING",
            Self::Killing => "TASK_KILLING",
            Self::Finished => "TASK_FINISHED",
            Self::Failed => "TASK_FAILED",
            Self::Killed => "TASK_KILLED",
            Self::Error => "TASK_ERROR",
            Self::Lost => "TASK_LOST",
            Self::Dropped => "TASK_DROPPED",
            Self::Unreachable => "TASK_UNREACHABLE",
            Self::Gone => "TASK_GONE",
            Self::GoneByOperator => "TASK_GONE_BY_OPERATOR",
            Self::Unknown => "TASK_UNKNOWN",
        }
    }

    /// The phase that a Task is in by this report, if it was in `before`.
    fn phase(self, before: Phase) -> Phase {
        match self {
            Self::Starting if planted!("starting-counts-as-running") => before.max(Phase::Running),
            Self::Staging | Self::Starting => before.max(Phase::Launching),
            Self::Running => before.max(Phase::Running),
            Self::Killing if planted!("stopping-counts-as-ended") => Phase::Finished,
            Self::Killing => Phase::Stopping,
            Self::Finished | Self::Killed => Phase::Finished,
            Self::Failed | Self::Error => Phase::Failed,
            Self::Lost | Self::Dropped | Self::Gone | Self::GoneByOperator => Phase::Lost,
            Self::Unknown if before < Phase::Running => Phase::Lost,
            Self::Unreachable | Self::Unknown => before,
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One report about a Task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// What it is doing.
    pub state: TaskState,
    /// When the reporter saw it.
    pub at: Timestamp,
    /// Why, in Mesos's word.
    pub reason: Option<String>,
    /// Why, in a sentence.
    pub message: Option<String>,
    /// What the health checks say.
    pub healthy: Option<bool>,
    /// What the readiness checks say.
    pub ready: Option<bool>,
    /// Since when the agent is cut off.
    pub unreachable_since: Option<Timestamp>,
    /// The container, as Docker names it.
    pub container_id: Option<String>,
    /// The container's own address.
    pub container_ip: Option<String>,
}

impl Update {
    /// A report of nothing but a state.
    #[must_use]
    pub fn of(state: TaskState, at: Timestamp) -> Self {
        Self {
            state,
            at,
            reason: None,
            message: None,
            healthy: None,
            ready: None,
            unreachable_since: None,
            container_id: None,
            container_ip: None,
        }
    }
}

/// The whole status after `update`; `None` if it changes nothing that is stored, so it may be acknowledged at once.
#[must_use]
pub fn merge(task: &Task, template: &Template, update: Update) -> Option<TaskStatus> {
    let before = if planted!("end-is-not-final") { task.phase().min(Phase::Running) } else { task.phase() };
    if before.is_terminal() {
        return None;
    }
    let old = task.status.clone().unwrap_or_default();
    let phase = update.state.phase(before);
    let cut_off = phase == before && matches!(update.state, TaskState::Unreachable | TaskState::Unknown);
    let since = cut_off.then(|| {
        let told = micro_time(update.unreachable_since.unwrap_or(update.at));
        old.unreachable_since.clone().unwrap_or(told)
    });
    let running = phase == Phase::Running;
    let ready = template.readiness_checks.is_empty() || update.ready.unwrap_or(old.ready);
    // What has ended is not healthy, whatever the last check said.
    let healthy = update.healthy.or(old.healthy).filter(|healthy| !(*healthy && phase.is_terminal()));
    let (reason, message) = told(&old, &update);
    let reason = reason.filter(|it| healthy == Some(false) || !is_of_check(it));
    let binding = task.spec.binding.as_ref();
    let at = || Time(update.at);
    let new = TaskStatus {
        phase,
        state: Some(update.state.name().into()),
        healthy,
        ready: running && ready,
        reachable: !cut_off && (old.reachable || !planted!("back-but-not-reachable")),
        unreachable_since: since,
        host: binding.map(|it| it.host.clone()).or(old.host.clone()),
        ports: binding.map_or_else(|| old.ports.clone(), |it| it.ports.clone()),
        // Before and after, executors tell the agent's address instead.
        container_ip: update.container_ip.filter(|_| running).or(old.container_ip.clone()),
        container_id: update.container_id.or(old.container_id.clone()),
        mesos_task_id: binding.map(|it| it.mesos_task_id.clone()).or(old.mesos_task_id.clone()),
        reason,
        message,
        started_at: old.started_at.clone().or_else(|| running.then(at)),
        finished_at: phase.is_terminal().then(at),
    };
    (task.status.as_ref() != Some(&new)).then_some(new)
}

/// Reason and message; an answer to a question (reconciliation) does not hide what was said about the same state.
fn told(old: &TaskStatus, update: &Update) -> (Option<String>, Option<String>) {
    let answer = update.reason.as_deref().is_some_and(|it| {
        matches!(it.strip_prefix("REASON_").unwrap_or(it), "RECONCILIATION" | "AGENT_REREGISTERED")
    });
    if answer && old.state.as_deref() == Some(update.state.name()) {
        (old.reason.clone(), old.message.clone())
    } else {
        (update.reason.clone(), update.message.clone())
    }
}

/// Whether this says only that a check had a result, which is told elsewhere.
fn is_of_check(reason: &str) -> bool {
    let word = reason.strip_prefix("REASON_").unwrap_or(reason);
    matches!(word, "TASK_HEALTH_CHECK_STATUS_UPDATED" | "TASK_CHECK_STATUS_UPDATED")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Binding, ReadinessCheck, Resources, TaskSpec};

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn bound() -> Task {
        let binding = Binding {
            agent_id: "agent-1".into(),
            host: "node-1".into(),
            offer_id: "offer-1".into(),
            resources: Resources::default(),
            revocable: Vec::new(),
            ports: vec![31_000],
            bound_at: micro_time(time(0)),
            mesos_task_id: "shop.web-1.0a1b2c3d".into(),
            executor_id: None,
        };
        Task::new("web-1", TaskSpec { binding: Some(binding), ..TaskSpec::default() })
    }

    /// The Task after each of `states`, one second apart.
    fn after(states: &[TaskState]) -> Task {
        let mut task = bound();
        for (second, state) in (1..).zip(states) {
            if let Some(status) = merge(&task, &Template::default(), Update::of(*state, time(second))) {
                task.status = Some(status);
            }
        }
        task
    }

    #[test]
    fn a_containers_address_is_what_was_told_while_it_ran() {
        let mut task = bound();
        let told = [
            (TaskState::Starting, "10.0.0.1"),
            (TaskState::Running, "172.17.0.2"),
            (TaskState::Killing, "10.0.0.1"),
        ];
        let mut known = Vec::new();
        for (state, address) in told {
            let update = Update { container_ip: Some(address.into()), ..Update::of(state, time(1)) };
            task.status = merge(&task, &Template::default(), update);
            known.push(task.status.as_ref().and_then(|it| it.container_ip.clone()));
        }
        assert_eq!(known, [None, Some("172.17.0.2".to_owned()), Some("172.17.0.2".to_owned())]);
    }

    #[test]
    fn phases_follow_the_states_of_mesos() {
        use TaskState::{
            Dropped, Error, Failed, Finished, Gone, GoneByOperator, Killed, Killing, Lost, Running, Staging,
            Starting, Unknown, Unreachable,
        };
        let rows: [(&[TaskState], Phase, bool); 22] = [
            (&[], Phase::Bound, true),
            (&[Staging], Phase::Launching, true),
            (&[Starting], Phase::Launching, true),
            (&[Running], Phase::Running, true),
            (&[Running, Killing], Phase::Stopping, true),
            (&[Running, Finished], Phase::Finished, true),
            (&[Running, Killing, Killed], Phase::Finished, true),
            (&[Failed], Phase::Failed, true),
            (&[Error], Phase::Failed, true),
            (&[Lost], Phase::Lost, true),
            (&[Dropped], Phase::Lost, true),
            (&[Running, Gone], Phase::Lost, true),
            (&[Running, GoneByOperator], Phase::Lost, true),
            (&[Unknown], Phase::Lost, true), // bound, and the master never had it
            (&[Running, Unknown], Phase::Running, false), // the master forgot it; it may come back
            (&[Running, Unreachable], Phase::Running, false),
            (&[Starting, Unreachable], Phase::Launching, false),
            (&[Running, Unreachable, Running], Phase::Running, true),
            (&[Running, Staging], Phase::Running, true), // late or repeated ones do not turn it back
            (&[Running, Killing, Running], Phase::Stopping, true),
            (&[Finished, Running], Phase::Finished, true), // a terminal state wins
            (&[Running, Unreachable, Gone], Phase::Lost, true),
        ];
        for (states, phase, reachable) in rows {
            let task = after(states);
            let is_reachable = task.status.as_ref().is_none_or(|it| it.reachable);
            assert_eq!((task.phase(), is_reachable), (phase, reachable), "{states:?}");
        }
    }

    #[test]
    fn what_changes_nothing_is_not_written() {
        let mut task = after(&[TaskState::Running]);
        let again = Update::of(TaskState::Running, time(9));
        assert_eq!(merge(&task, &Template::default(), again.clone()), None);
        let reason = Some("REASON_RECONCILIATION".to_owned());
        let answer = Update { reason, message: Some("Reconciliation: latest state".into()), ..again.clone() };
        assert_eq!(merge(&task, &Template::default(), answer), None);
        task.status = merge(&task, &Template::default(), Update { healthy: Some(true), ..again.clone() });
        assert_eq!(task.status.as_ref().and_then(|it| it.healthy), Some(true));
        assert_eq!(merge(&task, &Template::default(), again), None, "silence about health keeps the verdict");
    }

    #[test]
    fn a_task_that_has_ended_is_not_healthy_and_may_be_unhealthy() {
        for (told, kept) in [(true, None), (false, Some(false))] {
            let mut task = after(&[TaskState::Running]);
            let update = Update { healthy: Some(told), ..Update::of(TaskState::Running, time(2)) };
            task.status = merge(&task, &Template::default(), update);
            assert_eq!(task.status.as_ref().unwrap().healthy, Some(told));
            let ended = merge(&task, &Template::default(), Update::of(TaskState::Failed, time(3))).unwrap();
            assert_eq!(ended.healthy, kept);
        }
    }

    #[test]
    fn a_reason_that_only_says_that_a_check_passed_is_left_out() {
        let reason = |word: &str, healthy| {
            let reason = Some(word.to_owned());
            let update = Update { reason, healthy: Some(healthy), ..Update::of(TaskState::Running, time(2)) };
            merge(&bound(), &Template::default(), update).unwrap().reason
        };
        let check = "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED";
        assert_eq!((reason(check, true), reason(check, false)), (None, Some(check.to_owned())));
        assert_eq!(reason("REASON_TASK_CHECK_STATUS_UPDATED", true), None);
        let other = "REASON_RECONCILIATION";
        assert_eq!(reason(other, true), Some(other.to_owned()));
    }

    #[test]
    fn the_times_of_a_life_are_kept() {
        let status =
            after(&[TaskState::Starting, TaskState::Running, TaskState::Unreachable]).status.unwrap();
        assert_eq!(status.started_at, Some(Time(time(2))));
        assert_eq!(status.unreachable_since, Some(micro_time(time(3))));
        let states = [TaskState::Running, TaskState::Unreachable, TaskState::Unreachable, TaskState::Failed];
        let status = after(&states).status.unwrap();
        assert_eq!((status.finished_at, status.unreachable_since), (Some(Time(time(4))), None));
        assert_eq!((status.host.as_deref(), status.ports.as_slice()), (Some("node-1"), &[31_000][..]));
    }

    #[test]
    fn a_task_with_readiness_checks_is_ready_when_they_say_so_and_while_it_runs() {
        let template = Template { readiness_checks: vec![ReadinessCheck::default()], ..Template::default() };
        let mut task = bound();
        let mut ready_after = |update: Update| {
            task.status = merge(&task, &template, update).or(task.status.clone());
            task.status.as_ref().is_some_and(|it| it.ready)
        };
        let running = Update::of(TaskState::Running, time(1));
        assert!(!ready_after(running.clone()));
        assert!(ready_after(Update { ready: Some(true), ..running.clone() }));
        assert!(ready_after(Update { healthy: Some(false), ..running }));
        assert!(!ready_after(Update::of(TaskState::Killing, time(2))));
        assert!(after(&[TaskState::Running]).status.unwrap().ready, "without checks it is ready at once");
    }

    #[test]
    fn every_state_has_the_name_that_mesos_gives_it() {
        for state in TaskState::ALL {
            assert_eq!(TaskState::named(state.name()), Some(state));
        }
        assert_eq!(TaskState::named("TASK_DREAMING"), None);
    }
}
