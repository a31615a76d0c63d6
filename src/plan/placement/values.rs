//! The fields that rules speak of and the values that agents have in them, each by a dense number: numbers are compared
//! and counted at a fraction of the cost of text.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::constraint::Field;
use super::index::AgentIx;
use super::order::{ByValue, Rank};

/// A dense number for a field, valid within one index.
pub(super) type FieldIx = usize;

/// A dense number for a value of one field. It goes to another value once no agent has this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ValueIx(NonZeroU32);

impl ValueIx {
    pub(super) const fn at(self) -> usize {
        self.0.get() as usize - 1
    }

    fn from_place(at: usize) -> Self {
        let number = u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1);
        Self(NonZeroU32::new(number).unwrap_or(NonZeroU32::MAX))
    }
}

/// A value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    pub(super) number: ValueIx,
    pub(super) text: &'a Arc<str>,
}

/// All fields that some class has spoken of.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    numbers: BTreeMap<Field, FieldIx>,
    all: Vec<Values>,
}

/// The values of one field.
#[derive(Clone, Debug)]
pub(super) struct Values {
    pub(super) field: Field,
    numbers: BTreeMap<Arc<str>, ValueIx>,
    /// By number: the text, and how many agents have it.
    texts: Vec<(Arc<str>, u32)>,
    /// Numbers that no agent has any more.
    unused: Vec<ValueIx>,
    /// By agent: its value.
    on: Vec<Option<ValueIx>>,
    /// The agents by their values, if some class looks agents up by them.
    by_value: Option<ByValue>,
}

impl Fields {
    /// The number of a field; whether it is new, so that no agent has a value yet.
    pub(super) fn number(&mut self, field: &Field) -> (FieldIx, bool) {
        if let Some(known) = self.numbers.get(field) {
            return (*known, false);
        }
        let number = self.all.len();
        self.numbers.insert(field.clone(), number);
        self.all.push(Values::new(field.clone()));
        (number, true)
    }

    pub(super) fn of(&self, field: FieldIx) -> &Values {
        &self.all[field]
    }

    pub(super) fn of_mut(&mut self, field: FieldIx) -> &mut Values {
        &mut self.all[field]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Values> {
        self.all.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Values> {
        self.all.iter_mut()
    }

    /// Puts an agent into all orders.
    pub(super) fn rank(&mut self, rank: Rank) {
        for (by_value, value) in self.arranged(rank.agent) {
            by_value.insert(value, rank);
        }
    }

    /// Undoes one [`rank`](Self::rank).
    pub(super) fn unrank(&mut self, rank: &Rank) {
        for (by_value, value) in self.arranged(rank.agent) {
            by_value.remove(value, rank);
        }
    }

    fn arranged(&mut self, agent: AgentIx) -> impl Iterator<Item = (&mut ByValue, Option<ValueIx>)> {
        self.all.iter_mut().filter_map(move |it| {
            let value = it.on(agent);
            Some((it.by_value.as_mut()?, value))
        })
    }
}

impl Values {
    pub(super) fn new(field: Field) -> Self {
        Self {
            field,
            numbers: BTreeMap::new(),
            texts: Vec::new(),
            unused: Vec::new(),
            on: Vec::new(),
            by_value: None,
        }
    }

    /// How many values agents have.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The values that agents have, in order of their text.
    pub(super) fn all(&self) -> impl Iterator<Item = Value<'_>> {
        self.numbers.iter().map(|(text, number)| Value { number: *number, text })
    }

    pub(super) fn numbered(&self, number: ValueIx) -> Value<'_> {
        Value { number, text: &self.texts[number.at()].0 }
    }

    pub(super) fn find(&self, text: &str) -> Option<ValueIx> {
        self.numbers.get(text).copied()
    }

    /// The value of an agent.
    pub(super) fn on(&self, agent: AgentIx) -> Option<ValueIx> {
        self.on.get(agent as usize).copied().flatten()
    }

    /// How many numbers there may be.
    pub(super) fn numbers(&self) -> usize {
        self.texts.len()
    }

    /// The agent has this value from now on. It must not be in any order.
    pub(super) fn set(&mut self, agent: AgentIx, value: Option<&Arc<str>>) {
        // First the new one: if it is the old one too, the number stays.
        let new = value.map(|it| self.take(it));
        let at = agent as usize;
        if at >= self.on.len() {
            self.on.resize(at + 1, None);
        }
        if let Some(old) = std::mem::replace(&mut self.on[at], new) {
            self.give_back(old);
        }
    }

    /// One more agent has this value.
    pub(super) fn take(&mut self, text: &Arc<str>) -> ValueIx {
        let number = self.find(text).unwrap_or_else(|| self.add(text));
        self.texts[number.at()].1 += 1;
        number
    }

    fn add(&mut self, text: &Arc<str>) -> ValueIx {
        let number = self.unused.pop().unwrap_or_else(|| {
            self.texts.push((text.clone(), 0));
            ValueIx::from_place(self.texts.len() - 1)
        });
        self.texts[number.at()].0 = text.clone();
        self.numbers.insert(text.clone(), number);
        number
    }

    /// Undoes one [`take`](Self::take).
    fn give_back(&mut self, number: ValueIx) {
        let (text, agents) = &mut self.texts[number.at()];
        *agents -= 1;
        if *agents == 0 {
            self.numbers.remove(text);
            self.unused.push(number);
        }
    }

    /// The agents by their values; `None` unless some class looks agents up by them.
    pub(super) fn by_value(&self) -> Option<&ByValue> {
        self.by_value.as_ref()
    }

    /// Arranges agents by their values from now on; these are there already.
    pub(super) fn arrange(&mut self, agents: impl Iterator<Item = Rank>) {
        let mut by_value = ByValue::new();
        agents.for_each(|rank| by_value.insert(self.on(rank.agent), rank));
        self.by_value = Some(by_value);
    }
}
