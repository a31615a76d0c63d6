//! The recent changes of one kind, bounded in bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Gone;
use super::log::Place;
use crate::env::watch;
use crate::registry::key::Key;
use crate::registry::snapshot::Change;
use crate::store::Revision;

/// What a change weighs beside its document.
const CHANGE_OVERHEAD_BYTES: usize = 256;

/// Every change of one kind with a revision above `floor`, in order.
#[derive(Debug)]
pub(super) struct Ring {
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
    floor: Revision,
    /// The number of the last cut that concerned this kind.
    cut: u64,
    /// Tells subscribers of this kind that there is something to take, or that they are cut.
    wake: watch::Sender<Revision>,
}

impl Ring {
    pub(super) fn new(floor: Revision) -> Ring {
        Ring { changes: VecDeque::new(), bytes: 0, floor, cut: 0, wake: watch::Sender::new(floor) }
    }

    /// Appends a change at least as new as the last one, and drops the oldest beyond `bytes_max`, whole revisions at a
    /// time.
    pub(super) fn push(&mut self, change: Arc<Change>, bytes_max: usize) {
        debug_assert!(self.changes.back().is_none_or(|last| last.revision <= change.revision), "in order");
        self.bytes += weight(&change);
        self.changes.push_back(change);
        while self.bytes > bytes_max || self.changes.front().is_some_and(|first| first.revision <= self.floor)
        {
            let Some(dropped) = self.changes.pop_front() else { break };
            self.bytes -= weight(&dropped);
            self.floor = dropped.revision;
        }
    }

    /// Forgets everything: history up to `floor` has a hole, so the cut numbered `cut` ends every subscription.
    pub(super) fn reset(&mut self, floor: Revision, cut: u64) {
        self.changes.clear();
        self.bytes = 0;
        self.floor = floor;
        self.cut = cut;
        self.wake();
    }

    /// The changes after `place`.
    pub(super) fn after(&self, place: Place) -> Result<impl Iterator<Item = &Arc<Change>>, Gone> {
        if place.revision < self.floor || place.cut < self.cut {
            return Err(Gone { oldest: self.floor });
        }
        let first = self.changes.partition_point(|change| change.revision <= place.revision);
        Ok(self.changes.range(first..))
    }

    /// Whether exactly this change is still remembered.
    pub(super) fn contains(&self, key: &Key, revision: Revision) -> bool {
        let first = self.changes.partition_point(|change| change.revision < revision);
        self.changes
            .range(first..)
            .take_while(|change| change.revision == revision)
            .any(|change| change.key == *key)
    }

    pub(super) fn wake(&self) {
        self.wake.send_replace(self.floor);
    }

    pub(super) fn watch(&self) -> watch::Receiver<Revision> {
        self.wake.subscribe()
    }
}

/// The document that a change brought; that of a deletion has no other holder either.
fn weight(change: &Change) -> usize {
    let doc = change.new.as_ref().or(change.old.as_ref());
    CHANGE_OVERHEAD_BYTES + doc.map_or(0, |doc| doc.bytes().len())
}
