//! The watch cache: one watch on the whole registry feeds one ordered log, and everybody reads from that.
//!
//! ```text
//! store ──watch──▶ feed ──▶ log ──▶ snapshot (copy-on-write, O(1) to take)
//!                   │        └────▶ rings of recent changes per kind ──▶ subscriptions
//!                   └─ lists after compaction; compares with the store now and then, and heals
//! ```
//!
//! # Guarantees
//! - A snapshot is consistent over all kinds at one revision, and revisions never go back while the store's do not.
//! - A subscription delivers every change after its revision once and in order, or ends with [`Gone`].
//! - An event that the store's watch repeats, or tells again from the past, changes nothing. One that the watch loses is
//!   healed by the next comparison ([`CacheOptions::verify_every`]), and readers that missed it are cut.
//! - Each version of each object is encoded once and shared.

mod ask;
mod draft;
mod feed;
mod log;
mod ring;
mod subscription;
mod verify;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use jiff::Timestamp;

use self::ask::Asker;
pub(super) use self::draft::Draft;
use self::draft::Drafts;
use self::feed::Feed;
use self::log::Log;
pub use self::subscription::Subscription;
use super::key::{Prefix, Resource};
use super::snapshot::Snapshot;
use crate::env::{Env, Spawned, watch};
use crate::store::{Revision, Store, StoreError};

/// How much the cache remembers and how often it doubts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheOptions {
    /// Bytes of past changes kept per kind; older ones answer [`Gone`].
    pub ring_bytes_max: usize,
    /// How often everything is compared with the store: the bound on how long a lost event can go unseen.
    pub verify_every: Duration,
    /// How often the store is asked whether the watch is stuck.
    pub probe_every: Duration,
    /// How long a read that must be recent waits for the cache to catch up.
    pub patience: Duration,
}

impl Default for CacheOptions {
    fn default() -> Self {
        CacheOptions {
            ring_bytes_max: 32 << 20,
            verify_every: Duration::from_secs(600),
            probe_every: Duration::from_secs(15),
            patience: Duration::from_secs(5),
        }
    }
}

/// History after the asked revision is not kept (any more); `oldest` is the first revision after which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("changes are kept only after revision {oldest}")]
pub struct Gone {
    pub oldest: Revision,
}

/// The cache did not reach a revision in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the watch cache is at revision {current}, behind {wanted}")]
pub struct Behind {
    pub wanted: Revision,
    pub current: Revision,
}

/// How the cache fares: for `/readyz` and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheHealth {
    /// Everything has been listed once: reads are possible.
    pub listed: bool,
    /// The revision of the present snapshot.
    pub revision: Revision,
    /// Since when the store does not feed the cache, and why; none while it does.
    pub trouble: Option<Trouble>,
    /// Stored values that are no documents, and are therefore not shown.
    pub unreadable: u64,
    /// Events that the store's watch repeated or told again from the past.
    pub repeats: u64,
    /// Objects that a comparison with the store had to put right.
    pub healed: u64,
    /// Lists of the whole registry: the first, and one per lost history.
    pub lists: u64,
}

/// Why and since when the cache stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub since: Timestamp,
    pub error: String,
}

impl CacheHealth {
    /// Whether reads are served from a present view.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.listed && self.trouble.is_none()
    }
}

/// The watch cache. Its tasks belong to the node of the `Env` it was started with, and end with it or with the cache.
pub struct Cache {
    shared: Arc<Shared>,
    asker: Asker,
    options: CacheOptions,
    tasks: [Spawned<()>; 2],
}

impl Cache {
    /// Starts a cache of everything under `prefix`, with the usual options. It is empty, at revision 0, until the first
    /// list has come: wait with [`Cache::listed`].
    #[must_use]
    pub fn start(env: &Env, store: Arc<dyn Store>, prefix: &Prefix) -> Arc<Cache> {
        Cache::start_with(env, store, prefix, CacheOptions::default())
    }

    /// As [`Cache::start`], with other options.
    #[must_use]
    pub fn start_with(
        env: &Env,
        store: Arc<dyn Store>,
        prefix: &Prefix,
        options: CacheOptions,
    ) -> Arc<Cache> {
        let shared = Arc::new(Shared::new(options));
        let (asker, asking) = Asker::new(store.clone());
        let feed = Feed::new(env.clone(), store, prefix.clone(), shared.clone(), options);
        let tasks = [env.spawn("cache-feed", feed.run()), env.spawn("cache-ask", asking)];
        Arc::new(Cache { shared, asker, options, tasks })
    }

    /// Everything as it is known now. O(1).
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.read().snapshot().clone()
    }

    /// Waits until everything has been listed once.
    pub async fn listed(&self) {
        // The sender lives in `shared`, so waiting cannot fail.
        let _ = self.shared.health.subscribe().wait_for(|health| health.listed).await;
    }

    /// A snapshot at or after `revision`.
    ///
    /// # Errors
    /// [`Behind`] when the cache has not got there within `patience`.
    pub async fn at_least(&self, revision: Revision, patience: Duration) -> Result<Snapshot, Behind> {
        let mut revisions = self.shared.revisions();
        let reached = tokio::time::timeout(patience, revisions.wait_for(|now| *now >= revision)).await;
        let snapshot = self.snapshot();
        match reached {
            Ok(Ok(_)) => Ok(snapshot),
            _ => Err(Behind { wanted: revision, current: snapshot.revision }),
        }
    }

    /// A snapshot that shows every write that was answered before this call. Simultaneous calls share one question to
    /// the store.
    ///
    /// # Errors
    /// What the store answered; [`StoreError::Unavailable`] when the cache does not catch up in time.
    pub async fn most_recent(&self) -> Result<Snapshot, StoreError> {
        let revision = self.asker.ask().await?;
        let reached = self.at_least(revision, self.options.patience).await;
        reached.map_err(|behind| StoreError::Unavailable(behind.to_string()))
    }

    /// The changes of `resource` (none: of all kinds) after the revision `after`. A future revision is silent until it
    /// has passed.
    ///
    /// # Errors
    /// [`Gone`] when changes after `after` are not all kept.
    pub fn subscribe(&self, resource: Option<Resource>, after: Revision) -> Result<Subscription, Gone> {
        Subscription::new(self.shared.clone(), resource, after)
    }

    /// The present, and the changes that continue it.
    #[must_use]
    pub fn follow(&self, resource: Option<Resource>) -> (Snapshot, Subscription) {
        Subscription::from_now(self.shared.clone(), resource)
    }

    /// These documents are about to be written: what the watch tells of them need not be decoded anew.
    pub(super) fn expect(&self, drafts: &[Arc<Draft>]) {
        drafts.iter().for_each(|draft| self.shared.drafts.add(draft));
    }

    /// These were not written after all, or nobody knows.
    pub(super) fn forget(&self, drafts: &[Arc<Draft>]) {
        drafts.iter().for_each(|draft| self.shared.drafts.discard(draft));
    }

    /// The revision of the present snapshot, as it moves.
    #[must_use]
    pub fn revisions(&self) -> watch::Receiver<Revision> {
        self.shared.revisions()
    }

    /// How the cache fares now.
    #[must_use]
    pub fn health(&self) -> CacheHealth {
        let revision = self.shared.read().snapshot().revision;
        CacheHealth { revision, ..self.shared.health.borrow().clone() }
    }

    /// Told at each change of [`CacheHealth`] (its revision aside).
    #[must_use]
    pub fn watch_health(&self) -> watch::Receiver<CacheHealth> {
        self.shared.health.subscribe()
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.tasks.iter().for_each(Spawned::abort);
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cache").field(&self.snapshot()).finish()
    }
}

/// What the feed writes and everybody reads. The lock is held for map operations only, never across an await.
struct Shared {
    log: RwLock<Log>,
    /// Set after the log, so whoever sees a revision here finds it there.
    revision: watch::Sender<Revision>,
    health: watch::Sender<CacheHealth>,
    drafts: Drafts,
}

impl Shared {
    fn new(options: CacheOptions) -> Shared {
        Shared {
            log: RwLock::new(Log::new(options.ring_bytes_max)),
            revision: watch::Sender::new(0),
            health: watch::Sender::new(CacheHealth::default()),
            drafts: Drafts::default(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Log> {
        self.log.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Log> {
        self.log.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn revisions(&self) -> watch::Receiver<Revision> {
        self.revision.subscribe()
    }

    /// Changes the log and tells everybody who waits for its revision.
    fn update<T>(&self, change: impl FnOnce(&mut Log) -> T) -> T {
        let mut log = self.write();
        let result = change(&mut log);
        let revision = log.snapshot().revision;
        drop(log);
        self.revision.send_replace(revision);
        result
    }
}
