//! How values fall into paths: which step leads to an item of a list, and what counts as one value.

use serde_json::{Map, Value};

use super::is_scalar;
use super::path::PathElement;
use crate::registry::schema::{ListType, Schema};

/// What a value (or two values at one place) is to ownership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Owned and replaced as one value.
    Leaf,
    /// Each field by itself.
    Map,
    /// Each item by itself.
    List,
}

/// The shape of what stands at a place of this schema; null and absence leave it to the other value.
pub(super) fn shape(schema: &Schema, a: Option<&Value>, b: Option<&Value>) -> Shape {
    let of = |value: &Value| match value {
        Value::Object(_) => {
            Some(if schema.atomic_map || is_scalar(schema) { Shape::Leaf } else { Shape::Map })
        }
        Value::Array(_) if schema.list == ListType::Atomic => Some(Shape::Leaf),
        Value::Array(_) => Some(Shape::List),
        Value::Null => None,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(Shape::Leaf),
    };
    match (a.and_then(of), b.and_then(of)) {
        (Some(a), Some(b)) if a != b => Shape::Leaf,
        (Some(shape), _) | (None, Some(shape)) => shape,
        (None, None) => Shape::Leaf,
    }
}

/// The fields of a map; none for anything else.
pub(super) fn fields(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

/// The items of a list; none for anything else.
pub(super) fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Whether neither holds anything: then the place counts as one value, so that empty and absent stay apart.
pub(super) fn both_empty(a: Option<&Value>, b: Option<&Value>) -> bool {
    let empty = |value: Option<&Value>| match value {
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        _ => true,
    };
    empty(a) && empty(b)
}

/// The step to `item` of a list of this schema. The keys' defaults count as given.
pub(super) fn element(schema: &Schema, item: &Value) -> Result<PathElement, String> {
    match &schema.list {
        ListType::Map(keys) => key_of(schema, keys, item),
        ListType::Set | ListType::Atomic => Ok(PathElement::Value(item.to_string())),
    }
}

fn key_of(schema: &Schema, keys: &[String], item: &Value) -> Result<PathElement, String> {
    let Some(fields) = item.as_object() else {
        return Err("associative list with keys may not have non-map elements".to_owned());
    };
    let default = |key: &String| schema.items.as_deref()?.properties.get(key)?.default.clone();
    let mut key = Map::new();
    for name in keys {
        if let Some(value) = fields.get(name).cloned().or_else(|| default(name)) {
            key.insert(name.clone(), value);
        }
    }
    if key.is_empty() {
        let names: Vec<String> = keys.iter().map(|name| format!("{name:?}")).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default \
             values for any key fields)",
            names.join(" ")
        ));
    }
    Ok(PathElement::Key(Value::Object(key).to_string()))
}

/// The items of a list with their steps. Items that have none (broken before there were rules) are left out.
pub(super) fn indexed<'v>(schema: &Schema, items: &'v [Value]) -> Vec<(PathElement, &'v Value)> {
    items.iter().filter_map(|item| Some((element(schema, item).ok()?, item))).collect()
}
