//! Rewrites quantities to their one spelling (the deviation from a structural schema that [`crate::api::format`]
//! lists), so that two spellings of one amount are no change and no conflict.

use serde_json::Value;

use super::Schema;
use crate::api::format;
use crate::registry::field::{FAULTS_MAX, FieldError, Place};

/// Rewrites every value below `value` whose schema has a format of ours, and reports the first of those that do not parse.
/// A value of a type that the schema refuses anyway is left to validation.
pub fn canonicalise(value: &mut Value, schema: &Schema, path: &str, errors: &mut Vec<FieldError>) {
    walk(value, schema, &Place::Root(path), errors);
}

fn walk(value: &mut Value, schema: &Schema, path: &Place<'_>, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(map) => {
            for (name, field) in map {
                if let Some(schema) = schema.field(name) {
                    walk(field, schema, &Place::Field(path, name), errors);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.items.as_deref() {
                for (at, value) in items.iter_mut().enumerate() {
                    walk(value, schema, &Place::Item(path, at), errors);
                }
            }
        }
        Value::String(_) | Value::Number(_) => {
            match schema.format.as_deref().and_then(|format| format::canonical(format, value)) {
                Some(Ok(canonical)) => *value = canonical,
                Some(Err(text)) if errors.len() < FAULTS_MAX => {
                    errors.push(FieldError::invalid(path.to_string(), value.clone(), text));
                }
                Some(Err(_)) | None => {}
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}
