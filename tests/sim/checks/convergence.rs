//! Once faults stop and people leave it alone, the world is as wanted, everywhere: not a moment's property but the end's.

use std::collections::BTreeSet;
use std::sync::Arc;

use tenure::api::{App, Endpoints, Phase, Task};
use tenure::registry::{Cache, Snapshot};

use super::kinds::{resource, tasks, typed};
use super::{Reality, Scene};

/// The first thing that is not as wanted.
pub(crate) fn unsettled<'a>(
    scene: &Scene,
    reality: &Reality,
    views: impl Iterator<Item = (&'a str, &'a Arc<Cache>)>,
) -> Option<String> {
    if scene.term.is_none() {
        return Some("nobody leads".to_owned());
    }
    let apps: Vec<_> = scene.objects.list(&resource("apps"), None).filter_map(typed::<App>).collect();
    apps.iter()
        .find_map(|app| app_unsettled(app, &scene.objects))
        .or_else(|| tasks_unsettled(&apps, &scene.objects))
        .or_else(|| machines_unsettled(&scene.objects, reality))
        .or_else(|| views_unsettled(&scene.objects, views))
}

fn app_unsettled(app: &App, snapshot: &Snapshot) -> Option<String> {
    let name = app.metadata.name.as_deref().unwrap_or_default();
    let namespace = app.metadata.namespace.as_deref().unwrap_or_default();
    let status = app.status.clone().unwrap_or_default();
    if app.metadata.deletion_timestamp.is_some() {
        return Some(format!("{name} is still there"));
    }
    if status.observed_generation != app.metadata.generation {
        return Some(format!("{name}'s last change was not seen"));
    }
    if !status.conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True") {
        return Some(format!("{name} is not ready: {}", serde_json::to_string(&status).unwrap_or_default()));
    }
    let all = super::of_app(snapshot, namespace, name);
    let live: Vec<(&String, &Arc<Task>)> = all.iter().filter(|(_, task)| !task.is_terminal()).collect();
    if live.len() != app.spec.instances as usize {
        return Some(format!("{name} has {} of {} instances", live.len(), app.spec.instances));
    }
    if let Some((task, _)) = live.iter().find(|(_, it)| {
        it.spec.stop.is_some()
            || it.phase() != Phase::Running
            || Some(&it.spec.revision) != status.revision.as_ref()
    }) {
        return Some(format!("{task} is not what {name} wants"));
    }
    let ready = published(snapshot, namespace, name);
    let wanted: BTreeSet<String> = live.iter().map(|(task, _)| (*task).clone()).collect();
    (ready != wanted).then(|| format!("{name} publishes {ready:?} instead of {wanted:?}"))
}

/// The Tasks whose addresses an App publishes as ready.
fn published(snapshot: &Snapshot, namespace: &str, app: &str) -> BTreeSet<String> {
    let docs = snapshot.list(&resource("endpoints"), Some(namespace));
    let endpoints = docs.filter_map(typed::<Endpoints>).filter(|it| it.spec.app == app);
    endpoints.flat_map(|it| it.spec.ready.iter().map(|it| it.task.clone()).collect::<Vec<_>>()).collect()
}

fn tasks_unsettled(apps: &[Arc<App>], snapshot: &Snapshot) -> Option<String> {
    let owned = |task: &Task| apps.iter().any(|app| app.metadata.name.as_ref() == Some(&task.spec.app));
    let stray = tasks(snapshot).find(|task| !owned(task));
    stray.map(|task| format!("{:?} is left of {}", task.metadata.name, task.spec.app))
}

/// What runs is what the store owns.
fn machines_unsettled(snapshot: &Snapshot, reality: &Reality) -> Option<String> {
    let owned: BTreeSet<String> = tasks(snapshot)
        .filter(|task| !task.is_terminal())
        .filter_map(|task| Some(task.spec.binding.as_ref()?.mesos_task_id.clone()))
        .collect();
    let alive = reality.alive();
    (alive != owned).then(|| format!("{alive:?} run, and {owned:?} are owned"))
}

/// Every server sees what the store holds: the first that does not.
pub(crate) fn views_unsettled<'a>(
    truth: &Snapshot,
    views: impl Iterator<Item = (&'a str, &'a Arc<Cache>)>,
) -> Option<String> {
    let versions = |snapshot: &Snapshot| -> Vec<_> {
        snapshot.iter().map(|doc| (doc.key().clone(), doc.revision())).collect()
    };
    let truth = versions(truth);
    let mut wrong = views.filter(|(_, cache)| versions(&cache.snapshot()) != truth);
    wrong.next().map(|(server, _)| format!("{server} sees something else than the store holds"))
}
