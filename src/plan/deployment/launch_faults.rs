//! Launches that the cluster failed before anything of the App ran: its executor was not fetched, did not register, or ended.
//!
//! They are no fault of the App and cost it nothing: what they ended is started again at once, which is right where a leader has changed and
//! the file is fetched from another one. What fails so again is started after a pause, as long as all this has lasted, within bounds.
//!
//! As with the backoff the row lives in the App's status and goes by our clock: history keeps few ended Tasks, and when they ended their
//! agents tell. An end counts in the transaction that records it, together with all that were bound before the pause was over. The row ends once
//! something that was bound later runs; when nothing failed for a while after the pause and nothing is on its way; and with a new
//! Revision.

use std::time::Duration;

use jiff::Timestamp;

use super::Snapshot;
use super::instance::{Instance, Standing};
use crate::api::{LaunchFaultsStatus, Phase, Template};
use crate::plan::{Again, after, micro_time};

/// The bounds of the pause.
const PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// What is not bound within this time after the pause is no retry any more.
const SOON: Duration = Duration::from_secs(90);

/// Whether this reason of Mesos's says that the executor of a task ended, or never told its agent that it is there.
#[must_use]
pub fn is_of_executor(reason: &str) -> bool {
    matches!(bare(reason), "EXECUTOR_TERMINATED" | "EXECUTOR_REGISTRATION_TIMEOUT")
}

fn bare(reason: &str) -> &str {
    reason.strip_prefix("REASON_").unwrap_or(reason)
}

/// Whether the cluster is to blame for the end of an instance of this template.
pub(super) fn is_one(instance: &Instance<'_>, template: &Template) -> bool {
    let Some(status) = &instance.task.status else { return false };
    if instance.phase != Phase::Failed || instance.started.is_some() {
        return false;
    }
    let reason = status.reason.as_deref().unwrap_or_default();
    // Mesos does not say what was fetched: it can only be ours where the App names no file and leaves its image to our
    // executor, which registers before it pulls.
    let names_no_file = template.fetch.is_empty();
    let is_ours = template.container.as_ref().is_none_or(|it| it.containerizer.is_none());
    match bare(reason) {
        "EXECUTOR_REGISTRATION_TIMEOUT" => names_no_file && is_ours,
        "CONTAINER_LAUNCH_FAILED" if names_no_file => {
            status.message.as_deref().is_some_and(|said| said.contains("Failed to fetch"))
        }
        _ => is_of_executor(reason),
    }
}

/// The row with the ends that were not counted yet, and when it will be over if nothing happens.
pub(super) fn count(
    snapshot: &Snapshot<'_>,
    instances: &[Instance<'_>],
    current: &str,
) -> (Option<LaunchFaultsStatus>, Again) {
    let (now, template) = (snapshot.now, &snapshot.app.spec.template);
    let known = snapshot.app.status.as_ref().and_then(|it| it.launch_faults.clone());
    let known = known.filter(|it| it.revision == current).map(|it| bounded(it, now));
    // Nothing is launched during a pause: what was bound before its end was launched before the last failure.
    let later: Vec<_> = instances
        .iter()
        .filter(|it| it.task.spec.revision == current)
        .filter(|it| bound_at(it).is_some_and(|at| known.as_ref().is_none_or(|known| known.until.0 <= at)))
        .collect();
    let is_new = |it: &Instance<'_>| it.standing == Standing::Ended && it.task.spec.stop.is_none();
    if let Some(failed) = later.iter().rfind(|it| is_new(it) && is_one(it, template)) {
        let since = known.as_ref().map_or(now, |it| it.since.0);
        let lasted = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        let until = if known.is_some() { after(now, lasted.clamp(PAUSE.0, PAUSE.1)) } else { now };
        let message = failed.task.status.as_ref().and_then(|it| it.message.clone()).unwrap_or_default();
        let (since, until) = (micro_time(since), micro_time(until));
        let faults = LaunchFaultsStatus { revision: current.into(), since, until, message };
        return (Some(faults), Again::OnChange);
    }
    // One that was bound later than now was bound by a clock that is ahead, nobody knows when.
    let runs = later.iter().any(|it| it.started.is_some() && bound_at(it).is_some_and(|at| at <= now));
    let Some(known) = known.filter(|_| !runs) else { return (None, Again::OnChange) };
    let over_at = after(known.until.0, SOON);
    if now < over_at {
        return (Some(known), Again::At(over_at));
    }
    (later.iter().any(|it| waits_for_its_executor(it)).then_some(known), Again::OnChange)
}

/// What was recorded by a clock that is ahead is over no later than if it had happened now.
fn bounded(known: LaunchFaultsStatus, now: Timestamp) -> LaunchFaultsStatus {
    let until = micro_time(known.until.0.min(after(now, PAUSE.1)));
    LaunchFaultsStatus { since: micro_time(known.since.0.min(now)), until, ..known }
}

fn bound_at(instance: &Instance<'_>) -> Option<Timestamp> {
    instance.task.spec.binding.as_ref().map(|it| it.bound_at.0)
}

/// Whether it may still fail for want of an executor: nobody has said yet that he runs it.
fn waits_for_its_executor(instance: &Instance<'_>) -> bool {
    let state = instance.task.status.as_ref().and_then(|it| it.state.as_deref());
    instance.standing.is_kept() && state.is_none_or(|it| it == "TASK_STAGING")
}
