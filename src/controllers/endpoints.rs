//! Publishes where each App is reached: running, ready Tasks → Endpoints, at most once per 100 ms and App.
//!
//! observe (the App's Tasks, templates and present Endpoints) → `plan::discovery` → act (the difference, one transaction).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::by_app::{ByApp, all_apps};
use super::objects::{Stored, create, is, typed_difference};
use crate::api::{App, Endpoints, Revision, Task, Template};
use crate::env::Env;
use crate::plan::ObjectName;
use crate::plan::discovery;
use crate::registry::{Change, Write};
use crate::runtime::{Done, Reconciler, Requeue, Scene, Setback, Writer};

/// Changes within this time of the last write of an App's Endpoints are published together.
const COALESCE: Duration = Duration::from_millis(100);

/// The endpoints loop.
#[derive(Debug)]
pub(super) struct Publish {
    env: Env,
    writer: Writer,
    /// When an App's Endpoints were last written. Never held across an await.
    written: Mutex<BTreeMap<ObjectName, Instant>>,
}

impl Publish {
    pub(super) fn new(env: Env, writer: Writer) -> Publish {
        Publish { env, writer, written: Mutex::default() }
    }

    /// How long the next write of `app` still has to wait.
    fn rest(&self, app: &ObjectName) -> Option<Duration> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        written.retain(|_, at| *at + COALESCE > now);
        written.get(app).map(|at| *at + COALESCE - now)
    }

    fn wrote(&self, app: &ObjectName) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(app.clone(), Instant::now());
    }
}

#[async_trait]
impl Reconciler for Publish {
    type Key = ObjectName;
    type Index = ByApp;
    const NAME: &'static str = "endpoints";

    fn concerned(&self, change: &Change, scene: &Scene<ByApp>) -> Vec<ObjectName> {
        if is::<App>(&change.key) {
            return vec![super::objects::name_of(&change.key)];
        }
        scene.index.concerned(change)
    }

    fn all(&self, scene: &Scene<ByApp>) -> Vec<ObjectName> {
        all_apps(&scene.snapshot, &scene.index)
    }

    async fn reconcile(&self, name: &ObjectName, scene: &Scene<ByApp>) -> Result<Done, Setback> {
        let Some(app) = Stored::<App>::find(&scene.snapshot, name)? else { return Ok(Done::IDLE) };
        if let Some(rest) = self.rest(name) {
            return Ok(Done::IDLE.again_after(rest));
        }
        let present = scene.index.parts::<Endpoints>(name)?;
        let wanted = wanted(&app, &present, name, scene)?;
        let writes = difference(&present, &wanted)?;
        if writes.is_empty() {
            return Ok(Done::IDLE);
        }
        let written = self.writer.commit(writes).await?.revision;
        self.wrote(name);
        self.env.seam("published");
        Ok(Done { requeue: Requeue::OnChange, written })
    }
}

fn wanted(
    app: &Stored<App>,
    present: &[Stored<Endpoints>],
    name: &ObjectName,
    scene: &Scene<ByApp>,
) -> Result<Vec<Endpoints>, Setback> {
    let revisions = scene.index.parts::<Revision>(name)?;
    let templates: BTreeMap<String, &Template> =
        revisions.iter().map(|it| (it.doc.key().name.to_string(), &it.object.spec.template)).collect();
    let tasks: Vec<Arc<Task>> = scene.index.parts::<Task>(name)?.into_iter().map(|it| it.object).collect();
    let previous: Vec<Arc<Endpoints>> = present.iter().map(|it| it.object.clone()).collect();
    Ok(discovery::endpoints(&discovery::Snapshot {
        app: &app.object,
        templates: &templates,
        tasks: &tasks,
        previous: &previous,
    }))
}

/// The writes that make `present` into `wanted`.
fn difference(present: &[Stored<Endpoints>], wanted: &[Endpoints]) -> Result<Vec<Write>, Setback> {
    let mut writes = Vec::new();
    let name = |endpoints: &Endpoints| endpoints.metadata.name.clone().unwrap_or_default();
    for endpoints in wanted {
        match present.iter().find(|it| *it.doc.key().name == *name(endpoints)) {
            None => writes.push(create(endpoints)?),
            Some(before) if before.object.spec == endpoints.spec => {}
            Some(before) => {
                let patch = typed_difference(&before.object.spec, &endpoints.spec)?;
                writes.extend(patch.map(|spec| before.merge(serde_json::json!({"spec": spec}))));
            }
        }
    }
    let kept: BTreeSet<String> = wanted.iter().map(name).collect();
    writes.extend(present.iter().filter(|it| !kept.contains(&*it.doc.key().name)).map(Stored::remove));
    Ok(writes)
}
