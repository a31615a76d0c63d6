//! The App's status: what is observed, and conditions that people and GitOps tools read.
//!
//! - `Ready`: all wanted instances are of the current Revision and ready, and nothing else is left.
//! - `Available`: at least `minimumHealthCapacity` of them serve, whatever their Revision.
//! - `Progressing`: something is under way and may go on.
//! - `Degraded`: instances fail, are unhealthy, or are cut off. Failures that are over, all wanted instances being ready
//!   again, do not count; in a crash loop an instance that has just started is no sign of that.
//! - `Reconciling`, `Stalled`: as kstatus reads them. Stalled is an App whose instances failed five times in a row.
//!
//! Other writers' conditions (`Waiting`, of placement) are kept as they are. A condition's time moves only when its
//! status does, so a status that says the same is equal and is not written.

use super::instance::{self, Instance};
use super::revision::Current;
use super::rollout::Steps;
use super::{Bounds, Failures, Snapshot};
use crate::api::{AppStatus, Condition, Phase, Time};
use jiff::Timestamp;

/// Failures in a row after which an App no longer counts as coming up.
const STALLED_AFTER: u32 = 5;

const OURS: [&str; 6] = ["Ready", "Available", "Progressing", "Degraded", "Reconciling", "Stalled"];

/// The status of an App that lives. `launched` is as before.
pub(super) fn status(
    snapshot: &Snapshot<'_>,
    current: &Current,
    instances: &[Instance<'_>],
    failures: &Failures<'_>,
    steps: &Steps,
) -> AppStatus {
    let counted = counts(snapshot, instances);
    let facts = Facts::of(snapshot, instances, &counted, failures, steps);
    AppStatus {
        revision: Some(current.name.clone()),
        rolled_out: rolled_out(snapshot, current, &facts),
        backoff: failures.backoff.clone(),
        launch_faults: failures.of_launch.clone(),
        conditions: conditions(snapshot, facts.verdicts()),
        ..counted
    }
}

/// The status of an App that is being deleted.
pub(super) fn removal(snapshot: &Snapshot<'_>, instances: &[Instance<'_>]) -> AppStatus {
    let left = instances.iter().filter(|it| !it.task.is_terminal()).count();
    let message = format!("the app was deleted; {left} of its tasks are left");
    let verdicts = OURS.map(|type_| {
        let holds = matches!(type_, "Progressing" | "Reconciling");
        Verdict { type_, holds, reason: "Deleting", message: message.clone() }
    });
    let before = snapshot.app.status.clone().unwrap_or_default();
    AppStatus {
        revision: before.revision,
        rolled_out: before.rolled_out,
        backoff: before.backoff,
        conditions: conditions(snapshot, verdicts),
        ..counts(snapshot, instances)
    }
}

/// The current Revision, if it is or was rolled out since it became the current one.
fn rolled_out(snapshot: &Snapshot<'_>, current: &Current, facts: &Facts) -> Option<String> {
    let is_current = |name: &Option<String>| name.as_ref() == Some(&current.name);
    let before = snapshot.app.status.as_ref();
    let was = before.is_some_and(|it| is_current(&it.revision) && is_current(&it.rolled_out));
    (was || facts.complete).then(|| current.name.clone())
}

fn counts(snapshot: &Snapshot<'_>, instances: &[Instance<'_>]) -> AppStatus {
    let count = |pick: &dyn Fn(&Instance<'_>) -> bool| {
        let counted = instances.iter().filter(|it| it.standing.is_kept() && pick(it)).count();
        u32::try_from(counted).unwrap_or(u32::MAX)
    };
    AppStatus {
        instances: count(&|_| true),
        running: count(&|it| it.phase == Phase::Running && it.reachable),
        healthy: count(&|it| it.healthy),
        ready: count(&|it| it.ready),
        updated: count(&|it| it.is_updated()),
        waiting: count(&|it| it.phase == Phase::Pending),
        launched: snapshot.app.status.as_ref().map_or(0, |it| it.launched),
        observed_generation: snapshot.app.metadata.generation,
        ..AppStatus::default()
    }
}

/// What the conditions follow from.
struct Facts {
    wanted: usize,
    minimum: usize,
    ready: usize,
    updated_ready: usize,
    old: usize,
    /// Of these, instances of the current Revision whose machine is about to be taken away.
    moved: usize,
    stopping: usize,
    waiting: usize,
    /// Instances that run and are known to be unhealthy.
    unhealthy: usize,
    cut_off: usize,
    failures: u32,
    /// What was said of launches that go on failing by the cluster's fault.
    launches_fail: Option<String>,
    /// All is as wanted, and not only for the moment between two failures.
    recovered: bool,
    /// Why nothing may start.
    blocked: Option<(&'static str, String)>,
    complete: bool,
}

impl Facts {
    fn of(
        snapshot: &Snapshot<'_>,
        instances: &[Instance<'_>],
        counts: &AppStatus,
        failures: &Failures<'_>,
        steps: &Steps,
    ) -> Self {
        let bounds = Bounds::of(&snapshot.app.spec);
        let count = |pick: &dyn Fn(&Instance<'_>) -> bool| instances.iter().filter(|it| pick(it)).count();
        let updated_ready = count(&|it| it.is_updated() && it.ready);
        let old = count(&|it| it.is_old());
        let moved = count(&|it| it.is_old() && instance::is_moved(snapshot, it.task));
        let stopping = count(&|it| it.standing.is_stopping());
        let kept = count(&|it| it.standing.is_kept());
        let verdict = |it: &Instance<'_>| it.task.status.as_ref().and_then(|status| status.healthy);
        let again_and_again = failures.of_launch.as_ref().filter(|it| it.since.0 < it.until.0);
        let complete = updated_ready == bounds.wanted && kept == bounds.wanted && stopping == 0;
        Self {
            wanted: bounds.wanted,
            minimum: bounds.minimum,
            ready: usize::try_from(counts.ready).unwrap_or(usize::MAX),
            updated_ready,
            old,
            moved,
            stopping,
            waiting: usize::try_from(counts.waiting).unwrap_or(usize::MAX),
            unhealthy: count(&|it| it.standing.is_kept() && verdict(it) == Some(false)),
            cut_off: count(&|it| !it.reachable && (it.standing.is_kept() || it.standing.is_given_up())),
            failures: failures.backoff.as_ref().map_or(0, |it| it.failures),
            // One that failed once is started again without a word.
            launches_fail: again_and_again.map(|it| it.message.clone()),
            blocked: steps.blocked.clone(),
            recovered: updated_ready >= bounds.wanted && !failures.is_unsettled,
            complete,
        }
    }

    fn verdicts(&self) -> [Verdict; 6] {
        let stalled = self.failures >= STALLED_AFTER && !self.recovered;
        let (reason, message) = self.course();
        let progressing = !self.complete && self.blocked.is_none();
        let enough = self.ready >= self.minimum;
        let availability = format!("{} instances are ready, at least {} must be", self.ready, self.minimum);
        let (degraded, why, what) = self.degraded();
        let crash = self.failed();
        let (stall, stall_text) =
            if stalled { ("CrashLooping", crash) } else { ("NotStalled", String::new()) };
        [
            Verdict { type_: "Ready", holds: self.complete, reason, message: message.clone() },
            Verdict {
                type_: "Available",
                holds: enough,
                reason: if enough { "EnoughReady" } else { "TooFewReady" },
                message: availability,
            },
            Verdict { type_: "Progressing", holds: progressing, reason, message: message.clone() },
            Verdict { type_: "Degraded", holds: degraded, reason: why, message: what },
            Verdict { type_: "Reconciling", holds: !self.complete && !stalled, reason, message },
            Verdict { type_: "Stalled", holds: stalled, reason: stall, message: stall_text },
        ]
    }

    /// Where the App stands between its present and its wanted state.
    fn course(&self) -> (&'static str, String) {
        let Self { wanted, updated_ready, old, moved, stopping, .. } = self;
        let ready = format!("{updated_ready} of {wanted} instances are ready");
        match &self.blocked {
            _ if self.complete => ("AllReady", ready),
            Some((reason, text)) => (reason, format!("{ready}; {text}")),
            None if *old > 0 && old == moved => {
                ("Moving", format!("{ready}, {old} leave machines that are about to be taken away"))
            }
            None if *old > 0 => {
                ("RollingOut", format!("{ready} in the new revision, {old} old ones are left"))
            }
            None if self.waiting > 0 => {
                ("WaitingForOffers", format!("{ready}, {} wait for an offer", self.waiting))
            }
            None if updated_ready < wanted => ("Starting", ready),
            None => ("Stopping", format!("{ready}, {stopping} are stopping")),
        }
    }

    fn failed(&self) -> String {
        match self.failures {
            1 => "an instance failed".to_owned(),
            failures => format!("instances failed {failures} times in a row"),
        }
    }

    fn degraded(&self) -> (bool, &'static str, String) {
        if self.failures > 0 && !self.recovered {
            (true, "Failing", self.failed())
        } else if let Some(said) = self.launches_fail.as_ref().filter(|_| !self.recovered) {
            (true, "LaunchFailing", format!("launches fail by no fault of the app: {said}"))
        } else if self.unhealthy > 0 {
            (true, "Unhealthy", format!("{} instances fail their health checks", self.unhealthy))
        } else if self.cut_off > 0 {
            (true, "Unreachable", format!("{} instances are on agents that are cut off", self.cut_off))
        } else {
            (false, "NoneFailing", String::new())
        }
    }
}

/// One condition before it is compared with what stands.
struct Verdict {
    type_: &'static str,
    holds: bool,
    reason: &'static str,
    message: String,
}

fn conditions(snapshot: &Snapshot<'_>, verdicts: [Verdict; 6]) -> Vec<Condition> {
    let before = snapshot.app.status.as_ref().map_or(&[][..], |it| &it.conditions);
    let others = before.iter().filter(|it| !OURS.contains(&it.type_.as_str())).cloned();
    // Whole seconds, as conditions are stored.
    let now = Timestamp::from_second(snapshot.now.as_second()).unwrap_or(snapshot.now);
    let ours = verdicts.into_iter().map(|verdict| {
        let status = if verdict.holds { "True" } else { "False" };
        let same = before.iter().find(|it| it.type_ == verdict.type_ && it.status == status);
        Condition {
            type_: verdict.type_.into(),
            status: status.into(),
            reason: verdict.reason.into(),
            message: verdict.message,
            observed_generation: snapshot.app.metadata.generation,
            last_transition_time: same.map_or(Time(now), |it| it.last_transition_time.clone()),
        }
    });
    ours.chain(others).collect()
}
