//! Which instances go first when there are too many: the least useful, then by `kill.selection`.
//!
//! As in Marathon: cut-off before unplaced before starting before running; among running ones unhealthy before not
//! ready before ready; among equals the youngest or the oldest by the time they were first seen running, those that
//! never ran first. Ties are broken by name.

use std::cmp::Ordering;

use super::instance::Instance;
use crate::api::{KillSelection, Phase};

/// `Less` goes first.
pub(super) fn compare(a: &Instance<'_>, b: &Instance<'_>, selection: KillSelection) -> Ordering {
    usefulness(a)
        .cmp(&usefulness(b))
        .then_with(|| a.started.is_some().cmp(&b.started.is_some()))
        .then_with(|| match selection {
            KillSelection::YoungestFirst => b.started.cmp(&a.started),
            KillSelection::OldestFirst => a.started.cmp(&b.started),
        })
        .then_with(|| a.name().cmp(b.name()))
}

fn usefulness(instance: &Instance<'_>) -> u8 {
    match instance.phase {
        _ if !instance.reachable => 0,
        Phase::Pending => 1,
        Phase::Bound | Phase::Launching => 2,
        Phase::Running if instance.ready => 5,
        Phase::Running if instance.healthy => 4,
        Phase::Running | Phase::Stopping | Phase::Finished | Phase::Failed | Phase::Lost => 3,
    }
}
