//! Leases for objects that vanish by themselves. One lease serves all objects written within a few minutes, so that
//! there are few of them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Registry;
use super::failure::Failure;
use super::kind::KindDef;
use crate::store::{LeaseId, StoreError, Txn, TxnOutcome};

/// How long one lease is given to new objects: they live this much longer at most.
const SHARED_FOR: Duration = Duration::from_secs(300);

/// The lease that new objects get now.
#[derive(Debug, Default)]
pub(super) struct Ttl {
    /// Held for the exchange only, never across an await.
    present: Mutex<Option<Shared>>,
}

#[derive(Debug, Clone, Copy)]
struct Shared {
    lease: LeaseId,
    ttl: Duration,
    granted: Instant,
}

impl Registry {
    /// The lease that an object of `kind` is written under; none for a kind whose objects stay.
    pub(super) async fn lease_for(&self, kind: &KindDef) -> Result<Option<LeaseId>, Failure> {
        let Some(ttl) = kind.ttl else { return Ok(None) };
        let now = Instant::now();
        let present = *self.ttl.present.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = present.filter(|shared| shared.ttl == ttl && now < shared.granted + SHARED_FOR)
        {
            return Ok(Some(shared.lease));
        }
        let lease = self.store.grant(ttl + SHARED_FOR).await.map_err(|error| Failure::store(&error))?;
        let shared = Shared { lease, ttl, granted: now };
        *self.ttl.present.lock().unwrap_or_else(PoisonError::into_inner) = Some(shared);
        Ok(Some(lease))
    }

    /// Runs a transaction. A shared lease that turns out to be gone is forgotten, so that the next try gets a new one.
    pub(super) async fn transact(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        let outcome = self.store.txn(txn).await;
        if let Err(StoreError::LeaseGone(gone)) = outcome {
            let mut present = self.ttl.present.lock().unwrap_or_else(PoisonError::into_inner);
            *present = present.filter(|shared| shared.lease != gone);
        }
        outcome
    }
}
