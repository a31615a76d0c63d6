//! Checks a value against its schema, in the words of a real apiserver (kube-openapi's validators).

mod rules;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::found::Found;
use super::{ListType, Schema, Type};
use crate::registry::field::{FieldError, Place, wrong_type};

/// A value, and what it replaces.
type Pair<'v> = (&'v Value, Option<&'v Value>);

/// What `schema` refuses at and below `path`, the first hundred faults of each pass: first what single values break, then
/// duplicates in lists.
#[must_use]
pub fn validate(value: &Value, schema: &Schema, path: &str) -> Vec<FieldError> {
    validate_update(value, None, schema, path).new
}

/// As [`validate`], for a value that replaces `old`: faults that `old` has at the same places are not new.
#[must_use]
pub fn validate_update(value: &Value, old: Option<&Value>, schema: &Schema, path: &str) -> Found {
    let (mut found, mut twice, root) = (Found::default(), Found::default(), Place::Root(path));
    check((value, old), schema, &root, &mut found);
    uniqueness((value, old), schema, &root, &mut twice);
    found.append(twice);
    found
}

fn check((new, old): Pair<'_>, schema: &Schema, path: &Place<'_>, found: &mut Found) {
    if found.is_full() {
        return;
    }
    let faults = |value: &Value| {
        let mut faults = Vec::new();
        here(value, schema, path, &mut faults);
        faults
    };
    found.take(faults(new), || old.map(faults).unwrap_or_default());
    if has_type(new, schema) {
        below((new, old), schema, path, &mut |pair, schema, path| check(pair, schema, path, found));
    }
}

/// What `value` breaks itself, whatever stands below it.
fn here(value: &Value, schema: &Schema, path: &Place<'_>, errors: &mut Vec<FieldError>) {
    if value.is_null() && schema.nullable {
        return;
    }
    if !has_type(value, schema) {
        errors.push(type_error(value, schema, path));
        rules::range_of_format(value, schema, path, errors);
        return;
    }
    rules::check(value, schema, path, errors);
    if let Value::Object(map) = value {
        for name in schema.required.iter().filter(|&name| !map.contains_key(name)) {
            errors.push(FieldError::required(Place::Field(path, name).to_string(), ""));
        }
    }
}

/// Goes on to everything below a value of which the schema says something, and to what stood there before.
fn below(
    (new, old): Pair<'_>,
    schema: &Schema,
    path: &Place<'_>,
    each: &mut dyn FnMut(Pair<'_>, &Schema, &Place<'_>),
) {
    match new {
        Value::Object(map) => {
            for (name, field) in map {
                if let Some(schema) = schema.field(name) {
                    let old = old.and_then(|old| old.get(name));
                    each((field, old), schema, &Place::Field(path, name));
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.items.as_deref() {
                for (at, item) in items.iter().enumerate() {
                    each((item, old.and_then(|old| old.get(at))), schema, &Place::Item(path, at));
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
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

fn has_type(value: &Value, schema: &Schema) -> bool {
    let (got, _) = type_of(value);
    let whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
    match schema.type_ {
        Type::Any => true,
        Type::IntOrString => got == "integer" || got == "string",
        Type::Integer => got == "integer" || (got == "number" && whole),
        Type::Number => got == "integer" || got == "number",
        Type::Object | Type::Array | Type::String | Type::Boolean => got == schema.type_.as_str(),
    }
}

fn type_error(value: &Value, schema: &Schema, path: &Place<'_>) -> FieldError {
    let (got, got_format) = type_of(value);
    // A number, a boolean or an object where a format is asked for is told apart by format, as kube-openapi does.
    let by_format = schema.format.as_deref().filter(|_| {
        matches!(got, "boolean" | "number" | "integer" | "object") && schema.type_ != Type::IntOrString
    });
    let (want, got) = match by_format {
        Some(format) => (format, got_format),
        None => (schema.type_.as_str(), got),
    };
    let message = format!("{path} in body must be of type {want}: {}", Value::from(got));
    wrong_type(&path.to_string(), got, message)
}

/// Reports items that stand twice in a set or a list-map, as Kubernetes does in a pass of its own.
fn uniqueness((new, old): Pair<'_>, schema: &Schema, path: &Place<'_>, found: &mut Found) {
    if found.is_full() {
        return;
    }
    if let Value::Array(items) = new {
        let old = old.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        duplicates((items, old), &schema.list, path, found);
    }
    below((new, old), schema, path, &mut |pair, schema, path| uniqueness(pair, schema, path, found));
}

fn duplicates((new, old): (&[Value], &[Value]), list: &ListType, path: &Place<'_>, found: &mut Found) {
    let mut again = repeated(new, list).peekable();
    if again.peek().is_none() {
        return;
    }
    let known: BTreeMap<usize, Value> = repeated(old, list).collect();
    for (at, identity) in again {
        if found.is_full() {
            return;
        }
        match known.get(&at) == Some(&identity) {
            true => found.has_old = true,
            false => found.new.push(FieldError::duplicate(Place::Item(path, at).to_string(), identity)),
        }
    }
}

/// The items that stood before in their list, by their places: what they are known by.
fn repeated(items: &[Value], list: &ListType) -> impl Iterator<Item = (usize, Value)> {
    let identity = move |value: &Value| match list {
        ListType::Atomic => None,
        ListType::Set => Some(value.clone()),
        ListType::Map(keys) => {
            let fields = value.as_object()?;
            let known = |key: &String| Some((key.clone(), fields.get(key)?.clone()));
            Some(Value::Object(keys.iter().filter_map(known).collect()))
        }
    };
    let mut seen = BTreeSet::new();
    let items = items.iter().enumerate().filter(move |_| *list != ListType::Atomic);
    items.filter_map(move |(at, value)| {
        let identity = identity(value)?;
        (!seen.insert(identity.to_string())).then_some((at, identity))
    })
}
