//! What a class asks of an agent, given where its Tasks are.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::patterns::{Patterns, Verdicts};
use crate::plan::placement::Class;
use crate::plan::placement::constraint::{Counts, Rule, Test};
use crate::plan::placement::index::{AgentIx, ClassEntry};
use crate::plan::placement::order::Rank;
use crate::plan::placement::room::Room;
use crate::plan::placement::values::{FieldIx, Fields, Value, ValueIx, Values};

/// A class, and where its Tasks are by now.
pub(super) struct Asks<'a> {
    class: &'a Class,
    /// Those of the class; where another class has the same, that one's, so that what it found out serves both.
    rules: Vec<&'a Rule>,
    /// Per rule: what it was found to say of values, if that is the same wherever the Tasks are.
    verdicts: Vec<Option<Rc<Verdicts>>>,
    /// Per rule: the field that it is about.
    fields: &'a [FieldIx],
    /// Per rule: where the Tasks are, those of this pass included.
    counts: Vec<Counts>,
    /// The first GROUP_BY.
    grouped: Option<usize>,
    /// Agents that are as if they had no room.
    avoided: BTreeSet<AgentIx>,
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
    /// Of a class whose Tasks are where `entry` says.
    pub(super) fn new(
        class: &'a Class,
        entry: &'a ClassEntry,
        avoided: BTreeSet<AgentIx>,
        fields: &Fields,
        patterns: &mut Patterns<'a>,
    ) -> Self {
        let rules = class.rules.iter().zip(&entry.fields);
        let (rules, verdicts) = rules.map(|(rule, field)| patterns.shared(rule, fields.of(*field))).unzip();
        let grouped = class.rules.iter().position(Rule::groups);
        Self { class, rules, verdicts, fields: &entry.fields, counts: entry.counts.clone(), grouped, avoided }
    }

    /// From now on no agent is avoided.
    pub(super) fn relent(&mut self) {
        self.avoided.clear();
    }

    /// The agents that are avoided.
    pub(super) fn avoided(&self) -> &BTreeSet<AgentIx> {
        &self.avoided
    }

    pub(super) fn avoids(&self) -> bool {
        !self.avoided.is_empty()
    }

    pub(super) fn grouped(&self) -> Option<usize> {
        self.grouped
    }

    pub(super) fn rules(&self) -> &[&'a Rule] {
        &self.rules
    }

    /// The field that a rule is about.
    pub(super) fn field(&self, rule: usize) -> FieldIx {
        self.fields[rule]
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
    pub(super) fn judge_rest(&self, room: &Room<'_>, rank: Rank, accepted: FieldIx) -> Verdict {
        self.ask(room, rank, self.grouped, Some(accepted))
    }

    /// Whether the agent takes one more Task.
    pub(super) fn judge_any(&self, room: &Room<'_>, rank: Rank) -> Verdict {
        self.ask(room, rank, None, None)
    }

    fn ask(&self, room: &Room<'_>, rank: Rank, new: Option<usize>, accepted: Option<FieldIx>) -> Verdict {
        #[cfg(test)]
        room.count_look();
        if self.avoided.contains(&rank.agent) {
            return Verdict::NoRoom;
        }
        // Rules first: to ask for room costs more.
        for (at, field) in self.fields.iter().enumerate().filter(|(_, it)| accepted != Some(**it)) {
            if !self.accepts(at, room.value(rank.agent, *field), new) {
                return Verdict::Refused(at);
            }
        }
        if room.fits(self.class, rank.agent) { Verdict::Takes } else { Verdict::NoRoom }
    }

    fn accepts(&self, at: usize, value: Option<Value<'_>>, new: Option<usize>) -> bool {
        if new == Some(at) {
            return value.is_some_and(|it| self.counts[at].of(it.number) == 0);
        }
        let judge = || self.rules[at].accepts(value, &self.counts[at]);
        match (&self.verdicts[at], value) {
            (Some(verdicts), Some(value)) => verdicts.get_or_judge(value.number, judge),
            _ => judge(),
        }
    }

    /// Whether all rules about the field accept a value that is among the [`acceptable`](Self::acceptable).
    pub(super) fn still_accepts(&self, field: FieldIx, values: &Values, value: Option<ValueIx>) -> bool {
        let value = value.map(|it| values.numbered(it));
        let mut compares = self.about(field).filter(|at| self.rules[*at].compares());
        compares.all(|at| self.accepts(at, value, self.grouped))
    }

    /// The values of the field that all rules about it accept now, among them all that they will accept until the walk
    /// starts anew.
    pub(super) fn acceptable(
        &self,
        field: FieldIx,
        values: &Values,
        patterns: &mut Patterns<'a>,
    ) -> Vec<Option<ValueIx>> {
        let among = self.about(field).find_map(|at| match &self.rules[at].test {
            Test::Equals(value) => Some(values.find(value).map(Some).into_iter().collect()),
            Test::AtHome(region) => Some(values.find(region).map(Some).into_iter().chain([None]).collect()),
            Test::Together if self.counts[at].groups() > 0 => {
                Some(self.counts[at].values().map(Some).collect())
            }
            Test::Matches(_) | Test::Differs(_) => Some(patterns.matching(self.rules[at], values).to_vec()),
            Test::Together | Test::AtMost(_) | Test::Evenly(_) => None,
        });
        let mut all = among.unwrap_or_else(|| values.all().map(|it| Some(it.number)).collect());
        all.retain(|value| {
            let value = value.map(|it| values.numbered(it));
            self.about(field).all(|at| self.accepts(at, value, self.grouped))
        });
        all
    }

    fn about(&self, field: FieldIx) -> impl Iterator<Item = usize> {
        self.fields.iter().enumerate().filter(move |(_, it)| **it == field).map(|(at, _)| at)
    }

    /// A Task was placed on this agent.
    pub(super) fn count(&mut self, agent: AgentIx, room: &Room<'_>) {
        let rules = self.rules.iter().zip(self.fields).zip(&mut self.counts);
        for ((_, field), counts) in rules.filter(|((it, _), _)| it.compares()) {
            counts.add(room.value(agent, *field).map(|it| it.number));
        }
    }
}
