//! OpenAPI 3.0 of one group and version.

use serde_json::{Value, json};

use super::definitions::{self, DELETE_OPTIONS, Definitions, reference};
use super::gvk;
use super::operations::{Body, Dialect, Operation, Parameter};
use crate::registry::KindDef;

pub(super) fn document(kinds: &[&KindDef], meta: &Definitions) -> Value {
    let mut definitions = meta.clone();
    kinds.iter().for_each(|kind| definitions::insert(&mut definitions, kind));
    let paths = Dialect { operation: render, parameter: placed }.paths(kinds);
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Tenure", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {"schemas": definitions},
    })
}

fn render(operation: &Operation) -> Value {
    let (group, version, kind) = &operation.gvk;
    let mut rendered = json!({
        "operationId": operation.id,
        "parameters": operation.parameters.iter().map(|p| placed(*p, "query")).collect::<Vec<_>>(),
        "responses": {"200": {
            "description": "OK",
            "content": {"application/json": {"schema": reference(&operation.reply)}},
        }},
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": gvk(group, version, kind),
    });
    let content = |types: &[&str], schema: Value| -> Value {
        Value::Object(types.iter().map(|&t| (t.to_owned(), json!({ "schema": schema }))).collect())
    };
    let body = match &operation.body {
        Body::Nothing => return rendered,
        Body::Object(name) => {
            json!({"required": true, "content": content(&["application/json"], reference(name))})
        }
        Body::Patch(types) => json!({"required": true, "content": content(types, json!({"type": "object"}))}),
        Body::DeleteOptions => json!({"content": content(&["application/json"], reference(DELETE_OPTIONS))}),
    };
    rendered["requestBody"] = body;
    rendered
}

fn placed(parameter: Parameter, place: &str) -> Value {
    let Parameter { name, type_, description } = parameter;
    let mut placed = json!({
        "name": name, "in": place, "description": description, "schema": {"type": type_, "uniqueItems": true},
    });
    if place == "path" {
        placed["required"] = json!(true);
    }
    placed
}
