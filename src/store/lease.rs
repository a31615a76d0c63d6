//! Leases of the stores that keep time themselves: which are held, until when, and which keys hang on them. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::decision::Effect;
use super::{LeaseId, Op, StoreError, Txn};

/// The shortest lease.
const TTL_MIN: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Leases {
    held: BTreeMap<LeaseId, Lease>,
    /// Which lease each leased key hangs on.
    of_key: BTreeMap<Arc<str>, LeaseId>,
    last: i64,
}

#[derive(Debug)]
struct Lease {
    ttl: Duration,
    ends_at: Instant,
    keys: BTreeSet<Arc<str>>,
    /// Over for its holder; only its keys are still to be taken away.
    is_ending: bool,
}

/// Why a lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Nobody renewed it, unless somebody has meanwhile.
    Expired,
    Revoked,
}

impl Leases {
    /// A new lease; fractions of a second are rounded up.
    pub(super) fn grant(&mut self, ttl: Duration, now: Instant) -> LeaseId {
        let whole = Duration::from_secs(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)).max(TTL_MIN);
        self.last += 1;
        let id = LeaseId(self.last);
        self.held
            .insert(id, Lease { ttl: whole, ends_at: now + whole, keys: BTreeSet::new(), is_ending: false });
        id
    }

    pub(super) fn renew(&mut self, id: LeaseId, now: Instant) -> Result<(), StoreError> {
        let lease = self.held.get_mut(&id).filter(|lease| !lease.is_ending);
        let lease = lease.ok_or(StoreError::LeaseGone(id))?;
        lease.ends_at = now + lease.ttl;
        Ok(())
    }

    /// Whether every lease that `txn` puts keys under is held.
    pub(super) fn check(&self, txn: &Txn) -> Result<(), StoreError> {
        let leases = txn.ops.iter().filter_map(|op| match op {
            Op::Put { lease, .. } => *lease,
            Op::Delete { .. } => None,
        });
        match leases.into_iter().find(|id| self.held.get(id).is_none_or(|lease| lease.is_ending)) {
            Some(gone) => Err(StoreError::LeaseGone(gone)),
            None => Ok(()),
        }
    }

    /// Notes which lease each written key hangs on now.
    pub(super) fn note(&mut self, effects: &[Effect]) {
        for Effect { key, lease, .. } in effects {
            if let Some(before) = self.of_key.remove(key).and_then(|id| self.held.get_mut(&id)) {
                before.keys.remove(key);
            }
            if let Some(lease) = lease {
                self.of_key.insert(key.clone(), *lease);
                self.held.entry(*lease).and_modify(|held| {
                    held.keys.insert(key.clone());
                });
            }
        }
    }

    /// Begins to end a lease: from now on it is gone for its holder. Returns the keys to take away before
    /// [`Leases::end`]; none when it has been renewed after all. May be repeated when taking them away failed.
    pub(super) fn begin_end(
        &mut self,
        id: LeaseId,
        why: End,
        now: Instant,
    ) -> Result<Option<Vec<Arc<str>>>, StoreError> {
        let lease = self.held.get_mut(&id).ok_or(StoreError::LeaseGone(id))?;
        if why == End::Expired && lease.ends_at > now {
            return Ok(None);
        }
        lease.is_ending = true;
        lease.ends_at = lease.ends_at.min(now);
        Ok(Some(lease.keys.iter().cloned().collect()))
    }

    pub(super) fn end(&mut self, id: LeaseId) {
        self.held.remove(&id);
    }

    /// When the next lease ends, unless it is renewed.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.held.values().map(|lease| lease.ends_at).min()
    }

    /// The leases that have ended by `now`.
    pub(super) fn ended(&self, now: Instant) -> Vec<LeaseId> {
        self.held.iter().filter(|(_, lease)| lease.ends_at <= now).map(|(id, _)| *id).collect()
    }
}

/// The transaction that takes the keys of an ended lease away.
pub(super) fn farewell(keys: Vec<Arc<str>>) -> Txn {
    Txn { guards: Vec::new(), ops: keys.into_iter().map(|key| Op::Delete { key }).collect() }
}
