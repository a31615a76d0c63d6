//! One App and what belongs to it, as a store and a cluster would keep it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::super::{Action, Dependency, Plan, Snapshot, plan};
use crate::api::{
    App, AppSpec, AppStatus, Binding, Condition, HealthCheck, Maintenance, Phase, ReadinessCheck, Resources,
    Revision, RevisionSpec, Task, TaskSpec, TaskStatus, Template, Time, names,
};
use crate::plan::{after, micro_time};

/// The App `shop/web`, its Revisions and Tasks.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) app: App,
    pub(super) revisions: Vec<Arc<Revision>>,
    pub(super) tasks: Vec<Arc<Task>>,
    pub(super) dependencies: BTreeMap<String, Dependency>,
    pub(super) maintained: BTreeMap<String, Maintenance>,
}

/// A template that differs by its command, with a health and a readiness check.
pub(super) fn template(cmd: &str) -> Template {
    Template {
        cmd: Some(cmd.into()),
        health_checks: vec![HealthCheck::default()],
        readiness_checks: vec![ReadinessCheck::default()],
        ..Template::default()
    }
}

impl World {
    /// An App that wants so many instances of `template("new")`, and nothing else yet.
    pub(super) fn new(instances: u32) -> Self {
        let spec = AppSpec { instances, template: template("new"), ..AppSpec::default() };
        let mut app = App::new("web", spec);
        app.metadata.namespace = Some("shop".into());
        app.metadata.uid = Some("uid-1".into());
        app.metadata.generation = Some(1);
        app.metadata.finalizers = Some(vec![crate::api::labels::TASKS_FINALIZER.into()]);
        Self {
            now: Timestamp::from_second(1000).unwrap(),
            app,
            revisions: Vec::new(),
            tasks: Vec::new(),
            dependencies: BTreeMap::new(),
            maintained: BTreeMap::new(),
        }
    }

    pub(super) fn plan(&self) -> Plan {
        plan(&Snapshot {
            now: self.now,
            app: &self.app,
            revisions: &self.revisions,
            tasks: &self.tasks,
            dependencies: &self.dependencies,
            maintained: &self.maintained,
        })
    }

    pub(super) fn current(&self) -> String {
        names::revision_name("web", &names::template_hash(&self.app.spec.template))
    }

    pub(super) fn advance(&mut self, seconds: u64) {
        self.now = after(self.now, Duration::from_secs(seconds));
    }

    /// Adds the Revision of `template(cmd)`; its name.
    pub(super) fn revision(&mut self, cmd: &str, number: u64) -> String {
        let template = template(cmd);
        let hash = names::template_hash(&template);
        let name = names::revision_name("web", &hash);
        let spec = RevisionSpec { app: "web".into(), number, hash, template };
        self.revisions.push(Arc::new(Revision::new(&name, spec)));
        name
    }

    /// Adds a Task in a state given in one word (`pending`, `ready`, …), started `@second`.
    pub(super) fn task(&mut self, name: &str, revision: &str, slot: u32, state: &str) {
        let (state, started) = state.split_once('@').unwrap_or((state, "0"));
        let spec = TaskSpec { app: "web".into(), revision: revision.into(), slot, ..TaskSpec::default() };
        let mut task = Task::new(name, spec);
        let started: i64 = started.parse().unwrap();
        task.spec.binding = (state != "pending").then(|| self.binding(name));
        let mut status = TaskStatus::default();
        let long_ago = micro_time(Timestamp::from_second(1).unwrap());
        match state {
            "pending" => {}
            "bound" => status.phase = Phase::Bound,
            "launching" => status.phase = Phase::Launching,
            "failed" => status.phase = Phase::Failed,
            _ => {
                status.phase = Phase::Running;
                status.started_at = Some(Time(Timestamp::from_second(started).unwrap()));
                status.healthy = match state {
                    "running" => None,
                    "unhealthy" => Some(false),
                    _ => Some(true),
                };
                status.ready = !matches!(state, "running" | "healthy");
            }
        }
        match state {
            "stopping" => task.spec.stop = Some(stop("Test", self.now)),
            "deleted" => task.metadata.deletion_timestamp = Some(Time(self.now)),
            "cutoff" => (status.reachable, status.unreachable_since) = (false, Some(micro_time(self.now))),
            "givenup" => (status.reachable, status.unreachable_since) = (false, Some(long_ago)),
            _ => {}
        }
        task.status = Some(status);
        self.tasks.push(Arc::new(task));
    }

    pub(super) fn binding(&self, name: &str) -> Binding {
        Binding {
            agent_id: "agent-1".into(),
            host: "node-1".into(),
            offer_id: "offer-1".into(),
            resources: Resources::default(),
            revocable: Vec::new(),
            ports: Vec::new(),
            bound_at: micro_time(self.now),
            mesos_task_id: format!("shop.{name}.0a1b2c3d"),
            executor_id: None,
        }
    }

    /// Changes one Task in place.
    pub(super) fn change(&mut self, name: &str, change: impl FnOnce(&mut Task)) {
        let task = self.tasks.iter_mut().find(|it| it.metadata.name.as_deref() == Some(name)).unwrap();
        change(Arc::make_mut(task));
    }

    /// Carries a plan out, as the store would.
    pub(super) fn apply(&mut self, plan: &Plan) {
        for action in &plan.actions {
            match action {
                Action::CreateRevision(revision) => self.revisions.push(Arc::from(revision.clone())),
                Action::RenumberRevision { name, number } => {
                    let found = self.revisions.iter_mut().find(|it| it.metadata.name.as_ref() == Some(name));
                    Arc::make_mut(found.unwrap()).spec.number = *number;
                }
                Action::RemoveRevision { name } => {
                    self.revisions.retain(|it| it.metadata.name.as_ref() != Some(name));
                }
                Action::CreateTask(task) => {
                    let taken = self.tasks.iter().any(|it| it.metadata.name == task.metadata.name);
                    assert!(!taken, "a task of that name exists: {:?}", task.metadata.name);
                    self.tasks.push(Arc::from(task.clone()));
                }
                Action::StopTask { name, stop } => {
                    let now = self.now;
                    self.change(name, |task| {
                        task.spec.stop = Some(stop.clone());
                        task.metadata.deletion_timestamp.get_or_insert(Time(now));
                    });
                }
                Action::RecordEnd { name, stop } => {
                    self.change(name, |task| task.spec.stop = Some(stop.clone()));
                }
                Action::HoldApp => {
                    let finalizer = crate::api::labels::TASKS_FINALIZER.to_owned();
                    self.app.metadata.finalizers.get_or_insert_default().push(finalizer);
                }
                Action::ReleaseApp => self.app.metadata.finalizers = None,
            }
        }
        self.app.status = Some(plan.status.clone());
    }

    pub(super) fn status(&self) -> AppStatus {
        self.app.status.clone().unwrap_or_default()
    }

    pub(super) fn condition(&self, type_: &str) -> Condition {
        self.status().conditions.into_iter().find(|it| it.type_ == type_).unwrap()
    }
}

pub(super) fn stop(reason: &str, now: Timestamp) -> crate::api::Stop {
    crate::api::Stop { reason: reason.into(), message: "told to".into(), at: micro_time(now) }
}
