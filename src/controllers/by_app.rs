//! Which Tasks, Revisions and Endpoints belong to each App, and which Apps depend on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::objects::{Stored, is, name_of, resource};
use crate::api::resource::Kind;
use crate::api::{App, labels};
use crate::plan::ObjectName;
use crate::registry::{Change, Doc, Key, Snapshot};
use crate::runtime::{Index, Setback};

/// What belongs to one App, in order.
type Parts = BTreeMap<Key, Arc<Doc>>;

/// The index of the loops that look at one App at a time.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ByApp {
    /// By namespace and App, so that a look-up needs no name of its own. No empty map stands in here.
    members: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Parts>>,
    dependents: BTreeMap<ObjectName, BTreeSet<ObjectName>>,
}

impl Index for ByApp {
    fn apply(&mut self, change: &Change) {
        if is::<App>(&change.key) {
            let app = name_of(&change.key);
            change.old.as_ref().map(|doc| dependencies(doc)).into_iter().flatten().for_each(|other| {
                remove(&mut self.dependents, &other, &app);
            });
            change.new.as_ref().map(|doc| dependencies(doc)).into_iter().flatten().for_each(|other| {
                self.dependents.entry(other).or_default().insert(app.clone());
            });
            return;
        }
        let (before, after) = (change.old.as_ref().and_then(owner), change.new.as_ref().and_then(owner));
        if let Some(app) = before.filter(|_| before != after) {
            self.leave(app, &change.key);
        }
        if let (Some(app), Some(doc)) = (after, &change.new) {
            self.join(app, doc);
        }
    }
}

fn remove<V: Ord>(sets: &mut BTreeMap<ObjectName, BTreeSet<V>>, key: &ObjectName, value: &V) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}

/// The App, in the same namespace, that `doc` is a part of, by its label.
fn owner(doc: &Arc<Doc>) -> Option<&str> {
    let is_ours = doc.key().resource.group() == crate::api::GROUP;
    doc.meta().labels.get(labels::APP).filter(|_| is_ours)
}

/// The Apps that an App depends on; none for one that cannot be read, about which nothing is decided.
fn dependencies(doc: &Doc) -> Vec<ObjectName> {
    let Ok(app) = doc.typed::<App>() else { return Vec::new() };
    app.spec.depends_on.iter().map(|name| ObjectName::new(&doc.key().namespace, name)).collect()
}

impl ByApp {
    fn join(&mut self, app: &str, doc: &Arc<Doc>) {
        let key = doc.key();
        let apps = self.members.entry(key.namespace.clone()).or_default();
        let parts = match apps.get_mut(app) {
            Some(parts) => parts,
            None => apps.entry(Arc::from(app)).or_default(),
        };
        match parts.get_mut(key) {
            Some(part) => part.clone_from(doc),
            None => drop(parts.insert(key.clone(), doc.clone())),
        }
    }

    fn leave(&mut self, app: &str, key: &Key) {
        let Some(apps) = self.members.get_mut(&key.namespace) else { return };
        let Some(parts) = apps.get_mut(app) else { return };
        parts.remove(key);
        if parts.is_empty() {
            apps.remove(app);
        }
        if apps.is_empty() {
            self.members.remove(&key.namespace);
        }
    }

    fn of(&self, app: &ObjectName) -> Option<&Parts> {
        self.members.get(&app.namespace)?.get(&app.name)
    }

    /// The `K`s of `app`, in order of their names.
    pub(super) fn parts<K: Kind>(&self, app: &ObjectName) -> Result<Vec<Stored<K>>, Setback> {
        let first = Key { resource: resource::<K>(), namespace: app.namespace.clone(), name: Arc::default() };
        let parts = self.of(app).into_iter().flat_map(|parts| parts.range(first.clone()..));
        parts.take_while(|(key, _)| is::<K>(key)).map(|(_, doc)| Stored::read(doc)).collect()
    }

    /// The Apps that a change concerns: the App itself and those that depend on it, or the one it is a part of.
    pub(super) fn concerned(&self, change: &Change) -> Vec<ObjectName> {
        if is::<App>(&change.key) {
            let app = name_of(&change.key);
            let dependents = self.dependents.get(&app).into_iter().flatten().cloned();
            return dependents.chain([app.clone()]).collect();
        }
        let (before, after) = (change.old.as_ref().and_then(owner), change.new.as_ref().and_then(owner));
        let owners = before.filter(|_| before != after).into_iter().chain(after);
        owners.map(|app| self.named(&change.key.namespace, app)).collect()
    }

    /// The name of an App, shared with the index where that has it.
    fn named(&self, namespace: &Arc<str>, app: &str) -> ObjectName {
        let known = self.members.get(namespace).and_then(|apps| apps.get_key_value(app));
        let name = known.map_or_else(|| Arc::from(app), |(name, _)| name.clone());
        ObjectName { namespace: namespace.clone(), name }
    }

    /// Every App that has parts.
    fn apps(&self) -> impl Iterator<Item = ObjectName> {
        self.members.iter().flat_map(|(namespace, apps)| {
            apps.keys().map(|name| ObjectName { namespace: namespace.clone(), name: name.clone() })
        })
    }
}

/// Every App that exists or has parts left.
pub(super) fn all_apps(snapshot: &Snapshot, index: &ByApp) -> Vec<ObjectName> {
    let apps = snapshot.list(&resource::<App>(), None).map(|doc| name_of(doc.key()));
    apps.chain(index.apps()).collect::<BTreeSet<_>>().into_iter().collect()
}
