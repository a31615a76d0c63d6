//! One pass: classes take turns, and each takes the next agent of its [`Walk`] for each of its Tasks.

use std::collections::{BTreeSet, btree_set};
use std::iter::Peekable;

use jiff::Timestamp;

use super::failures;
use super::index::{AgentIx, ClassEntry, Index};
use super::order::Rank;
use super::ports::Chance;
use super::room::Room;
use super::walk::{Avoided, FEW, Patterns, Walk};
use super::{Binding, Class, Waiting};
use crate::plan::{Again, ObjectName};

/// Bindings that a class makes before it is the next one's turn.
const TURN: usize = 64;

/// What a pass decided.
#[derive(Debug, Default)]
pub(super) struct Placed {
    pub(super) bindings: Vec<Binding>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) more: bool,
    /// Classes of which no agent takes another Task.
    pub(super) refused: Vec<ObjectName>,
    /// When one that waits for a better agent takes what there is.
    pub(super) again: Again,
    /// The agents that it takes then.
    pub(super) wanted: BTreeSet<AgentIx>,
    /// How often an agent was looked at.
    #[cfg(test)]
    pub(super) looks: usize,
}

/// Binds waiting Tasks to agents, at most `limit`.
pub(super) fn place(index: &Index, now: Timestamp, seed: u64, limit: usize) -> Placed {
    let mut pass = Pass { room: Room::new(index), patterns: Patterns::default(), chance: Chance::new(seed) };
    let mut placed = Placed::default();
    let mut queue = queue(index, now, &mut pass.patterns, &mut placed.waiting);
    let mut left = Vec::new();
    while !queue.is_empty() {
        let mut next = Vec::with_capacity(queue.len());
        for mut turn in queue {
            match pass.take_turn(&mut turn, limit, &mut placed.bindings) {
                Outcome::Done => {}
                Outcome::TurnOver => next.push(turn),
                Outcome::Refused if turn.walk.is_choosy() => {
                    placed.again = placed.again.sooner(Again::At(failures::relents(turn.since)));
                    placed.wanted.extend(turn.walk.avoided());
                    left.push(turn);
                }
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
    placed.waiting.extend(left.into_iter().filter_map(|turn| waiting(turn.class, turn.tasks)));
    #[cfg(test)]
    {
        placed.looks = pass.room.looks();
    }
    sort(&mut placed.waiting);
    placed
}

/// All that waits, whatever is offered.
pub(super) fn all_waiting(index: &Index) -> Vec<Waiting> {
    let classes = index.waiting.iter().filter_map(|it| index.classes.get(it));
    let tasks = |entry: &ClassEntry| waiting(entry.class.as_deref()?, entry.waiting.iter().peekable());
    let mut all: Vec<Waiting> = classes.filter_map(tasks).collect();
    sort(&mut all);
    all
}

/// The one that has waited longest comes first.
fn sort(waiting: &mut [Waiting]) {
    waiting.sort_by(|a, b| (a.since, &a.class).cmp(&(b.since, &b.class)));
}

/// Classes with waiting Tasks, the one that has waited longest first. Those that every agent has refused, none of which
/// got better since, are not asked again and go to `refused`.
fn queue<'a>(
    index: &'a Index,
    now: Timestamp,
    patterns: &mut Patterns<'a>,
    refused: &mut Vec<Waiting>,
) -> Vec<Turn<'a>> {
    let mut queue = Vec::new();
    for entry in index.waiting.iter().filter_map(|it| index.classes.get(it)) {
        let Some(class) = entry.class.as_deref() else { continue };
        match index.better_for(entry, FEW) {
            Some(better) if better.is_empty() => {
                refused.extend(waiting(class, entry.waiting.iter().peekable()));
            }
            better => {
                let avoided = avoided(entry, index, now);
                let walk = Walk::new(class, entry, better, avoided, &index.fields, patterns);
                queue.extend(Turn::new(class, entry, walk));
            }
        }
    }
    queue.sort_by(|a, b| (a.since, &a.class.name).cmp(&(b.since, &b.class.name)));
    queue
}

/// The agents on which Tasks of a class keep failing. Where others are known, it waits a while for one of them.
fn avoided(entry: &ClassEntry, index: &Index, now: Timestamp) -> Avoided {
    let agents = entry.failures.avoided(now);
    let waits_since = entry.waiting.first().map_or(now, |(since, _)| *since);
    let is_taken_last = failures::relents(waits_since) <= now || agents.len() >= index.known_agents();
    Avoided { agents, is_taken_last }
}

/// Tasks that have no place yet, the one that has waited longest first.
type Tasks<'a> = Peekable<btree_set::Iter<'a, (Timestamp, ObjectName)>>;

fn waiting(class: &Class, mut tasks: Tasks<'_>) -> Option<Waiting> {
    let (since, _) = *tasks.peek()?;
    Some(Waiting { class: class.name.clone(), tasks: tasks.len(), since: *since })
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
    /// Since when the first of its Tasks waits.
    since: Timestamp,
    tasks: Tasks<'a>,
    walk: Walk<'a>,
}

impl<'a> Turn<'a> {
    fn new(class: &'a Class, entry: &'a ClassEntry, walk: Walk<'a>) -> Option<Self> {
        let (since, _) = entry.waiting.first()?;
        Some(Self { class, since: *since, tasks: entry.waiting.iter().peekable(), walk })
    }
}

struct Pass<'a> {
    room: Room<'a>,
    patterns: Patterns<'a>,
    chance: Chance,
}

impl<'a> Pass<'a> {
    fn take_turn(&mut self, turn: &mut Turn<'a>, limit: usize, bindings: &mut Vec<Binding>) -> Outcome {
        for _ in 0..TURN {
            let Some(&(_, task)) = turn.tasks.peek() else { return Outcome::Done };
            if bindings.len() == limit {
                return Outcome::LimitReached;
            }
            let found = turn.walk.next(&self.room, &mut self.patterns);
            let Some(rank) = found else { return Outcome::Refused };
            bindings.push(self.bind(turn, task, rank));
            turn.tasks.next();
        }
        if turn.tasks.peek().is_some() { Outcome::TurnOver } else { Outcome::Done }
    }

    /// Gives `task` its place and takes what it needs.
    fn bind(&mut self, turn: &mut Turn<'_>, task: &ObjectName, rank: Rank) -> Binding {
        let ports = self.room.take(turn.class, rank, &mut self.chance);
        let agent = self.room.agent(rank.agent);
        turn.walk.placed(rank.agent, &self.room);
        Binding {
            task: task.clone(),
            class: turn.class.name.clone(),
            agent: agent.id.clone(),
            hostname: agent.facts.as_ref().map_or_else(|| agent.id.0.clone(), |it| it.hostname.clone()),
            offers: agent.offers.keys().cloned().collect(),
            resources: turn.class.wants,
            ports,
        }
    }
}
