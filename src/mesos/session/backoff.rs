//! How long to wait before subscribing again.
//!
//! An attempt that reaches no master is cheap. A subscription that is made and breaks at once is not: for the master each is a
//! failover, with all offers made and all tasks asked about anew. So it does not count as a success before it was of use.

use std::ops::Range;
use std::time::Duration;

use super::SessionConfig;

/// What went wrong in a row.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    max_broken: Duration,
    /// Attempts that failed since the last subscription.
    failed: u32,
    /// Subscriptions that broke since the last one that was of use.
    useless: u32,
}

impl Backoff {
    pub(super) fn new(config: &SessionConfig) -> Backoff {
        let SessionConfig { backoff_min: min, backoff_max: max, backoff_broken: max_broken, .. } = *config;
        Backoff { min, max, max_broken, failed: 0, useless: 0 }
    }

    /// Between which bounds to wait after an attempt without a subscription.
    ///
    /// From zero on: many schedulers that lost one master do not come back in step.
    pub(super) fn after_failure(&mut self) -> Range<Duration> {
        let longest = doubled(self.min, self.failed, self.max);
        self.failed = self.failed.saturating_add(1);
        Duration::ZERO..longest
    }

    /// Between which bounds to wait after a subscription has broken.
    pub(super) fn after_break(&mut self, was_of_use: bool) -> Range<Duration> {
        self.failed = 0;
        self.useless = if was_of_use { 0 } else { self.useless.saturating_add(1) };
        let longest = doubled(self.min, self.useless, self.max_broken);
        let shortest = if was_of_use { Duration::ZERO } else { longest / 2 };
        shortest..longest
    }

    /// How many subscriptions in a row were of no use.
    pub(super) fn useless(&self) -> u32 {
        self.useless
    }
}

fn doubled(first: Duration, times: u32, max: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times)).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff() -> Backoff {
        Backoff::new(&SessionConfig::default())
    }

    #[test]
    fn waits_double_up_to_their_limits() {
        let mut backoff = backoff();
        let failures: Vec<_> = (0..40).map(|_| backoff.after_failure().end.as_millis()).collect();
        assert_eq!((&failures[..6], failures[39]), (&[500, 1000, 2000, 4000, 8000, 15_000][..], 15_000));
        let breaks: Vec<_> = (0..40).map(|_| backoff.after_break(false).end.as_millis()).collect();
        assert_eq!((&breaks[..6], breaks[39]), (&[1000, 2000, 4000, 8000, 16_000, 30_000][..], 30_000));
    }

    #[test]
    fn a_subscription_that_was_of_no_use_ends_failures_and_not_breaks() {
        let mut backoff = backoff();
        for useless in 1..=3 {
            backoff.after_failure();
            backoff.after_failure();
            backoff.after_break(false);
            assert_eq!(backoff.useless(), useless);
        }
        assert_eq!(backoff.after_failure(), Duration::ZERO..Duration::from_millis(500));
        assert_eq!(backoff.after_break(false), Duration::from_secs(4)..Duration::from_secs(8));
        assert_eq!(backoff.after_break(true), Duration::ZERO..Duration::from_millis(500));
        assert_eq!(backoff.useless(), 0);
    }
}
