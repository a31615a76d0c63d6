//! Field ownership and server-side apply: which manager set which field, and what that means for the next write.
//!
//! The algorithm is that of Kubernetes' structured-merge-diff, for one version per kind:
//!
//! ```text
//! config ─▶ checked ─▶ merged with live ─▶ pruned of what its manager gave up ─▶ compared with live
//!                                                              others' fields that changed: conflicts
//! ```

mod ancient;
mod checked;
mod compare;
mod last_applied;
mod managed;
mod merge;
mod path;
mod prune;
mod set;
mod tree;
mod updater;
mod whole;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Map, Value};

use self::managed::{Entries, Manager, Operation};
use super::failure::Failure;
use super::kind::KindDef;
use super::object::{self, take, text};
use super::schema::{Schema, Type, canonicalise};
use super::write::Subresource;

pub use self::path::{FieldSet, PathElement};

/// Derives from the difference of `live` (null: nothing) and `object` which fields `manager` owns from now on, and
/// writes that into `object`'s managedFields. What a client wrote there itself is honoured on the object, not on its
/// subresources.
pub(super) fn track(
    kind: &KindDef,
    live: &Value,
    object: &mut Value,
    manager: &str,
    subresource: Subresource,
    now: Timestamp,
) {
    let sent = take(object, "managedFields");
    let stored = object::meta_value(live, "managedFields");
    let reset = managed::is_reset(sent.as_ref());
    let mut entries = match (&sent, subresource) {
        (_, Subresource::Main) if reset => Entries::default(),
        (Some(sent), Subresource::Main) => {
            Entries::decode(Some(sent)).filter(|sent| !sent.is_empty()).or_else(|| Entries::decode(stored))
        }
        .unwrap_or_default(),
        _ => Entries::decode(stored).unwrap_or_default(),
    };
    // An object that nobody accounts for (a controller's, or one that was reset) stays so until somebody applies.
    if !live.is_null() && entries.is_empty() {
        return;
    }
    let me = Manager::new(manager, Operation::Update, &kind.api_version(), subresource);
    let (old, new) = (owned_part(live), owned_part(object));
    let compared = compare::compare(&old, &new, &kind.schema);
    updater::update(&mut entries, &me, compared, timestamp(subresource, now));
    ancient::cap(&mut entries);
    write(object, &entries);
}

/// What applying a configuration comes to.
pub(super) struct Applied {
    pub object: Value,
}

/// Applies `config` to `live` (null: creates) as `manager`.
///
/// # Errors
/// 409 for fields of other managers unless `force`; 500 with Kubernetes' text for a configuration that does not fit the
/// schema (never 422: GitOps tools take that for an immutable field and delete the object).
pub(super) fn apply(
    kind: &KindDef,
    live: &Value,
    config: &Value,
    author: &Applier<'_>,
) -> Result<Applied, Failure> {
    let schema = &*kind.schema;
    let mut config = config.clone();
    // Quantities that do not parse stay as they are, and are told by validation.
    canonicalise(&mut config, schema, "", &mut Vec::new());
    checked::check(&config, schema).map_err(|problem| unfit(kind, &config, &problem))?;
    whole::complete(&mut config, schema);
    let mut entries = Entries::decode(object::meta_value(live, "managedFields")).unwrap_or_default();
    let bare = without_account(live);
    let me = Manager::new(author.manager, Operation::Apply, &kind.api_version(), author.subresource);
    if entries.is_empty() && !live.is_null() {
        before_first_apply(&mut entries, kind, &bare);
    }
    let mut applied = updater::apply(schema, &bare, &config, &mut entries, &me, author.force);
    if author.manager == last_applied::KUBECTL
        && let Err(conflicts) = applied
    {
        // kubectl moves from client-side to server-side apply: what it last applied itself is no conflict.
        applied = last_applied::forgiven(schema, &bare, conflicts)
            .and_then(|()| updater::apply(schema, &bare, &config, &mut entries, &me, true));
    }
    let mut outcome = applied.map_err(|conflicts| updater::failure(&conflicts))?;
    entries = outcome.entries;
    if outcome.changed {
        entries.set_time(&me, timestamp(author.subresource, author.now));
    }
    if author.manager == last_applied::KUBECTL {
        last_applied::renew(&mut outcome.object, &config);
    }
    write(&mut outcome.object, &entries);
    Ok(Applied { object: outcome.object })
}

/// Who applies, and how.
pub(super) struct Applier<'a> {
    pub manager: &'a str,
    pub subresource: Subresource,
    pub force: bool,
    pub now: Timestamp,
}

fn unfit(kind: &KindDef, config: &Value, problem: &str) -> Failure {
    Failure::internal(format!(
        "failed to create typed patch object ({}/{}; {}, Kind={}): {problem}",
        text(config, "namespace"),
        text(config, "name"),
        kind.api_version(),
        kind.kind
    ))
}

/// All that stands in an object nobody accounts for belongs to whoever was there before.
fn before_first_apply(entries: &mut Entries, kind: &KindDef, live: &Value) {
    let fields = updater::stripped(compare::compare(&Value::Object(Map::new()), live, &kind.schema).added);
    if !fields.is_empty() {
        let manager =
            Manager::new("before-first-apply", Operation::Update, &kind.api_version(), Subresource::Main);
        entries.insert(manager, fields, None);
    }
}

/// Writes through `/scale` carry no time in a real apiserver.
fn timestamp(subresource: Subresource, now: Timestamp) -> Option<String> {
    (subresource != Subresource::Scale).then(|| object::seconds(now))
}

/// The object as ownership sees it; null counts as empty.
fn owned_part(object: &Value) -> Cow<'_, Value> {
    if object.is_null() { Cow::Owned(Value::Object(Map::new())) } else { Cow::Owned(without_account(object)) }
}

fn without_account(object: &Value) -> Value {
    let mut bare = object.clone();
    if bare.is_object() {
        take(&mut bare, "managedFields");
        take(&mut bare, "resourceVersion");
    } else {
        bare = Value::Object(Map::new());
    }
    bare
}

fn write(object: &mut Value, entries: &Entries) {
    if entries.is_empty() {
        take(object, "managedFields");
    } else {
        object::set(object, "managedFields", entries.encode());
    }
}

/// If `object` and `live` account for the same fields and differ in times only, puts back the times of `live`.
pub(super) fn restore_times(object: &mut Value, live: &Value) {
    if object::meta_value(object, "managedFields") == object::meta_value(live, "managedFields") {
        return;
    }
    let timeless = |value: &Value| {
        let mut entries = object::meta_value(value, "managedFields").cloned().unwrap_or_default();
        for entry in entries.as_array_mut().into_iter().flatten() {
            if let Some(entry) = entry.as_object_mut() {
                entry.remove("time");
            }
        }
        let mut bare = value.clone();
        if bare.is_object() {
            take(&mut bare, "managedFields");
            take(&mut bare, "resourceVersion");
        }
        let mut sorted: Vec<String> =
            entries.as_array().into_iter().flatten().map(Value::to_string).collect();
        sorted.sort();
        (bare, sorted)
    };
    if timeless(object) == timeless(live) {
        object::restore(object, live, "managedFields");
    }
}

/// The schema below a field, or one that knows nothing.
fn below<'s>(schema: &'s Schema, name: &str) -> &'s Schema {
    static OPEN: Schema = Schema::open();
    schema.field(name).unwrap_or(&OPEN)
}

/// The schema of items, or one that knows nothing.
fn items(schema: &Schema) -> &Schema {
    static OPEN: Schema = Schema::open();
    schema.items.as_deref().unwrap_or(&OPEN)
}

/// Whether a value of this schema is taken as it is, whatever stands in it.
fn is_scalar(schema: &Schema) -> bool {
    matches!(schema.type_, Type::String | Type::Integer | Type::Number | Type::Boolean | Type::IntOrString)
}
