//! Watches: the present state, if wanted, then every change to what is selected.

use std::collections::VecDeque;
use std::sync::Arc;

use super::the_one;
use crate::registry::Registry;
use crate::registry::cache::Subscription;
use crate::registry::doc::Doc;
use crate::registry::failure::Failure;
use crate::registry::kind::KindDef;
use crate::registry::options::{Start, WatchQuery};
use crate::registry::snapshot::{Change, Snapshot};
use crate::store::Revision;

/// What a watcher is told.
#[derive(Debug, Clone)]
pub enum WatchEvent {
    Added(Arc<Doc>),
    Modified(Arc<Doc>),
    /// The last version, and the revision at which it left (by deletion, or by no longer being selected).
    Deleted {
        doc: Arc<Doc>,
        revision: Revision,
    },
    /// The present state has been told whole, as of this revision.
    InitialEnd(Revision),
    /// History is gone: the stream ends here, and the client lists anew.
    Expired(Failure),
}

/// Events in order, without gaps. It queues at most what one look into the rings brought.
#[derive(Debug)]
pub struct WatchStream {
    query: WatchQuery,
    subscription: Subscription,
    pending: VecDeque<WatchEvent>,
    /// Everything up to here stands in `pending` or was told.
    taken: Revision,
    ended: bool,
}

impl Registry {
    /// Tells what happens to objects of `kind`.
    ///
    /// # Errors
    /// 400 for a field that cannot be selected by; those of a list, for the present state.
    pub async fn watch(&self, kind: &KindDef, query: WatchQuery) -> Result<WatchStream, Failure> {
        query.fields.check(kind)?;
        let resource = kind.resource.clone();
        match query.start {
            Start::Present(at) => {
                self.snapshot_at(at).await?;
                let (snapshot, subscription) = self.cache.follow(Some(resource.clone()));
                let pending = present(&query, &snapshot, kind);
                let taken = snapshot.revision;
                Ok(WatchStream { query, subscription, pending, taken, ended: false })
            }
            Start::After(revision) => match self.cache.subscribe(Some(resource.clone()), revision) {
                Ok(subscription) => Ok(WatchStream {
                    query,
                    subscription,
                    pending: VecDeque::new(),
                    taken: revision,
                    ended: false,
                }),
                Err(gone) => {
                    let (snapshot, subscription) = self.cache.follow(Some(resource));
                    let text = format!("too old resource version: {revision} ({})", gone.oldest);
                    let pending = [WatchEvent::Expired(Failure::expired(text, None))].into();
                    Ok(WatchStream { query, subscription, pending, taken: snapshot.revision, ended: false })
                }
            },
        }
    }
}

fn present(query: &WatchQuery, snapshot: &Snapshot, kind: &KindDef) -> VecDeque<WatchEvent> {
    let added = |doc: &Arc<Doc>| selects(query, doc).then(|| WatchEvent::Added(doc.clone()));
    let namespace = query.namespace.as_deref();
    let mut events: VecDeque<WatchEvent> = match the_one(kind, namespace, &query.fields) {
        Some(key) => snapshot.get(&key).and_then(added).into_iter().collect(),
        None => snapshot.list(&kind.resource, namespace).filter_map(added).collect(),
    };
    if query.marks_initial_end {
        events.push_back(WatchEvent::InitialEnd(snapshot.revision));
    }
    events
}

fn selects(query: &WatchQuery, doc: &Doc) -> bool {
    query.namespace.as_deref().is_none_or(|namespace| *doc.key().namespace == *namespace)
        && query.labels.matches(&doc.meta().labels)
        && query.fields.matches(doc)
}

impl WatchStream {
    /// The next event; none after the stream has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                self.ended |= matches!(event, WatchEvent::Expired(_));
                return Some(event);
            }
            if self.ended {
                return None;
            }
            match self.subscription.next().await {
                Ok(changes) => self.queue(&changes),
                Err(gone) => self.expire(gone.oldest),
            }
        }
    }

    /// The revision that a bookmark may name now: everything up to it was told. None while events wait to be told.
    pub fn bookmark(&mut self) -> Option<Revision> {
        if self.ended || !self.pending.is_empty() {
            return None;
        }
        match self.subscription.progress() {
            Ok(revision) => {
                self.taken = self.taken.max(revision);
                Some(revision)
            }
            Err(gone) => {
                self.expire(gone.oldest);
                None
            }
        }
    }

    fn expire(&mut self, oldest: Revision) {
        let text = format!("too old resource version: {} ({oldest})", self.taken);
        self.pending.push_back(WatchEvent::Expired(Failure::expired(text, None)));
    }

    fn queue(&mut self, changes: &[Arc<Change>]) {
        self.pending.extend(changes.iter().filter_map(|change| event(&self.query, change)));
        let last = changes.last().map_or(0, |change| change.revision);
        self.taken = self.taken.max(last);
    }
}

/// What a change is to a watcher of the selected objects: leaving the selection is a deletion, entering an addition.
fn event(query: &WatchQuery, change: &Change) -> Option<WatchEvent> {
    let selected = |doc: &Option<Arc<Doc>>| doc.clone().filter(|doc| selects(query, doc));
    match (selected(&change.old), selected(&change.new)) {
        (None, None) => None,
        (None, Some(new)) => Some(WatchEvent::Added(new)),
        (Some(_), Some(new)) => Some(WatchEvent::Modified(new)),
        (Some(old), None) => Some(WatchEvent::Deleted { doc: old, revision: change.revision }),
    }
}
