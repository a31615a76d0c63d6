//! A store that remembers whether it has room: a full one answers every read, so that nobody would notice.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{LeaseId, Limits, Page, Record, Revision, Store, StoreError, Txn, TxnOutcome, Watch};
use crate::env::watch;

/// Another store, watched.
#[derive(Debug)]
pub struct Room {
    inner: Arc<dyn Store>,
    full: watch::Sender<Option<String>>,
}

impl Room {
    /// Watches `inner`, which is taken to have room until it says otherwise.
    #[must_use]
    pub fn of(inner: Arc<dyn Store>) -> Arc<Room> {
        Arc::new(Room { inner, full: watch::channel(None).0 })
    }

    /// Why the last write did not fit; nothing when the last one did.
    #[must_use]
    pub fn full(&self) -> watch::Receiver<Option<String>> {
        self.full.subscribe()
    }

    fn note(&self, outcome: &Result<TxnOutcome, StoreError>) {
        let full = match outcome {
            Ok(TxnOutcome::Committed(_)) => None,
            Err(error @ StoreError::NoSpace(_)) => Some(error.to_string()),
            // Refused or unanswered before there was any question of room.
            Ok(TxnOutcome::Refused { .. }) | Err(_) => return,
        };
        self.full.send_if_modified(|known| {
            let is_news = known.is_some() != full.is_some();
            if is_news {
                match &full {
                    Some(why) => {
                        tracing::error!(why, "the store takes no writes: nothing is decided until it does");
                    }
                    None => tracing::info!("the store takes writes again"),
                }
                *known = full;
            }
            is_news
        });
    }
}

#[async_trait]
impl Store for Room {
    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.inner.revision().await
    }

    async fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        self.inner.get(key).await
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        self.inner.range(prefix, after, limit, at).await
    }

    async fn txn(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        let writes = !txn.ops.is_empty();
        let outcome = self.inner.txn(txn).await;
        if writes {
            self.note(&outcome);
        }
        outcome
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        self.inner.watch(prefix, after).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        self.inner.compact(revision).await
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        self.inner.grant(ttl).await
    }

    async fn renew(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.inner.renew(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.inner.revoke(lease).await
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::env::Env;
    use crate::store::Op;
    use crate::store::memory::{Fault, MemoryStore};

    #[tokio::test(start_paused = true)]
    async fn full_store_is_known_to_be_full_until_a_write_fits() {
        let env = Env::simulated("test", 1, Timestamp::UNIX_EPOCH);
        let memory = MemoryStore::new(&env);
        let room = Room::of(memory.clone());
        let full = room.full();
        let put = || Op::Put { key: "/t/a".into(), value: b"1".as_slice().into(), lease: None };
        let write = async || room.txn(Txn { guards: vec![], ops: vec![put()] }).await;
        write().await.unwrap();
        assert_eq!(*full.borrow(), None);
        memory.inject(Fault::Full);
        write().await.unwrap_err();
        assert!(full.borrow().as_ref().is_some_and(|why| why.contains("out of space")));
        room.get("/t/a").await.unwrap();
        assert!(full.borrow().is_some(), "reads prove nothing");
        memory.heal();
        write().await.unwrap();
        assert_eq!(*full.borrow(), None);
    }
}
