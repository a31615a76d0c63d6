//! Launches that the cluster failed before anything of the App ran: its executor could not be fetched, or ended.
//!
//! They are no fault of the App and cost it nothing: what they ended is started again at once, which is right where a leader has changed and
//! the file is fetched from another one. What fails so again is started after a pause, as long as all this has lasted, within bounds.

use std::time::Duration;

use jiff::Timestamp;

use super::instance::Instance;
use crate::api::{Phase, Template};
use crate::plan::after;

/// The bounds of the pause.
const PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// What was launched within this time after a failure was launched in place of what had failed.
const SOON: Duration = Duration::from_secs(90);

/// Launches that go on failing by the cluster's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LaunchFaults {
    /// When the next start is allowed.
    pub(super) until: Timestamp,
    /// What was said of the last.
    pub(super) said: String,
}

/// Whether the cluster is to blame for the end of an instance of this template.
pub(super) fn is_one(instance: &Instance<'_>, template: &Template) -> bool {
    let Some(status) = &instance.task.status else { return false };
    if instance.phase != Phase::Failed || instance.started.is_some() {
        return false;
    }
    let reason = status.reason.as_deref().unwrap_or_default();
    match reason.strip_prefix("REASON_").unwrap_or(reason) {
        "EXECUTOR_TERMINATED" => true,
        // Mesos does not say which file: it can only be ours where the App names none.
        "CONTAINER_LAUNCH_FAILED" if template.fetch.is_empty() => {
            status.message.as_deref().is_some_and(|said| said.contains("Failed to fetch"))
        }
        _ => false,
    }
}

impl LaunchFaults {
    /// Those of `faults` that followed one another; nothing where none was the retry of another.
    pub(super) fn of<'a>(faults: impl Iterator<Item = &'a Instance<'a>>) -> Option<Self> {
        let times = |it: &'a Instance<'a>| {
            let ended = it.task.status.as_ref()?.finished_at.as_ref()?.0;
            Some((ended, it.task.spec.binding.as_ref()?.bound_at.0, it.task))
        };
        let mut faults: Vec<_> = faults.filter_map(times).collect();
        faults.sort_by_key(|(ended, ..)| *ended);
        let (last, mut bound, task) = *faults.last()?;
        let mut first = None;
        for (ended, launched, _) in faults.iter().rev() {
            if *ended <= bound && bound <= after(*ended, SOON) {
                (first, bound) = (Some(*ended), *launched);
            }
        }
        let lasted = Duration::try_from(last.duration_since(first?)).unwrap_or_default();
        let said = task.status.as_ref().and_then(|it| it.message.clone()).unwrap_or_default();
        Some(Self { until: after(last, lasted.clamp(PAUSE.0, PAUSE.1)), said })
    }
}
