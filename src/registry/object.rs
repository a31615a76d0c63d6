//! Reading and writing `metadata` of a document's tree within one request.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// The text at `metadata.<name>`; empty when it is absent.
pub(super) fn text<'v>(object: &'v Value, name: &str) -> &'v str {
    meta_value(object, name).and_then(Value::as_str).unwrap_or_default()
}

/// The value at `metadata.<name>`.
pub(super) fn meta_value<'v>(object: &'v Value, name: &str) -> Option<&'v Value> {
    object.get("metadata")?.get(name)
}

/// `metadata`, made if it is missing. Callers have checked that the document is an object.
pub(super) fn meta_mut(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let metadata = &mut object["metadata"];
    if !metadata.is_object() {
        *metadata = Value::Object(Map::new());
    }
    metadata.as_object_mut().expect("metadata was just made an object")
}

/// Sets `metadata.<name>`.
pub(super) fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    meta_mut(object).insert(name.to_owned(), value.into());
}

/// Removes `metadata.<name>` and returns it.
pub(super) fn take(object: &mut Value, name: &str) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.remove(name)
}

/// Sets `metadata.<name>` of `object` to what `from` has there, which may be nothing.
pub(super) fn restore(object: &mut Value, from: &Value, name: &str) {
    match meta_value(from, name) {
        Some(value) => set(object, name, value.clone()),
        None => {
            take(object, name);
        }
    }
}

/// `metadata.finalizers`.
pub(super) fn finalizers(object: &Value) -> Vec<&str> {
    let list = meta_value(object, "finalizers").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Sets `metadata.finalizers`; an empty list is left out.
pub(super) fn set_finalizers(object: &mut Value, finalizers: &[&str]) {
    if finalizers.is_empty() {
        take(object, "finalizers");
    } else {
        set(object, "finalizers", finalizers.to_vec());
    }
}

/// Whether deletion was asked for.
pub(super) fn is_terminating(object: &Value) -> bool {
    meta_value(object, "deletionTimestamp").is_some_and(|at| !at.is_null())
}

/// `metadata.generation`; 0 when there is none.
pub(super) fn generation(object: &Value) -> i64 {
    meta_value(object, "generation").and_then(Value::as_i64).unwrap_or_default()
}

/// A time as Kubernetes writes it in metadata: whole seconds, UTC.
pub(super) fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Spells a time as Kubernetes does, to the second or to the microsecond, however a client spelt it: some write `+00:00`. What
/// is no time stays.
pub(super) fn respell_time(value: &mut Value, to_micros: bool) {
    let Some(at) = value.as_str().and_then(|text| text.parse::<Timestamp>().ok()) else { return };
    *value = if to_micros { format!("{at:.6}") } else { seconds(at) }.into();
}
