//! Exponential backoff with jitter: how long the n-th failure in a row waits.

use std::time::Duration;

use crate::env::Env;

/// The shape of a backoff; it keeps no state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub initial: Duration,
    /// No wait is longer (before jitter).
    pub max: Duration,
    /// What each further failure multiplies the wait by.
    pub factor: f64,
    /// Waits are spread over `[1 - spread, 1 + spread]`, so that what failed together does not retry together.
    pub spread: f64,
}

impl Backoff {
    /// For work inside this process and for calls to store and master: 100 ms doubling to 30 s.
    pub const RETRY: Backoff = Backoff {
        initial: Duration::from_millis(100),
        max: Duration::from_secs(30),
        factor: 2.0,
        spread: 0.2,
    };

    /// The wait after `failures` failures in a row (1 for the first); zero for none.
    #[must_use]
    pub fn after(&self, failures: u32, env: &Env) -> Duration {
        if failures == 0 {
            return Duration::ZERO;
        }
        let steps = i32::try_from(failures - 1).unwrap_or(i32::MAX);
        let secs = self.initial.as_secs_f64() * self.factor.powi(steps);
        env.jitter(Duration::from_secs_f64(secs.min(self.max.as_secs_f64())), self.spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_the_maximum_and_are_spread() {
        let env = Env::simulated("test", 1, jiff::Timestamp::UNIX_EPOCH);
        let plain = Backoff { spread: 0.0, ..Backoff::RETRY };
        let waits: Vec<u128> =
            [0, 1, 2, 3, 9, 40, u32::MAX].iter().map(|n| plain.after(*n, &env).as_millis()).collect();
        assert_eq!(waits, [0, 100, 200, 400, 25_600, 30_000, 30_000]);
        let spread = Backoff::RETRY.after(1, &env).as_millis();
        assert!((80..=120).contains(&spread), "{spread} ms is outside of 100 ms +- 20 %");
    }
}
