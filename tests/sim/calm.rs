//! Worlds in which nothing fails by itself: how they run, and when they have come to rest.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::checks::convergence::unsettled;
use crate::checks::{Checks, Reality};
use crate::seeded::chaos::World;
use crate::seeded::{BOUND, panics};

/// Does `work` on one thread, in time that passes when nothing is left to do. What panicked meanwhile is kept for
/// [`panics::take`].
pub(crate) fn in_virtual_time<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime can be made");
    panics::forget();
    runtime.block_on(work)
}

/// Waits until everything is as wanted; tells what is not when it takes too long.
pub(crate) async fn settle(
    world: &mut World,
    checks: &Arc<Mutex<Checks>>,
    reality: &Reality,
) -> Option<String> {
    let begun = Instant::now();
    loop {
        world.run_until(Instant::now() + Duration::from_secs(1)).await;
        let left = unsettled(checks.lock().unwrap().scene(), reality, world.servers.caches());
        if left.is_none() || begun.elapsed() > BOUND {
            return left;
        }
    }
}
