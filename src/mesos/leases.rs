//! The live offers: each is held for a bounded time, then given back.
//!
//! The table holds exactly the offers that may still be accepted: one leaves it when it is accepted, declined,
//! rescinded or too old, and all leave it when the subscription ends. Which offers to use is not decided here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
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

/// Equal is what was granted by the same arrival: an offer's id stands for one offer.
impl PartialEq for Lease {
    fn eq(&self, other: &Lease) -> bool {
        Arc::ptr_eq(&self.offer, &other.offer)
    }
}

/// What happened between two snapshots of the table. Costs about as much as that is, not as much as is held.
#[must_use]
pub fn changes<'l>(
    before: &'l OrdMap<OfferId, Lease>,
    after: &'l OrdMap<OfferId, Lease>,
) -> (Vec<&'l Lease>, Vec<&'l Lease>) {
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    for item in before.diff(after) {
        match item {
            DiffItem::Add(_, lease) => come.push(lease),
            DiffItem::Remove(_, lease) => gone.push(lease),
            DiffItem::Update { old: (_, old), new: (_, new) } => {
                gone.push(old);
                come.push(new);
            }
        }
    }
    (gone, come)
}

/// The table of live offers. Clones share it; a snapshot of it costs nothing.
#[derive(Debug, Clone)]
pub struct Leases {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    max_age: Duration,
    table: Mutex<Table>,
    /// Told when a lease was granted, so that its end can be awaited.
    granted: Notify,
}

#[derive(Debug, Default)]
struct Table {
    live: OrdMap<OfferId, Lease>,
    /// All leases last equally long, so the order of granting is that of ending. Holds some that ended earlier, too.
    queue: VecDeque<(Instant, OfferId)>,
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
        self.table().live.clone()
    }

    /// Whether the offer is live.
    #[must_use]
    pub fn holds(&self, offer: &OfferId) -> bool {
        self.table().live.contains_key(offer)
    }

    /// Enters offers that have just arrived.
    pub(super) fn grant(&self, offers: &[Arc<Offer>], generation: u64, now: Timestamp) -> Vec<Lease> {
        let expires_at = Instant::now() + self.inner.max_age;
        let lease =
            |offer: &Arc<Offer>| Lease { offer: offer.clone(), generation, received_at: now, expires_at };
        let leases: Vec<Lease> = offers.iter().map(lease).collect();
        let mut table = self.table();
        table.live.extend(leases.iter().map(|lease| (lease.offer.id.clone(), lease.clone())));
        table.queue.extend(leases.iter().map(|lease| (expires_at, lease.offer.id.clone())));
        drop(table);
        self.inner.granted.notify_one();
        leases
    }

    /// Removes one offer; false when it was not live.
    pub(super) fn end(&self, offer: &OfferId) -> bool {
        self.table().live.remove(offer).is_some()
    }

    /// Removes all of `offers`, or none and names one that is not live.
    pub(super) fn take(&self, offers: &[OfferId]) -> Result<(), OfferId> {
        let mut table = self.table();
        if let Some(gone) = offers.iter().find(|&offer| !table.live.contains_key(offer)) {
            return Err(gone.clone());
        }
        for offer in offers.iter().filter(|_| !planted!("spent-offer-stays-leased")) {
            table.live.remove(offer);
        }
        Ok(())
    }

    /// Removes every offer and returns their ids.
    pub(super) fn clear(&self) -> Vec<OfferId> {
        std::mem::take(&mut *self.table()).live.into_iter().map(|(id, _)| id).collect()
    }

    /// Waits until at least one lease is too old, then removes and returns those that are.
    pub(super) async fn expired(&self) -> Vec<OfferId> {
        loop {
            let Some(next) = self.table().next_end() else {
                self.inner.granted.notified().await;
                continue;
            };
            tokio::time::sleep_until(next).await;
            let expired = self.table().remove_expired(Instant::now());
            if !expired.is_empty() {
                return expired;
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.inner.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// When the oldest live lease ends.
    fn next_end(&mut self) -> Option<Instant> {
        while let Some((at, offer)) = self.queue.front() {
            if self.live.contains_key(offer) {
                return Some(*at);
            }
            self.queue.pop_front();
        }
        None
    }

    fn remove_expired(&mut self, now: Instant) -> Vec<OfferId> {
        let mut expired = Vec::new();
        while self.next_end().is_some_and(|at| at <= now) {
            let Some((_, offer)) = self.queue.pop_front() else { break };
            self.live.remove(&offer);
            expired.push(offer);
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(leases: &Leases, ids: &[&str]) {
        let offer = |id: &&str| Arc::new(Offer { id: OfferId::new(*id), ..Offer::default() });
        let offers: Vec<Arc<Offer>> = ids.iter().map(offer).collect();
        leases.grant(&offers, 1, Timestamp::UNIX_EPOCH);
    }

    #[tokio::test(start_paused = true)]
    async fn leases_end_in_the_order_in_which_they_were_granted() {
        let leases = Leases::new(Duration::from_secs(60));
        grant(&leases, &["b", "a"]);
        tokio::time::sleep(Duration::from_secs(30)).await;
        grant(&leases, &["c", "d"]);
        assert!(leases.end(&OfferId::new("b")));
        assert_eq!(leases.expired().await, [OfferId::new("a")]);
        leases.take(&[OfferId::new("d")]).unwrap();
        assert_eq!(leases.expired().await, [OfferId::new("c")]);
        assert!(leases.snapshot().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn several_offers_are_taken_together_or_not_at_all() {
        let leases = Leases::new(Duration::from_secs(60));
        grant(&leases, &["a", "b"]);
        let gone = OfferId::new("gone");
        assert_eq!(leases.take(&[OfferId::new("a"), gone.clone()]), Err(gone));
        assert!(leases.holds(&OfferId::new("a")));
        leases.take(&[OfferId::new("a"), OfferId::new("b")]).unwrap();
        assert!(leases.snapshot().is_empty());
    }
}
