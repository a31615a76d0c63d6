//! What the cluster is told about our demand.
//!
//! Once nothing waits, nothing is about to, nothing is held and nothing is on its way back from an ACCEPT, the cluster is told to
//! send no more (SUPPRESS). REVIVE asks again, and clears all filters of ours: every agent is offered anew. So it is sent for Tasks
//! that wait for offers and may not have been shown all that there is, and for nothing else: while offers are suppressed; when
//! something was refused before they came, which is hidden from them; and, as things go wrong that nobody tells, after they have
//! waited for long: a longer time each time, and never before the filters end by themselves.

use std::time::Duration;

use jiff::Timestamp;

use super::Snapshot;
use super::lease::LeasePolicy;
use super::pass::Placed;
use crate::plan::{Again, after};

/// What the cluster was last told, since the present session began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DemandState {
    /// Whether it was told to send nothing.
    pub suppressed: bool,
    /// When it was last told to send all offers, or tried to be.
    pub revived: Option<Timestamp>,
    /// How many REVIVE in a row led to no placement.
    pub fruitless: u32,
    /// When something was first refused since the last REVIVE: how many Tasks had come to wait by then
    /// ([`Plan::arrivals`](super::Plan::arrivals)). Those that came later have not seen it.
    pub filtered: Option<u64>,
    /// When offers were last accepted: what was left of them comes back.
    pub spent: Option<Timestamp>,
}

impl DemandState {
    /// At the beginning of a subscription: what an earlier one of the framework has refused may still be hidden from this one.
    #[must_use]
    pub fn subscribed(suppressed: bool) -> Self {
        Self { suppressed, filtered: Some(0), ..Self::default() }
    }

    /// At `now` the cluster was told this, or that failed.
    pub fn note(&mut self, demand: Demand, told: bool, now: Timestamp) {
        if demand == Demand::Revive {
            self.revived = Some(now);
            self.fruitless = self.fruitless.saturating_add(1);
        }
        if told && demand != Demand::Unchanged {
            self.suppressed = demand == Demand::Suppress;
            if demand == Demand::Revive {
                self.filtered = None;
            }
        }
    }
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

/// Judges demand after `placed` took what it could and `held` offers were kept; until `soon` more may be wanted.
pub(super) fn demand(
    snapshot: &Snapshot<'_>,
    placed: &Placed,
    held: usize,
    soon: Option<Timestamp>,
) -> (Demand, Again) {
    if placed.waiting.is_empty() { unneeded(snapshot, placed, held, soon) } else { needed(snapshot, placed) }
}

fn unneeded(
    snapshot: &Snapshot<'_>,
    placed: &Placed,
    held: usize,
    soon: Option<Timestamp>,
) -> (Demand, Again) {
    let told = snapshot.demand;
    if told.suppressed {
        return (Demand::Unchanged, Again::OnChange);
    }
    if let Some(soon) = soon {
        return (Demand::Unchanged, Again::At(soon));
    }
    if held > 0 || !placed.bindings.is_empty() {
        return (Demand::Unchanged, Again::OnChange);
    }
    let back = told.spent.map(|it| after(it, snapshot.leases.returning));
    match back.filter(|back| *back > snapshot.now) {
        Some(back) => (Demand::Unchanged, Again::At(back)),
        None => (Demand::Suppress, Again::OnChange),
    }
}

fn needed(snapshot: &Snapshot<'_>, placed: &Placed) -> (Demand, Again) {
    let (told, policy) = (snapshot.demand, snapshot.leases);
    let arrivals = placed.waiting.iter().filter_map(|it| snapshot.index.classes.get(&it.class)?.last_arrival);
    let (mut is_hidden, mut look_at) = (false, Again::OnChange);
    for (arrival, asks) in arrivals {
        is_hidden |= told.filtered.is_some_and(|filtered| arrival > filtered);
        look_at = look_at.sooner(Again::At(policy.next_look(told.revived, asks)));
    }
    let is_overdue = matches!(look_at, Again::At(at) if at <= snapshot.now);
    let is_shown = if told.suppressed { planted!("suppressed-for-ever") } else { !is_hidden && !is_overdue };
    if is_shown {
        return (Demand::Unchanged, look_at);
    }
    match told.revived.map(|it| after(it, policy.gap(told.fruitless))) {
        Some(allowed) if allowed > snapshot.now => (Demand::Unchanged, Again::At(allowed)),
        _ => (Demand::Revive, Again::OnChange),
    }
}

impl LeasePolicy {
    /// When all offers are asked for again for a Task that wants one since `asks`, whatever came meanwhile: after the filter with which
    /// what it does not fit is refused, then, counted from each REVIVE, after as long as it had waited by then.
    fn next_look(&self, revived: Option<Timestamp>, asks: Timestamp) -> Timestamp {
        let from = revived.map_or(asks, |revived| revived.max(asks));
        let waited = Duration::try_from(from.duration_since(asks)).unwrap_or(Duration::ZERO);
        after(from, waited.clamp(self.refuse_unfit, self.refuse_idle.max(self.refuse_unfit)))
    }

    /// The least time until the next REVIVE, after so many in a row that led to no placement.
    fn gap(&self, fruitless: u32) -> Duration {
        let grown = self.revive_gap * 2_u32.saturating_pow(fruitless.saturating_sub(1).min(10));
        grown.min(self.revive_gap_max.max(self.revive_gap))
    }
}
