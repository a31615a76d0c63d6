//! Which Tasks, Revisions and Endpoints belong to each App, and which Apps depend on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::objects::{Stored, is, name_of, resource};
use crate::api::resource::Kind;
use crate::api::{App, labels};
use crate::plan::ObjectName;
use crate::registry::{Change, Doc, Key};
use crate::runtime::{Index, Scene, Setback};

/// The index of the loops that look at one App at a time.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ByApp {
    members: BTreeMap<ObjectName, BTreeMap<Key, Arc<Doc>>>,
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
        let owner_of = |doc: &Option<Arc<Doc>>| doc.as_ref().and_then(|doc| owner(doc));
        let (before, after) = (owner_of(&change.old), owner_of(&change.new));
        if let Some(app) = before.filter(|app| after.as_ref() != Some(app))
            && let Some(parts) = self.members.get_mut(&app)
        {
            parts.remove(&change.key);
            if parts.is_empty() {
                self.members.remove(&app);
            }
        }
        if let (Some(app), Some(doc)) = (after, &change.new) {
            self.members.entry(app).or_default().insert(change.key.clone(), doc.clone());
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

/// The App that `doc` is a part of, by its label.
fn owner(doc: &Doc) -> Option<ObjectName> {
    let app = doc.meta().labels.get(labels::APP)?;
    let ours = doc.key().resource.group() == crate::api::GROUP;
    ours.then(|| ObjectName { namespace: doc.key().namespace.clone(), name: Arc::from(app.as_str()) })
}

/// The Apps that an App depends on; none for one that cannot be read, about which nothing is decided.
fn dependencies(doc: &Doc) -> Vec<ObjectName> {
    let Ok(app) = doc.typed::<App>() else { return Vec::new() };
    app.spec.depends_on.iter().map(|name| ObjectName::new(&doc.key().namespace, name)).collect()
}

impl ByApp {
    /// The `K`s of `app`, in order of their names.
    pub(super) fn parts<K: Kind>(&self, app: &ObjectName) -> Result<Vec<Stored<K>>, Setback> {
        let first = Key::new(&resource::<K>(), &app.namespace, "");
        let parts = self.members.get(app).into_iter().flat_map(|parts| parts.range(first.clone()..));
        parts.take_while(|(key, _)| is::<K>(key)).map(|(_, doc)| Stored::read(doc)).collect()
    }

    /// The Apps that a change concerns: the App itself and those that depend on it, or the one it is a part of.
    pub(super) fn concerned(&self, change: &Change) -> Vec<ObjectName> {
        if is::<App>(&change.key) {
            let app = name_of(&change.key);
            let dependents = self.dependents.get(&app).into_iter().flatten().cloned();
            return dependents.chain([app.clone()]).collect();
        }
        let owners = [&change.old, &change.new].into_iter().flatten().filter_map(|doc| owner(doc));
        owners.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// Every App that exists or has parts left.
pub(super) fn all_apps(scene: &Scene<ByApp>) -> Vec<ObjectName> {
    let apps = scene.snapshot.list(&resource::<App>(), None).map(|doc| name_of(doc.key()));
    apps.chain(scene.index.members.keys().cloned()).collect::<BTreeSet<_>>().into_iter().collect()
}
