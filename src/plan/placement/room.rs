//! What is left of each agent during a pass, and the agents in order of use while it shrinks.

use super::index::{AgentEntry, AgentIx, Index};
use super::order::{ByValue, Order, Rank, Sharers};
use super::ports::Chance;
use super::values::{FieldIx, Value, ValueIx, Values};
use super::{Class, PortSet, Resources};
use crate::api::HostPort;

/// The agents of a pass. Room only shrinks, and ranks only move back.
pub(super) struct Room<'a> {
    index: &'a Index,
    order: Order,
    /// Per field: the agents by its values, if some class looks agents up by them.
    by_value: Vec<Option<Arranged<'a>>>,
    /// Per agent: its place in `working` plus one, 0 while it is untouched.
    touched: Vec<u32>,
    working: Vec<Working>,
    /// How often an agent was asked whether it takes a Task.
    #[cfg(test)]
    looks: std::cell::Cell<usize>,
}

/// The agents by the values of one field, as in the index but for those values whose agents were moved.
pub(super) struct Arranged<'a> {
    values: &'a Values,
    index: &'a ByValue,
    /// Per value: its place in `working` plus one, 0 while none of its agents was moved.
    touched: Vec<u32>,
    working: Vec<Sharers>,
    without: Sharers,
}

/// What is left of one agent.
struct Working {
    free: Resources,
    /// Copied from the index once a Task takes one.
    ports: Option<PortSet>,
    tasks: u32,
    rank: Rank,
}

impl<'a> Room<'a> {
    pub(super) fn new(index: &'a Index) -> Self {
        Self {
            index,
            order: index.order.clone(),
            by_value: index.fields.iter().map(Arranged::new).collect(),
            touched: vec![0; index.agents.len()],
            working: Vec::new(),
            #[cfg(test)]
            looks: std::cell::Cell::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn count_look(&self) {
        self.looks.set(self.looks.get() + 1);
    }

    #[cfg(test)]
    pub(super) fn looks(&self) -> usize {
        self.looks.get()
    }

    /// All agents with offers that accept Tasks.
    pub(super) fn order(&self) -> &Order {
        &self.order
    }

    /// The same by the values of a field, if some class has reason to look agents up by it.
    pub(super) fn by_value(&self, field: FieldIx) -> Option<&Arranged<'a>> {
        self.by_value[field].as_ref()
    }

    /// The value of a field that an agent has, if it is known and has one.
    pub(super) fn value(&self, agent: AgentIx, field: FieldIx) -> Option<Value<'a>> {
        self.index.value(agent, field)
    }

    pub(super) fn agent(&self, agent: AgentIx) -> &'a AgentEntry {
        self.index.entry(agent)
    }

    /// Where the agent stands now; `None` if it has nothing to give.
    pub(super) fn rank_of(&self, agent: AgentIx) -> Option<Rank> {
        self.working(agent).map_or_else(|| self.index.entry(agent).rank, |it| Some(it.rank))
    }

    /// Whether the agent can run one more Task of the class.
    pub(super) fn fits(&self, class: &Class, agent: AgentIx) -> bool {
        let entry = self.index.entry(agent);
        let working = self.working(agent);
        let free = working.map_or(&entry.free, |it| &it.free);
        let ports = working.and_then(|it| it.ports.as_ref()).unwrap_or(&entry.ports);
        entry.facts.as_ref().is_none_or(|it| class.runs_on(it.runs_containers))
            && class.wants.lacks_in(free).is_none()
            && ports.len() >= class.host_ports()
            && class.fixed_ports().all(|port| ports.contains(port))
    }

    /// Takes what one Task of the class needs from the agent at `rank`, which fits; its ports, one per port of the
    /// template.
    pub(super) fn take(&mut self, class: &Class, rank: Rank, chance: &mut Chance) -> Vec<u16> {
        let entry = self.index.entry(rank.agent);
        let at = self.touch(rank);
        let working = &mut self.working[at];
        working.free = working.free.minus(&class.wants);
        working.tasks += 1;
        let ports = if class.host_ports() == 0 {
            vec![0; class.ports.len()]
        } else {
            let left = working.ports.get_or_insert_with(|| entry.ports.clone());
            choose_ports(&class.ports, left, chance)
        };
        let moved = entry.rank_with(rank.agent, &working.free, working.tasks);
        working.rank = moved;
        self.shift(rank, moved);
        ports
    }

    fn working(&self, agent: AgentIx) -> Option<&Working> {
        let at = self.touched[agent as usize].checked_sub(1)?;
        self.working.get(at as usize)
    }

    fn touch(&mut self, rank: Rank) -> usize {
        let agent = rank.agent as usize;
        if self.touched[agent] == 0 {
            let entry = self.index.entry(rank.agent);
            self.working.push(Working { free: entry.free, ports: None, tasks: entry.our_tasks(), rank });
            self.touched[agent] = u32::try_from(self.working.len()).unwrap_or(u32::MAX);
        }
        self.touched[agent] as usize - 1
    }

    fn shift(&mut self, from: Rank, to: Rank) {
        self.order.remove(&from);
        self.order.insert(to);
        for arranged in self.by_value.iter_mut().flatten() {
            if let Some(sharers) = arranged.sharers_mut(arranged.values.on(from.agent)) {
                sharers.shift(&from, to);
            }
        }
    }
}

impl<'a> Arranged<'a> {
    fn new(values: &'a Values) -> Option<Self> {
        let index = values.by_value()?;
        let without = index.sharers(None)?.clone();
        Some(Self { values, index, touched: vec![0; index.len()], working: Vec::new(), without })
    }

    /// The values that agents have.
    pub(super) fn values(&self) -> &'a Values {
        self.values
    }

    /// The agents with this value.
    pub(super) fn sharers(&self, value: Option<ValueIx>) -> Option<&Sharers> {
        let Some(value) = value else { return Some(&self.without) };
        match self.touched.get(value.at())?.checked_sub(1) {
            Some(at) => self.working.get(at as usize),
            None => self.index.sharers(Some(value)),
        }
    }

    fn sharers_mut(&mut self, value: Option<ValueIx>) -> Option<&mut Sharers> {
        let Some(value) = value else { return Some(&mut self.without) };
        let touched = self.touched.get_mut(value.at())?;
        if *touched == 0 {
            self.working.push(self.index.sharers(Some(value))?.clone());
            *touched = u32::try_from(self.working.len()).unwrap_or(u32::MAX);
        }
        self.working.get_mut(*touched as usize - 1)
    }
}

/// One host port per port asked for, taken out of `free`, which has enough; 0 where none is asked for.
fn choose_ports(wanted: &[HostPort], free: &mut PortSet, chance: &mut Chance) -> Vec<u16> {
    // Fixed ones first: a free choice must not take them.
    for port in wanted {
        if let HostPort::Fixed(port) = port {
            free.take(*port);
        }
    }
    wanted
        .iter()
        .map(|port| match port {
            HostPort::None => 0,
            HostPort::Fixed(port) => *port,
            HostPort::Any => {
                let port = free.nth(chance.below(free.len())).unwrap_or(0);
                free.take(port);
                port
            }
        })
        .collect()
}
