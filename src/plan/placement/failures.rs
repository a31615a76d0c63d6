//! Where Tasks of a class failed of late: a machine on which it happens again and again is taken last.
//!
//! What ails it (an image that it cannot pull, a path that it does not have) may be over later, so nothing is held against it
//! for long, and it is taken where no other takes the Task. Nomad penalizes the node of an attempt that failed in the same
//! spirit; Marathon and Kubernetes choose it again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::index::AgentIx;
use crate::plan::{ObjectName, after};

/// So many of a class on one agent make it the last one.
const MANY: usize = 2;
/// How long a failure counts.
const COUNTS_FOR: Duration = Duration::from_secs(600);
/// How long a Task waits for another agent to offer something before it takes the last one.
const WAITS_FOR_ANOTHER: Duration = Duration::from_secs(5);

/// The Tasks of a class that failed.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures(BTreeMap<ObjectName, (AgentIx, Timestamp)>);

impl Failures {
    pub(super) fn add(&mut self, task: ObjectName, agent: AgentIx, at: Timestamp) {
        self.0.insert(task, (agent, at));
    }

    pub(super) fn remove(&mut self, task: &ObjectName) {
        self.0.remove(task);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The agents that are taken last at `now`.
    pub(super) fn avoided(&self, now: Timestamp) -> BTreeSet<AgentIx> {
        let mut counts = BTreeMap::<AgentIx, usize>::new();
        for (agent, _) in self.0.values().filter(|(_, at)| after(*at, COUNTS_FOR) > now) {
            *counts.entry(*agent).or_default() += 1;
        }
        counts.into_iter().filter(|(_, count)| *count >= MANY).map(|(agent, _)| agent).collect()
    }
}

/// When a Task that waits since `since` takes an agent that is to be taken last.
pub(super) fn relents(since: Timestamp) -> Timestamp {
    after(since, WAITS_FOR_ANOTHER)
}
