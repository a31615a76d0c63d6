//! Drops explicit nulls where null is no value: kube-rs and Go clients write them for what is absent.

use serde_json::Value;

use super::Schema;

/// Removes null fields that `schema` declares and does not call nullable. A default may then take their place.
pub fn drop_nulls(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(map) => {
            map.retain(|name, field| {
                !field.is_null() || schema.field(name).is_none_or(|schema| schema.nullable)
            });
            for (name, field) in map {
                if let Some(schema) = schema.field(name) {
                    drop_nulls(field, schema);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.items.as_deref() {
                items.iter_mut().for_each(|item| drop_nulls(item, schema));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
