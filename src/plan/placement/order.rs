//! Agents in the order in which they are taken: least used first, all of them or by the values of a field.

use imbl::OrdSet;

use super::Resources;
use super::index::AgentIx;
use super::values::ValueIx;

/// Where an agent stands in the order of use. Placement compares ranks more than it does anything else, so they are small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// From the top: [`USED_BITS`] for the used part of cpus or memory, whichever is more, in parts of [`WHOLE`], and more
    /// than that for agents with gpus; [`TASKS_BITS`] for the Tasks of ours on it; the first bits of `tie`.
    place: u64,
    /// The other bits of a hash of the agent's id: ties fall the same way whatever order the agents came in.
    tie: u32,
    pub(super) agent: AgentIx,
}

const WHOLE: u32 = 1 << 20;
const USED_BITS: u32 = 22;
const TASKS_BITS: u32 = 20;

impl Rank {
    /// Before every agent.
    pub(super) const FIRST: Self = Self { place: 0, tie: 0, agent: 0 };

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
        let used = used + if last { WHOLE + 1 } else { 0 };
        let tasks = tasks.min((1 << TASKS_BITS) - 1);
        let behind = u64::BITS - USED_BITS;
        let place = u64::from(used) << behind
            | u64::from(tasks) << (behind - TASKS_BITS)
            | tie >> (USED_BITS + TASKS_BITS);
        let [.., a, b, c, d] = tie.to_be_bytes();
        Self { place, tie: u32::from_be_bytes([a, b, c, d]), agent }
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

/// The agents with one value of a field. Of a field that tells agents apart, as the hostname does, that is one.
#[derive(Clone, Debug)]
pub(super) enum Sharers {
    AtMostOne(Option<Rank>),
    Many(Order),
}

impl Sharers {
    pub(super) const NONE: Self = Self::AtMostOne(None);

    /// The first one from this rank on.
    pub(super) fn first_from(&self, from: Rank) -> Option<Rank> {
        match self {
            Self::AtMostOne(one) => one.filter(|it| *it >= from),
            Self::Many(order) => order.get_next(&from).copied(),
        }
    }

    fn insert(&mut self, rank: Rank) {
        match self {
            Self::AtMostOne(Some(one)) => *self = Self::Many([*one, rank].into_iter().collect()),
            Self::AtMostOne(none) => *none = Some(rank),
            Self::Many(order) => {
                order.insert(rank);
            }
        }
    }

    fn remove(&mut self, rank: &Rank) {
        match self {
            Self::AtMostOne(one) => *one = one.filter(|it| it != rank),
            Self::Many(order) => {
                order.remove(rank);
            }
        }
    }

    /// Puts an agent from one rank to another.
    pub(super) fn shift(&mut self, from: &Rank, to: Rank) {
        self.remove(from);
        self.insert(to);
    }
}

/// Agents by the values of one field, and by rank among those of one value.
#[derive(Clone, Debug)]
pub(super) struct ByValue {
    /// By the number of the value.
    with: Vec<Sharers>,
    /// Those without a value.
    without: Sharers,
}

impl ByValue {
    pub(super) fn new() -> Self {
        Self { with: Vec::new(), without: Sharers::NONE }
    }

    /// How many numbers of values there may be.
    pub(super) fn len(&self) -> usize {
        self.with.len()
    }

    /// The agents with this value.
    pub(super) fn sharers(&self, value: Option<ValueIx>) -> Option<&Sharers> {
        match value {
            Some(value) => self.with.get(value.at()),
            None => Some(&self.without),
        }
    }

    pub(super) fn insert(&mut self, value: Option<ValueIx>, rank: Rank) {
        if let Some(value) = value
            && value.at() >= self.with.len()
        {
            self.with.resize(value.at() + 1, Sharers::NONE);
        }
        if let Some(sharers) = self.sharers_mut(value) {
            sharers.insert(rank);
        }
    }

    /// Undoes one [`insert`](Self::insert).
    pub(super) fn remove(&mut self, value: Option<ValueIx>, rank: &Rank) {
        if let Some(sharers) = self.sharers_mut(value) {
            sharers.remove(rank);
        }
    }

    fn sharers_mut(&mut self, value: Option<ValueIx>) -> Option<&mut Sharers> {
        match value {
            Some(value) => self.with.get_mut(value.at()),
            None => Some(&mut self.without),
        }
    }
}
