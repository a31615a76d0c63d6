//! Desired-state walks: people change every field of an App, well and badly and at the same time, through the real write path,
//! in a world that runs; then what they came to is wanted in a world that knows nothing else, and both must be the same.
//!
//! A change that is accepted is stored as it was meant, whoever else writes; one that is refused names its field and changes
//! nothing. From a bad state the way leads back to a good one.

mod actors;
mod fields;
mod recovery;
mod route;
mod stage;
mod wishes;

use std::collections::BTreeSet;
use std::fmt;

use self::stage::Stage;
use crate::calm::in_virtual_time;
use crate::seeded::panics;

/// What became of a walk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Walk {
    pub(crate) seed: u64,
    /// Everything that was found wrong, in order.
    pub(crate) broken: Vec<String>,
    /// Fields whose stored value was changed.
    pub(crate) changed: BTreeSet<String>,
    /// All fields that the schema has.
    pub(crate) fields: BTreeSet<String>,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) recovered: u64,
    pub(crate) tail: String,
}

impl fmt::Display for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "walk {} fails:", self.seed)?;
        self.broken.iter().take(60).try_for_each(|what| writeln!(f, "  {what}"))?;
        writeln!(f, "the end of its log:\n{}", self.tail)?;
        write!(f, "replay with: hack/sim --walks 1 --from {}", self.seed)
    }
}

/// Takes one walk. Equal seeds give equal walks.
pub(crate) fn walk(seed: u64) -> Walk {
    let mut walk = in_virtual_time(take(seed));
    walk.broken.extend(panics::take());
    walk
}

async fn take(seed: u64) -> Walk {
    let mut stage = Stage::set(seed).await;
    let mut walk = Walk { seed, ..Walk::default() };
    if let Err(problem) = stage.wander(&mut walk).await {
        walk.broken.push(problem);
    }
    walk.broken.extend(stage.checks.lock().unwrap().broken().iter().cloned());
    walk.tail = stage.world.sim.log_lock().tail();
    walk
}

/// Writes everything bad in every way; tells what was not refused as it should be.
pub(crate) fn everything_bad() -> Walk {
    let mut walk = in_virtual_time(async {
        let mut stage = Stage::set(1).await;
        let mut walk = Walk::default();
        if let Err(problem) = stage.be_bad(&mut walk).await {
            walk.broken.push(problem);
        }
        walk
    });
    walk.broken.extend(panics::take());
    walk
}
