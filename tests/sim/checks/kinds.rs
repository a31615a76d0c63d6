//! Looking our kinds up in a snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;

use tenure::api::{App, Task};
use tenure::registry::{Change, Doc, Key, Resource, Snapshot};

/// Tasks by name.
pub(crate) type Tasks = BTreeMap<String, Arc<Task>>;

pub(crate) fn resource(plural: &str) -> Resource {
    Resource::new("tenure.dev", plural)
}

pub(crate) fn typed<K: serde::de::DeserializeOwned + Send + Sync + 'static>(
    doc: &Arc<Doc>,
) -> Option<Arc<K>> {
    doc.typed::<K>().ok()
}

pub(crate) fn app(snapshot: &Snapshot, namespace: &str, name: &str) -> Option<Arc<App>> {
    typed(snapshot.get(&Key::new(&resource("apps"), namespace, name))?)
}

pub(crate) fn task(snapshot: &Snapshot, namespace: &str, name: &str) -> Option<Arc<Task>> {
    typed(snapshot.get(&Key::new(&resource("tasks"), namespace, name))?)
}

/// Every Task.
pub(crate) fn tasks(snapshot: &Snapshot) -> impl Iterator<Item = Arc<Task>> {
    snapshot.list(&resource("tasks"), None).filter_map(typed::<Task>).collect::<Vec<_>>().into_iter()
}

/// The Tasks of an App.
pub(crate) fn of_app(snapshot: &Snapshot, namespace: &str, app: &str) -> Tasks {
    let docs = snapshot.list(&resource("tasks"), Some(namespace));
    let tasks = docs.filter_map(|doc| Some((doc.key().name.to_string(), typed::<Task>(doc)?)));
    tasks.filter(|(_, task)| task.spec.app == app).collect()
}

/// Counts take Tasks that are not unreachable or lost in the store.
pub(crate) fn is_live(task: &Task) -> bool {
    !task.is_terminal() && task.status.as_ref().is_none_or(|status| status.reachable)
}

/// A change of a Task: what it was, and what it is.
pub(super) struct TaskChange<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) old: Option<Arc<Task>>,
    pub(super) new: Arc<Task>,
}

/// The changes of Tasks that exist afterwards.
pub(super) fn task_changes(changes: &[Change]) -> impl Iterator<Item = TaskChange<'_>> {
    let of_tasks = changes.iter().filter(|it| it.key.resource.plural() == "tasks");
    of_tasks.filter_map(|change| {
        let (old, new) = (change.old.as_ref().and_then(typed::<Task>), typed::<Task>(change.new.as_ref()?)?);
        Some(TaskChange { namespace: &change.key.namespace, name: &change.key.name, old, new })
    })
}
