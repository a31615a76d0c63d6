//! What whoever speaks for tasks, the embedded agent or `tenure-executor`, asks of something that really runs them.
//!
//! The one keeps the updates' ids and their delivery; a launcher only starts, watches and stops what runs, and reports.
//! The room `executor` implements it with Docker and plain processes. [`fetch`]: what a task's sandbox is filled with before.

pub mod fetch;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::env::watch;
use crate::mesos::wire::{
    AgentId, Engine, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, TaskId, TaskInfo, TaskStatus,
};

/// One task to run: enough to start it, and to recognise it after a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// The framework that wants it.
    pub framework_id: FrameworkId,
    /// The agent that it runs on.
    pub agent_id: AgentId,
    /// The task itself.
    pub task: TaskInfo,
    /// Variables that the agent adds; those of the task's own command win over them.
    pub environment: BTreeMap<String, String>,
}

impl Launch {
    /// The task's id, by which everything about it is named.
    #[must_use]
    pub fn task_id(&self) -> &TaskId {
        &self.task.task_id
    }

    /// Whether it is a container's, so that nothing can be said or done about it without the engine.
    #[must_use]
    pub fn needs_engine(&self) -> bool {
        self.task.container.is_some()
    }
}

/// What became of a task that was journalled before a restart.
#[derive(Debug, Clone, PartialEq)]
pub enum Adopted {
    /// It runs (or is still being started) and is watched again. The status is its present one.
    Running(TaskStatus),
    /// It ended meanwhile; the status is its terminal one.
    Ended(TaskStatus),
    /// Nothing of it exists.
    Missing,
}

/// A task of the journal.
#[derive(Debug, Clone)]
pub struct Recalled {
    /// The task.
    pub launch: Launch,
    /// What was reported of it last; STAGING if nothing was.
    pub latest: TaskStatus,
    /// The uuids of the last statuses that were reported with one.
    pub heard: Vec<Vec<u8>>,
}

/// The launcher cannot do its work at all now, for instance because the Docker daemon is down.
#[derive(Debug, thiserror::Error)]
#[error("launcher is not available: {message}")]
pub struct LauncherUnavailable {
    /// What is missing.
    pub message: String,
}

/// Something that runs tasks on this machine.
///
/// Progress goes to the [`Reports`] channel given to the launcher when it was made: statuses with `state`, and where
/// they apply `reason`, `message`, `healthy`, `check_status`, `data`, `container_status` (container id, addresses) and
/// `labels`. The agent fills in the rest (source, agent, timestamp, and the uuid if there is none). Per task they are in order, and exactly one
/// terminal report follows every launch in the end, also after a kill.
#[async_trait]
pub trait Launcher: Send + Sync + fmt::Debug {
    /// Begins to run a task and returns at once; failures are reports, too. Launching a task that already runs, or
    /// whose container exists, adopts it. The caller has journalled the launch before.
    async fn launch(&self, launch: Launch);

    /// Begins to stop a task and returns at once: asks it to end, and ends it by force after `grace`. A repeated call
    /// never prolongs the first one's grace, but a shorter one shortens it. A task of which nothing runs is reported
    /// as killed.
    async fn kill(&self, task_id: &TaskId, grace: Duration);

    /// What the journal says of all tasks: called once, before anything else is asked.
    async fn recall(&self, tasks: &[Recalled]) {
        // Who finds out everything by itself needs no reminder.
        let _ = tasks;
    }

    /// A status that was reported with this uuid is on the disk: whoever told it need not tell it again.
    async fn journalled(&self, task_id: &TaskId, uuid: &[u8]) {
        // Statuses that a launcher makes by itself have no uuid.
        let _ = (task_id, uuid);
    }

    /// Removes what is left of a task that has ended: called once its terminal report is journalled, so that a crash in
    /// between loses nothing. A task that is unknown, or removed already, is a success.
    async fn remove(&self, task_id: &TaskId) {
        // A launcher that keeps nothing has nothing to remove.
        let _ = task_id;
    }

    /// The agent has this id from now on. Called before anything is launched for it.
    async fn registered(&self, agent: &AgentId) {
        // A launcher that does not tell of its agent has nothing to do.
        let _ = agent;
    }

    /// The framework of the tasks that are launched next, where executors are told of it; its id is set.
    async fn describe(&self, framework: &FrameworkInfo) {
        // Who runs no executors has nobody to tell.
        let _ = framework;
    }

    /// Passes a framework's message on to one of its executors, if there are any. Best effort.
    async fn message(&self, framework: &FrameworkId, executor: &ExecutorId, data: Vec<u8>) {
        let _ = data;
        tracing::debug!(%framework, %executor, "a message for an executor that is not there");
    }

    /// Ends one of a framework's executors with its tasks: asks it to, and ends it by force after its grace.
    async fn shutdown(&self, framework: &FrameworkId, executor: &ExecutorId) {
        tracing::debug!(%framework, %executor, "a shutdown of an executor that is not there");
    }

    /// A framework is removed: ends all its executors as by [`Launcher::shutdown`]. Its tasks are killed beside that.
    async fn framework_removed(&self, framework: &FrameworkId) {
        // Where tasks have no executors the kills are all there is to do.
        let _ = framework;
    }

    /// The executors of frameworks that there are now, each reported by [`ReportSink::exited`] when it ends. None from a launcher that
    /// runs none: what tasks bring as their executor is there for as long as one of them is.
    fn executors(&self) -> Option<Vec<(FrameworkId, ExecutorInfo)>> {
        None
    }

    /// The container engine of this machine, as it changes. A launcher that has nothing to tell of it is always as it was.
    fn engine(&self) -> watch::Receiver<Engine> {
        watch::channel(Engine::Unknown).1
    }

    /// Takes up what earlier processes of this installation left running: one answer for each of `tasks`, in their
    /// order. Called before anything else is asked about them, again until it succeeds. It does not start anything.
    ///
    /// # Errors
    /// When it cannot be told now; the agent asks again later and reports nothing as lost meanwhile.
    async fn adopt(&self, tasks: &[Launch]) -> Result<Vec<Adopted>, LauncherUnavailable>;

    /// Removes what carries this installation's uid but is none of `owned`, and nothing else. Returns names of what
    /// was removed, for the log.
    ///
    /// # Errors
    /// When it cannot be done now; the agent asks again later.
    async fn sweep(&self, owned: &BTreeSet<TaskId>) -> Result<Vec<String>, LauncherUnavailable>;
}

/// What an executor tells its framework beside the states of its tasks. Best effort.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutorMessage {
    /// Whose executor.
    pub framework_id: FrameworkId,
    /// Which one.
    pub executor_id: ExecutorId,
    /// Opaque to everybody else.
    pub data: Vec<u8>,
}

/// The end of an executor's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutorExit {
    /// Whose executor.
    pub framework_id: FrameworkId,
    /// Which one.
    pub executor_id: ExecutorId,
    /// In the form of wait(2).
    pub status: i32,
}

/// What an agent hears of what runs on its machine.
#[derive(Debug, Clone)]
pub enum Report {
    /// Of a task.
    Status(Box<TaskStatus>),
    /// An executor tells its framework something.
    Message(ExecutorMessage),
    /// An executor is over. Its tasks that had not ended are reported after it.
    Exited(ExecutorExit),
}

impl Report {
    /// What it says of a task, if it is about one.
    #[must_use]
    pub fn into_status(self) -> Option<TaskStatus> {
        match self {
            Report::Status(status) => Some(*status),
            Report::Message(_) | Report::Exited(_) => None,
        }
    }
}

/// Where a launcher reports to. Clones report to the same agent.
#[derive(Debug, Clone)]
pub struct ReportSink {
    sender: mpsc::Sender<Report>,
}

/// Where an agent hears of its tasks and executors, in the order in which it was reported.
pub type Reports = mpsc::Receiver<Report>;

/// How many reports may wait for the agent before reporting waits, too.
const REPORT_QUEUE: usize = 256;

/// The channel between a launcher and its agent.
#[must_use]
pub fn reports() -> (ReportSink, Reports) {
    let (sender, receiver) = mpsc::channel(REPORT_QUEUE);
    (ReportSink { sender }, receiver)
}

impl ReportSink {
    /// Hands over one report; waits while the agent is busy. After the agent is gone it has no effect: whatever
    /// adopts the tasks next will ask for their state.
    pub async fn report(&self, status: TaskStatus) {
        self.pass_on(Report::Status(Box::new(status))).await;
    }

    /// Hands over what an executor tells its framework; like [`ReportSink::report`].
    pub async fn message(&self, message: ExecutorMessage) {
        self.pass_on(Report::Message(message)).await;
    }

    /// Hands over the end of an executor; like [`ReportSink::report`].
    pub async fn exited(&self, exit: ExecutorExit) {
        self.pass_on(Report::Exited(exit)).await;
    }

    /// Hands over what another sink has heard.
    pub async fn pass_on(&self, report: Report) {
        // An error means that the agent of this process has ended: the process is shutting down.
        let _ended = self.sender.send(report).await;
    }
}
