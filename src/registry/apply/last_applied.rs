//! kubectl's move from client-side to server-side apply: the annotation with what it last applied.

use serde_json::Value;

use super::compare::compare;
use super::set::fields_of;
use super::updater::Conflicts;
use crate::registry::object::{meta_mut, meta_value};
use crate::registry::schema::Schema;

/// The manager that the annotation belongs to.
pub(super) const KUBECTL: &str = "kubectl";
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn annotation(object: &Value) -> Option<&str> {
    meta_value(object, "annotations")?.get(ANNOTATION)?.as_str()
}

/// Whether every conflict lies on a field that kubectl itself last applied and that still has that value.
///
/// # Errors
/// The conflicts that remain.
pub(super) fn forgiven(schema: &Schema, live: &Value, conflicts: Conflicts) -> Result<(), Conflicts> {
    let last = annotation(live).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let Some(last) = last.filter(Value::is_object) else { return Err(conflicts) };
    let compared = compare(&last, live, schema);
    let allowed = fields_of(&last, schema)
        .difference(&compared.modified)
        .difference(&compared.added)
        .difference(&compared.removed);
    let rest: Conflicts = conflicts
        .into_iter()
        .map(|(manager, fields)| (manager, fields.difference(&allowed)))
        .filter(|(_, fields)| !fields.is_empty())
        .collect();
    if rest.is_empty() { Ok(()) } else { Err(rest) }
}

/// Writes the applied configuration into the annotation, where there is one, so that client-side apply could go on.
pub(super) fn renew(object: &mut Value, config: &Value) {
    if annotation(object).is_none() {
        return;
    }
    let mut applied = config.clone();
    if let Some(Value::Object(annotations)) = meta_mut(&mut applied).get_mut("annotations") {
        annotations.remove(ANNOTATION);
        if annotations.is_empty() {
            meta_mut(&mut applied).remove("annotations");
        }
    }
    meta_mut(object)["annotations"][ANNOTATION] = format!("{applied}\n").into();
}
