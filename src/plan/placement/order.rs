//! Agents in the order in which they are taken: least used first, all of them or by the values of a field.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::Resources;
use super::index::AgentIx;

/// Where an agent stands in the order of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// Used part of cpus or memory, whichever is more, in parts of [`WHOLE`]; more than that for agents with gpus.
    used: u32,
    /// Tasks of ours on it.
    tasks: u32,
    /// A hash of the agent's id: ties fall the same way whatever order the agents came in.
    tie: u64,
    pub(super) agent: AgentIx,
}

const WHOLE: u32 = 1 << 20;

impl Rank {
    /// Before every agent.
    pub(super) const FIRST: Self = Self { used: 0, tasks: 0, tie: 0, agent: 0 };

    /// Of an agent with so much of its `totals` free and so many Tasks; `last` puts it behind all that are not.
    pub(super) fn new(
        agent: AgentIx,
        tie: u64,
        totals: &Resources,
        free: &Resources,
        tasks: u32,
        last: bool,
    ) -> Self {
        let used = used_part(free.cpus, totals.cpus).max(used_part(free.memory, totals.memory));
        Self { used: used + if last { WHOLE + 1 } else { 0 }, tasks, tie, agent }
    }

    /// Behind this one and before every other that is behind it.
    pub(super) fn next(self) -> Self {
        Self { agent: self.agent.saturating_add(1), ..self }
    }
}

fn used_part(free: u64, total: u64) -> u32 {
    if total == 0 {
        return 0;
    }
    let used = u128::from(total.saturating_sub(free)) * u128::from(WHOLE) / u128::from(total);
    u32::try_from(used).unwrap_or(WHOLE)
}

/// Agents by rank. A copy costs nothing.
pub(super) type Order = OrdSet<Rank>;

/// Agents by the values of one field, and by rank among those of one value. A copy costs nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct ByValue {
    with: OrdMap<Arc<str>, Order>,
    /// Those without a value.
    without: Order,
}

impl ByValue {
    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.with.len()
    }

    /// The values, in order.
    pub(super) fn values(&self) -> impl Iterator<Item = &Arc<str>> {
        self.with.keys()
    }

    /// The agents with this value.
    pub(super) fn order(&self, value: Option<&Arc<str>>) -> Option<&Order> {
        match value {
            Some(value) => self.with.get(value),
            None => Some(&self.without),
        }
    }

    pub(super) fn insert(&mut self, value: Option<&Arc<str>>, rank: Rank) {
        match value {
            Some(value) => self.with.entry(value.clone()).or_default().insert(rank),
            None => self.without.insert(rank),
        };
    }

    /// Undoes one [`insert`](Self::insert); a value that no agent has is forgotten.
    pub(super) fn remove(&mut self, value: Option<&Arc<str>>, rank: &Rank) {
        let Some(value) = value else {
            self.without.remove(rank);
            return;
        };
        let Some(order) = self.with.get_mut(value) else { return };
        order.remove(rank);
        if order.is_empty() {
            self.with.remove(value);
        }
    }

    /// Puts an agent from one rank to another.
    pub(super) fn shift(&mut self, value: Option<&Arc<str>>, from: &Rank, to: Rank) {
        let order = match value {
            Some(value) => self.with.get_mut(value),
            None => Some(&mut self.without),
        };
        if let Some(order) = order {
            order.remove(from);
            order.insert(to);
        }
    }
}
