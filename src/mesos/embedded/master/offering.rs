//! Offers: when an allocation runs and what it offers to whom.
//!
//! As in Mesos, resources that come back wait for the next tick of the interval, while a new or revived framework and
//! a new agent are served at once. Without anything to offer there are no ticks.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::state::{Agent, Master, OfferRecord, Timer};
use crate::mesos::embedded::allocator::is_worth_offering;
use crate::mesos::embedded::bundle::Bundle;
use crate::mesos::embedded::shares::Rank;
use crate::mesos::wire::offer::{Address, Url};
use crate::mesos::wire::resource::AllocationInfo;
use crate::mesos::wire::scheduler::{Event, Offers};
use crate::mesos::wire::{AgentId, Capability, DomainInfo, EventType, FrameworkId, Offer, OfferId};

impl Master {
    /// Lets the next tick of the interval allocate.
    pub(super) fn plan_allocation(&mut self) {
        if self.allocation_planned {
            return;
        }
        self.allocation_planned = true;
        let interval = self.config.allocation_interval.as_nanos().max(1);
        let since = self.intervals_from.elapsed().as_nanos();
        let wait = u64::try_from(interval - since % interval).unwrap_or(u64::MAX);
        self.plan(Instant::now() + std::time::Duration::from_nanos(wait), Timer::Allocate);
    }

    /// Counts the allocation intervals anew: a tick that is planned happens now, later ones whole intervals from now.
    pub(super) fn begin_interval(&mut self) {
        self.intervals_from = Instant::now();
        let planned = self.timers.iter().find(|(_, timer)| **timer == Timer::Allocate).map(|(at, _)| *at);
        if let Some(at) = planned {
            self.timers.remove(&at);
            self.allocation_planned = false;
            self.allocate();
        }
    }

    /// Offers everything that is free and wanted; each framework gets one event.
    pub(super) fn allocate(&mut self) {
        let has_some = |(id, agent): &(&AgentId, &Agent)| {
            agent.link.is_some() && !agent.free.is_empty() && self.registry.is_active(id)
        };
        let agents: Vec<AgentId> = self.agents.iter().filter(has_some).map(|(id, _)| id.clone()).collect();
        self.allocate_on(agents);
    }

    /// Offers what is free and wanted on these agents, which are connected.
    pub(super) fn allocate_on(&mut self, agents: Vec<AgentId>) {
        self.counts.allocations += 1;
        let now = Instant::now();
        let total = self.total.clone();
        let mut made: BTreeMap<FrameworkId, Vec<Offer>> = BTreeMap::new();
        for agent_id in agents {
            // One who knows nothing of lent resources leaves them to the next.
            while let Some((framework_id, role)) = self.next_taker(&agent_id, &total, now) {
                let Some(offer) = self.make_offer(&framework_id, &role, &agent_id) else { break };
                made.entry(framework_id).or_default().push(offer);
            }
        }
        for (framework_id, offers) in made {
            let event = Event { offers: Some(Offers { offers }), ..Event::of(EventType::Offers) };
            self.tell(&framework_id, event);
        }
        self.ask_back();
    }

    /// The framework and role whose turn it is of those that want what is free on this agent.
    fn next_taker(
        &mut self,
        agent_id: &AgentId,
        total: &Bundle,
        now: Instant,
    ) -> Option<(FrameworkId, String)> {
        let agent = self.agents.get(agent_id)?;
        let lent = agent.free.lent();
        let own = (!lent.is_empty()).then(|| without(&agent.free, &lent));
        let region = DomainInfo::region;
        let home = self.config.domain.as_ref().and_then(region);
        let there = agent.info.domain.as_ref().and_then(region);
        let is_remote = home.is_some() && there.is_some() && home != there;
        let mut wanting: Vec<(FrameworkId, String)> = Vec::new();
        for (framework_id, framework) in &mut self.frameworks {
            if framework.stream.is_none() || (is_remote && !framework.info.has(Capability::RegionAware)) {
                continue;
            }
            let borrows = framework.info.has(Capability::RevocableResources);
            let free = own.as_ref().filter(|_| !borrows).unwrap_or(&agent.free);
            if free.is_empty() {
                continue;
            }
            for role in framework.roles() {
                let minimum = framework.info.offer_filters.get(&role);
                let wanted = !framework.suppressed.contains(&role)
                    && is_worth_offering(free, minimum)
                    && !framework.filters.hides(&role, agent_id, free, now);
                if wanted {
                    wanting.push((framework_id.clone(), role));
                }
            }
        }
        if wanting.len() < 2 {
            return wanting.pop();
        }
        let rank =
            |(id, role): &(FrameworkId, String)| self.shares.rank(role, id, total, &self.registry.weights);
        let ranks = wanting.iter().map(rank);
        ranks.min_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal)).map(Rank::taker)
    }

    /// Moves all that is free on an agent into an offer, without what it lends unless the framework knows what that means.
    fn make_offer(&mut self, framework_id: &FrameworkId, role: &str, agent_id: &AgentId) -> Option<Offer> {
        let id = self.next_offer_id();
        let unavailability = self.agents.get(agent_id).and_then(|agent| self.unavailability(agent));
        let agent = self.agents.get_mut(agent_id)?;
        let framework = self.frameworks.get_mut(framework_id)?;
        let mut free = std::mem::take(&mut agent.free);
        if !framework.info.has(Capability::RevocableResources) {
            agent.free = free.lent();
            free = without(&free, &agent.free);
        }
        self.shares.hold(role, framework_id, &free);
        framework.offers.insert(id.clone());
        framework.counts.offers_sent += 1;
        agent.offers.insert(id.clone());
        let resources = free.allocated(role);
        let mut offer = wire_offer(&id, framework_id, role, agent, &resources);
        offer.unavailability = unavailability;
        if !framework.info.has(Capability::MultiRole) {
            // Such a framework has one role, and may not know of allocation to roles.
            offer.allocation_info = None;
            offer.resources.iter_mut().for_each(|resource| resource.allocation_info = None);
        }
        let record = OfferRecord {
            framework: framework_id.clone(),
            agent: agent_id.clone(),
            role: role.to_owned(),
            resources,
        };
        self.offers.insert(id.clone(), record);
        if let Some(timeout) = self.config.offer_timeout {
            self.plan(Instant::now() + timeout, Timer::OfferTimeout { offer: id });
        }
        Some(offer)
    }
}

/// What is left of `free` without a part of it.
fn without(free: &Bundle, part: &Bundle) -> Bundle {
    let mut left = free.clone();
    let whole = left.take(part);
    debug_assert!(whole, "what is taken out is a part");
    left
}

/// An offer as it is told.
pub(super) fn wire_offer(
    id: &OfferId,
    framework_id: &FrameworkId,
    role: &str,
    agent: &Agent,
    resources: &Bundle,
) -> Offer {
    let info = &agent.info;
    Offer {
        id: id.clone(),
        framework_id: framework_id.clone(),
        agent_id: info.id.clone().unwrap_or_default(),
        hostname: info.hostname.clone(),
        resources: resources.resources(),
        attributes: info.attributes.clone(),
        url: Some(wire_url(agent)),
        allocation_info: Some(AllocationInfo { role: Some(role.to_owned()) }),
        domain: info.domain.clone(),
        executor_ids: agent.executors_of(framework_id),
        ..Offer::default()
    }
}

/// Where an agent listens.
pub(super) fn wire_url(agent: &Agent) -> Url {
    let info = &agent.info;
    let address =
        Address { hostname: Some(info.hostname.clone()), ip: Some(agent.ip.clone()), port: info.port() };
    Url {
        scheme: "http".to_owned(),
        address: Some(address),
        path: Some("/slave(1)".to_owned()),
        ..Url::default()
    }
}
