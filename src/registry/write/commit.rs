//! Writes by controllers: several objects in one transaction, fenced by the leader's key.
//!
//! Defaults, generation, finalizers and the dropping of writes that change nothing are those of people's writes. There
//! is no account of fields, unknown fields are kept, and `status` is written beside `spec`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::settle::{birth, complete, faults, is_held};
use crate::registry::Registry;
use crate::registry::cache::Draft;
use crate::registry::doc::{Doc, Meta};
use crate::registry::failure::{Failure, Reason};
use crate::registry::key::Key;
use crate::registry::kind::KindDef;
use crate::registry::object::text;
use crate::store::{Guard, LeaseId, Limits, Op, Revision, StoreError, Txn, TxnOutcome};

/// One change by a controller.
#[derive(Debug, Clone)]
pub enum Write {
    /// A new object: apiVersion, kind, metadata, spec, status. The server gives uid, times, generation and defaults.
    Create { value: Value },
    /// A merge patch (RFC 7386) over the whole object: spec, status and metadata alike. What it does not name stays.
    /// Setting `metadata.deletionTimestamp` (to any text) begins the object's end; emptying `metadata.finalizers` of
    /// a terminating object completes it.
    Merge { base: Arc<Doc>, patch: Value },
    /// Removes the object; it must have no finalizers.
    Remove { base: Arc<Doc> },
    /// Changes nothing, but the whole batch holds only while the object is at this version.
    Guard { base: Arc<Doc> },
}

/// The leader's key and the revision that created it. A batch holds only while that is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence(Option<(Arc<str>, Revision)>);

impl Fence {
    /// Holds while the leader's `key`, created by `revision`, exists.
    #[must_use]
    pub fn new(key: Arc<str>, revision: Revision) -> Fence {
        Fence(Some((key, revision)))
    }

    /// Always holds: for tests and for what happens before leadership.
    #[must_use]
    pub fn none() -> Fence {
        Fence(None)
    }

    fn guard(&self) -> Option<Guard> {
        self.0.as_ref().map(|(key, revision)| Guard::CreatedAt(key.clone(), *revision))
    }
}

/// What a batch came to.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The revision of the transaction; with nothing to write, the newest among the bases.
    pub revision: Revision,
    /// Per write, in order: the object as it stands now. None for one that is gone.
    pub docs: Vec<Option<Arc<Doc>>>,
}

/// Why a batch was not applied. Nothing of it was, but for [`CommitError::Store`] with an unavailable store, where
/// nobody knows: read before retrying.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// These objects are at other versions than the batch assumed (or exist, where it would create them).
    #[error("{} objects changed meanwhile, {} among them", losers.len(), first(losers))]
    Conflict { losers: Vec<Key> },
    /// Another leader took over.
    #[error("deposed: another leader holds the key")]
    Deposed,
    #[error("failed to commit {ops} operations")]
    Store {
        ops: usize,
        #[source]
        source: StoreError,
    },
    /// A rule is broken by this object.
    #[error("{key} cannot be written")]
    Invalid {
        key: Key,
        #[source]
        source: Box<Failure>,
    },
    /// The batch must be split: it exceeds what one transaction may hold.
    #[error("{ops} operations of {bytes} bytes exceed the {} operations or {} bytes of one transaction",
        limits.ops_max, limits.bytes_max)]
    TooLarge { ops: usize, bytes: usize, limits: Limits },
    /// An object stands in the batch more than once.
    #[error("{key} is written twice in one batch")]
    Repeated { key: Key },
    /// The document names no kind that is served.
    #[error("kind {kind:?} of {api_version:?} is not served")]
    UnknownKind { api_version: String, kind: String },
    /// A stored object cannot be read.
    #[error("{key} is damaged: {problem}")]
    Damaged { key: Key, problem: String },
}

fn first(losers: &[Key]) -> String {
    losers.first().map(Key::to_string).unwrap_or_default()
}

/// What one write comes to. A guard is about the object itself.
pub(super) enum Step {
    Put { key: Key, value: Bytes, draft: Arc<Draft>, guard: Guard, lease: Option<LeaseId> },
    Delete { key: Key, guard: Guard },
    Keep { base: Arc<Doc>, guard: Option<Guard> },
}

impl Registry {
    /// Applies `writes` in one transaction: all of them or none.
    ///
    /// # Guarantees
    /// - Each object is at the version of its `base` when the batch is applied, and the fence holds.
    /// - A write that changes nothing is left out; when nothing is left, nothing is asked of the store.
    ///
    /// # Errors
    /// [`CommitError`].
    pub async fn commit(&self, fence: &Fence, writes: Vec<Write>) -> Result<Committed, CommitError> {
        let mut steps = Vec::with_capacity(writes.len());
        let mut seen = BTreeSet::new();
        for write in writes {
            let step = self.step(write).await?;
            if !seen.insert(step.key().clone()) {
                return Err(CommitError::Repeated { key: step.key().clone() });
            }
            steps.push(step);
        }
        let revision = match self.transaction(fence, &steps) {
            Some(txn) => {
                let drafts: Vec<Arc<Draft>> = steps.iter().filter_map(Step::draft).cloned().collect();
                self.cache.expect(&drafts);
                let applied = self.apply_batch(fence, txn, &steps).await;
                applied.inspect_err(|_| self.cache.forget(&drafts))?
            }
            None => steps.iter().map(Step::base_revision).max().unwrap_or_default(),
        };
        let docs = steps.into_iter().map(|step| step.committed(revision)).collect::<Result<_, _>>()?;
        Ok(Committed { revision, docs })
    }

    /// The transaction of `steps`; none when they change nothing.
    fn transaction(&self, fence: &Fence, steps: &[Step]) -> Option<Txn> {
        let mut txn = Txn::default();
        for step in steps {
            match step {
                Step::Put { key: _, value, guard, lease, draft: _ } => {
                    if !planted!("written-over-newer-versions") {
                        txn.guards.push(guard.clone());
                    }
                    let key = guard.key().clone();
                    txn.ops.push(Op::Put { key, value: value.clone(), lease: *lease });
                }
                Step::Delete { key: _, guard } => {
                    txn.guards.push(guard.clone());
                    txn.ops.push(Op::Delete { key: guard.key().clone() });
                }
                Step::Keep { guard, .. } => txn.guards.extend(guard.clone()),
            }
        }
        if txn.ops.is_empty() {
            return None;
        }
        txn.guards.extend(fence.guard().filter(|_| !planted!("written-without-the-term")));
        Some(txn)
    }

    async fn apply_batch(&self, fence: &Fence, txn: Txn, steps: &[Step]) -> Result<Revision, CommitError> {
        let limits = self.store.limits();
        let bytes = steps.iter().map(Step::bytes).sum();
        let ops = txn.ops.len();
        if ops > limits.ops_max || txn.guards.len() > limits.ops_max + 1 || bytes > limits.bytes_max {
            return Err(CommitError::TooLarge { ops: ops.max(txn.guards.len()), bytes, limits });
        }
        match self.transact(txn).await.map_err(|source| CommitError::Store { ops, source })? {
            TxnOutcome::Committed(revision) => Ok(revision),
            TxnOutcome::Refused { losers, .. } => {
                let fence = fence.guard();
                if losers.iter().any(|loser| Some(loser) == fence.as_ref()) {
                    return Err(CommitError::Deposed);
                }
                let keys: BTreeMap<Arc<str>, &Key> =
                    steps.iter().map(|step| (step.key().store_key(&self.prefix), step.key())).collect();
                let losers = losers.iter().filter_map(|loser| keys.get(loser.key()).copied().cloned());
                Err(CommitError::Conflict { losers: losers.collect() })
            }
        }
    }

    async fn step(&self, write: Write) -> Result<Step, CommitError> {
        match write {
            Write::Create { value } => self.creation(value).await,
            Write::Merge { base, patch } => self.merge(base, &patch).await,
            Write::Guard { base } => Ok(Step::Keep { guard: Some(self.at(&base)), base }),
            Write::Remove { base } => {
                let kind = self.kind_of(base.key())?;
                let object = value_of(&base)?;
                if is_held(&kind, &object) {
                    let text = "metadata.finalizers must be empty before an object is removed";
                    return Err(invalid(
                        base.key(),
                        Failure::conflict_because(&kind, &base.key().name, text),
                    ));
                }
                Ok(Step::Delete { key: base.key().clone(), guard: self.at(&base) })
            }
        }
    }

    pub(super) fn at(&self, base: &Doc) -> Guard {
        Guard::At(base.key().store_key(&self.prefix), base.revision())
    }

    pub(super) fn kind_of(&self, key: &Key) -> Result<Arc<KindDef>, CommitError> {
        self.scheme().by_resource(&key.resource).cloned().ok_or_else(|| CommitError::UnknownKind {
            api_version: key.resource.group().to_owned(),
            kind: key.resource.plural().to_owned(),
        })
    }

    async fn creation(&self, mut object: Value) -> Result<Step, CommitError> {
        let named = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (api_version, name) = (named("apiVersion"), named("kind"));
        let kind = self.scheme().by_kind(&api_version, &name).cloned();
        let kind = kind.ok_or(CommitError::UnknownKind { api_version, kind: name })?;
        let key = kind.key(text(&object, "namespace"), text(&object, "name"));
        if let Err(failure) = self.open_namespace(&kind, &key.namespace, &key.name).await {
            return Err(invalid(&key, failure));
        }
        birth(&kind, &mut object, &self.env);
        let quantities = complete(&kind, &mut object);
        let errors = faults(&kind, &object, None, quantities, &mut Vec::new());
        if !errors.is_empty() {
            return Err(invalid(&key, Failure::invalid(&kind, &key.name, errors)));
        }
        let guard = Guard::Absent(key.store_key(&self.prefix));
        let value = self.encoded(&object).map_err(|failure| invalid(&key, failure))?;
        self.put(&kind, key, value, guard, None).await
    }

    /// Puts `value`, whose metadata is `meta` where that is known.
    pub(super) async fn put(
        &self,
        kind: &KindDef,
        key: Key,
        value: Bytes,
        guard: Guard,
        meta: Option<Arc<Meta>>,
    ) -> Result<Step, CommitError> {
        let lease = self.lease_for(kind).await.map_err(|failure| invalid(&key, failure))?;
        let draft = Draft::new(key.clone(), guard.key().clone(), value.clone(), meta);
        Ok(Step::Put { key, value, draft, guard, lease })
    }
}

/// A refusal by the rules, or by a store that did not answer while they were looked up.
pub(super) fn invalid(key: &Key, failure: Failure) -> CommitError {
    if failure.reason == Some(Reason::ServiceUnavailable) {
        return CommitError::Store { ops: 0, source: StoreError::Unavailable(failure.message) };
    }
    CommitError::Invalid { key: key.clone(), source: Box::new(failure) }
}

fn value_of(doc: &Doc) -> Result<Value, CommitError> {
    doc.value().map_err(|error| CommitError::Damaged { key: doc.key().clone(), problem: error.to_string() })
}

impl Step {
    fn key(&self) -> &Key {
        match self {
            Step::Put { key, .. } | Step::Delete { key, .. } => key,
            Step::Keep { base, .. } => base.key(),
        }
    }

    fn draft(&self) -> Option<&Arc<Draft>> {
        match self {
            Step::Put { draft, .. } => Some(draft),
            Step::Delete { .. } | Step::Keep { .. } => None,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Step::Put { value, .. } => value.len(),
            Step::Delete { .. } | Step::Keep { .. } => 0,
        }
    }

    fn base_revision(&self) -> Revision {
        match self {
            Step::Keep { base, .. } => base.revision(),
            Step::Put { .. } | Step::Delete { .. } => 0,
        }
    }

    fn committed(self, revision: Revision) -> Result<Option<Arc<Doc>>, CommitError> {
        match self {
            Step::Keep { base, .. } => Ok(Some(base)),
            Step::Delete { .. } => Ok(None),
            Step::Put { key, draft, .. } => match draft.doc(revision) {
                Ok(doc) => Ok(Some(doc)),
                Err(error) => Err(CommitError::Damaged { key, problem: error.to_string() }),
            },
        }
    }
}
