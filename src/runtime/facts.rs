//! The few things an installation must remember that are no objects, such as the id that Mesos knows it by.
//!
//! They stand under `meta/` of the installation's prefix and are written by the leader only.

use std::sync::Arc;

use bytes::Bytes;

use super::Term;
use crate::store::{Guard, Op, Store, StoreError, Txn, TxnOutcome};

/// Where facts are kept.
#[derive(Debug, Clone)]
pub struct Facts {
    store: Arc<dyn Store>,
    /// Ends with `/`.
    prefix: Arc<str>,
}

/// A fact could not be written.
#[derive(Debug, thiserror::Error)]
pub enum FactError {
    /// The term is over: somebody else decides.
    #[error("this process does not lead any more")]
    Deposed,
    /// It is known already, and differently. Nobody overwrites it.
    #[error("{name} is already set")]
    AlreadySet { name: String },
    /// The store did not take it.
    #[error("failed to write {name}")]
    Store {
        name: String,
        #[source]
        source: StoreError,
    },
}

impl Facts {
    /// Facts under `prefix`, e.g. `/tenure/demo/meta/`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, prefix: &str) -> Facts {
        Facts { store, prefix: Arc::from(prefix) }
    }

    /// The store that they are kept in.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The fact `name`, if it is known: a linearised read.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn read(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(self.store.get(&self.key(name)).await?.map(|record| record.value))
    }

    /// Makes `value` known as `name`, once and for all. Writing the same value again changes nothing.
    ///
    /// # Errors
    /// When the term is over, another value is known, or the store does not take it.
    pub async fn establish(&self, term: &Term, name: &str, value: &str) -> Result<(), FactError> {
        let in_store = |source| FactError::Store { name: name.to_owned(), source };
        let (leader, created) = term.key();
        let key = self.key(name);
        let put = Op::Put { key: key.clone(), value: Bytes::from(value.to_owned()), lease: None };
        let guards = vec![Guard::CreatedAt(leader.clone(), created), Guard::Absent(key.clone())];
        let losers = match self.store.txn(Txn { guards, ops: vec![put] }).await.map_err(in_store)? {
            TxnOutcome::Committed(_) => return Ok(()),
            TxnOutcome::Refused { losers, .. } => losers,
        };
        if losers.iter().any(|guard| guard.key() == leader) {
            return Err(FactError::Deposed);
        }
        match self.read(name).await.map_err(in_store)? {
            Some(known) if known == value => Ok(()),
            _ => Err(FactError::AlreadySet { name: name.to_owned() }),
        }
    }

    /// Makes `value` known as `name`, in place of whatever was known before.
    ///
    /// # Errors
    /// When the term is over, or the store does not take it.
    pub async fn replace(&self, term: &Term, name: &str, value: &str) -> Result<(), FactError> {
        let in_store = |source| FactError::Store { name: name.to_owned(), source };
        let (leader, created) = term.key();
        let put = Op::Put { key: self.key(name), value: Bytes::from(value.to_owned()), lease: None };
        let txn = Txn { guards: vec![Guard::CreatedAt(leader.clone(), created)], ops: vec![put] };
        match self.store.txn(txn).await.map_err(in_store)? {
            TxnOutcome::Committed(_) => Ok(()),
            TxnOutcome::Refused { .. } => Err(FactError::Deposed),
        }
    }

    /// Forgets `name`; one that is not known stays so.
    ///
    /// # Errors
    /// When the term is over, somebody else wrote it just now, or the store does not take it.
    pub async fn retract(&self, term: &Term, name: &str) -> Result<(), FactError> {
        let in_store = |source| FactError::Store { name: name.to_owned(), source };
        let (leader, created) = term.key();
        let key = self.key(name);
        let Some(known) = self.store.get(&key).await.map_err(in_store)? else { return Ok(()) };
        let guards = vec![Guard::CreatedAt(leader.clone(), created), Guard::At(key.clone(), known.revision)];
        match self.store.txn(Txn { guards, ops: vec![Op::Delete { key }] }).await.map_err(in_store)? {
            TxnOutcome::Committed(_) => Ok(()),
            TxnOutcome::Refused { losers, .. } if losers.iter().any(|guard| guard.key() == leader) => {
                Err(FactError::Deposed)
            }
            TxnOutcome::Refused { .. } => Err(FactError::AlreadySet { name: name.to_owned() }),
        }
    }

    fn key(&self, name: &str) -> Arc<str> {
        Arc::from(format!("{}{name}", self.prefix))
    }
}
