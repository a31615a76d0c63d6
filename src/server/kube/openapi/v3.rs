//! OpenAPI 3.0 of one group and version.

use serde_json::{Map, Value, json};

use super::definitions::{self, DELETE_OPTIONS, Definitions, reference};
use super::gvk;
use super::operations::{self, Body, Operation, Parameter};
use crate::registry::KindDef;

pub(super) fn document(kinds: &[&KindDef], meta: &Definitions) -> Value {
    let mut definitions = meta.clone();
    let mut paths = Map::new();
    for kind in kinds {
        definitions::insert(&mut definitions, kind);
        for path in operations::paths(kind) {
            let mut item = Map::new();
            for operation in &path.operations {
                item.insert(operation.method.to_owned(), render(operation));
            }
            if !path.parameters.is_empty() {
                let inside = path.parameters.iter().map(|parameter| placed(*parameter, "path"));
                item.insert("parameters".to_owned(), inside.collect());
            }
            paths.insert(path.path, Value::Object(item));
        }
    }
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
