//! Which offers are kept.
//!
//! An offer is held for a lease, so that several decisions can use it without the cluster being asked each time; a while longer
//! while Tasks are about to come that may want it. When the lease is over it is declined with a filter: a long one if nothing
//! waits, a shorter one if what waits needs other offers.
//!
//! Where others share the cluster, what a pass leaves is kept on a share of the agents only, whatever waits: those in use
//! least, which would be taken next. The rest goes back after a glance, in which every loop sees what is there. So does what a
//! role of ours leaves while Tasks of another one wait: Mesos offers what is free on an agent to one of them at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::index::{AgentIx, Index};
use super::order::Rank;
use super::pass::Placed;
use super::{OfferId, Snapshot};
use crate::plan::{Again, after};

/// How long offers are kept and refused, and how often more are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasePolicy {
    /// The lease of an offer.
    pub hold: Duration,
    /// The longest that an offer is kept for a Task that is about to want one.
    pub hold_imminent: Duration,
    /// Offers of one in so many known agents may be held for longer than a glance; of all, where absent.
    pub share: Option<usize>,
    /// How long every offer is kept.
    pub glance: Duration,
    /// How long an agent's resources are refused when nothing waits.
    pub refuse_idle: Duration,
    /// How long they are refused while something waits that they do not fit, or is about to.
    pub refuse_unfit: Duration,
    /// The least time between two REVIVE.
    pub revive_gap: Duration,
    /// The most that it grows to while REVIVE after REVIVE leads to no placement.
    pub revive_gap_max: Duration,
    /// How long the rest of an accepted offer may take to come back: several allocation intervals of the master.
    pub returning: Duration,
}

/// The longest that an offer is kept for a Task that is about to want one while Tasks of another role wait.
const YIELD: Duration = Duration::from_secs(30);
/// Whatever the share is, offers of so many agents may be held.
pub(super) const FEW: usize = 4;

impl LeasePolicy {
    /// For a cluster that is shared with other frameworks: what is not needed goes back soon.
    #[must_use]
    pub fn shared() -> Self {
        Self {
            hold: Duration::from_secs(5),
            hold_imminent: Duration::from_secs(30),
            share: Some(4),
            glance: Duration::from_secs(1),
            refuse_idle: Duration::from_secs(3600),
            refuse_unfit: Duration::from_secs(120),
            revive_gap: Duration::from_secs(5),
            revive_gap_max: Duration::from_secs(30),
            returning: Duration::from_secs(5),
        }
    }

    /// For a cluster of our own: holding harms nobody and gives the whole picture.
    #[must_use]
    pub fn sole() -> Self {
        Self {
            hold: Duration::from_secs(300),
            hold_imminent: Duration::from_secs(900),
            share: None,
            refuse_unfit: Duration::from_secs(5),
            ..Self::shared()
        }
    }

    /// The most agents of which offers are held for longer than a glance, of so many that are known, by one of so many roles. They
    /// have equal parts: what lies in another one for a glance must not take away what is kept here for an update.
    fn most(&self, known: usize, roles: usize) -> usize {
        self.share.map_or(usize::MAX, |share| (known / share.max(1) / roles).max(FEW))
    }
}

/// An offer to give back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decline {
    /// The offer.
    pub offer: OfferId,
    /// How long the same resources are not to be offered again.
    pub refuse: Duration,
}

/// What is given back of what a pass left.
pub(super) struct Release {
    pub(super) declines: Vec<Decline>,
    /// Offers that stay held.
    pub(super) held: usize,
    pub(super) again: Again,
}

/// Ends leases after `placed` took what it could; until `soon` more may be wanted.
pub(super) fn release(snapshot: &Snapshot<'_>, placed: &Placed, soon: Option<Timestamp>) -> Release {
    let spent: BTreeSet<_> = placed.bindings.iter().flat_map(|it| &it.offers).collect();
    let left = snapshot.index.held_offers() - spent.len();
    if placed.more {
        return Release { declines: Vec::new(), held: left, again: Again::OnChange };
    }
    let mut ending = Ending { index: snapshot.index, offers: Vec::new(), by_agent: BTreeMap::new() };
    let mut kept = snapshot.index.leases.iter().filter(|(_, offer)| !spent.contains(offer)).peekable();
    while let Some((_, offer)) =
        kept.next_if(|(received, _)| lease_end(snapshot, *received, soon) <= snapshot.now)
    {
        ending.end(offer);
    }
    // The oldest that stays ends first.
    let mut again =
        kept.peek().map_or(Again::OnChange, |(received, _)| Again::At(lease_end(snapshot, *received, soon)));
    let bound: BTreeSet<_> = placed.bindings.iter().map(|it| &it.agent).collect();
    let most = snapshot.leases.most(snapshot.index.known_agents(), 1 + snapshot.elsewhere.roles);
    if snapshot.index.holders() - bound.len() - ending.agents() > most {
        let seen = |received| after(received, snapshot.leases.glance);
        let old: Vec<_> =
            std::iter::from_fn(|| kept.next_if(|(received, _)| seen(*received) <= snapshot.now)).collect();
        again = again.sooner(kept.peek().map_or(Again::OnChange, |(received, _)| Again::At(seen(*received))));
        ending.excess(old.into_iter().map(|(_, offer)| offer), most, &placed.wanted);
    }
    let is_idle = placed.waiting.is_empty() && soon.is_none();
    let refuse = if is_idle { snapshot.leases.refuse_idle } else { snapshot.leases.refuse_unfit };
    let declines: Vec<_> = ending.offers.into_iter().map(|offer| Decline { offer, refuse }).collect();
    Release { held: left - declines.len(), declines, again }
}

/// When the lease of an offer ends that came at `received`. An older one ends no later.
fn lease_end(snapshot: &Snapshot<'_>, received: Timestamp, soon: Option<Timestamp>) -> Timestamp {
    let policy = snapshot.leases;
    let (hold, imminent) = match snapshot.elsewhere.waits {
        true => (policy.glance, policy.hold_imminent.min(YIELD)),
        false => (policy.hold, policy.hold_imminent),
    };
    let end = after(received, hold);
    soon.map_or(end, |soon| end.max(soon.min(after(received, imminent))))
}

/// Offers whose leases end.
struct Ending<'a> {
    index: &'a Index,
    offers: Vec<OfferId>,
    /// How many, of each agent.
    by_agent: BTreeMap<AgentIx, usize>,
}

impl Ending<'_> {
    fn end(&mut self, offer: &OfferId) {
        if let Some(agent) = self.index.holder(offer) {
            *self.by_agent.entry(agent).or_default() += 1;
            self.offers.push(offer.clone());
        }
    }

    /// The agents of which nothing stays held.
    fn agents(&self) -> usize {
        self.by_agent.keys().filter(|agent| self.left_of(**agent) == 0).count()
    }

    /// Ends the leases of `offers` on all agents but `most` of them. Those that take no Tasks go first, then those in use most;
    /// those that are `wanted` stay in any case, and those that have other offers, as one may do together with another.
    fn excess<'o>(
        &mut self,
        offers: impl Iterator<Item = &'o OfferId>,
        most: usize,
        wanted: &BTreeSet<AgentIx>,
    ) {
        let mut of_agents: BTreeMap<AgentIx, Vec<&OfferId>> = BTreeMap::new();
        for offer in offers {
            if let Some(agent) = self.index.holder(offer) {
                of_agents.entry(agent).or_default().push(offer);
            }
        }
        of_agents.retain(|agent, offers| self.left_of(*agent) == offers.len());
        let rank = |agent: AgentIx| self.index.entry(agent).rank;
        let mut agents: Vec<(Option<Rank>, AgentIx)> = of_agents.keys().map(|it| (rank(*it), *it)).collect();
        agents.sort_unstable_by_key(|(rank, agent)| (rank.is_none(), *rank, *agent));
        for (_, agent) in agents.into_iter().skip(most).filter(|(_, agent)| !wanted.contains(agent)) {
            of_agents[&agent].iter().for_each(|offer| self.end(offer));
        }
    }

    /// How many offers of an agent stay held.
    fn left_of(&self, agent: AgentIx) -> usize {
        self.index.entry(agent).offers.len() - self.by_agent.get(&agent).copied().unwrap_or(0)
    }
}
