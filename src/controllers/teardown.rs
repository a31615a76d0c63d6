//! Ends Tasks that shall end: KILL until the end is reported, then the finalizer that held them goes.
//!
//! observe (Tasks with a deletion time; whether Endpoints still name them) → `plan::teardown` → act (KILL; release).
//! A Task is told to end only after it has left Endpoints in a committed write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::objects::{Stored, is};
use super::rest::rest;
use super::session::Signals;
use super::until;
use crate::api::{Endpoints, Revision, Task, labels};
use crate::env::{Env, watch};
use crate::mesos::session::Session;
use crate::mesos::wire::{AgentId, TaskId};
use crate::plan::teardown::{self, Dying, Kill, Plan};
use crate::plan::{Again, ObjectName};
use crate::registry::{Cache, Change, Doc, Key, Snapshot, Write};
use crate::runtime::{Index, Scene, Setback, View, Writer};

/// The most KILLs that wait for their effect.
const IN_FLIGHT: usize = 500;
/// The most releases in one transaction.
const BATCH: usize = 100;
/// From how many Tasks on that shall end a pause follows each pass.
const MANY: u32 = 100;
/// How long it is for each of them: about ten times as long as the pass takes.
const PER_TASK: Duration = Duration::from_micros(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How soon a pass that could not be carried out is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// Tasks that shall end, and the Tasks that Endpoints name.
#[derive(Debug, Default, PartialEq)]
pub(super) struct DyingTasks {
    dying: BTreeSet<Key>,
    /// In how many Endpoints a Task is named, if in any.
    published: BTreeMap<ObjectName, u32>,
}

impl Index for DyingTasks {
    fn apply(&mut self, change: &Change) {
        if is::<Task>(&change.key) {
            match change.new.as_ref().filter(|doc| doc.meta().deletion.is_some()) {
                Some(_) => self.dying.insert(change.key.clone()),
                None => self.dying.remove(&change.key),
            };
        } else if is::<Endpoints>(&change.key) {
            let named = |doc: &Option<Arc<Doc>>| doc.as_ref().map(|doc| named_by(doc)).unwrap_or_default();
            let (before, after) = (named(&change.old), named(&change.new));
            before.difference(&after).for_each(|task| self.unpublish(task));
            after.difference(&before).for_each(|task| *self.published.entry(task.clone()).or_default() += 1);
        }
    }
}

impl DyingTasks {
    fn unpublish(&mut self, task: &ObjectName) {
        if let Some(slices) = self.published.get_mut(task) {
            *slices -= 1;
            if *slices == 0 {
                self.published.remove(task);
            }
        }
    }
}

/// The Tasks that an Endpoints object names.
pub(super) fn named_by(doc: &Doc) -> BTreeSet<ObjectName> {
    let Ok(endpoints) = doc.typed::<Endpoints>() else { return BTreeSet::new() };
    let addresses = endpoints.spec.ready.iter().chain(&endpoints.spec.not_ready);
    let named = |name: &str| ObjectName { namespace: doc.key().namespace.clone(), name: name.into() };
    addresses.map(|address| named(&address.task)).collect()
}

/// The teardown loop.
#[derive(Debug)]
pub(super) struct Teardown {
    env: Env,
    view: View<DyingTasks>,
    writer: Writer,
    session: Session,
    signals: watch::Receiver<Signals>,
    /// When each dying Task was last told to end, in this subscription.
    killed: BTreeMap<ObjectName, Timestamp>,
}

impl Teardown {
    pub(super) fn new(
        env: Env,
        cache: &Arc<Cache>,
        writer: Writer,
        session: Session,
        signals: watch::Receiver<Signals>,
    ) -> Teardown {
        Teardown { env, view: View::open(cache), writer, session, signals, killed: BTreeMap::new() }
    }

    /// Runs for ever.
    pub(super) async fn run(mut self) {
        let mut generation = 0;
        loop {
            let signals = self.signals.borrow_and_update().clone();
            if signals.generation != generation {
                // What was sent on another subscription may be lost.
                self.killed.clear();
                generation = signals.generation;
            }
            let wait = self.pass(signals.subscribed).await.unwrap_or_else(|setback| {
                setback.log("teardown", &"a pass");
                Some(AGAIN)
            });
            // A pass costs as much as there is to end; what comes meanwhile is looked at together.
            let dying = u32::try_from(self.view.scene().index.dying.len()).unwrap_or(u32::MAX);
            if dying >= MANY {
                self.env.sleep(PER_TASK.saturating_mul(dying).min(PAUSE_MAX)).await;
            }
            // A pass looks at all that is dying: what changed does not matter.
            let _news = rest(&self.env, &mut self.view, &mut self.signals, wait).await;
        }
    }

    /// One pass over all dying Tasks; says when to look again even if nothing changes.
    async fn pass(&mut self, subscribed: bool) -> Result<Option<Duration>, Setback> {
        let now = self.env.now();
        let candidates = candidates(self.view.scene())?;
        let alive: BTreeSet<ObjectName> = candidates.iter().map(|it| it.name.clone()).collect();
        self.killed.retain(|task, _| alive.contains(task));
        let dying: Vec<Dying<'_>> = candidates.iter().map(|it| it.dying(&self.killed)).collect();
        let snapshot = teardown::Snapshot { now, dying: &dying, max_in_flight: IN_FLIGHT };
        let Plan { kills, releases, again, .. } = teardown::plan(&snapshot);
        if subscribed && self.writer.term().is_held() {
            self.kill(kills, now).await;
        }
        let scene = self.view.scene().snapshot.clone();
        self.release(&releases, &scene).await?;
        Ok(match again {
            Again::OnChange => None,
            Again::At(at) => Some(until(now, at)),
        })
    }

    async fn kill(&mut self, kills: Vec<Kill>, now: Timestamp) {
        for Kill { task, mesos_task_id, agent_id, grace } in kills {
            let sent = self
                .session
                .kill(TaskId::new(mesos_task_id), Some(AgentId::new(agent_id)), Some(grace))
                .await;
            match sent {
                Ok(()) => {
                    self.killed.insert(task, now);
                }
                Err(error) => tracing::debug!(%task, %error, "not killed: the next subscription repeats it"),
            }
        }
    }

    /// Lets Tasks go that have ended or never began.
    async fn release(&self, releases: &[ObjectName], snapshot: &Snapshot) -> Result<(), Setback> {
        for chunk in releases.chunks(BATCH) {
            let mut tasks = Vec::new();
            for name in chunk {
                tasks.extend(Stored::<Task>::find(snapshot, name)?);
            }
            let patch = |task: &Stored<Task>| json!({"metadata": {"finalizers": released(&task.doc)}});
            let writes: Vec<Write> = tasks.iter().map(|task| task.merge(patch(task))).collect();
            self.writer.commit(writes).await?;
        }
        Ok(())
    }
}

/// The finalizers of a Task without ours; one that nothing else holds is gone with it.
pub(super) fn released(doc: &Doc) -> Vec<String> {
    doc.meta().finalizers.iter().filter(|it| *it != labels::CLUSTER_FINALIZER).cloned().collect()
}

/// A Task that shall end.
struct Candidate {
    name: ObjectName,
    task: Arc<Task>,
    grace: Duration,
    published: bool,
}

impl Candidate {
    fn dying(&self, killed: &BTreeMap<ObjectName, Timestamp>) -> Dying<'_> {
        let Candidate { name, task, grace, published } = self;
        Dying { task, grace: *grace, published: *published, last_kill: killed.get(name).copied() }
    }
}

/// Tasks that shall end and that our finalizer holds.
fn candidates(scene: &Scene<DyingTasks>) -> Result<Vec<Candidate>, Setback> {
    let Scene { snapshot, index } = scene;
    let mut candidates = Vec::new();
    for doc in index.dying.iter().filter_map(|key| snapshot.get(key)) {
        if !doc.meta().finalizers.iter().any(|it| it == labels::CLUSTER_FINALIZER) {
            continue;
        }
        let task = Stored::<Task>::read(doc)?;
        let name = task.name();
        let revision = ObjectName::new(&name.namespace, &task.object.spec.revision);
        let revision = Stored::<Revision>::find(snapshot, &revision)?;
        let kill = revision.map(|it| it.object.spec.template.kill.clone()).unwrap_or_default();
        candidates.push(Candidate {
            published: index.published.contains_key(&name),
            grace: kill.grace_period.duration(),
            task: task.object,
            name,
        });
    }
    Ok(candidates)
}
