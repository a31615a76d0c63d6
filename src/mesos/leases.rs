//! The live offers: each is held for a bounded time, then given back.
//!
//! The table holds exactly the offers that may still be accepted: one leaves it when it is accepted, declined,
//! rescinded or too old, and all leave it when the subscription ends. Which offers to use is not decided here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use imbl::OrdMap;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::wire::{Offer, OfferId};

/// An offer that may be accepted.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The offer as the master made it.
    pub offer: Arc<Offer>,
    /// The subscription that it was made to.
    pub generation: u64,
    /// When it arrived, for people.
    pub received_at: Timestamp,
    /// When it is given back unless used before.
    pub expires_at: Instant,
}

/// The table of live offers. Clones share it; a snapshot of it costs nothing.
#[derive(Debug, Clone)]
pub struct Leases {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    max_age: Duration,
    table: Mutex<OrdMap<OfferId, Lease>>,
    /// Told when a lease was granted, so that its end can be awaited.
    granted: Notify,
}

impl Leases {
    /// An empty table whose leases last for `max_age`.
    #[must_use]
    pub fn new(max_age: Duration) -> Leases {
        let inner = Inner { max_age, table: Mutex::default(), granted: Notify::new() };
        Leases { inner: Arc::new(inner) }
    }

    /// All live leases, in the order of their offers' ids.
    #[must_use]
    pub fn snapshot(&self) -> OrdMap<OfferId, Lease> {
        self.table().clone()
    }

    /// Whether the offer is live.
    #[must_use]
    pub fn holds(&self, offer: &OfferId) -> bool {
        self.table().contains_key(offer)
    }

    /// Enters offers that have just arrived.
    pub(super) fn grant(&self, offers: &[Arc<Offer>], generation: u64, now: Timestamp) -> Vec<Lease> {
        let expires_at = Instant::now() + self.inner.max_age;
        let lease =
            |offer: &Arc<Offer>| Lease { offer: offer.clone(), generation, received_at: now, expires_at };
        let leases: Vec<Lease> = offers.iter().map(lease).collect();
        self.table().extend(leases.iter().map(|lease| (lease.offer.id.clone(), lease.clone())));
        self.inner.granted.notify_one();
        leases
    }

    /// Removes one offer; false when it was not live.
    pub(super) fn end(&self, offer: &OfferId) -> bool {
        self.table().remove(offer).is_some()
    }

    /// Removes all of `offers`, or none and names one that is not live.
    pub(super) fn take(&self, offers: &[OfferId]) -> Result<(), OfferId> {
        let mut table = self.table();
        if let Some(gone) = offers.iter().find(|&offer| !table.contains_key(offer)) {
            return Err(gone.clone());
        }
        for offer in offers {
            table.remove(offer);
        }
        Ok(())
    }

    /// Removes every offer and returns their ids.
    pub(super) fn clear(&self) -> Vec<OfferId> {
        std::mem::take(&mut *self.table()).into_iter().map(|(id, _)| id).collect()
    }

    /// Waits until at least one lease is too old, then removes and returns those that are.
    pub(super) async fn expired(&self) -> Vec<OfferId> {
        loop {
            let next = self.table().values().map(|lease| lease.expires_at).min();
            let Some(next) = next else {
                self.inner.granted.notified().await;
                continue;
            };
            tokio::time::sleep_until(next).await;
            let expired = self.remove_expired(Instant::now());
            if !expired.is_empty() {
                return expired;
            }
        }
    }

    fn remove_expired(&self, now: Instant) -> Vec<OfferId> {
        let mut table = self.table();
        let old: Vec<OfferId> =
            table.iter().filter(|(_, l)| l.expires_at <= now).map(|(id, _)| id.clone()).collect();
        for offer in &old {
            table.remove(offer);
        }
        old
    }

    fn table(&self) -> MutexGuard<'_, OrdMap<OfferId, Lease>> {
        self.inner.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
