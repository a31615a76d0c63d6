//! The way to executors, while this process leads: messages, which may be lost.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::mesos::session::{CallError, Session};
use crate::mesos::wire::{AgentId, ExecutorId};

/// Sends messages to executors. Clones share the way.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    /// None while another process leads, or nobody.
    session: Arc<Mutex<Option<Session>>>,
}

/// A message was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    #[error("this process does not lead")]
    NotLeading,
    #[error("the master was not told")]
    NotSent(#[source] CallError),
}

impl Messages {
    /// Sends `data` to an executor. That it arrives is not sure: Mesos drops what it cannot deliver.
    ///
    /// # Errors
    /// When nothing was sent.
    pub async fn send(
        &self,
        agent: AgentId,
        executor: ExecutorId,
        data: Vec<u8>,
    ) -> Result<(), MessageError> {
        let session = self.session().clone().ok_or(MessageError::NotLeading)?;
        session.message(agent, executor, data).await.map_err(MessageError::NotSent)
    }

    /// Whether this process leads.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.session().is_some()
    }

    pub(super) fn lead(&self, session: Session) {
        *self.session() = Some(session);
    }

    pub(super) fn standby(&self) {
        *self.session() = None;
    }

    fn session(&self) -> MutexGuard<'_, Option<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
