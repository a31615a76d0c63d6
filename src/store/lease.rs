//! Leases of the stores that keep time themselves: which are held, until when, and which keys hang on them. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::decision::Effect;
use super::{LeaseId, Op, StoreError, Txn};

/// The shortest lease.
const TTL_MIN: Duration = Duration::from_secs(1);
/// A shorter lease says that a process is there, and ends with it. A longer one is for what is kept for a while.
const OUTLIVES_PROCESS: Duration = Duration::from_secs(60);
/// The low bits of an id are the seconds of its lease, so that whoever finds a key under it knows them; the others count.
const TTL_BITS: u32 = 24;
const TTL_MAX: u64 = (1 << TTL_BITS) - 1;

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

impl Lease {
    fn new(ttl: Duration, now: Instant) -> Lease {
        Lease { ttl, ends_at: now + ttl, keys: BTreeSet::new(), is_ending: false }
    }
}

/// The number of a lease and its time.
fn parts(LeaseId(id): LeaseId) -> (i64, Duration) {
    (id >> TTL_BITS, Duration::from_secs(id.unsigned_abs() & TTL_MAX))
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
        let seconds = (ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)).min(TTL_MAX);
        let whole = Duration::from_secs(seconds).max(TTL_MIN);
        self.last += 1;
        let id = LeaseId(self.last << TTL_BITS | i64::try_from(whole.as_secs()).unwrap_or_default());
        self.held.insert(id, Lease::new(whole, now));
        id
    }

    /// The leases of a former process, by the keys that stand under them: each begins anew. Returned beside them are the keys of
    /// those that ended with it.
    pub(super) fn take_up(
        leased: impl Iterator<Item = (Arc<str>, LeaseId)>,
        now: Instant,
    ) -> (Leases, Vec<Arc<str>>) {
        let (mut leases, mut over) = (Leases::default(), Vec::new());
        for (key, id) in leased {
            let (number, ttl) = parts(id);
            if number == 0 || ttl < OUTLIVES_PROCESS {
                over.push(key);
                continue;
            }
            leases.last = leases.last.max(number);
            leases.held.entry(id).or_insert_with(|| Lease::new(ttl, now)).keys.insert(key.clone());
            leases.of_key.insert(key, id);
        }
        (leases, over)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_leases_outlive_the_process_for_their_whole_time_and_short_ones_do_not() {
        let now = Instant::now();
        let mut former = Leases::default();
        let (leader, events) =
            (former.grant(Duration::from_secs(10), now), former.grant(Duration::from_millis(3_599_001), now));
        let key = |name: &str| -> Arc<str> { name.into() };
        // The last is of a version whose ids told nothing.
        let found = [("leader", leader), ("a", events), ("b", events), ("old", LeaseId(4000))];
        let later = now + Duration::from_secs(100);
        let (mut leases, over) = Leases::take_up(found.map(|(name, id)| (key(name), id)).into_iter(), later);
        assert_eq!(over, [key("leader"), key("old")]);
        assert_eq!(leases.next_end(), Some(later + Duration::from_secs(3600)));
        assert_eq!(leases.begin_end(events, End::Revoked, later).unwrap(), Some(vec![key("a"), key("b")]));
        assert!(leases.renew(leader, later).is_err());
        assert_ne!(leases.grant(Duration::from_secs(3600), later), events, "an id is given once");
    }
}
