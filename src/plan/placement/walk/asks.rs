//! What a class asks of an agent, given where its Tasks are.

use std::sync::Arc;

use super::patterns::Patterns;
use crate::plan::placement::Class;
use crate::plan::placement::constraint::{Counts, Field, Rule, Test};
use crate::plan::placement::index::AgentEntry;
use crate::plan::placement::order::{ByValue, Rank};
use crate::plan::placement::room::Room;

/// The value of a field that an agent has, if it has one.
pub(super) type Value = Option<Arc<str>>;

/// A class, and where its Tasks are by now.
pub(super) struct Asks<'a> {
    class: &'a Class,
    /// Those of the class; where another class has the same, that one's, so that what it found out serves both.
    rules: Vec<&'a Rule>,
    /// Per rule: where the Tasks are, those of this pass included.
    counts: Vec<Counts>,
    /// The first GROUP_BY.
    grouped: Option<usize>,
}

/// An agent's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Takes,
    NoRoom,
    /// By this rule.
    Refused(usize),
}

impl<'a> Asks<'a> {
    pub(super) fn new(class: &'a Class, counts: Vec<Counts>, patterns: &mut Patterns<'a>) -> Self {
        let rules = class.rules.iter().map(|rule| patterns.shared(rule)).collect();
        Self { class, rules, counts, grouped: class.rules.iter().position(Rule::groups) }
    }

    pub(super) fn grouped(&self) -> Option<usize> {
        self.grouped
    }

    pub(super) fn rules(&self) -> &[&'a Rule] {
        &self.rules
    }

    pub(super) fn counts(&self, rule: usize) -> &Counts {
        &self.counts[rule]
    }

    /// Of each GROUP_BY but the first: the size of the smallest group, and whether there are enough groups.
    pub(super) fn other_groups(&self) -> Vec<(u32, bool)> {
        let first = self.grouped.map_or(self.counts.len(), |it| it + 1);
        let others = self.rules.iter().zip(&self.counts).skip(first);
        others
            .filter_map(|(rule, counts)| Some((counts.smallest(), rule.has_enough_groups(counts)?)))
            .collect()
    }

    /// Whether the agent takes one more Task; of the first GROUP_BY, whether its value is new.
    pub(super) fn judge(&self, room: &Room<'_>, rank: Rank) -> Verdict {
        self.ask(room, rank, self.grouped, None)
    }

    /// The same of an agent whose value of this field is accepted.
    pub(super) fn judge_rest(&self, room: &Room<'_>, rank: Rank, accepted: &Field) -> Verdict {
        self.ask(room, rank, self.grouped, Some(accepted))
    }

    /// Whether the agent takes one more Task.
    pub(super) fn judge_any(&self, room: &Room<'_>, rank: Rank) -> Verdict {
        self.ask(room, rank, None, None)
    }

    fn ask(&self, room: &Room<'_>, rank: Rank, new: Option<usize>, accepted: Option<&Field>) -> Verdict {
        if !room.fits(self.class, rank.agent) {
            return Verdict::NoRoom;
        }
        let agent = room.agent(rank.agent);
        for (at, rule) in self.rules.iter().enumerate().filter(|(_, it)| accepted != Some(&it.field)) {
            if !self.accepts(at, agent.value(&rule.field), new) {
                return Verdict::Refused(at);
            }
        }
        Verdict::Takes
    }

    fn accepts(&self, at: usize, value: Option<&Arc<str>>, new: Option<usize>) -> bool {
        if new == Some(at) {
            return value.is_some_and(|it| self.counts[at].of(it) == 0);
        }
        self.rules[at].accepts(value, &self.counts[at])
    }

    /// Whether all rules about the field accept a value that is among the [`acceptable`](Self::acceptable).
    pub(super) fn still_accepts(&self, field: &Field, value: &Value) -> bool {
        let mut compares = self.about(field).filter(|at| self.rules[*at].compares());
        compares.all(|at| self.accepts(at, value.as_ref(), self.grouped))
    }

    /// The values of the field that all rules about it accept now, among them all that they will accept until the walk
    /// starts anew.
    pub(super) fn acceptable(
        &self,
        field: &Field,
        values: &ByValue,
        patterns: &mut Patterns<'a>,
    ) -> Vec<Value> {
        let among = self.about(field).find_map(|at| match &self.rules[at].test {
            Test::Equals(value) => Some(vec![Some(value.clone())]),
            Test::Together if self.counts[at].groups() > 0 => {
                Some(self.counts[at].values().cloned().map(Some).collect())
            }
            Test::Matches(_) | Test::Differs(_) => Some(patterns.matching(self.rules[at], values).to_vec()),
            Test::Together | Test::AtMost(_) | Test::Evenly(_) => None,
        });
        let mut all = among.unwrap_or_else(|| values.values().cloned().map(Some).collect());
        all.retain(|value| self.about(field).all(|at| self.accepts(at, value.as_ref(), self.grouped)));
        all
    }

    fn about(&self, field: &Field) -> impl Iterator<Item = usize> {
        self.rules.iter().enumerate().filter(move |(_, rule)| rule.field == *field).map(|(at, _)| at)
    }

    /// A Task was placed on this agent.
    pub(super) fn count(&mut self, agent: &AgentEntry) {
        for (rule, counts) in self.rules.iter().zip(&mut self.counts).filter(|(it, _)| it.compares()) {
            counts.add(agent.value(&rule.field));
        }
    }
}
