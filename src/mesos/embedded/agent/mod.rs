//! An agent: keeps what a [`Launcher`] runs and what the master was told in step, also over `kill -9`.
//!
//! ```text
//! master --> Launch, Kill, Acknowledge --+                 +--> launcher
//! launcher --> statuses -----------------+--> facts --> journal (synced) --> acts
//! timers --> resend ---------------------+                 +--> master: Update
//! ```
//!
//! Whatever comes in is turned into facts and acts without waiting; the facts are on the disk before the first act is
//! done. After a start nothing is said to any master before the launcher has told what became of the processes in the
//! journal, and of the containers if their engine answers ([`settle`]).

pub mod journal;
mod orders;
mod reactions;
mod resend;
mod settle;
pub mod state;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::launcher::{Adopted, Launch, Launcher, Report, Reports};
use super::protocol::{LINK, ToAgent, ToMaster};
use super::remote::Upstream;
use crate::env::Env;
use crate::mesos::wire::{
    AgentId, AgentInfo, ExecutorId, FrameworkId, FrameworkInfo, Reason, Source, TaskId, TaskState, TaskStatus,
};
use journal::{Journal, JournalError};
use orders::Drain;
use resend::Resends;
use settle::Settling;
use state::{AgentState, Entry};

/// What an agent is started with.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Host name, resources, attributes, port. The id comes from the journal.
    pub info: AgentInfo,
    /// The address that tasks without one of their own are reached at.
    pub ip: String,
    /// How long a task may take to end when neither it nor its KILL says so.
    pub default_grace: Duration,
    /// The first wait before an update is sent again; it doubles up to `resend_max`.
    pub resend_min: Duration,
    /// The longest wait before an update is sent again.
    pub resend_max: Duration,
    /// The wait before something that is not available is asked again.
    pub retry: Duration,
    /// When it is cancelled the agent leaves for good: it ends its tasks, unregisters, and runs no longer.
    pub leave: CancellationToken,
}

impl AgentConfig {
    /// An agent with Mesos's own times.
    #[must_use]
    pub fn new(info: AgentInfo, ip: impl Into<String>) -> AgentConfig {
        AgentConfig {
            info,
            ip: ip.into(),
            default_grace: Duration::from_secs(5),
            resend_min: Duration::from_secs(10),
            resend_max: Duration::from_secs(600),
            retry: Duration::from_secs(1),
            leave: CancellationToken::new(),
        }
    }
}

/// The task of an agent.
#[derive(Debug)]
pub struct Agent {
    env: Env,
    config: AgentConfig,
    journal: Journal,
    /// Why the journal cannot be written, while it cannot.
    journal_trouble: Option<String>,
    /// Whether that was ever so: from then on its end is told, too.
    had_journal_trouble: bool,
    state: AgentState,
    launcher: Arc<dyn Launcher>,
    reports: Reports,
    master: Upstream,
    resends: Resends,
    settling: Settling,
    uplink: Option<mpsc::Sender<ToMaster>>,
    draining: Option<Drain>,
    /// Everything is being ended, and then the agent is.
    leaving: bool,
    /// Reports that came while acts were done.
    held: Vec<Report>,
    /// Facts and acts of what has come in but is not on the disk yet.
    facts: Vec<Entry>,
    acts: Vec<Act>,
}

/// What is to be done once the facts are on the disk.
#[derive(Debug)]
enum Act {
    Launch(Box<Launch>),
    /// Tell of the framework of what is launched next.
    Describe(Box<FrameworkInfo>),
    /// End all executors of a framework that is removed.
    EndExecutors(FrameworkId),
    Kill(TaskId, Duration),
    /// Send the update that is under way for this task.
    Send(TaskId),
    /// A status that its executor told is on the disk.
    Confirm(TaskId, Vec<u8>),
    /// Its end is on the disk: nothing that is left of it is needed any more.
    Remove(TaskId),
    /// Pass a message on to an executor.
    Message(FrameworkId, ExecutorId, Vec<u8>),
    /// End an executor with its tasks.
    Shutdown(FrameworkId, ExecutorId),
    /// Tell how the container engine and the journal are.
    TellEngine,
    /// Pass on what is heard of an executor.
    PassOn(ToMaster),
}

/// What became of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Facts and acts wait to be committed.
    Taken,
    /// There is news of the engine.
    Engine,
    /// The link to the master is broken.
    Broken,
}

/// How much is taken in before the disk is waited for.
const BATCH: usize = 256;

impl Agent {
    /// An agent on an opened journal. `reports` is where `launcher` reports to.
    #[must_use]
    pub fn new(
        env: &Env,
        config: AgentConfig,
        (journal, state): (Journal, AgentState),
        launcher: Arc<dyn Launcher>,
        reports: Reports,
        master: impl Into<Upstream>,
    ) -> Agent {
        Agent {
            env: env.clone(),
            resends: Resends::new(config.resend_min, config.resend_max),
            config,
            journal,
            journal_trouble: None,
            had_journal_trouble: false,
            state,
            settling: Settling::new(launcher.engine()),
            launcher,
            reports,
            master: master.into(),
            uplink: None,
            draining: None,
            leaving: false,
            held: Vec::new(),
            facts: Vec::new(),
            acts: Vec::new(),
        }
    }

    /// Runs for as long as its node, or until it leaves. While the disk refuses the journal nothing is done and nothing is lost: what
    /// comes in waits in bounded queues.
    pub async fn run(mut self) {
        self.take_up().await;
        loop {
            if let Some(mut link) = self.register().await {
                self.serve(&mut link).await;
            }
            if self.leaving {
                self.commit_all().await;
                return tracing::info!("agent left");
            }
            tracing::warn!("link to the master lost");
            self.uplink = None;
            self.env.sleep(self.config.retry).await;
        }
    }

    /// Takes in what comes until the link to the master is broken or the agent is to leave.
    async fn serve(&mut self, link: &mut mpsc::Receiver<ToAgent>) {
        loop {
            match self.step(link).await {
                Step::Broken => return,
                Step::Taken => self.commit_all().await,
                Step::Engine => self.engine_news().await,
            }
            if self.uplink.is_none() {
                return;
            }
        }
    }

    /// Learns what became of the plain processes of the journal.
    async fn adopt_processes(&mut self, launches: Vec<Launch>) {
        if launches.is_empty() {
            return;
        }
        let adopted = loop {
            match self.launcher.adopt(&launches).await {
                Ok(adopted) => break adopted,
                Err(error) => tracing::warn!(%error, "tasks not adopted yet"),
            }
            self.env.sleep(self.config.retry).await;
        };
        for (launch, adopted) in launches.into_iter().zip(adopted) {
            self.adopted(launch, adopted, false);
        }
    }

    /// Takes in what became of one task. `was_doubted`: its status says that nothing is known of it, which is not true any
    /// more.
    fn adopted(&mut self, launch: Launch, adopted: Adopted, was_doubted: bool) {
        let Some(task) = self.state.tasks.get(launch.task_id()) else { return };
        if task.has_ended() {
            self.acts.push(Act::Remove(launch.task_id().clone()));
            return;
        }
        // A launcher that begins anew knows nothing of checks yet; what was known of them stays.
        let same = |status: &TaskStatus| {
            !was_doubted
                && status.state() == task.latest.state()
                && status.healthy.is_none_or(|healthy| task.latest.healthy == Some(healthy))
        };
        match adopted {
            Adopted::Running(status) if same(&status) || status.state() == TaskState::Starting => {}
            Adopted::Running(status) if task.latest.state() == TaskState::Killing => {
                tracing::debug!(task = %status.task_id, "still being killed");
            }
            Adopted::Running(status) | Adopted::Ended(status) => self.reported(status),
            // Journalled, but the crash came before it was there: it is started now, for the first time.
            Adopted::Missing if matches!(task.latest.state(), TaskState::Staging | TaskState::Starting) => {
                self.acts.push(Act::Launch(Box::new(launch)));
            }
            Adopted::Missing if planted!("missing-is-taken-for-running") => {}
            Adopted::Missing => {
                let status = TaskStatus::of(launch.task_id().clone(), TaskState::Gone);
                self.reported(TaskStatus {
                    source: Source::Agent.wire(),
                    reason: Reason::ExecutorTerminated.wire(),
                    message: Some("Task was not there any more when the agent came back".to_owned()),
                    ..status
                });
            }
        }
    }

    /// Registers with the master and sends what waits. Nothing when the agent is to leave.
    async fn register(&mut self) -> Option<mpsc::Receiver<ToAgent>> {
        loop {
            let leave = self.config.leave.clone();
            tokio::select! {
                biased;
                () = leave.cancelled() => {}
                link = self.try_register() => if self.leaving || link.is_some() {
                    return link;
                },
            }
            tokio::select! {
                biased;
                () = leave.cancelled() => self.leave().await,
                () = self.env.sleep(self.config.retry) => {}
            }
        }
    }

    async fn try_register(&mut self) -> Option<mpsc::Receiver<ToAgent>> {
        let uplink = self.master.connect_agent().await?;
        let (sender, mut link) = mpsc::channel(LINK);
        let info = AgentInfo { id: self.state.agent_id.clone(), ..self.config.info.clone() };
        let register = ToMaster::Register {
            info: Box::new(info),
            ip: self.config.ip.clone(),
            tasks: self.state.report(),
            executors: self.launcher.executors(),
            link: sender,
        };
        uplink.send(register).await.ok()?;
        let agent_id = match link.recv().await {
            Some(ToAgent::Registered { agent_id }) => agent_id,
            Some(ToAgent::Shutdown) => {
                self.shut_down();
                return None;
            }
            _ => return None,
        };
        self.launcher.registered(&agent_id).await;
        if self.state.agent_id.as_ref() != Some(&agent_id) {
            self.record(Entry::Registered(agent_id));
        }
        self.uplink = Some(uplink);
        self.resends.forget_all();
        let waiting = self.state.tasks.iter().filter(|(_, task)| task.in_flight().is_some());
        self.acts.extend(waiting.map(|(id, _)| Act::Send(id.clone())));
        self.acts.push(Act::TellEngine);
        self.commit_all().await;
        Some(link)
    }

    /// Takes in what has come, waiting for the first of it.
    async fn step(&mut self, link: &mut mpsc::Receiver<ToAgent>) -> Step {
        let next_resend = self.resends.next();
        let leave = self.config.leave.clone();
        tokio::select! {
            biased;
            () = leave.cancelled() => self.leave().await,
            message = link.recv() => match message {
                Some(message) => self.told(message),
                None => return Step::Broken,
            },
            Some(report) = self.reports.recv() => self.heard(report),
            () = self.settling.news() => return Step::Engine,
            () = sleep_until(next_resend) => self.resend(),
        }
        for _ in 0..BATCH {
            if let Ok(message) = link.try_recv() {
                self.told(message);
            } else if let Ok(report) = self.reports.try_recv() {
                self.heard(report);
            } else {
                break;
            }
        }
        if self.leaving { Step::Broken } else { Step::Taken }
    }

    fn record(&mut self, entry: Entry) {
        self.state.apply(entry.clone());
        self.facts.push(entry);
    }

    /// Commits until nothing is left to do: acts may have brought new reports.
    async fn commit_all(&mut self) {
        while !self.facts.is_empty() || !self.acts.is_empty() {
            self.commit().await;
        }
    }

    /// Puts the facts on the disk, then does the acts.
    async fn commit(&mut self) {
        if !self.facts.is_empty() {
            let mut is_told = false;
            while let Err(error) = self.journal.append(&self.facts).await {
                if matches!(error, JournalError::Crashed) {
                    return std::future::pending().await;
                }
                if !is_told {
                    tracing::error!(error = %Chain(&error), "agent journal not written: nothing is done until it is");
                    is_told = true;
                    self.journal_trouble = Some(Chain(&error).to_string());
                    self.had_journal_trouble = true;
                    self.tell_engine().await;
                }
                self.env.sleep(self.config.retry).await;
            }
            if is_told {
                tracing::info!("agent journal written");
                self.journal_trouble = None;
                self.acts.push(Act::TellEngine);
            }
            self.facts.clear();
            self.env.seam("agent-journalled");
            if let Err(error) = self.journal.compact_if_large(&self.state).await {
                tracing::warn!(error = %Chain(&error), "agent journal not compacted");
            }
        }
        for act in std::mem::take(&mut self.acts) {
            match act {
                Act::Send(task_id) => self.send(&task_id).await,
                Act::TellEngine => self.tell_engine().await,
                Act::PassOn(message) => self.pass_on(message).await,
                act => self.ask_launcher(act).await,
            }
        }
        for report in std::mem::take(&mut self.held) {
            self.heard(report);
        }
    }

    /// Asks the launcher for something, and takes its reports meanwhile: it may have to report before it returns.
    async fn ask_launcher(&mut self, act: Act) {
        let launcher = self.launcher.clone();
        let asked = async move {
            match act {
                Act::Launch(launch) => launcher.launch(*launch).await,
                Act::Describe(framework) => launcher.describe(&framework).await,
                Act::EndExecutors(framework) => launcher.framework_removed(&framework).await,
                Act::Kill(task_id, grace) => launcher.kill(&task_id, grace).await,
                Act::Confirm(task_id, uuid) => launcher.journalled(&task_id, &uuid).await,
                Act::Remove(task_id) => launcher.remove(&task_id).await,
                Act::Message(framework, executor, data) => {
                    launcher.message(&framework, &executor, data).await;
                }
                Act::Shutdown(framework, executor) => launcher.shutdown(&framework, &executor).await,
                Act::Send(_) | Act::TellEngine | Act::PassOn(_) => {}
            }
        };
        tokio::pin!(asked);
        loop {
            tokio::select! {
                biased;
                () = &mut asked => return,
                Some(report) = self.reports.recv() => self.held.push(report),
            }
        }
    }

    /// Sends the update that is under way for a task and plans to send it again.
    async fn send(&mut self, task_id: &TaskId) {
        let Some(task) = self.state.tasks.get(task_id) else { return };
        let (Some(status), Some(uplink)) = (task.in_flight(), &self.uplink) else { return };
        let update = ToMaster::Update {
            framework_id: task.launch.framework_id.clone(),
            status: Box::new(status.clone()),
            latest: task.latest.state(),
        };
        if uplink.send(update).await.is_err() {
            self.uplink = None;
            return;
        }
        self.resends.sent(task_id, Instant::now());
    }

    async fn pass_on(&mut self, message: ToMaster) {
        let Some(uplink) = &self.uplink else { return };
        if uplink.send(message).await.is_err() {
            self.uplink = None;
        }
    }

    fn resend(&mut self) {
        self.acts.extend(self.resends.due(Instant::now()).into_iter().map(Act::Send));
    }

    /// Empty only before the first registration, when there is no task yet.
    fn agent_id(&self) -> AgentId {
        self.state.agent_id.clone().unwrap_or_default()
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// An error with its causes, for a log line.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
