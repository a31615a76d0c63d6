//! At most one leader per term.
//!
//! A candidate that finds the leader's key absent creates it under a lease: that revision is the term, and every
//! transaction of the term is guarded by it. The key is not written again; only the lease is renewed, on a thread of
//! its own, so that busy loops cannot lose it. A term is over when its lease may have run out as seen from here: at the
//! *send* time of the last renewal that succeeded, plus the TTL. Acts that no transaction guards (calls to the master)
//! end there; writes are refused by the store anyway.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Backoff;
use crate::env::{Env, watch};
use crate::store::{Event, Guard, LeaseId, Op, Revision, Store, StoreError, Txn, TxnOutcome};

/// How long after its last renewal a silent leader is replaced.
pub const LEADER_TTL: Duration = Duration::from_secs(10);

/// Where and as whom to stand for leadership.
#[derive(Debug)]
pub struct Election {
    pub env: Env,
    pub store: Arc<dyn Store>,
    /// The leader's key, e.g. `/tenure/demo/leader`.
    pub key: Arc<str>,
    /// Who leads, for people: host name and process.
    pub holder: String,
    /// How the other candidates reach who leads, as they understand it; it stands in the leader's key.
    pub door: Value,
    /// Whole seconds.
    pub ttl: Duration,
    /// Whether other processes may stand: not where one process has the store for itself.
    pub rivals: bool,
}

/// A term of leadership that this process won. Clones speak of the same term; dropping the last stops its renewal.
#[derive(Clone)]
pub struct Term {
    inner: Arc<Inner>,
}

struct Inner {
    key: Arc<str>,
    created: Revision,
    lease: LeaseId,
    store: Arc<dyn Store>,
    deadline: watch::Receiver<Instant>,
    ended: CancellationToken,
    renewal: AbortHandle,
}

impl Election {
    /// Waits until this process leads. Trouble with the store is waited out.
    pub async fn campaign(&self) -> Term {
        let mut failures = 0;
        loop {
            match self.stand().await {
                Ok(Some(term)) => return term,
                Ok(None) => failures = 0,
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, "failed to stand for leadership");
                    if planted!("candidate-gives-up") {
                        std::future::pending::<()>().await;
                    }
                    self.env.sleep(Backoff::RETRY.after(failures, &self.env)).await;
                }
            }
        }
    }

    /// Stands once, when the office is vacant.
    async fn stand(&self) -> Result<Option<Term>, StoreError> {
        if let Some(sitting) = self.store.get(&self.key).await? {
            self.vacancy(sitting.revision).await?;
            return Ok(None);
        }
        let granted_at = Instant::now();
        let lease = self.store.grant(self.ttl).await?;
        let ballot = json!({"holder": self.holder, "door": self.door, "ballot": self.env.uid()});
        let ballot = Bytes::from(ballot.to_string());
        let put = Op::Put { key: self.key.clone(), value: ballot.clone(), lease: Some(lease) };
        let txn = Txn { guards: vec![Guard::Absent(self.key.clone())], ops: vec![put] };
        let won = match self.store.txn(txn).await {
            Ok(TxnOutcome::Committed(revision)) => Some(revision),
            Ok(TxnOutcome::Refused { .. }) => None,
            // It may have been applied: the ballot tells.
            Err(StoreError::Unavailable(_)) => {
                self.store.get(&self.key).await?.filter(|record| record.value == ballot).map(|r| r.created)
            }
            Err(error) => return Err(error),
        };
        let Some(created) = won else {
            self.store.revoke(lease).await?;
            return Ok(None);
        };
        Ok(Some(self.begin(created, lease, granted_at + self.ttl)))
    }

    /// Waits until the key may be gone: its deletion was seen, or a TTL has passed without a word from the watch.
    async fn vacancy(&self, revision: Revision) -> Result<(), StoreError> {
        let deleted = async {
            let mut watch = self.store.watch(&self.key, revision).await?;
            while let Some(Ok(batch)) = watch.next().await {
                if batch.events.iter().any(|e| matches!(e, Event::Deleted { key, .. } if *key == self.key)) {
                    break;
                }
            }
            Ok(())
        };
        if planted!("candidate-believes-the-watch-alone") {
            return deleted.await;
        }
        tokio::time::timeout(self.ttl, deleted).await.unwrap_or(Ok(()))
    }

    fn begin(&self, created: Revision, lease: LeaseId, deadline: Instant) -> Term {
        let (sender, receiver) = watch::channel(deadline);
        let ended = CancellationToken::new();
        let renewal = Renewal {
            env: self.env.clone(),
            store: self.store.clone(),
            key: self.key.clone(),
            created,
            lease,
            ttl: self.ttl,
            deadline: sender,
            ended: ended.clone(),
        };
        let task = self.env.spawn_apart("leader-lease", renewal.run());
        tracing::info!(term = created, holder = self.holder, "leading");
        let inner = Inner {
            key: self.key.clone(),
            created,
            lease,
            store: self.store.clone(),
            deadline: receiver,
            ended,
            renewal: task.abort_handle(),
        };
        Term { inner: Arc::new(inner) }
    }
}

impl Term {
    /// The leader's key and the revision that created it, which guard every transaction of the term.
    #[must_use]
    pub fn key(&self) -> (&Arc<str>, Revision) {
        (&self.inner.key, self.inner.created)
    }

    /// Whether this process may act now. Asked before each call that no transaction guards.
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.inner.ended.is_cancelled() && Instant::now() < *self.inner.deadline.borrow()
    }

    /// Whether the store still holds the key of this term: a linearised read, which no clock has a part in.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn is_in_force(&self) -> Result<bool, StoreError> {
        let record = self.inner.store.get(&self.inner.key).await?;
        Ok(record.is_some_and(|it| it.created == self.inner.created))
    }

    /// Fires when the term is over.
    #[must_use]
    pub fn ended(&self) -> &CancellationToken {
        &self.inner.ended
    }

    /// Ends the term as seen from here: the store refused a write of it.
    pub fn depose(&self) {
        self.inner.ended.cancel();
    }

    /// Ends the term and lets a successor begin at once.
    ///
    /// # Errors
    /// When the store does not take the lease back; it then runs out by itself.
    pub async fn resign(&self) -> Result<(), StoreError> {
        self.inner.ended.cancel();
        self.inner.store.revoke(self.inner.lease).await
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Term").field(&self.inner.created).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.ended.cancel();
        self.renewal.abort();
    }
}

/// Renews the lease of one term until it cannot, or the key is gone though the lease is not.
struct Renewal {
    env: Env,
    store: Arc<dyn Store>,
    key: Arc<str>,
    created: Revision,
    lease: LeaseId,
    ttl: Duration,
    deadline: watch::Sender<Instant>,
    ended: CancellationToken,
}

impl Renewal {
    async fn run(self) {
        let ended = self.ended.clone();
        tokio::select! {
            biased;
            () = ended.cancelled() => {}
            () = self.until_lost() => {
                tracing::warn!("leadership lost: its key is gone, or its lease was not renewed in time");
                ended.cancel();
            }
        }
    }

    /// Whether somebody has removed the key: a leader that has nothing to write would not notice. When the store does not
    /// answer, nothing is known, and the lease decides.
    async fn is_taken_away(&self) -> bool {
        let deadline = *self.deadline.borrow();
        let found = tokio::time::timeout_at(deadline, self.store.get(&self.key)).await;
        matches!(found, Ok(Ok(record)) if record.as_ref().is_none_or(|it| it.created != self.created))
    }

    async fn until_lost(&self) {
        let mut pause = self.ttl / 3;
        loop {
            let deadline = *self.deadline.borrow();
            tokio::time::sleep_until(deadline.min(Instant::now() + pause)).await;
            let sent = Instant::now();
            match tokio::time::timeout_at(deadline, self.store.renew(self.lease)).await {
                Ok(Ok(())) if Instant::now() < deadline => {
                    self.deadline.send_replace(sent + self.ttl);
                    pause = self.ttl / 3;
                    if self.is_taken_away().await {
                        return;
                    }
                }
                Ok(Ok(()) | Err(StoreError::LeaseGone(_))) | Err(_) => return,
                Ok(Err(error)) if Instant::now() < deadline => {
                    tracing::warn!(%error, "failed to renew the leader's lease");
                    pause = self.env.jitter(self.ttl / 20, 0.5);
                }
                Ok(Err(_)) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::store::memory::{Fault, MemoryStore};

    fn candidate(name: &str, store: &Arc<MemoryStore>) -> Election {
        let env = Env::simulated(name, 1, Timestamp::UNIX_EPOCH);
        Election {
            env,
            store: store.clone(),
            key: Arc::from("/tenure/demo/leader"),
            holder: name.to_owned(),
            door: Value::Null,
            ttl: LEADER_TTL,
            rivals: true,
        }
    }

    fn store() -> Arc<MemoryStore> {
        MemoryStore::new(&Env::simulated("store", 7, Timestamp::UNIX_EPOCH))
    }

    async fn write(store: &MemoryStore, term: &Term) -> TxnOutcome {
        let (key, created) = term.key();
        let put = Op::Put { key: Arc::from("/tenure/demo/x"), value: Bytes::from_static(b"x"), lease: None };
        let guards = vec![Guard::CreatedAt(key.clone(), created)];
        store.txn(Txn { guards, ops: vec![put] }).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn leader_keeps_its_term_while_it_renews_and_writes_its_key_once() {
        let store = store();
        let term = candidate("a", &store).campaign().await;
        let first = store.get("/tenure/demo/leader").await.unwrap().unwrap();
        tokio::time::sleep(LEADER_TTL * 20).await;
        assert!(term.is_held());
        assert!(matches!(write(&store, &term).await, TxnOutcome::Committed(_)));
        assert_eq!(store.get("/tenure/demo/leader").await.unwrap().unwrap(), first);
    }

    #[tokio::test(start_paused = true)]
    async fn silent_leader_is_deposed_and_its_writes_are_refused() {
        let store = store();
        let (a, b) = (candidate("a", &store), candidate("b", &store));
        let old = a.campaign().await;
        a.env.crash();
        let new = tokio::time::timeout(LEADER_TTL * 2, b.campaign()).await.unwrap();
        assert!(new.is_held());
        assert!(matches!(write(&store, &old).await, TxnOutcome::Refused { .. }));
        assert!(matches!(write(&store, &new).await, TxnOutcome::Committed(_)));
        assert!(!old.is_held(), "its deadline passed although nothing of it runs");
    }

    #[tokio::test(start_paused = true)]
    async fn leader_cut_off_from_the_store_stops_acting_before_a_successor_can_begin() {
        let store = store();
        let term = candidate("a", &store).campaign().await;
        store.inject(Fault::Down);
        tokio::time::sleep(LEADER_TTL).await;
        assert!(!term.is_held());
        tokio::time::timeout(Duration::from_secs(1), term.ended().cancelled()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn leader_whose_key_is_removed_by_hand_notices_though_it_writes_nothing() {
        let store = store();
        let term = candidate("a", &store).campaign().await;
        let key = Arc::from("/tenure/demo/leader");
        store.txn(Txn { guards: vec![], ops: vec![Op::Delete { key }] }).await.unwrap();
        tokio::time::timeout(LEADER_TTL, term.ended().cancelled()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn leader_that_resigns_is_followed_at_once() {
        let store = store();
        let old = candidate("a", &store).campaign().await;
        let waiting = candidate("b", &store);
        let env = waiting.env.clone();
        let next = env.spawn("b", async move { waiting.campaign().await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        old.resign().await.unwrap();
        let new = tokio::time::timeout(Duration::from_secs(1), next.join()).await.unwrap().unwrap();
        assert!(new.key().1 > old.key().1);
        assert!(!old.is_held());
    }

    #[tokio::test(start_paused = true)]
    async fn candidate_waits_out_a_store_that_is_down() {
        let store = store();
        store.inject(Fault::Down);
        let election = candidate("a", &store);
        let env = election.env.clone();
        let elected = env.spawn("a", async move { election.campaign().await });
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!elected.is_finished());
        store.heal();
        let term = tokio::time::timeout(Duration::from_secs(60), elected.join()).await.unwrap().unwrap();
        assert!(term.is_held());
    }
}
