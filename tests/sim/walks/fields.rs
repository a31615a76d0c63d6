//! The fields of an App's spec, as its schema has them.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use tenure::registry::KindDef;

/// A field that holds no further ones.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// Below `spec`: `ports[].name`.
    pub(super) path: String,
    pub(super) schema: Value,
}

/// An object below `spec`, with what it must have.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub(super) path: String,
    pub(super) required: Vec<String>,
}

/// All fields of a kind's spec, and all objects within it.
pub(super) fn fields(kind: &KindDef) -> (Vec<Field>, Vec<Branch>) {
    let (mut fields, mut branches) = (Vec::new(), Vec::new());
    walk(&kind.openapi["properties"]["spec"], "", &mut fields, &mut branches);
    (fields, branches)
}

fn walk(schema: &Value, path: &str, fields: &mut Vec<Field>, branches: &mut Vec<Branch>) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let required = schema["required"].as_array().into_iter().flatten();
        let required = required.filter_map(|it| it.as_str().map(str::to_owned)).collect();
        branches.push(Branch { path: path.to_owned(), required });
        for (name, schema) in properties {
            walk(schema, &format!("{path}.{name}"), fields, branches);
        }
    } else if let Some(items) = schema.get("items") {
        walk(items, &format!("{path}[]"), fields, branches);
    } else {
        let path = path.trim_start_matches('.').to_owned();
        fields.push(Field { path, schema: schema.clone() });
    }
}

/// The fields, with the indices of lists left out, in which two specs differ.
pub(super) fn differing(a: &Value, b: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    differ(a, b, String::new(), &mut found);
    found
}

fn differ(a: &Value, b: &Value, path: String, found: &mut BTreeSet<String>) {
    if a == b {
        return;
    }
    let nothing = Map::new();
    let child = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    if a.is_object() || b.is_object() {
        let (a, b) = (a.as_object().unwrap_or(&nothing), b.as_object().unwrap_or(&nothing));
        for name in a.keys().chain(b.keys()) {
            let of = |map: &Map<String, Value>| map.get(name).cloned().unwrap_or_default();
            differ(&of(a), &of(b), child(name), found);
        }
    } else if a.is_array() || b.is_array() {
        let of = |list: &Value, index: usize| list.get(index).cloned().unwrap_or_default();
        let longest = [a, b].map(|it| it.as_array().map_or(0, Vec::len)).into_iter().max().unwrap_or(0);
        for index in 0..longest {
            differ(&of(a, index), &of(b, index), format!("{path}[]"), found);
        }
    } else {
        found.insert(path);
    }
}
