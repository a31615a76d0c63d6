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
    /// Runs for ever. A round that fails is made up for by the next.
    pub async fn run(self) {
        let mut seen = self.cache.snapshot().revision;
        loop {
            self.env.sleep(HISTORY).await;
            if self.term.is_held()
                && seen > 0
                && let Err(error) = self.store.compact(seen).await
            {
                tracing::warn!(%error, revision = seen, "history not compacted");
            }
            seen = self.cache.snapshot().revision;
        }
    }
}
