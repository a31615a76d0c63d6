//! Deletes what nobody needs any more: dependants without an owner, what is left in a namespace that ends, ended Tasks past
//! their limits; and takes finalizers off that are fulfilled.
//!
//! observe (one object and what refers to it) → `plan::gc` → act (delete, remove a finalizer or an owner reference).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use serde_json::{Value, json};

use super::by_app::ByApp;
use super::objects::is;
use super::until;
use crate::api::{Task, Time, labels};
use crate::env::Env;
use crate::plan::gc::{self, Action, ContentStep, Ended, Object, Owner, OwnerState, Retention};
use crate::plan::{Again, ObjectName};
use crate::registry::builtin::definition;
use crate::registry::{Change, Doc, Key, KindDef, Resource, Scheme, Snapshot, Write};
use crate::runtime::{Done, Index, Reconciler, Requeue, Scene, Setback, Writer};

/// The most objects that are changed in one transaction.
const BATCH: usize = 100;

/// Something that garbage collection looks at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// An object as a dependant, and as an owner.
    Object(Key),
    /// The ended Tasks of an App.
    History(ObjectName),
    /// A namespace that ends.
    Namespace(Arc<str>),
    /// A CustomResourceDefinition that ends.
    Definition(Arc<str>),
}

/// Who belongs to whom.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Owners {
    /// Objects by uid.
    by_uid: BTreeMap<String, Key>,
    /// Objects by the uids of their owners.
    dependants: BTreeMap<String, BTreeSet<Key>>,
    by_app: ByApp,
}

impl Index for Owners {
    fn apply(&mut self, change: &Change) {
        self.by_app.apply(change);
        if let (Some(old), Some(new)) = (&change.old, &change.new)
            && old.meta().uid == new.meta().uid
            && old.meta().owners == new.meta().owners
        {
            return;
        }
        if let Some(doc) = &change.old {
            self.by_uid.remove(&doc.meta().uid);
            for owner in &doc.meta().owners {
                if let Some(keys) = self.dependants.get_mut(&owner.uid) {
                    keys.remove(&change.key);
                    if keys.is_empty() {
                        self.dependants.remove(&owner.uid);
                    }
                }
            }
        }
        if let Some(doc) = &change.new {
            self.by_uid.insert(doc.meta().uid.clone(), change.key.clone());
            for owner in &doc.meta().owners {
                self.dependants.entry(owner.uid.clone()).or_default().insert(change.key.clone());
            }
        }
    }
}

impl Owners {
    /// How the owner of `dependant` is doing. What is in a namespace has owners there or outside of all namespaces.
    fn state(&self, uid: &str, dependant: &Key, snapshot: &Snapshot, scheme: &Scheme) -> OwnerState {
        let owner = self.by_uid.get(uid).filter(|owner| may_own(owner, dependant));
        owner
            .and_then(|key| snapshot.get(key))
            .map_or(OwnerState::Gone, |owner| object(owner, scheme).state())
    }

    /// What belongs to the object with this uid.
    fn dependants(&self, uid: &str) -> impl Iterator<Item = &Key> {
        let owner = self.by_uid.get(uid);
        let all = self.dependants.get(uid).into_iter().flatten();
        all.filter(move |key| owner.is_none_or(|owner| may_own(owner, key)))
    }
}

/// Never across namespaces.
fn may_own(owner: &Key, dependant: &Key) -> bool {
    owner.namespace.is_empty() || owner.namespace == dependant.namespace
}

/// The garbage collector.
#[derive(Debug)]
pub(super) struct Gc {
    pub(super) env: Env,
    pub(super) writer: Writer,
    pub(super) retention: Retention,
}

#[async_trait]
impl Reconciler for Gc {
    type Key = Subject;
    type Index = Owners;
    const NAME: &'static str = "gc";

    fn concerned(&self, change: &Change, scene: &Scene<Owners>) -> Vec<Subject> {
        let Scene { snapshot, index } = scene;
        let mut subjects = Vec::new();
        let docs = || [&change.old, &change.new].into_iter().flatten();
        if change.new.as_ref().is_some_and(|doc| !doc.meta().owners.is_empty() || is_ending(doc))
            && !is_indifferent(change)
        {
            subjects.push(Subject::Object(change.key.clone()));
        }
        if change.new.as_ref().is_none_or(is_ending) {
            for uid in docs().map(|doc| doc.meta().uid.as_str()).collect::<BTreeSet<_>>() {
                subjects.extend(index.dependants(uid).cloned().map(Subject::Object));
            }
        }
        let owners = docs().flat_map(|doc| &doc.meta().owners).filter_map(|it| index.by_uid.get(&it.uid));
        let ending = owners.filter(|key| snapshot.get(key).is_some_and(is_ending));
        subjects.extend(ending.cloned().map(Subject::Object));
        if change.new.as_ref().is_some_and(has_ended)
            && let Some(app) = change.new.as_ref().and_then(|doc| app_of(doc))
        {
            subjects.push(Subject::History(app));
        }
        let namespace =
            if change.key.resource == namespaces() { &change.key.name } else { &change.key.namespace };
        let named = Key { resource: namespaces(), namespace: Arc::default(), name: namespace.clone() };
        if snapshot.get(&named).is_some_and(is_ending) {
            subjects.push(Subject::Namespace(namespace.clone()));
        }
        // Most installations define no kinds, and every change comes by here.
        if snapshot.count(&definitions()) > 0 {
            let definition = definition_of(&change.key);
            if snapshot.get(&definition).is_some_and(is_ending) {
                subjects.push(Subject::Definition(definition.name));
            }
        }
        subjects
    }

    fn all(&self, scene: &Scene<Owners>) -> Vec<Subject> {
        let Scene { snapshot, .. } = scene;
        let mut subjects = BTreeSet::new();
        for doc in snapshot.iter() {
            if !doc.meta().owners.is_empty() || is_ending(doc) {
                subjects.insert(Subject::Object(doc.key().clone()));
            }
            if doc.key().resource == namespaces() && is_ending(doc) {
                subjects.insert(Subject::Namespace(doc.key().name.clone()));
            }
            if doc.key().resource == definitions() && is_ending(doc) {
                subjects.insert(Subject::Definition(doc.key().name.clone()));
            }
            if has_ended(doc) {
                subjects.extend(app_of(doc).map(Subject::History));
            }
        }
        subjects.into_iter().collect()
    }

    async fn reconcile(&self, subject: &Subject, scene: &Scene<Owners>) -> Result<Done, Setback> {
        let (now, scheme) = (self.env.now(), self.writer.registry().scheme());
        let (actions, again) = match subject {
            Subject::Object(key) => (of_object(key, scene, &scheme), Again::OnChange),
            Subject::History(app) => self.of_history(app, scene, now)?,
            Subject::Definition(name) => {
                let Some((definition, step)) = of_definition(name, &scene.snapshot, &scheme) else {
                    return Ok(Done::IDLE);
                };
                match step {
                    ContentStep::Empty(actions) => (actions, Again::OnChange),
                    ContentStep::Wait(_) => return Ok(Done::IDLE),
                    ContentStep::Finish => {
                        let held = definition.key().clone();
                        let finalizer = definition::CLEANUP_FINALIZER.to_owned();
                        (vec![Action::RemoveFinalizer { key: held, finalizer }], Again::OnChange)
                    }
                }
            }
            Subject::Namespace(name) => {
                let Some((namespace, step)) = of_namespace(name, &scene.snapshot, &scheme) else {
                    return Ok(Done::IDLE);
                };
                match step {
                    ContentStep::Empty(actions) => (actions, Again::OnChange),
                    ContentStep::Wait(holds) => return self.tell(namespace, &holds, now).await,
                    ContentStep::Finish => return self.finish(namespace).await,
                }
            }
        };
        let more = actions.len() > BATCH;
        let writes: Vec<Write> =
            actions.iter().take(BATCH).filter_map(|action| write(action, &scene.snapshot, now)).collect();
        let written = self.writer.commit(writes).await?.revision;
        let requeue = match again {
            _ if more => Requeue::After(std::time::Duration::ZERO),
            Again::OnChange => Requeue::OnChange,
            Again::At(at) => Requeue::After(until(now, at)),
        };
        Ok(Done { requeue, written })
    }
}

impl Gc {
    fn of_history(
        &self,
        app: &ObjectName,
        scene: &Scene<Owners>,
        now: Timestamp,
    ) -> Result<(Vec<Action<Key>>, Again), Setback> {
        let tasks = scene.index.by_app.parts::<Task>(app)?;
        let ended = tasks.iter().filter(|it| it.object.is_terminal() && it.doc.meta().deletion.is_none());
        let ended: Vec<Ended<Key>> = ended
            .map(|it| {
                let status = it.object.status.as_ref();
                let finished = status.and_then(|it| it.finished_at.as_ref()).map_or(now, |at| at.0);
                Ended { key: it.doc.key().clone(), finished, counted: it.object.spec.stop.is_some() }
            })
            .collect();
        Ok(gc::history(&ended, &self.retention, now))
    }

    /// Everything in a namespace is on its way out: its condition says what holds it.
    async fn tell(
        &self,
        namespace: &Arc<Doc>,
        holds: &BTreeSet<String>,
        now: Timestamp,
    ) -> Result<Done, Setback> {
        let told = namespace.typed::<Namespace>().map_err(|error| Setback::Unreadable(error.to_string()))?;
        let Some(conditions) = remaining(&told, holds, now) else { return Ok(Done::IDLE) };
        let write =
            Write::Merge { base: namespace.clone(), patch: json!({"status": {"conditions": conditions}}) };
        Ok(Done::wrote(self.writer.commit(vec![write]).await?.revision))
    }

    /// Nothing is left in a namespace that ends: it goes.
    async fn finish(&self, namespace: &Arc<Doc>) -> Result<Done, Setback> {
        let write = Write::Merge { base: namespace.clone(), patch: json!({"spec": {"finalizers": []}}) };
        Ok(Done::wrote(self.writer.commit(vec![write]).await?.revision))
    }
}

/// The conditions of a namespace that finalizers hold; none if they say so already.
fn remaining(
    namespace: &Namespace,
    holds: &BTreeSet<String>,
    now: Timestamp,
) -> Option<Vec<NamespaceCondition>> {
    const REMAINING: &str = "NamespaceFinalizersRemaining";
    let all: Vec<&str> = holds.iter().map(String::as_str).collect();
    let message = format!("Some content in the namespace has finalizers remaining: {}", all.join(", "));
    let mut conditions = namespace.status.as_ref().and_then(|it| it.conditions.clone()).unwrap_or_default();
    let before = conditions.iter().find(|it| it.type_ == REMAINING);
    if before.is_some_and(|it| it.message.as_ref() == Some(&message)) {
        return None;
    }
    let since = before.and_then(|it| it.last_transition_time.clone()).unwrap_or(Time(now));
    conditions.retain(|it| it.type_ != REMAINING);
    conditions.push(NamespaceCondition {
        type_: REMAINING.to_owned(),
        status: "True".to_owned(),
        reason: Some("SomeFinalizersRemain".to_owned()),
        message: Some(message),
        last_transition_time: Some(since),
    });
    Some(conditions)
}

/// Whether a change leaves an object that lives with the owners that it had.
fn is_indifferent(change: &Change) -> bool {
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => !is_ending(new) && old.meta().owners == new.meta().owners,
        _ => false,
    }
}

fn is_ending(doc: &Arc<Doc>) -> bool {
    doc.meta().deletion.is_some()
}

fn has_ended(doc: &Arc<Doc>) -> bool {
    is::<Task>(doc.key()) && doc.typed::<Task>().is_ok_and(|task| task.is_terminal())
}

/// Whether it is a Task that nothing has ended yet.
fn runs(doc: &Arc<Doc>) -> bool {
    is::<Task>(doc.key()) && doc.typed::<Task>().is_ok_and(|it| !it.is_terminal() && it.spec.stop.is_none())
}

fn app_of(doc: &Doc) -> Option<ObjectName> {
    Some(ObjectName::new(&doc.key().namespace, doc.meta().labels.get(labels::APP)?))
}

fn namespaces() -> Resource {
    Resource::new("", "namespaces")
}

fn definitions() -> Resource {
    Resource::new(definition::GROUP, "customresourcedefinitions")
}

/// The definition of the kind that `key` is an object of, or the definition itself.
fn definition_of(key: &Key) -> Key {
    let resource = definitions();
    if key.resource == resource {
        return key.clone();
    }
    Key::new(&resource, "", &format!("{}.{}", key.resource.plural(), key.resource.group()))
}

fn namespace_key(name: &str) -> Key {
    Key::new(&namespaces(), "", name)
}

fn object(doc: &Doc, scheme: &Scheme) -> Object<Key> {
    let meta = doc.meta();
    let owner = |it: &k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference| Owner {
        uid: it.uid.clone(),
        blocks: it.block_owner_deletion == Some(true),
        visible: is_visible(scheme.by_kind(&it.api_version, &it.kind), doc.key()),
    };
    Object {
        key: doc.key().clone(),
        uid: meta.uid.clone(),
        owners: meta.owners.iter().map(owner).collect(),
        deleting: meta.deletion.is_some(),
        finalizers: meta.finalizers.to_vec(),
    }
}

/// Whether owners of this kind can be found. What is in no namespace has no owners in one.
fn is_visible(owner: Option<&Arc<KindDef>>, dependant: &Key) -> bool {
    owner.is_some_and(|kind| !kind.namespaced || !dependant.namespace.is_empty())
}

/// What an object's owners, and as an owner its finalizers, ask for.
fn of_object(key: &Key, scene: &Scene<Owners>, scheme: &Scheme) -> Vec<Action<Key>> {
    let Scene { snapshot, index } = scene;
    let Some(doc) = snapshot.get(key) else { return Vec::new() };
    // Nobody can write what is not served (any more).
    if scheme.by_resource(&key.resource).is_none() {
        return Vec::new();
    }
    let this = object(doc, scheme);
    let mut actions = gc::dependant(&this, |uid| index.state(uid, key, snapshot, scheme));
    if this.deleting {
        let dependants = index.dependants(&this.uid).filter_map(|key| snapshot.get(key));
        let dependants: Vec<Object<Key>> = dependants.map(|doc| object(doc, scheme)).collect();
        actions.extend(gc::owner(&this, &dependants));
    }
    // One write per object and transaction: what is left follows at the next look.
    let mut seen = BTreeSet::new();
    actions.retain(|action| seen.insert(target(action).clone()));
    actions
}

fn of_namespace<'a>(
    name: &str,
    snapshot: &'a Snapshot,
    scheme: &Scheme,
) -> Option<(&'a Arc<Doc>, ContentStep<Key>)> {
    let namespace = snapshot.get(&namespace_key(name)).filter(|doc| is_ending(doc))?;
    let contents = snapshot.resources().flat_map(|it| snapshot.list(it, Some(name)));
    let contents: Vec<Object<Key>> = contents.map(|doc| object(doc, scheme)).collect();
    Some((namespace, gc::content(&contents)))
}

fn of_definition<'a>(
    name: &str,
    snapshot: &'a Snapshot,
    scheme: &Scheme,
) -> Option<(&'a Arc<Doc>, ContentStep<Key>)> {
    let definition = snapshot.get(&Key::new(&definitions(), "", name)).filter(|doc| is_ending(doc))?;
    let (plural, group) = name.split_once('.')?;
    let contents = snapshot.list(&Resource::new(group, plural), None);
    let contents: Vec<Object<Key>> = contents.map(|doc| object(doc, scheme)).collect();
    // What is not served (yet, maybe) cannot be written: the status of its definition will tell when it is.
    let served = scheme.by_resource(&Resource::new(group, plural)).is_some();
    let step = if served || contents.is_empty() {
        gc::content(&contents)
    } else {
        ContentStep::Wait(BTreeSet::new())
    };
    Some((definition, step))
}

fn target(action: &Action<Key>) -> &Key {
    match action {
        Action::Delete { key } | Action::RemoveFinalizer { key, .. } | Action::RemoveOwner { key, .. } => key,
    }
}

fn write(action: &Action<Key>, snapshot: &Snapshot, now: Timestamp) -> Option<Write> {
    let base = snapshot.get(target(action))?.clone();
    let patch = match action {
        Action::Delete { .. } if base.meta().finalizers.is_empty() => return Some(Write::Remove { base }),
        Action::Delete { .. } if runs(&base) => {
            json!({"metadata": {"deletionTimestamp": Time(now)}, "spec": {"stop": gc::ownerless(now)}})
        }
        Action::Delete { .. } => json!({"metadata": {"deletionTimestamp": Time(now)}}),
        Action::RemoveFinalizer { finalizer, .. } => {
            let kept: Vec<&String> = base.meta().finalizers.iter().filter(|it| *it != finalizer).collect();
            json!({"metadata": {"finalizers": kept}})
        }
        Action::RemoveOwner { owner, .. } => json!({"metadata": {"ownerReferences": without(&base, owner)}}),
    };
    Some(Write::Merge { base, patch })
}

/// The owner references without the one of this uid.
fn without(doc: &Doc, owner: &str) -> Value {
    let kept: Vec<_> = doc.meta().owners.iter().filter(|it| it.uid != owner).collect();
    if kept.is_empty() { Value::Null } else { json!(kept) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doc(plural: &str, name: &str, metadata: &Value) -> Arc<Doc> {
        let key = Key::new(&Resource::new("tenure.dev", plural), "shop", name);
        let stored = json!({"metadata": metadata}).to_string();
        Arc::new(Doc::from_stored(key, 1, stored.as_bytes()).unwrap())
    }

    fn scene(docs: Vec<Arc<Doc>>) -> Scene<Owners> {
        let snapshot = Snapshot::of(1, docs);
        Scene { index: Owners::of(&snapshot), snapshot }
    }

    #[test]
    fn dependant_goes_when_its_owner_is_gone_and_stays_while_it_lives() {
        let owner = doc("apps", "web", &json!({"uid": "u1"}));
        let owned = |uid: &str| json!({"uid": "d", "ownerReferences": [{"uid": uid, "name": "web", "kind": "App", "apiVersion": "tenure.dev/v1"}]});
        let living = doc("revisions", "a", &owned("u1"));
        let orphaned = doc("revisions", "b", &owned("u2"));
        let scene = scene(vec![owner, living.clone(), orphaned.clone()]);
        let scheme = Scheme::ours().unwrap();
        assert_eq!(of_object(living.key(), &scene, &scheme), []);
        assert_eq!(
            of_object(orphaned.key(), &scene, &scheme),
            [Action::Delete { key: orphaned.key().clone() }]
        );
    }

    #[test]
    fn object_that_finalizers_hold_is_marked_and_any_other_removed() {
        let held = doc("tasks", "a", &json!({"uid": "1", "finalizers": ["x"]}));
        let free = doc("tasks", "b", &json!({"uid": "2"}));
        let snapshot = Snapshot::of(1, [held.clone(), free.clone()]);
        let delete = |doc: &Arc<Doc>| Action::Delete { key: doc.key().clone() };
        let now = Timestamp::UNIX_EPOCH;
        assert!(matches!(write(&delete(&held), &snapshot, now), Some(Write::Merge { .. })));
        assert!(matches!(write(&delete(&free), &snapshot, now), Some(Write::Remove { .. })));
    }
}
