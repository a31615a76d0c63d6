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

/// What changed from `old` to `new`.
pub(super) fn compare(old: &Value, new: &Value, schema: &Schema) -> Comparison {
    let mut comparison = Comparison::default();
    walk(Some(old), Some(new), schema, &mut Vec::new(), &mut comparison);
    comparison
}

fn walk(
    old: Option<&Value>,
    new: Option<&Value>,
    schema: &Schema,
    path: &mut Vec<PathElement>,
    found: &mut Comparison,
) {
    let shape = shape(schema, old, new);
    if shape == Shape::Leaf || both_empty(old, new) {
        return leaf(old, new, path, found);
    }
    match shape {
        Shape::Map => walk_map(old, new, schema, path, found),
        Shape::List => walk_list(old, new, schema, path, found),
        Shape::Leaf => {}
    }
    // The node itself came or went with what is in it.
    match (old, new) {
        (None, Some(_)) => found.added.insert(path),
        (Some(_), None) => found.removed.insert(path),
        _ => {}
    }
}

fn leaf(old: Option<&Value>, new: Option<&Value>, path: &[PathElement], found: &mut Comparison) {
    match (old, new) {
        (None, Some(_)) => found.added.insert(path),
        (Some(_), None) => found.removed.insert(path),
        (Some(old), Some(new)) if old != new => found.modified.insert(path),
        _ => {}
    }
}

fn walk_map(
    old: Option<&Value>,
    new: Option<&Value>,
    schema: &Schema,
    path: &mut Vec<PathElement>,
    found: &mut Comparison,
) {
    let (old, new) = (fields(old), fields(new));
    let names: BTreeSet<&String> = old.into_iter().chain(new).flat_map(serde_json::Map::keys).collect();
    for name in names {
        let (was, is) = (old.and_then(|map| map.get(name)), new.and_then(|map| map.get(name)));
        path.push(PathElement::field(name));
        walk(was, is, below(schema, name), path, found);
        path.pop();
    }
}

fn walk_list(
    old: Option<&Value>,
    new: Option<&Value>,
    schema: &Schema,
    path: &mut Vec<PathElement>,
    found: &mut Comparison,
) {
    let (old, new) = (indexed(schema, list(old)), indexed(schema, list(new)));
    // Of duplicates, which only a broken list has, the last one counts.
    let (old, new): (BTreeMap<_, _>, BTreeMap<_, _>) = (old.into_iter().collect(), new.into_iter().collect());
    let steps: BTreeSet<&PathElement> = old.keys().chain(new.keys()).collect();
    for step in steps {
        path.push(step.clone());
        walk(old.get(step).copied(), new.get(step).copied(), items(schema), path, found);
        path.pop();
    }
}
