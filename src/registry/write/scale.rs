//! `/scale`: an object seen as a wanted and an observed number of replicas.

use serde_json::{Map, Value, json};

use super::update::{Edited, precondition};
use crate::registry::doc::Doc;
use crate::registry::failure::Failure;
use crate::registry::field::FieldError;
use crate::registry::jsonpath::JsonPath;
use crate::registry::key::Key;
use crate::registry::kind::{KindDef, ScalePaths};
use crate::registry::object::{meta_value, text};

fn paths<'k>(kind: &'k KindDef, name: &str) -> Result<&'k ScalePaths, Failure> {
    kind.scale.as_ref().ok_or_else(|| Failure::not_found(kind, name))
}

fn number(path: &JsonPath, object: &Value) -> i64 {
    path.find(object).first().and_then(|value| value.as_i64()).unwrap_or_default()
}

/// The `autoscaling/v1` Scale of `object`, at the version of `doc`.
pub(in crate::registry) fn view(kind: &KindDef, doc: &Doc, object: &Value) -> Result<Value, Failure> {
    let paths = paths(kind, &doc.key().name)?;
    let mut metadata = Map::new();
    for name in ["name", "namespace", "uid", "creationTimestamp"] {
        if let Some(value) = meta_value(object, name) {
            metadata.insert(name.to_owned(), value.clone());
        }
    }
    metadata.insert("resourceVersion".to_owned(), doc.revision().to_string().into());
    let mut status = json!({"replicas": number(&paths.status, object)});
    let selector = paths.selector.as_ref().and_then(|path| path.find(object).first()?.as_str());
    if let Some(selector) = selector.filter(|selector| !selector.is_empty()) {
        status["selector"] = json!(selector);
    }
    Ok(json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": number(&paths.spec, object)}, "status": status,
    }))
}

/// What the Scale `wanted` makes of the live object.
pub(super) fn replaced(
    kind: &KindDef,
    key: &Key,
    doc: &Doc,
    live: &Value,
    wanted: &Value,
) -> Result<Edited, Failure> {
    let paths = paths(kind, &key.name)?;
    let name = text(wanted, "name");
    if !name.is_empty() && name != &*key.name {
        return Err(Failure::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            key.name
        )));
    }
    let precondition = precondition(wanted)?.filter(|&revision| revision != doc.revision());
    let replicas = wanted.pointer("/spec/replicas").cloned().unwrap_or_else(|| json!(0));
    if !replicas.is_i64() {
        let text = "must be an integer";
        let error = FieldError::invalid("spec.replicas", replicas, text);
        return Err(Failure::invalid_named("autoscaling", "Scale", &key.name, vec![error]));
    }
    let mut object = live.clone();
    set(&mut object, &paths.spec, replicas).ok_or_else(|| unnamed(paths))?;
    Ok(Edited { object, warnings: Vec::new(), precondition, tracked: false })
}

/// What applying the Scale `config` says about the object itself.
pub(super) fn config(kind: &KindDef, key: &Key, config: &Value) -> Result<Value, Failure> {
    let paths = paths(kind, &key.name)?;
    let mut object =
        json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {"name": *key.name}});
    if let Some(replicas) = config.pointer("/spec/replicas") {
        set(&mut object, &paths.spec, replicas.clone()).ok_or_else(|| unnamed(paths))?;
    }
    Ok(object)
}

fn unnamed(paths: &ScalePaths) -> Failure {
    Failure::internal(format!("specReplicasPath {} does not name a field", paths.spec))
}

/// Puts `value` where `path` leads. None when the path is not made of field names.
pub(super) fn set(object: &mut Value, path: &JsonPath, value: Value) -> Option<()> {
    let mut place = object;
    for name in path.fields()? {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[name];
    }
    *place = value;
    Some(())
}

/// What keeps an object from being scaled, in the words of a real apiserver; unlike there, a field that is among `told` already
/// is not told once more.
pub(super) fn faults(kind: &KindDef, object: &Value, told: &[FieldError]) -> Vec<FieldError> {
    let Some(paths) = &kind.scale else { return Vec::new() };
    let found = [&paths.spec, &paths.status].into_iter().filter_map(|path| replicas_fault(path, object));
    found.filter(|fault| told.iter().all(|it| it.path != fault.path.trim_start_matches('.'))).collect()
}

fn replicas_fault(path: &JsonPath, object: &Value) -> Option<FieldError> {
    let found = path.find(object);
    let value = *found.first()?;
    let type_ = match value {
        Value::Number(number) if number.is_i64() => {
            let negative = number.as_i64().is_some_and(|number| number < 0);
            return negative.then(|| {
                FieldError::invalid(path.to_string(), value.clone(), "should be a non-negative integer")
            });
        }
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
        Value::Null => return None,
    };
    let shown = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => {
            number.as_f64().map_or_else(|| number.to_string(), |number| number.to_string())
        }
        other => other.to_string(),
    };
    let text = format!("{path} accessor error: {shown} is of the type {type_}, expected int64");
    Some(FieldError::invalid(path.to_string(), 0, text))
}
