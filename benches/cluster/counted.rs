//! Store and master with a count of what is asked of them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tenure::mesos::connection::{CallPipe, Connection, ConnectionError, MayAct, Subscription};
use tenure::mesos::wire::CallType;
use tenure::mesos::wire::scheduler::Call;
use tenure::store::{LeaseId, Limits, Page, Record, Revision, Store, StoreError, Txn, TxnOutcome, Watch};

/// Shared by all that count.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    txns: AtomicU64,
    refused: AtomicU64,
    ops: AtomicU64,
    bytes: AtomicU64,
    renewals: AtomicU64,
    reads: AtomicU64,
    calls: AtomicU64,
    reconciles: AtomicU64,
}

/// A reading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) txns: u64,
    refused: u64,
    ops: u64,
    pub(crate) bytes: u64,
    renewals: u64,
    reads: u64,
    calls: u64,
    reconciles: u64,
}

impl Counted {
    fn call(&self, call: &Call) {
        add(&self.calls, 1);
        add(&self.reconciles, usize::from(call.r#type() == CallType::Reconcile));
    }

    pub(crate) fn read(&self) -> Counts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            txns: of(&self.txns),
            refused: of(&self.refused),
            ops: of(&self.ops),
            bytes: of(&self.bytes),
            renewals: of(&self.renewals),
            reads: of(&self.reads),
            calls: of(&self.calls),
            reconciles: of(&self.reconciles),
        }
    }
}

impl Counts {
    pub(crate) fn since(&self, before: &Counts) -> Counts {
        Counts {
            txns: self.txns - before.txns,
            refused: self.refused - before.refused,
            ops: self.ops - before.ops,
            bytes: self.bytes - before.bytes,
            renewals: self.renewals - before.renewals,
            reads: self.reads - before.reads,
            calls: self.calls - before.calls,
            reconciles: self.reconciles - before.reconciles,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { txns, refused, ops, bytes, renewals, reads, calls, reconciles } = self;
        write!(
            f,
            "{txns} transactions ({refused} refused) of {ops} operations and {:.1} MiB, {renewals} renewals, {reads} \
             reads, {calls} calls ({reconciles} to reconcile)",
            *bytes as f64 / 1_048_576.0
        )
    }
}

fn add(count: &AtomicU64, by: usize) {
    count.fetch_add(by as u64, Ordering::Relaxed);
}

/// A store that counts.
#[derive(Debug)]
pub(crate) struct CountedStore {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) counts: Arc<Counted>,
}

#[async_trait]
impl Store for CountedStore {
    fn limits(&self) -> Limits {
        self.store.limits()
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        add(&self.counts.reads, 1);
        self.store.revision().await
    }

    async fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        add(&self.counts.reads, 1);
        self.store.get(key).await
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        add(&self.counts.reads, 1);
        self.store.range(prefix, after, limit, at).await
    }

    async fn txn(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        let value = |op: &tenure::store::Op| match op {
            tenure::store::Op::Put { value, .. } => value.len(),
            tenure::store::Op::Delete { .. } => 0,
        };
        add(&self.counts.txns, 1);
        add(&self.counts.ops, txn.ops.len());
        add(&self.counts.bytes, txn.ops.iter().map(value).sum());
        let outcome = self.store.txn(txn).await;
        if matches!(outcome, Ok(TxnOutcome::Refused { .. })) {
            add(&self.counts.refused, 1);
        }
        outcome
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        self.store.watch(prefix, after).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        self.store.compact(revision).await
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        self.store.grant(ttl).await
    }

    async fn renew(&self, lease: LeaseId) -> Result<(), StoreError> {
        add(&self.counts.renewals, 1);
        self.store.renew(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.store.revoke(lease).await
    }
}

/// A way to a master that counts calls.
#[derive(Debug)]
pub(crate) struct CountedConnection<C> {
    pub(crate) connection: C,
    pub(crate) counts: Arc<Counted>,
}

#[async_trait]
impl<C: Connection> Connection for CountedConnection<C> {
    async fn subscribe(&self, call: Call, may_act: MayAct<'_>) -> Result<Subscription, ConnectionError> {
        let Subscription { events, calls, acknowledgements } =
            self.connection.subscribe(call, may_act).await?;
        let counted = |calls| Box::new(CountedCalls { calls, counts: self.counts.clone() });
        Ok(Subscription { events, calls: counted(calls), acknowledgements: counted(acknowledgements) })
    }
}

#[derive(Debug)]
struct CountedCalls {
    calls: Box<dyn CallPipe>,
    counts: Arc<Counted>,
}

#[async_trait]
impl CallPipe for CountedCalls {
    async fn send(&mut self, call: &Call) -> Result<(), ConnectionError> {
        self.counts.call(call);
        self.calls.send(call).await
    }

    async fn send_all(&mut self, calls: Vec<Call>, may_act: MayAct<'_>) -> Vec<Result<(), ConnectionError>> {
        calls.iter().for_each(|call| self.counts.call(call));
        self.calls.send_all(calls, may_act).await
    }
}
