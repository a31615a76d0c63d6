//! All objects of all kinds as they were at one revision.
//!
//! Maps are copy-on-write: taking a snapshot is O(1), and it never changes afterwards.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use super::doc::Doc;
use super::key::{Key, Resource};
use crate::store::Revision;

/// A consistent view of everything at [`Snapshot::revision`].
#[derive(Clone, Default)]
pub struct Snapshot {
    /// The revision that this shows; 0 before the first list of the store.
    pub revision: Revision,
    /// No empty map stands in here.
    kinds: OrdMap<Resource, OrdMap<Key, Arc<Doc>>>,
}

/// One step from one snapshot to the next: `old` was replaced by `new`. Both are there for a modification, only `new`
/// for a creation, only `old` for a deletion, whose revision is `revision`.
#[derive(Debug, Clone)]
pub struct Change {
    pub revision: Revision,
    pub key: Key,
    pub old: Option<Arc<Doc>>,
    pub new: Option<Arc<Doc>>,
}

impl Snapshot {
    /// A snapshot of exactly `docs`: for tests of what reads snapshots.
    #[must_use]
    pub fn of(revision: Revision, docs: impl IntoIterator<Item = Arc<Doc>>) -> Snapshot {
        let mut snapshot = Snapshot { revision, ..Snapshot::default() };
        for doc in docs {
            snapshot.put(doc);
        }
        snapshot
    }

    /// The object called `key`.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Arc<Doc>> {
        self.kinds.get(&key.resource)?.get(key)
    }

    /// All objects of `resource`, of one namespace if it is given, in key order.
    pub fn list<'s>(
        &'s self,
        resource: &Resource,
        namespace: Option<&'s str>,
    ) -> impl Iterator<Item = &'s Arc<Doc>> + use<'s> {
        self.range(resource, namespace, Key::new(resource, namespace.unwrap_or(""), ""))
    }

    /// As [`Snapshot::list`], from after `after` on.
    pub fn list_after<'s>(
        &'s self,
        after: &Key,
        namespace: Option<&'s str>,
    ) -> impl Iterator<Item = &'s Arc<Doc>> + use<'s> {
        let same = move |doc: &&Arc<Doc>, after: &Key| doc.key() == after;
        let after = after.clone();
        self.range(&after.resource.clone(), namespace, after.clone()).skip_while(move |doc| same(doc, &after))
    }

    fn range<'s>(
        &'s self,
        resource: &Resource,
        namespace: Option<&'s str>,
        from: Key,
    ) -> impl Iterator<Item = &'s Arc<Doc>> + use<'s> {
        let docs = self.kinds.get(resource).map(move |kind| kind.range(from..)).into_iter().flatten();
        docs.map(|(_, doc)| doc)
            .take_while(move |doc| namespace.is_none_or(|name| *doc.key().namespace == *name))
    }

    /// How many objects of `resource` there are.
    #[must_use]
    pub fn count(&self, resource: &Resource) -> usize {
        self.kinds.get(resource).map_or(0, OrdMap::len)
    }

    /// The resources of which there is an object, in order.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.kinds.keys()
    }

    /// Every object of every kind, in key order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Doc>> {
        self.kinds.values().flat_map(|kind| kind.values())
    }

    /// Every object strictly between two keys, in key order.
    pub(super) fn between<'s>(
        &'s self,
        after: Option<&Key>,
        before: Option<&Key>,
    ) -> impl Iterator<Item = &'s Arc<Doc>> + use<'s> {
        let (after, before) = (after.cloned(), before.cloned());
        let from = after.clone();
        let kinds = match from {
            Some(key) => self.kinds.range::<_, Resource>(key.resource..),
            None => self.kinds.range::<_, Resource>(..),
        };
        let docs = kinds.flat_map(move |(_, kind)| match after.clone() {
            Some(key) => kind.range::<_, Key>((Bound::Excluded(key), Bound::Unbounded)),
            None => kind.range::<_, Key>(..),
        });
        docs.map(|(_, doc)| doc).take_while(move |doc| before.as_ref().is_none_or(|key| doc.key() < key))
    }

    /// The steps from this snapshot to `later`, one per object, in key order. What the two share is skipped, so this
    /// costs about as much as there is between them.
    #[must_use]
    pub fn steps_to(&self, later: &Snapshot) -> Vec<Arc<Change>> {
        let none = OrdMap::new();
        let kinds =
            self.kinds.keys().chain(later.kinds.keys().filter(|kind| !self.kinds.contains_key(*kind)));
        let kinds =
            kinds.map(|kind| (self.kinds.get(kind).unwrap_or(&none), later.kinds.get(kind).unwrap_or(&none)));
        let mut steps = Vec::new();
        for (before, after) in kinds {
            steps.extend(before.diff(after).map(|item| {
                let (key, old, new) = match item {
                    DiffItem::Add(key, new) => (key, None, Some(new)),
                    DiffItem::Update { old: (_, old), new: (key, new) } => (key, Some(old), Some(new)),
                    DiffItem::Remove(key, old) => (key, Some(old), None),
                };
                let revision = new.map_or(later.revision, |doc| doc.revision());
                Arc::new(Change { revision, key: key.clone(), old: old.cloned(), new: new.cloned() })
            }));
        }
        steps
    }

    /// Takes one step. The step must begin where this snapshot stands.
    pub fn apply(&mut self, change: &Change) {
        debug_assert_eq!(
            self.get(&change.key).map(|doc| doc.revision()),
            change.old.as_ref().map(|doc| doc.revision()),
            "a change begins where the snapshot stands"
        );
        match &change.new {
            Some(doc) => self.put(doc.clone()),
            None => self.remove(&change.key),
        }
        self.revision = self.revision.max(change.revision);
    }

    pub(super) fn put(&mut self, doc: Arc<Doc>) {
        let key = doc.key().clone();
        self.kinds.entry(key.resource.clone()).or_default().insert(key, doc);
    }

    fn remove(&mut self, key: &Key) {
        let Some(kind) = self.kinds.get_mut(&key.resource) else { return };
        kind.remove(key);
        if kind.is_empty() {
            self.kinds.remove(&key.resource);
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.kinds.iter().map(|(resource, docs)| (resource, docs.len()));
        write!(f, "@{} ", self.revision)?;
        f.debug_map().entries(counts).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doc(namespace: &str, name: &str, revision: Revision) -> Arc<Doc> {
        let key = Key::new(&Resource::new("tenure.dev", "apps"), namespace, name);
        Arc::new(Doc::from_stored(key, revision, br#"{"metadata":{}}"#).unwrap())
    }

    fn names<'s>(docs: impl Iterator<Item = &'s Arc<Doc>>) -> Vec<String> {
        docs.map(|doc| format!("{}/{}", doc.key().namespace, doc.key().name)).collect()
    }

    #[test]
    fn lists_are_in_key_order_and_can_be_paged() {
        let apps = Resource::new("tenure.dev", "apps");
        let docs = [("b", "x"), ("a", "y"), ("a", "x"), ("a-b", "z")].map(|(ns, name)| doc(ns, name, 1));
        let snapshot = Snapshot::of(1, docs);
        assert_eq!(names(snapshot.list(&apps, None)), ["a-b/z", "a/x", "a/y", "b/x"]);
        assert_eq!(names(snapshot.list(&apps, Some("a"))), ["a/x", "a/y"]);
        assert_eq!(names(snapshot.list_after(&Key::new(&apps, "a", "x"), Some("a"))), ["a/y"]);
        assert_eq!(names(snapshot.list_after(&Key::new(&apps, "a", "xx"), None)), ["a/y", "b/x"]);
        assert_eq!(snapshot.count(&apps), 4);
        assert_eq!(snapshot.count(&Resource::new("", "apps")), 0);
    }

    #[test]
    fn steps_lead_from_any_snapshot_to_any_later_one() {
        let before = Snapshot::of(5, [doc("a", "same", 1), doc("a", "old", 2), doc("a", "gone", 3)]);
        let secret = Key::new(&Resource::new("", "secrets"), "a", "s");
        let secret = Arc::new(Doc::from_stored(secret, 8, br#"{"metadata":{}}"#).unwrap());
        let after = Snapshot::of(9, [doc("a", "same", 1), doc("a", "old", 7), doc("a", "new", 9), secret]);
        for (from, to) in [(&before, &after), (&after, &before)] {
            let mut walked = from.clone();
            from.steps_to(to).iter().for_each(|step| walked.apply(step));
            assert_eq!(walked.steps_to(to).len(), 0);
            assert_eq!(from.steps_to(to).len(), 4);
            let docs = |snapshot: &Snapshot| {
                snapshot.iter().map(|doc| (doc.key().clone(), doc.revision())).collect::<Vec<_>>()
            };
            assert_eq!(docs(&walked), docs(to));
        }
    }

    #[test]
    fn a_snapshot_never_changes_once_taken() {
        let mut now = Snapshot::of(1, [doc("a", "x", 1)]);
        let before = now.clone();
        let old = before.get(doc("a", "x", 1).key()).cloned();
        now.apply(&Change { revision: 2, key: doc("a", "x", 1).key().clone(), old, new: None });
        assert_eq!((before.iter().count(), before.revision), (1, 1));
        assert_eq!((now.iter().count(), now.revision, now.resources().count()), (0, 2, 0));
    }
}
