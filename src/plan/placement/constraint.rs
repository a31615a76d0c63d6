//! Constraints with the meanings of Marathon (its released rules).
//!
//! Instances are compared with those of the same Revision that are placed and not cut off or ended, so an update may
//! put old and new side by side. An agent without the attribute is refused by every operator but UNLIKE. All
//! constraints must hold; an offer is judged when it is used, and nothing is moved later.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use imbl::OrdMap;
use regex::Regex;

use super::Agent;
use super::values::{Value, ValueIx};
use crate::api::{Constraint, Operator};

/// Why a constraint cannot be understood. Validation refuses such an App; this is for one that slipped through.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConstraintError {
    /// The operator needs an operand.
    #[error("constraint {constraint}: the operator needs a value")]
    NoValue {
        /// The constraint, as people write it.
        constraint: String,
    },
    /// The operand is not a whole number.
    #[error("constraint {constraint}: the value must be a whole number from 0 on")]
    NotANumber {
        /// The constraint, as people write it.
        constraint: String,
    },
    /// The operand is not a regular expression.
    #[error("constraint {constraint}: the value must be a regular expression")]
    NotARegex {
        /// The constraint, as people write it.
        constraint: String,
        /// What is wrong with it.
        source: regex::Error,
    },
}

/// The property of an agent that a constraint speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    Hostname,
    Region,
    Zone,
    Attribute(String),
}

impl Field {
    fn named(name: &str) -> Self {
        match name {
            "hostname" | "@hostname" => Self::Hostname,
            "@region" => Self::Region,
            "@zone" => Self::Zone,
            other => Self::Attribute(other.to_owned()),
        }
    }

    /// Its value on an agent.
    pub(super) fn on<'a>(&self, agent: &'a Agent) -> Option<&'a Arc<str>> {
        match self {
            Self::Hostname => Some(&agent.hostname),
            Self::Region => agent.region.as_ref(),
            Self::Zone => agent.zone.as_ref(),
            Self::Attribute(name) => agent.attributes.get(name.as_str()),
        }
    }
}

/// What a constraint asks.
#[derive(Clone, Debug)]
pub(super) enum Test {
    /// IS, and CLUSTER with a value.
    Equals(Arc<str>),
    Matches(Regex),
    Differs(Regex),
    /// CLUSTER without a value: where the others are.
    Together,
    /// At most so many per value: MAX_PER, and UNIQUE with 1.
    AtMost(u32),
    /// GROUP_BY, over at least so many values.
    Evenly(u32),
    /// This value, or none: where an App stays that says nothing of regions.
    AtHome(Arc<str>),
}

/// A constraint made ready for use.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) field: Field,
    pub(super) test: Test,
    /// As people write it.
    text: String,
}

/// How many placed instances of a class have each value of a field. A copy costs next to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    by_value: OrdMap<ValueIx, u32>,
    /// Those on agents without a value, or that nothing is known of: together they are one group.
    without: u32,
    /// How many groups have each size.
    sizes: BTreeMap<u32, usize>,
}

impl Counts {
    pub(super) fn of(&self, value: ValueIx) -> u32 {
        self.by_value.get(&value).copied().unwrap_or(0)
    }

    pub(super) fn add(&mut self, value: Option<ValueIx>) {
        let count = match value {
            Some(value) => self.by_value.entry(value).or_default(),
            None => &mut self.without,
        };
        let before = *count;
        *count += 1;
        self.resize(before, before + 1);
    }

    /// Undoes one [`add`](Self::add).
    pub(super) fn remove(&mut self, value: Option<ValueIx>) {
        let count = match value {
            Some(value) => self.by_value.get_mut(&value),
            None => Some(&mut self.without),
        };
        let Some(count) = count.filter(|it| **it > 0) else { return };
        let before = *count;
        *count -= 1;
        if let (1, Some(value)) = (before, value) {
            self.by_value.remove(&value);
        }
        self.resize(before, before - 1);
    }

    fn resize(&mut self, before: u32, after: u32) {
        if after > 0 {
            *self.sizes.entry(after).or_default() += 1;
        }
        if before > 0
            && let Some(groups) = self.sizes.get_mut(&before)
        {
            *groups -= 1;
            if *groups == 0 {
                self.sizes.remove(&before);
            }
        }
    }

    /// Groups, that of agents without a value among them.
    pub(super) fn groups(&self) -> usize {
        self.by_value.len() + usize::from(self.without > 0)
    }

    /// The size of the smallest group; 0 when there is none.
    pub(super) fn smallest(&self) -> u32 {
        self.sizes.first_key_value().map_or(0, |(size, _)| *size)
    }

    /// The values that instances have.
    pub(super) fn values(&self) -> impl Iterator<Item = ValueIx> {
        self.by_value.keys().copied()
    }

    /// The values that so many instances have.
    pub(super) fn of_size(&self, size: u32) -> impl Iterator<Item = ValueIx> {
        self.by_value.iter().filter(move |(_, count)| **count == size).map(|(value, _)| *value)
    }
}

impl Rule {
    pub(super) fn new(constraint: &Constraint) -> Result<Self, ConstraintError> {
        let text = show(constraint);
        let given = constraint.value.as_deref().filter(|it| !it.is_empty());
        let value = || given.ok_or_else(|| ConstraintError::NoValue { constraint: text.clone() });
        let test = match constraint.operator {
            Operator::Unique => Test::AtMost(1),
            Operator::Cluster => given.map_or(Test::Together, |it| Test::Equals(it.into())),
            Operator::Is => Test::Equals(value()?.into()),
            Operator::Like => Test::Matches(whole(value()?, &text)?),
            Operator::Unlike => Test::Differs(whole(value()?, &text)?),
            Operator::MaxPer => Test::AtMost(number(value()?, &text)?),
            Operator::GroupBy => Test::Evenly(given.map_or(Ok(0), |it| number(it, &text))?),
        };
        Ok(Self { field: Field::named(&constraint.attribute), test, text })
    }

    /// What holds for an App without a constraint on regions: it stays in this one, the master's. An agent of which no region
    /// is known is there, too.
    pub(super) fn at_home(region: Arc<str>) -> Self {
        let text = format!("@region IS {region}");
        Self { field: Field::Region, test: Test::AtHome(region), text }
    }

    /// Whether an agent with this value is accepted, given where the other instances are.
    pub(super) fn accepts(&self, value: Option<Value<'_>>, placed: &Counts) -> bool {
        let Some(Value { number, text }) = value else {
            return matches!(self.test, Test::Differs(_) | Test::AtHome(_));
        };
        match &self.test {
            Test::Equals(wanted) => text == wanted,
            Test::AtHome(region) => text == region,
            Test::Matches(regex) => regex.is_match(text),
            Test::Differs(regex) => !regex.is_match(text) || planted!("unlike-takes-all"),
            Test::Together => placed.groups() == 0 || placed.of(number) > 0,
            Test::AtMost(most) => placed.of(number) < *most + u32::from(planted!("one-more-per-value")),
            Test::Evenly(groups) => is_even(placed, number, *groups),
        }
    }

    /// Whether it is a GROUP_BY.
    pub(super) fn groups(&self) -> bool {
        matches!(self.test, Test::Evenly(_))
    }

    /// Of a GROUP_BY: whether the instances are in as many groups as there must be before any gets a second one.
    pub(super) fn has_enough_groups(&self, placed: &Counts) -> Option<bool> {
        match self.test {
            Test::Evenly(groups) => Some(placed.groups() >= groups as usize),
            _ => None,
        }
    }

    /// As people write it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether agents are looked up by the values of its field. Where each value is one agent's, a rule that refuses
    /// values one by one is as well asked about each agent.
    pub(super) fn looks_up(&self) -> bool {
        self.field != Field::Hostname || !matches!(self.test, Test::AtMost(_) | Test::Differs(_))
    }

    /// Whether it looks at where other instances are.
    pub(super) fn compares(&self) -> bool {
        matches!(self.test, Test::Together | Test::AtMost(_) | Test::Evenly(_))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// A new group, or one of the smallest once there are at least `groups`.
fn is_even(placed: &Counts, value: ValueIx, groups: u32) -> bool {
    let here = placed.of(value);
    here == 0 || (placed.groups() >= groups as usize && here == placed.smallest())
}

fn whole(pattern: &str, constraint: &str) -> Result<Regex, ConstraintError> {
    Regex::new(&format!("^(?:{pattern})$"))
        .map_err(|source| ConstraintError::NotARegex { constraint: constraint.to_owned(), source })
}

fn number(value: &str, constraint: &str) -> Result<u32, ConstraintError> {
    value.parse().map_err(|_| ConstraintError::NotANumber { constraint: constraint.to_owned() })
}

fn show(constraint: &Constraint) -> String {
    let operator = match constraint.operator {
        Operator::Cluster => "CLUSTER",
        Operator::GroupBy => "GROUP_BY",
        Operator::Is => "IS",
        Operator::Like => "LIKE",
        Operator::MaxPer => "MAX_PER",
        Operator::Unique => "UNIQUE",
        Operator::Unlike => "UNLIKE",
    };
    match &constraint.value {
        Some(value) => format!("{} {operator} {value}", constraint.attribute),
        None => format!("{} {operator}", constraint.attribute),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::placement::values::Values;

    fn rule(text: &str) -> Rule {
        let mut words = text.splitn(3, ' ').map(str::to_owned);
        let (attribute, operator) = (words.next().unwrap(), words.next().unwrap());
        let operator = serde_json::from_value(operator.into()).unwrap();
        Rule::new(&Constraint { attribute, operator, value: words.next() }).unwrap()
    }

    fn agent(rack: Option<&str>) -> Agent {
        let attributes = rack.map(|it| ("rack".to_owned(), Arc::from(it))).into_iter().collect();
        Agent { attributes, ..Agent::new("agent-1", "node-1") }
    }

    fn placed(counts: &[(Option<&str>, u32)], values: &mut Values) -> Counts {
        let mut placed = Counts::default();
        for &(value, count) in counts {
            let value = value.map(|it| values.take(&it.into()));
            (0..count).for_each(|_| placed.add(value));
        }
        placed
    }

    #[test]
    fn each_operator_decides_as_in_marathon() {
        let none: &[(Option<&str>, u32)] = &[];
        let a1 = &[(Some("a"), 1)];
        let a2b1 = &[(Some("a"), 2), (Some("b"), 1)];
        let a1b1 = &[(Some("a"), 1), (Some("b"), 1)];
        let lost1a1 = &[(None, 1), (Some("a"), 1)];
        let a2lost1 = &[(None, 1), (Some("a"), 2)];
        let rows = [
            // constraint, value on the agent, where the others are, accepted
            ("rack UNIQUE", Some("a"), none, true),
            ("rack UNIQUE", Some("a"), a1, false),
            ("rack UNIQUE", Some("b"), a1, true),
            ("rack UNIQUE", None, none, false),
            ("rack CLUSTER a", Some("a"), none, true),
            ("rack CLUSTER a", Some("b"), none, false),
            ("rack CLUSTER", Some("b"), none, true),
            ("rack CLUSTER", Some("b"), a1, false),
            ("rack CLUSTER", Some("a"), a1, true),
            ("rack CLUSTER", None, none, false),
            ("rack LIKE [ab]", Some("a"), none, true),
            ("rack LIKE [ab]", Some("ab"), none, false), // the whole value
            ("rack LIKE a|b", Some("ab"), none, false),
            ("rack LIKE .*", None, none, false),
            ("rack UNLIKE [ab]", Some("c"), none, true),
            ("rack UNLIKE [ab]", Some("a"), none, false),
            ("rack UNLIKE [ab]", Some("ab"), none, true),
            ("rack UNLIKE [ab]", None, none, true), // the only one that takes agents without it
            ("rack IS a.b", Some("a.b"), none, true),
            ("rack IS a.b", Some("axb"), none, false),
            ("rack MAX_PER 2", Some("a"), a1, true),
            ("rack MAX_PER 2", Some("a"), a2b1, false),
            ("rack MAX_PER 2", None, none, false),
            ("rack GROUP_BY", Some("a"), none, true),
            ("rack GROUP_BY", Some("a"), a1, true), // it cannot know of racks that it never saw
            ("rack GROUP_BY", Some("a"), a2b1, false),
            ("rack GROUP_BY", Some("b"), a2b1, true),
            ("rack GROUP_BY", Some("c"), a2b1, true),
            ("rack GROUP_BY 3", Some("a"), a1b1, false), // a third rack must come first
            ("rack GROUP_BY 3", Some("c"), a1b1, true),
            ("rack GROUP_BY 2", Some("a"), a1b1, true),
            ("rack GROUP_BY 2", Some("a"), lost1a1, true), // agents without it are one group
            ("rack GROUP_BY", Some("a"), a2lost1, false),
            ("rack GROUP_BY", None, none, false),
            ("hostname IS node-1", None, none, true),
            ("@hostname LIKE node-.*", None, none, true),
        ];
        for (constraint, rack, others, accepted) in rows {
            let rule = rule(constraint);
            let mut values = Values::new(rule.field.clone());
            let placed = placed(others, &mut values);
            let value = rule.field.on(&agent(rack)).map(|it| values.take(it));
            let verdict = rule.accepts(value.map(|it| values.numbered(it)), &placed);
            assert_eq!(verdict, accepted, "{constraint} on {rack:?} beside {others:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn counts_are_those_of_a_plain_map(changes in proptest::collection::vec((0_u8..2, 0_u8..4), 0..60)) {
            let mut counts = Counts::default();
            let mut oracle: BTreeMap<Option<ValueIx>, u32> = BTreeMap::new();
            let mut values = Values::new(Field::Hostname);
            for (change, value) in changes {
                let value = (value > 0).then(|| values.take(&format!("v{value}").into()));
                let known = oracle.entry(value).or_default();
                if change == 0 {
                    *known += 1;
                    counts.add(value);
                } else {
                    *known = known.saturating_sub(1);
                    counts.remove(value);
                }
                oracle.retain(|_, count| *count > 0);
                proptest::prop_assert_eq!(counts.groups(), oracle.len());
                proptest::prop_assert_eq!(counts.smallest(), oracle.values().copied().min().unwrap_or(0));
                for (value, count) in &oracle {
                    let known = value.map_or(counts.without, |it| counts.of(it));
                    proptest::prop_assert_eq!(known, *count);
                }
            }
        }
    }

    #[test]
    fn a_constraint_that_cannot_be_understood_is_named() {
        let error = |operator, value: Option<&str>| {
            let constraint =
                Constraint { attribute: "rack".into(), operator, value: value.map(str::to_owned) };
            Rule::new(&constraint).unwrap_err().to_string()
        };
        assert_eq!(error(Operator::Like, None), "constraint rack LIKE: the operator needs a value");
        assert_eq!(
            error(Operator::MaxPer, Some("x")),
            "constraint rack MAX_PER x: the value must be a whole number from 0 on"
        );
        assert_eq!(
            error(Operator::Unlike, Some("(")),
            "constraint rack UNLIKE (: the value must be a regular expression"
        );
    }
}
