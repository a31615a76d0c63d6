//! The store of one machine: a log of versions in one file of a folder.
//!
//! ```text
//! txn ──▶ bounded queue ──▶ writer: judge in order, one commit with fsync ──▶ index, tail ──▶ answers, watches
//! get, range, watch ◀── index (names and revisions) ◀── tail (values written last) ◀── disk (all values)
//! ```
//!
//! Memory holds names and revisions, and a bounded tail of values. It is not a second copy of the documents: those are
//! in the watch cache, which is what answers reads.
//!
//! # Guarantees
//! - What was answered as committed is on disk (fsync). `kill -9` at any moment loses none of it.
//! - A full disk refuses writes with [`StoreError::NoSpace`]; reads go on, and writes do as soon as there is room.
//! - A lease of less than a minute ends with the process: what a former one kept under such a lease is gone before this one
//!   serves. A longer one begins anew.

mod disk;
mod lock;
mod reader;
mod tail;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use self::disk::{Disk, Loaded, Slot, Written, slot};
use self::lock::FolderLock;
use self::reader::Reader;
use self::tail::Tail;
use self::writer::{Answer, Request, Writer};
use super::decision::{Decision, decide, weigh};
use super::index::{Index, Keyed, versions};
use super::lease::{End, Leases, farewell};
use super::{LeaseId, Page, Record, Revision, Store, StoreError, Txn, TxnOutcome, Watch};
use crate::env::{Crashed, Env, Spawned, watch};

/// Requests that may wait for the writer; more wait outside.
const QUEUE_REQUESTS: usize = 1024;
/// How long anybody waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much memory the store may use beside its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Pages of the file kept in memory.
    pub cache_bytes: usize,
    /// Values written last, kept for watches.
    pub tail_bytes: usize,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        EmbeddedOptions { cache_bytes: 32 << 20, tail_bytes: 8 << 20 }
    }
}

/// Why the store did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// One server per folder.
    #[error("{path} is locked by {holder}: another server uses this data folder", path = .path.display())]
    InUse { path: PathBuf, holder: String },
    #[error("failed to prepare {path}", path = .path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to open {path}", path = .path.display())]
    Database {
        path: PathBuf,
        #[source]
        error: StoreError,
    },
    #[error("{path} has format {found}; this version of tenure reads format {supported}", path = .path.display())]
    Format { path: PathBuf, found: u64, supported: u64 },
    #[error("the node ended while the store was opening")]
    Crashed,
}

/// The store. It serves as long as its node lives, or until it is closed or dropped.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
    tasks: [Spawned<()>; 2],
}

/// What the writer changes and everybody reads.
struct Shared {
    env: Env,
    disk: Disk,
    state: Mutex<State>,
    /// Wakes watches: a new revision, or a compaction.
    moved: watch::Sender<Revision>,
    leases_changed: Notify,
    /// Let go of when the store is closed.
    lock: Mutex<Option<FolderLock>>,
}

struct State {
    index: Index<()>,
    leases: Leases,
    tail: Tail,
}

impl EmbeddedStore {
    /// Opens the store in `folder`, which is made if it does not exist.
    ///
    /// # Errors
    /// [`OpenError`]: most often that another server uses the folder.
    pub async fn open(
        env: &Env,
        folder: &Path,
        options: EmbeddedOptions,
    ) -> Result<Arc<EmbeddedStore>, OpenError> {
        let folder = folder.to_owned();
        let opened = env.run_blocking(move || open_folder(&folder, options)).await;
        let (lock, disk, state) = opened.map_err(|Crashed| OpenError::Crashed)??;
        let revision = state.index.revision();
        let shared = Arc::new(Shared {
            env: env.clone(),
            disk,
            state: Mutex::new(state),
            moved: watch::Sender::new(revision),
            leases_changed: Notify::new(),
            lock: Mutex::new(Some(lock)),
        });
        let (requests, receiver) = mpsc::channel(QUEUE_REQUESTS);
        let writer = Writer::new(env.clone(), shared.clone(), receiver);
        let tasks = [
            env.spawn("embedded-writer", writer.run()),
            env.spawn("embedded-leases", keep_leases(shared.clone(), requests.clone())),
        ];
        Ok(Arc::new(EmbeddedStore { shared, requests, tasks }))
    }

    /// Finishes what is queued, closes the file and lets go of the folder. Later requests are unavailable.
    ///
    /// # Errors
    /// When the writer has ended already.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.ask(|answer| Request::Close { answer }).await
    }

    /// How many requests wait for the writer: rises when the disk is slow.
    #[must_use]
    pub fn backlog(&self) -> usize {
        QUEUE_REQUESTS - self.requests.capacity()
    }

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, StoreError> {
        ask(&self.requests, request).await
    }
}

async fn ask<T>(
    requests: &mpsc::Sender<Request>,
    request: impl FnOnce(Answer<T>) -> Request,
) -> Result<T, StoreError> {
    let unavailable = |why: &str| StoreError::Unavailable(why.to_owned());
    let (answer, answered) = oneshot::channel();
    let asking = async {
        requests.send(request(answer)).await.map_err(|_| unavailable("the store is closed"))?;
        answered.await.map_err(|_| unavailable("the store is closed"))?
    };
    timeout(PATIENCE, asking).await.map_err(|_| unavailable("the disk did not keep up"))?
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.tasks.iter().for_each(Spawned::abort);
    }
}

fn open_folder(folder: &Path, options: EmbeddedOptions) -> Result<(FolderLock, Disk, State), OpenError> {
    // Secrets are among the documents, so nobody else may look, into a folder of a former version neither.
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::set_permissions(folder, Permissions::from_mode(0o700)))
        .map_err(|source| OpenError::Folder { path: folder.to_owned(), source })?;
    let lock = FolderLock::take(folder)?;
    let path = folder.join("store.redb");
    let disk = Disk::open(&path, options.cache_bytes)?;
    let state = restore(&disk, options).map_err(|error| OpenError::Database { path, error })?;
    Ok((lock, disk, state))
}

/// The state that the file tells, without what hung on leases that ended with a former process.
fn restore(disk: &Disk, options: EmbeddedOptions) -> Result<State, StoreError> {
    let Loaded { revision, compacted, versions } = disk.load(0)?;
    let mut index = Index::new();
    for (revision, versions) in versions {
        index.commit(revision, versions);
    }
    index.restore(revision, compacted);
    let leased = index.leased().map(|(key, lease)| (key.clone(), lease));
    let (leases, over) = Leases::take_up(leased, Instant::now());
    let next = index.revision() + 1;
    match decide(farewell(over), next, |key| index.head(key)) {
        Decision::Apply(effects) if !effects.is_empty() => {
            disk.commit(&[(next, effects.clone())])?;
            index.commit(next, versions_of(next, effects));
        }
        _ => {}
    }
    Ok(State { index, leases, tail: Tail::new(options.tail_bytes) })
}

fn versions_of(revision: Revision, effects: Vec<super::decision::Effect>) -> Vec<Keyed<()>> {
    versions(revision, effects, drop)
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        let revision = self.state().index.revision();
        self.moved.send_replace(revision);
    }

    /// Makes what was written visible.
    fn publish(&self, written: Vec<Written>) {
        let mut state = self.state();
        for (revision, effects) in written {
            state.leases.note(&effects);
            for (ordinal, effect) in (0..).zip(&effects) {
                if let Some(value) = &effect.value {
                    state.tail.push((revision, ordinal), value.clone());
                }
            }
            state.index.commit(revision, versions_of(revision, effects));
        }
        drop(state);
        self.wake();
    }

    /// Makes visible what a commit wrote that seemed to fail.
    fn take_in(&self, found: BTreeMap<Revision, Vec<Keyed<()>>>) {
        let mut state = self.state();
        for (revision, versions) in found {
            if revision > state.index.revision() {
                state.index.commit(revision, versions);
            }
        }
        drop(state);
        self.wake();
    }

    /// Whether `revision` still is what wrote `key` last.
    fn is_present(&self, key: &str, revision: Revision) -> bool {
        self.state().index.head(key).is_some_and(|head| head.revision == revision)
    }

    /// Lets go of the folder.
    fn release(&self) {
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The records that `versions` are, in their order; from memory where the values are there.
    async fn records(self: &Arc<Self>, versions: Vec<Keyed<()>>) -> Result<Vec<Record>, StoreError> {
        let mut missing: Vec<Slot> = Vec::new();
        let mut values: BTreeMap<Slot, bytes::Bytes> = BTreeMap::new();
        {
            let state = self.state();
            for (_, version) in versions.iter().filter(|(_, version)| version.value.is_some()) {
                match state.tail.get(slot(version)) {
                    Some(value) => drop(values.insert(slot(version), value)),
                    None => missing.push(slot(version)),
                }
            }
        }
        if !missing.is_empty() {
            let shared = self.clone();
            let read = move || shared.disk.values(&missing).map(|found| missing.into_iter().zip(found));
            let found = self.env.run_blocking(read).await;
            values.extend(found.map_err(|Crashed| StoreError::Unavailable(Crashed.to_string()))??);
        }
        let record = |(key, version): Keyed<()>| {
            let value = values.remove(&slot(&version))?;
            Some(Record { key, value, revision: version.revision, created: version.created })
        };
        Ok(versions.into_iter().filter_map(record).collect())
    }
}

/// Ends leases when their time has come.
async fn keep_leases(shared: Arc<Shared>, requests: mpsc::Sender<Request>) {
    loop {
        let next_end = shared.state().leases.next_end();
        tokio::select! {
            biased;
            () = shared.leases_changed.notified() => continue,
            () = sleep_until(next_end.unwrap_or_else(Instant::now)), if next_end.is_some() => {}
            () = requests.closed() => return,
        }
        let ended = shared.state().leases.ended(Instant::now());
        for lease in ended {
            match ask(&requests, |answer| Request::EndLease { lease, why: End::Expired, answer }).await {
                Ok(()) | Err(StoreError::LeaseGone(_)) => {}
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "failed to end a lease: retrying"
                    );
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn revision(&self) -> Result<Revision, StoreError> {
        Ok(self.shared.state().index.revision())
    }

    async fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        loop {
            let found = self.shared.state().index.get(key).cloned();
            let Some(version) = found else { return Ok(None) };
            let read = self.shared.records(vec![(key.into(), version.clone())]).await;
            match read {
                Ok(mut records) => return Ok(records.pop()),
                Err(error) if self.shared.is_present(key, version.revision) => return Err(error),
                // Replaced and compacted away between look and read: there is a newer one to answer with.
                Err(_) => {}
            }
        }
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        loop {
            let (revision, (versions, more)) = {
                let state = self.shared.state();
                let revision = at.unwrap_or(state.index.revision());
                (revision, state.index.range(prefix, after, limit, at)?)
            };
            let read = self.shared.records(versions).await;
            // A compaction meanwhile may have deleted what is no longer the present.
            match self.shared.state().index.check_kept(revision) {
                Ok(()) => return Ok(Page { records: read?, revision, more }),
                Err(compacted) if at.is_some() => return Err(compacted),
                Err(_) => {}
            }
        }
    }

    async fn txn(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        weigh(&txn, self.limits())?;
        self.ask(|answer| Request::Txn { txn, answer }).await
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        self.shared.state().index.changes_after("", after, 0)?;
        Ok(Reader::new(self.shared.clone(), prefix, after).into_watch())
    }

    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        self.ask(|answer| Request::Compact { revision, answer }).await
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        let lease = self.shared.state().leases.grant(ttl, Instant::now());
        self.shared.leases_changed.notify_one();
        Ok(lease)
    }

    async fn renew(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.shared.state().leases.renew(lease, Instant::now())?;
        self.shared.leases_changed.notify_one();
        Ok(())
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.ask(|answer| Request::EndLease { lease, why: End::Revoked, answer }).await?;
        self.shared.leases_changed.notify_one();
        Ok(())
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmbeddedStore @{}", self.shared.state().index.revision())
    }
}
