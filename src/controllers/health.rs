//! Stops Tasks that are unhealthy, cut off for too long, or overdue. Writes no status.
//!
//! observe (one Task, its template, its App's wishes) → `plan::health` → act (`spec.stop`) → report (Events about Task and App).

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use super::by_app::ByApp;
use super::events::{Happening, Recorder};
use super::objects::{Stored, is, name_of, resource, stop_patch};
use super::silent::Silent;
use super::teardown::released;
use super::until;
use crate::api::{App, Phase, Revision, Stop, Task, Unreachable};
use crate::env::Env;
use crate::plan::health::{self, Limits, Verdict};
use crate::plan::{Again, ObjectName};
use crate::registry::{Change, Doc};
use crate::runtime::{Done, Reconciler, Requeue, Scene, Setback, Writer};

/// The health loop.
#[derive(Debug)]
pub(super) struct Health {
    pub(super) env: Env,
    pub(super) writer: Writer,
    pub(super) recorder: Recorder,
    pub(super) limits: Limits,
    /// Launches that somebody asks the cluster about.
    pub(super) silent: Silent,
}

#[async_trait]
impl Reconciler for Health {
    type Key = ObjectName;
    type Index = ByApp;
    const NAME: &'static str = "health";

    fn concerned(&self, change: &Change, scene: &Scene<ByApp>) -> Vec<ObjectName> {
        if is::<Task>(&change.key) {
            return vec![name_of(&change.key)];
        }
        let apps = if is::<App>(&change.key) && spec_changed(change) {
            // Its wishes about cut-off instances may have changed.
            vec![name_of(&change.key)]
        } else if is::<Revision>(&change.key) && change.old.is_none() {
            // A late view may have shown Tasks before it: they could not be judged.
            scene.index.concerned(change)
        } else {
            return Vec::new();
        };
        let tasks = apps.iter().flat_map(|app| scene.index.parts::<Task>(app).unwrap_or_default());
        tasks.map(|task| task.name()).collect()
    }

    fn all(&self, scene: &Scene<ByApp>) -> Vec<ObjectName> {
        scene.snapshot.list(&resource::<Task>(), None).map(|doc| name_of(doc.key())).collect()
    }

    async fn reconcile(&self, name: &ObjectName, scene: &Scene<ByApp>) -> Result<Done, Setback> {
        let Some(task) = Stored::<Task>::find(&scene.snapshot, name)? else {
            self.silent.forget(name);
            return Ok(Done::IDLE);
        };
        if task.object.phase() != Phase::Bound {
            self.silent.forget(name);
        }
        let revision = ObjectName::new(&name.namespace, &task.object.spec.revision);
        let Some(revision) = Stored::<Revision>::find(&scene.snapshot, &revision)? else {
            return Ok(Done::IDLE);
        };
        let unreachable = self.unreachable(&task, scene)?;
        let now = self.env.now();
        let template = &revision.object.spec.template;
        let asked = self.silent.asked(name);
        match health::judge(&task.object, template, &unreachable, &self.limits, asked, now) {
            Verdict::Ask(at) => {
                let binding = task.object.spec.binding.as_ref();
                binding.into_iter().for_each(|binding| self.silent.name(name, binding));
                Ok(Done::IDLE.again_after(until(now, at)))
            }
            Verdict::Fine(Again::OnChange) => Ok(Done::IDLE),
            Verdict::Fine(Again::At(at)) => Ok(Done::IDLE.again_after(until(now, at))),
            Verdict::Stop(stop) => {
                let patch = stop_patch(&stop, &task.doc);
                self.stop(&task, &stop, patch, scene, now).await
            }
            Verdict::Forget(stop) => {
                let mut patch = stop_patch(&stop, &task.doc);
                patch["metadata"]["finalizers"] = released(&task.doc).into();
                self.stop(&task, &stop, patch, scene, now).await
            }
        }
    }
}

impl Health {
    async fn stop(
        &self,
        task: &Stored<Task>,
        stop: &Stop,
        patch: Value,
        scene: &Scene<ByApp>,
        now: Timestamp,
    ) -> Result<Done, Setback> {
        let happening = Happening::warning(&stop.reason, stop.message.clone());
        let mut writes = vec![task.merge(patch)];
        writes.extend(self.recorder.writes(&scene.snapshot, task, vec![happening], now));
        // The Task goes; people look at the App. Named, so that no two Tasks count up one Event.
        if let Some(app) = self.app(task, scene)? {
            let message = format!("task {}: {}", task.name().name, stop.message);
            let happening = Happening::warning(&stop.reason, message);
            writes.extend(self.recorder.writes(&scene.snapshot, &app, vec![happening], now));
        }
        let written = self.writer.commit(writes).await?.revision;
        self.env.seam("stopped");
        Ok(Done { requeue: Requeue::OnChange, written })
    }

    fn unreachable(&self, task: &Stored<Task>, scene: &Scene<ByApp>) -> Result<Unreachable, Setback> {
        Ok(self.app(task, scene)?.map(|app| app.object.spec.unreachable.clone()).unwrap_or_default())
    }

    fn app(&self, task: &Stored<Task>, scene: &Scene<ByApp>) -> Result<Option<Stored<App>>, Setback> {
        let name = ObjectName::new(&task.name().namespace, &task.object.spec.app);
        Stored::<App>::find(&scene.snapshot, &name)
    }
}

fn spec_changed(change: &Change) -> bool {
    let generation = |doc: &Option<Arc<Doc>>| doc.as_ref().map(|doc| doc.meta().generation);
    generation(&change.old) != generation(&change.new)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::labels;
    use crate::controllers::objects::key;
    use crate::registry::Snapshot;
    use crate::runtime::{Index, leading as writer_of_a_term};

    fn doc<K: crate::api::Kind>(name: &str, spec: &Value) -> Arc<Doc> {
        let name = ObjectName::new("shop", name);
        let object = json!({"apiVersion": "tenure.dev/v1", "kind": K::DEFINITION.kind, "spec": spec,
            "metadata": {"namespace": "shop", "name": &*name.name, "labels": {labels::APP: "web"}}});
        Arc::new(Doc::from_stored(key::<K>(&name), 1, object.to_string().as_bytes()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_that_were_seen_before_their_revision_are_judged_once_it_is_there() {
        let env = Env::simulated("health", 1, Timestamp::UNIX_EPOCH);
        let writer = writer_of_a_term(&env).await;
        let recorder = Recorder { host: "here".into() };
        let health = Health { env, writer, recorder, limits: Limits::default(), silent: Silent::default() };
        let task = doc::<Task>("web-1-a", &json!({"app": "web", "revision": "web-1", "slot": 0}));
        let revision =
            doc::<Revision>("web-1", &json!({"app": "web", "number": 1, "hash": "1", "template": {}}));
        let snapshot = Snapshot::of(1, [task.clone(), revision.clone()]);
        let scene = Scene { index: ByApp::of(&snapshot), snapshot };
        let appears = Change { revision: 1, key: revision.key().clone(), old: None, new: Some(revision) };
        assert_eq!(health.concerned(&appears, &scene), [name_of(task.key())]);
        let changes = Change { old: appears.new.clone(), ..appears };
        assert_eq!(health.concerned(&changes, &scene), []);
    }
}
