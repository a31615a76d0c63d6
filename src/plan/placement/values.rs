//! The fields that rules speak of and the values that agents have in them, each by a dense number: numbers are compared
//! and counted at a fraction of the cost of text.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::constraint::Field;
use super::order::{ByValue, Rank};

/// A dense number for a field, valid within one index.
pub(super) type FieldIx = usize;

/// A dense number for a value of one field. It goes to another value once no agent has this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ValueIx(u32);

impl ValueIx {
    pub(super) const fn at(self) -> usize {
        self.0 as usize
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

    pub(super) fn len(&self) -> usize {
        self.all.len()
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

    /// Puts an agent with these values, one per field, into all orders.
    pub(super) fn rank(&mut self, values: &[Option<ValueIx>], rank: Rank) {
        for (by_value, value) in self.arranged(values) {
            by_value.insert(value, rank);
        }
    }

    /// Undoes [`rank`](Self::rank).
    pub(super) fn unrank(&mut self, values: &[Option<ValueIx>], rank: &Rank) {
        for (by_value, value) in self.arranged(values) {
            by_value.remove(value, rank);
        }
    }

    fn arranged(
        &mut self,
        values: &[Option<ValueIx>],
    ) -> impl Iterator<Item = (&mut ByValue, Option<ValueIx>)> {
        let all = self.all.iter_mut().zip(values);
        all.filter_map(|(field, value)| Some((field.by_value.as_mut()?, *value)))
    }
}

impl Values {
    pub(super) fn new(field: Field) -> Self {
        Self { field, numbers: BTreeMap::new(), texts: Vec::new(), unused: Vec::new(), by_value: None }
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

    /// One more agent has this value.
    pub(super) fn take(&mut self, text: &Arc<str>) -> ValueIx {
        let number = self.find(text).unwrap_or_else(|| self.add(text));
        self.texts[number.at()].1 += 1;
        number
    }

    fn add(&mut self, text: &Arc<str>) -> ValueIx {
        let number = self.unused.pop().unwrap_or_else(|| {
            self.texts.push((text.clone(), 0));
            ValueIx(u32::try_from(self.texts.len() - 1).unwrap_or(u32::MAX))
        });
        self.texts[number.at()].0 = text.clone();
        self.numbers.insert(text.clone(), number);
        number
    }

    /// Undoes one [`take`](Self::take).
    pub(super) fn give_back(&mut self, number: ValueIx) {
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
    pub(super) fn arrange(&mut self, agents: impl Iterator<Item = (Option<ValueIx>, Rank)>) {
        let by_value = self.by_value.insert(ByValue::new());
        agents.for_each(|(value, rank)| by_value.insert(value, rank));
    }
}
