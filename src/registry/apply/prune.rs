//! Removes what a manager owned and no longer speaks of, if nobody else owns it.

use serde_json::{Map, Value};

use super::path::{FieldSet, PathElement};
use super::set::{fields_of, with_named_fields};
use super::tree::{Shape, element, shape};
use super::{below, items};
use crate::registry::schema::Schema;

/// `merged` without the fields of `last` (what its manager owned before) that are in no set of `owned` (what everybody,
/// the manager included, owns now).
pub(super) fn prune(merged: &Value, schema: &Schema, last: &FieldSet, owned: &FieldSet) -> Value {
    let last = with_named_fields(last, schema);
    let all = with_named_fields(&fields_of(merged, schema), schema);
    let pruned = remove(merged, schema, &last);
    // What others own comes back, with everything on the way to it.
    let kept = with_named_fields(&fields_of(&pruned, schema), schema);
    let owned = with_named_fields(owned, schema);
    let pruned = remove(merged, schema, &all.difference(&kept.union(&owned)));
    // And what was never this manager's.
    let kept = with_named_fields(&fields_of(&pruned, schema), schema);
    remove(merged, schema, &all.difference(&kept).intersection(&last))
}

/// `value` without the paths of `gone`. What becomes empty by it stays, empty.
fn remove(value: &Value, schema: &Schema, gone: &FieldSet) -> Value {
    match (shape(schema, Some(value), None), value) {
        (Shape::Map, Value::Object(map)) => {
            let mut kept = Map::new();
            for (name, field) in map {
                let step = PathElement::field(name);
                if let Some(field) = remaining(field, below(schema, name), gone, &step) {
                    kept.insert(name.clone(), field);
                }
            }
            Value::Object(kept)
        }
        (Shape::List, Value::Array(list)) => {
            let inner = items(schema);
            let keep = |item: &Value| match element(schema, item) {
                Ok(step) => remaining(item, inner, gone, &step),
                Err(_) => Some(item.clone()),
            };
            Value::Array(list.iter().filter_map(keep).collect())
        }
        _ => value.clone(),
    }
}

fn remaining(value: &Value, schema: &Schema, gone: &FieldSet, step: &PathElement) -> Option<Value> {
    if gone.members.contains(step) {
        return None;
    }
    match gone.below(step) {
        Some(below) => Some(remove(value, schema, below)),
        None => Some(value.clone()),
    }
}
