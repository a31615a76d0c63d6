//! Puts defaults where nothing stands.

use serde_json::Value;

use super::{Schema, prune, validate};
use crate::registry::field::{FieldError, child};

/// Sets every absent field that has a default, down from `value`; what a default brings gets its own defaults too.
pub fn apply_defaults(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(map) => {
            for (name, schema) in &schema.properties {
                if let Some(default) = schema.default.as_ref().filter(|_| !map.contains_key(name)) {
                    map.insert(name.clone(), default.clone());
                }
            }
            for (name, field) in map {
                if let Some(schema) = schema.field(name) {
                    apply_defaults(field, schema);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.items.as_deref() {
                items.iter_mut().for_each(|item| apply_defaults(item, schema));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Defaults in `schema`, which stands at `path`, that would not themselves be accepted.
pub fn defaults_faults(schema: &Schema, path: &str) -> Vec<FieldError> {
    let mut faults = Vec::new();
    if let Some(default) = &schema.default {
        let place = child(path, "default");
        let (mut whole, mut unknown) = (default.clone(), Vec::new());
        prune(&mut whole, schema, &place, &mut unknown);
        let undeclared = |it: super::Unknown| {
            FieldError::invalid(
                place.clone(),
                default.clone(),
                format!("must not have unknown fields: {}", it.path),
            )
        };
        faults.extend(unknown.into_iter().map(undeclared));
        apply_defaults(&mut whole, schema);
        faults.extend(validate(&whole, schema, &place));
    }
    for (name, below) in &schema.properties {
        faults.extend(defaults_faults(below, &format!("{path}.properties[{name}]")));
    }
    for (part, below) in [("items", &schema.items), ("additionalProperties", &schema.additional)] {
        faults.extend(below.iter().flat_map(|below| defaults_faults(below, &child(path, part))));
    }
    faults
}
