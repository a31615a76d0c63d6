//! How loops write: in transactions that only the leader of this term can commit.

use std::fmt;
use std::sync::Arc;

use super::Term;
use crate::registry::{CommitError, Committed, Fence, Key, Registry, Write};
use crate::store::StoreError;

/// Writes of one term.
#[derive(Debug, Clone)]
pub struct Writer {
    registry: Arc<Registry>,
    term: Term,
    fence: Fence,
}

/// Why nothing was written. None of these is a fault of the loop: it looks again.
#[derive(Debug, thiserror::Error)]
pub enum Setback {
    /// Somebody else wrote these first: what was decided was decided on old facts.
    #[error("decided on old facts")]
    Stale { losers: Vec<Key> },
    /// The term is over. Everything stops.
    #[error("this process does not lead any more")]
    Deposed,
    /// The store did not answer, or is full.
    #[error("failed to use the store")]
    Store(#[source] StoreError),
    /// The registry does not accept what was decided. The same facts will lead to the same refusal.
    #[error("refused by the registry")]
    Refused(#[source] Box<CommitError>),
    /// What is stored cannot be read, so nothing is decided about it.
    #[error("failed to read what is stored: {0}")]
    Unreadable(String),
}

impl Writer {
    /// Writes guarded by `term`.
    #[must_use]
    pub fn new(registry: Arc<Registry>, term: Term) -> Writer {
        let (key, created) = term.key();
        let fence = Fence::new(key.clone(), created);
        Writer { registry, term, fence }
    }

    /// The term that writes are guarded by.
    #[must_use]
    pub fn term(&self) -> &Term {
        &self.term
    }

    /// Where writes go.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Commits all of `writes` or none. With nothing to write nothing happens.
    ///
    /// # Errors
    /// A [`Setback`]; after [`Setback::Deposed`] the term has ended for everybody in this process.
    pub async fn commit(&self, writes: Vec<Write>) -> Result<Committed, Setback> {
        if !self.term.is_held() {
            return Err(Setback::Deposed);
        }
        self.registry.commit(&self.fence, writes).await.map_err(|error| match error {
            CommitError::Conflict { losers } => Setback::Stale { losers },
            CommitError::Store { source, .. } => Setback::Store(source),
            CommitError::Deposed => {
                self.term.depose();
                Setback::Deposed
            }
            error => Setback::Refused(Box::new(error)),
        })
    }
}

impl Setback {
    /// Tells the log what an operator should know: conflicts and the end of a term are ordinary.
    pub fn log(&self, name: &'static str, subject: &dyn fmt::Debug) {
        match self {
            Setback::Stale { losers } => tracing::debug!(name, ?subject, ?losers, "{self}"),
            Setback::Deposed => tracing::debug!(name, ?subject, "{self}"),
            Setback::Store(source) => tracing::warn!(name, ?subject, error = %source, "{self}"),
            Setback::Refused(source) => tracing::warn!(name, ?subject, error = %Chain(source), "{self}"),
            Setback::Unreadable(_) => tracing::warn!(name, ?subject, "{self}"),
        }
    }
}

/// An error with all its sources, for one line of a log.
struct Chain<'a>(&'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

/// Writes of a term that begins now, on a store of its own: for the tests of loops.
#[cfg(test)]
pub(crate) async fn leading(env: &crate::env::Env) -> Writer {
    use crate::registry::{Cache, Prefix, Scheme};
    let (store, prefix) = (crate::store::memory::MemoryStore::new(env), Prefix::new("demo"));
    let cache = Cache::start(env, store.clone(), &prefix);
    let registry =
        Registry::new(env, store.clone(), cache, &prefix, Scheme::ours().expect("our kinds can be read"));
    let (key, door, ttl) = (prefix.leader(), serde_json::Value::Null, super::LEADER_TTL);
    let election =
        super::Election { env: env.clone(), store, key, holder: "a".into(), door, ttl, rivals: true };
    Writer::new(registry, election.campaign().await)
}
