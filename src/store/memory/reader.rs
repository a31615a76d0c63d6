//! One watch of the memory store: a place in its history, and what faults make of it.

use std::sync::{Arc, Weak};

use futures::stream::{self, StreamExt};

use super::{MemoryStore, State, event};
use crate::env::watch;
use crate::store::{Batch, Event, Revision, StoreError, Watch, WatchError};

/// About how many events a watch is told at once.
const BATCH_EVENTS: usize = 1000;
/// How far a repeated batch goes back in time.
const REPEATED_REVISIONS: u64 = 10;

pub(super) struct Reader {
    pub store: Weak<MemoryStore>,
    pub moved: watch::Receiver<Revision>,
    pub prefix: Arc<str>,
    pub position: Revision,
    /// How often watches had been broken when this one was opened.
    pub breaks: u64,
    /// Events that a fault holds back until after their successors.
    pub late: Vec<Event>,
}

impl Reader {
    /// Batches until the first error, or until the store is gone.
    pub(super) fn into_watch(self) -> Watch {
        stream::unfold(Some(self), |reader| async move {
            let mut reader = reader?;
            match reader.next().await? {
                Ok(batch) => Some((Ok(batch), Some(reader))),
                Err(end) => Some((Err(end), None)),
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Result<Batch, WatchError>> {
        loop {
            self.moved.mark_unchanged();
            let found = {
                let store = self.store.upgrade()?;
                let mut state = store.lock();
                self.look(&mut state).transpose()
            };
            if found.is_some() {
                return found;
            }
            self.moved.changed().await.ok()?;
        }
    }

    fn look(&mut self, state: &mut State) -> Result<Option<Batch>, WatchError> {
        if state.faults.breaks() != self.breaks {
            return Err(WatchError::Interrupted("the connection broke".to_owned()));
        }
        if state.faults.are_watches_stalled() {
            return Ok(None);
        }
        let (changes, revision) =
            state.index.changes_after(&self.prefix, self.position, BATCH_EVENTS).map_err(ended)?;
        if revision <= self.position {
            return Ok(None);
        }
        let mut events = changes.into_iter().map(event).collect();
        let late = std::mem::take(&mut self.late);
        state.faults.withhold(&mut events, &mut self.late);
        events.extend(late);
        if state.faults.repeats_batch() {
            events.extend(self.past(state));
        }
        self.position = revision;
        Ok(Some(Batch { events, revision }))
    }

    /// What was told last, once more.
    fn past(&self, state: &State) -> Vec<Event> {
        let from = self.position.saturating_sub(REPEATED_REVISIONS).max(state.index.compacted());
        let told = state.index.changes_after(&self.prefix, from, BATCH_EVENTS);
        told.map(|(changes, _)| changes.into_iter().map(event).collect()).unwrap_or_default()
    }
}

fn ended(error: StoreError) -> WatchError {
    match error {
        StoreError::Compacted { asked, oldest } => WatchError::Compacted { asked, oldest },
        other => WatchError::Interrupted(other.to_string()),
    }
}
