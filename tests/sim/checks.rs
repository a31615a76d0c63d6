//! What must always hold (design section 8), asserted at every change of the store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tenure::api::{App, Phase, Task};
use tenure::env::Env;
use tenure::plan::deployment::Bounds;
use tenure::registry::{Cache, Change, Doc, Snapshot};

/// What was found wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    broken: Vec<String>,
}

type Tasks = BTreeMap<String, Arc<Task>>;

impl Checks {
    /// Watches `cache` from now on.
    pub(crate) fn start(env: &Env, cache: &Arc<Cache>) -> Arc<Mutex<Checks>> {
        let checks: Arc<Mutex<Checks>> = Arc::default();
        let (mut snapshot, mut changes) = cache.follow(None);
        let found = checks.clone();
        env.spawn("checks", async move {
            while let Ok(changes) = changes.next().await {
                // All changes of one transaction are one step.
                for step in changes.chunk_by(|a, b| a.revision == b.revision) {
                    let before = snapshot.clone();
                    step.iter().for_each(|change| snapshot.apply(change));
                    found.lock().unwrap().check(&before, &snapshot, step);
                }
            }
        });
        checks
    }

    /// Fails if anything was found wrong.
    pub(crate) fn assert(&self) {
        assert!(self.broken.is_empty(), "{}", self.broken.join("\n"));
    }

    fn check(&mut self, before: &Snapshot, after: &Snapshot, step: &[Arc<Change>]) {
        for change in step.iter().filter(|it| it.key.resource.plural() == "tasks") {
            let old = change.old.as_ref().and_then(typed::<Task>);
            let Some(new) = change.new.as_ref().and_then(typed::<Task>) else { continue };
            let (phase, state) = (new.phase(), new.status.as_ref().and_then(|it| it.state.clone()));
            let agent = new.spec.binding.as_ref().map(|it| it.agent_id.clone());
            tracing::debug!(key = %change.key, revision = change.revision, ?phase, ?state, ?agent, "task");
            let namespace = &change.key.namespace;
            let app = after.get(&app_key(namespace, &new.spec.app)).and_then(typed::<App>);
            let (was, is) =
                (of_app(before, namespace, &new.spec.app), of_app(after, namespace, &new.spec.app));
            if old.is_none()
                && let Some(app) = &app
            {
                self.live_tasks_stay_within_capacity(app, &is);
                self.slot_has_one_task_but_for_a_replacement(&new, &is);
            }
            if let Some(app) = &app
                && stopped_by_rollout(old.as_deref(), &new)
            {
                self.update_keeps_enough_serving(app, &new, &was, &is);
            }
            self.deletion_has_a_reason(old.as_deref(), &new);
            self.end_is_final(old.as_deref(), &new);
        }
        self.no_port_is_given_twice(after);
    }

    fn fail(&mut self, message: String) {
        self.broken.push(message);
    }

    fn live_tasks_stay_within_capacity(&mut self, app: &App, tasks: &Tasks) {
        let live = tasks.values().filter(|it| is_live(it)).count();
        let capacity = Bounds::of(&app.spec).capacity;
        // A scale-down leaves tasks that are told to end; nothing is added to them.
        let kept = tasks.values().filter(|it| is_live(it) && it.spec.stop.is_none()).count();
        if live > capacity && kept > capacity {
            self.fail(format!("{live} tasks of {:?} live, {capacity} allowed", app.metadata.name));
        }
    }

    fn slot_has_one_task_but_for_a_replacement(&mut self, new: &Task, tasks: &Tasks) {
        let name = new.metadata.name.as_deref().unwrap_or_default();
        for (other, task) in tasks {
            let same = task.spec.slot == new.spec.slot && other != name;
            let replaced = new.spec.replaces.as_deref() == Some(other.as_str());
            if same && is_live(task) && task.spec.stop.is_none() && !replaced {
                self.fail(format!("slot {} has both {other} and {name}", new.spec.slot));
            }
        }
    }

    fn update_keeps_enough_serving(&mut self, app: &App, stopped: &Task, before: &Tasks, after: &Tasks) {
        let serving = |tasks: &Tasks| tasks.values().filter(|it| serves(it)).count();
        let (was, is) = (serving(before), serving(after));
        let minimum = Bounds::of(&app.spec).minimum;
        if is < was && is < minimum {
            let name = stopped.metadata.name.as_deref().unwrap_or_default();
            self.fail(format!("stopping {name} leaves {is} serving (there were {was}), {minimum} must"));
        }
    }

    fn deletion_has_a_reason(&mut self, old: Option<&Task>, new: &Task) {
        let begun = new.metadata.deletion_timestamp.is_some()
            && old.is_some_and(|old| old.metadata.deletion_timestamp.is_none());
        if begun && new.spec.stop.is_none() && !new.is_terminal() {
            self.fail(format!("{:?} is deleted without a reason", new.metadata.name));
        }
    }

    fn end_is_final(&mut self, old: Option<&Task>, new: &Task) {
        if old.is_some_and(Task::is_terminal) && !new.is_terminal() {
            self.fail(format!("{:?} came back from its end", new.metadata.name));
        }
    }

    fn no_port_is_given_twice(&mut self, snapshot: &Snapshot) {
        let mut given: BTreeMap<(String, u16), String> = BTreeMap::new();
        let resource = tenure::registry::Resource::new("tenure.dev", "tasks");
        for task in snapshot.list(&resource, None).filter_map(typed::<Task>).filter(|it| is_live(it)) {
            let name = task.metadata.name.clone().unwrap_or_default();
            let Some(binding) = &task.spec.binding else { continue };
            for port in binding.ports.iter().filter(|port| **port != 0) {
                if let Some(other) = given.insert((binding.agent_id.clone(), *port), name.clone()) {
                    self.fail(format!("port {port} of {} is given to {other} and {name}", binding.agent_id));
                }
            }
        }
    }
}

fn typed<K: serde::de::DeserializeOwned + Send + Sync + 'static>(doc: &Arc<Doc>) -> Option<Arc<K>> {
    doc.typed::<K>().ok()
}

fn app_key(namespace: &str, name: &str) -> tenure::registry::Key {
    tenure::registry::Key::new(&tenure::registry::Resource::new("tenure.dev", "apps"), namespace, name)
}

fn of_app(snapshot: &Snapshot, namespace: &str, app: &str) -> Tasks {
    let resource = tenure::registry::Resource::new("tenure.dev", "tasks");
    let docs = snapshot.list(&resource, Some(namespace));
    let tasks = docs.filter_map(|doc| Some((doc.key().name.to_string(), typed::<Task>(doc)?)));
    tasks.filter(|(_, task)| task.spec.app == app).collect()
}

/// Counts take Tasks that are not unreachable or lost in the store.
fn is_live(task: &Task) -> bool {
    !task.is_terminal() && task.status.as_ref().is_none_or(|status| status.reachable)
}

fn serves(task: &Task) -> bool {
    let status = task.status.clone().unwrap_or_default();
    is_live(task)
        && task.phase() == Phase::Running
        && task.spec.stop.is_none()
        && status.ready
        && status.healthy != Some(false)
}

/// Whether this change stops a Task for a reason of Tenure's own making.
fn stopped_by_rollout(old: Option<&Task>, new: &Task) -> bool {
    let newly = old.is_some_and(|old| old.spec.stop.is_none());
    let reason = new.spec.stop.as_ref().map(|stop| stop.reason.as_str());
    newly && matches!(reason, Some("Replaced" | "Surplus" | "ScaledDown"))
}
