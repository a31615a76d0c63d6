//! The store as one life of a server sees it: as it is, but for the run's perturbation.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use tenure::env::Env;
use tenure::store::{
    Batch, Event, LeaseId, Page, Record, Revision, Store, StoreError, Txn, TxnOutcome, Watch, WatchError,
};
use tokio::time::{Instant, sleep_until};

use super::course::{Passage, Perturbation};
use crate::seeded::sim::prefix;

pub(super) struct Lens {
    /// The server's process.
    pub(super) env: Env,
    pub(super) store: Arc<dyn Store>,
    pub(super) perturbation: Arc<Perturbation>,
}

impl fmt::Debug for Lens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lens").field(&self.store).finish()
    }
}

#[async_trait]
impl Store for Lens {
    async fn revision(&self) -> Result<Revision, StoreError> {
        self.store.revision().await
    }

    async fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        self.store.get(key).await
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        self.store.range(prefix, after, limit, at.or_else(|| self.perturbation.listed())).await
    }

    async fn txn(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        let writes = !txn.ops.is_empty();
        let outcome = self.store.txn(txn).await?;
        if let TxnOutcome::Committed(revision) = outcome
            && writes
            && self.perturbation.wrote(revision)
        {
            self.env.crash();
            // Nothing of the process runs any more, not even what was waiting for this answer.
            std::future::pending::<()>().await;
        }
        Ok(outcome)
    }

    async fn watch(&self, of: &str, after: Revision) -> Result<Watch, StoreError> {
        let watch = self.store.watch(of, after).await?;
        if of != prefix().as_str() {
            return Ok(watch);
        }
        let told = Told { watch, perturbation: self.perturbation.clone(), held: None, past: VecDeque::new() };
        Ok(told.into_watch())
    }

    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        self.store.compact(revision).await
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        self.store.grant(ttl).await
    }

    async fn renew(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.store.renew(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.store.revoke(lease).await
    }
}

/// What a watch of all objects tells.
struct Told {
    watch: Watch,
    perturbation: Arc<Perturbation>,
    /// Events that are told at this time, and the revision up to which they are all.
    held: Option<(Instant, Batch)>,
    /// What was told.
    past: VecDeque<Event>,
}

impl Told {
    /// Batches until the first error.
    fn into_watch(self) -> Watch {
        stream::unfold(Some(self), |told| async move {
            let mut told = told?;
            match told.next().await? {
                Ok(batch) => Some((Ok(batch), Some(told))),
                Err(end) => Some((Err(end), None)),
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Result<Batch, WatchError>> {
        loop {
            let due = self.held.as_ref().map(|(at, _)| *at);
            tokio::select! {
                biased;
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    return self.release().map(Ok);
                }
                told = self.watch.next() => match told? {
                    Ok(batch) => if let Some(batch) = self.take_in(batch) {
                        return Some(Ok(batch));
                    },
                    Err(error) => return Some(Err(error)),
                },
            }
        }
    }

    /// What of a batch is told now.
    fn take_in(&mut self, batch: Batch) -> Option<Batch> {
        if let Some((_, held)) = &mut self.held {
            held.events.extend(batch.events);
            held.revision = batch.revision;
            return if self.perturbation.completes(batch.revision) { self.release() } else { None };
        }
        let mut now = Batch { events: Vec::new(), revision: batch.revision };
        for event in batch.events {
            let revision = event.revision();
            if let Some((_, held)) = &mut self.held {
                held.events.push(event);
                continue;
            }
            match self.perturbation.passage(revision) {
                Passage::Told => now.events.push(event),
                Passage::Lost => {}
                Passage::Held { until } => {
                    now.revision = revision - 1;
                    self.held = Some((until, Batch { events: vec![event], revision: batch.revision }));
                }
            }
        }
        if self.held.is_some() && self.perturbation.completes(batch.revision) {
            now.events.extend(self.release().map(|held| held.events).unwrap_or_default());
            now.revision = batch.revision;
        }
        self.past.extend(now.events.iter().cloned());
        if let Some(since) = self.perturbation.repeats(&now.events) {
            now.events.extend(self.past.iter().filter(|event| event.revision() > since).cloned());
        }
        (self.held.is_none() || !now.events.is_empty()).then_some(now)
    }

    fn release(&mut self) -> Option<Batch> {
        let (_, mut held) = self.held.take()?;
        if self.perturbation.merges() {
            held.events = last_of_each(held.events);
        }
        Some(held)
    }
}

/// Of each key the last event, in order.
fn last_of_each(events: Vec<Event>) -> Vec<Event> {
    let last: BTreeMap<Arc<str>, Event> = events.into_iter().map(|it| (it.key().clone(), it)).collect();
    let mut last: Vec<Event> = last.into_values().collect();
    last.sort_by_key(Event::revision);
    last
}
