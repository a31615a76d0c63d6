//! What changed between two versions of an object, by field.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::path::{FieldSet, PathElement};
use super::tree::{Shape, both_empty, fields, indexed, list, shape};
use super::{below, items};
use crate::registry::schema::Schema;

/// Fields that came, went, or have another value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    pub added: FieldSet,
    pub removed: FieldSet,
    pub modified: FieldSet,
}

impl Comparison {
    /// Whether nothing changed.
    pub(super) fn is_same(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.modified.is_empty()
    }
}

/// What became of a node itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    Same,
    Added,
    Removed,
    Modified,
}

impl Comparison {
    /// Takes in what became of the node that `step` leads to, and of what is below it.
    fn add(&mut self, step: impl FnOnce() -> PathElement, (below, own): (Comparison, Own)) {
        if own == Own::Same && below.is_same() {
            return;
        }
        let step = step();
        self.added.add(&step, below.added, own == Own::Added);
        self.removed.add(&step, below.removed, own == Own::Removed);
        self.modified.add(&step, below.modified, own == Own::Modified);
    }
}

/// What changed from `old` to `new`.
pub(super) fn compare(old: &Value, new: &Value, schema: &Schema) -> Comparison {
    walk(Some(old), Some(new), schema).0
}

fn walk(old: Option<&Value>, new: Option<&Value>, schema: &Schema) -> (Comparison, Own) {
    let shape = shape(schema, old, new);
    let is_leaf = shape == Shape::Leaf || both_empty(old, new);
    let below = match shape {
        Shape::Map if !is_leaf => walk_map(old, new, schema),
        Shape::List if !is_leaf => walk_list(old, new, schema),
        Shape::Map | Shape::List | Shape::Leaf => Comparison::default(),
    };
    let own = match (old, new) {
        // The node itself came or went with what is in it.
        (None, Some(_)) => Own::Added,
        (Some(_), None) => Own::Removed,
        (Some(old), Some(new)) if is_leaf && old != new => Own::Modified,
        _ => Own::Same,
    };
    (below, own)
}

fn walk_map(old: Option<&Value>, new: Option<&Value>, schema: &Schema) -> Comparison {
    let (old, new) = (fields(old), fields(new));
    let names: BTreeSet<&String> = old.into_iter().chain(new).flat_map(serde_json::Map::keys).collect();
    let mut found = Comparison::default();
    for name in names {
        let (was, is) = (old.and_then(|map| map.get(name)), new.and_then(|map| map.get(name)));
        found.add(|| PathElement::field(name), walk(was, is, below(schema, name)));
    }
    found
}

fn walk_list(old: Option<&Value>, new: Option<&Value>, schema: &Schema) -> Comparison {
    let (old, new) = (indexed(schema, list(old)), indexed(schema, list(new)));
    // Of duplicates, which only a broken list has, the last one counts.
    let (old, new): (BTreeMap<_, _>, BTreeMap<_, _>) = (old.into_iter().collect(), new.into_iter().collect());
    let steps: BTreeSet<&PathElement> = old.keys().chain(new.keys()).collect();
    let mut found = Comparison::default();
    for step in steps {
        let (was, is) = (old.get(step).copied(), new.get(step).copied());
        found.add(|| step.clone(), walk(was, is, items(schema)));
    }
    found
}
