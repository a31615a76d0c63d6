//! Refuses configurations that do not fit the schema, in structured-merge-diff's words.

use std::collections::BTreeSet;

use serde_json::Value;

use super::path::PathElement;
use super::tree::element;
use super::{below, items};
use crate::registry::schema::{ListType, Schema, Type, nearest};

/// Checks field names, types and list keys.
///
/// # Errors
/// All that is wrong, by path.
pub(super) fn check(config: &Value, schema: &Schema) -> Result<(), String> {
    let mut problems = Vec::new();
    walk(config, schema, "", &mut problems);
    match problems.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("errors:\n  {}", many.join("\n  "))),
    }
}

fn walk(value: &Value, schema: &Schema, path: &str, problems: &mut Vec<String>) {
    if value.is_null() {
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
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        problems.push(format!("{path}: expected {wanted}, got &value.valueUnstructured{{Value:{shown}}}"));
        return;
    }
    match value {
        Value::Object(map) => {
            let closed =
                schema.type_ == Type::Object && !schema.preserve_unknown && schema.additional.is_none();
            for (name, field) in map {
                let field_path = format!("{path}.{name}");
                if closed && !schema.properties.contains_key(name) {
                    problems.push(format!(
                        "{field_path}: field not declared in schema{}",
                        hint(name, schema, path)
                    ));
                } else {
                    walk(field, below(schema, name), &field_path, problems);
                }
            }
        }
        Value::Array(list) => walk_list(list, schema, path, problems),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What was probably meant, at the end of a message whose beginning tools know.
fn hint(name: &str, schema: &Schema, path: &str) -> String {
    match nearest(name, schema.properties.keys()) {
        Some(near) => format!(" (did you mean \"{path}.{near}\"?)"),
        None => {
            let declared: Vec<&str> = schema.properties.keys().map(String::as_str).collect();
            let place = if path.is_empty() { "the document" } else { path };
            format!(" (allowed in {place}: {})", declared.join(", "))
        }
    }
}

fn walk_list(list: &[Value], schema: &Schema, path: &str, problems: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (at, item) in list.iter().enumerate() {
        if schema.list == ListType::Atomic {
            walk(item, items(schema), &format!("{path}[{at}]"), problems);
            continue;
        }
        match element(schema, item) {
            Err(problem) => problems.push(format!("{path}: element {at}: {problem}")),
            Ok(step) => {
                walk(item, items(schema), &format!("{path}{step}"), problems);
                if !seen.insert(step.clone()) {
                    problems.push(duplicate(path, &step));
                }
            }
        }
    }
}

fn duplicate(path: &str, step: &PathElement) -> String {
    format!("{path}: duplicate entries for key {step}")
}
