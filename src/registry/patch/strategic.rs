//! Strategic merge for the core kinds: a merge patch that knows lists with keys, and a few directives.
//!
//! `$patch: delete|replace|merge`, `$retainKeys`, `$setElementOrder/<list>` and `$deleteFromPrimitiveList/<list>` are
//! obeyed. List types come from the schema: list-maps merge by key, sets by value, all others are replaced.

use std::collections::{BTreeMap, BTreeSet};

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
        let retained: BTreeSet<&str> = retained.iter().filter_map(Value::as_str).collect();
        merged.retain(|name, _| retained.contains(name.as_str()));
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
    let keys: &[String] = if let ListType::Map(keys) = &schema.list { keys } else { &[] };
    let mut merged = match &schema.list {
        ListType::Atomic => return Ok(patch.to_vec()),
        ListType::Set => {
            let known: BTreeSet<String> = live.iter().map(Value::to_string).collect();
            let new = patch.iter().filter(|item| !known.contains(&item.to_string()));
            live.iter().chain(new).cloned().collect()
        }
        ListType::Map(keys) => merge_list_map(live, patch, keys, schema)?,
    };
    if let Some(Value::Array(order)) = order {
        let places: BTreeMap<String, usize> =
            order.iter().enumerate().rev().map(|(at, wanted)| (identity(wanted, keys), at)).collect();
        merged.sort_by_cached_key(|item| places.get(&identity(item, keys)).copied().unwrap_or(usize::MAX));
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
    let live = if replaces { &[] } else { live };
    let mut merged: Vec<Option<Value>> = live.iter().cloned().map(Some).collect();
    // Of items with the same keys, which only a broken list has, the first one counts.
    let mut places: BTreeMap<String, usize> =
        live.iter().enumerate().rev().map(|(at, item)| (identity(item, keys), at)).collect();
    for item in patch {
        let Value::Object(fields) = item else { return Err(bad("items of a keyed list must be objects")) };
        let (identity, directive) = (identity(item, keys), directive(fields)?);
        let known = places.get(&identity).and_then(|at| merged.get_mut(*at));
        match (directive, known) {
            (Some("delete"), Some(known)) => {
                *known = None;
                places.remove(&identity);
            }
            (Some("delete"), None) => {}
            (Some("replace"), _) if fields.len() == 1 => {}
            (_, Some(known)) => *known = Some(merge(known.as_ref().unwrap_or(&Value::Null), item, items)?),
            (_, None) => {
                places.insert(identity, merged.len());
                merged.push(Some(merge(&Value::Object(Map::new()), item, items)?));
            }
        }
    }
    Ok(merged.into_iter().flatten().collect())
}

/// What makes two items one: their keys, or the whole of them where there are none.
fn identity(item: &Value, keys: &[String]) -> String {
    if keys.is_empty() {
        return item.to_string();
    }
    let known = |key: &String| Some((key.clone(), item.get(key)?.clone()));
    Value::Object(keys.iter().filter_map(known).collect()).to_string()
}

fn delete_from(merged: &mut Map<String, Value>, list: &str, values: &Value) {
    if let (Some(Value::Array(items)), Value::Array(values)) = (merged.get_mut(list), values) {
        let gone: BTreeSet<String> = values.iter().map(Value::to_string).collect();
        items.retain(|item| !gone.contains(&item.to_string()));
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
