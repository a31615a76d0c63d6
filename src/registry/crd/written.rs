//! What a schema in a definition must be as it is written, told where it is not, in Kubernetes' words.
//!
//! ```text
//! node ── own keywords ──┬── properties, items, additionalProperties: nodes
//!                        └── allOf, anyOf, oneOf, not: branches, which judge values and declare nothing
//! ```

use regex::Regex;
use serde_json::{Map, Value};

use crate::registry::field::{FieldError, child, item};
use crate::registry::schema::is_keyword;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const INT_OR_STRING: &str = "x-kubernetes-int-or-string";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";
const PRESERVED: &str = "x-kubernetes-preserve-unknown-fields";
const LIST_TYPE: &str = "x-kubernetes-list-type";
const LIST_KEYS: &str = "x-kubernetes-list-map-keys";
const MAP_TYPE: &str = "x-kubernetes-map-type";
/// What a branch may not say, because the node that it belongs to does.
const OF_NODES: [(&str, &str); 9] = [
    ("type", "must be empty to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("default", "must be undefined to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("nullable", "must be false to be structural"),
    (PRESERVED, "must be false to be structural"),
    (EMBEDDED, "must be false to be structural"),
    (INT_OR_STRING, "must be false to be structural"),
];

/// Everything that is wrong with `schema`, the schema of a whole object, which stands at `path`.
pub(super) fn written_faults(schema: &Value, path: &str) -> Vec<FieldError> {
    let mut faults = Vec::new();
    if let Some(meta) = schema.pointer("/properties/metadata/properties").and_then(Value::as_object)
        && meta.keys().any(|name| name != "name" && name != "generateName")
    {
        let text = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        faults.push(FieldError::forbidden(format!("{path}.properties[metadata]"), text));
    }
    node(schema, path, &mut faults);
    faults
}

fn node(schema: &Value, path: &str, faults: &mut Vec<FieldError>) {
    let Some(map) = schema.as_object() else { return };
    keywords(map, path, faults);
    type_(map, path, faults);
    lists(map, path, faults);
    embedded(map, path, faults);
    branches(schema, (schema, path), path, faults);
    for (name, below) in inner(schema, "properties") {
        node(below, &format!("{path}.properties[{name}]"), faults);
    }
    if schema["items"].is_array() {
        let text = "items must be a schema object and not an array";
        faults.push(FieldError::forbidden(child(path, "items"), text));
    }
    for part in ["items", "additionalProperties"] {
        node(&schema[part], &child(path, part), faults);
    }
}

/// The named schemas below a keyword.
fn inner<'s>(schema: &'s Value, keyword: &str) -> impl Iterator<Item = (&'s String, &'s Value)> + use<'s> {
    schema.get(keyword).and_then(Value::as_object).into_iter().flatten()
}

fn text<'m>(map: &'m Map<String, Value>, keyword: &str) -> &'m str {
    map.get(keyword).and_then(Value::as_str).unwrap_or_default()
}

fn is(map: &Map<String, Value>, keyword: &str) -> bool {
    map.get(keyword) == Some(&Value::Bool(true))
}

fn keywords(map: &Map<String, Value>, path: &str, faults: &mut Vec<FieldError>) {
    for keyword in map.keys().filter(|keyword| !is_keyword(keyword)) {
        let why = match keyword.as_str() {
            "uniqueItems" if !is(map, keyword) => continue,
            "uniqueItems" => {
                "uniqueItems cannot be set to true since the runtime complexity becomes quadratic".to_owned()
            }
            other => format!("{other} is not supported"),
        };
        faults.push(FieldError::forbidden(child(path, keyword), why));
    }
    let pattern = text(map, "pattern");
    if let Err(error) = Regex::new(pattern) {
        let told = error.to_string();
        let why = told.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let why = format!("must be a valid regular expression, but isn't: {why}");
        faults.push(FieldError::invalid(child(path, "pattern"), pattern, why));
    }
}

fn type_(map: &Map<String, Value>, path: &str, faults: &mut Vec<FieldError>) {
    let (at, type_) = (child(path, "type"), text(map, "type"));
    if type_.is_empty() {
        return;
    }
    if !TYPES.contains(&type_) {
        faults.push(FieldError::not_supported(at, type_, &TYPES));
    } else if is(map, INT_OR_STRING) {
        let why = format!("must be empty if {INT_OR_STRING} is true");
        faults.push(FieldError::invalid(at, type_, why));
    }
}

fn lists(map: &Map<String, Value>, path: &str, faults: &mut Vec<FieldError>) {
    for (keyword, known, of) in
        [(LIST_TYPE, &["atomic", "map", "set"][..], "array"), (MAP_TYPE, &["atomic", "granular"], "object")]
    {
        let word = text(map, keyword);
        if !word.is_empty() && !known.contains(&word) {
            faults.push(FieldError::not_supported(child(path, keyword), word, known));
        }
        if !word.is_empty() && text(map, "type") != of {
            let why = format!("must be {of} if {keyword} is specified");
            faults.push(FieldError::invalid(child(path, "type"), text(map, "type"), why));
        }
    }
    let keys = map.get(LIST_KEYS).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    match (text(map, LIST_TYPE), keys.is_empty()) {
        ("map", true) => {
            let why = format!("must not be empty if {LIST_TYPE} is map");
            faults.push(FieldError::required(child(path, LIST_KEYS), why));
        }
        ("map", false) => list_keys(map, keys, path, faults),
        ("", false) => {
            let why = format!("must be map if {LIST_KEYS} is non-empty");
            faults.push(FieldError::required(child(path, LIST_TYPE), why));
        }
        (other, false) => {
            let why = format!("must be map if {LIST_KEYS} is non-empty");
            faults.push(FieldError::invalid(child(path, LIST_TYPE), other, why));
        }
        (_, true) => {}
    }
}

/// Items are told apart by scalars that each of them has.
fn list_keys(map: &Map<String, Value>, keys: &[Value], path: &str, faults: &mut Vec<FieldError>) {
    let items = map.get("items").unwrap_or(&Value::Null);
    let required = items["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (at, key) in keys.iter().enumerate() {
        let name = key.as_str().unwrap_or_default();
        let keyed = &items["properties"][name];
        let place = format!("{path}.items.properties[{name}]");
        if keys[..at].contains(key) {
            let why = "must not contain duplicate entries";
            faults.push(FieldError::invalid(item(&child(path, LIST_KEYS), at), name, why));
        } else if !keyed.is_object() {
            let why = "entries must all be names of item properties";
            faults.push(FieldError::invalid(child(path, LIST_KEYS), keys.to_vec(), why));
        } else if matches!(keyed["type"].as_str(), Some("array" | "object")) {
            let why = format!("must be a scalar type if parent array's {LIST_TYPE} is map");
            faults.push(FieldError::invalid(child(&place, "type"), keyed["type"].clone(), why));
        } else if keyed.get("default").is_none() && !required.contains(key) {
            let why = format!(
                "this property is in {LIST_KEYS}, so it must have a default or be a required property"
            );
            faults.push(FieldError::required(child(&place, "default"), why));
        }
    }
}

fn embedded(map: &Map<String, Value>, path: &str, faults: &mut Vec<FieldError>) {
    if !is(map, EMBEDDED) {
        return;
    }
    if text(map, "type") != "object" {
        let why = format!("must be object if {EMBEDDED} is true");
        faults.push(FieldError::invalid(child(path, "type"), text(map, "type"), why));
    }
    let declared = map.get("properties").and_then(Value::as_object).is_some_and(|it| !it.is_empty());
    if !declared && !is(map, PRESERVED) {
        let why = format!("must not be empty if {EMBEDDED} is true without {PRESERVED}");
        faults.push(FieldError::required(child(path, "properties"), why));
    }
}

/// The branches of `schema`, which stands at `path` and speaks about values of `node`.
fn branches(schema: &Value, node: (&Value, &str), path: &str, faults: &mut Vec<FieldError>) {
    for keyword in ["allOf", "anyOf", "oneOf"] {
        for (at, below) in schema[keyword].as_array().into_iter().flatten().enumerate() {
            branch(below, node, &item(&child(path, keyword), at), faults);
        }
    }
    if schema["not"].is_object() {
        branch(&schema["not"], node, &child(path, "not"), faults);
    }
}

fn branch(schema: &Value, (node, declared): (&Value, &str), path: &str, faults: &mut Vec<FieldError>) {
    let Some(map) = schema.as_object() else { return };
    keywords(map, path, faults);
    for (keyword, why) in OF_NODES {
        // What is an integer or a text may be said so; and it can be, in `anyOf`, in no other way.
        let said = keyword == "type" && node[INT_OR_STRING] == true;
        let given =
            map.get(keyword).is_some_and(|value| ![Value::Null, false.into(), "".into()].contains(value));
        if given && !said {
            faults.push(FieldError::forbidden(child(path, keyword), why));
        }
    }
    branches(schema, (node, declared), path, faults);
    let below = inner(schema, "properties").map(|(name, below)| {
        let part = format!("properties[{name}]");
        // Of the keys of a map that are named, the node is that of all its values.
        let of = node["properties"].get(name).or(node.get("additionalProperties"));
        (part, below, of.filter(|it| it.is_object()))
    });
    let items = schema.get("items").filter(|it| it.is_object());
    let items = items.map(|below| ("items".to_owned(), below, node.get("items").filter(|it| it.is_object())));
    for (part, below, of) in below.chain(items) {
        let (here, there) = (format!("{path}.{part}"), format!("{declared}.{part}"));
        match of {
            Some(of) => branch(below, (of, &there), &here, faults),
            None => faults.push(FieldError::required(there, format!("because it is defined in {here}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(spec: &Value) -> Vec<String> {
        let schema = json!({"type": "object", "properties": {"x": spec}});
        written_faults(&schema, "s").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_kubernetes_refuses_of_a_node_is_refused_in_its_words() {
        for (spec, fault) in [
            (
                json!({"type": "strin"}),
                "s.properties[x].type: Unsupported value: \"strin\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
            ),
            (
                json!({"type": "string", "$ref": "#/x"}),
                "s.properties[x].$ref: Forbidden: $ref is not supported",
            ),
            (
                json!({"type": "array", "uniqueItems": true, "items": {"type": "string"}}),
                "s.properties[x].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            ),
            (
                json!({"type": "array", "items": [{"type": "string"}]}),
                "s.properties[x].items: Forbidden: items must be a schema object and not an array",
            ),
            (
                json!({"type": "string", "pattern": "("}),
                "s.properties[x].pattern: Invalid value: \"(\": must be a valid regular expression, but isn't: unclosed group",
            ),
            (
                json!({"type": "integer", INT_OR_STRING: true}),
                "s.properties[x].type: Invalid value: \"integer\": must be empty if x-kubernetes-int-or-string is true",
            ),
        ] {
            assert_eq!(told(&spec), [fault], "{spec}");
        }
    }

    #[test]
    fn what_kubernetes_refuses_of_lists_and_branches_is_refused_in_its_words() {
        let listed =
            |items: Value| json!({"type": "array", LIST_TYPE: "map", LIST_KEYS: ["name"], "items": items});
        for (spec, fault) in [
            (
                json!({"type": "array", LIST_TYPE: "bag"}),
                "s.properties[x].x-kubernetes-list-type: Unsupported value: \"bag\": supported values: \"atomic\", \"map\", \"set\"",
            ),
            (
                json!({"type": "string", LIST_TYPE: "set"}),
                "s.properties[x].type: Invalid value: \"string\": must be array if x-kubernetes-list-type is specified",
            ),
            (
                json!({"type": "array", MAP_TYPE: "atomic"}),
                "s.properties[x].type: Invalid value: \"array\": must be object if x-kubernetes-map-type is specified",
            ),
            (
                json!({"type": "array", LIST_TYPE: "map"}),
                "s.properties[x].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
            ),
            (
                json!({"type": "array", LIST_KEYS: ["a"]}),
                "s.properties[x].x-kubernetes-list-type: Required value: must be map if x-kubernetes-list-map-keys is non-empty",
            ),
            (
                json!({"type": "array", LIST_TYPE: "set", LIST_KEYS: ["a"]}),
                "s.properties[x].x-kubernetes-list-type: Invalid value: \"set\": must be map if x-kubernetes-list-map-keys is non-empty",
            ),
            (
                listed(json!({"type": "object"})),
                "s.properties[x].x-kubernetes-list-map-keys: Invalid value: [\"name\"]: entries must all be names of item properties",
            ),
            (
                listed(json!({"type": "object", "properties": {"name": {"type": "string"}}})),
                "s.properties[x].items.properties[name].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            ),
            (
                listed(
                    json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "object"}}}),
                ),
                "s.properties[x].items.properties[name].type: Invalid value: \"object\": must be a scalar type if parent array's x-kubernetes-list-type is map",
            ),
            (
                json!({"type": "string", EMBEDDED: true, PRESERVED: true}),
                "s.properties[x].type: Invalid value: \"string\": must be object if x-kubernetes-embedded-resource is true",
            ),
            (
                json!({"type": "object", EMBEDDED: true}),
                "s.properties[x].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
            ),
            (
                json!({"type": "object", "anyOf": [{"type": "object"}]}),
                "s.properties[x].anyOf[0].type: Forbidden: must be empty to be structural",
            ),
            (
                json!({"type": "object", "not": {"properties": {"q": {"minimum": 1}}}}),
                "s.properties[x].properties[q]: Required value: because it is defined in s.properties[x].not.properties[q]",
            ),
        ] {
            assert_eq!(told(&spec), [fault], "{spec}");
        }
    }

    #[test]
    fn what_generators_write_is_taken() {
        for spec in [
            json!({INT_OR_STRING: true, "anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": "^[0-9]+$"}),
            json!({"type": "array", LIST_TYPE: "map", LIST_KEYS: ["name", "protocol"], "uniqueItems": false,
                "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"},
                    "protocol": {"type": "string", "default": "TCP"}}}}),
            json!({"type": "object", MAP_TYPE: "atomic", "properties": {"a": {"type": "integer"}, "m": {"type": "object",
                "additionalProperties": {"type": "string"}}},
                "oneOf": [{"required": ["a"]}, {"properties": {"a": {"minimum": 1}, "m": {"properties": {"k": {"maxLength": 3}}}}}]}),
            json!({"type": "object", EMBEDDED: true, PRESERVED: true}),
            json!({"type": "array", "items": {"type": "object", "properties": {"b": {"type": "string"}}},
                "not": {"items": {"properties": {"b": {"enum": ["x"]}}}}}),
        ] {
            assert_eq!(told(&spec), Vec::<String>::new(), "{spec}");
        }
    }

    #[test]
    fn of_metadata_a_definition_says_what_names_there_may_be_and_no_more() {
        let of = |meta: Value| json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": meta}}});
        let named = of(json!({"name": {"type": "string", "maxLength": 3}}));
        assert_eq!(written_faults(&named, "s"), []);
        let labelled = of(json!({"name": {"type": "string"}, "labels": {"type": "object"}}));
        assert_eq!(
            written_faults(&labelled, "s").iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata \
              is implicitly specified"
            ]
        );
        let schema = crate::registry::schema::root(&named).unwrap();
        let faults = crate::registry::schema::validate(&json!({"metadata": {"name": "long"}}), &schema, "");
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["metadata.name: Too long: may not be more than 3 bytes"]);
    }
}
