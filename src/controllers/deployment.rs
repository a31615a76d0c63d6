//! Keeps each App's Revisions, Tasks and status as its spec wants them.
//!
//! observe (the App, its Revisions, Tasks and dependencies, plans for their machines) → `plan::deployment` → act (one transaction, guarded by the App's
//! version and by those of the Tasks that it counts on: that go on serving, or that are given up) → report (Events in the same
//! transaction).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::by_app::{ByApp, all_apps};
use super::events::Recorder;
use super::objects::{Stored, create, stop_patch, typed_difference};
use super::places::Places;
use super::until;
use crate::api::{App, Maintenance, Revision, Task, labels};
use crate::env::Env;
use crate::plan::deployment::{self, Action, Dependency, Plan};
use crate::plan::{Again, ObjectName};
use crate::registry::{Change, Key, Write};
use crate::runtime::{Done, Index, Reconciler, Requeue, Scene, Setback, Writer};

/// The deployment loop.
#[derive(Debug)]
pub(super) struct Deployment {
    pub(super) env: Env,
    pub(super) writer: Writer,
    pub(super) recorder: Recorder,
}

/// What belongs to which App, and where it is.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Layout {
    apps: ByApp,
    places: Places,
}

impl Index for Layout {
    fn apply(&mut self, change: &Change) {
        self.apps.apply(change);
        self.places.apply(change);
    }
}

#[async_trait]
impl Reconciler for Deployment {
    type Key = ObjectName;
    type Index = Layout;
    const NAME: &'static str = "deployment";

    fn concerned(&self, change: &Change, scene: &Scene<Layout>) -> Vec<ObjectName> {
        let of_machine = scene.index.places.concerned(change);
        scene.index.apps.concerned(change).into_iter().chain(of_machine).collect()
    }

    /// Apps whose present spec nobody has looked at come first: a new leader has many, and people wait for these.
    fn all(&self, scene: &Scene<Layout>) -> Vec<ObjectName> {
        let mut apps = all_apps(&scene.snapshot, &scene.index.apps);
        apps.sort_by_cached_key(|name| is_observed(name, scene));
        apps
    }

    async fn reconcile(&self, name: &ObjectName, scene: &Scene<Layout>) -> Result<Done, Setback> {
        let Some(observed) = Observed::of(name, scene)? else { return Ok(Done::IDLE) };
        let now = self.env.now();
        let plan = deployment::plan(&observed.snapshot(now));
        let mut writes = observed.writes(&plan)?;
        if !writes.is_empty() {
            let happenings = super::events::of_deployment(&observed.app.object, &plan);
            writes.extend(self.recorder.writes(&scene.snapshot, &observed.app, happenings, now));
            self.hold(&observed.tasks_named(&plan.relies_on), &mut writes).await?;
        }
        let written = self.writer.commit(writes).await?.revision;
        if !plan.actions.is_empty() {
            self.env.seam("planned");
        }
        let requeue = match plan.again {
            Again::OnChange => Requeue::OnChange,
            Again::At(at) => Requeue::After(until(now, at)),
        };
        Ok(Done { requeue, written })
    }
}

impl Deployment {
    /// Makes sure that `relied_on` are as they were seen when `writes` are committed: with a late view or a slow commit one of them
    /// may have ceased to serve, or be back, meanwhile.
    ///
    /// They are guarded in the transaction. Of an App that has more of them than a transaction can guard, they are compared
    /// with the store's present state instead: then the time in which one may change unseen is that of this commit alone,
    /// however old the view is.
    async fn hold(&self, relied_on: &[&Stored<Task>], writes: &mut Vec<Write>) -> Result<(), Setback> {
        if relied_on.is_empty() || planted!("nobody-is-held") {
            return Ok(());
        }
        let registry = self.writer.registry();
        if writes.len() + relied_on.len() <= registry.limits().ops_max {
            writes.extend(relied_on.iter().map(|task| task.guard()));
            return Ok(());
        }
        let recent = registry.cache().most_recent().await.map_err(Setback::Store)?;
        let is_as_seen = |task: &Stored<Task>| {
            recent.get(task.doc.key()).is_some_and(|doc| doc.revision() == task.doc.revision())
        };
        let changed = relied_on.iter().filter(|task| !is_as_seen(task));
        let losers: Vec<Key> = changed.map(|task| task.doc.key().clone()).collect();
        if losers.is_empty() { Ok(()) } else { Err(Setback::Stale { losers }) }
    }
}

/// Whether the App's status speaks of its present spec.
fn is_observed(name: &ObjectName, scene: &Scene<Layout>) -> bool {
    let app = Stored::<App>::find(&scene.snapshot, name).ok().flatten();
    app.is_none_or(|app| {
        let observed = app.object.status.as_ref().and_then(|status| status.observed_generation);
        observed == app.object.metadata.generation
    })
}

/// One App and everything that its plan looks at, at one revision.
struct Observed {
    app: Stored<App>,
    revisions: Vec<Stored<Revision>>,
    tasks: Vec<Stored<Task>>,
    revision_objects: Vec<Arc<Revision>>,
    task_objects: Vec<Arc<Task>>,
    dependencies: BTreeMap<String, Dependency>,
    maintained: BTreeMap<String, Maintenance>,
}

impl Observed {
    fn of(name: &ObjectName, scene: &Scene<Layout>) -> Result<Option<Observed>, Setback> {
        let Scene { snapshot, index } = scene;
        let Some(app) = Stored::<App>::find(snapshot, name)? else { return Ok(None) };
        let revisions = index.apps.parts::<Revision>(name)?;
        let tasks = index.apps.parts::<Task>(name)?;
        let mut dependencies = BTreeMap::new();
        for other in &app.object.spec.depends_on {
            let other_app = Stored::<App>::find(snapshot, &ObjectName::new(&name.namespace, other))?;
            dependencies.insert(other.clone(), Dependency::of(other_app.as_ref().map(|app| &*app.object)));
        }
        let maintained = index.places.maintained(tasks.iter().map(|it| &*it.object));
        Ok(Some(Observed {
            revision_objects: revisions.iter().map(|it| it.object.clone()).collect(),
            task_objects: tasks.iter().map(|it| it.object.clone()).collect(),
            app,
            revisions,
            tasks,
            dependencies,
            maintained,
        }))
    }

    fn snapshot(&self, now: jiff::Timestamp) -> deployment::Snapshot<'_> {
        deployment::Snapshot {
            now,
            app: &self.app.object,
            revisions: &self.revision_objects,
            tasks: &self.task_objects,
            dependencies: &self.dependencies,
            maintained: &self.maintained,
        }
    }

    /// The plan as one transaction. It is guarded by the App's version even where the App itself stays as it is.
    fn writes(&self, plan: &Plan) -> Result<Vec<Write>, Setback> {
        let mut writes = Vec::new();
        for action in &plan.actions {
            writes.extend(self.write(action)?);
        }
        match self.app_patch(plan)? {
            Some(patch) => writes.push(self.app.merge(patch)),
            None if !writes.is_empty() => writes.push(self.app.guard()),
            None => {}
        }
        Ok(writes)
    }

    /// The write of one action on another object than the App.
    fn write(&self, action: &Action) -> Result<Option<Write>, Setback> {
        Ok(match action {
            Action::CreateRevision(revision) => Some(create(&**revision)?),
            Action::RenumberRevision { name, number } => {
                self.revision(name).map(|it| it.merge(json!({"spec": {"number": number}})))
            }
            Action::RemoveRevision { name } => self.revision(name).map(Stored::remove),
            Action::CreateTask(task) => Some(create(&**task)?),
            Action::StopTask { name, stop } => self.task(name).map(|it| it.merge(stop_patch(stop, &it.doc))),
            Action::RecordEnd { name, stop } => {
                self.task(name).map(|it| it.merge(json!({"spec": {"stop": stop}})))
            }
            Action::HoldApp | Action::ReleaseApp => None,
        })
    }

    /// What the plan changes of the App itself: its status and the finalizer that holds it.
    fn app_patch(&self, plan: &Plan) -> Result<Option<Value>, Setback> {
        // The first status is written whole: that nothing runs yet is news, too.
        let status = typed_difference(&self.app.object.status, &Some(&plan.status))?;
        let mut finalizers = self.app.doc.meta().finalizers.to_vec();
        for action in &plan.actions {
            match action {
                Action::HoldApp => finalizers.push(labels::TASKS_FINALIZER.to_owned()),
                Action::ReleaseApp => finalizers.retain(|it| it != labels::TASKS_FINALIZER),
                _ => {}
            }
        }
        let mut patch = json!({});
        if let Some(status) = status {
            patch["status"] = status;
        }
        if finalizers[..] != self.app.doc.meta().finalizers[..] {
            patch["metadata"] = json!({"finalizers": finalizers});
        }
        Ok((patch != json!({})).then_some(patch))
    }

    fn revision(&self, name: &str) -> Option<&Stored<Revision>> {
        self.revisions.iter().find(|it| &*it.doc.key().name == name)
    }

    fn task(&self, name: &str) -> Option<&Stored<Task>> {
        self.tasks.iter().find(|it| &*it.doc.key().name == name)
    }

    /// The Tasks of these names, in one pass: there may be thousands.
    fn tasks_named(&self, names: &[String]) -> Vec<&Stored<Task>> {
        let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        self.tasks.iter().filter(|it| names.contains(&*it.doc.key().name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::objects::resource;
    use crate::registry::Fence;
    use crate::runtime::leading as writer_of_a_term;

    fn task(number: usize) -> Value {
        json!({"apiVersion": "tenure.dev/v1", "kind": "Task",
            "metadata": {"namespace": "shop", "name": format!("web-{number}"), "finalizers": [labels::CLUSTER_FINALIZER]},
            "spec": {"app": "web", "revision": "web-1", "slot": number},
            "status": {"phase": "Running", "ready": true}})
    }

    /// A loop that leads, and `count` Tasks as it has seen them.
    async fn leading(env: &Env, count: usize) -> (Deployment, Vec<Stored<Task>>) {
        let writer = writer_of_a_term(env).await;
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
        let all: Vec<Value> = std::iter::once(namespace).chain((0..count).map(task)).collect();
        for value in all {
            writer.commit(vec![Write::Create { value }]).await.unwrap();
        }
        let snapshot = writer.registry().cache().most_recent().await.unwrap();
        let seen = snapshot.list(&resource::<Task>(), None).map(|doc| Stored::read(doc).unwrap()).collect();
        let recorder = Recorder { host: "here".into() };
        (Deployment { env: env.clone(), writer, recorder }, seen)
    }

    /// One Task fails behind the loop's back; returns its key.
    async fn fail(deployment: &Deployment, task: &Stored<Task>) -> Key {
        let failed = task.merge(json!({"status": {"phase": "Failed"}}));
        deployment.writer.registry().commit(&Fence::none(), vec![failed]).await.unwrap();
        task.doc.key().clone()
    }

    fn losers(held: Result<(), Setback>) -> Vec<Key> {
        match held {
            Err(Setback::Stale { losers }) => losers,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn more_that_serve_than_a_transaction_can_guard_are_compared_with_the_store() {
        let env = Env::simulated("a", 1, jiff::Timestamp::UNIX_EPOCH);
        let (deployment, seen) = leading(&env, 140).await;
        let serving: Vec<&Stored<Task>> = seen.iter().collect();
        let mut writes = Vec::new();
        deployment.hold(&serving, &mut writes).await.unwrap();
        assert!(writes.is_empty(), "{} guards would be too many", writes.len());
        let failed = fail(&deployment, &seen[133]).await;
        assert_eq!(losers(deployment.hold(&serving, &mut writes).await), [failed]);
    }

    #[tokio::test(start_paused = true)]
    async fn few_that_serve_are_guarded_by_the_transaction_that_relies_on_them() {
        let env = Env::simulated("a", 2, jiff::Timestamp::UNIX_EPOCH);
        let (deployment, seen) = leading(&env, 3).await;
        let stopped = seen[2].merge(
            json!({"spec": {"stop": {"reason": "Replaced", "message": "x", "at": "1970-01-01T00:00:00Z"}}}),
        );
        let mut writes = vec![stopped];
        deployment.hold(&[&seen[0], &seen[1]], &mut writes).await.unwrap();
        let failed = fail(&deployment, &seen[1]).await;
        assert_eq!(losers(deployment.writer.commit(writes).await.map(|_| ())), [failed]);
    }
}
