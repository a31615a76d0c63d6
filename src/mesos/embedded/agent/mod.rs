//! An agent: keeps what a [`Launcher`] runs and what the master was told in step, also over `kill -9`.
//!
//! ```text
//! master --> Launch, Kill, Acknowledge --+                 +--> launcher
//! launcher --> statuses -----------------+--> facts --> journal (synced) --> acts
//! timers --> resend ---------------------+                 +--> master: Update
//! ```
//!
//! Whatever comes in is turned into facts and acts without waiting; the facts are on the disk before the first act is
//! done. After a start nothing is said to any master before the launcher has told what became of every task in the journal.

pub mod journal;
mod resend;
pub mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::launcher::{Adopted, Launch, Launcher, Reports};
use super::master::MasterHandle;
use super::protocol::{LINK, ToAgent, ToMaster};
use crate::env::Env;
use crate::mesos::wire::container::{ContainerStatus, IpAddress, NetworkInfo};
use crate::mesos::wire::{
    AgentId, AgentInfo, ContainerId, ExecutorId, FrameworkId, IpProtocol, Reason, Source, TaskId, TaskInfo,
    TaskState, TaskStatus,
};
use journal::{Journal, JournalError};
use resend::Resends;
use state::{Acknowledged, AgentState, Entry, Updated};

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
        }
    }
}

/// The task of an agent.
#[derive(Debug)]
pub struct Agent {
    env: Env,
    config: AgentConfig,
    journal: Journal,
    state: AgentState,
    launcher: Arc<dyn Launcher>,
    reports: Reports,
    master: MasterHandle,
    resends: Resends,
    uplink: Option<mpsc::Sender<ToMaster>>,
    /// Reports that came while acts were done.
    held: Vec<TaskStatus>,
    /// Facts and acts of what has come in but is not on the disk yet.
    facts: Vec<Entry>,
    acts: Vec<Act>,
}

/// What is to be done once the facts are on the disk.
#[derive(Debug)]
enum Act {
    Launch(Box<Launch>),
    Kill(TaskId, Duration),
    /// Send the update that is under way for this task.
    Send(TaskId),
    /// Its end is on the disk: nothing that is left of it is needed any more.
    Remove(TaskId),
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
        master: MasterHandle,
    ) -> Agent {
        Agent {
            env: env.clone(),
            resends: Resends::new(config.resend_min, config.resend_max),
            config,
            journal,
            state,
            launcher,
            reports,
            master,
            uplink: None,
            held: Vec::new(),
            facts: Vec::new(),
            acts: Vec::new(),
        }
    }

    /// Runs for as long as its node. While the disk refuses the journal nothing is done and nothing is lost: what
    /// comes in waits in bounded queues.
    pub async fn run(mut self) {
        self.adopt().await;
        self.commit_all().await;
        self.sweep().await;
        loop {
            let mut link = self.register().await;
            while self.step(&mut link).await {
                self.commit_all().await;
            }
            tracing::warn!("link to the master lost");
            self.uplink = None;
            self.env.sleep(self.config.retry).await;
        }
    }

    /// Learns what became of the tasks of the journal.
    async fn adopt(&mut self) {
        let launches: Vec<Launch> = self.state.tasks.values().map(|task| task.launch.clone()).collect();
        let adopted = loop {
            match self.launcher.adopt(&launches).await {
                Ok(adopted) => break adopted,
                Err(error) => tracing::warn!(%error, "tasks not adopted yet"),
            }
            self.env.sleep(self.config.retry).await;
        };
        for (launch, adopted) in launches.into_iter().zip(adopted) {
            self.adopted(launch, adopted);
        }
    }

    fn adopted(&mut self, launch: Launch, adopted: Adopted) {
        let Some(task) = self.state.tasks.get(launch.task_id()) else { return };
        if task.has_ended() {
            self.acts.push(Act::Remove(launch.task_id().clone()));
            return;
        }
        // A launcher that begins anew knows nothing of checks yet; what was known of them stays.
        let same = |status: &TaskStatus| {
            status.state() == task.latest.state()
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

    /// Removes what nobody owns. Not before adoption, for until then nothing is known to be unowned, and not after
    /// registration, for then new tasks come.
    async fn sweep(&self) {
        let alive = self.state.tasks.iter().filter(|(_, task)| !task.has_ended());
        let owned: BTreeSet<TaskId> = alive.map(|(id, _)| id.clone()).collect();
        loop {
            match self.launcher.sweep(&owned).await {
                Ok(removed) if removed.is_empty() => return,
                Ok(removed) => return tracing::info!(?removed, "removed what no task owns"),
                Err(error) => tracing::warn!(%error, "not swept yet"),
            }
            self.env.sleep(self.config.retry).await;
        }
    }

    /// Registers with the master and sends what waits.
    async fn register(&mut self) -> mpsc::Receiver<ToAgent> {
        loop {
            if let Some(link) = self.try_register().await {
                return link;
            }
            self.env.sleep(self.config.retry).await;
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
            link: sender,
        };
        uplink.send(register).await.ok()?;
        let Some(ToAgent::Registered { agent_id }) = link.recv().await else { return None };
        if self.state.agent_id.as_ref() != Some(&agent_id) {
            self.record(Entry::Registered(agent_id));
        }
        self.uplink = Some(uplink);
        self.resends.forget_all();
        let waiting = self.state.tasks.iter().filter(|(_, task)| task.in_flight().is_some());
        self.acts.extend(waiting.map(|(id, _)| Act::Send(id.clone())));
        self.commit_all().await;
        Some(link)
    }

    /// Takes in what has come, waiting for the first of it. False when the link to the master is broken.
    async fn step(&mut self, link: &mut mpsc::Receiver<ToAgent>) -> bool {
        let next_resend = self.resends.next();
        tokio::select! {
            biased;
            message = link.recv() => match message {
                Some(message) => self.told(message),
                None => return false,
            },
            Some(status) = self.reports.recv() => self.reported(status),
            () = sleep_until(next_resend) => self.resend(),
        }
        for _ in 0..BATCH {
            if let Ok(message) = link.try_recv() {
                self.told(message);
            } else if let Ok(status) = self.reports.try_recv() {
                self.reported(status);
            } else {
                break;
            }
        }
        self.uplink.is_some()
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
            while let Err(error) = self.journal.append(&self.facts).await {
                if matches!(error, JournalError::Crashed) {
                    return std::future::pending().await;
                }
                tracing::error!(error = %Chain(&error), "agent journal not written: nothing is done until it is");
                self.env.sleep(self.config.retry).await;
            }
            self.facts.clear();
            self.env.seam("agent journalled");
            if let Err(error) = self.journal.compact_if_large(&self.state).await {
                tracing::warn!(error = %Chain(&error), "agent journal not compacted");
            }
        }
        for act in std::mem::take(&mut self.acts) {
            match act {
                Act::Send(task_id) => self.send(&task_id).await,
                act => self.ask_launcher(act).await,
            }
        }
        for status in std::mem::take(&mut self.held) {
            self.reported(status);
        }
    }

    /// Asks the launcher for something, and takes its reports meanwhile: it may have to report before it returns.
    async fn ask_launcher(&mut self, act: Act) {
        let launcher = self.launcher.clone();
        let asked = async move {
            match act {
                Act::Launch(launch) => launcher.launch(*launch).await,
                Act::Kill(task_id, grace) => launcher.kill(&task_id, grace).await,
                Act::Remove(task_id) => launcher.remove(&task_id).await,
                Act::Send(_) => {}
            }
        };
        tokio::pin!(asked);
        loop {
            tokio::select! {
                biased;
                () = &mut asked => return,
                Some(status) = self.reports.recv() => self.held.push(status),
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

    fn resend(&mut self) {
        self.acts.extend(self.resends.due(Instant::now()).into_iter().map(Act::Send));
    }

    fn told(&mut self, message: ToAgent) {
        match message {
            ToAgent::Registered { agent_id } => tracing::warn!(%agent_id, "registered twice on one link"),
            ToAgent::Launch { framework_id, task } => self.launch(framework_id, *task),
            ToAgent::Kill { framework_id, task_id, grace, tell_killing } => {
                self.kill(&framework_id, &task_id, grace, tell_killing);
            }
            ToAgent::Acknowledge { framework_id, task_id, uuid } => {
                self.acknowledged(Acknowledged { framework_id, task_id, uuid });
            }
            ToAgent::Resubscribed { framework_id } => {
                let waiting = self.state.tasks.iter().filter(|(_, task)| {
                    task.launch.framework_id == framework_id && task.in_flight().is_some()
                });
                let waiting: Vec<TaskId> = waiting.map(|(id, _)| id.clone()).collect();
                for id in waiting {
                    self.resends.forget(&id);
                    self.acts.push(Act::Send(id));
                }
            }
            ToAgent::FrameworkRemoved { framework_id } => self.framework_removed(framework_id),
        }
    }

    fn launch(&mut self, framework_id: FrameworkId, task: TaskInfo) {
        if self.state.tasks.contains_key(&task.task_id) {
            tracing::warn!(task = %task.task_id, "launched twice: the first one stays");
            return;
        }
        let agent_id = self.agent_id();
        let environment = environment(&framework_id, &agent_id, &task);
        let launch = Launch { framework_id, agent_id, task, environment };
        self.record(Entry::Launched(Box::new(launch.clone())));
        self.acts.push(Act::Launch(Box::new(launch)));
    }

    fn kill(
        &mut self,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        grace: Option<Duration>,
        tell_killing: bool,
    ) {
        let Some(task) = self.state.task(framework_id, task_id).filter(|task| !task.has_ended()) else {
            return;
        };
        let own = task.launch.task.kill_policy.and_then(|policy| policy.grace_period).map(|g| g.duration());
        let grace = grace.or(own).unwrap_or(self.config.default_grace);
        if tell_killing && task.latest.state() == TaskState::Running {
            self.reported(TaskStatus::of(task_id.clone(), TaskState::Killing));
        }
        self.acts.push(Act::Kill(task_id.clone(), grace));
    }

    fn acknowledged(&mut self, acknowledged: Acknowledged) {
        let in_flight = self
            .state
            .task(&acknowledged.framework_id, &acknowledged.task_id)
            .and_then(state::Task::in_flight);
        if in_flight.and_then(|status| status.uuid.as_ref()) != Some(&acknowledged.uuid) {
            tracing::debug!(task = %acknowledged.task_id, "acknowledgement of nothing that is under way");
            return;
        }
        let task_id = acknowledged.task_id.clone();
        self.resends.forget(&task_id);
        self.record(Entry::Acknowledged(acknowledged));
        self.acts.push(Act::Send(task_id));
    }

    fn framework_removed(&mut self, framework_id: FrameworkId) {
        let tasks = self.state.tasks.iter().filter(|(_, task)| task.launch.framework_id == framework_id);
        let (alive, all): (Vec<_>, Vec<_>) = tasks.map(|(id, task)| (!task.has_ended(), id.clone())).unzip();
        for (alive, id) in alive.into_iter().zip(all) {
            self.resends.forget(&id);
            if alive {
                self.acts.push(Act::Kill(id, self.config.default_grace));
            }
        }
        self.record(Entry::FrameworkRemoved(framework_id));
    }

    /// Takes in a status of the launcher: completes it and queues it for delivery.
    fn reported(&mut self, status: TaskStatus) {
        let Some(task) = self.state.tasks.get(&status.task_id) else {
            tracing::debug!(task = %status.task_id, "report of a task that is not known any more");
            return;
        };
        let late_start = task.latest.state() == TaskState::Killing && !status.state().is_terminal();
        if task.has_ended() || late_start {
            return;
        }
        let (first, task_id) = (task.in_flight().is_none(), status.task_id.clone());
        let framework_id = task.launch.framework_id.clone();
        let status = self.complete(keep_known(status, &task.latest), &framework_id);
        let ended = status.state().is_terminal();
        self.record(Entry::Updated(Box::new(Updated { framework_id, status })));
        if first {
            self.acts.push(Act::Send(task_id.clone()));
        }
        if ended {
            self.acts.push(Act::Remove(task_id));
        }
    }

    /// Fills in what agents fill in.
    fn complete(&self, status: TaskStatus, framework_id: &FrameworkId) -> TaskStatus {
        let mut uuid = vec![0; 16];
        self.env.fill(&mut uuid);
        let container = status.container_status.unwrap_or_default();
        let container_id = container.container_id.unwrap_or_else(|| ContainerId {
            value: format!("{framework_id}.{}", status.task_id),
            parent: None,
        });
        let mut network_infos = container.network_infos;
        if network_infos.iter().all(|network| network.ip_addresses.is_empty()) {
            let address =
                IpAddress { protocol: IpProtocol::IpV4.wire(), ip_address: Some(self.config.ip.clone()) };
            network_infos = vec![NetworkInfo { ip_addresses: vec![address], ..NetworkInfo::default() }];
        }
        let container_status =
            Some(ContainerStatus { container_id: Some(container_id), network_infos, ..container });
        TaskStatus {
            uuid: Some(uuid),
            agent_id: Some(self.agent_id()),
            executor_id: Some(ExecutorId::new(status.task_id.value.clone())),
            source: status.source.or(Source::Executor.wire()),
            timestamp: Some(self.env.now().as_duration().as_secs_f64()),
            container_status,
            ..status
        }
    }

    /// Empty only before the first registration, when there is no task yet.
    fn agent_id(&self) -> AgentId {
        self.state.agent_id.clone().unwrap_or_default()
    }
}

/// A report repeats what was known of checks and container unless it says otherwise: a launcher that adopted the task
/// learns it anew.
fn keep_known(status: TaskStatus, latest: &TaskStatus) -> TaskStatus {
    TaskStatus {
        healthy: status.healthy.or(latest.healthy),
        check_status: status.check_status.or_else(|| latest.check_status.clone()),
        container_status: status.container_status.or_else(|| latest.container_status.clone()),
        ..status
    }
}

/// The variables that agents give to every task.
fn environment(framework_id: &FrameworkId, agent_id: &AgentId, task: &TaskInfo) -> BTreeMap<String, String> {
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    [
        variable("MESOS_FRAMEWORK_ID", &framework_id.value),
        variable("MESOS_AGENT_ID", &agent_id.value),
        variable("MESOS_TASK_ID", &task.task_id.value),
    ]
    .into()
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
