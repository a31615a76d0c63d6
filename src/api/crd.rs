//! CustomResourceDefinitions of our kinds: what the server serves from, what stands in `crds/`, and the only source of
//! defaults.
//!
//! schemars describes what serde accepts; Kubernetes wants a *structural* schema. [`structural`] turns the one into
//! the other. kube-core has a rewriter too, but it keeps `nullable` on every `Option` (and then an explicit null is
//! stored instead of dropped), unsigned formats that Kubernetes does not know, and defaults of null.

pub use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinitionNames, CustomResourceDefinitionSpec,
    CustomResourceDefinitionVersion, CustomResourceSubresourceScale, CustomResourceSubresourceStatus,
    CustomResourceSubresources, CustomResourceValidation, JSONSchemaProps,
};
use serde_json::{Map, Value, json};

use super::resource::{Column, Definition, Kind, Scope};
use super::{Agent, App, Endpoints, GROUP, ObjectMeta, Revision, Task, VERSION};

/// The CRDs of all our kinds, in the order of their plurals.
///
/// # Panics
///
/// Never: our own schemas are structural, which a test checks.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![crd::<Agent>(), crd::<App>(), crd::<Endpoints>(), crd::<Revision>(), crd::<Task>()]
}

/// The CRD of one kind.
///
/// # Panics
///
/// If the kind's schema is not structural: a mistake in its declaration, found by the test of `crds`.
#[must_use]
pub fn crd<K: Kind>() -> CustomResourceDefinition {
    let definition = K::DEFINITION;
    let schema: JSONSchemaProps =
        serde_json::from_value(root_schema::<K>()).expect("a structural schema is made of known keywords");
    CustomResourceDefinition {
        metadata: ObjectMeta {
            name: Some(format!("{}.{GROUP}", definition.plural)),
            ..ObjectMeta::default()
        },
        spec: CustomResourceDefinitionSpec {
            group: GROUP.to_owned(),
            names: names(&definition),
            scope: match definition.scope {
                Scope::Namespaced => "Namespaced".to_owned(),
                Scope::Cluster => "Cluster".to_owned(),
            },
            versions: vec![CustomResourceDefinitionVersion {
                name: VERSION.to_owned(),
                served: true,
                storage: true,
                schema: Some(CustomResourceValidation { open_api_v3_schema: Some(schema) }),
                subresources: subresources(&definition),
                additional_printer_columns: Some(definition.columns.iter().map(column).collect()),
                ..CustomResourceDefinitionVersion::default()
            }],
            ..CustomResourceDefinitionSpec::default()
        },
        status: None,
    }
}

fn names(definition: &Definition) -> CustomResourceDefinitionNames {
    let list =
        |names: &[&str]| (!names.is_empty()).then(|| names.iter().map(|&name| name.to_owned()).collect());
    CustomResourceDefinitionNames {
        kind: definition.kind.to_owned(),
        list_kind: Some(format!("{}List", definition.kind)),
        plural: definition.plural.to_owned(),
        singular: Some(definition.singular.to_owned()),
        short_names: list(definition.short_names),
        categories: list(definition.categories),
    }
}

fn subresources(definition: &Definition) -> Option<CustomResourceSubresources> {
    let status = definition.status.then(|| CustomResourceSubresourceStatus(json!({})));
    let scale = definition.scale.map(|paths| CustomResourceSubresourceScale {
        spec_replicas_path: paths.spec.to_owned(),
        status_replicas_path: paths.status.to_owned(),
        label_selector_path: None,
    });
    (status.is_some() || scale.is_some()).then_some(CustomResourceSubresources { status, scale })
}

fn column(column: &Column) -> CustomResourceColumnDefinition {
    CustomResourceColumnDefinition {
        name: column.name.to_owned(),
        type_: column.type_.to_owned(),
        json_path: column.json_path.to_owned(),
        priority: column.wide.then_some(1),
        ..CustomResourceColumnDefinition::default()
    }
}

fn root_schema<K: Kind>() -> Value {
    let mut properties = Map::new();
    properties.insert("apiVersion".into(), json!({"type": "string", "description": "`tenure.dev/v1`."}));
    let kind = format!("`{}`.", K::DEFINITION.kind);
    properties.insert("kind".into(), json!({"type": "string", "description": kind}));
    properties.insert("metadata".into(), json!({"type": "object"}));
    let mut required = Vec::new();
    for (name, schema) in K::parts() {
        let mut schema = schema.to_value();
        structural(&mut schema);
        if name == "status" {
            // Status is written whole by controllers: a default would only pretend that something was observed.
            without_defaults(&mut schema);
        } else {
            required.push(name);
        }
        properties.insert(name.to_owned(), schema);
    }
    let mut root = json!({"type": "object", "description": K::DEFINITION.description.trim()});
    root["properties"] = Value::Object(properties);
    if !required.is_empty() {
        root["required"] = json!(required);
    }
    root
}

/// Makes a self-contained schema of schemars structural, in place.
fn structural(schema: &mut Value) {
    let Value::Object(node) = schema else { return };
    without_null(node);
    unit_enum(node);
    known_number_format(node);
    node.remove("title");
    node.remove("$schema");
    if node.get("default").is_some_and(Value::is_null) {
        node.remove("default");
    }
    for keyword in ["default", "minimum", "maximum"] {
        if let Some(value) = node.get_mut(keyword) {
            whole_numbers(value);
        }
    }
    if let Some(Value::Object(properties)) = node.get_mut("properties") {
        properties.values_mut().for_each(structural);
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(inner) = node.get_mut(keyword) {
            structural(inner);
        }
    }
}

/// `Option<T>` is a `T` that may be absent; an explicit null is dropped by the server, not stored.
fn without_null(node: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = node.get_mut("type") {
        types.retain(|type_| type_ != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            node.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(values)) = node.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let Some(Value::Array(mut branches)) = node.remove("anyOf") else { return };
    branches.retain(|branch| branch.get("type").is_none_or(|type_| type_ != "null"));
    if branches.len() == 1
        && let Some(Value::Object(only)) = branches.pop()
    {
        // The description of the field says more than that of its type.
        for (key, value) in only {
            node.entry(key).or_insert(value);
        }
    } else {
        node.insert("anyOf".into(), Value::Array(branches));
    }
}

/// An enum whose variants are documented comes as `oneOf` of constants; their texts go to the description.
fn unit_enum(node: &mut Map<String, Value>) {
    let Some(Value::Array(branches)) = node.remove("oneOf") else { return };
    let mut description = node.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut values = Vec::new();
    for branch in &branches {
        if let Some(value) = branch.get("const").and_then(Value::as_str) {
            values.push(Value::from(value));
            let meaning = branch.get("description").and_then(Value::as_str).unwrap_or_default();
            description.push_str(&format!("\n`{value}`: {meaning}"));
        } else if let Some(Value::Array(undocumented)) = branch.get("enum") {
            values.extend(undocumented.iter().cloned());
        }
    }
    node.insert("type".into(), "string".into());
    node.insert("description".into(), description.trim().into());
    node.insert("enum".into(), Value::Array(values));
}

/// Kubernetes knows `int32`, `int64`, `float` and `double`.
fn known_number_format(node: &mut Map<String, Value>) {
    let (format, largest) = match node.get("format").and_then(Value::as_str) {
        Some("uint8") => ("int32", Some(u64::from(u8::MAX))),
        Some("uint16") => ("int32", Some(u64::from(u16::MAX))),
        Some("uint32") => ("int64", Some(u64::from(u32::MAX))),
        Some("uint64") => ("int64", None),
        _ => return,
    };
    node.insert("format".into(), format.into());
    node.entry("minimum").or_insert(0.into());
    if let Some(largest) = largest {
        node.entry("maximum").or_insert(largest.into());
    }
}

/// 1.0 as 1: the two are one number, and people write the second.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(float) = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0)
                && let Ok(whole) = format!("{float:.0}").parse::<i64>()
            {
                *value = whole.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn without_defaults(schema: &mut Value) {
    let Value::Object(node) = schema else { return };
    node.remove("default");
    if let Some(Value::Object(properties)) = node.get_mut("properties") {
        properties.values_mut().for_each(without_defaults);
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(inner) = node.get_mut(keyword) {
            without_defaults(inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::AppSpec;

    /// Keywords that a structural schema of ours may have.
    const KNOWN: [&str; 20] = [
        "type",
        "description",
        "properties",
        "required",
        "items",
        "additionalProperties",
        "enum",
        "format",
        "default",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "pattern",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "nullable",
    ];

    fn walk(schema: &Value, path: &str, visit: &mut dyn FnMut(&str, &Map<String, Value>)) {
        let Value::Object(node) = schema else { panic!("{path}: {schema} is not a schema") };
        visit(path, node);
        for (name, inner) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
            walk(inner, &format!("{path}.{name}"), visit);
        }
        for keyword in ["items", "additionalProperties"] {
            if let Some(inner) = node.get(keyword) {
                walk(inner, &format!("{path}[]"), visit);
            }
        }
    }

    fn schema_of(crd: &CustomResourceDefinition) -> Value {
        let schema = crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
        serde_json::to_value(schema).unwrap()
    }

    #[test]
    fn every_schema_is_structural() {
        for crd in crds() {
            walk(&schema_of(&crd), &crd.spec.names.kind, &mut |path, node| {
                for keyword in node.keys() {
                    assert!(KNOWN.contains(&keyword.as_str()), "{path}: unknown keyword {keyword}");
                }
                assert!(!node.contains_key("nullable"), "{path}: nullable");
                let typed = node.get("type").is_some_and(Value::is_string);
                assert!(
                    typed || node.contains_key("x-kubernetes-int-or-string"),
                    "{path}: no type: {node:?}"
                );
            });
        }
    }

    #[test]
    fn every_field_is_described() {
        for crd in crds() {
            walk(&schema_of(&crd), &crd.spec.names.kind, &mut |path, node| {
                let described =
                    node.get("description").and_then(Value::as_str).is_some_and(|text| !text.is_empty());
                assert!(described || path.ends_with("[]") || path.ends_with(".metadata"), "{path}");
            });
        }
    }

    /// Applies schema defaults the way the server does.
    fn with_defaults(schema: &Value, value: &mut Value) {
        if let (Some(properties), Value::Object(object)) = (schema["properties"].as_object(), &mut *value) {
            for (name, inner) in properties {
                if !object.contains_key(name)
                    && let Some(default) = inner.get("default")
                {
                    object.insert(name.clone(), default.clone());
                }
                if let Some(field) = object.get_mut(name) {
                    with_defaults(inner, field);
                }
            }
        }
        if let (Some(items), Value::Array(elements)) = (schema.get("items"), value) {
            elements.iter_mut().for_each(|element| with_defaults(items, element));
        }
    }

    #[test]
    fn defaults_of_the_schema_are_those_of_rust() {
        let written = json!({
            "container": {"image": "web"},
            "ports": [{}],
            "env": [{"name": "A"}],
            "healthChecks": [{"http": {}}, {"tcp": {}}],
            "readinessChecks": [{"http": {}}],
        });
        let schema = schema_of(&crd::<App>());
        let mut defaulted = written.clone();
        with_defaults(&schema["properties"]["spec"], &mut defaulted);
        whole_numbers(&mut defaulted);
        let typed: AppSpec = serde_json::from_value(written).unwrap();
        let mut serialised = serde_json::to_value(&typed).unwrap();
        whole_numbers(&mut serialised);
        assert_eq!(defaulted, serialised);
    }
}
