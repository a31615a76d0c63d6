//! Why the Tasks of a class wait: what each agent refused, what comes closest, in words for people.
//!
//! A full look at all agents for one class: asked for when the reason is told, not in every pass. An agent of which we hold
//! no offer is judged by what it is known to have: offers are spent and come back all the time, and a reason that went
//! with them would be another one each time it is told.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use super::constraint::{Counts, Test};
use super::index::{AgentEntry, Index};
use super::values::Value;
use super::{Agent, AgentId, Class, Resources, Scalar};
use crate::plan::ObjectName;

/// Why one agent takes no Task of the class: the first of these, in this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// It drains or goes into maintenance.
    NotAccepting,
    /// The Tasks are containers, and it cannot start any.
    NoContainers,
    /// This constraint, as people write it.
    Constraint(Arc<str>),
    /// It is not in this region, the master's, and no constraint speaks of regions.
    OtherRegion(Arc<str>),
    /// Too little of this.
    TooLittle(Scalar),
    /// We hold no offer of it, and nothing else speaks against it.
    NoOffer,
    /// This host port is not free.
    PortTaken(u16),
    /// Too few free host ports.
    TooFewPorts,
    /// Tasks of the class keep failing there, so that another one is waited for first.
    KeepsFailing,
}

/// An amount that is asked for and not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// Of what.
    pub scalar: Scalar,
    /// Thousandths asked for.
    pub wants: u64,
    /// Thousandths there.
    pub has: u64,
}

/// The agent that would need the least to take a Task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closest {
    /// The agent.
    pub agent: AgentId,
    /// Its host name or address.
    pub hostname: Arc<str>,
    /// What it lacks; empty if it lacks ports only.
    pub missing: Vec<Shortfall>,
}

/// No offer fits a Task of the class, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoOfferFits {
    /// Agents known.
    pub agents: usize,
    /// How many agents refuse for which reason; those that would accept are not in it.
    pub refusals: BTreeMap<Refusal, usize>,
    /// Scalars of which no agent that the constraints accept has enough, with the most that one has.
    pub beyond: Vec<Shortfall>,
    /// The agent with the least missing, among those that the constraints accept.
    pub closest: Option<Closest>,
}

/// Looks at every agent for the class at `now`; `None` if the class is not known.
#[must_use]
pub fn explain(index: &Index, class: &ObjectName, now: Timestamp) -> Option<NoOfferFits> {
    let entry = index.classes.get(class)?;
    let avoided = entry.failures.avoided(now);
    let wanted = entry.class.as_deref()?;
    let agents = (0..).zip(&index.agents);
    let known: Vec<_> = agents.filter_map(|(at, it)| Some((at, it, it.facts.as_ref()?))).collect();
    let mut refusals = BTreeMap::new();
    let mut most = Resources::default();
    let mut closest: Option<(u64, Closest)> = None;
    for (at, agent, facts) in &known {
        let values = entry.fields.iter().map(|field| index.value(*at, *field));
        let free = Index::free_on(agent);
        let refused = refusal(agent, facts, &free, wanted, values.zip(&entry.counts));
        let fails = avoided.contains(at).then_some(Refusal::KeepsFailing);
        let Some(refusal) = refused.or(fails) else { continue };
        if matches!(refusal, Refusal::TooLittle(_) | Refusal::PortTaken(_) | Refusal::TooFewPorts) {
            most = maximum(&most, &free);
            let missing = shortfalls(&wanted.wants, &free);
            let distance = missing.iter().map(distance).sum();
            if closest.as_ref().is_none_or(|(least, it)| (distance, &agent.id) < (*least, &it.agent)) {
                let (agent, hostname) = (agent.id.clone(), facts.hostname.clone());
                closest = Some((distance, Closest { agent, hostname, missing }));
            }
        }
        *refusals.entry(refusal).or_insert(0) += 1;
    }
    let beyond = if closest.is_some() { shortfalls(&wanted.wants, &most) } else { Vec::new() };
    Some(NoOfferFits { agents: known.len(), refusals, beyond, closest: closest.map(|(_, it)| it) })
}

/// Why the agent takes no Task; of each rule of the class: the agent's value, and where the Tasks are.
pub(super) fn refusal<'a>(
    agent: &AgentEntry,
    facts: &Agent,
    free: &Resources,
    class: &Class,
    judged: impl Iterator<Item = (Option<Value<'a>>, &'a Counts)>,
) -> Option<Refusal> {
    if !facts.accepts {
        return Some(Refusal::NotAccepting);
    }
    if !class.runs_on(facts.runs_containers) {
        return Some(Refusal::NoContainers);
    }
    let mut rules = class.rules.iter().zip(judged);
    if let Some((rule, _)) = rules.find(|(rule, (value, counts))| !rule.accepts(*value, counts)) {
        return Some(match &rule.test {
            Test::AtHome(region) => Refusal::OtherRegion(region.clone()),
            _ => Refusal::Constraint(rule.text().into()),
        });
    }
    if let Some(scalar) = class.wants.lacks_in(free) {
        return Some(Refusal::TooLittle(scalar));
    }
    if agent.offers.is_empty() {
        return Some(Refusal::NoOffer);
    }
    if let Some(port) = class.fixed_ports().find(|it| !agent.ports.contains(*it)) {
        return Some(Refusal::PortTaken(port));
    }
    (agent.ports.len() < class.host_ports()).then_some(Refusal::TooFewPorts)
}

fn shortfalls(wants: &Resources, has: &Resources) -> Vec<Shortfall> {
    Scalar::ALL
        .into_iter()
        .map(|scalar| Shortfall { scalar, wants: wants.of(scalar), has: has.of(scalar) })
        .filter(|it| it.wants > it.has)
        .collect()
}

/// The missing part in millionths, so that amounts of different scalars can be added.
fn distance(shortfall: &Shortfall) -> u64 {
    let missing = u128::from(shortfall.wants - shortfall.has) * 1_000_000;
    u64::try_from(missing / u128::from(shortfall.wants.max(1))).unwrap_or(u64::MAX)
}

fn maximum(one: &Resources, other: &Resources) -> Resources {
    Resources {
        cpus: one.cpus.max(other.cpus),
        memory: one.memory.max(other.memory),
        disk: one.disk.max(other.disk),
        gpus: one.gpus.max(other.gpus),
        lent_cpus: one.lent_cpus.max(other.lent_cpus),
        lent_memory: one.lent_memory.max(other.lent_memory),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAccepting => formatter.write_str("drained or in maintenance"),
            Self::NoOffer => formatter.write_str("without an offer"),
            Self::NoContainers => formatter.write_str("without a Docker engine that answers"),
            Self::Constraint(text) => write!(formatter, "refused by the constraint {text}"),
            Self::OtherRegion(home) => {
                write!(formatter, "outside {home}, the master's region, and no constraint names @region")
            }
            Self::TooLittle(scalar) => write!(formatter, "with too little {scalar}"),
            Self::PortTaken(port) => write!(formatter, "without host port {port} free"),
            Self::TooFewPorts => formatter.write_str("with too few free host ports"),
            Self::KeepsFailing => formatter.write_str("to be taken last, as its tasks keep failing there"),
        }
    }
}

impl fmt::Display for NoOfferFits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.agents == 0 {
            return formatter.write_str("no agent is known");
        }
        if self.refusals.is_empty() {
            return formatter.write_str("an offer fits and is about to be used");
        }
        for (index, Shortfall { scalar, wants, has }) in self.beyond.iter().enumerate() {
            let comma = if index == 0 { "" } else { "; " };
            let (wants, has) = (scalar.show(*wants), scalar.show(*has));
            write!(formatter, "{comma}{scalar}: wants {wants}, the largest free agent has {has}")?;
        }
        match &self.closest {
            Some(closest) if self.beyond.is_empty() && !closest.missing.is_empty() => {
                write!(formatter, "no agent has all of it free: {} comes closest", closest.hostname)?;
                for (index, Shortfall { scalar, wants, has }) in closest.missing.iter().enumerate() {
                    let word = if index == 0 { " and lacks" } else { "," };
                    let (wants, has) = (scalar.show(*wants), scalar.show(*has));
                    write!(formatter, "{word} {scalar} (wants {wants}, has {has})")?;
                }
            }
            Some(_) if self.beyond.is_empty() => formatter.write_str("no agent has the host ports free")?,
            None => formatter.write_str("no offer may be used")?,
            Some(_) => {}
        }
        write!(formatter, " (of {} agents", self.agents)?;
        for (index, (refusal, agents)) in self.refusals.iter().enumerate() {
            let comma = if index == 0 { ":" } else { "," };
            write!(formatter, "{comma} {agents} {refusal}")?;
        }
        formatter.write_str(")")
    }
}
