//! How one server reaches the store: over a network that refuses, loses answers, is slow, or is cut.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use tenure::env::watch;
use tenure::store::memory::MemoryStore;
use tenure::store::{LeaseId, Page, Record, Revision, Store, StoreError, Txn, TxnOutcome, Watch, WatchError};

use super::profile::Fault;
use super::sim::Sim;
use crate::checks::{Checks, Writer};

/// How long a request waits for an answer that does not come.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Who uses the store through this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Through {
    /// The loops of a server.
    Loops,
    /// People, through a server's API.
    Door,
}

/// A server's way to the store.
pub(crate) struct Reach {
    sim: Sim,
    checks: Arc<Mutex<Checks>>,
    server: String,
    through: Through,
    store: Arc<MemoryStore>,
    /// Whether the network between this server and the store is cut.
    cut: watch::Receiver<bool>,
}

impl Reach {
    pub(crate) fn new(
        sim: &Sim,
        checks: &Arc<Mutex<Checks>>,
        (server, through): (&str, Through),
        store: &Arc<MemoryStore>,
        cut: &watch::Receiver<bool>,
    ) -> Arc<Reach> {
        Arc::new(Reach {
            sim: sim.clone(),
            checks: checks.clone(),
            server: server.to_owned(),
            through,
            store: store.clone(),
            cut: cut.clone(),
        })
    }

    /// The way there.
    async fn go(&self, what: &str) -> Result<(), StoreError> {
        self.across().await?;
        if self.sim.strikes_in(Fault::StoreSlow, 20) {
            let delay = self.sim.millis(1, 4_000);
            self.sim.strike(Fault::StoreSlow, format_args!("{} {what} by {delay:?}", self.server));
            tokio::time::sleep(delay).await;
        }
        if self.sim.strikes(Fault::StoreRefuses) {
            self.sim.strike(Fault::StoreRefuses, format_args!("{} {what}", self.server));
            return Err(StoreError::Unavailable("the request was refused".to_owned()));
        }
        Ok(())
    }

    /// The way back.
    async fn come(&self, what: &str) -> Result<(), StoreError> {
        self.across().await?;
        if self.sim.strikes(Fault::StoreAnswerLost) {
            self.sim.strike(Fault::StoreAnswerLost, format_args!("{} {what}", self.server));
            tokio::time::sleep(TIMEOUT).await;
            return Err(StoreError::Unavailable("the answer was lost".to_owned()));
        }
        Ok(())
    }

    async fn across(&self) -> Result<(), StoreError> {
        if *self.cut.borrow() {
            tokio::time::sleep(TIMEOUT).await;
            return Err(StoreError::Unavailable("the network is cut".to_owned()));
        }
        Ok(())
    }

    fn writer(&self) -> Writer<'_> {
        match self.through {
            Through::Loops => Writer::Loops(&self.server),
            Through::Door => Writer::Person,
        }
    }
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reach").field(&self.server).finish()
    }
}

#[async_trait]
impl Store for Reach {
    async fn revision(&self) -> Result<Revision, StoreError> {
        self.go("revision").await?;
        let answer = self.store.revision().await?;
        self.come("revision").await.map(|()| answer)
    }

    async fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        self.go("get").await?;
        let answer = self.store.get(key).await?;
        self.come("get").await.map(|()| answer)
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        self.go("range").await?;
        let answer = self.store.range(prefix, after, limit, at).await?;
        self.come("range").await.map(|()| answer)
    }

    async fn txn(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        self.go("txn").await?;
        let answer = self.store.txn(txn.clone()).await?;
        // Nothing else has run since the commit: what is in force now is what was in force then.
        match &answer {
            TxnOutcome::Committed(revision) => {
                self.checks.lock().unwrap().wrote(self.writer(), &txn, *revision);
            }
            TxnOutcome::Refused { losers, .. } => {
                self.sim.log(format_args!("{} is refused for {} keys", self.server, losers.len()));
                self.sim.act("conflict");
            }
        }
        self.come("txn").await.map(|()| answer)
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        self.go("watch").await?;
        let watch = self.store.watch(prefix, after).await?;
        let mut cut = self.cut.clone();
        let broken = async move {
            // The sender outlives every server.
            let _cut = cut.wait_for(|cut| *cut).await;
        };
        let broken = futures::stream::once(async move {
            broken.await;
            Err(WatchError::Interrupted("the network is cut".to_owned()))
        });
        let both = ordered(watch, broken.boxed());
        self.come("watch").await.map(|()| both)
    }

    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        self.go("compact").await?;
        self.sim.act("compact");
        self.store.compact(revision).await?;
        self.come("compact").await
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        self.go("grant").await?;
        let answer = self.store.grant(ttl).await?;
        self.come("grant").await.map(|()| answer)
    }

    async fn renew(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.go("renew").await?;
        self.store.renew(lease).await?;
        self.come("renew").await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.go("revoke").await?;
        self.store.revoke(lease).await?;
        self.come("revoke").await
    }
}

/// What either stream tells, the first one's first, until one of them ends.
fn ordered(first: Watch, second: Watch) -> Watch {
    futures::stream::unfold(Some((first, second)), |streams| async move {
        let (mut first, mut second) = streams?;
        tokio::select! {
            biased;
            told = first.next() => told.map(|told| (told, Some((first, second)))),
            told = second.next() => told.map(|told| (told, None)),
        }
    })
    .boxed()
}
