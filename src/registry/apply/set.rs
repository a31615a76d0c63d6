//! The fields that a configuration speaks of.

use serde_json::Value;

use super::path::{FieldSet, PathElement};
use super::tree::{Shape, element, shape};
use super::{below, items};
use crate::registry::schema::Schema;

/// Every field that stands in `value`.
pub(super) fn fields_of(value: &Value, schema: &Schema) -> FieldSet {
    let mut set = FieldSet::default();
    walk(value, schema, &mut Vec::new(), &mut set);
    set
}

fn walk(value: &Value, schema: &Schema, path: &mut Vec<PathElement>, set: &mut FieldSet) {
    match (shape(schema, Some(value), None), value) {
        (Shape::Map, Value::Object(map)) => {
            for (name, field) in map {
                path.push(PathElement::field(name));
                walk(field, below(schema, name), path, set);
                let empty = field.is_null() || field.as_object().is_some_and(serde_json::Map::is_empty);
                if empty || !schema.properties.contains_key(name) {
                    set.insert(path);
                }
                path.pop();
            }
        }
        (Shape::List, Value::Array(list)) => {
            for item in list {
                let Ok(step) = element(schema, item) else { continue };
                path.push(step);
                walk(item, items(schema), path, set);
                set.insert(path);
                path.pop();
            }
        }
        (_, Value::Null) => {}
        _ => set.insert(path),
    }
}

/// `set` with every declared field of a struct that leads to a member made a member too, so that removing all of
/// what is below removes the field itself.
pub(super) fn with_named_fields(set: &FieldSet, schema: &Schema) -> FieldSet {
    let mut closed = FieldSet { members: set.members.clone(), ..FieldSet::default() };
    for (step, child) in &set.children {
        let inner = match step {
            PathElement::Field(name) => {
                if schema.properties.contains_key(name) {
                    closed.members.insert(step.clone());
                }
                below(schema, name)
            }
            PathElement::Key(_) | PathElement::Value(_) | PathElement::Index(_) => items(schema),
        };
        closed.children.insert(step.clone(), with_named_fields(child, inner));
    }
    closed
}
