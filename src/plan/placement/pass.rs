//! One pass: classes in turns, each walking the agents in order of use.
//!
//! During a pass free room shrinks and ranks only move back, and all tests but GROUP_BY refuse for good what they have
//! refused once. So each class keeps a cursor per order that it walks and never looks back. GROUP_BY is walked in two
//! phases: values that the class is not on yet, in order of use; then the smallest of its groups. A class with two
//! GROUP_BY starts each walk from the front: what it refused may become right.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdSet;
use jiff::Timestamp;

use super::constraint::{Counts, Field, Test};
use super::index::{AgentIx, ByValue, ClassEntry, Index, Rank};
use super::ports::Chance;
use super::{Binding, Class, PortSet, Resources, Waiting};
use crate::api::HostPort;
use crate::plan::ObjectName;

/// Bindings that a class makes before it is the next one's turn.
const TURN: usize = 64;
/// Agents that are looked through for each Task rather than walked in order.
const FEW: usize = 32;

/// What a pass decided.
#[derive(Debug, Default)]
pub(super) struct Placed {
    pub(super) bindings: Vec<Binding>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) more: bool,
    /// Classes of which no agent takes another Task.
    pub(super) refused: Vec<ObjectName>,
}

/// Binds waiting Tasks to agents, at most `limit`.
pub(super) fn place(index: &Index, seed: u64, limit: usize) -> Placed {
    let mut pass = Pass::new(index, seed);
    let mut placed = Placed::default();
    let mut queue = queue(index, &mut placed.waiting);
    let mut left = Vec::new();
    while !queue.is_empty() {
        let mut next = Vec::with_capacity(queue.len());
        for mut turn in queue {
            match pass.take_turn(&mut turn, limit, &mut placed.bindings) {
                Outcome::Done => {}
                Outcome::TurnOver => next.push(turn),
                Outcome::Refused => {
                    placed.refused.push(turn.class.name.clone());
                    left.push(turn);
                }
                Outcome::LimitReached => {
                    placed.more = true;
                    left.push(turn);
                }
            }
        }
        queue = next;
    }
    placed.waiting.extend(left.iter().filter_map(|turn| waiting(turn.class, turn.entry, turn.taken)));
    placed.waiting.sort_by(|a, b| (a.since, &a.class).cmp(&(b.since, &b.class)));
    placed
}

/// Classes with waiting Tasks, the one that has waited longest first. Those that every agent has refused, none of which
/// got better since, are not asked again and go to `refused`.
fn queue<'a>(index: &'a Index, refused: &mut Vec<Waiting>) -> Vec<Turn<'a>> {
    let mut queue = Vec::new();
    for entry in index.waiting.iter().filter_map(|it| index.classes.get(it)) {
        let Some(class) = entry.class.as_deref() else { continue };
        match index.better_for(entry) {
            Some(better) if better.is_empty() => refused.extend(waiting(class, entry, 0)),
            better => queue.extend(Turn::new(class, entry, better)),
        }
    }
    queue.sort_by(|a, b| (a.since, &a.class.name).cmp(&(b.since, &b.class.name)));
    queue
}

/// The Tasks of a class that wait when so many got a place.
fn waiting(class: &Class, entry: &ClassEntry, taken: usize) -> Option<Waiting> {
    let (since, _) = entry.waiting.iter().nth(taken)?;
    Some(Waiting { class: class.name.clone(), tasks: entry.waiting.len() - taken, since: *since })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// No Task of the class waits any more.
    Done,
    /// It has more, and must let others first.
    TurnOver,
    /// No agent takes another one.
    Refused,
    LimitReached,
}

/// A class during a pass.
struct Turn<'a> {
    class: &'a Class,
    entry: &'a ClassEntry,
    since: Timestamp,
    /// Tasks that got a place.
    taken: usize,
    /// Where its Tasks are, those of this pass included.
    counts: Vec<Counts>,
    walk: Walk<'a>,
    /// The front of the walk over all agents, or over those with the one value asked for.
    cursor: Option<Rank>,
    /// The groups that may have an agent left, smallest first; none while new values are left.
    groups: Option<BTreeSet<(u32, Arc<str>)>>,
    /// The front of the walk in each of them.
    fronts: BTreeMap<Arc<str>, Rank>,
    /// Whether what was refused stays refused.
    monotone: bool,
}

/// Which agents a class walks.
enum Walk<'a> {
    All,
    /// These, which got better since all refused. Their order is looked up each time: they are few.
    Few(Vec<AgentIx>),
    /// Those with this value.
    With(&'a Field, &'a Arc<str>),
    /// By groups of this rule.
    Grouped {
        rule: usize,
        field: &'a Field,
        at_least: u32,
    },
}

impl<'a> Turn<'a> {
    fn new(class: &'a Class, entry: &'a ClassEntry, better: Option<Vec<AgentIx>>) -> Option<Self> {
        let grouped = class.rules.iter().filter(|it| matches!(it.test, Test::Evenly(_))).count();
        // GROUP_BY has an order of its own, and many are as well walked in order.
        let few = better.filter(|it| grouped == 0 && it.len() <= FEW);
        Some(Self {
            class,
            entry,
            since: entry.waiting.first()?.0,
            taken: 0,
            counts: entry.counts.clone(),
            walk: few.map_or_else(|| Walk::of(class), Walk::Few),
            cursor: None,
            groups: None,
            fronts: BTreeMap::new(),
            monotone: grouped < 2,
        })
    }
}

impl<'a> Walk<'a> {
    fn of(class: &'a Class) -> Self {
        let grouped = class.rules.iter().enumerate().find_map(|(rule, it)| match it.test {
            Test::Evenly(at_least) => Some(Self::Grouped { rule, field: &it.field, at_least }),
            _ => None,
        });
        let pinned = || {
            class.rules.iter().find_map(|it| match &it.test {
                Test::Equals(value) => Some(Self::With(&it.field, value)),
                _ => None,
            })
        };
        grouped.or_else(pinned).unwrap_or(Self::All)
    }
}

/// What is left of one agent during a pass.
struct Working {
    free: Resources,
    /// Copied from the index once a Task takes one.
    ports: Option<PortSet>,
    tasks: u32,
    rank: Rank,
}

struct Pass<'a> {
    index: &'a Index,
    order: OrdSet<Rank>,
    by_value: BTreeMap<Field, ByValue>,
    /// Per agent: its place in `working` plus one, 0 while it is untouched.
    touched: Vec<u32>,
    working: Vec<Working>,
    chance: Chance,
}

impl<'a> Pass<'a> {
    fn new(index: &'a Index, seed: u64) -> Self {
        Self {
            index,
            order: index.order.clone(),
            by_value: index.by_value.clone(),
            touched: vec![0; index.agents.len()],
            working: Vec::new(),
            chance: Chance::new(seed),
        }
    }

    fn take_turn(&mut self, turn: &mut Turn<'_>, limit: usize, bindings: &mut Vec<Binding>) -> Outcome {
        let tasks: Vec<_> = turn.entry.waiting.iter().skip(turn.taken).take(TURN).collect();
        for (_, task) in &tasks {
            if bindings.len() == limit {
                return Outcome::LimitReached;
            }
            let Some(rank) = self.pick(turn) else { return Outcome::Refused };
            bindings.push(self.bind(turn, task, rank));
            turn.taken += 1;
        }
        if turn.taken < turn.entry.waiting.len() { Outcome::TurnOver } else { Outcome::Done }
    }

    /// The least used agent that takes one more Task of the class.
    fn pick(&self, turn: &mut Turn<'_>) -> Option<Rank> {
        if !turn.monotone {
            turn.cursor = None;
            turn.groups = None;
            turn.fronts.clear();
        }
        match &turn.walk {
            Walk::Few(agents) => {
                let ranks = agents.iter().filter_map(|it| self.rank_of(*it));
                ranks.filter(|it| self.takes(turn, it)).min()
            }
            Walk::All => {
                turn.cursor = self.walk(turn, &self.order, turn.cursor, |_| true);
                turn.cursor
            }
            Walk::With(field, value) => {
                let order = self.by_value.get(*field)?.get(*value)?;
                turn.cursor = self.walk(turn, order, turn.cursor, |_| true);
                turn.cursor
            }
            Walk::Grouped { rule, field, at_least } => {
                let (rule, field, at_least) = (*rule, *field, *at_least);
                let values = self.by_value.get(field)?;
                if turn.groups.is_none() {
                    if let Some(found) = self.pick_new_group(turn, rule, field, values) {
                        turn.cursor = Some(found);
                        return Some(found);
                    }
                    let groups = turn.counts[rule].values().map(|(value, count)| (count, value.clone()));
                    turn.groups = Some(groups.collect());
                }
                let enough = turn.counts[rule].groups() >= at_least as usize;
                if enough { self.pick_smallest_group(turn, rule, values) } else { None }
            }
        }
    }

    /// The least used agent whose value the class is not on yet.
    fn pick_new_group(&self, turn: &Turn<'_>, rule: usize, field: &Field, values: &ByValue) -> Option<Rank> {
        let counts = &turn.counts[rule];
        // Without a value that is not counted yet, the walk would pass every agent for nothing.
        if values.len() <= counts.groups() && values.keys().all(|value| counts.of(value) > 0) {
            return None;
        }
        let is_new = |rank: &Rank| {
            let facts = self.index.entry(rank.agent).facts.as_ref();
            facts.and_then(|it| field.on(it)).is_some_and(|value| counts.of(value) == 0)
        };
        self.walk(turn, &self.order, turn.cursor, is_new)
    }

    /// The least used agent of a smallest group, in order of values.
    fn pick_smallest_group(&self, turn: &mut Turn<'_>, rule: usize, values: &ByValue) -> Option<Rank> {
        let smallest = turn.counts[rule].smallest();
        loop {
            let (count, value) = turn.groups.as_ref()?.first()?.clone();
            if count > smallest {
                return None; // a smaller group has no agent left, and must not fall behind
            }
            let front = turn.fronts.get(&value).copied();
            let found = values.get(&value).and_then(|order| self.walk(turn, order, front, |_| true));
            let groups = turn.groups.as_mut()?;
            groups.remove(&(count, value.clone()));
            if let Some(found) = found {
                groups.insert((count + 1, value.clone()));
                turn.fronts.insert(value, found);
                return Some(found);
            }
        }
    }

    fn walk(
        &self,
        turn: &Turn<'_>,
        order: &OrdSet<Rank>,
        cursor: Option<Rank>,
        filter: impl Fn(&Rank) -> bool,
    ) -> Option<Rank> {
        order
            .range(cursor.unwrap_or(Rank::FIRST)..)
            .find(|&rank| filter(rank) && self.takes(turn, rank))
            .copied()
    }

    /// Whether the agent has room for one more Task of the class and its rules accept it.
    fn takes(&self, turn: &Turn<'_>, rank: &Rank) -> bool {
        let entry = self.index.entry(rank.agent);
        let working = self.working(rank.agent);
        let free = working.map_or(&entry.free, |it| &it.free);
        let ports = working.and_then(|it| it.ports.as_ref()).unwrap_or(&entry.ports);
        let class = turn.class;
        class.wants.lacks_in(free).is_none()
            && ports.len() >= class.host_ports()
            && class.fixed_ports().all(|port| ports.contains(port))
            && entry.facts.as_ref().is_some_and(|facts| {
                class.rules.iter().zip(&turn.counts).all(|(rule, counts)| rule.accepts(facts, counts))
            })
    }

    /// Where the agent stands now; `None` if it has nothing to give.
    fn rank_of(&self, agent: AgentIx) -> Option<Rank> {
        self.working(agent).map_or_else(|| self.index.entry(agent).rank, |it| Some(it.rank))
    }

    fn working(&self, agent: AgentIx) -> Option<&Working> {
        let at = self.touched[agent as usize].checked_sub(1)?;
        self.working.get(at as usize)
    }

    /// Gives `task` its place and takes what it needs.
    fn bind(&mut self, turn: &mut Turn<'_>, task: &ObjectName, rank: Rank) -> Binding {
        let entry = self.index.entry(rank.agent);
        let at = self.touch(rank);
        let working = &mut self.working[at];
        working.free = working.free.minus(&turn.class.wants);
        working.tasks += 1;
        let ports = if turn.class.host_ports() == 0 {
            vec![0; turn.class.ports.len()]
        } else {
            let left = working.ports.get_or_insert_with(|| entry.ports.clone());
            choose_ports(&turn.class.ports, left, &mut self.chance)
        };
        let moved = entry.rank_with(rank.agent, &working.free, working.tasks);
        working.rank = moved;
        self.reorder(rank, moved);
        let facts = entry.facts.as_ref();
        for (rule, counts) in turn.class.rules.iter().zip(&mut turn.counts).filter(|(it, _)| it.compares()) {
            counts.add(facts.and_then(|it| rule.field.on(it)));
        }
        Binding {
            task: task.clone(),
            class: turn.class.name.clone(),
            agent: entry.id.clone(),
            hostname: facts.map_or_else(|| entry.id.0.clone(), |it| it.hostname.clone()),
            offers: entry.offers.keys().cloned().collect(),
            resources: turn.class.wants,
            ports,
        }
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

    fn reorder(&mut self, from: Rank, to: Rank) {
        self.order.remove(&from);
        self.order.insert(to);
        let facts = self.index.entry(from.agent).facts.as_ref();
        for (field, values) in &mut self.by_value {
            let value = facts.and_then(|it| field.on(it));
            if let Some(order) = value.and_then(|it| values.get_mut(it)) {
                order.remove(&from);
                order.insert(to);
            }
        }
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
