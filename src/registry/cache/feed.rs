//! Keeps the log fed: lists once, then watches for ever, whatever the store does meanwhile.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{BoxFuture, Fuse, FusedFuture, FutureExt};
use tokio::time::{Instant, sleep_until};

use super::log::{Difference, Incoming};
use super::verify::differences;
use super::{CacheOptions, Shared, Trouble};
use crate::env::Env;
use crate::registry::doc::{DecodeError, Doc};
use crate::registry::key::{Key, Prefix};
use crate::registry::snapshot::Snapshot;
use crate::store::{Batch, Event, Record, Revision, Store, StoreError, WatchError};

/// Records per page of a list.
pub(super) const PAGE_RECORDS: usize = 500;
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

pub(super) struct Feed {
    env: Env,
    store: Arc<dyn Store>,
    prefix: Prefix,
    shared: Arc<Shared>,
    options: CacheOptions,
    /// When everything is next compared with the store.
    verify_at: Instant,
}

/// What to do next.
enum Phase {
    /// History is missing: read everything.
    List,
    /// Continue after the log's revision.
    Watch,
}

type Verification = Fuse<BoxFuture<'static, Result<Vec<Difference>, StoreError>>>;
type Probe = Fuse<BoxFuture<'static, Result<(), StoreError>>>;

impl Feed {
    pub(super) fn new(
        env: Env,
        store: Arc<dyn Store>,
        prefix: Prefix,
        shared: Arc<Shared>,
        options: CacheOptions,
    ) -> Feed {
        let verify_at = Instant::now() + options.verify_every;
        Feed { env, store, prefix, shared, options, verify_at }
    }

    /// Never ends by itself.
    pub(super) async fn run(mut self) {
        let (mut phase, mut delay) = (Phase::List, RETRY_MIN);
        loop {
            let outcome = match phase {
                Phase::List => self.list().await,
                Phase::Watch => self.watch().await,
            };
            match outcome {
                Ok(next) => (phase, delay) = (next, RETRY_MIN),
                Err(error) => {
                    self.tell_trouble(&error);
                    if planted!("ended-watch-is-not-opened-again") {
                        std::future::pending::<()>().await;
                    }
                    self.env.sleep(self.env.jitter(delay, 0.5)).await;
                    delay = (delay * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// Reads everything at one revision. What did not change keeps its document, decoded as it may be.
    async fn list(&mut self) -> Result<Phase, StoreError> {
        let held = self.shared.read().snapshot().clone();
        let mut listed = Snapshot::default();
        let (mut after, mut at): (Option<Arc<str>>, _) = (None, None);
        loop {
            let page = self.store.range(self.prefix.as_str(), after.as_deref(), PAGE_RECORDS, at).await?;
            after = page.records.last().map(|record| record.key.clone());
            at = Some(page.revision);
            for record in page.records {
                let doc = self.key_of(&record.key).and_then(|key| {
                    let same = held.get(&key).filter(|doc| doc.revision() == record.revision);
                    same.cloned().or_else(|| self.decode(key, &record))
                });
                doc.into_iter().for_each(|doc| listed.put(doc));
            }
            if !page.more {
                listed.revision = page.revision;
                break;
            }
        }
        tracing::info!(revision = listed.revision, "listed the registry");
        self.shared.update(|log| log.reset(listed));
        // What was written before the list will not be told any more.
        self.shared.drafts.clear();
        self.verify_at = Instant::now() + self.env.jitter(self.options.verify_every, 0.1);
        self.shared.health.send_modify(|health| {
            health.listed = true;
            health.lists += 1;
        });
        Ok(Phase::Watch)
    }

    /// Follows the store until the watch ends, or is found to be stuck.
    async fn watch(&mut self) -> Result<Phase, StoreError> {
        let after = self.shared.read().snapshot().revision;
        let now = self.store.revision().await?;
        if now < after {
            tracing::error!(now, after, "the store has lost revisions that it told before: listing anew");
            return Ok(Phase::List);
        }
        let mut watch = match self.store.watch(self.prefix.as_str(), after).await {
            Err(StoreError::Compacted { .. }) if !planted!("compacted-watch-is-tried-again") => {
                return Ok(Phase::List);
            }
            opened => opened?,
        };
        self.end_trouble();
        let (mut verification, mut probe): (Verification, Probe) = (Fuse::terminated(), Fuse::terminated());
        let mut probe_at = Instant::now() + self.env.jitter(self.options.probe_every, 0.1);
        loop {
            tokio::select! {
                biased;
                () = sleep_until(probe_at), if probe.is_terminated() => {
                    probe = self.probe().fuse();
                    probe_at = Instant::now() + self.env.jitter(self.options.probe_every, 0.1);
                }
                () = sleep_until(self.verify_at), if verification.is_terminated() => {
                    verification = self.verification().fuse();
                    self.verify_at = Instant::now() + self.env.jitter(self.options.verify_every, 0.1);
                }
                result = &mut probe, if !probe.is_terminated() => result?,
                result = &mut verification, if !verification.is_terminated() => self.heal(result),
                batch = watch.next() => match batch {
                    Some(Ok(batch)) => self.ingest(batch),
                    Some(Err(WatchError::Compacted { .. })) => return Ok(Phase::List),
                    Some(Err(WatchError::Interrupted(why))) => return Err(StoreError::Unavailable(why)),
                    None => return Err(StoreError::Unavailable("the watch ended".to_owned())),
                },
            }
        }
    }

    fn ingest(&mut self, batch: Batch) {
        let events: Vec<Incoming> =
            batch.events.into_iter().filter_map(|event| self.incoming(event)).collect();
        let done = self.shared.update(|log| log.ingest(events, batch.revision));
        if done.repeats > 0 {
            self.shared.health.send_modify(|health| health.repeats += done.repeats as u64);
        }
        if done.late > 0 {
            tracing::warn!(events = done.late, "the store's watch told events late: comparing");
            self.verify_at = Instant::now();
        }
    }

    /// An event about an object. One that cannot be read is left out: the version before it stays, and writers, whose
    /// guards now fail, get to see it.
    fn incoming(&self, event: Event) -> Option<Incoming> {
        match event {
            Event::Put(record) => {
                let doc = match self.shared.drafts.take(&record) {
                    Some(draft) => self.readable(draft.doc(record.revision))?,
                    None => self.decode(self.key_of(&record.key)?, &record)?,
                };
                Some(Incoming { revision: record.revision, key: doc.key().clone(), doc: Some(doc) })
            }
            Event::Deleted { key, revision } => {
                Some(Incoming { revision, key: self.key_of(&key)?, doc: None })
            }
        }
    }

    fn key_of(&self, store_key: &str) -> Option<Key> {
        Key::parse(&self.prefix, store_key)
    }

    fn decode(&self, key: Key, record: &Record) -> Option<Arc<Doc>> {
        self.readable(Doc::from_stored(key, record.revision, &record.value).map(Arc::new))
    }

    fn readable(&self, doc: Result<Arc<Doc>, DecodeError>) -> Option<Arc<Doc>> {
        match doc {
            Ok(doc) => Some(doc),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "stored value is no document");
                self.shared.health.send_modify(|health| health.unreadable += 1);
                None
            }
        }
    }

    /// Compares the present snapshot with the store as it was at the same revision, so that no event under way can
    /// look like a difference.
    fn verification(&self) -> BoxFuture<'static, Result<Vec<Difference>, StoreError>> {
        let pinned = self.shared.read().snapshot().clone();
        differences(self.store.clone(), self.prefix.clone(), pinned).boxed()
    }

    fn heal(&mut self, result: Result<Vec<Difference>, StoreError>) {
        match result {
            Ok(differences) if differences.is_empty() => {}
            Ok(differences) => {
                let healed = self.shared.update(|log| log.heal(differences));
                tracing::warn!(objects = healed, "the store's watch had lost events: taken from the store");
                self.shared.health.send_modify(|health| health.healed += healed as u64);
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "failed to compare with the store");
                self.verify_at = Instant::now() + self.options.probe_every;
            }
        }
    }

    /// Fails when the watch does not get to the store's revision.
    fn probe(&self) -> BoxFuture<'static, Result<(), StoreError>> {
        let (store, shared, patience) = (self.store.clone(), self.shared.clone(), self.options.patience);
        async move {
            let revision = store.revision().await?;
            let mut revisions = shared.revisions();
            let reached = tokio::time::timeout(patience, revisions.wait_for(|now| *now >= revision)).await;
            reached.map(|_| ()).map_err(|_| stuck(revision))
        }
        .boxed()
    }

    fn tell_trouble(&self, error: &StoreError) {
        tracing::warn!(error = error as &dyn std::error::Error, "the store does not feed the watch cache");
        self.shared.health.send_modify(|health| {
            let since = health.trouble.as_ref().map_or_else(|| self.env.now(), |trouble| trouble.since);
            health.trouble = Some(Trouble { since, error: error.to_string() });
        });
    }

    fn end_trouble(&self) {
        let ended = self.shared.health.send_if_modified(|health| health.trouble.take().is_some());
        if ended {
            tracing::info!("the store feeds the watch cache again");
        }
    }
}

fn stuck(revision: Revision) -> StoreError {
    StoreError::Unavailable(format!("the watch does not reach revision {revision}"))
}
