//! The rules of `metadata`, the same for every kind.

use std::collections::BTreeSet;

use serde_json::Value;

use super::field::{FieldError, too_long};
use super::kind::KindDef;
use super::names::{label_value_faults, qualified_faults};
use super::object::{finalizers, is_terminating, meta_value, text};

/// The most that all annotations of an object may weigh together, in bytes.
const ANNOTATIONS_BYTES_MAX: usize = 262_144;
/// Finalizers that stand without a domain by tradition.
const PLAIN_FINALIZERS: [&str; 3] = ["orphan", "foregroundDeletion", "kubernetes"];

/// The first field of `metadata` that has the wrong type, in the words of Go's decoder.
pub(super) fn type_fault(object: &Value) -> Option<String> {
    let fault = |got: &Value, field: &str, type_: &str| {
        let got = match got {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        Some(format!("json: cannot unmarshal {got} into Go struct field {field} of type {type_}"))
    };
    let metadata = match object.get("metadata") {
        None | Some(Value::Null) => return None,
        Some(Value::Object(map)) => map,
        Some(other) => return fault(other, "ObjectMeta.metadata", "v1.ObjectMeta"),
    };
    metadata.iter().filter(|(_, value)| !value.is_null()).find_map(|(name, value)| {
        let field = format!("ObjectMeta.{name}");
        match (name.as_str(), value) {
            ("labels" | "annotations", Value::Object(map)) => {
                let (key, wrong) = map.iter().find(|(_, value)| !(value.is_string() || value.is_null()))?;
                // Behind the words that tools know.
                fault(wrong, &field, "string")
                    .map(|words| format!("{words} (the key is {key:?}: quote its value)"))
            }
            ("labels" | "annotations", other) => fault(other, &field, "map[string]string"),
            ("finalizers", Value::Array(items)) => {
                fault(items.iter().find(|item| !item.is_string())?, &field, "string")
            }
            ("finalizers", other) => fault(other, &field, "[]string"),
            ("ownerReferences" | "managedFields", Value::Array(items)) => {
                fault(items.iter().find(|item| !item.is_object())?, &field, "object")
            }
            ("ownerReferences" | "managedFields", other) => fault(other, &field, "array"),
            ("generation" | "deletionGracePeriodSeconds", value) => {
                if value.is_i64() {
                    None
                } else {
                    fault(value, &field, "int64")
                }
            }
            (
                "name" | "generateName" | "namespace" | "uid" | "resourceVersion" | "selfLink"
                | "creationTimestamp" | "deletionTimestamp",
                value,
            ) => {
                if value.is_string() {
                    None
                } else {
                    fault(value, &field, "string")
                }
            }
            _ => None,
        }
    })
}

/// The rules that every object's metadata keeps; `warnings` gets what is only unwise.
pub(super) fn validate(object: &Value, kind: &KindDef, warnings: &mut Vec<String>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = text(object, "name");
    if name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else {
        let faults = kind.name_rule.faults(name).into_iter();
        errors.extend(faults.map(|fault| FieldError::invalid("metadata.name", name, fault)));
    }
    labels(object, &mut errors);
    annotations(object, &mut errors);
    owners(object, &mut errors);
    for finalizer in finalizers(object) {
        let faults = qualified_faults(finalizer).into_iter();
        errors.extend(faults.map(|fault| FieldError::invalid("metadata.finalizers", finalizer, fault)));
        let is_ours = PLAIN_FINALIZERS.contains(&finalizer) || kind.finalizers.contains(&finalizer);
        if !finalizer.contains('/') && !is_ours {
            warnings.push(format!(
                "metadata.finalizers: {finalizer:?}: prefer a domain-qualified finalizer name to avoid accidental \
                 conflicts with other finalizer writers"
            ));
        }
    }
    errors
}

fn entries<'v>(object: &'v Value, name: &str) -> impl Iterator<Item = (&'v String, &'v str)> {
    let map = meta_value(object, name).and_then(Value::as_object);
    map.into_iter().flatten().map(|(key, value)| (key, value.as_str().unwrap_or_default()))
}

fn labels(object: &Value, errors: &mut Vec<FieldError>) {
    for (key, value) in entries(object, "labels") {
        let keys = qualified_faults(key).into_iter();
        errors.extend(keys.map(|fault| FieldError::invalid("metadata.labels", key.as_str(), fault)));
        let values = label_value_faults(value).into_iter();
        errors.extend(values.map(|fault| FieldError::invalid("metadata.labels", value, fault)));
    }
}

fn annotations(object: &Value, errors: &mut Vec<FieldError>) {
    let mut bytes = 0;
    for (key, value) in entries(object, "annotations") {
        bytes += key.len() + value.len();
        let faults = qualified_faults(&key.to_lowercase()).into_iter();
        errors.extend(faults.map(|fault| FieldError::invalid("metadata.annotations", key.as_str(), fault)));
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        errors.push(too_long("metadata.annotations", ANNOTATIONS_BYTES_MAX));
    }
}

fn owners(object: &Value, errors: &mut Vec<FieldError>) {
    let Some(list) = meta_value(object, "ownerReferences").and_then(Value::as_array) else { return };
    let of = |owner: &Value, name: &str| owner[name].as_str().unwrap_or_default().to_owned();
    for owner in list {
        for (name, fault) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if of(owner, name).is_empty() {
                errors.push(FieldError::invalid(format!("metadata.ownerReferences.{name}"), "", fault));
            }
        }
    }
    let controllers: Vec<String> = list
        .iter()
        .filter(|owner| owner["controller"] == Value::Bool(true))
        .map(|owner| format!("{}/{}", of(owner, "kind"), of(owner, "name")))
        .collect();
    if controllers.len() > 1 {
        let text = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {}",
            controllers.join(" and ")
        );
        errors.push(FieldError::invalid("metadata.ownerReferences", list.clone(), text));
    }
}

/// What an update may not change.
pub(super) fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if is_terminating(old) {
        let held: BTreeSet<&str> = finalizers(old).into_iter().collect();
        let added: Vec<&str> = finalizers(new).into_iter().filter(|name| !held.contains(name)).collect();
        if !added.is_empty() {
            let added: Vec<String> = added.iter().map(|name| format!("{name:?}")).collect();
            let text = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            errors.push(FieldError::forbidden("metadata.finalizers", text));
        }
    }
    for name in ["namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let (now, before) = (meta_value(new, name), meta_value(old, name));
        if now != before {
            let value = now.cloned().unwrap_or_default();
            errors.push(FieldError::invalid(format!("metadata.{name}"), value, "field is immutable"));
        }
    }
    errors
}

/// Drops fields of `metadata` that say nothing: empty lists, maps and texts.
pub(super) fn drop_empty(object: &mut Value) {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        // An empty account of fields is a request to forget it.
        metadata.retain(|name, value: &mut Value| name == "managedFields" || !empty(value));
    }
}
