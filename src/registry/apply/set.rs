//! The fields that a configuration speaks of.

use serde_json::Value;

use super::path::{FieldSet, PathElement};
use super::tree::{Shape, element, shape};
use super::{below, items};
use crate::registry::schema::Schema;

/// Every field that stands in `value`.
pub(super) fn fields_of(value: &Value, schema: &Schema) -> FieldSet {
    walk(value, schema).0
}

/// What stands below a value, and whether its own place counts.
fn walk(value: &Value, schema: &Schema) -> (FieldSet, bool) {
    let mut set = FieldSet::default();
    match (shape(schema, Some(value), None), value) {
        (Shape::Map, Value::Object(map)) => {
            for (name, field) in map {
                let (below, own) = walk(field, below(schema, name));
                let empty = field.is_null() || field.as_object().is_some_and(serde_json::Map::is_empty);
                let own = own || empty || !schema.properties.contains_key(name);
                set.add(&PathElement::field(name), below, own);
            }
            (set, false)
        }
        (Shape::List, Value::Array(list)) => {
            for item in list {
                let Ok(step) = element(schema, item) else { continue };
                set.add(&step, walk(item, items(schema)).0, true);
            }
            (set, false)
        }
        (_, Value::Null) => (set, false),
        _ => (set, true),
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
