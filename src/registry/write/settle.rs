//! Makes of an object, and of the one it replaces, what will be stored.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Subresource;
use crate::env::Env;
use crate::registry::failure::Failure;
use crate::registry::field::FieldError;
use crate::registry::kind::{KindDef, Rules};
use crate::registry::object::{
    finalizers, generation, is_terminating, meta_value, restore, seconds, set, set_finalizers, take,
};
use crate::registry::schema::{apply_defaults, canonicalise, validate_update, without};
use crate::registry::{apply, meta};

/// Who writes, as it is told in managedFields; none for controllers, whose writes keep no account.
pub(super) struct Author<'a> {
    pub manager: &'a str,
    pub subresource: Subresource,
    pub now: Timestamp,
}

/// What becomes of an update.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    /// Nothing changed: the live version stays.
    Unchanged,
    Replaced,
    /// Nothing holds the terminating object any more.
    Removed,
}

/// Gives a new object what the server owns, and its kind's finalizers.
pub(super) fn birth(kind: &KindDef, object: &mut Value, env: &Env) {
    for name in
        ["resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields"]
    {
        take(object, name);
    }
    set(object, "uid", env.uid());
    set(object, "creationTimestamp", seconds(env.now()));
    if kind.counted {
        set(object, "generation", 1);
    } else {
        take(object, "generation");
    }
    let mut held = finalizers(object);
    held.extend(kind.finalizers.iter().filter(|name| !finalizers(object).contains(name)));
    let held: Vec<String> = held.into_iter().map(str::to_owned).collect();
    set_finalizers(object, &held.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Puts defaults, canonical quantities and what the kind itself prepares. The faults are of quantities.
pub(super) fn complete(kind: &KindDef, object: &mut Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    apply_defaults(object, &kind.schema);
    canonicalise(object, &kind.schema, "", &mut errors);
    if let Some(prepare) = kind.prepare {
        prepare(object);
    }
    meta::drop_empty(object);
    errors
}

/// As [`complete`], for an object of which only some fields are here.
pub(super) fn complete_parts(kind: &KindDef, object: &mut Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (name, field) in object.as_object_mut().into_iter().flatten() {
        if let Some(schema) = kind.schema.field(name) {
            apply_defaults(field, schema);
            canonicalise(field, schema, name, &mut errors);
        }
    }
    meta::drop_empty(object);
    errors
}

/// Restores in `object` what the request had no business with: everything outside its subresource, and what the
/// server owns.
pub(super) fn isolate(kind: &KindDef, object: &mut Value, live: &Value, subresource: Subresource) {
    match subresource {
        Subresource::Status | Subresource::Finalize => {
            let part = if subresource == Subresource::Status { "status" } else { "spec" };
            let (wanted, account) = (object.get(part).cloned(), take(object, "managedFields"));
            *object = live.clone();
            replace(object, part, wanted);
            match account {
                Some(account) => set(object, "managedFields", account),
                None => drop(take(object, "managedFields")),
            }
        }
        Subresource::Main | Subresource::Scale if kind.status => {
            replace(object, "status", live.get("status").cloned());
        }
        Subresource::Main | Subresource::Scale => {}
    }
    if kind.holds_by_spec && subresource != Subresource::Finalize {
        replace(object, "spec", live.get("spec").cloned());
    }
    for name in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "namespace"] {
        if meta_value(object, name).is_none_or(Value::is_null) {
            restore(object, live, name);
        }
    }
    for name in ["generation", "selfLink"] {
        restore(object, live, name);
    }
    take(object, "resourceVersion");
    if !is_terminating(live) {
        keep_kind_finalizers(kind, object, live);
    }
}

/// A manifest that does not name the kind's own finalizers does not remove them: they are the controllers'.
fn keep_kind_finalizers(kind: &KindDef, object: &mut Value, live: &Value) {
    let held = finalizers(live);
    let mut wanted: Vec<String> = finalizers(object).into_iter().map(str::to_owned).collect();
    for name in kind.finalizers.iter().filter(|name| held.contains(name)) {
        if !wanted.iter().any(|known| known == name) {
            wanted.push((*name).to_owned());
        }
    }
    set_finalizers(object, &wanted.iter().map(String::as_str).collect::<Vec<_>>());
}

fn replace(object: &mut Value, field: &str, value: Option<Value>) {
    let Some(map) = object.as_object_mut() else { return };
    match value {
        Some(value) => map.insert(field.to_owned(), value),
        None => map.remove(field),
    };
}

/// Counts the generation on: once for any change outside `metadata` (and `status`, where that is a subresource), once
/// for the beginning of the end.
pub(super) fn count_generation(kind: &KindDef, object: &mut Value, live: &Value) {
    if !kind.counted {
        return;
    }
    let observed = |name: &str| name == "metadata" || (kind.status && name == "status");
    let differs = |a: &Value, b: &Value| {
        a.as_object().into_iter().flatten().any(|(name, value)| !observed(name) && b.get(name) != Some(value))
    };
    let changed = differs(object, live) || differs(live, object);
    let ends = is_terminating(object) && !is_terminating(live);
    set(object, "generation", generation(live) + i64::from(changed) + i64::from(ends));
}

/// Everything that is wrong with `object`; faults that `live` has too are not this write's.
pub(super) fn faults(
    kind: &KindDef,
    object: &Value,
    live: Option<&Value>,
    mut quantities: Vec<FieldError>,
    warnings: &mut Vec<String>,
) -> Vec<FieldError> {
    let mut errors = meta::validate(object, kind, warnings);
    if let Some(live) = live {
        errors.extend(meta::validate_update(object, live));
    }
    // What does not parse as a quantity is told once, in the words of its format; its type was never the matter.
    let unread: Vec<String> = quantities.iter().map(|fault| fault.path.clone()).collect();
    errors.append(&mut quantities);
    // The kind's own rules read a document that is well formed: of another they would only say so once more.
    let rules = kind.rules.filter(|_| errors.is_empty());
    let mut found = document_faults(kind, rules, object, live);
    found.retain(|fault| !unread.contains(&fault.path));
    errors.append(&mut found);
    errors
}

/// As [`faults`], for objects of which only some fields are here, none of which the kind's own rules read.
pub(super) fn faults_of_parts(
    kind: &KindDef,
    object: &Value,
    live: &Value,
    mut quantities: Vec<FieldError>,
) -> Vec<FieldError> {
    let mut errors = meta::validate(object, kind, &mut Vec::new());
    errors.extend(meta::validate_update(object, live));
    errors.append(&mut quantities);
    errors.append(&mut new_faults(kind, object, live));
    errors
}

/// What the schema finds wrong with the fields of `object` that are here, and did not with those of `live`.
pub(super) fn new_faults(kind: &KindDef, object: &Value, live: &Value) -> Vec<FieldError> {
    let fields = object.as_object().into_iter().flatten();
    let fields = fields.filter_map(|(name, field)| Some((name, field, kind.schema.field(name)?)));
    let mut faults: Vec<FieldError> = fields
        .flat_map(|(name, field, schema)| validate_update(field, live.get(name), schema, name).new)
        .collect();
    faults.extend(scale_faults(kind, object, Some(live), &faults));
    faults
}

fn document_faults(
    kind: &KindDef,
    rules: Option<Rules>,
    object: &Value,
    live: Option<&Value>,
) -> Vec<FieldError> {
    let found = validate_update(object, live, &kind.schema, "");
    let (mut is_sound, mut faults) = (found.is_empty(), found.new);
    if is_sound && let Some(rules) = rules {
        let found = rules(&kind.plural, object, live);
        is_sound = found.is_empty();
        let live = live.filter(|_| !is_sound);
        let known = live.map(|live| rules(&kind.plural, live, None)).unwrap_or_default();
        faults.extend(without(found, &known));
    }
    if is_sound && let Some(expressions) = &kind.expressions {
        faults.extend(expressions.faults(object, live));
    }
    faults.extend(scale_faults(kind, object, live, &faults));
    faults
}

/// What keeps `object` from being scaled and did not keep `live`.
fn scale_faults(
    kind: &KindDef,
    object: &Value,
    live: Option<&Value>,
    told: &[FieldError],
) -> Vec<FieldError> {
    let found = super::scale::faults(kind, object, told);
    match live {
        Some(live) if !found.is_empty() => without(found, &super::scale::faults(kind, live, &[])),
        _ => found,
    }
}

/// Decides an update whose `object` is isolated and complete: ownership, generation, validity, and whether anything
/// changes.
pub(super) fn settle(
    kind: &KindDef,
    object: &mut Value,
    live: &Value,
    author: Option<&Author<'_>>,
    quantities: Vec<FieldError>,
    warnings: &mut Vec<String>,
) -> Result<Outcome, Failure> {
    if let Some(author) = author {
        apply::track(kind, live, object, author.manager, author.subresource, author.now);
    }
    count_generation(kind, object, live);
    let name = meta_value(live, "name").and_then(Value::as_str).unwrap_or_default();
    let errors = faults(kind, object, Some(live), quantities, warnings);
    if !errors.is_empty() {
        return Err(Failure::invalid(kind, name, errors));
    }
    Ok(outcome(kind, object, live))
}

/// What an update of `live` to `object` comes to. Times in managedFields alone are no change: the old ones are put
/// back.
pub(super) fn outcome(kind: &KindDef, object: &mut Value, live: &Value) -> Outcome {
    apply::restore_times(object, live);
    if is_terminating(object) && !is_held(kind, object) {
        return Outcome::Removed;
    }
    if says_the_same(object, live) { Outcome::Unchanged } else { Outcome::Replaced }
}

/// Whether two versions differ in nothing but their version.
fn says_the_same(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return a == b };
    let same = |((name, value), (other, old)): ((&String, &Value), (&String, &Value))| {
        name == other && (value == old || (name == "metadata" && versionless(value).eq(versionless(old))))
    };
    a.len() == b.len() && a.iter().zip(b).all(same)
}

fn versionless(metadata: &Value) -> impl Iterator<Item = (&String, &Value)> {
    metadata.as_object().into_iter().flatten().filter(|(name, _)| *name != "resourceVersion")
}

/// Whether a finalizer keeps the object.
pub(super) fn is_held(kind: &KindDef, object: &Value) -> bool {
    let in_spec =
        || object.pointer("/spec/finalizers").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    !finalizers(object).is_empty() || (kind.holds_by_spec && in_spec())
}

/// Begins the end of `object`.
pub(super) fn terminate(kind: &KindDef, object: &mut Value, now: Timestamp) {
    set(object, "deletionTimestamp", seconds(now));
    set(object, "deletionGracePeriodSeconds", json!(0));
    if kind.counted {
        let next = generation(object) + 1;
        set(object, "generation", next);
    }
    if let Some(prepare) = kind.prepare {
        prepare(object);
    }
}
