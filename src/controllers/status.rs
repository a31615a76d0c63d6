//! Keeps each Task's status level with what the cluster reports.
//!
//! observe (updates, in batches; the Tasks they speak of) → `plan::status` → act (one transaction per batch, then
//! ACKNOWLEDGE) → report (an Event per failure). An update about a Task that the store does not know, or that says that one runs
//! whose end is stored, is acknowledged, too, and goes to whoever judges orphans.
//!
//! A watch may lose an event. So it is the store itself that says that a Task is unknown, and what it holds where the view seems
//! to be behind without end.
//!
//! # Guarantees
//! - Nothing is acknowledged before what it says is committed, or was found to be stored already.
//! - While the store is down nothing is acknowledged; agents send again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::join_all;
use tokio::sync::mpsc;

use super::ends::Ends;
use super::events::{Happening, Recorder};
use super::objects::{self, Stored, is, key, typed_difference};
use super::runner::Runner;
use crate::api::{Phase, Task, TaskStatus};
use crate::env::Env;
use crate::mesos::session::Session;
use crate::mesos::wire;
use crate::plan::ObjectName;
use crate::registry::{Cache, Snapshot, Write};
use crate::runtime::{Backoff, Setback, Writer};

/// The most updates in one transaction: each may bring an Event with it.
const BATCH: usize = 60;
/// The most updates that are stored and acknowledged together.
const AT_ONCE: usize = 240;

/// The task status writer.
#[derive(Debug)]
pub(super) struct StatusWriter {
    pub(super) env: Env,
    pub(super) cache: Arc<Cache>,
    pub(super) writer: Writer,
    pub(super) recorder: Recorder,
    pub(super) session: Session,
    pub(super) ends: Ends,
    /// Who runs the tasks: what they are run by may be what failed.
    pub(super) runner: Runner,
    pub(super) updates: mpsc::Receiver<wire::TaskStatus>,
    /// To whoever judges orphans; what does not fit is reported again by the next reconciliation.
    pub(super) strangers: mpsc::Sender<wire::TaskStatus>,
}

/// What a batch is merged with: a view, and the Tasks about which the store itself was asked.
struct Sight {
    snapshot: Snapshot,
    asked: BTreeMap<ObjectName, Option<Stored<Task>>>,
}

impl Sight {
    /// The Task that Mesos knows by `id`.
    fn find(&self, id: &wire::TaskId) -> Option<Stored<Task>> {
        match self.asked.get(&name_of(&id.value)?) {
            Some(stored) => stored.clone().filter(|task| is_bound_as(&task.object, &id.value)),
            None => find(id, &self.snapshot),
        }
    }

    /// Moves on to `recent`. What was asked of the store is forgotten: it may have changed.
    fn renew(&mut self, recent: Snapshot) -> Snapshot {
        self.asked.clear();
        std::mem::replace(&mut self.snapshot, recent)
    }
}

/// The updates of one batch about one Task.
struct Told {
    task: Stored<Task>,
    /// None while they say nothing new.
    after: Option<TaskStatus>,
}

impl StatusWriter {
    /// Runs for ever.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::with_capacity(AT_ONCE);
        while self.updates.recv_many(&mut batch, AT_ONCE).await > 0 {
            self.take_in(&batch).await;
            batch.clear();
        }
    }

    /// Stores and acknowledges `updates`, however long it takes.
    async fn take_in(&self, updates: &[wire::TaskStatus]) {
        let mut failures = 0;
        let mut sight = Sight { snapshot: self.cache.snapshot(), asked: BTreeMap::new() };
        while let Err(setback) = self.store(updates, &mut sight).await {
            if planted!("acknowledged-before-stored") {
                break;
            }
            setback.log("status", &updates.len());
            failures += 1;
            self.env.sleep(Backoff::RETRY.after(failures, &self.env)).await;
            if let Err(setback) = self.look_again(&setback, &mut sight).await {
                setback.log("status", &updates.len());
            }
        }
        let stored = if planted!("never-acknowledges") { &[] } else { updates };
        let acknowledged = join_all(stored.iter().map(|update| self.session.acknowledge(update))).await;
        for (update, result) in stored.iter().zip(acknowledged) {
            if let Err(error) = result {
                tracing::debug!(task = %update.task_id, %error, "update not acknowledged: it will come again");
            }
        }
    }

    /// Moves on to the present after `setback`. Tasks that have changed by the store's account and not in the view are read from
    /// the store.
    async fn look_again(&self, setback: &Setback, sight: &mut Sight) -> Result<(), Setback> {
        let recent = self.cache.most_recent().await.map_err(Setback::Store)?;
        let seen = sight.renew(recent);
        let Setback::Stale { losers } = setback else { return Ok(()) };
        let version = |snapshot: &Snapshot, key| snapshot.get(key).map(|doc| doc.revision());
        let hidden = losers.iter().filter(|it| is::<Task>(it));
        let hidden = hidden.filter(|it| version(&seen, it) == version(&sight.snapshot, it));
        let hidden: Vec<ObjectName> = hidden.map(objects::name_of).collect();
        self.ask(hidden, sight).await
    }

    /// Asks the store itself about these Tasks.
    async fn ask(&self, names: Vec<ObjectName>, sight: &mut Sight) -> Result<(), Setback> {
        let keys: Vec<_> = names.iter().map(key::<Task>).collect();
        let answers = join_all(keys.iter().map(|key| self.writer.registry().stored(key))).await;
        for (name, answer) in names.into_iter().zip(answers) {
            let doc = answer.map_err(Setback::Store)?.map(Arc::new);
            sight.asked.insert(name, doc.as_ref().map(Stored::read).transpose()?);
        }
        Ok(())
    }

    async fn store(&self, updates: &[wire::TaskStatus], sight: &mut Sight) -> Result<(), Setback> {
        let is_unknown = |update: &&wire::TaskStatus, sight: &Sight| sight.find(&update.task_id).is_none();
        if updates.iter().any(|update| is_unknown(&update, sight)) {
            // It may have been written by us a moment ago, or the watch has lost it: only the store knows who is a stranger.
            sight.renew(self.cache.most_recent().await.map_err(Setback::Store)?);
            let unknown = updates.iter().filter(|update| is_unknown(update, sight));
            let unknown: BTreeSet<_> = unknown.filter_map(|it| name_of(&it.task_id.value)).collect();
            self.ask(unknown.into_iter().collect(), sight).await?;
        }
        let mut told: BTreeMap<ObjectName, Told> = BTreeMap::new();
        let mut strangers = Vec::new();
        for update in updates {
            match sight.find(&update.task_id) {
                Some(task) if task.object.is_terminal() && is_alive(update) => strangers.push(update),
                Some(task) => self.merge(&mut told, task, update, &sight.snapshot),
                None => strangers.push(update),
            }
        }
        let told: Vec<Told> = told.into_values().collect();
        // The store commits together what waits together.
        for committed in join_all(told.chunks(BATCH).map(|chunk| self.commit(chunk, &sight.snapshot))).await {
            committed?;
        }
        self.env.seam("status-committed");
        for stranger in strangers {
            // A full queue is no loss: the next reconciliation reports it again.
            let _full = self.strangers.try_send(stranger.clone());
        }
        Ok(())
    }

    fn merge(
        &self,
        told: &mut BTreeMap<ObjectName, Told>,
        task: Stored<Task>,
        update: &wire::TaskStatus,
        snapshot: &Snapshot,
    ) {
        let mut name = task.name();
        if planted!("each-update-is-a-write") {
            name.name = format!("{}-{}", name.name, told.len()).into();
        }
        let told = told.entry(name).or_insert_with(|| Told { task, after: None });
        let present = (&*told.task.object, told.after.as_ref());
        let after = super::updates::merge(present, update, &self.runner, snapshot, self.env.now());
        told.after = after.or_else(|| told.after.take());
    }

    async fn commit(&self, told: &[Told], snapshot: &Snapshot) -> Result<(), Setback> {
        let now = self.env.now();
        let mut writes: Vec<Write> = Vec::new();
        for Told { task, after } in told {
            let Some(after) = after else { continue };
            let before = task.object.status.clone().unwrap_or_default();
            let Some(patch) = typed_difference(&before, after)? else { continue };
            writes.push(task.merge(serde_json::json!({"status": patch})));
            if after.phase != before.phase && task.object.spec.stop.is_none() {
                writes.extend(self.recorder.writes(
                    snapshot,
                    task,
                    bad_end(after).into_iter().collect(),
                    now,
                ));
            }
        }
        self.writer.commit(writes).await?;
        for Told { task, after } in told {
            let Some(after) = after.as_ref().filter(|it| it.phase.is_terminal()) else { continue };
            if !task.object.is_terminal() {
                self.ends.count(after.phase, after.reason.as_deref());
            }
        }
        Ok(())
    }
}

/// What people hear of a task that failed or was lost: Mesos's words. Its reason is told with them where they may leave it open what
/// happened: of what is lost, and where a limit was passed.
fn bad_end(after: &TaskStatus) -> Option<Happening> {
    let (word, otherwise) = match after.phase {
        Phase::Failed => ("TaskFailed", "the task failed"),
        Phase::Lost => ("TaskLost", "the task is lost"),
        _ => return None,
    };
    let message = after.message.as_deref().unwrap_or(otherwise);
    let is_open = |reason: &&str| after.phase == Phase::Lost || reason.contains("LIMITATION");
    Some(match after.reason.as_deref().filter(is_open) {
        Some(reason) => Happening::warning(word, format!("{message} ({reason})")),
        None => Happening::warning(word, message),
    })
}

/// Whether it says that the task runs, or soon will. One whose end is stored has no business to.
pub(super) fn is_alive(update: &wire::TaskStatus) -> bool {
    use wire::TaskState::{Running, Staging, Starting};
    matches!(update.state(), Staging | Starting | Running)
}

/// The Task that Mesos knows by `id`, if it is stored and bound under that id.
pub(super) fn find(id: &wire::TaskId, snapshot: &Snapshot) -> Option<Stored<Task>> {
    let name = name_of(&id.value)?;
    let task = Stored::<Task>::read(snapshot.get(&key::<Task>(&name))?).ok()?;
    is_bound_as(&task.object, &id.value).then_some(task)
}

/// Whether Mesos knows `task` by `id`.
pub(super) fn is_bound_as(task: &Task, id: &str) -> bool {
    task.spec.binding.as_ref().is_some_and(|binding| binding.mesos_task_id == id)
}

/// `<namespace>.<task>.<uid>`: the Task that a Mesos task id speaks of. Neither part contains a dot.
pub(super) fn name_of(id: &str) -> Option<ObjectName> {
    let (namespace, rest) = id.split_once('.')?;
    let (task, _uid) = rest.rsplit_once('.')?;
    Some(ObjectName::new(namespace, task))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_task_that_is_lost_or_was_too_greedy_mesoss_reason_is_told() {
        let rows = [
            (Phase::Failed, "REASON_COMMAND_EXECUTOR_FAILED", Some("TaskFailed: because")),
            (
                Phase::Failed,
                "REASON_CONTAINER_LIMITATION_DISK",
                Some("TaskFailed: because (REASON_CONTAINER_LIMITATION_DISK)"),
            ),
            (Phase::Lost, "REASON_AGENT_REMOVED", Some("TaskLost: because (REASON_AGENT_REMOVED)")),
            (Phase::Finished, "", None),
            (Phase::Running, "", None),
        ];
        for (phase, reason, told) in rows {
            let (message, reason) = (Some("because".to_owned()), Some(reason.to_owned()));
            let happening = bad_end(&TaskStatus { phase, message, reason, ..TaskStatus::default() });
            assert!(happening.as_ref().is_none_or(|it| it.type_ == "Warning"));
            let words = happening.map(|it| format!("{}: {}", it.reason, it.message));
            assert_eq!(words.as_deref(), told);
        }
    }
}
