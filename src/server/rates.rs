//! How often something may happen, counted for each of many: so much at once, and so much a second after that.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

/// Those of whom nothing was heard for long are forgotten when there are more than this.
const KNOWN_MAX: usize = 4_096;

/// A budget of the same size for each key.
#[derive(Debug)]
pub(crate) struct Rates {
    per_second: f64,
    burst: f64,
    /// What each has left, and when that was so. Who has all stands here no longer than room is short.
    left: Mutex<BTreeMap<String, (f64, Timestamp)>>,
}

impl Rates {
    /// `burst` at once, and `per_second` after that.
    pub(crate) fn of(per_second: f64, burst: f64) -> Rates {
        Rates { per_second, burst, left: Mutex::default() }
    }

    /// Takes one of what `key` has left; false when that is nothing.
    pub(crate) fn take(&self, key: &str, now: Timestamp) -> bool {
        let mut all = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KNOWN_MAX && !all.contains_key(key) {
            all.retain(|_, (left, at)| self.after(*left, *at, now) < self.burst);
        }
        let (left, at) = all.entry(key.to_owned()).or_insert((self.burst, now));
        let now_left = self.after(*left, *at, now);
        let is_enough = now_left >= 1.0;
        (*left, *at) = (if is_enough { now_left - 1.0 } else { now_left }, now.max(*at));
        is_enough
    }

    fn after(&self, left: f64, at: Timestamp, now: Timestamp) -> f64 {
        // A clock that is set back gives nothing.
        let seconds = now.duration_since(at).as_secs_f64().max(0.0);
        (left + seconds * self.per_second).min(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_burst_and_then_a_rate() {
        let rates = Rates::of(2.0, 3.0);
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        let taken = |key, millis| (0..9).filter(|_| rates.take(key, at(millis))).count();
        assert_eq!(taken("ann", 0), 3);
        assert_eq!(taken("bob", 0), 3, "another has their own");
        assert_eq!(taken("ann", 400), 0);
        assert_eq!(taken("ann", 500), 1);
        assert_eq!(taken("ann", 100), 0, "a clock that is set back gives nothing");
        assert_eq!(taken("ann", 60_000), 3, "no more than a burst");
    }

    #[test]
    fn those_who_have_all_are_forgotten_when_there_are_many() {
        let rates = Rates::of(1.0, 2.0);
        for key in 0..3 * KNOWN_MAX {
            let second = i64::try_from(key).unwrap();
            assert!(rates.take(&key.to_string(), Timestamp::from_second(second).unwrap()));
        }
        assert!(rates.left.lock().unwrap().len() <= KNOWN_MAX);
    }
}
