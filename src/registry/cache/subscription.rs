//! A reader's place in the log.

use std::fmt;
use std::sync::Arc;

use super::log::Place;
use super::{Gone, Shared};
use crate::env::watch;
use crate::registry::key::Resource;
use crate::registry::snapshot::{Change, Snapshot};
use crate::store::Revision;

/// Changes of one kind, or of all, after a revision: in order, without gaps. It queues nothing: it is a place in the
/// rings, and a reader that falls behind them is cut with [`Gone`].
pub struct Subscription {
    shared: Arc<Shared>,
    resource: Option<Resource>,
    place: Place,
    wake: watch::Receiver<Revision>,
}

impl Subscription {
    pub(super) fn new(
        shared: Arc<Shared>,
        resource: Option<Resource>,
        after: Revision,
    ) -> Result<Subscription, Gone> {
        let wake = match &resource {
            Some(resource) => shared.write().watch(resource),
            None => shared.revisions(),
        };
        let place = shared.read().place(after);
        shared.read().after(resource.as_ref(), place)?;
        Ok(Subscription { shared, resource, place, wake })
    }

    /// The present, and what continues it.
    pub(super) fn from_now(shared: Arc<Shared>, resource: Option<Resource>) -> (Snapshot, Subscription) {
        let mut log = shared.write();
        let wake = match &resource {
            Some(resource) => log.watch(resource),
            None => shared.revisions(),
        };
        let (place, snapshot) = (log.place(log.snapshot().revision), log.snapshot().clone());
        drop(log);
        (snapshot, Subscription { shared, resource, place, wake })
    }

    /// Waits for changes and takes all there are; never empty. Cancel-safe.
    ///
    /// # Errors
    /// [`Gone`] when history was cut behind this reader: read a snapshot and subscribe after it, or
    /// [`Subscription::resync`].
    pub async fn next(&mut self) -> Result<Vec<Arc<Change>>, Gone> {
        loop {
            // Seen first, looked at second: what comes in between wakes the wait below.
            self.wake.mark_unchanged();
            let changes = self.take()?;
            if !changes.is_empty() {
                return Ok(changes);
            }
            if self.wake.changed().await.is_err() {
                return Err(Gone { oldest: self.place.revision });
            }
        }
    }

    /// What there is to take now; maybe nothing.
    ///
    /// # Errors
    /// As [`Subscription::next`].
    pub fn take(&mut self) -> Result<Vec<Arc<Change>>, Gone> {
        self.advance().map(|(changes, _)| changes)
    }

    /// As [`Subscription::take`], with the snapshot that the changes lead to.
    ///
    /// # Errors
    /// As [`Subscription::next`].
    pub fn advance(&mut self) -> Result<(Vec<Arc<Change>>, Snapshot), Gone> {
        let log = self.shared.read();
        let changes = log.after(self.resource.as_ref(), self.place)?;
        self.place.revision = self.place.revision.max(log.snapshot().revision);
        Ok((changes, log.snapshot().clone()))
    }

    /// Waits until there may be something to take that was not there at the last look. Cancel-safe.
    pub async fn moved(&mut self) {
        // The sender lives as long as `shared`.
        let _ = self.wake.changed().await;
    }

    /// Everything up to this revision has been taken. Moves on with changes of other kinds too: for bookmarks.
    ///
    /// # Errors
    /// As [`Subscription::next`].
    pub fn progress(&mut self) -> Result<Revision, Gone> {
        let log = self.shared.read();
        if log.after(self.resource.as_ref(), self.place)?.is_empty() {
            self.place.revision = self.place.revision.max(log.snapshot().revision);
        }
        Ok(self.place.revision)
    }

    /// Jumps to the present: what follows continues the returned snapshot.
    pub fn resync(&mut self) -> Snapshot {
        let log = self.shared.read();
        self.place = log.place(log.snapshot().revision);
        log.snapshot().clone()
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("resource", &self.resource)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
