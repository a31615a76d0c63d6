//! What a pass reads, kept up to date change by change.
//!
//! Changes may come in any order and more than once: a Task whose class or agent is not known yet is counted as soon
//! as it is. Applying all changes of a state in any order gives the same index, which tests check against one rebuilt.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::constraint::{Counts, Rule};
use super::failures::Failures;
use super::order::{Order, Rank};
use super::values::{FieldIx, Fields, Value, ValueIx};
use super::{Agent, AgentId, Class, Offer, OfferId, PortSet, Resources};
use crate::plan::ObjectName;

/// One thing that changed.
#[derive(Clone, Debug)]
pub enum Change {
    /// An agent is known, or known better.
    Agent(Agent),
    /// An agent is gone. Tasks on it count as on an unknown one.
    AgentGone(AgentId),
    /// An offer came.
    Offer(Offer),
    /// An offer was rescinded, declined, or spent.
    OfferGone(OfferId),
    /// A Revision has Tasks.
    Class(Class),
    /// A Revision has none any more.
    ClassGone(ObjectName),
    /// A Task has no place yet.
    Waiting {
        /// The Task.
        task: ObjectName,
        /// Its Revision.
        class: ObjectName,
        /// Since when it is there: the class that has waited longest comes first.
        since: Timestamp,
        /// Since when it wants an offer: later where something else was missing first.
        asks: Timestamp,
    },
    /// A Task is bound, and neither ended nor given up.
    Placed {
        /// The Task.
        task: ObjectName,
        /// Its Revision.
        class: ObjectName,
        /// Where it is.
        agent: AgentId,
    },
    /// A Task has failed, and is still known.
    Failed {
        /// The Task.
        task: ObjectName,
        /// Its Revision.
        class: ObjectName,
        /// Where it was.
        agent: AgentId,
        /// When it ended.
        at: Timestamp,
    },
    /// A Task has ended otherwise, was given up, was deleted, or was stopped before it had a place.
    TaskGone(ObjectName),
    /// A pass found that no agent takes a Task of the class; the next one asks only agents that got better since.
    Refused {
        /// The Revision.
        class: ObjectName,
        /// The index that the pass looked at, by [`Plan::seen`](super::Plan::seen).
        seen: u64,
    },
}

/// Agents, offers, classes and Tasks, arranged for placement.
#[derive(Clone, Debug, Default)]
pub struct Index {
    pub(super) agents: Vec<AgentEntry>,
    by_id: BTreeMap<AgentId, AgentIx>,
    known: usize,
    offers: BTreeMap<OfferId, AgentIx>,
    /// How many agents we hold offers of.
    holders: usize,
    /// Offers by age.
    pub(super) leases: BTreeSet<(Timestamp, OfferId)>,
    /// Agents with offers that accept Tasks, least used first.
    pub(super) order: Order,
    /// What rules speak of; the agents of `order` by their values.
    pub(super) fields: Fields,
    pub(super) classes: BTreeMap<ObjectName, ClassEntry>,
    /// Classes that are known and have waiting Tasks.
    pub(super) waiting: BTreeSet<ObjectName>,
    tasks: BTreeMap<ObjectName, TaskEntry>,
    /// How many times a Task began to wait.
    arrivals: u64,
    /// Counts changes after which an agent may take what it refused, or a class be taken where it was refused.
    pub(super) version: u64,
    /// Agents by the version at which they last got better.
    better: BTreeMap<u64, AgentIx>,
}

/// A dense number for an agent, valid within one index.
pub(super) type AgentIx = u32;

/// What is known of one agent.
#[derive(Clone, Debug)]
pub(super) struct AgentEntry {
    pub(super) id: AgentId,
    /// Nothing but the id may be known when a Task or an offer names it first.
    pub(super) facts: Option<Agent>,
    pub(super) offers: BTreeMap<OfferId, Offer>,
    /// The sum of its offers.
    pub(super) free: Resources,
    pub(super) ports: PortSet,
    /// Our Tasks on it, and their classes.
    tasks: BTreeMap<ObjectName, ObjectName>,
    /// What those of them take whose class is known.
    taken: Resources,
    pub(super) rank: Option<Rank>,
    tie: u64,
    /// The version at which it last got better.
    better: u64,
}

/// What is known of one class.
#[derive(Clone, Debug, Default)]
pub(super) struct ClassEntry {
    pub(super) class: Option<Arc<Class>>,
    pub(super) waiting: BTreeSet<(Timestamp, ObjectName)>,
    /// Which arrival its last one was, and when: of those that wait now, or that waited beside them.
    pub(super) last_arrival: Option<(u64, Timestamp)>,
    placed: BTreeMap<ObjectName, AgentIx>,
    pub(super) failures: Failures,
    /// Per rule: the field that it is about.
    pub(super) fields: Vec<FieldIx>,
    /// Per rule: where the placed ones are.
    pub(super) counts: Vec<Counts>,
    /// The version at which the class or what its rules compare last changed.
    changed: u64,
    /// The version of which every agent has refused it.
    refused: Option<u64>,
}

impl ClassEntry {
    fn is_empty(&self) -> bool {
        self.class.is_none() && self.waiting.is_empty() && self.placed.is_empty() && self.failures.is_empty()
    }
}

#[derive(Clone, Debug)]
struct TaskEntry {
    class: ObjectName,
    place: Place,
}

impl TaskEntry {
    fn is_at(&self, class: &ObjectName, place: Place) -> bool {
        self.class == *class && self.place == place
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Waiting(Timestamp),
    On(AgentIx),
    FailedOn(AgentIx, Timestamp),
}

impl Index {
    /// An index of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one change in. Costs the logarithm of what is known, not its size.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Agent(agent) => self.set_facts(&agent.id.clone(), Some(agent)),
            Change::AgentGone(id) => self.set_facts(&id, None),
            Change::Offer(offer) => self.add_offer(offer),
            Change::OfferGone(id) => self.remove_offer(&id),
            Change::Class(class) => self.set_class(class),
            Change::ClassGone(name) => self.forget_class(&name),
            Change::Waiting { task, class, since, asks } => {
                if self.set_task(&task, Some((class.clone(), Place::Waiting(since)))) {
                    self.arrive(&class, asks);
                }
            }
            Change::Placed { task, class, agent } => {
                let at = self.number(&agent);
                self.set_task(&task, Some((class, Place::On(at))));
            }
            Change::Failed { task, class, agent, at } => {
                let agent = self.number(&agent);
                self.set_task(&task, Some((class, Place::FailedOn(agent, at))));
            }
            Change::TaskGone(task) => {
                self.set_task(&task, None);
            }
            Change::Refused { class, seen } => {
                let entry = self.classes.get_mut(&class).filter(|it| it.changed <= seen);
                if let Some(entry) = entry {
                    entry.refused = Some(seen);
                }
            }
        }
    }

    /// Agents that may take a Task of the class although it was refused before; `None` if any may, or more than `most`.
    pub(super) fn better_for(&self, entry: &ClassEntry, most: usize) -> Option<Vec<AgentIx>> {
        let better = self.better.range(entry.refused? + 1..).map(|(_, agent)| *agent);
        let better: Vec<_> = better.take(most + 1).collect();
        (better.len() <= most).then_some(better)
    }

    fn got_better(&mut self, agent: AgentIx) {
        self.version += 1;
        let version = self.version;
        let before = std::mem::replace(&mut self.entry_mut(agent).better, version);
        self.better.remove(&before);
        self.better.insert(version, agent);
    }

    /// How many Tasks wait, of all classes.
    #[must_use]
    pub fn waiting_tasks(&self) -> usize {
        self.waiting.iter().filter_map(|it| self.classes.get(it)).map(|it| it.waiting.len()).sum()
    }

    /// Whether Tasks wait.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many agents are known by more than their id.
    #[must_use]
    pub fn known_agents(&self) -> usize {
        self.known
    }

    /// Whether we hold offers of this agent, or Tasks are bound to it.
    #[must_use]
    pub fn is_in_use(&self, agent: &AgentId) -> bool {
        let entry = self.by_id.get(agent).map(|agent| self.entry(*agent));
        entry.is_some_and(|it| !it.offers.is_empty() || !it.tasks.is_empty())
    }

    /// How many times a Task began to wait.
    #[must_use]
    pub fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// How many agents we hold offers of.
    #[must_use]
    pub fn holders(&self) -> usize {
        self.holders
    }

    /// Whose offer it is.
    pub(super) fn holder(&self, offer: &OfferId) -> Option<AgentIx> {
        self.offers.get(offer).copied()
    }

    /// How many offers are held.
    #[must_use]
    pub fn held_offers(&self) -> usize {
        self.offers.len()
    }

    /// What an agent has free: by its offers, or, while we hold none of it, what our Tasks leave of all that it has. An
    /// offer that was just spent comes back with that. What is lent no total has: that is free by offers alone.
    pub(super) fn free_on(agent: &AgentEntry) -> Resources {
        match &agent.facts {
            Some(facts) if agent.offers.is_empty() => facts.totals.minus(&agent.taken),
            _ => agent.free,
        }
    }

    pub(super) fn entry(&self, agent: AgentIx) -> &AgentEntry {
        &self.agents[agent as usize]
    }

    /// The value of a field that an agent has, if it is known and has one.
    pub(super) fn value(&self, agent: AgentIx, field: FieldIx) -> Option<Value<'_>> {
        let values = self.fields.of(field);
        values.on(agent).map(|it| values.numbered(it))
    }

    fn entry_mut(&mut self, agent: AgentIx) -> &mut AgentEntry {
        &mut self.agents[agent as usize]
    }

    fn number(&mut self, id: &AgentId) -> AgentIx {
        if let Some(&known) = self.by_id.get(id) {
            return known;
        }
        let agent = AgentIx::try_from(self.agents.len()).unwrap_or(AgentIx::MAX);
        self.by_id.insert(id.clone(), agent);
        self.agents.push(AgentEntry::new(id.clone()));
        agent
    }

    fn set_facts(&mut self, id: &AgentId, facts: Option<Agent>) {
        let agent = self.number(id);
        if self.entry(agent).facts == facts {
            return;
        }
        self.unrank(agent);
        let tasks: Vec<_> =
            self.entry(agent).tasks.iter().map(|(task, class)| (task.clone(), class.clone())).collect();
        for (_, class) in &tasks {
            self.count(class, agent, Counts::remove);
        }
        let (before, now) = (self.entry(agent).facts.is_some(), facts.is_some());
        self.known = self.known + usize::from(now) - usize::from(before);
        self.entry_mut(agent).facts = facts;
        self.number_values(agent);
        for (_, class) in &tasks {
            self.count(class, agent, Counts::add);
        }
        self.got_better(agent);
        self.rank(agent);
    }

    fn add_offer(&mut self, offer: Offer) {
        self.remove_offer(&offer.id.clone());
        let agent = self.number(&offer.agent);
        self.unrank(agent);
        self.offers.insert(offer.id.clone(), agent);
        self.leases.insert((offer.received, offer.id.clone()));
        let entry = self.entry_mut(agent);
        let is_first = entry.offers.is_empty();
        entry.offers.insert(offer.id.clone(), offer);
        entry.sum_up();
        self.holders += usize::from(is_first);
        self.got_better(agent);
        self.rank(agent);
    }

    fn remove_offer(&mut self, id: &OfferId) {
        let Some(agent) = self.offers.remove(id) else { return };
        self.unrank(agent);
        let entry = self.entry_mut(agent);
        let gone = entry.offers.remove(id);
        let was_last = entry.offers.is_empty();
        entry.sum_up();
        self.holders -= usize::from(was_last);
        if let Some(offer) = gone {
            self.leases.remove(&(offer.received, offer.id));
        }
        self.rank(agent);
    }

    fn set_class(&mut self, class: Class) {
        self.weigh(&class.name, Resources::minus);
        let fields = self.number_fields(&class);
        let entry = self.classes.entry(class.name.clone()).or_default();
        let places: Vec<_> = entry.placed.values().copied().collect();
        entry.counts = vec![Counts::default(); class.rules.len()];
        entry.fields = fields;
        self.version += 1;
        (entry.changed, entry.refused) = (self.version, None);
        let name = class.name.clone();
        if !entry.waiting.is_empty() {
            self.waiting.insert(name.clone());
        }
        entry.class = Some(Arc::new(class));
        self.weigh(&name, Resources::plus);
        for agent in places {
            self.count(&name, agent, Counts::add);
        }
    }

    /// Adds to or takes from what is taken of agents, for all placed Tasks of a class.
    fn weigh(&mut self, class: &ObjectName, change: fn(&Resources, &Resources) -> Resources) {
        let Some(entry) = self.classes.get(class) else { return };
        let Some(class) = &entry.class else { return };
        for agent in entry.placed.values() {
            let taken = &mut self.agents[*agent as usize].taken;
            *taken = change(taken, &class.wants);
        }
    }

    /// What a Task of the class takes, if that is known.
    fn wants(&self, class: &ObjectName) -> Resources {
        let class = self.classes.get(class).and_then(|it| it.class.as_deref());
        class.map_or_else(Resources::default, |it| it.wants)
    }

    fn forget_class(&mut self, name: &ObjectName) {
        self.waiting.remove(name);
        self.weigh(name, Resources::minus);
        if let Some(entry) = self.classes.get_mut(name) {
            entry.class = None;
            entry.counts.clear();
            entry.fields.clear();
        }
        self.drop_if_empty(name);
    }

    fn drop_if_empty(&mut self, name: &ObjectName) {
        if self.classes.get(name).is_some_and(ClassEntry::is_empty) {
            self.classes.remove(name);
        }
    }

    /// A Task of the class began to wait.
    fn arrive(&mut self, class: &ObjectName, asks: Timestamp) {
        self.arrivals += 1;
        if let Some(entry) = self.classes.get_mut(class) {
            entry.last_arrival = Some((self.arrivals, asks));
        }
    }

    /// Whether that is new.
    fn set_task(&mut self, task: &ObjectName, new: Option<(ObjectName, Place)>) -> bool {
        let is_same = |old: &TaskEntry| new.as_ref().is_some_and(|(class, place)| old.is_at(class, *place));
        if self.tasks.get(task).is_some_and(is_same) {
            return false;
        }
        if let Some(TaskEntry { class, place }) = self.tasks.remove(task) {
            match place {
                Place::Waiting(since) => self.take_from_queue(&class, since, task),
                Place::On(agent) => self.take_from_agent(&class, agent, task),
                Place::FailedOn(..) => {
                    self.classes.get_mut(&class).into_iter().for_each(|it| it.failures.remove(task));
                }
            }
            self.drop_if_empty(&class);
        }
        let Some((class, place)) = new else { return true };
        let entry = self.classes.entry(class.clone()).or_default();
        match place {
            Place::Waiting(since) => {
                entry.waiting.insert((since, task.clone()));
                if entry.class.is_some() {
                    self.waiting.insert(class.clone());
                }
            }
            Place::On(agent) => {
                entry.placed.insert(task.clone(), agent);
                self.unrank(agent);
                let wants = self.wants(&class);
                let at = self.entry_mut(agent);
                at.tasks.insert(task.clone(), class.clone());
                at.taken = at.taken.plus(&wants);
                self.count(&class, agent, Counts::add);
                self.rank(agent);
            }
            Place::FailedOn(agent, at) => entry.failures.add(task.clone(), agent, at),
        }
        self.tasks.insert(task.clone(), TaskEntry { class, place });
        true
    }

    fn take_from_queue(&mut self, class: &ObjectName, since: Timestamp, task: &ObjectName) {
        let Some(entry) = self.classes.get_mut(class) else { return };
        entry.waiting.remove(&(since, task.clone()));
        if entry.waiting.is_empty() {
            entry.last_arrival = None;
            self.waiting.remove(class);
        }
    }

    fn take_from_agent(&mut self, class: &ObjectName, agent: AgentIx, task: &ObjectName) {
        self.unrank(agent);
        let wants = self.wants(class);
        let at = self.entry_mut(agent);
        at.tasks.remove(task);
        at.taken = at.taken.minus(&wants);
        if let Some(entry) = self.classes.get_mut(class) {
            entry.placed.remove(task);
        }
        self.count(class, agent, Counts::remove);
        self.rank(agent);
    }

    /// Adds to or takes from what the rules of `class` compare, for one Task on `agent`.
    fn count(&mut self, class: &ObjectName, agent: AgentIx, change: fn(&mut Counts, Option<ValueIx>)) {
        let Some(entry) = self.classes.get_mut(class) else { return };
        let Some(class) = &entry.class else { return };
        let rules = class.rules.iter().zip(&entry.fields).zip(&mut entry.counts);
        for ((_, field), counts) in rules.filter(|((rule, _), _)| rule.compares()) {
            change(counts, self.fields.of(*field).on(agent));
            self.version += 1;
            (entry.changed, entry.refused) = (self.version, None);
        }
    }

    /// The numbers of the fields that the rules of a class are about. By those that it looks agents up by they are
    /// arranged from now on.
    fn number_fields(&mut self, class: &Class) -> Vec<FieldIx> {
        let number = |rule: &Rule| {
            let (number, new) = self.fields.number(&rule.field);
            let values = self.fields.of_mut(number);
            if new {
                for (agent, entry) in (0..).zip(&self.agents) {
                    values.set(agent, entry.facts.as_ref().and_then(|it| rule.field.on(it)));
                }
            }
            if rule.looks_up() && values.by_value().is_none() {
                values.arrange(self.agents.iter().filter_map(|it| it.rank));
            }
            number
        };
        class.rules.iter().map(number).collect()
    }

    /// Looks up an agent's values, after they may have changed. It must not be in any order.
    fn number_values(&mut self, agent: AgentIx) {
        let facts = self.agents[agent as usize].facts.as_ref();
        for values in self.fields.iter_mut() {
            let value = facts.and_then(|it| values.field.on(it)).cloned();
            values.set(agent, value.as_ref());
        }
    }

    /// Takes an agent out of all orders, before anything changes that they depend on.
    fn unrank(&mut self, agent: AgentIx) {
        let entry = &mut self.agents[agent as usize];
        let Some(rank) = entry.rank.take() else { return };
        self.order.remove(&rank);
        self.fields.unrank(&rank);
    }

    /// Puts an agent into all orders, if it has something to give.
    fn rank(&mut self, agent: AgentIx) {
        let entry = &mut self.agents[agent as usize];
        let accepts = entry.facts.as_ref().is_some_and(|it| it.accepts);
        if !accepts || entry.offers.is_empty() {
            return;
        }
        let rank = entry.rank_with(agent, &entry.free, entry.our_tasks());
        entry.rank = Some(rank);
        self.order.insert(rank);
        self.fields.rank(rank);
    }
}

impl AgentEntry {
    fn new(id: AgentId) -> Self {
        Self {
            tie: fnv(&id.0),
            id,
            facts: None,
            offers: BTreeMap::new(),
            free: Resources::default(),
            ports: PortSet::default(),
            tasks: BTreeMap::new(),
            taken: Resources::default(),
            rank: None,
            better: 0,
        }
    }

    pub(super) fn our_tasks(&self) -> u32 {
        u32::try_from(self.tasks.len()).unwrap_or(u32::MAX)
    }

    /// The rank with so much free and so many Tasks.
    pub(super) fn rank_with(&self, agent: AgentIx, free: &Resources, tasks: u32) -> Rank {
        let totals = self.facts.as_ref().map_or(Resources::default(), |it| it.totals);
        Rank::new(agent, self.tie, &totals, free, tasks, self.free.gpus > 0)
    }

    fn sum_up(&mut self) {
        self.free = self.offers.values().fold(Resources::default(), |sum, it| sum.plus(&it.free));
        self.ports = self.offers.values().flat_map(|it| it.ports.ranges().iter().copied()).collect();
    }
}

/// FNV-1a: short, stable, and good enough to break ties.
fn fnv(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}
