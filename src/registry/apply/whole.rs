//! Defaults within what is owned as one value.

use serde_json::Value;

use super::tree::{Shape, shape};
use super::{below, items};
use crate::registry::schema::{Schema, apply_defaults};

/// Puts defaults into the lists and maps of a configuration that are owned as one value, as the stored ones have them:
/// else who applies the same manifest as somebody before would seem to change them.
pub(super) fn complete(config: &mut Value, schema: &Schema) {
    if shape(schema, Some(config), None) == Shape::Leaf {
        return apply_defaults(config, schema);
    }
    match config {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, it)| complete(it, below(schema, name))),
        Value::Array(list) => list.iter_mut().for_each(|it| complete(it, items(schema))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
