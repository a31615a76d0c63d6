//! A store in memory, for the simulation and for tests: as strict as the others, and it can be told to fail.
//!
//! It outlives the nodes that use it; its own node (the `Env` it is made with) only keeps the time of its leases.

mod fault;
mod reader;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

pub use self::fault::Fault;
use self::fault::Faults;
use self::reader::Reader;
use super::decision::{Decision, decide, weigh};
use super::index::{Index, Keyed, Version, versions};
use super::lease::{End, Leases, farewell};
use super::{Event, LeaseId, Page, Record, Revision, Store, StoreError, Txn, TxnOutcome, Watch};
use crate::env::{Env, watch};

/// The store. Share it: every clone of the `Arc` is the same store.
pub struct MemoryStore {
    /// For watches and for the keeper of leases, which end with the store.
    this: Weak<MemoryStore>,
    state: Mutex<State>,
    /// Wakes watches: a new revision, a compaction or a fault.
    moved: watch::Sender<Revision>,
    /// Wakes the keeper of leases.
    leases_changed: Notify,
}

struct State {
    index: Index<Bytes>,
    leases: Leases,
    faults: Faults,
    tap: Option<Tap>,
}

/// Told of each commit, at the moment at which it happens: all its events, in order.
type Tap = Box<dyn FnMut(&[Event]) + Send>;

impl MemoryStore {
    /// An empty store at revision 0. Must be called inside a runtime.
    #[must_use]
    pub fn new(env: &Env) -> Arc<MemoryStore> {
        let (leases, faults) = (Leases::default(), Faults::default());
        let state = State { index: Index::new(), leases, faults, tap: None };
        let store = Arc::new_cyclic(|this| MemoryStore {
            this: this.clone(),
            state: Mutex::new(state),
            moved: watch::Sender::new(0),
            leases_changed: Notify::new(),
        });
        env.spawn("memory-leases", keep_leases(store.clone()));
        store
    }

    /// Makes the store misbehave from now on.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.inject(fault);
        self.wake();
    }

    /// Ends every fault that lasts.
    pub fn heal(&self) {
        self.lock().faults.heal();
        self.wake();
    }

    /// Whether the next events of watches will be lost or late.
    #[must_use]
    pub fn is_losing(&self) -> bool {
        self.lock().faults.are_events_withheld()
    }

    /// Tells `tap` of each commit from now on, whatever faults there are: for the checkers of a simulation, which must
    /// not depend on a watch. It must not use the store.
    pub fn tap(&self, tap: impl FnMut(&[Event]) + Send + 'static) {
        self.lock().tap = Some(Box::new(tap));
    }

    /// How many requests were made so far, watches included.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.lock().faults.requests()
    }

    /// Every key and value as they are now: for assertions.
    #[must_use]
    pub fn dump(&self) -> BTreeMap<Arc<str>, Bytes> {
        let everything = self.lock().index.range("", None, 0, None);
        let (records, _) = everything.unwrap_or_default();
        records.into_iter().filter_map(|(key, version)| Some((key, version.value?))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        let revision = self.lock().index.revision();
        self.moved.send_replace(revision);
    }

    /// What every request goes through: the faults that concern it.
    async fn enter(&self) -> Result<(), StoreError> {
        let delay = self.lock().faults.admit()?;
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        Ok(())
    }

    fn end(&self, lease: LeaseId, why: End) -> Result<(), StoreError> {
        let ended = self.lock().end(lease, why);
        self.wake();
        self.leases_changed.notify_one();
        ended
    }
}

impl State {
    fn end(&mut self, lease: LeaseId, why: End) -> Result<(), StoreError> {
        let Some(keys) = self.leases.begin_end(lease, why, Instant::now())? else { return Ok(()) };
        self.commit(farewell(keys));
        self.leases.end(lease);
        Ok(())
    }

    fn commit(&mut self, txn: Txn) -> TxnOutcome {
        let revision = self.index.revision();
        let next = revision + 1;
        match decide(txn, next, |key| self.index.head(key)) {
            Decision::Refused(losers) => TxnOutcome::Refused { losers, revision },
            Decision::Apply(effects) if effects.is_empty() => TxnOutcome::Committed(revision),
            Decision::Apply(effects) => {
                self.leases.note(&effects);
                let versions = versions(next, effects, |value| value);
                if let Some(tap) = &mut self.tap {
                    tap(&versions.iter().cloned().map(event).collect::<Vec<_>>());
                }
                self.index.commit(next, versions);
                TxnOutcome::Committed(next)
            }
        }
    }
}

/// A version as the trait tells it; none for a deletion.
fn record(key: Arc<str>, version: Version<Bytes>) -> Option<Record> {
    let Version { revision, created, value, .. } = version;
    Some(Record { key, value: value?, revision, created })
}

fn event((key, version): Keyed<Bytes>) -> Event {
    let revision = version.revision;
    record(key.clone(), version).map_or(Event::Deleted { key, revision }, Event::Put)
}

/// Ends leases when their time has come. Belongs to the store's node, as the store does.
async fn keep_leases(store: Arc<MemoryStore>) {
    loop {
        let next_end = store.lock().leases.next_end();
        tokio::select! {
            biased;
            () = store.leases_changed.notified() => {}
            () = sleep_until(next_end.unwrap_or_else(Instant::now)), if next_end.is_some() => {}
        }
        let ended = store.lock().leases.ended(Instant::now());
        for lease in ended {
            // Gone already means revoked a moment ago, which has done the same.
            let _ = store.end(lease, End::Expired);
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn revision(&self) -> Result<Revision, StoreError> {
        self.enter().await?;
        Ok(self.lock().index.revision())
    }

    async fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        self.enter().await?;
        let version = self.lock().index.get(key).cloned();
        Ok(version.and_then(|version| record(key.into(), version)))
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        self.enter().await?;
        let state = self.lock();
        let (versions, more) = state.index.range(prefix, after, limit, at)?;
        let revision = at.unwrap_or(state.index.revision());
        let records = versions.into_iter().filter_map(|(key, version)| record(key, version)).collect();
        Ok(Page { records, revision, more })
    }

    async fn txn(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        self.enter().await?;
        weigh(&txn, self.limits())?;
        let answer = {
            let mut state = self.lock();
            state.faults.admit_write()?;
            state.leases.check(&txn)?;
            let outcome = state.commit(txn);
            state.faults.admit_answer().map(|()| outcome)
        };
        self.wake();
        answer
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        self.enter().await?;
        let state = self.lock();
        state.index.changes_after("", after, 0)?;
        let reader = Reader {
            store: self.this.clone(),
            moved: self.moved.subscribe(),
            prefix: prefix.into(),
            position: after,
            breaks: state.faults.breaks(),
            late: Vec::new(),
        };
        Ok(reader.into_watch())
    }

    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        self.enter().await?;
        self.lock().index.compact(revision);
        self.wake();
        Ok(())
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        self.enter().await?;
        let id = self.lock().leases.grant(ttl, Instant::now());
        self.leases_changed.notify_one();
        Ok(id)
    }

    async fn renew(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.enter().await?;
        self.lock().leases.renew(lease, Instant::now())?;
        self.leases_changed.notify_one();
        Ok(())
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.enter().await?;
        self.end(lease, End::Revoked)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryStore @{}", self.lock().index.revision())
    }
}
