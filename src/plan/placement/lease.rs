//! Which offers are kept, and what the cluster is told about our demand.
//!
//! An offer is held for a lease, so that several decisions can use it without the cluster being asked each time. When
//! the lease is over it is declined with a filter: a long one if nothing waits, a shorter one if what waits needs other
//! offers. While a Task is about to want one, it is kept a while longer. Once nothing waits, nothing is held and nothing is
//! on its way back from an ACCEPT, the cluster is told to send no more (SUPPRESS); REVIVE, which also clears the filters,
//! asks again, never more often than `revive_gap`.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::pass::Placed;
use super::{OfferId, Snapshot};
use crate::plan::{Again, after};

/// How long offers are kept and refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasePolicy {
    /// The lease of an offer.
    pub hold: Duration,
    /// The longest that an offer is kept for a Task that is about to want one.
    pub hold_imminent: Duration,
    /// How long an agent's resources are refused when nothing waits.
    pub refuse_idle: Duration,
    /// How long they are refused while something waits that they do not fit.
    pub refuse_unfit: Duration,
    /// The least time between two REVIVE.
    pub revive_gap: Duration,
    /// How long the rest of an accepted offer may take to come back: several allocation intervals of the master.
    pub returning: Duration,
    /// REVIVE is repeated when for so long nothing was offered although something waits.
    pub silence: Duration,
}

impl LeasePolicy {
    /// For a cluster that is shared with other frameworks: what is not needed goes back soon.
    #[must_use]
    pub fn shared() -> Self {
        Self {
            hold: Duration::from_secs(5),
            hold_imminent: Duration::from_secs(30),
            refuse_idle: Duration::from_secs(3600),
            refuse_unfit: Duration::from_secs(120),
            revive_gap: Duration::from_secs(5),
            returning: Duration::from_secs(5),
            silence: Duration::from_secs(60),
        }
    }

    /// For a cluster of our own: holding harms nobody and gives the whole picture.
    #[must_use]
    pub fn sole() -> Self {
        Self {
            hold: Duration::from_secs(300),
            hold_imminent: Duration::from_secs(900),
            refuse_unfit: Duration::from_secs(5),
            ..Self::shared()
        }
    }
}

/// What the cluster was last told, since the present session began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DemandState {
    /// Whether it was told to send nothing.
    pub suppressed: bool,
    /// When it was last told to send offers: REVIVE, or SUBSCRIBE without suppressed roles.
    pub revived: Option<Timestamp>,
    /// When something was last declined with a filter.
    pub filtered: Option<Timestamp>,
    /// When offers last came.
    pub heard: Option<Timestamp>,
    /// When offers were last accepted: what was left of them comes back.
    pub spent: Option<Timestamp>,
}

/// What to tell the cluster about our demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Nothing new.
    Unchanged,
    /// Send no more offers.
    Suppress,
    /// Send all offers, filtered ones too.
    Revive,
}

/// An offer to give back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decline {
    /// The offer.
    pub offer: OfferId,
    /// How long the same resources are not to be offered again.
    pub refuse: Duration,
}

pub(super) struct Release {
    pub(super) declines: Vec<Decline>,
    pub(super) demand: Demand,
    pub(super) again: Again,
}

/// Ends leases and judges demand, after `placed` took what it could.
pub(super) fn release(snapshot: &Snapshot<'_>, placed: &Placed) -> Release {
    let waits = !placed.waiting.is_empty();
    let spent: BTreeSet<_> = placed.bindings.iter().flat_map(|it| &it.offers).collect();
    let refuse = if waits { snapshot.leases.refuse_unfit } else { snapshot.leases.refuse_idle };
    let hold = if snapshot.imminent { snapshot.leases.hold_imminent } else { snapshot.leases.hold };
    let mut declines = Vec::new();
    let mut again = Again::OnChange;
    for (received, offer) in snapshot.index.leases.iter().filter(|(_, offer)| !spent.contains(offer)) {
        let ends = after(*received, hold);
        if ends > snapshot.now || placed.more {
            again = Again::At(ends); // the oldest that stays ends first
            break;
        }
        declines.push(Decline { offer: offer.clone(), refuse });
    }
    let held = snapshot.index.held_offers() - spent.len() - declines.len();
    let (demand, next) = demand(snapshot, placed, held);
    Release { declines, demand, again: again.sooner(next) }
}

fn demand(snapshot: &Snapshot<'_>, placed: &Placed, held: usize) -> (Demand, Again) {
    let told = snapshot.demand;
    let newest = placed.waiting.iter().map(|it| it.since).max();
    if newest.is_none() && !snapshot.imminent {
        if held > 0 || !placed.bindings.is_empty() || told.suppressed {
            return (Demand::Unchanged, Again::OnChange);
        }
        let back = told.spent.map(|it| after(it, snapshot.leases.returning));
        return match back.filter(|back| *back > snapshot.now) {
            Some(back) => (Demand::Unchanged, Again::At(back)),
            None => (Demand::Suppress, Again::OnChange),
        };
    }
    let unheard = |since: Option<Timestamp>| told.revived.is_none_or(|at| since.is_some_and(|it| it > at));
    let refused = told.filtered.is_some() && unheard(told.filtered) && newest.is_some() && unheard(newest);
    let silent_from = told.heard.max(told.revived);
    let silent_at = silent_from.map(|it| after(it, snapshot.leases.silence)).filter(|_| newest.is_some());
    let silent = silent_at.is_some_and(|at| at <= snapshot.now);
    if (!told.suppressed || planted!("suppressed-for-ever")) && !refused && !silent {
        return (Demand::Unchanged, silent_at.map_or(Again::OnChange, Again::At));
    }
    match told.revived.map(|it| after(it, snapshot.leases.revive_gap)) {
        Some(allowed) if allowed > snapshot.now => (Demand::Unchanged, Again::At(allowed)),
        _ => (Demand::Revive, Again::OnChange),
    }
}
