//! Which Tasks are told to end now, and which are gone.
//!
//! A Task that was stopped is told to end (KILL) until the cluster reports its end: again after 30 s, or 10 s after its
//! grace period if that is later, and only so many at a time. It is not told before it has left Endpoints, so no
//! request is sent to what is about to end, nor while its agent is cut off. One that was never bound is gone at once.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::{Again, ObjectName, after};
use crate::api::Task;

/// A Task with `spec.stop` or a deletion timestamp.
#[derive(Clone, Copy, Debug)]
pub struct Dying<'a> {
    /// The Task.
    pub task: &'a Task,
    /// The time between SIGTERM and SIGKILL, of its template.
    pub grace: Duration,
    /// Whether an Endpoints object still names it.
    pub published: bool,
    /// When this process last told it to end.
    pub last_kill: Option<Timestamp>,
}

/// What a plan may look at.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// The present.
    pub now: Timestamp,
    /// All that are dying.
    pub dying: &'a [Dying<'a>],
    /// How many may have been told and not have ended.
    pub max_in_flight: usize,
}

/// One KILL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// The Task.
    pub task: ObjectName,
    /// The id that Mesos knows it by.
    pub mesos_task_id: String,
    /// Where it is.
    pub agent_id: String,
    /// The time between SIGTERM and SIGKILL.
    pub grace: Duration,
}

/// What to do about Tasks that are dying.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a plan that nobody carries out changes nothing"]
pub struct Plan {
    /// Tell these to end: the first time before repeats, the longest stopped first.
    pub kills: Vec<Kill>,
    /// These are gone: remove the finalizer.
    pub releases: Vec<ObjectName>,
    /// Why others are not told.
    pub reasons: Vec<Reason>,
    /// When to look again.
    pub again: Again,
}

/// Why Tasks are not told to end now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Endpoints still name it.
    Published(ObjectName),
    /// Its agent is cut off.
    Unreachable(ObjectName),
    /// So many were told and have not ended.
    TooMany {
        /// How many wait for their turn.
        waiting: usize,
        /// The most allowed.
        limit: usize,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Published(task) => write!(formatter, "task {task} has not left its endpoints yet"),
            Self::Unreachable(task) => write!(formatter, "the agent of task {task} is cut off"),
            Self::TooMany { waiting, limit } => {
                write!(formatter, "{waiting} tasks wait until some of {limit} have ended")
            }
        }
    }
}

/// The time after which a Task that has not ended is told again.
#[must_use]
pub fn retry_after(grace: Duration) -> Duration {
    Duration::from_secs(30).max(grace.saturating_add(Duration::from_secs(10)))
}

/// What to do now.
pub fn plan(snapshot: &Snapshot<'_>) -> Plan {
    let mut plan =
        Plan { kills: Vec::new(), releases: Vec::new(), reasons: Vec::new(), again: Again::OnChange };
    let mut due = Vec::new();
    let mut in_flight = 0;
    for dying in snapshot.dying {
        let name = ObjectName::of(&dying.task.metadata);
        let retry_at = dying.last_kill.map(|at| after(at, retry_after(dying.grace)));
        if (dying.task.is_terminal() && !planted!("ended-is-told-to-end"))
            || dying.task.spec.binding.is_none()
            || (dying.last_kill.is_some() && planted!("released-before-its-end"))
        {
            plan.releases.push(name);
        } else if dying.published && !planted!("ended-while-published") {
            plan.reasons.push(Reason::Published(name));
        } else if dying.task.status.as_ref().is_some_and(|it| !it.reachable) {
            plan.reasons.push(Reason::Unreachable(name));
        } else if let Some(at) = retry_at.filter(|at| *at > snapshot.now || planted!("kill-is-not-repeated"))
        {
            in_flight += 1;
            plan.again = plan.again.sooner(Again::At(at));
        } else {
            due.push((dying.last_kill, dying.task.spec.stop.as_ref().map(|it| &it.at), name, dying));
        }
    }
    due.sort_by(|a, b| (a.0, a.1, &a.2).cmp(&(b.0, b.1, &b.2)));
    let room = snapshot.max_in_flight.saturating_sub(in_flight);
    if due.len() > room {
        plan.reasons.push(Reason::TooMany { waiting: due.len() - room, limit: snapshot.max_in_flight });
    }
    for (_, _, name, dying) in due.into_iter().take(room) {
        plan.again = plan.again.sooner(Again::At(after(snapshot.now, retry_after(dying.grace))));
        plan.kills.extend(kill(name, dying));
    }
    plan.releases.sort();
    plan
}

fn kill(task: ObjectName, dying: &Dying<'_>) -> Option<Kill> {
    let binding = dying.task.spec.binding.as_ref()?;
    Some(Kill {
        task,
        mesos_task_id: binding.mesos_task_id.clone(),
        agent_id: binding.agent_id.clone(),
        grace: dying.grace,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Binding, Phase, Resources, Stop, TaskSpec, TaskStatus};
    use crate::plan::micro_time;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn task(name: &str, phase: Phase, stopped_at: i64) -> Task {
        let binding = Binding {
            agent_id: "agent-1".into(),
            host: "node-1".into(),
            offer_id: "offer-1".into(),
            resources: Resources::default(),
            revocable: Vec::new(),
            ports: Vec::new(),
            bound_at: micro_time(time(0)),
            mesos_task_id: format!("shop.{name}.0a1b2c3d"),
            executor_id: None,
        };
        let stop =
            Stop { reason: "ScaledDown".into(), message: String::new(), at: micro_time(time(stopped_at)) };
        let spec = TaskSpec {
            binding: (phase != Phase::Pending).then_some(binding),
            stop: Some(stop),
            ..TaskSpec::default()
        };
        let status = TaskStatus { phase, ..TaskStatus::default() };
        Task { status: Some(status), ..Task::new(name, spec) }
    }

    fn dying(task: &Task) -> Dying<'_> {
        Dying { task, grace: Duration::from_secs(3), published: false, last_kill: None }
    }

    /// Kills, releases and when to look again, at second 100 with at most `max_in_flight`; returns the reasons.
    fn check(
        dying: &[Dying<'_>],
        max_in_flight: usize,
        kills: &[&str],
        releases: &[&str],
        again: Again,
    ) -> Vec<Reason> {
        let plan = plan(&Snapshot { now: time(100), dying, max_in_flight });
        let names: Vec<_> = plan.kills.iter().map(|it| &*it.task.name).collect();
        assert_eq!(names, kills);
        assert_eq!(plan.releases.iter().map(|it| &*it.name).collect::<Vec<_>>(), releases);
        assert_eq!(plan.again, again);
        plan.reasons
    }

    #[test]
    fn a_running_task_is_told_once_and_again_when_it_has_not_ended() {
        let running = task("a", Phase::Running, 50);
        check(&[dying(&running)], 9, &["a"], &[], Again::At(time(130)));
        let told = |second| Dying { last_kill: Some(time(second)), ..dying(&running) };
        check(&[told(71)], 9, &[], &[], Again::At(time(101)));
        check(&[told(70)], 9, &["a"], &[], Again::At(time(130)));
        let patient = Dying { grace: Duration::from_secs(60), ..told(70) };
        check(&[patient], 9, &[], &[], Again::At(time(140)));
    }

    #[test]
    fn what_is_gone_or_never_was_is_released() {
        let (ended, unbound) = (task("b", Phase::Finished, 50), task("a", Phase::Pending, 50));
        check(&[dying(&ended), dying(&unbound)], 9, &[], &["a", "b"], Again::OnChange);
    }

    #[test]
    fn nothing_is_told_before_it_has_left_endpoints_or_while_it_is_cut_off() {
        let mut cut_off = task("a", Phase::Running, 50);
        cut_off.status.as_mut().unwrap().reachable = false;
        let running = task("b", Phase::Running, 50);
        let published = Dying { published: true, ..dying(&running) };
        let reasons = check(&[dying(&cut_off), published], 9, &[], &[], Again::OnChange);
        let told: Vec<_> = reasons.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["the agent of task /a is cut off", "task /b has not left its endpoints yet"]);
    }

    #[test]
    fn only_so_many_are_in_flight_and_the_longest_stopped_goes_first() {
        let tasks = [
            task("late", Phase::Running, 60),
            task("early", Phase::Running, 50),
            task("told", Phase::Running, 40),
            task("retried", Phase::Running, 30),
        ];
        let mut all: Vec<_> = tasks.iter().map(dying).collect();
        all[2].last_kill = Some(time(90));
        all[3].last_kill = Some(time(60));
        let reasons = check(&all, 3, &["early", "late"], &[], Again::At(time(120)));
        assert_eq!(reasons, [Reason::TooMany { waiting: 1, limit: 3 }]);
    }
}
