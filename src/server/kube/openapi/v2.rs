//! OpenAPI 2.0 (Swagger) of all kinds, as JSON. It knows less than a structural schema; what it does not know is left out.

use serde_json::{Map, Value, json};

use super::definitions::{self, DELETE_OPTIONS, Definitions, ROOT};
use super::gvk;
use super::operations::{Body, Dialect, Operation, Parameter};
use crate::registry::KindDef;

const DEFINITIONS: &str = "#/definitions/";

pub(super) fn document(kinds: &[&KindDef], meta: &Definitions) -> Value {
    let mut all = meta.clone();
    kinds.iter().for_each(|kind| definitions::insert(&mut all, kind));
    let paths = Dialect { operation: render, parameter: placed }.paths(kinds);
    let schemas: Map<String, Value> =
        all.into_iter().map(|(name, schema)| (name, downgraded(schema))).collect();
    json!({
        "swagger": "2.0",
        "info": {"title": "Tenure", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "definitions": schemas,
    })
}

fn render(operation: &Operation) -> Value {
    let (group, version, kind) = &operation.gvk;
    let body = |schema: Value, required: bool| json!({"in": "body", "name": "body", "required": required, "schema": schema});
    let (consumes, body): (Vec<&str>, _) = match &operation.body {
        Body::Nothing => (vec!["*/*"], None),
        Body::Object(name) => {
            (vec!["application/json", "application/yaml"], Some(body(reference(name), true)))
        }
        Body::Patch(types) => (types.to_vec(), Some(body(json!({"type": "object"}), true))),
        Body::DeleteOptions => (vec!["application/json"], Some(body(reference(DELETE_OPTIONS), false))),
    };
    let query = operation.parameters.iter().map(|parameter| placed(*parameter, "query"));
    json!({
        "operationId": operation.id,
        "consumes": consumes,
        "produces": ["application/json", "application/yaml"],
        "parameters": body.into_iter().chain(query).collect::<Vec<_>>(),
        "responses": {"200": {"description": "OK", "schema": reference(&operation.reply)}},
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": gvk(group, version, kind),
    })
}

fn placed(parameter: Parameter, place: &str) -> Value {
    let Parameter { name, type_, description } = parameter;
    let required = place == "path";
    json!({
        "name": name, "in": place, "description": description, "type": type_, "uniqueItems": true,
        "required": required,
    })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("{DEFINITIONS}{name}") })
}

/// A structural schema as version 2 can say it.
fn downgraded(schema: Value) -> Value {
    let Value::Object(mut schema) = schema else { return schema };
    if let Some(Value::Array(parts)) = schema.remove("allOf")
        && let Some(target) = parts.iter().find_map(|part| part["$ref"].as_str())
    {
        schema.insert("$ref".to_owned(), json!(target));
    }
    if let Some(Value::String(target)) = schema.get_mut("$ref") {
        *target = target.replacen(ROOT, DEFINITIONS, 1);
    }
    for unknown in ["anyOf", "oneOf", "not", "nullable", "default"] {
        schema.remove(unknown);
    }
    if schema.get("x-kubernetes-int-or-string") == Some(&json!(true)) {
        schema.remove("type");
    }
    // A schema with properties is closed for kubectl's own validation; this one is not.
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true)) {
        schema.remove("properties");
    }
    let below = |key: &str, value: Value| match (key, value) {
        ("properties", Value::Object(all)) => {
            Value::Object(all.into_iter().map(|(name, schema)| (name, downgraded(schema))).collect())
        }
        ("items" | "additionalProperties", value) => downgraded(value),
        (_, value) => value,
    };
    Value::Object(
        schema
            .into_iter()
            .map(|(key, value)| {
                let value = below(&key, value);
                (key, value)
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_version_2_cannot_say_is_left_out() {
        let schema = json!({
            "type": "object",
            "properties": {
                "metadata": {"allOf": [{"$ref": "#/components/schemas/a.B"}], "description": "d"},
                "cpus": {"type": "string", "x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}]},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {}}},
                "list": {"type": "array", "items": {"type": "string", "nullable": true, "default": "x"}},
            },
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "metadata": {"$ref": "#/definitions/a.B", "description": "d"},
                "cpus": {"x-kubernetes-int-or-string": true},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "list": {"type": "array", "items": {"type": "string"}},
            },
        });
        assert_eq!(downgraded(schema), expected);
    }
}
