//! Which Tasks are given up: unhealthy, overdue, cut off for too long.
//!
//! The executor counts failed checks and reports `healthy: false` once `maxConsecutiveFailures` of them came in a row;
//! that report is the verdict. It replaces the Task, unless all its checks only show (`maxConsecutiveFailures: 0`).
//! A cut-off Task is replaced by deployment after `unreachable.inactiveAfter`; here it is forgotten after
//! `unreachable.expungeAfter`. One that comes back after that runs without an owner and is killed as an orphan.
//! A launch of which nothing is heard may be one whose files or image are still being fetched: agents report nothing before, and only their
//! master knows of it. So it is asked before a launch is given up for silence, and that it knows the task is a sign of life.

use std::time::Duration;

use jiff::Timestamp;

use super::{Again, after, micro_time};
use crate::api::{Phase, Stop, Task, Template, Unreachable};

/// The reason of a stop for failed health checks.
pub(super) const UNHEALTHY: &str = "Unhealthy";
/// The reason of a stop for a launch that took too long.
const LAUNCH_TIMED_OUT: &str = "LaunchTimedOut";

/// How long a launch may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the binding to the first report; then the cluster is asked.
    pub confirm: Duration,
    /// From the binding to running: fetching files, pulling the image, creating and starting the container.
    pub start: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { confirm: Duration::from_secs(300), start: Duration::from_secs(3600) }
    }
}

/// How long the cluster has to answer what it is asked about a launch. What it does not know any more it says at once; but a new master says
/// nothing of an agent that it waits for, for ten minutes, and then that it cannot be reached.
const ANSWER: Duration = Duration::from_secs(660);
/// How soon it is asked again.
const ASKED_AGAIN: Duration = Duration::from_secs(30);

/// What is to be done about one Task.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing; look again then.
    Fine(Again),
    /// Nothing was heard of its launch: ask the cluster, again if it was asked, and look again then.
    Ask(Timestamp),
    /// Stop it, as deployment would.
    Stop(Stop),
    /// The cluster will not tell its end any more: record the stop (it may be recorded already), remove the finalizer.
    Forget(Stop),
}

/// Judges one Task of a Revision with this template and an App with this policy; about its launch, if it is silent, the cluster was
/// asked at `asked` first, and has been able to answer ever since.
#[must_use]
pub fn judge(
    task: &Task,
    template: &Template,
    policy: &Unreachable,
    limits: &Limits,
    asked: Option<Timestamp>,
    now: Timestamp,
) -> Verdict {
    let phase = task.phase();
    if phase.is_terminal() {
        return Verdict::Fine(Again::OnChange);
    }
    if let Some(since) = cut_off_since(task) {
        return judge_cut_off(task, after(since, policy.expunge_after.duration()), now);
    }
    if task.spec.stop.is_some() || task.metadata.deletion_timestamp.is_some() {
        return Verdict::Fine(Again::OnChange);
    }
    match phase {
        Phase::Bound => judge_silence(task, limits.confirm, asked, now),
        Phase::Launching => judge_launch(task, limits.start, now),
        Phase::Running if is_unhealthy(task, template) && !planted!("unhealthy-is-kept") => {
            let said = task.status.as_ref().and_then(|it| it.message.as_deref()).unwrap_or_default();
            let detail = if said.is_empty() { String::new() } else { format!(": {said}") };
            Verdict::Stop(stop(UNHEALTHY, format!("it failed its health checks{detail}"), now))
        }
        _ => Verdict::Fine(Again::OnChange),
    }
}

fn judge_cut_off(task: &Task, expunge_at: Timestamp, now: Timestamp) -> Verdict {
    if now < expunge_at || planted!("never-expunged") {
        return Verdict::Fine(Again::At(expunge_at));
    }
    let message = "its agent has been cut off for too long".to_owned();
    Verdict::Forget(task.spec.stop.clone().unwrap_or_else(|| stop("Unreachable", message, now)))
}

fn is_in_time(overdue_at: Timestamp, now: Timestamp) -> bool {
    now < overdue_at || planted!("launch-is-never-overdue")
}

fn judge_silence(task: &Task, limit: Duration, asked: Option<Timestamp>, now: Timestamp) -> Verdict {
    let Some(binding) = &task.spec.binding else { return Verdict::Fine(Again::OnChange) };
    let overdue_at = after(binding.bound_at.0, limit);
    if is_in_time(overdue_at, now) {
        return Verdict::Fine(Again::At(overdue_at));
    }
    let answered_by = asked.map(|at| after(at, ANSWER));
    if answered_by.is_none_or(|at| now < at) {
        let again = after(now, ASKED_AGAIN);
        return Verdict::Ask(answered_by.map_or(again, |at| at.min(again)));
    }
    let message = format!(
        "the cluster has not confirmed the launch {} s after an agent was chosen, nor in {} s in which it was asked",
        limit.as_secs(),
        ANSWER.as_secs()
    );
    Verdict::Stop(stop(LAUNCH_TIMED_OUT, message, now))
}

fn judge_launch(task: &Task, limit: Duration, now: Timestamp) -> Verdict {
    let Some(binding) = &task.spec.binding else { return Verdict::Fine(Again::OnChange) };
    let overdue_at = after(binding.bound_at.0, limit);
    if is_in_time(overdue_at, now) {
        return Verdict::Fine(Again::At(overdue_at));
    }
    let message = format!("it is still starting {} s after an agent was chosen", limit.as_secs());
    Verdict::Stop(stop(LAUNCH_TIMED_OUT, message, now))
}

fn cut_off_since(task: &Task) -> Option<Timestamp> {
    let status = task.status.as_ref().filter(|it| !it.reachable)?;
    status.unreachable_since.as_ref().map(|it| it.0)
}

fn is_unhealthy(task: &Task, template: &Template) -> bool {
    let verdict = task.status.as_ref().and_then(|it| it.healthy);
    verdict == Some(false) && template.health_checks.iter().any(|it| it.max_consecutive_failures > 0)
}

fn stop(reason: &str, message: String, now: Timestamp) -> Stop {
    Stop { reason: reason.into(), message, at: micro_time(now) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Binding, HealthCheck, Resources, Span, TaskSpec, TaskStatus};

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A Task bound at second 0, in this phase.
    fn task(phase: Phase) -> Task {
        let binding = Binding {
            agent_id: "agent-1".into(),
            host: "node-1".into(),
            offer_id: "offer-1".into(),
            resources: Resources::default(),
            revocable: Vec::new(),
            ports: Vec::new(),
            bound_at: micro_time(time(0)),
            mesos_task_id: "shop.web-1.0a1b2c3d".into(),
            executor_id: None,
        };
        let spec = TaskSpec { binding: (phase != Phase::Pending).then_some(binding), ..TaskSpec::default() };
        let status = TaskStatus { phase, ..TaskStatus::default() };
        Task { status: Some(status), ..Task::new("web-1", spec) }
    }

    fn with(mut task: Task, change: impl FnOnce(&mut TaskStatus)) -> Task {
        change(task.status.as_mut().unwrap());
        task
    }

    fn cut_off(phase: Phase) -> Task {
        with(task(phase), |it| {
            it.reachable = false;
            it.unreachable_since = Some(micro_time(time(0)));
        })
    }

    fn stopped(mut task: Task) -> Task {
        task.spec.stop = Some(stop("ScaledDown", "the app wants 1 instances".into(), time(0)));
        task
    }

    /// The verdict in a word, at this second, for a template with these `maxConsecutiveFailures`.
    fn verdict(task: &Task, checks: &[u32], second: i64) -> String {
        verdict_asked(task, checks, None, second)
    }

    fn verdict_asked(task: &Task, checks: &[u32], asked: Option<i64>, second: i64) -> String {
        let check = |it: &u32| HealthCheck { max_consecutive_failures: *it, ..HealthCheck::default() };
        let template = Template { health_checks: checks.iter().map(check).collect(), ..Template::default() };
        let policy = Unreachable { inactive_after: Span::from_secs(0), expunge_after: Span::from_secs(600) };
        match judge(task, &template, &policy, &Limits::default(), asked.map(time), time(second)) {
            Verdict::Fine(Again::OnChange) => "fine".into(),
            Verdict::Ask(at) => format!("ask until {}", at.as_second()),
            Verdict::Fine(Again::At(at)) => format!("fine until {}", at.as_second()),
            Verdict::Stop(stop) => format!("stop: {}", stop.reason),
            Verdict::Forget(stop) => format!("forget: {}", stop.reason),
        }
    }

    #[test]
    fn each_task_gets_its_verdict() {
        let unhealthy = with(task(Phase::Running), |it| it.healthy = Some(false));
        let rows: [(&str, &Task, &[u32], i64, &str); 16] = [
            ("waits for an offer", &task(Phase::Pending), &[], 9999, "fine"),
            ("just bound", &task(Phase::Bound), &[], 299, "fine until 300"),
            ("not confirmed", &task(Phase::Bound), &[], 300, "ask until 330"),
            ("pulls its image", &task(Phase::Launching), &[], 300, "fine until 3600"),
            ("never starts", &task(Phase::Launching), &[], 3600, "stop: LaunchTimedOut"),
            ("runs", &task(Phase::Running), &[3], 9999, "fine"),
            ("unhealthy", &unhealthy, &[3], 5, "stop: Unhealthy"),
            ("unhealthy, only shown", &unhealthy, &[0], 5, "fine"),
            ("unhealthy, one of two checks counts", &unhealthy, &[0, 3], 5, "stop: Unhealthy"),
            ("unhealthy without checks", &unhealthy, &[], 5, "fine"),
            ("unhealthy and stopping", &stopped(unhealthy.clone()), &[3], 5, "fine"),
            ("cut off", &cut_off(Phase::Running), &[], 599, "fine until 600"),
            ("cut off for too long", &cut_off(Phase::Running), &[], 600, "forget: Unreachable"),
            ("cut off while stopping", &stopped(cut_off(Phase::Running)), &[], 600, "forget: ScaledDown"),
            ("cut off while starting", &cut_off(Phase::Launching), &[], 599, "fine until 600"),
            ("ended", &task(Phase::Lost), &[3], 9999, "fine"),
        ];
        for (name, task, checks, second, expected) in rows {
            assert_eq!(verdict(task, checks, second), expected, "{name}");
        }
    }

    #[test]
    fn a_silent_launch_is_given_up_when_the_cluster_did_not_answer_for_as_long_as_it_waits_for_agents() {
        let of = |asked, second| verdict_asked(&task(Phase::Bound), &[], asked, second);
        assert_eq!(of(None, 9999), "ask until 10029", "while nobody can be asked");
        assert_eq!(of(Some(400), 430), "ask until 460");
        assert_eq!(of(Some(400), 1059), "ask until 1060");
        assert_eq!(of(Some(400), 1060), "stop: LaunchTimedOut");
    }

    #[test]
    fn an_unhealthy_task_is_told_what_its_check_found() {
        let said = "GET http://10.0.0.1:31000/health answered 500";
        let task = with(task(Phase::Running), |it| {
            it.healthy = Some(false);
            it.message = Some(said.into());
        });
        let template = Template { health_checks: vec![HealthCheck::default()], ..Template::default() };
        let verdict = judge(&task, &template, &Unreachable::default(), &Limits::default(), None, time(5));
        let Verdict::Stop(stop) = verdict else { panic!("{verdict:?}") };
        assert_eq!(stop.message, format!("it failed its health checks: {said}"));
    }
}
