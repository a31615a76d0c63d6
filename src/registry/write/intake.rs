//! Makes an object of a request's body: of the right kind and name, without nulls and unknown fields.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::registry::body::{Body, shortened};
use crate::registry::failure::Failure;
use crate::registry::field::FieldError;
use crate::registry::kind::KindDef;
use crate::registry::meta;
use crate::registry::object::{meta_mut, respell_time, set, text};
use crate::registry::options::FieldValidation;
use crate::registry::schema::{Unknown, drop_nulls, prune};

/// Refuses a body that is no object of `kind`. A core kind may leave out its apiVersion and kind.
pub(super) fn check_type(kind: &KindDef, object: &mut Value, sent: &str) -> Result<(), Failure> {
    if !object.is_object() {
        return Err(Failure::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: \
             json: cannot unmarshal into Go value of type struct ({})",
            kind.kind,
            shortened(sent)
        )));
    }
    if kind.is_core() {
        for (name, value) in [("apiVersion", kind.api_version()), ("kind", kind.kind.clone())] {
            if object.get(name).is_none_or(|given| given.is_null() || given == "") {
                object[name] = json!(value);
            }
        }
    }
    let given = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    for (name, spelled) in [("kind", "Kind"), ("apiVersion", "apiVersion")] {
        if given(name).is_empty() {
            return Err(Failure::bad_request(format!(
                "the object provided is unrecognized (must be of type {}): Object '{spelled}' is missing in '{sent}' ({})",
                kind.kind,
                shortened(sent)
            )));
        }
    }
    if given("apiVersion") != kind.api_version() {
        return Err(Failure::bad_request(format!(
            "the API version in the data ({}) does not match the expected API version ({})",
            given("apiVersion"),
            kind.api_version()
        )));
    }
    if given("kind") != kind.kind {
        let error = FieldError::invalid("kind", given("kind"), format!("must be {}", kind.kind));
        return Err(Failure::invalid_named(&kind.group, given("kind"), text(object, "name"), vec![error]));
    }
    Ok(())
}

/// Refuses `metadata` of the wrong types.
pub(super) fn check_metadata(kind: &KindDef, object: &mut Value) -> Result<(), Failure> {
    match meta::type_fault(object) {
        Some(fault) => Err(Failure::bad_request(format!("{}{fault}", cannot_be_handled(kind)))),
        None => {
            let metadata = meta_mut(object);
            for name in ["creationTimestamp", "deletionTimestamp"] {
                if let Some(time) = metadata.get_mut(name) {
                    respell_time(time, false);
                }
            }
            let entries = metadata.get_mut("managedFields").and_then(Value::as_array_mut);
            for time in entries.into_iter().flatten().filter_map(|entry| entry.get_mut("time")) {
                respell_time(time, false);
            }
            Ok(())
        }
    }
}

/// Gives the object the namespace of its route, or refuses another one.
pub(super) fn check_namespace(kind: &KindDef, namespace: &str, object: &mut Value) -> Result<(), Failure> {
    let expected = if kind.namespaced { namespace } else { "" };
    match text(object, "namespace") {
        "" if expected.is_empty() => Ok(()),
        "" => {
            set(object, "namespace", expected);
            Ok(())
        }
        given if given == expected => Ok(()),
        _ => Err(Failure::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )),
    }
}

/// Refuses a name that is not the route's.
pub(super) fn check_name(name: &str, object: &Value) -> Result<(), Failure> {
    let given = text(object, "name");
    if given == name {
        return Ok(());
    }
    Err(Failure::bad_request(format!(
        "the name of the object ({given}) does not match the name on the URL ({name})"
    )))
}

/// Drops nulls and undeclared fields.
pub(super) fn tidy(kind: &KindDef, object: &mut Value) -> Vec<Unknown> {
    let mut unknown = Vec::new();
    drop_nulls(object, &kind.schema);
    prune(object, &kind.schema, "", &mut unknown);
    unknown
}

/// The warnings about `unknown` fields and keys that stood twice, or all of them as one text if that is refused.
pub(super) fn judge(
    unknown: &[Unknown],
    duplicates: &[String],
    validation: FieldValidation,
) -> Result<Vec<String>, String> {
    let mut faults: Vec<String> =
        duplicates.iter().map(|path| format!("duplicate field \"{path}\"")).collect();
    faults.extend(unknown.iter().map(|field| format!("unknown field \"{}\"", field.path)));
    match validation {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Warn => Ok(faults),
        FieldValidation::Strict if faults.is_empty() => Ok(Vec::new()),
        FieldValidation::Strict => {
            Err(format!("strict decoding error: {}{}", faults.join(", "), hints(unknown)))
        }
    }
}

/// What was probably meant, at the end of a message whose beginning tools know.
fn hints(unknown: &[Unknown]) -> String {
    let meant: Vec<String> =
        unknown.iter().filter_map(|field| field.nearest.as_ref()).map(|near| format!("{near:?}")).collect();
    let meant =
        if meant.is_empty() { String::new() } else { format!(" (did you mean {}?)", meant.join(", ")) };
    let allowed: BTreeSet<String> = unknown.iter().filter_map(allowed_beside).collect();
    let allowed = allowed.into_iter().map(|allowed| format!(" ({allowed})"));
    std::iter::once(meant).chain(allowed).collect()
}

/// What is allowed where an unknown field stands that is near to nothing.
fn allowed_beside(field: &Unknown) -> Option<String> {
    let parent = field.path.rsplit_once('.').map_or("the document", |(parent, _)| parent);
    (!field.declared.is_empty()).then(|| format!("allowed in {parent}: {}", field.declared))
}

/// As [`judge`], for a whole object that was sent: what is refused is a bad request.
pub(super) fn judge_object(
    kind: &KindDef,
    unknown: &[Unknown],
    body: &Body,
    validation: FieldValidation,
) -> Result<Vec<String>, Failure> {
    judge(unknown, &body.duplicates, validation)
        .map_err(|text| Failure::bad_request(format!("{}{text}", cannot_be_handled(kind))))
}

fn cannot_be_handled(kind: &KindDef) -> String {
    format!("{} in version \"{}\" cannot be handled as a {}: ", kind.kind, kind.version, kind.kind)
}
