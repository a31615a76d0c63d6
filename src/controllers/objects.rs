//! Our kinds as the registry holds them: keys, typed reads, and writes that touch only what they name.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::agents::object_name;
use crate::api::resource::{Kind, Scope};
use crate::api::{Agent, GROUP, Stop, Task, Time};
use crate::plan::ObjectName;
use crate::registry::{Doc, Key, Resource, Snapshot, Write};
use crate::runtime::Setback;

/// The resource that objects of `K` stand under.
pub(super) fn resource<K: Kind>() -> Resource {
    Resource::new(GROUP, K::DEFINITION.plural)
}

/// The key of the `K` called `name`.
pub(super) fn key<K: Kind>(name: &ObjectName) -> Key {
    let namespace = match K::DEFINITION.scope {
        Scope::Namespaced => name.namespace.clone(),
        Scope::Cluster => Arc::default(),
    };
    Key { resource: resource::<K>(), namespace, name: name.name.clone() }
}

/// The key of the Agent that Mesos names `agent_id`.
#[must_use]
pub fn agent_key(agent_id: &str) -> Key {
    key::<Agent>(&ObjectName::new("", &object_name(agent_id)))
}

/// The key of a Task.
#[must_use]
pub fn task_key(task: &Task) -> Key {
    let namespace = task.metadata.namespace.as_deref().unwrap_or_default();
    let name = task.metadata.name.as_deref().unwrap_or_default();
    key::<Task>(&ObjectName::new(namespace, name))
}

/// The name of the object at `key`.
pub(super) fn name_of(key: &Key) -> ObjectName {
    ObjectName { namespace: key.namespace.clone(), name: key.name.clone() }
}

/// Whether `key` is of kind `K`.
pub(super) fn is<K: Kind>(key: &Key) -> bool {
    key.resource.plural() == K::DEFINITION.plural && key.resource.group() == GROUP
}

/// A document together with what it says.
#[derive(Debug, Clone)]
pub(super) struct Stored<K> {
    pub(super) doc: Arc<Doc>,
    pub(super) object: Arc<K>,
}

impl<K: Kind> Stored<K> {
    /// What `doc` says.
    pub(super) fn read(doc: &Arc<Doc>) -> Result<Stored<K>, Setback> {
        let object = doc.typed::<K>().map_err(|error| Setback::Unreadable(error.to_string()))?;
        Ok(Stored { doc: doc.clone(), object })
    }

    /// The object called `name`, if it exists.
    pub(super) fn find(snapshot: &Snapshot, name: &ObjectName) -> Result<Option<Stored<K>>, Setback> {
        snapshot.get(&key::<K>(name)).map(Stored::read).transpose()
    }

    pub(super) fn name(&self) -> ObjectName {
        name_of(self.doc.key())
    }

    /// Applies an RFC 7386 merge patch to exactly this version.
    pub(super) fn merge(&self, patch: Value) -> Write {
        Write::Merge { base: self.doc.clone(), patch }
    }

    /// Deletes exactly this version, at once.
    pub(super) fn remove(&self) -> Write {
        Write::Remove { base: self.doc.clone() }
    }

    /// Writes nothing, but only if this is still the version.
    pub(super) fn guard(&self) -> Write {
        Write::Guard { base: self.doc.clone() }
    }
}

/// Creates `object`, which is complete but for what every write adds (uid, creation time, …).
pub(super) fn create<K: Kind>(object: &K) -> Result<Write, Setback> {
    let value = serde_json::to_value(object).map_err(|error| Setback::Unreadable(error.to_string()))?;
    Ok(Write::Create { value })
}

/// The patch that makes a Task end: its reason, and the mark that it is being deleted, unless it carries one.
pub(super) fn stop_patch(stop: &Stop, doc: &Doc) -> Value {
    let mut patch = json!({"spec": {"stop": stop}});
    if doc.meta().deletion.is_none() {
        patch["metadata"] = json!({"deletionTimestamp": Time(stop.at.0)});
    }
    patch
}

/// The RFC 7386 patch that makes `to` of `from`; nothing when they are equal.
///
/// Only what differs is named, so fields that neither of them knows are left alone.
pub(super) fn difference(from: &Value, to: &Value) -> Option<Value> {
    if from == to {
        return None;
    }
    let (Value::Object(before), Value::Object(after)) = (from, to) else {
        return Some(to.clone());
    };
    let mut patch = Map::new();
    for (field, value) in after {
        if let Some(change) = difference(before.get(field).unwrap_or(&Value::Null), value) {
            patch.insert(field.clone(), change);
        }
    }
    for gone in before.keys().filter(|field| !after.contains_key(*field)) {
        patch.insert(gone.clone(), Value::Null);
    }
    Some(Value::Object(patch))
}

/// [`difference`] of two typed values.
pub(super) fn typed_difference(
    from: &impl serde::Serialize,
    to: &impl serde::Serialize,
) -> Result<Option<Value>, Setback> {
    let unreadable = |error: serde_json::Error| Setback::Unreadable(error.to_string());
    let from = serde_json::to_value(from).map_err(unreadable)?;
    Ok(difference(&from, &serde_json::to_value(to).map_err(unreadable)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_names_only_what_differs_and_nulls_what_is_gone() {
        let before = json!({"a": 1, "b": {"c": 2, "d": [1, 2]}, "e": "gone"});
        let after = json!({"a": 1, "b": {"c": 3, "d": [2]}, "f": "new"});
        assert_eq!(
            difference(&before, &after),
            Some(json!({"b": {"c": 3, "d": [2]}, "e": null, "f": "new"}))
        );
        assert_eq!(difference(&before, &before), None);
    }

    proptest::proptest! {
        #[test]
        fn merging_the_difference_gives_the_other_value(a in values(), b in values()) {
            let mut merged = a.clone();
            if let Some(patch) = difference(&a, &b) {
                json_patch::merge(&mut merged, &patch);
            }
            proptest::prop_assert_eq!(merged, b);
        }
    }

    /// Objects as statuses are: no nulls inside.
    fn values() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![any::<bool>().prop_map(Value::from), (0..3).prop_map(Value::from)];
        let fields = |inner| proptest::collection::btree_map("[a-c]", inner, 0..4);
        let object = |inner: proptest::strategy::BoxedStrategy<Value>| {
            fields(inner).prop_map(|map| Value::Object(map.into_iter().collect()))
        };
        object(prop_oneof![leaf.clone(), object(leaf.boxed())].boxed())
    }
}
