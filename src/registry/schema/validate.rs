//! Checks a value against its schema, in the words of a real apiserver (kube-openapi's validators).

mod rules;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{ListType, Schema, Type};
use crate::registry::field::{FAULTS_MAX, FieldError, Place, wrong_type};

/// What `schema` refuses at and below `path`, the first hundred faults of each pass: first what single values break, then
/// duplicates in lists.
#[must_use]
pub fn validate(value: &Value, schema: &Schema, path: &str) -> Vec<FieldError> {
    let (mut errors, mut twice, root) = (Vec::new(), Vec::new(), Place::Root(path));
    check(value, schema, &root, &mut errors);
    uniqueness(value, schema, &root, &mut twice);
    errors.append(&mut twice);
    errors
}

fn check(value: &Value, schema: &Schema, path: &Place<'_>, errors: &mut Vec<FieldError>) {
    if errors.len() >= FAULTS_MAX || value.is_null() && schema.nullable {
        return;
    }
    if let Some(error) = type_error(value, schema, path) {
        errors.push(error);
        rules::range_of_format(value, schema, path, errors);
        return;
    }
    rules::check(value, schema, path, errors);
    match value {
        Value::Object(map) => check_object(map, schema, path, errors),
        Value::Array(items) => {
            if let Some(schema) = schema.items.as_deref() {
                for (at, value) in items.iter().enumerate() {
                    check(value, schema, &Place::Item(path, at), errors);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn check_object(map: &Map<String, Value>, schema: &Schema, path: &Place<'_>, errors: &mut Vec<FieldError>) {
    for name in schema.required.iter().filter(|&name| !map.contains_key(name)) {
        errors.push(FieldError::required(Place::Field(path, name).to_string(), ""));
    }
    for (name, field) in map {
        if let Some(schema) = schema.field(name) {
            check(field, schema, &Place::Field(path, name), errors);
        }
    }
}

/// The JSON type of `value`, and the format that Go would hold it in.
fn type_of(value: &Value) -> (&'static str, &'static str) {
    match value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::Number(number) if number.is_f64() => ("number", "float64"),
        Value::Number(_) => ("integer", "int64"),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
    }
}

fn type_error(value: &Value, schema: &Schema, path: &Place<'_>) -> Option<FieldError> {
    let (got, got_format) = type_of(value);
    let whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
    let fits = match schema.type_ {
        Type::Any => true,
        Type::IntOrString => got == "integer" || got == "string",
        Type::Integer => got == "integer" || (got == "number" && whole),
        Type::Number => got == "integer" || got == "number",
        Type::Object | Type::Array | Type::String | Type::Boolean => got == schema.type_.as_str(),
    };
    if fits {
        return None;
    }
    // A number, a boolean or an object where a format is asked for is told apart by format, as kube-openapi does.
    let by_format = schema.format.as_deref().filter(|_| {
        matches!(got, "boolean" | "number" | "integer" | "object") && schema.type_ != Type::IntOrString
    });
    let (want, got) = match by_format {
        Some(format) => (format, got_format),
        None => (schema.type_.as_str(), got),
    };
    let message = format!("{path} in body must be of type {want}: {}", Value::from(got));
    Some(wrong_type(&path.to_string(), got, message))
}

/// Reports items that stand twice in a set or a list-map, as Kubernetes does in a pass of its own.
fn uniqueness(value: &Value, schema: &Schema, path: &Place<'_>, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(map) => {
            for (name, field) in map {
                if let Some(schema) = schema.field(name) {
                    uniqueness(field, schema, &Place::Field(path, name), errors);
                }
            }
        }
        Value::Array(items) => {
            duplicates(items, &schema.list, path, errors);
            if let Some(schema) = schema.items.as_deref() {
                for (at, value) in items.iter().enumerate() {
                    uniqueness(value, schema, &Place::Item(path, at), errors);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn duplicates(items: &[Value], list: &ListType, path: &Place<'_>, errors: &mut Vec<FieldError>) {
    if items.len() < 2 || *list == ListType::Atomic {
        return;
    }
    let identity = |value: &Value| match list {
        ListType::Atomic => None,
        ListType::Set => Some(value.clone()),
        ListType::Map(keys) => {
            let fields = value.as_object()?;
            let known = |key: &String| Some((key.clone(), fields.get(key)?.clone()));
            Some(Value::Object(keys.iter().filter_map(known).collect()))
        }
    };
    let mut seen = BTreeSet::new();
    for (at, value) in items.iter().enumerate() {
        if errors.len() >= FAULTS_MAX {
            return;
        }
        if let Some(identity) = identity(value)
            && !seen.insert(identity.to_string())
        {
            errors.push(FieldError::duplicate(Place::Item(path, at).to_string(), identity));
        }
    }
}
