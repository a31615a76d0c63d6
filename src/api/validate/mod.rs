//! What a schema cannot say about our kinds, as pure functions: one field against another, and against the old object.
//!
//! They run after the schema (types, ranges, enums, unknown fields), so a document that does not decode here is a
//! fault of the two disagreeing, and is told as such instead of being let through.

mod checks;
mod constraints;
mod container;
mod containerizer;
mod env;
mod fetch;
mod ports;
mod text;

use std::collections::BTreeSet;

use kube_core::Resource;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use containerizer::left_undone_by_mesos;

use super::{App, AppSpec, Bytes, Cpus, FieldError, Revision, Task, role};

/// The least that a container runtime can give.
const LEAST_CPUS: Cpus = Cpus::from_millis(10);
const LEAST_MEMORY: Bytes = Bytes::from_mebibytes(6);

/// The faults of an App that its schema does not find; in the order of its fields.
#[must_use]
pub fn validate(app: &App, _old: Option<&App>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(name) = app.meta().name.as_deref() {
        text::dns_label("metadata.name", name, &mut errors);
    }
    command(&app.spec, &mut errors);
    resources(&app.spec, &mut errors);
    let template = &app.spec.template;
    if let Some(container) = &template.container {
        container::validate(container, &mut errors);
        containerizer::validate(container, template, &mut errors);
    }
    ports::validate(template, &mut errors);
    env::validate(&template.env, &mut errors);
    fetch::validate(&template.fetch, &mut errors);
    checks::validate(template, &mut errors);
    constraints::validate(&template.constraints, &mut errors);
    if let Some(Err(error)) = template.role.as_deref().map(role::check) {
        let message = format!("{error}; a Mesos role is `*`, or a name such as `web` or `web/blue`");
        errors.push(FieldError::invalid("spec.role", template.role.clone(), message));
    }
    timing(&app.spec, &mut errors);
    depends_on(app, &mut errors);
    errors
}

/// The faults of a document of ours, by the plural of its kind; none for kinds that have no rules beside their schema.
#[must_use]
pub fn document(plural: &str, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    match plural {
        "apps" => typed::<App>(new, old, validate),
        "revisions" => typed::<Revision>(new, old, revision),
        "tasks" => typed::<Task>(new, old, task),
        _ => Vec::new(),
    }
}

fn typed<K: DeserializeOwned>(
    new: &Value,
    old: Option<&Value>,
    rules: fn(&K, Option<&K>) -> Vec<FieldError>,
) -> Vec<FieldError> {
    // An old object that no longer decodes was stored under an older schema: the new one is judged by itself.
    let old = old.and_then(|old| K::deserialize(old).ok());
    match K::deserialize(new) {
        Ok(new) => rules(&new, old.as_ref()),
        Err(error) => vec![FieldError::invalid("", json!({}), error.to_string())],
    }
}

/// A Revision's template never changes: tasks refer to it instead of carrying it.
fn revision(new: &Revision, old: Option<&Revision>) -> Vec<FieldError> {
    match old {
        Some(old)
            if (&old.spec.app, &old.spec.hash, &old.spec.template)
                != (&new.spec.app, &new.spec.hash, &new.spec.template) =>
        {
            vec![FieldError::invalid("spec.template", new.spec.hash.as_str(), "field is immutable")]
        }
        _ => Vec::new(),
    }
}

/// What a Task is an instance of never changes.
fn task(new: &Task, old: Option<&Task>) -> Vec<FieldError> {
    let Some(old) = old else { return Vec::new() };
    let mut errors = Vec::new();
    let fields = [
        ("spec.app", &old.spec.app, &new.spec.app),
        ("spec.revision", &old.spec.revision, &new.spec.revision),
    ];
    for (path, old, new) in fields {
        if old != new {
            errors.push(FieldError::invalid(path, new.as_str(), "field is immutable"));
        }
    }
    if old.spec.slot != new.spec.slot {
        errors.push(FieldError::invalid("spec.slot", new.spec.slot, "field is immutable"));
    }
    errors
}

fn command(spec: &AppSpec, errors: &mut Vec<FieldError>) {
    let template = &spec.template;
    if template.cmd.is_some() && !template.args.is_empty() {
        errors.push(FieldError::forbidden("spec.args", "may not be given together with cmd"));
    }
    if template.cmd.is_none() && template.args.is_empty() && template.container.is_none() {
        let message = "an app without a container needs cmd or args";
        errors.push(FieldError::required("spec.cmd", message));
    }
    if template.container.is_none() && template.args.first().is_some_and(String::is_empty) {
        errors.push(FieldError::required("spec.args[0]", "the program to run"));
    }
}

fn resources(spec: &AppSpec, errors: &mut Vec<FieldError>) {
    let resources = &spec.template.resources;
    if resources.cpus < LEAST_CPUS {
        let message = format!("must be at least {LEAST_CPUS}");
        errors.push(FieldError::invalid("spec.resources.cpus", resources.cpus.to_string(), message));
    }
    if resources.memory < LEAST_MEMORY {
        // People coming from Marathon write mebibytes.
        let hint = match resources.memory.get() {
            bytes @ 6..=1_000_000 => format!("; a number without suffix is bytes: is {bytes}Mi meant?"),
            _ => String::new(),
        };
        let message = format!("must be at least {LEAST_MEMORY}{hint}");
        errors.push(FieldError::invalid("spec.resources.memory", resources.memory.to_string(), message));
    }
}

/// Ranges between two fields.
fn timing(spec: &AppSpec, errors: &mut Vec<FieldError>) {
    let (backoff, unreachable) = (&spec.backoff, &spec.unreachable);
    if backoff.max < backoff.initial {
        let message = format!("must not be shorter than backoff.initial, {}", backoff.initial);
        errors.push(FieldError::invalid("spec.backoff.max", backoff.max.to_string(), message));
    }
    if unreachable.expunge_after < unreachable.inactive_after {
        let message =
            format!("must not be shorter than unreachable.inactiveAfter, {}", unreachable.inactive_after);
        errors.push(FieldError::invalid(
            "spec.unreachable.expungeAfter",
            unreachable.expunge_after.to_string(),
            message,
        ));
    }
}

fn depends_on(app: &App, errors: &mut Vec<FieldError>) {
    let names = &app.spec.depends_on;
    for ((index, name), is_again) in names.iter().enumerate().zip(repeats(names)) {
        let path = format!("spec.dependsOn[{index}]");
        text::dns_label(&path, name, errors);
        if app.meta().name.as_ref() == Some(name) {
            errors.push(FieldError::invalid(&path, name.as_str(), "an app cannot depend on itself"));
        }
        if is_again {
            errors.push(FieldError::duplicate(&path, name.as_str()));
        }
    }
}

/// For each of `keys` whether it stood before.
fn repeats<K: Ord>(keys: impl IntoIterator<Item = K>) -> impl Iterator<Item = bool> {
    let mut seen = BTreeSet::new();
    keys.into_iter().map(move |key| !seen.insert(key))
}

#[cfg(test)]
mod tests;
