//! Removes what the schema does not declare, and reports it.

use serde_json::{Map, Value};

use super::hint::{declared, nearest};
use super::{Schema, Type};
use crate::registry::field::{FAULTS_MAX, Place};

/// A field that no schema declares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unknown {
    pub path: String,
    /// The declared field that was probably meant.
    pub nearest: Option<String>,
    /// Where no declared field is near: those that are declared there, for people.
    pub declared: String,
}

/// Removes undeclared fields below `value` and reports the first of them.
pub fn prune(value: &mut Value, schema: &Schema, path: &str, unknown: &mut Vec<Unknown>) {
    walk(value, schema, &Place::Root(path), unknown);
}

fn walk(value: &mut Value, schema: &Schema, place: &Place<'_>, unknown: &mut Vec<Unknown>) {
    match value {
        Value::Object(map) => {
            remove_undeclared(map, schema, place, unknown);
            for (name, field) in map {
                if let Some(schema) = schema.field(name) {
                    walk(field, schema, &Place::Field(place, name), unknown);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.items.as_deref() {
                for (at, value) in items.iter_mut().enumerate() {
                    walk(value, schema, &Place::Item(place, at), unknown);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn remove_undeclared(
    map: &mut Map<String, Value>,
    schema: &Schema,
    place: &Place<'_>,
    unknown: &mut Vec<Unknown>,
) {
    // A scalar's schema says nothing about fields: that an object stands there is for validation to tell.
    let closed = schema.type_ == Type::Object && !schema.preserve_unknown && schema.additional.is_none();
    if !closed {
        return;
    }
    map.retain(|name, _| {
        let is_declared = schema.properties.contains_key(name);
        if !is_declared && unknown.len() < FAULTS_MAX {
            let nearest =
                nearest(name, schema.properties.keys()).map(|near| Place::Field(place, near).to_string());
            let declared = if nearest.is_none() { declared(schema) } else { String::new() };
            unknown.push(Unknown { path: Place::Field(place, name).to_string(), nearest, declared });
        }
        is_declared
    });
}
