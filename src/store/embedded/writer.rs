//! The one writer: takes whatever transactions wait, judges them in order, and commits them with one fsync.
//!
//! A transaction is judged by the committed state plus what stands before it in the same commit. Nothing is visible,
//! and nobody is answered, before the commit is durable; if it fails, all of it failed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::disk::{Slot, Written, slot};
use super::{Shared, State};
use crate::env::{Crashed, Env};
use crate::store::decision::{Decision, Head, decide, weight};
use crate::store::lease::{End, farewell};
use crate::store::{LeaseId, Revision, StoreError, Txn, TxnOutcome};

/// What one commit may hold.
const COMMIT_TXNS_MAX: usize = 512;
const COMMIT_BYTES_MAX: usize = 4 << 20;
/// How long writes are refused after one failed: opening the file again may mean repairing it.
const RETRY_AFTER: Duration = Duration::from_millis(500);

pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What is asked of the writer.
#[derive(Debug)]
pub(super) enum Request {
    Txn { txn: Txn, answer: Answer<TxnOutcome> },
    EndLease { lease: LeaseId, why: End, answer: Answer<()> },
    Compact { revision: Revision, answer: Answer<()> },
    Close { answer: Answer<()> },
}

pub(super) struct Writer {
    env: Env,
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Request>,
    /// Why and when the file failed, until a commit succeeds.
    failure: Option<(Instant, StoreError)>,
    /// False from a failure until the file could be opened again.
    is_open: bool,
}

enum Next {
    Serve,
    End,
}

/// Transactions judged in order, not yet written.
struct Batch {
    written: Vec<Written>,
    outcomes: Vec<Result<TxnOutcome, StoreError>>,
}

impl Writer {
    pub(super) fn new(env: Env, shared: Arc<Shared>, requests: mpsc::Receiver<Request>) -> Writer {
        Writer { env, shared, requests, failure: None, is_open: true }
    }

    /// Ends when it is told to close, or with its node.
    pub(super) async fn run(mut self) {
        loop {
            let served = tokio::select! {
                biased;
                request = self.requests.recv() => match request {
                    Some(first) => self.serve_from(first).await,
                    None => return,
                },
                // Without the file nothing can be read either, so this does not wait for a write to try.
                () = tokio::time::sleep(RETRY_AFTER), if !self.is_open => self.reopen().await.map(|_| Next::Serve),
            };
            if !matches!(served, Ok(Next::Serve)) {
                return;
            }
        }
    }

    async fn serve_from(&mut self, first: Request) -> Result<Next, Crashed> {
        let (txns, then) = self.gather(first);
        self.serve_txns(txns).await?;
        match then {
            Some(then) => self.serve(then).await,
            None => Ok(Next::Serve),
        }
    }

    /// The transactions that wait, and the other request that ended them.
    fn gather(&mut self, first: Request) -> (Vec<(Txn, Answer<TxnOutcome>)>, Option<Request>) {
        let (mut txns, mut bytes, mut next) = (Vec::new(), 0, Some(first));
        while let Some(request) = next {
            let Request::Txn { txn, answer } = request else { return (txns, Some(request)) };
            bytes += txn.ops.iter().map(weight).sum::<usize>();
            txns.push((txn, answer));
            let full = txns.len() >= COMMIT_TXNS_MAX || bytes >= COMMIT_BYTES_MAX;
            next = if full { None } else { self.requests.try_recv().ok() };
        }
        (txns, None)
    }

    async fn serve_txns(&mut self, txns: Vec<(Txn, Answer<TxnOutcome>)>) -> Result<(), Crashed> {
        let (txns, answers): (Vec<Txn>, Vec<_>) = txns.into_iter().unzip();
        let batch = judge(&self.shared.state(), txns);
        let outcomes = self.commit(batch).await?;
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // Who does not wait any more has been told that it may have happened.
            let _ = answer.send(outcome);
        }
        Ok(())
    }

    /// Serves what does not share a commit.
    async fn serve(&mut self, request: Request) -> Result<Next, Crashed> {
        match request {
            Request::Txn { txn, answer } => self.serve_txns(vec![(txn, answer)]).await?,
            Request::EndLease { lease, why, answer } => {
                let _ = answer.send(self.end_lease(lease, why).await?);
            }
            Request::Compact { revision, answer } => {
                let _ = answer.send(self.compact(revision).await?);
            }
            Request::Close { answer } => {
                let shared = self.shared.clone();
                self.env.run_blocking(move || shared.disk.close()).await?;
                self.shared.release();
                let _ = answer.send(Ok(()));
                return Ok(Next::End);
            }
        }
        Ok(Next::Serve)
    }

    /// Writes a batch and makes it visible. Every outcome is told only after.
    async fn commit(&mut self, batch: Batch) -> Result<Vec<Result<TxnOutcome, StoreError>>, Crashed> {
        let Batch { written, outcomes } = batch;
        if written.is_empty() {
            return Ok(outcomes);
        }
        let last = written.last().map_or(0, |(revision, _)| *revision);
        if let Err(error) = self.ensure_open().await? {
            return Ok(failures(outcomes, &error));
        }
        let shared = self.shared.clone();
        let (written, result) = self
            .env
            .run_blocking(move || {
                let result = shared.disk.commit(&written);
                (written, result)
            })
            .await?;
        match result {
            Ok(()) => {
                self.failure = None;
                self.shared.publish(written);
                Ok(outcomes)
            }
            Err(error) => self.settle(error, last, outcomes).await,
        }
    }

    /// What a failed commit came to: an error may hit before or after the point of no return, and the file tells.
    async fn settle(
        &mut self,
        error: StoreError,
        last: Revision,
        outcomes: Vec<Result<TxnOutcome, StoreError>>,
    ) -> Result<Vec<Result<TxnOutcome, StoreError>>, Crashed> {
        self.note_failure(&error);
        match self.reopen().await? {
            Ok(()) if self.shared.state().index.revision() >= last => Ok(outcomes),
            Ok(()) => Ok(failures(outcomes, &error)),
            Err(closed) => Ok(failures(outcomes, &StoreError::Unavailable(closed.to_string()))),
        }
    }

    fn note_failure(&mut self, error: &StoreError) {
        tracing::error!(error = error as &dyn std::error::Error, "failed to write to the store's file");
        self.failure = Some((Instant::now(), error.clone()));
        self.is_open = false;
    }

    /// Makes sure that a commit has a chance.
    async fn ensure_open(&mut self) -> Result<Result<(), StoreError>, Crashed> {
        match &self.failure {
            Some((since, error)) if since.elapsed() < RETRY_AFTER => Ok(Err(error.clone())),
            _ if self.is_open => Ok(Ok(())),
            _ => self.reopen().await,
        }
    }

    /// Opens the file again, and takes in what it turns out to hold.
    async fn reopen(&mut self) -> Result<Result<(), StoreError>, Crashed> {
        let (shared, known) = (self.shared.clone(), self.shared.state().index.revision());
        let loaded = self.env.run_blocking(move || {
            shared.disk.reopen()?;
            shared.disk.load(known)
        });
        match loaded.await? {
            Ok(loaded) => {
                self.is_open = true;
                self.shared.take_in(loaded.versions);
                Ok(Ok(()))
            }
            Err(error) => {
                self.note_failure(&error);
                Ok(Err(error))
            }
        }
    }

    async fn end_lease(&mut self, lease: LeaseId, why: End) -> Result<Result<(), StoreError>, Crashed> {
        let begun = self.shared.state().leases.begin_end(lease, why, Instant::now());
        let keys = match begun {
            Ok(Some(keys)) => keys,
            Ok(None) => return Ok(Ok(())),
            Err(gone) => return Ok(Err(gone)),
        };
        let batch = judge(&self.shared.state(), vec![farewell(keys)]);
        let outcomes = self.commit(batch).await?;
        if let Some(Err(error)) = outcomes.into_iter().next() {
            return Ok(Err(error));
        }
        self.shared.state().leases.end(lease);
        Ok(Ok(()))
    }

    async fn compact(&mut self, revision: Revision) -> Result<Result<(), StoreError>, Crashed> {
        if let Err(error) = self.ensure_open().await? {
            return Ok(Err(error));
        }
        let (compacted, forgotten) = {
            let mut state = self.shared.state();
            let forgotten = state.index.compact(revision);
            let slots: Vec<Slot> = forgotten.iter().map(|(_, version)| slot(version)).collect();
            (state.index.compacted(), slots)
        };
        self.shared.wake();
        let shared = self.shared.clone();
        let result = self.env.run_blocking(move || shared.disk.compact(compacted, &forgotten)).await?;
        if let Err(error) = &result {
            // What stays in the file is deleted by the compaction after the next start.
            self.note_failure(error);
        }
        Ok(result)
    }
}

/// Judges transactions in order, each by the committed state and what stands before it.
fn judge(state: &State, txns: Vec<Txn>) -> Batch {
    let mut batch = Batch { written: Vec::new(), outcomes: Vec::new() };
    let mut ahead: BTreeMap<Arc<str>, Option<Head>> = BTreeMap::new();
    let mut revision = state.index.revision();
    for txn in txns {
        if let Err(gone) = state.leases.check(&txn) {
            batch.outcomes.push(Err(gone));
            continue;
        }
        let head = |key: &str| ahead.get(key).copied().unwrap_or_else(|| state.index.head(key));
        match decide(txn, revision + 1, head) {
            Decision::Refused(losers) => batch.outcomes.push(Ok(TxnOutcome::Refused { losers, revision })),
            Decision::Apply(effects) => {
                if !effects.is_empty() {
                    revision += 1;
                    ahead.extend(effects.iter().map(|effect| (effect.key.clone(), effect.head(revision))));
                    batch.written.push((revision, effects));
                }
                batch.outcomes.push(Ok(TxnOutcome::Committed(revision)));
            }
        }
    }
    batch
}

/// The outcomes when nothing was written: nobody may act on a state that never was.
fn failures(
    outcomes: Vec<Result<TxnOutcome, StoreError>>,
    error: &StoreError,
) -> Vec<Result<TxnOutcome, StoreError>> {
    outcomes.into_iter().map(|_| Err(error.clone())).collect()
}
