//! Ends what runs in the name of this installation without being owned by a stored Task.
//!
//! observe (updates about tasks that the store does not know, handed on by the status writer) → `plan::orphans`, against a
//! read of the store made after they were reported → act (KILL, or stop and say so). The view may have missed an event, so
//! the store itself is asked about each task before it is ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::objects::{key, resource};
use super::status::{find, is_alive, is_bound_as, name_of};
use crate::api::{Task, labels};
use crate::mesos::session::Session;
use crate::mesos::wire::{AgentId, TaskId, TaskStatus};
use crate::plan::orphans::{self, Reported, Verdict};
use crate::registry::Registry;
use crate::runtime::Term;

/// How long reports are gathered before they are judged together: many at once are another matter than one.
const GATHER: Duration = Duration::from_secs(2);
/// The most reports that are judged together.
const BATCH: usize = 10_000;

/// The loop of orphans.
#[derive(Debug)]
pub(super) struct Orphans {
    pub(super) registry: Arc<Registry>,
    pub(super) session: Session,
    pub(super) term: Term,
    /// The installation's uid.
    pub(super) installation: Arc<str>,
    pub(super) strangers: mpsc::Receiver<TaskStatus>,
}

impl Orphans {
    /// Runs for ever.
    pub(super) async fn run(mut self) {
        while let Some(first) = self.strangers.recv().await {
            let mut reports = BTreeMap::from([(first.task_id.clone(), first)]);
            let until = tokio::time::Instant::now() + GATHER;
            while let Ok(Some(next)) = tokio::time::timeout_at(until, self.strangers.recv()).await {
                reports.insert(next.task_id.clone(), next);
                if reports.len() >= BATCH {
                    break;
                }
            }
            self.judge(reports.into_values().collect()).await;
        }
    }

    /// Judges what was reported. Trouble on the way ends in nothing: the next reconciliation reports it again.
    async fn judge(&self, reports: Vec<TaskStatus>) {
        let Ok(snapshot) = self.registry.cache().most_recent().await else { return };
        // What the cluster does not know or cannot reach is not ended by telling it to; it is reported again when it is back.
        let live = reports.iter().filter(|status| is_alive(status));
        let reported: Vec<Reported> = live.map(|status| self.reported(status)).collect();
        let is_owned =
            |id: &str| find(&TaskId::new(id), &snapshot).is_some_and(|task| !task.object.is_terminal());
        let owned = snapshot.count(&resource::<Task>());
        match orphans::judge(&reported, &self.installation, is_owned, owned, false) {
            Verdict::Kill(orphans) => self.kill(orphans).await,
            Verdict::Ask { orphans, limit } => tracing::error!(
                orphans = orphans.len(),
                limit,
                "more tasks run without being owned than are ended without asking: is this the right store?"
            ),
        }
    }

    /// A master reports the tasks of our own framework only, and its own reports carry no labels: without labels a task is
    /// ours, with labels they say whose it is.
    fn reported(&self, status: &TaskStatus) -> Reported {
        let installation = match status.labels.as_ref().filter(|labels| !labels.labels.is_empty()) {
            Some(given) => given.get(labels::INSTALLATION).map(ToOwned::to_owned),
            None => Some(self.installation.to_string()),
        };
        Reported {
            mesos_task_id: status.task_id.value.clone(),
            agent_id: status.agent_id.as_ref().map(|id| id.value.clone()),
            installation,
        }
    }

    /// Whether the store has a Task that is bound under this id and has not ended. While it does not answer, that may be.
    async fn is_owned(&self, mesos_task_id: &str) -> bool {
        let Some(key) = name_of(mesos_task_id).map(|name| key::<Task>(&name)) else { return false };
        match self.registry.stored(&key).await {
            Ok(doc) => doc.is_some_and(|doc| match doc.typed::<Task>() {
                Ok(task) => !task.is_terminal() && is_bound_as(&task, mesos_task_id),
                Err(_unreadable) => true,
            }),
            Err(error) => {
                tracing::debug!(%error, task = mesos_task_id, "not known whether it is owned: it will be reported again");
                true
            }
        }
    }

    async fn kill(&self, orphans: Vec<Reported>) {
        for orphan in orphans {
            if !self.term.is_held() {
                return;
            }
            if self.is_owned(&orphan.mesos_task_id).await {
                tracing::warn!(
                    task = orphan.mesos_task_id,
                    "the view has missed that a stored Task owns this"
                );
                continue;
            }
            tracing::warn!(task = orphan.mesos_task_id, "ending a task that no stored Task owns");
            let agent = orphan.agent_id.map(AgentId::new);
            if let Err(error) = self.session.kill(TaskId::new(orphan.mesos_task_id), agent, None).await {
                tracing::debug!(%error, "orphan not killed: it will be reported again");
            }
        }
    }
}
