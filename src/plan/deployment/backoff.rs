//! The delay before an App whose instances fail starts another one.
//!
//! As in Marathon: a Task of the current Revision that ends without having been asked to (failed, exited, lost for a
//! reason of its own) delays the next start by `initial`, then each time by `factor` more, up to `max`; nothing of
//! the App starts before the delay is over. Ends that the cluster caused (an agent restarted, an offer was gone) cost
//! nothing, nor do stops that we decided. Launches that the cluster fails are `launch_faults`'. The count is forgotten when for
//! `max` after the delay nothing failed and nothing new ran, and with a new Revision.
//!
//! Four things differ. A Task that was stopped because it failed its health checks counts as one that failed, as in
//! Kubernetes: otherwise an App that is never healthy would be started as often as the cluster can. The count lives in
//! the App's status and so survives a failover. And instances that were launched before the last failure was counted
//! belong to the same wave and count once, so a hundred instances that fail together delay as long as one. And what runs on lent
//! resources and loses them as soon as it has them counts as failed: whoever wants them back would end it again at once, and again.
//!
//! An end is counted in the transaction that writes `spec.stop` on the ended Task, hence exactly once. An unhealthy Task
//! has its `spec.stop` already: once counted it is of the last wave, and when the count is forgotten it is too old. One whose stop
//! was recorded by a clock that is ahead is not counted before that time.

use std::time::Duration;

use super::instance::{Instance, Standing};
use super::launch_faults;
use super::{Action, Snapshot};
use crate::api::{Backoff, BackoffStatus, LaunchFaultsStatus, Phase, Stop, Template};
use crate::plan::{Again, after, health, micro_time};

/// How long an App that has failed more than once in a row must run before it is believed, and one that was preempted to have had a life.
const SETTLES_AFTER: Duration = Duration::from_secs(10);

/// The ends that were not counted yet, and the delay with them counted.
#[derive(Debug)]
pub(super) struct Failures<'a> {
    pub(super) backoff: Option<BackoffStatus>,
    /// Launches that go on failing by the cluster's fault.
    pub(super) of_launch: Option<LaunchFaultsStatus>,
    ends: Vec<&'a Instance<'a>>,
    /// Whether what runs now may be one of the short lives of a crash loop.
    pub(super) is_unsettled: bool,
    /// When the delay or the row of failed launches can be forgotten, or what runs has settled.
    pub(super) again: Again,
}

impl<'a> Failures<'a> {
    pub(super) fn count(snapshot: &Snapshot<'_>, instances: &'a [Instance<'a>], current: &str) -> Self {
        let rules = &snapshot.app.spec.backoff;
        let known = snapshot.app.status.as_ref().and_then(|it| it.backoff.clone());
        let known = known.filter(|it| it.revision == current).map(|it| bounded(it, rules, snapshot.now));
        let ends: Vec<_> = instances
            .iter()
            .filter(|it| it.standing == Standing::Ended && it.task.spec.stop.is_none())
            .collect();
        let template = &snapshot.app.spec.template;
        let mine = || instances.iter().filter(|it| it.task.spec.revision == current);
        let latest = mine().filter_map(|it| it.started).max();
        let forget_at = known
            .as_ref()
            .map(|it| after(latest.map_or(it.until.0, |at| at.max(it.until.0)), rules.max.duration()));
        let fresh = known.filter(|_| forget_at.is_none_or(|at| snapshot.now < at));
        let failed = mine().any(|it| {
            let failed = match &it.task.spec.stop {
                None => it.standing == Standing::Ended && is_own_fault(it, template, snapshot.now),
                Some(stop) => {
                    let too_old = after(stop.at.0, rules.max.duration());
                    is_unhealthy(stop) && stop.at.0 <= snapshot.now && snapshot.now < too_old
                }
            };
            failed && !is_of_last_wave(it, fresh.as_ref())
        });
        let forget = forget_at.filter(|_| fresh.is_some() && !failed).map_or(Again::OnChange, Again::At);
        let backoff = if failed { Some(next(fresh, rules, snapshot, current)) } else { fresh };
        let settles_at = latest.filter(|_| backoff.as_ref().is_some_and(|it| it.failures > 1));
        let settles_at = settles_at.map(|at| after(at, SETTLES_AFTER)).filter(|at| snapshot.now < *at);
        let (of_launch, over) = launch_faults::count(snapshot, instances, current);
        let again = settles_at.map_or(Again::OnChange, Again::At).sooner(forget).sooner(over);
        Self { backoff, of_launch, ends, is_unsettled: settles_at.is_some(), again }
    }

    /// One `RecordEnd` per end.
    pub(super) fn records(&self, now: jiff::Timestamp) -> impl Iterator<Item = Action> {
        self.ends.iter().map(move |it| Action::RecordEnd { name: it.name().into(), stop: end_of(it, now) })
    }
}

/// The delay after one more failure, counted from now.
fn next(
    before: Option<BackoffStatus>,
    rules: &Backoff,
    snapshot: &Snapshot<'_>,
    current: &str,
) -> BackoffStatus {
    let failures = before.map_or(0, |it| it.failures).saturating_add(1);
    let until = after(snapshot.now, delay(rules, failures));
    BackoffStatus { revision: current.into(), failures, until: micro_time(until) }
}

fn delay(rules: &Backoff, failures: u32) -> Duration {
    let initial = rules.initial.duration().as_secs_f64();
    let growth = rules.factor.max(1.0).powf(f64::from(failures.saturating_sub(1)));
    let unit = if planted!("delay-is-thousands-fold") { 5000.0 } else { 1.0 };
    Duration::from_secs_f64((initial * growth).min(rules.max.duration().as_secs_f64()) * unit)
}

/// A delay whose end is further away than it is long was recorded by a clock that was ahead: it begins anew by ours.
fn bounded(known: BackoffStatus, rules: &Backoff, now: jiff::Timestamp) -> BackoffStatus {
    let latest = micro_time(after(now, delay(rules, known.failures)));
    BackoffStatus { until: if latest.0 < known.until.0 { latest } else { known.until }, ..known }
}

/// Nothing is launched during a delay, so what was bound before its end was launched before the last failure. None was bound after
/// it was told to stop: a binding that says so was recorded by a clock that was ahead.
fn is_of_last_wave(instance: &Instance<'_>, backoff: Option<&BackoffStatus>) -> bool {
    let Some(backoff) = backoff else { return false };
    let stopped_at = instance.task.spec.stop.as_ref().map(|it| it.at.0);
    let stopped_at = stopped_at.filter(|_| !planted!("bound-ahead-is-of-no-wave"));
    let bound_at = instance.task.spec.binding.as_ref().map(|it| it.bound_at.0);
    bound_at.is_some_and(|at| stopped_at.map_or(at, |stopped| at.min(stopped)) < backoff.until.0)
}

/// Whether its health checks are the reason of this stop.
fn is_unhealthy(stop: &Stop) -> bool {
    stop.reason == health::UNHEALTHY
}

/// Whether the instance, not the cluster, is to blame for its end.
fn is_own_fault(instance: &Instance<'_>, template: &Template, now: jiff::Timestamp) -> bool {
    if launch_faults::is_one(instance, template) {
        return false;
    }
    let status = instance.task.status.as_ref();
    if status.and_then(|it| it.state.as_deref()) == Some("TASK_KILLED") {
        return false;
    }
    let reason = status.and_then(|it| it.reason.as_deref()).unwrap_or_default();
    match reason.strip_prefix("REASON_").unwrap_or(reason) {
        // By one clock, the agent's, where it has told both.
        PREEMPTED => {
            let ended = status.and_then(|it| it.finished_at.as_ref()).map_or(now, |at| at.0);
            instance.started.is_none_or(|at| ended < after(at, SETTLES_AFTER))
        }
        reason => !CLUSTER_REASONS.contains(&reason),
    }
}

/// Mesos's reasons for which a task is replaced at once and without penalty.
const CLUSTER_REASONS: [&str; 17] = [
    "AGENT_DISCONNECTED",
    "AGENT_DRAINING",
    "AGENT_REMOVED",
    "AGENT_REMOVED_BY_OPERATOR",
    "AGENT_REREGISTERED",
    "AGENT_RESTARTED",
    "AGENT_UNKNOWN",
    "EXECUTOR_REREGISTRATION_TIMEOUT",
    "FRAMEWORK_REMOVED",
    "INVALID_FRAMEWORKID",
    "INVALID_OFFERS",
    "MASTER_DISCONNECTED",
    "RECONCILIATION",
    "RESOURCES_UNKNOWN",
    "SLAVE_DISCONNECTED",
    "SLAVE_REMOVED",
    "TASK_KILLED_DURING_LAUNCH",
];

/// Mesos's reason when it takes back what it has lent. A task that had it for a while is replaced likewise.
const PREEMPTED: &str = "CONTAINER_PREEMPTED";

fn end_of(instance: &Instance<'_>, now: jiff::Timestamp) -> Stop {
    let status = instance.task.status.as_ref();
    let said = status.and_then(|it| it.message.clone()).unwrap_or_default();
    let (reason, otherwise) = match instance.phase {
        Phase::Failed => ("Failed", "the instance failed"),
        Phase::Lost => ("Lost", "the cluster lost the instance"),
        _ => ("Exited", "the instance ended by itself"),
    };
    let message = if said.is_empty() { otherwise.to_owned() } else { said };
    Stop { reason: reason.into(), message, at: micro_time(now) }
}
