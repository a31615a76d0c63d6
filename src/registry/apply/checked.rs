//! Refuses configurations that do not fit the schema, in structured-merge-diff's words.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::tree::element;
use super::{below, items};
use crate::registry::field::{FAULTS_MAX, Place, cut};
use crate::registry::schema::{ListType, Schema, Type, declared, nearest};

/// Checks field names, types and list keys.
///
/// # Errors
/// What is wrong, by path: the first hundred problems.
pub(super) fn check(config: &Value, schema: &Schema) -> Result<(), String> {
    let mut problems = Vec::new();
    walk(config, schema, &Place::Dotted, &mut problems);
    match problems.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("errors:\n  {}", many.join("\n  "))),
    }
}

fn walk(value: &Value, schema: &Schema, path: &Place<'_>, problems: &mut Vec<String>) {
    if value.is_null() || problems.len() >= FAULTS_MAX {
        return;
    }
    let wanted = match schema.type_ {
        Type::Any | Type::IntOrString => None,
        Type::Object => (!value.is_object()).then_some("map"),
        Type::Array => (!value.is_array()).then_some("list"),
        Type::String => (!value.is_string()).then_some("string"),
        Type::Boolean => (!value.is_boolean()).then_some("boolean"),
        Type::Integer | Type::Number => (!value.is_number()).then_some("numeric (int or float)"),
    };
    if let Some(wanted) = wanted {
        let shown = match value {
            Value::String(text) => cut(text),
            other => cut(other),
        };
        problems.push(format!("{path}: expected {wanted}, got &value.valueUnstructured{{Value:{shown}}}"));
        return;
    }
    match value {
        Value::Object(map) => walk_map(map, schema, path, problems),
        Value::Array(list) => walk_list(list, schema, path, problems),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn walk_map(map: &Map<String, Value>, schema: &Schema, path: &Place<'_>, problems: &mut Vec<String>) {
    let closed = schema.type_ == Type::Object && !schema.preserve_unknown && schema.additional.is_none();
    for (name, field) in map {
        if problems.len() >= FAULTS_MAX {
            return;
        }
        let place = Place::Field(path, name);
        if closed && !schema.properties.contains_key(name) {
            let hint = hint(name, schema, path);
            problems.push(format!("{place}: field not declared in schema{hint}"));
        } else {
            walk(field, below(schema, name), &place, problems);
        }
    }
}

/// What was probably meant, at the end of a message whose beginning tools know.
fn hint(name: &str, schema: &Schema, path: &Place<'_>) -> String {
    match nearest(name, schema.properties.keys()) {
        Some(near) => format!(" (did you mean \"{}\"?)", Place::Field(path, near)),
        None => {
            let place =
                if matches!(path, Place::Dotted) { "the document".to_owned() } else { path.to_string() };
            format!(" (allowed in {place}: {})", declared(schema))
        }
    }
}

fn walk_list(list: &[Value], schema: &Schema, path: &Place<'_>, problems: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (at, item) in list.iter().enumerate() {
        if problems.len() >= FAULTS_MAX {
            return;
        }
        if schema.list == ListType::Atomic {
            walk(item, items(schema), &Place::Item(path, at), problems);
            continue;
        }
        match element(schema, item) {
            Err(problem) => problems.push(format!("{path}: element {at}: {problem}")),
            Ok(step) => {
                walk(item, items(schema), &Place::Element(path, &step), problems);
                if !seen.insert(step.clone()) {
                    problems.push(format!("{path}: duplicate entries for key {}", cut(&step)));
                }
            }
        }
    }
}
