//! One watch of the embedded store: a place in its history. It queues nothing.

use std::sync::Arc;

use futures::stream::{self, StreamExt};

use super::Shared;
use super::disk::slot;
use crate::env::watch;
use crate::store::{Batch, Event, Record, Revision, StoreError, Watch, WatchError};

/// About how many events a watch is told at once.
const BATCH_EVENTS: usize = 500;

pub(super) struct Reader {
    shared: Arc<Shared>,
    moved: watch::Receiver<Revision>,
    prefix: Arc<str>,
    position: Revision,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, prefix: &str, position: Revision) -> Reader {
        let moved = shared.moved.subscribe();
        Reader { shared, moved, prefix: prefix.into(), position }
    }

    /// Batches until the first error.
    pub(super) fn into_watch(self) -> Watch {
        stream::unfold(Some(self), |reader| async move {
            let mut reader = reader?;
            match reader.next().await {
                Ok(batch) => Some((Ok(batch), Some(reader))),
                Err(end) => Some((Err(end), None)),
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Batch, WatchError> {
        loop {
            self.moved.mark_unchanged();
            if let Some(batch) = self.look().await.map_err(ended)? {
                return Ok(batch);
            }
            self.moved
                .changed()
                .await
                .map_err(|_| WatchError::Interrupted("the store is closed".to_owned()))?;
        }
    }

    async fn look(&mut self) -> Result<Option<Batch>, StoreError> {
        let found = self.shared.state().index.changes_after(&self.prefix, self.position, BATCH_EVENTS);
        let (changes, revision) = found?;
        if revision <= self.position {
            return Ok(None);
        }
        let read = self.shared.records(changes.clone()).await;
        self.shared.state().index.changes_after("", self.position, 0)?;
        let mut records = read?.into_iter().peekable();
        let mut events = Vec::with_capacity(changes.len());
        for (key, version) in changes {
            let is_it = |record: &Record| record.key == key && record.revision == slot(&version).0;
            events.push(match records.next_if(is_it) {
                Some(record) => Event::Put(record),
                None => Event::Deleted { key, revision: version.revision },
            });
        }
        self.position = revision;
        Ok(Some(Batch { events, revision }))
    }
}

fn ended(error: StoreError) -> WatchError {
    match error {
        StoreError::Compacted { asked, oldest } => WatchError::Compacted { asked, oldest },
        other => WatchError::Interrupted(other.to_string()),
    }
}
