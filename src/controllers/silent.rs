//! Asks the cluster about launches of which nothing was heard for so long that they are about to be given up. `health` names them, and
//! sees here when they were asked about; answers come as ordinary updates.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::api::Binding;
use crate::env::Env;
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
    asked: Option<Timestamp>,
}

impl Silent {
    /// The cluster is to be asked about this launch, soon.
    pub(super) fn name(&self, task: &ObjectName, binding: &Binding) {
        let (id, agent) = (TaskId::new(&binding.mesos_task_id), AgentId::new(&binding.agent_id));
        self.launches().insert(task.clone(), Launch { task: id, agent, asked: None });
        self.inner.named.notify_one();
    }

    /// When the cluster was asked about this Task's launch since it was named.
    pub(super) fn asked(&self, task: &ObjectName) -> Option<Timestamp> {
        self.launches().get(task)?.asked
    }

    /// The launch of this Task is silent no more, or is none.
    pub(super) fn forget(&self, task: &ObjectName) {
        self.launches().remove(task);
    }

    /// Asks about what was named, for ever. What cannot be asked about now will be named again.
    pub(super) async fn ask(self, env: Env, session: Session) {
        loop {
            self.inner.named.notified().await;
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

    /// What is to be asked about.
    fn due(&self) -> Vec<(TaskId, Option<AgentId>)> {
        let launches = self.launches();
        let due = launches.values().filter(|launch| launch.asked.is_none());
        due.map(|launch| (launch.task.clone(), Some(launch.agent.clone()))).collect()
    }

    /// The cluster was asked about these at `now`.
    fn note(&self, asked: &[(TaskId, Option<AgentId>)], now: Timestamp) {
        let asked: BTreeSet<&TaskId> = asked.iter().map(|(task, _)| task).collect();
        for launch in self.launches().values_mut().filter(|it| asked.contains(&it.task)) {
            launch.asked = Some(now);
        }
    }

    fn launches(&self) -> MutexGuard<'_, BTreeMap<ObjectName, Launch>> {
        self.inner.launches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
