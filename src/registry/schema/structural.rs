//! What makes a schema structural: every value has a type, so that pruning and merging know what they have before them.

use super::{Schema, Type};
use crate::registry::field::{FieldError, child};

/// Where `schema`, the schema of a whole object that stands at `path`, is not structural.
pub fn structural_faults(schema: &Schema, path: &str) -> Vec<FieldError> {
    let mut faults = Vec::new();
    if schema.type_ != Type::Object {
        faults.push(FieldError::invalid(
            child(path, "type"),
            schema.type_.as_str(),
            "must be object at the root",
        ));
    }
    walk(schema, path, &mut faults);
    faults
}

fn walk(schema: &Schema, path: &str, faults: &mut Vec<FieldError>) {
    for (name, below) in &schema.properties {
        typed(below, &format!("{path}.properties[{name}]"), "specified object fields", faults);
    }
    if let Some(below) = &schema.items {
        typed(below, &child(path, "items"), "specified array items", faults);
    }
    if let Some(below) = &schema.additional {
        typed(below, &child(path, "additionalProperties"), "specified object fields", faults);
    }
    if schema.type_ == Type::Array && schema.items.is_none() {
        faults.push(FieldError::required(child(path, "items"), "must be specified"));
    }
    if !schema.properties.is_empty() && schema.additional.is_some() {
        let text = "must not be used together with properties";
        faults.push(FieldError::forbidden(child(path, "additionalProperties"), text));
    }
}

fn typed(schema: &Schema, path: &str, of: &str, faults: &mut Vec<FieldError>) {
    if schema.type_ == Type::Any && !schema.preserve_unknown {
        faults.push(FieldError::required(child(path, "type"), format!("must not be empty for {of}")));
    }
    walk(schema, path, faults);
}
