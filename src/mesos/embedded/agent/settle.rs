//! Containers while the engine does not answer: nothing is said or done about those that may exist.
//!
//! ```text
//! start ──▶ tasks of the journal ──┐
//! launch while unsettled ──────────┴─▶ unsettled ── engine answers ──▶ adopted or launched ──▶ swept ──▶ settled
//! ```
//!
//! Plain processes do not wait for any of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::{Act, Agent, sleep_until};
use crate::env::watch;
use crate::mesos::embedded::launcher::{Launch, LauncherUnavailable};
use crate::mesos::embedded::protocol::ToMaster;
use crate::mesos::wire::{AgentData, Engine, TaskId, TaskState, TaskStatus};

/// What is known of the engine and not of its containers.
#[derive(Debug)]
pub(super) struct Settling {
    engine: watch::Receiver<Engine>,
    tasks: BTreeMap<TaskId, Unsettled>,
    /// Nothing is left that nobody owns.
    swept: bool,
    /// When to try again although nothing was heard of the engine.
    retry: Option<Instant>,
}

/// A container that nothing can be said about.
#[derive(Debug, Clone, Copy, Default)]
struct Unsettled {
    /// Launched since the start, so there is no container yet.
    is_fresh: bool,
    /// Its status says that nothing is known of it.
    is_told: bool,
    /// It is to end, and by force from then on.
    kill_by: Option<Instant>,
}

impl Settling {
    pub(super) fn new(engine: watch::Receiver<Engine>) -> Settling {
        Settling { engine, tasks: BTreeMap::new(), swept: false, retry: None }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.swept && self.tasks.is_empty()
    }

    /// Returns when something was heard of the engine, or when it is time to try again.
    pub(super) async fn news(&mut self) {
        tokio::select! {
            biased;
            () = changed(&mut self.engine) => {}
            () = sleep_until(self.retry) => {}
        }
    }

    /// How the engine is, as far as others are told.
    fn engine(&self) -> Engine {
        match self.engine.borrow().clone() {
            // There are containers to be taken up, so there was an engine.
            Engine::Absent { why } if !self.tasks.is_empty() => Engine::Away { why },
            engine => engine,
        }
    }

    /// Waits until something is known of the engine, if ever.
    async fn known(&mut self) {
        // Whoever tells nothing of an engine has none that could be away.
        let _nobody = self.engine.wait_for(|engine| *engine != Engine::Unknown).await;
    }
}

async fn changed(engine: &mut watch::Receiver<Engine>) {
    if engine.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

impl Agent {
    /// Takes up plain processes, and containers if the engine answers. Nothing is said to any master before.
    pub(super) async fn take_up(&mut self) {
        self.launcher.recall(&self.state.recalled()).await;
        let all = self.state.tasks.values().map(|task| task.launch.clone());
        let (containers, processes): (Vec<Launch>, Vec<Launch>) = all.partition(Launch::needs_engine);
        let unsettled = containers.iter().map(|it| (it.task_id().clone(), Unsettled::default()));
        self.settling.tasks.extend(unsettled);
        self.adopt_processes(processes).await;
        self.commit_all().await;
        self.settling.known().await;
        self.settle().await;
    }

    /// What is to be done after news of the engine, or when it is time to try again.
    pub(super) async fn engine_news(&mut self) {
        self.acts.push(Act::TellEngine);
        self.commit_all().await;
        if !self.settling.is_settled() {
            self.settle().await;
        }
    }

    /// Learns what became of containers and removes those that nobody owns; if that cannot be done now it is tried again.
    async fn settle(&mut self) {
        self.settling.retry = None;
        if let Err(error) = self.try_to_settle().await {
            if self.settling.engine().trouble().is_none() {
                tracing::warn!(%error, "containers not taken up yet");
                self.settling.retry = Some(Instant::now() + self.config.retry);
            }
            self.tell_doubt(&error);
        }
        self.commit_all().await;
    }

    async fn try_to_settle(&mut self) -> Result<(), LauncherUnavailable> {
        let tasks = self.settling.tasks.keys().filter_map(|id| self.state.tasks.get(id));
        let launches: Vec<Launch> = tasks.map(|task| task.launch.clone()).collect();
        if !launches.is_empty() {
            let adopted = self.launcher.adopt(&launches).await?;
            for (launch, adopted) in launches.into_iter().zip(adopted) {
                let id = launch.task_id().clone();
                let unsettled = self.settling.tasks.remove(&id).unwrap_or_default();
                self.adopted(launch, adopted, unsettled.is_told);
                if let Some(by) = unsettled.kill_by {
                    self.acts.push(Act::Kill(id, by.saturating_duration_since(Instant::now())));
                }
            }
            self.commit_all().await;
        }
        // What is left is not known any more.
        self.settling.tasks.clear();
        if !self.settling.swept {
            self.sweep().await?;
            self.settling.swept = true;
        }
        Ok(())
    }

    /// Removes what nobody owns. Not before adoption, for until then nothing is known to be unowned.
    async fn sweep(&self) -> Result<(), LauncherUnavailable> {
        let alive = self.state.tasks.iter().filter(|(_, task)| !task.has_ended());
        let owned: BTreeSet<TaskId> = alive.map(|(id, _)| id.clone()).collect();
        let removed = self.launcher.sweep(&owned).await?;
        if !removed.is_empty() {
            tracing::info!(?removed, "removed what no task owns");
        }
        Ok(())
    }

    /// Says of each container that ran that nothing is known of it, once.
    fn tell_doubt(&mut self, error: &LauncherUnavailable) {
        let ids: Vec<TaskId> = self.settling.tasks.keys().cloned().collect();
        for id in ids {
            let runs =
                self.state.tasks.get(&id).is_some_and(|task| task.latest.state() == TaskState::Running);
            let Some(unsettled) = self.settling.tasks.get_mut(&id).filter(|it| runs && !it.is_told) else {
                continue;
            };
            unsettled.is_told = true;
            let message = Some(format!("not known whether it still runs: {}", error.message));
            self.reported(TaskStatus { message, ..TaskStatus::of(id, TaskState::Running) });
        }
    }

    /// Whether the launch must wait until containers are settled. One on a machine without an engine fails at once.
    pub(super) fn must_wait(&self, launch: &Launch) -> bool {
        let is_absent = || matches!(self.settling.engine(), Engine::Absent { .. });
        launch.needs_engine() && !self.settling.is_settled() && !is_absent()
    }

    /// Lets a launch wait. It is in the journal.
    pub(super) fn wait_for_engine(&mut self, id: TaskId) {
        self.settling.tasks.insert(id, Unsettled { is_fresh: true, ..Unsettled::default() });
    }

    /// Takes a kill of a container that nothing is known of; false if it is none. What was never started has ended at once.
    pub(super) fn kill_unsettled(&mut self, id: &TaskId, grace: Duration) -> bool {
        let Some(unsettled) = self.settling.tasks.get_mut(id) else { return false };
        if unsettled.is_fresh {
            self.settling.tasks.remove(id);
            let message = Some("killed before it had started".to_owned());
            self.reported(TaskStatus { message, ..TaskStatus::of(id.clone(), TaskState::Killed) });
        } else {
            let by = Instant::now() + grace;
            unsettled.kill_by = Some(unsettled.kill_by.map_or(by, |given| given.min(by)));
        }
        true
    }

    /// Tells the master, and through it the frameworks, how the engine is.
    pub(super) async fn tell_engine(&mut self) {
        let engine = self.settling.engine();
        if engine == Engine::Unknown && !self.had_journal_trouble {
            return;
        }
        let journal_trouble = self.journal_trouble.clone();
        let Some(uplink) = &self.uplink else { return };
        let data = AgentData { engine, journal_trouble }.encode();
        if uplink.send(ToMaster::Message { data }).await.is_err() {
            self.uplink = None;
        }
    }
}
