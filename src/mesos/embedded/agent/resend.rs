//! When updates that are under way are sent again: after 10 s, then twice as long each time, to 10 minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::mesos::wire::TaskId;

/// The resend times of all updates that are under way, at most one per task.
#[derive(Debug)]
pub(super) struct Resends {
    min: Duration,
    max: Duration,
    plans: BTreeMap<TaskId, (Instant, Duration)>,
    /// The same by time.
    due: BTreeSet<(Instant, TaskId)>,
}

impl Resends {
    pub(super) fn new(min: Duration, max: Duration) -> Resends {
        Resends { min, max, plans: BTreeMap::new(), due: BTreeSet::new() }
    }

    /// The task's update was sent just now, perhaps not for the first time.
    pub(super) fn sent(&mut self, task_id: &TaskId, now: Instant) {
        let after = self.forget(task_id).map_or(self.min, |after| (after * 2).min(self.max));
        self.plans.insert(task_id.clone(), (now + after, after));
        self.due.insert((now + after, task_id.clone()));
    }

    /// The task's update has arrived, or the next one begins anew. Returns the last wait.
    pub(super) fn forget(&mut self, task_id: &TaskId) -> Option<Duration> {
        let (at, after) = self.plans.remove(task_id)?;
        self.due.remove(&(at, task_id.clone()));
        Some(after)
    }

    pub(super) fn forget_all(&mut self) {
        self.plans.clear();
        self.due.clear();
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The tasks whose updates are due.
    pub(super) fn due(&self, now: Instant) -> Vec<TaskId> {
        self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, task_id)| task_id.clone()).collect()
    }
}
