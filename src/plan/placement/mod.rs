//! Which offer each waiting Task gets.
//!
//! One pass looks at all waiting Tasks and all leased offers of one Mesos role. Tasks of one Revision are one *class* and ask for the
//! same; offers of one agent count as one. A class takes the agent in use least (the greater of its used shares of
//! cpus and memory; then the fewest Tasks of ours; then a hash of its id) that fits and that its constraints accept.
//! Classes take turns, the one that has waited longest first, so a large one does not starve the others. Agents with
//! gpus are taken last by those who want none; one on which Tasks of the class keep failing is taken last by that class
//! (`failures`).
//!
//! [`Index`] keeps what a pass needs (agents in order of use, also by value of an attribute; waiting Tasks by class;
//! where a class's Tasks are) up to date change by change. Within a pass free room only shrinks, so an agent that has
//! refused a class is not asked again, and values of an attribute that a constraint refuses are passed over as a whole
//! (`walk`): a pass costs about one look per binding, never one per agent and Task. From pass to pass, a class that all
//! have refused is offered only to agents that got better.

mod amount;
mod class;
mod constraint;
mod demand;
mod explain;
mod failures;
mod index;
mod lease;
mod order;
mod pass;
mod ports;
#[cfg(test)]
mod region_tests;
mod room;
mod takers;
#[cfg(test)]
mod tests;
mod values;
mod walk;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Again, ObjectName};

pub use amount::{Resources, Scalar};
pub use class::Class;
pub use constraint::ConstraintError;
pub use demand::{Demand, DemandState};
pub use explain::{Closest, NoOfferFits, Refusal, Shortfall, explain};
pub use index::{Change, Index};
pub use lease::{Decline, LeasePolicy};
pub use ports::{PortRange, PortSet};
pub use takers::takers;

/// An agent, as Mesos names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AgentId(pub Arc<str>);

/// An offer, as Mesos names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OfferId(pub Arc<str>);

impl fmt::Display for AgentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for OfferId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The slow facts of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// The agent.
    pub id: AgentId,
    /// Host name or address.
    pub hostname: Arc<str>,
    /// Region of its fault domain.
    pub region: Option<Arc<str>>,
    /// Zone of its fault domain.
    pub zone: Option<Arc<str>>,
    /// Attributes as constraints compare them.
    pub attributes: BTreeMap<String, Arc<str>>,
    /// All that the machine has, used or not; zero where unknown. What it lends is none of it.
    pub totals: Resources,
    /// Whether new Tasks may be placed on it: false while it drains or is going into maintenance.
    pub accepts: bool,
    /// Whether containers can be started on it.
    pub runs_containers: bool,
}

impl Agent {
    /// An agent of which nothing else is known.
    #[must_use]
    pub fn new(id: &str, hostname: &str) -> Self {
        Self {
            id: AgentId(id.into()),
            hostname: hostname.into(),
            region: None,
            zone: None,
            attributes: BTreeMap::new(),
            totals: Resources::default(),
            accepts: true,
            runs_containers: true,
        }
    }
}

/// A lease on a part of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The offer.
    pub id: OfferId,
    /// Whose resources they are.
    pub agent: AgentId,
    /// Scalars on offer, those that are lent beside the others.
    pub free: Resources,
    /// Host ports on offer.
    pub ports: PortSet,
    /// When it came.
    pub received: Timestamp,
}

/// What a pass may look at.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// The present.
    pub now: Timestamp,
    /// Decides among free ports; another one for each pass.
    pub seed: u64,
    /// Agents, offers, classes and Tasks.
    pub index: &'a Index,
    /// The most bindings to make.
    pub limit: usize,
    /// How long offers are kept.
    pub leases: &'a LeasePolicy,
    /// What the cluster was last told about our demand.
    pub demand: DemandState,
    /// Until when a Task that is not there yet may want an offer: an update is under way, or a backoff is about to end.
    pub imminent: Option<Timestamp>,
    /// What there is in other roles.
    pub elsewhere: Elsewhere,
}

/// What a pass must know of the other roles of the framework. Offers are made to one role each, so a pass is about one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// Whether Tasks wait there: what this role does not take at once may be offered to them.
    pub waits: bool,
    /// How many there are.
    pub roles: usize,
}

/// A Task and its place. All bindings on one agent name the same offers and go into one ACCEPT; what they leave of
/// those offers goes back to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The Task.
    pub task: ObjectName,
    /// Its Revision.
    pub class: ObjectName,
    /// Where it goes.
    pub agent: AgentId,
    /// The agent's host name or address.
    pub hostname: Arc<str>,
    /// All offers of that agent.
    pub offers: Vec<OfferId>,
    /// What it takes of them.
    pub resources: Resources,
    /// One per port of the template; 0 for one without a host port.
    pub ports: Vec<u16>,
}

/// Tasks of a class that got no offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Their Revision. [`explain()`] tells why they wait.
    pub class: ObjectName,
    /// How many.
    pub tasks: usize,
    /// Since when the first of them waits.
    pub since: Timestamp,
}

/// What to do about offers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a plan that nobody carries out changes nothing"]
pub struct Plan {
    /// In the order in which they were decided. Their offers are spent: apply [`Change::OfferGone`] for each.
    pub bindings: Vec<Binding>,
    /// Offers whose lease is over. They are gone too.
    pub declines: Vec<Decline>,
    /// What to tell the cluster about our demand.
    pub demand: Demand,
    /// Classes with Tasks that got nothing, the longest waiting first.
    pub waiting: Vec<Waiting>,
    /// Classes that every agent refused: apply [`Change::Refused`] for each, with `seen`, and the next pass asks only
    /// agents that got better since. Told by a pass that bound nothing, so it holds whatever becomes of bindings.
    pub refused: Vec<ObjectName>,
    /// The state of the index that the pass looked at.
    pub seen: u64,
    /// How many Tasks had come to wait by then, since the index began.
    pub arrivals: u64,
    /// Whether the limit was reached and another pass would bind more.
    pub more: bool,
    /// When to look again.
    pub again: Again,
}

/// Classes with Tasks that wait, the longest waiting first: what there is to tell while there is no cluster to ask.
#[must_use]
pub fn waiting(index: &Index) -> Vec<Waiting> {
    pass::all_waiting(index)
}

/// One pass over all waiting Tasks and leased offers.
pub fn plan(snapshot: &Snapshot<'_>) -> Plan {
    let placed = pass::place(snapshot.index, snapshot.now, snapshot.seed, snapshot.limit);
    // One that waits for a better agent takes what there is after that.
    let relents = if let Again::At(at) = placed.again { Some(at) } else { None };
    let soon = snapshot.imminent.filter(|it| *it > snapshot.now).max(relents);
    let release = lease::release(snapshot, &placed, soon);
    let (demand, again) = demand::demand(snapshot, &placed, release.held, soon);
    let idle = placed.bindings.is_empty();
    Plan {
        bindings: placed.bindings,
        declines: release.declines,
        demand,
        waiting: placed.waiting,
        refused: if idle { placed.refused } else { Vec::new() },
        seen: snapshot.index.version,
        arrivals: snapshot.index.arrivals(),
        more: placed.more,
        again: placed.again.sooner(release.again).sooner(again),
    }
}
