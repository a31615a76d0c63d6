//! Puts defaults where nothing stands.

use serde_json::Value;

use super::Schema;

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
