//! Asks the cluster about launches of which nothing was heard for so long that they are about to be given up. `health` names them, again
//! and again, and sees here since when they are asked about; answers come as ordinary updates. What another subscription was asked counts for
//! nothing: its answer may be lost, and a new master may wait for the agent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::session::Signals;
use crate::api::Binding;
use crate::env::{Env, watch};
use crate::mesos::session::Session;
use crate::mesos::wire::{AgentId, TaskId};
use crate::plan::ObjectName;

/// Silent launches by the name of their Task. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Silent {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    launches: Mutex<BTreeMap<ObjectName, Launch>>,
    named: Notify,
}

#[derive(Debug)]
struct Launch {
    task: TaskId,
    agent: AgentId,
    is_due: bool,
    /// When it was first asked about on the present subscription.
    asked: Option<Timestamp>,
}

impl Silent {
    /// The cluster is to be asked about this launch, soon.
    pub(super) fn name(&self, task: &ObjectName, binding: &Binding) {
        let (id, agent) = (TaskId::new(&binding.mesos_task_id), AgentId::new(&binding.agent_id));
        let mut launches = self.launches();
        let asked = launches.get(task).filter(|it| it.task == id).and_then(|it| it.asked);
        launches.insert(task.clone(), Launch { task: id, agent, is_due: true, asked });
        drop(launches);
        self.inner.named.notify_one();
    }

    /// Since when the cluster has been asked about this Task's launch on the present subscription.
    pub(super) fn asked(&self, task: &ObjectName) -> Option<Timestamp> {
        self.launches().get(task)?.asked
    }

    /// The launch of this Task is silent no more, or is none.
    pub(super) fn forget(&self, task: &ObjectName) {
        self.launches().remove(task);
    }

    /// Asks about what was named, for ever. What cannot be asked about now will be named again.
    pub(super) async fn ask(self, env: Env, session: Session, mut signals: watch::Receiver<Signals>) {
        let mut subscription = None;
        loop {
            tokio::select! {
                biased;
                changed = signals.changed() => if changed.is_err() {
                    return;
                },
                () = self.inner.named.notified() => {}
            }
            let present = {
                let signals = signals.borrow_and_update();
                signals.subscribed.then_some(signals.generation)
            };
            if present != subscription {
                subscription = present;
                self.ask_anew();
            }
            let due = self.due();
            if due.is_empty() {
                continue;
            }
            tracing::debug!(launches = due.len(), "asking about launches of which nothing was heard");
            match session.reconcile(&due).await {
                Ok(()) => self.note(&due, env.now()),
                Err(error) => tracing::debug!(%error, "silent launches not asked about"),
            }
        }
    }

    /// Nobody was asked on the present subscription.
    fn ask_anew(&self) {
        self.launches().values_mut().for_each(|launch| launch.asked = None);
    }

    /// What is to be asked about; it is not due any more.
    fn due(&self) -> Vec<(TaskId, Option<AgentId>)> {
        let mut launches = self.launches();
        let due = launches.values_mut().filter_map(|launch| {
            let is_due = std::mem::take(&mut launch.is_due);
            is_due.then(|| (launch.task.clone(), Some(launch.agent.clone())))
        });
        due.collect()
    }

    /// The cluster was asked about these at `now`.
    fn note(&self, asked: &[(TaskId, Option<AgentId>)], now: Timestamp) {
        let asked: BTreeSet<&TaskId> = asked.iter().map(|(task, _)| task).collect();
        for launch in self.launches().values_mut().filter(|it| asked.contains(&it.task)) {
            launch.asked.get_or_insert(now);
        }
    }

    fn launches(&self) -> MutexGuard<'_, BTreeMap<ObjectName, Launch>> {
        self.inner.launches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
