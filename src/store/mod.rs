//! Versioned documents: the contract of etcd, cut to what is needed.
//!
//! Three implementations keep it: etcd (production), embedded (one machine) and memory (the simulation). One
//! conformance suite, `tests/store`, holds for all of them.
//!
//! - One revision counter for the whole store; each committed transaction advances it by one, and each key it touched
//!   carries that revision. Nothing else changes a key.
//! - A transaction applies wholly or not at all, and is durable when it is answered.
//! - A watch delivers every change to its prefix, in order, once per key and revision, or ends with an error that says
//!   why it cannot ([`WatchError::Compacted`]).

mod decision;
pub mod embedded;
pub mod etcd;
mod index;
mod lease;
pub mod memory;
pub mod room;
pub mod sealed;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

/// A store revision. 0 is before everything.
pub type Revision = u64;

/// One version of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The whole key, e.g. `/tenure/demo/tenure.dev/apps/default/web`.
    pub key: Arc<str>,
    pub value: Bytes,
    /// The revision that wrote this version; an object's `resourceVersion`.
    pub revision: Revision,
    /// The revision that first wrote the key since it was last absent.
    pub created: Revision,
}

/// What must be true of a key for a transaction to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// The key does not exist.
    Absent(Arc<str>),
    /// The key exists and was last written by this revision.
    At(Arc<str>, Revision),
    /// The key exists and was created by this revision: held over later writes of the same key.
    CreatedAt(Arc<str>, Revision),
}

impl Guard {
    /// The key it speaks of.
    #[must_use]
    pub fn key(&self) -> &Arc<str> {
        match self {
            Guard::Absent(key) | Guard::At(key, _) | Guard::CreatedAt(key, _) => key,
        }
    }
}

/// One change of a transaction. A key stands in at most one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Put {
        key: Arc<str>,
        value: Bytes,
        /// The key vanishes with this lease.
        lease: Option<LeaseId>,
    },
    Delete {
        key: Arc<str>,
    },
}

impl Op {
    /// The key it changes.
    #[must_use]
    pub fn key(&self) -> &Arc<str> {
        match self {
            Op::Put { key, .. } | Op::Delete { key } => key,
        }
    }
}

/// Guards, then changes: all of them or none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    pub guards: Vec<Guard>,
    pub ops: Vec<Op>,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnOutcome {
    /// Applied and durable at this revision. A transaction without effect (no ops) reports the current revision.
    Committed(Revision),
    /// Nothing was applied: these guards did not hold at `revision`.
    Refused { losers: Vec<Guard>, revision: Revision },
}

/// A page of a prefix, in key order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub records: Vec<Record>,
    /// The revision that the page shows.
    pub revision: Revision,
    /// Whether keys follow the last one.
    pub more: bool,
}

/// A change seen by a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Put(Record),
    Deleted { key: Arc<str>, revision: Revision },
}

impl Event {
    /// The key that changed.
    #[must_use]
    pub fn key(&self) -> &Arc<str> {
        match self {
            Event::Put(record) => &record.key,
            Event::Deleted { key, .. } => key,
        }
    }

    /// The revision of the change.
    #[must_use]
    pub fn revision(&self) -> Revision {
        match self {
            Event::Put(record) => record.revision,
            Event::Deleted { revision, .. } => *revision,
        }
    }
}

/// Changes in order; an empty batch is progress only: everything up to `revision` has been delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub events: Vec<Event>,
    pub revision: Revision,
}

/// Batches until the watch ends with one error. The reader must tolerate what etcd 3.4's watches do at their worst
/// (repeats and events that go back in time); `registry`'s cache does.
pub type Watch = BoxStream<'static, Result<Batch, WatchError>>;

/// A lease: keys put under it vanish when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

/// What one transaction and one value may weigh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Operations per transaction, beside the leader's guard.
    pub ops_max: usize,
    /// Bytes of one value, and of all of a transaction together.
    pub bytes_max: usize,
}

/// etcd's defaults (128 operations, 1.5 MiB a request), less what a guard and the envelope need.
pub const LIMITS: Limits = Limits { ops_max: 127, bytes_max: 1_536 * 1_024 - 16 * 1_024 };

/// A read or write that failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Nobody answered, or not in time. A write may or may not have happened: read before retrying.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// Certainly not applied: the disk or the quota is full.
    #[error("store is out of space: {0}")]
    NoSpace(String),
    /// Certainly not applied: beyond [`Limits`].
    #[error(
        "{bytes} bytes in {ops} operations exceed the store's limit of {limit_bytes} bytes in {limit_ops} operations"
    )]
    TooLarge { bytes: usize, ops: usize, limit_bytes: usize, limit_ops: usize },
    /// The revision asked for is older than what is kept.
    #[error("revision {asked} is compacted; the oldest kept is {oldest}")]
    Compacted { asked: Revision, oldest: Revision },
    /// The lease does not exist (any more).
    #[error("lease {0:?} has ended")]
    LeaseGone(LeaseId),
    /// Credentials refused.
    #[error("store refused the credentials: {0}")]
    Denied(String),
    /// One side does not trust the other's certificate, or does not speak TLS as the other does.
    #[error("store cannot be reached over TLS: {0}")]
    Untrusted(String),
    /// What is stored cannot be read: never retried.
    #[error("store is damaged: {0}")]
    Damaged(String),
}

impl StoreError {
    /// Whether the same request may succeed later without anybody changing it.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, StoreError::Unavailable(_) | StoreError::NoSpace(_))
    }
}

/// Why a watch ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WatchError {
    /// The start revision is compacted: list, then watch from the list's revision.
    #[error("watch from revision {asked} is compacted; the oldest kept is {oldest}")]
    Compacted { asked: Revision, oldest: Revision },
    /// The reader was too slow, or the store ended the stream: watch again after the last delivered revision.
    #[error("watch interrupted: {0}")]
    Interrupted(String),
}

/// Versioned documents.
///
/// # Guarantees
/// Reads are linearised: they see every transaction that was answered before they were asked. All waits are bounded by
/// the implementation's own timeout, after which they are [`StoreError::Unavailable`].
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// What one transaction may weigh here.
    fn limits(&self) -> Limits {
        LIMITS
    }

    /// The current revision.
    async fn revision(&self) -> Result<Revision, StoreError>;

    /// The present version of `key`, if it exists.
    async fn get(&self, key: &str) -> Result<Option<Record>, StoreError>;

    /// At most `limit` records (0: no limit) under `prefix`, in key order, after the key `after` (exclusive), as of
    /// revision `at` (`None`: now).
    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError>;

    /// Applies `txn` if all its guards hold. All guards that do not are named in the refusal.
    async fn txn(&self, txn: Txn) -> Result<TxnOutcome, StoreError>;

    /// Every change under `prefix` with a revision above `after`. Never opened on a future revision.
    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError>;

    /// Forgets versions that were replaced at or before `revision`; watches from before it end as compacted.
    async fn compact(&self, revision: Revision) -> Result<(), StoreError>;

    /// A new lease that ends `ttl` after its last renewal. Whole seconds; at least 1 s.
    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError>;

    /// Renews `lease` for its whole `ttl`, counted from some moment after this was called.
    async fn renew(&self, lease: LeaseId) -> Result<(), StoreError>;

    /// Ends `lease`; its keys are deleted.
    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError>;
}
