//! How loops write: in transactions that only the leader of this term can commit.

use std::fmt;
use std::sync::Arc;

use super::Term;
use crate::registry::{CommitError, Committed, Failure, Fence, Registry, Write};
use crate::store::{Revision, StoreError};

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
    /// Somebody else wrote first: what was decided was decided on old facts.
    #[error("decided on old facts")]
    Stale,
    /// The term is over. Everything stops.
    #[error("this process does not lead any more")]
    Deposed,
    /// The store did not answer, or is full.
    #[error("failed to write to the store")]
    Store(#[source] StoreError),
    /// The registry does not accept what was decided. The same facts will lead to the same refusal.
    #[error("refused by the registry: {0}")]
    Refused(Failure),
    /// A stored document cannot be read, so nothing is decided about it.
    #[error("failed to read what is stored: {0}")]
    Unreadable(String),
    /// The master was not reached.
    #[error("failed to tell the master: {0}")]
    Unsent(String),
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

    /// Commits all of `writes` or none. With nothing to write nothing happens, at revision 0.
    ///
    /// # Errors
    /// A [`Setback`]; after [`Setback::Deposed`] the term has ended for everybody in this process.
    pub async fn commit(&self, writes: Vec<Write>) -> Result<Committed, Setback> {
        if !self.term.is_held() {
            return Err(Setback::Deposed);
        }
        self.registry.commit(&self.fence, writes).await.map_err(|error| match error {
            CommitError::Conflict { .. } => Setback::Stale,
            CommitError::Deposed => {
                self.term.depose();
                Setback::Deposed
            }
            CommitError::Store(source) => Setback::Store(source),
            CommitError::Invalid(failure) => Setback::Refused(failure),
        })
    }
}

impl Setback {
    /// Tells the log what an operator should know: conflicts and the end of a term are ordinary.
    pub fn log(&self, name: &'static str, subject: &dyn fmt::Debug) {
        match self {
            Setback::Stale | Setback::Deposed => tracing::debug!(name, ?subject, "{self}"),
            Setback::Store(source) => tracing::warn!(name, ?subject, error = %source, "{self}"),
            Setback::Refused(_) | Setback::Unreadable(_) | Setback::Unsent(_) => {
                tracing::warn!(name, ?subject, "{self}");
            }
        }
    }
}
