//! Strategic merge for the core kinds: a merge patch that knows lists with keys, and a few directives.
//!
//! `$patch: delete|replace|merge`, `$retainKeys`, `$setElementOrder/<list>` and `$deleteFromPrimitiveList/<list>` are
//! obeyed. List types come from the schema: list-maps merge by key, sets by value, all others are replaced.

use serde_json::{Map, Value};

use crate::registry::failure::Failure;
use crate::registry::schema::{ListType, Schema};

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE: &str = "$deleteFromPrimitiveList/";

/// What `patch` makes of `live`.
///
/// # Errors
/// 400 for a directive that is unknown or has the wrong shape.
pub(super) fn merge(live: &Value, patch: &Value, schema: &Schema) -> Result<Value, Failure> {
    let (Value::Object(patch), Value::Object(live)) = (patch, live) else { return Ok(patch.clone()) };
    merge_maps(live, patch, schema)
}

fn bad(text: &str) -> Failure {
    Failure::bad_request(format!("error decoding patch: {text}"))
}

fn directive(patch: &Map<String, Value>) -> Result<Option<&str>, Failure> {
    match patch.get(DIRECTIVE) {
        None => Ok(None),
        Some(Value::String(word)) if matches!(word.as_str(), "delete" | "replace" | "merge") => {
            Ok(Some(word))
        }
        Some(other) => {
            Err(bad(&format!("unknown $patch directive {other}: expected delete, merge or replace")))
        }
    }
}

fn merge_maps(
    live: &Map<String, Value>,
    patch: &Map<String, Value>,
    schema: &Schema,
) -> Result<Value, Failure> {
    let mut merged = match directive(patch)? {
        Some("delete") => return Ok(Value::Object(Map::new())),
        Some("replace") => Map::new(),
        _ => live.clone(),
    };
    if let Some(retained) = patch.get(RETAIN) {
        let retained = retained.as_array().ok_or_else(|| bad("$retainKeys must be a list"))?;
        merged.retain(|name, _| retained.iter().any(|kept| kept == name));
    }
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix(DELETE) {
            delete_from(&mut merged, list, value);
        }
    }
    for (name, value) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        if value.is_null() {
            merged.remove(name);
            continue;
        }
        let order = patch.get(&format!("{ORDER}{name}"));
        let empty = Schema::default();
        let schema = schema.field(name).unwrap_or(&empty);
        let value = merge_field(merged.get(name), value, order, schema)?;
        merged.insert(name.clone(), value);
    }
    Ok(Value::Object(merged))
}

fn merge_field(
    live: Option<&Value>,
    patch: &Value,
    order: Option<&Value>,
    schema: &Schema,
) -> Result<Value, Failure> {
    match (live, patch) {
        (Some(Value::Object(live)), Value::Object(patch)) => merge_maps(live, patch, schema),
        (None, Value::Object(patch)) => merge_maps(&Map::new(), patch, schema),
        (live, Value::Array(patch)) => {
            let live = live.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            merge_lists(live, patch, order, schema).map(Value::Array)
        }
        _ => Ok(patch.clone()),
    }
}

fn merge_lists(
    live: &[Value],
    patch: &[Value],
    order: Option<&Value>,
    schema: &Schema,
) -> Result<Vec<Value>, Failure> {
    let mut merged = match &schema.list {
        ListType::Atomic => return Ok(patch.to_vec()),
        ListType::Set => {
            let new = patch.iter().filter(|item| !live.contains(item));
            live.iter().chain(new).cloned().collect()
        }
        ListType::Map(keys) => merge_list_map(live, patch, keys, schema)?,
    };
    if let Some(Value::Array(order)) = order {
        let keys: &[String] = if let ListType::Map(keys) = &schema.list { keys } else { &[] };
        let place = |item: &Value| order.iter().position(|wanted| same(item, wanted, keys));
        merged.sort_by_key(|item| place(item).unwrap_or(usize::MAX));
    }
    Ok(merged)
}

fn merge_list_map(
    live: &[Value],
    patch: &[Value],
    keys: &[String],
    schema: &Schema,
) -> Result<Vec<Value>, Failure> {
    let empty = Schema::default();
    let items = schema.items.as_deref().unwrap_or(&empty);
    let replaces = patch.iter().any(|item| item.get(DIRECTIVE) == Some(&"replace".into()));
    let mut merged = if replaces { Vec::new() } else { live.to_vec() };
    for item in patch {
        let Value::Object(fields) = item else { return Err(bad("items of a keyed list must be objects")) };
        let at = merged.iter().position(|known| same(known, item, keys));
        match (directive(fields)?, at) {
            (Some("delete"), Some(at)) => {
                merged.remove(at);
            }
            (Some("delete"), None) => {}
            (Some("replace"), _) if fields.len() == 1 => {}
            (_, Some(at)) => merged[at] = merge(&merged[at], item, items)?,
            (_, None) => merged.push(merge(&Value::Object(Map::new()), item, items)?),
        }
    }
    Ok(merged)
}

/// Whether two items are one: equal scalars, or objects with equal keys.
fn same(a: &Value, b: &Value, keys: &[String]) -> bool {
    if keys.is_empty() { a == b } else { keys.iter().all(|key| a.get(key) == b.get(key)) }
}

fn delete_from(merged: &mut Map<String, Value>, list: &str, values: &Value) {
    if let (Some(Value::Array(items)), Value::Array(values)) = (merged.get_mut(list), values) {
        items.retain(|item| !values.contains(item));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::schema::root;

    fn merged(live: &Value, patch: &Value) -> Value {
        let schema = root(&json!({"type": "object", "properties": {
            "data": {"type": "object", "additionalProperties": {"type": "string"}},
            "list": {"type": "array", "items": {"type": "string"}},
        }}));
        merge(live, patch, &schema.unwrap()).unwrap()
    }

    #[test]
    fn maps_merge_and_nulls_delete() {
        let live = json!({"data": {"a": "1", "b": "2"}, "list": ["x"]});
        assert_eq!(
            merged(&live, &json!({"data": {"a": null, "c": "3"}, "list": ["y"]})),
            json!({"data": {"b": "2", "c": "3"}, "list": ["y"]})
        );
    }

    #[test]
    fn directives_replace_delete_and_retain() {
        let live = json!({"data": {"a": "1", "b": "2"}});
        assert_eq!(
            merged(&live, &json!({"data": {"$patch": "replace", "c": "3"}})),
            json!({"data": {"c": "3"}})
        );
        assert_eq!(merged(&live, &json!({"data": {"$patch": "delete"}})), json!({"data": {}}));
        let retained = json!({"data": {"$retainKeys": ["b", "c"], "c": "3"}});
        assert_eq!(merged(&live, &retained), json!({"data": {"b": "2", "c": "3"}}));
    }

    #[test]
    fn owners_merge_by_uid_and_finalizers_as_a_set() {
        let live =
            json!({"metadata": {"finalizers": ["a/x"], "ownerReferences": [{"uid": "1", "name": "n"}]}});
        let patch = json!({"metadata": {
            "finalizers": ["b/y"],
            "$setElementOrder/finalizers": ["b/y", "a/x"],
            "ownerReferences": [{"uid": "2", "name": "m"}, {"uid": "1", "$patch": "delete"}],
        }});
        assert_eq!(
            merged(&live, &patch),
            json!({"metadata": {"finalizers": ["b/y", "a/x"], "ownerReferences": [{"uid": "2", "name": "m"}]}})
        );
        let gone = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/x"]}});
        assert_eq!(merged(&live, &gone)["metadata"]["finalizers"], json!([]));
    }
}
