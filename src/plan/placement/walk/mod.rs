//! How a class finds its next agent without asking any twice.
//!
//! During a pass room shrinks and ranks only move back, and whatever a rule has refused once it refuses for good, but for
//! GROUP_BY. So a walk never looks back. It begins with all agents in order of use. Once a rule has refused more of them
//! than its field has values, it goes by those values instead ([`Fronts`]): from then on agents with a value that the rule
//! refuses cost nothing. Which way it goes changes what it costs, never whom it finds.
//!
//! GROUP_BY has two phases: values that the class is not on yet, in order of use; then the smallest of its groups
//! ([`Groups`]). Where a class has a second GROUP_BY, the walk starts anew when what that one has refused may have become
//! right.

mod asks;
mod fronts;
mod groups;
mod in_order;
mod patterns;

use std::collections::BTreeSet;

use self::asks::{Asks, Verdict};
use self::fronts::Fronts;
use self::groups::Groups;
use self::in_order::InOrder;
use super::Class;
use super::constraint::{Rule, Test};
use super::index::{AgentIx, ClassEntry};
use super::order::Rank;
use super::room::Room;
use super::values::Fields;

pub(super) use self::patterns::Patterns;

/// The most agents that are looked through for each Task rather than walked in order.
pub(super) const FEW: usize = 32;

/// The search of one class.
pub(super) struct Walk<'a> {
    asks: Asks<'a>,
    stage: Stage,
    /// What is walked again once agents that were avoided may be taken; none if that is not allowed yet.
    last_resort: Option<Stage>,
    /// Per rule.
    patience: Vec<Patience>,
    /// Of each GROUP_BY but the first: the size of the smallest group, and whether there are enough groups. While this
    /// stays, what was refused stays refused.
    others: Vec<(u32, bool)>,
}

#[derive(Clone)]
enum Stage {
    /// Nothing was looked at yet.
    Begin,
    /// These, which got better since all refused. Their order is looked up each time: they are few.
    Few(Vec<AgentIx>),
    /// All.
    InOrder(InOrder),
    /// Those with the values of a field that may be taken.
    ByValue(Fronts),
    /// The smallest groups of the first GROUP_BY.
    Groups(Groups),
}

/// The agents that a class takes last.
pub(super) struct Avoided {
    pub(super) agents: BTreeSet<AgentIx>,
    /// Whether it takes them by now where no other is left.
    pub(super) is_taken_last: bool,
}

/// What one search came to.
enum Step {
    Found(Rank),
    /// Go on from this rank by the values of this rule's field.
    GoBy(usize, Rank),
    /// No agent takes a Task at this stage any more.
    End,
}

/// How long a walk puts up with the refusals of a rule before it goes by the values of that rule's field.
struct Patience {
    refused: usize,
    most: usize,
}

impl Patience {
    fn is_over(&mut self) -> bool {
        self.refused += 1;
        self.refused > self.most
    }

    /// Another rule's values are gone by now. Twice the patience: two rules must not take turns for ever.
    fn grow(&mut self) {
        self.refused = 0;
        self.most = self.most.saturating_mul(2);
    }
}

impl<'a> Walk<'a> {
    /// Of a class whose Tasks are where `entry` says. Only agents in `better`, if it is given, can take one; they are few.
    pub(super) fn new(
        class: &'a Class,
        entry: &'a ClassEntry,
        better: Option<Vec<AgentIx>>,
        avoided: Avoided,
        fields: &Fields,
        patterns: &mut Patterns<'a>,
    ) -> Self {
        let Avoided { agents, is_taken_last } = avoided;
        let is_any = !agents.is_empty();
        let asks = Asks::new(class, entry, agents, fields, patterns);
        // GROUP_BY has an order of its own.
        let few = better.filter(|_| asks.grouped().is_none());
        let stage = few.map_or(Stage::Begin, Stage::Few);
        let last_resort = (is_any && is_taken_last).then(|| stage.clone());
        Self { others: asks.other_groups(), asks, stage, last_resort, patience: Vec::new() }
    }

    /// The least used agent that takes one more Task of the class, one to avoid if there is no other. Tell [`Walk::placed`]
    /// if it is taken.
    pub(super) fn next(&mut self, room: &Room<'_>, patterns: &mut Patterns<'a>) -> Option<Rank> {
        let found = self.search(room, patterns);
        if found.is_some() {
            return found;
        }
        self.stage = self.last_resort.take()?;
        self.asks.relent();
        self.search(room, patterns)
    }

    /// Whether another agent is waited for although one to avoid may take a Task.
    pub(super) fn is_choosy(&self) -> bool {
        self.asks.avoids() && self.last_resort.is_none()
    }

    /// The agents that are taken last.
    pub(super) fn avoided(&self) -> impl Iterator<Item = AgentIx> {
        self.asks.avoided().iter().copied()
    }

    fn search(&mut self, room: &Room<'_>, patterns: &mut Patterns<'a>) -> Option<Rank> {
        if !self.others.is_empty() {
            self.start_anew_if_others_changed();
        }
        loop {
            let step = match &mut self.stage {
                Stage::Begin => {
                    self.take_heart(room, patterns);
                    self.stage = Stage::InOrder(InOrder::new(&self.asks, patterns));
                    continue;
                }
                Stage::Few(agents) => return few(agents, &self.asks, room),
                Stage::InOrder(all) => all.next(&self.asks, room, &mut self.patience, patterns),
                Stage::ByValue(fronts) => fronts.next(&self.asks, room, &mut self.patience),
                Stage::Groups(groups) => return groups.next(&self.asks, room),
            };
            self.stage = match step {
                Step::Found(rank) => return Some(rank),
                Step::GoBy(rule, from) => {
                    self.patience.iter_mut().for_each(Patience::grow);
                    let field = self.asks.field(rule);
                    Stage::ByValue(Fronts::new(field, from, &self.asks, room, patterns))
                }
                Step::End => Stage::Groups(Groups::new(self.asks.grouped()?)),
            };
        }
    }

    /// A Task of the class was placed on this agent.
    pub(super) fn placed(&mut self, agent: AgentIx, room: &Room<'_>) {
        if !planted!("pass-forgets-its-own-places") {
            self.asks.count(agent, room);
        }
    }

    fn start_anew_if_others_changed(&mut self) {
        let others = self.asks.other_groups();
        if others != self.others {
            self.others = others;
            self.stage = Stage::Begin;
        }
    }

    fn take_heart(&mut self, room: &Room<'_>, patterns: &Patterns<'_>) {
        let most = |(at, rule): (usize, &&Rule)| match (&rule.test, room.by_value(self.asks.field(at))) {
            (_, None) => usize::MAX,
            (Test::Equals(_) | Test::Together, Some(_)) => 1,
            (_, Some(by_value)) => patterns.known(rule).unwrap_or(by_value.values().len()),
        };
        let rules = self.asks.rules().iter().enumerate();
        self.patience = rules.map(|it| Patience { refused: 0, most: most(it) }).collect();
    }
}

fn few(agents: &[AgentIx], asks: &Asks<'_>, room: &Room<'_>) -> Option<Rank> {
    let ranks = agents.iter().filter_map(|it| room.rank_of(*it));
    ranks.filter(|rank| matches!(asks.judge_any(room, *rank), Verdict::Takes)).min()
}
