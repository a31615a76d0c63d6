//! Forgets replaced versions: every five minutes those that were replaced five minutes ago, so that a watcher that was
//! away for less finds its history.

use std::sync::Arc;
use std::time::Duration;

use super::Term;
use crate::env::Env;
use crate::registry::Cache;
use crate::store::Store;

/// How long history is kept at least; twice as long at most.
pub const HISTORY: Duration = Duration::from_secs(300);

/// The loop of a term.
#[derive(Debug)]
pub struct Compaction {
    pub env: Env,
    pub store: Arc<dyn Store>,
    /// History that it has not seen yet is never forgotten.
    pub cache: Arc<Cache>,
    /// Only its holder compacts.
    pub term: Term,
}

impl Compaction {
    /// Runs for ever. A round that fails is made up for by the next; one in which nothing was written is left out.
    pub async fn run(self) {
        let mut seen = self.cache.snapshot().revision;
        let mut compacted = 0;
        loop {
            self.env.sleep(HISTORY).await;
            if self.term.is_held() && seen > compacted {
                match self.store.compact(seen).await {
                    Ok(()) => compacted = seen,
                    Err(error) => tracing::warn!(%error, revision = seen, "history not compacted"),
                }
            }
            seen = self.cache.snapshot().revision;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::Timestamp;

    use super::super::Election;
    use super::*;
    use crate::registry::Prefix;
    use crate::store::memory::MemoryStore;
    use crate::store::{Op, Revision, Txn, TxnOutcome};

    async fn write(store: &Arc<dyn Store>, value: &'static str) -> Revision {
        let put = Op::Put { key: "/tenure/t/x".into(), value: Bytes::from(value), lease: None };
        let outcome = store.txn(Txn { guards: Vec::new(), ops: vec![put] }).await;
        let Ok(TxnOutcome::Committed(revision)) = outcome else { panic!("{outcome:?}") };
        revision
    }

    async fn is_kept(store: &Arc<dyn Store>, revision: Revision) -> bool {
        store.range("/", None, 0, Some(revision)).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn history_is_kept_for_five_minutes_and_forgotten_soon_after_by_who_leads() {
        let env = Env::simulated("test", 1, Timestamp::UNIX_EPOCH);
        let store: Arc<dyn Store> = MemoryStore::new(&env);
        let prefix = Prefix::new("t");
        let cache = Cache::start(&env, store.clone(), &prefix);
        cache.listed().await;
        let election = Election {
            env: env.clone(),
            store: store.clone(),
            key: prefix.leader(),
            holder: "test".to_owned(),
            door: serde_json::Value::Null,
            ttl: Duration::from_secs(10),
            rivals: true,
        };
        let term = election.campaign().await;
        let compaction = Compaction { env: env.clone(), store: store.clone(), cache, term: term.clone() };
        env.spawn("compaction", compaction.run());
        env.sleep(Duration::from_secs(60)).await;
        let old = write(&store, "old").await;
        write(&store, "new").await;
        env.sleep(HISTORY).await;
        assert!(is_kept(&store, old).await);
        env.sleep(HISTORY).await;
        assert!(!is_kept(&store, old).await);

        let after = write(&store, "newer").await;
        write(&store, "newest").await;
        assert!(term.resign().await.is_ok());
        env.sleep(HISTORY * 3).await;
        assert!(is_kept(&store, after).await);
    }
}
