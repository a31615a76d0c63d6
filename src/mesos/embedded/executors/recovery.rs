//! Executors that ran on while their agent's process was not there (recording 29).
//!
//! ```text
//! journal ─ recall ─▶ awaited ── SUBSCRIBE in time ──▶ as before
//!                            ├── too late ───────────▶ killed; its tasks are TASK_GONE
//!                            └── has ended ──────────▶ its tasks are TASK_FAILED
//! ```
//!
//! Until the journal was recalled nothing is known, and executors are told to ask again. The agent registers when none is awaited any more.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::executor::Executor;
use super::kept::{self, Kept};
use super::overview::Run;
use super::process::Process;
use super::{Executors, Key, Over};
use crate::mesos::launcher::{Adopted, Launch, Recalled};

impl Executors {
    /// Looks whether what earlier processes left can be read, so that an agent that cannot go on does not begin.
    ///
    /// # Errors
    /// When it cannot, with the file.
    pub fn check(work_dir: &Path) -> io::Result<()> {
        kept::all(work_dir)?;
        kept::frameworks(work_dir).map(drop)
    }

    /// Whether it is known what runs.
    pub(in crate::mesos::embedded) fn has_recovered(&self) -> bool {
        !self.state().recovering
    }

    /// Takes up what earlier processes left running, with the tasks of the journal.
    pub(super) async fn recover(&self, tasks: &[Recalled]) {
        let work_dir = self.inner.config.work_dir.clone();
        let (left, frameworks) = loop {
            let folder = work_dir.clone();
            let read = move || Ok((kept::all(&folder)?, kept::frameworks(&folder)?));
            match self.inner.env.run_blocking(read).await {
                Ok(Ok(left)) => break left,
                Ok::<io::Result<_>, _>(Err(error)) => {
                    tracing::error!(%error, "executors not found again: the agent waits until they can be");
                }
                Err(_crashed) => return std::future::pending().await,
            }
            self.inner.env.sleep(super::RETRY).await;
        };
        let mut state = self.state();
        let by_id = frameworks.into_iter().map(|it| (it.id.clone().unwrap_or_default(), it));
        state.frameworks.extend(by_id);
        for kept in left {
            let key = (kept.launch.framework_id.clone(), kept.info.executor_id.clone());
            let executor = taken_up(&kept, &key, tasks);
            let own = tasks.iter().filter(|it| is_of(it, &key));
            state.claimed.extend(own.map(|it| (it.launch.task_id().clone(), it.latest.clone())));
            state.awaited.insert(key.clone());
            state.frameworks.insert(key.0.clone(), kept.framework.clone());
            state.executors.insert(key.clone(), executor);
            self.inner.env.spawn("executor", self.clone().resume(key, kept));
        }
        state.recovering = false;
    }

    /// Follows an executor that is another process's child to its end, and tells what that means for its tasks.
    async fn resume(self, key: Key, kept: Kept) {
        let over = match Process::found(&kept.process) {
            Some(mut process) => {
                let limit = self.inner.config.reregistration_timeout;
                self.watch(&key, &kept.info, &mut process, (limit, Over::Absent { limit })).await
            }
            None => Over::Lost,
        };
        self.tell_end(key, over).await;
    }

    /// Returns when no executor of earlier processes is awaited any more.
    pub(super) async fn settled(&self) {
        let mut changes = self.inner.changed.subscribe();
        // It lives as long as we do.
        let _closed = changes.wait_for(|()| self.state().awaited.is_empty()).await;
    }

    /// One that has subscribed again, or ended, is not awaited any more.
    pub(super) fn arrived(&self, key: &Key) {
        self.state().awaited.remove(key);
        self.inner.changed.send_replace(());
    }

    /// What became of a task of the journal. The news of one that an executor had come as reports.
    pub(super) fn fate(&self, launch: &Launch) -> Adopted {
        let claimed = self.state().claimed.get(launch.task_id()).cloned();
        claimed.map_or(Adopted::Missing, Adopted::Running)
    }

    /// Returns when nothing runs any more. The agent is gone: whatever executors tell counts as taken.
    pub async fn all_ended(&self) {
        self.confirm_all();
        let mut changes = self.inner.changed.subscribe();
        // It lives as long as we do.
        let _closed = changes.wait_for(|()| self.state().executors.is_empty()).await;
    }

    fn confirm_all(&self) {
        let open: Vec<_> = {
            let mut state = self.state();
            state.is_alone = true;
            let executors = state.executors.iter_mut();
            executors
                .flat_map(|(key, it)| it.unconfirmed().into_iter().map(|told| (key.clone(), told)))
                .collect()
        };
        for (key, (task_id, uuid)) in open {
            self.acknowledge(&key, task_id, uuid);
        }
    }
}

fn taken_up(kept: &Kept, key: &Key, tasks: &[Recalled]) -> Executor {
    let mut executor = Executor::new(kept.launch.clone(), kept.info.clone(), kept.framework.clone());
    executor.container.clone_from(&kept.container);
    executor.directory.clone_from(&kept.directory);
    executor.came = kept.came;
    executor.queued.clear();
    executor.process = Some(kept.process.clone());
    for recalled in tasks.iter().filter(|it| is_of(it, key) && !it.latest.state().is_terminal()) {
        let task = &recalled.launch.task;
        if kept.came {
            executor.tasks.insert(task.task_id.clone(), Run::recalled(recalled));
        } else {
            // It is sent what waits for it when it comes.
            executor.queued.push(task.clone());
        }
    }
    executor
}

/// Whether it is a task of this executor.
fn is_of(task: &Recalled, key: &Key) -> bool {
    let wanted = task.launch.task.executor.as_ref().map(|executor| &executor.executor_id);
    task.launch.framework_id == key.0 && wanted == Some(&key.1)
}

/// In the words of Mesos.
pub(super) fn late(limit: Duration) -> String {
    format!("Executor did not reregister within {}secs", limit.as_secs_f64())
}
