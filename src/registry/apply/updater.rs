//! Who owns what after a write, and whose fields stand in its way.

use serde_json::Value;

use super::compare::{Comparison, compare};
use super::managed::{Entries, Manager};
use super::merge::merge;
use super::path::{FieldSet, PathElement};
use super::prune::prune;
use super::set::fields_of;
use crate::registry::failure::Failure;
use crate::registry::field::FAULTS_MAX;
use crate::registry::schema::Schema;

/// Fields of others that a write would change, by owner.
pub(super) type Conflicts = Vec<(Manager, FieldSet)>;

/// What an apply comes to.
pub(super) struct Outcome {
    pub object: Value,
    pub entries: Entries,
    /// Whether any value changed.
    pub changed: bool,
}

/// Metadata that the server owns: nobody's.
const UNOWNED_METADATA: [&str; 11] = [
    "name",
    "namespace",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
];

/// `fields` without those that belong to nobody.
pub(super) fn stripped(mut fields: FieldSet) -> FieldSet {
    let metadata = PathElement::field("metadata");
    for name in ["apiVersion", "kind", "metadata"] {
        fields.members.remove(&PathElement::field(name));
        if name != "metadata" {
            fields.children.remove(&PathElement::field(name));
        }
    }
    if let Some(below) = fields.children.get_mut(&metadata) {
        for name in UNOWNED_METADATA {
            below.members.remove(&PathElement::field(name));
            below.children.remove(&PathElement::field(name));
        }
        if below.is_empty() {
            fields.children.remove(&metadata);
        }
    }
    fields
}

/// Accounts for an update by `me` that changed what `compared` says. Updates never conflict: they take.
pub(super) fn update(entries: &mut Entries, me: &Manager, compared: Comparison, time: Option<String>) {
    let removed = compared.removed;
    let taken = compared.modified.union(&compared.added);
    for owned in entries.values_mut() {
        owned.fields = owned.fields.difference(&taken).difference(&removed);
    }
    let mine = stripped(taken);
    if !mine.is_empty() {
        let before = entries.get(me).map(|owned| owned.fields.clone()).unwrap_or_default();
        entries.insert(me.clone(), before.union(&mine), time);
    }
    entries.drop_empty();
}

/// Applies `config` to `live` as `me`.
///
/// # Errors
/// The fields of others that it would change, unless `force`.
pub(super) fn apply(
    schema: &Schema,
    live: &Value,
    config: &Value,
    entries: &mut Entries,
    me: &Manager,
    force: bool,
) -> Result<Outcome, Conflicts> {
    let mut entries = entries.clone();
    let last = entries.get(me).map(|owned| owned.fields.clone()).unwrap_or_default();
    let fields = fields_of(config, schema);
    entries.set_fields(me, applied_fields(&fields, me));
    let merged = merge(Some(live), Some(config), schema).unwrap_or_default();
    // What the configuration names is kept even where nobody can own it, as `metadata.name`.
    let kept = entries.union().union(&fields);
    let object = if last.is_empty() { merged } else { prune(&merged, schema, &last, &kept) };
    let compared = compare(live, &object, schema);
    let taken = compared.modified.union(&compared.added);
    let mut conflicts = Vec::new();
    for (other, owned) in entries.others_mut(me) {
        let conflict = owned.fields.intersection(&taken);
        if !conflict.is_empty() {
            conflicts.push((other.clone(), conflict));
        }
        owned.fields = owned.fields.difference(&taken).difference(&compared.removed);
    }
    if !force && !conflicts.is_empty() {
        return Err(conflicts);
    }
    entries.drop_empty();
    Ok(Outcome { object, entries, changed: !compared.is_same() })
}

/// Of the `fields` of a configuration, those that its applier owns: what its subresource lets it.
fn applied_fields(fields: &FieldSet, me: &Manager) -> FieldSet {
    let status = PathElement::field("status");
    let mut owned = stripped(fields.clone());
    if me.subresource == "status" {
        owned.members.retain(|member| *member == status);
        owned.children.retain(|member, _| *member == status);
    }
    owned
}

/// Conflicts as a refusal, which names the first hundred fields.
pub(super) fn failure(conflicts: &Conflicts) -> Failure {
    let (mut left, mut shown) = (FAULTS_MAX, Vec::new());
    for (manager, fields) in conflicts.iter().filter(|(_, fields)| !fields.is_empty()) {
        let paths = fields.paths(left);
        left -= paths.len();
        if !paths.is_empty() {
            shown.push((manager.shown(), paths));
        }
    }
    Failure::apply_conflict(&shown, conflicts.iter().map(|(_, fields)| fields.len()).sum())
}
