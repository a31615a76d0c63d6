//! Executors of frameworks, run as an agent of Mesos runs them: fetched into a sandbox, started with what agents put into
//! the environment, spoken to over the v1 executor API (`http::AgentFront`).
//!
//! ```text
//! Launch ─▶ sandbox ─▶ fetch ─▶ process ── SUBSCRIBE ──▶ LAUNCH, KILL, ACKNOWLEDGED
//!                                      ── UPDATE ─────▶ reports ─▶ the agent
//! ```
//!
//! What is recorded of a real agent holds here: an executor that is late or ends leaves its tasks failed; one whose tasks were
//! killed before it came is sent away; a second subscription closes the first; those of frameworks that checkpoint outlive the
//! agent's process ([`recovery`]). Left out: containers around executors, and commands without one.

mod executor;
mod kept;
mod overview;
mod process;
mod recovery;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use super::launcher::{
    Adopted, ExecutorExit, ExecutorMessage, Launch, Launcher, LauncherUnavailable, Recalled, ReportSink,
};
use crate::env::{Env, watch};
use crate::mesos::wire::executor::{Acknowledged, Event, Kill, MessageEvent};
use crate::mesos::wire::{
    AgentId, AgentInfo, ExecutorEventType, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, KillPolicy,
    Reason, Source, TaskId, TaskInfo, TaskState, TaskStatus,
};
use executor::{Executor, dropped, event, launch_event};
use overview::{Ended, Run};
pub use overview::{ExecutorEntry, Overview};
use process::Process;

/// How an agent runs executors. The times are Mesos's own by default.
#[derive(Debug, Clone)]
pub struct ExecutorsConfig {
    /// Below it stand the sandboxes.
    pub work_dir: PathBuf,
    /// Where the executor API of this agent is.
    pub address: SocketAddr,
    /// The agent, without its id.
    pub agent: AgentInfo,
    /// How long an executor may take to subscribe, its fetching included.
    pub registration_timeout: Duration,
    /// How long an executor may take to subscribe again after the agent's process was started again.
    pub reregistration_timeout: Duration,
    /// How long an executor waits for the agent's process to be started again.
    pub recovery_timeout: Duration,
    /// How long an executor may take to end its tasks where it does not say.
    pub shutdown_grace: Duration,
    /// More variables, as `--executor_environment_variables` gives them.
    pub environment: BTreeMap<String, String>,
}

impl ExecutorsConfig {
    /// With Mesos's own times, for an agent of this name.
    #[must_use]
    pub fn new(work_dir: PathBuf, address: SocketAddr, hostname: &str) -> ExecutorsConfig {
        ExecutorsConfig {
            work_dir,
            address,
            agent: AgentInfo {
                hostname: hostname.to_owned(),
                port: Some(address.port().into()),
                ..AgentInfo::default()
            },
            registration_timeout: Duration::from_secs(60),
            reregistration_timeout: Duration::from_secs(2),
            recovery_timeout: Duration::from_secs(900),
            shutdown_grace: Duration::from_secs(5),
            environment: BTreeMap::new(),
        }
    }
}

/// Framework and executor: what a call names.
pub(super) type Key = (FrameworkId, ExecutorId);

/// Why an executor is not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    Framework,
    Executor,
}

/// How many events may wait for an executor that does not read: more than an agent has tasks.
const EVENTS: usize = 4096;
/// The executors of one agent.
#[derive(Debug, Clone)]
pub struct Executors {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    env: Env,
    config: ExecutorsConfig,
    sink: ReportSink,
    started: Timestamp,
    state: Mutex<State>,
    /// Told whenever an executor comes or ends.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    /// Known once the agent has registered.
    agent_id: Option<AgentId>,
    /// As their executors are told of them.
    frameworks: BTreeMap<FrameworkId, FrameworkInfo>,
    executors: BTreeMap<Key, Executor>,
    ended: Ended,
    /// It is not known yet what earlier processes left.
    recovering: bool,
    /// Executors of earlier processes that have not subscribed again.
    awaited: BTreeSet<Key>,
    /// What the journal says of the tasks that they had.
    claimed: BTreeMap<TaskId, TaskStatus>,
    /// The agent is gone: nothing that is told is journalled any more.
    is_alone: bool,
}

/// How the process of an executor ended, or that it never came.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Over {
    Exited {
        status: i32,
    },
    Late {
        limit: Duration,
    },
    /// It lives, and did not subscribe again to a new process of the agent.
    Absent {
        limit: Duration,
    },
    /// It ended while no process of the agent was there.
    Lost,
    NotFetched {
        container: String,
    },
}

/// Statuses in the form of wait(2): of a process that was killed, and, as Mesos has them, of one whose files were not
/// fetched and of one that could not be started.
const KILLED: i32 = 9;
const NOT_FETCHED: i32 = 1 << 8;
const NOT_STARTED: i32 = 256_256;
/// Of a process that was an earlier one's child.
const UNKNOWN: i32 = -1;

/// The wait before what the disk refuses is tried again.
const RETRY: Duration = Duration::from_secs(1);

impl Executors {
    /// Nothing runs yet; tasks report to `sink`.
    #[must_use]
    pub fn new(env: &Env, config: ExecutorsConfig, sink: ReportSink) -> Executors {
        let (started, env) = (env.now(), env.clone());
        let state = Mutex::default();
        let changed = watch::channel(()).0;
        Executors { inner: Arc::new(Inner { env, config, sink, started, state, changed }) }
    }

    /// What an earlier process of the agent left runs, once the journal was recalled.
    #[must_use]
    pub fn recovering(env: &Env, config: ExecutorsConfig, sink: ReportSink) -> Executors {
        let executors = Executors::new(env, config, sink);
        executors.state().recovering = true;
        executors
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the executor has subscribed at least once.
    ///
    /// # Errors
    /// When it is not known.
    pub(super) fn is_subscribed(&self, key: &Key) -> Result<bool, Unknown> {
        let executors = &self.state().executors;
        match executors.get(key) {
            Some(executor) => Ok(executor.was_subscribed),
            None if executors.keys().any(|(framework, _)| *framework == key.0) => Err(Unknown::Executor),
            None => Err(Unknown::Framework),
        }
    }

    /// The events of a subscription; an earlier one ends. `known` are the tasks of which the executor says that it has them and that no
    /// update of them was acknowledged: what was sent to it and is neither never came, and is told to be dropped.
    pub(super) async fn subscribe(&self, key: &Key, known: &BTreeSet<TaskId>) -> mpsc::Receiver<Event> {
        let (events, dropped) = self.opened(key, known);
        self.arrived(key);
        for status in dropped {
            self.inner.sink.report(status).await;
        }
        events
    }

    fn opened(&self, key: &Key, known: &BTreeSet<TaskId>) -> (mpsc::Receiver<Event>, Vec<TaskStatus>) {
        let mut state = self.state();
        let Some(executor) = state.executors.get_mut(key) else { return (mpsc::channel(1).1, Vec::new()) };
        let first = !std::mem::replace(&mut executor.was_subscribed, true) && !executor.came;
        executor.comes(&self.inner.config.work_dir);
        let dropped = executor.drop_unknown(known);
        let mut told = Vec::new();
        if executor.stop.is_cancelled() || (first && executor.queued.is_empty()) {
            // It is to end, or all its tasks were killed before it came.
            told.push(event(ExecutorEventType::Shutdown));
        } else {
            let subscribed = Some(executor.subscribed(&self.inner.config));
            told.push(Event { subscribed, ..event(ExecutorEventType::Subscribed) });
            for task in std::mem::take(&mut executor.queued) {
                executor.tasks.insert(task.task_id.clone(), Run::new(&task));
                told.push(launch_event(task));
            }
        }
        let (stream, events) = mpsc::channel(EVENTS + told.len());
        for event in told {
            stream.try_send(event).expect("there is room for all of them, and who reads them");
        }
        executor.stream = Some(stream);
        (events, dropped)
    }

    /// Takes in what an executor tells its framework.
    pub(super) async fn message(&self, (framework_id, executor_id): Key, data: Vec<u8>) {
        self.inner.sink.message(ExecutorMessage { framework_id, executor_id, data }).await;
    }

    /// Takes in an update of an executor, and confirms it. After the end of a task nothing counts.
    pub(super) async fn update(&self, key: &Key, status: TaskStatus) {
        let (task_id, uuid) = (status.task_id.clone(), status.uuid.clone().unwrap_or_default());
        let is_new = self.heard(key, &status);
        if is_new {
            self.inner.sink.report(status).await;
        }
        if self.is_confirmed(key, &task_id, &uuid) {
            self.acknowledge(key, task_id, uuid);
        }
    }

    fn heard(&self, key: &Key, status: &TaskStatus) -> bool {
        self.state().executors.get_mut(key).is_some_and(|executor| executor.heard(status))
    }

    /// Whether nothing is to be awaited before an update is acknowledged: it is on the disk, or does not count.
    fn is_confirmed(&self, key: &Key, task_id: &TaskId, uuid: &[u8]) -> bool {
        let state = self.state();
        let waits = state.executors.get(key).is_some_and(|executor| executor.waits_for_disk(task_id, uuid));
        state.is_alone || !waits
    }

    fn acknowledge(&self, key: &Key, task_id: TaskId, uuid: Vec<u8>) {
        let acknowledged = Some(Acknowledged { task_id, uuid });
        let _is_sent = self.send(key, Event { acknowledged, ..event(ExecutorEventType::Acknowledged) });
    }

    /// Hands an event to an executor; false if one that has a stream does not read it. What is sent on a stream that is broken is
    /// lost, as in Mesos, whether that was noticed or not: a task that did not come is told to be dropped when the executor subscribes
    /// again.
    fn send(&self, key: &Key, event: Event) -> bool {
        let state = self.state();
        let stream = state.executors.get(key).and_then(|executor| executor.stream.as_ref());
        let Some(stream) = stream else { return true };
        let Err(error) = stream.try_send(event) else { return true };
        tracing::warn!(executor = %key.1, %error, "event is lost");
        matches!(error, TrySendError::Closed(_))
    }

    /// Makes a task known to its executor, which begins with it if there is none; whether it is to be sent now.
    fn enlist(&self, key: &Key, launch: Launch, info: ExecutorInfo) -> bool {
        let task = launch.task.clone();
        let mut state = self.state();
        if let Some(executor) = state.executors.get_mut(key) {
            if executor.was_subscribed {
                executor.tasks.insert(task.task_id.clone(), Run::new(&task));
            } else {
                executor.queued.push(task);
            }
            return executor.was_subscribed;
        }
        let framework = state.frameworks.get(&key.0).cloned().unwrap_or_default();
        let executor = Executor::new(launch.clone(), info.clone(), framework);
        state.executors.insert(key.clone(), executor);
        self.inner.env.spawn("executor", self.clone().run(key.clone(), launch, info));
        false
    }

    /// Sends a task to its executor. One that it does not take is told to be dropped.
    async fn send_launch(&self, key: &Key, task: TaskInfo) {
        let task_id = task.task_id.clone();
        if !self.send(key, launch_event(task)) {
            let dropped = dropped(task_id, "the executor does not read what it is sent");
            if self.heard(key, &dropped) {
                self.inner.sink.report(dropped).await;
            }
        }
    }

    /// Runs the process of an executor to its end, and tells what that means for its tasks.
    async fn run(self, key: Key, launch: Launch, info: ExecutorInfo) {
        let over = self.live(&key, &launch, &info).await;
        self.tell_end(key, over).await;
    }

    async fn tell_end(&self, key: Key, over: Over) {
        let Some(failed) = self.ended(&key, &over) else { return };
        let (framework_id, executor_id) = key;
        self.inner.sink.exited(ExecutorExit { framework_id, executor_id, status: over.status() }).await;
        for status in failed {
            self.inner.sink.report(status).await;
        }
    }

    /// An executor is over, and with it its tasks: the statuses of those that had not ended.
    fn ended(&self, key: &Key, over: &Over) -> Option<Vec<TaskStatus>> {
        let mut state = self.state();
        let mut executor = state.executors.remove(key)?;
        let (reason, message) = over.words();
        for task in std::mem::take(&mut executor.queued) {
            executor.tasks.insert(task.task_id.clone(), Run::new(&task));
        }
        let status = |id: &TaskId| TaskStatus {
            source: Source::Agent.wire(),
            reason: reason.wire(),
            message: Some(message.clone()),
            ..TaskStatus::of(id.clone(), over.state())
        };
        let failed: Vec<TaskStatus> = executor.tasks.keys().map(status).collect();
        for status in &failed {
            executor.heard(status);
        }
        kept::forget(&self.inner.config.work_dir, &executor.container);
        state.ended.push(executor.entry(key));
        drop(state);
        self.arrived(key);
        Some(failed)
    }

    async fn live(&self, key: &Key, launch: &Launch, info: &ExecutorInfo) -> Over {
        let Inner { env, config, .. } = &*self.inner;
        let container = env.uid();
        let begun = process::Sandbox::make(config, launch, info, &container);
        if let Some(executor) = self.state().executors.get_mut(key) {
            executor.container.clone_from(&container);
            executor.directory = begun.as_ref().map(|it| it.path().to_owned()).unwrap_or_default();
        }
        let stop = self.stop_of(key);
        let fetched = match begun {
            Ok(sandbox) => match stop.run_until_cancelled(sandbox.fetch(info)).await {
                Some(fetched) => fetched.map(|()| sandbox),
                None => return Over::Exited { status: KILLED },
            },
            Err(error) => Err(error),
        };
        let sandbox = match fetched {
            Ok(sandbox) => sandbox,
            Err(error) => {
                tracing::warn!(executor = %key.1, %error, "executor not fetched");
                return Over::NotFetched { container };
            }
        };
        let checkpoint = self.is_checkpointed(key);
        let mut process = match sandbox.start(config, launch, info, checkpoint) {
            Ok(process) => process,
            Err(error) => {
                tracing::warn!(executor = %key.1, %error, "executor not started");
                return Over::Exited { status: NOT_STARTED };
            }
        };
        if checkpoint {
            self.keep(key, &process);
        }
        let limit = config.registration_timeout;
        self.watch(key, info, &mut process, (limit, Over::Late { limit })).await
    }

    /// Whether the executor outlives the agent's process.
    fn is_checkpointed(&self, key: &Key) -> bool {
        self.state().executors.get(key).is_some_and(|executor| executor.framework.checkpoint())
    }

    /// Lets the next process of the agent find the executor again.
    fn keep(&self, key: &Key, process: &Process) {
        let process = match process.id() {
            Ok(process) => process,
            Err(error) => {
                return tracing::warn!(executor = %key.1, %error, "executor will not be found again");
            }
        };
        if let Some(executor) = self.state().executors.get_mut(key) {
            executor.keep(&self.inner.config.work_dir, process);
        }
    }

    /// Cancelled when the executor is to end.
    fn stop_of(&self, key: &Key) -> CancellationToken {
        self.state().executors.get(key).map(|executor| executor.stop.clone()).unwrap_or_default()
    }

    /// Waits until the process ends: by itself, because it is late, or because it was to.
    async fn watch(
        &self,
        key: &Key,
        info: &ExecutorInfo,
        process: &mut Process,
        (limit, late): (Duration, Over),
    ) -> Over {
        let Inner { env, config, .. } = &*self.inner;
        let stop = self.stop_of(key);
        tokio::select! {
            biased;
            status = process.ended() => return Over::Exited { status },
            () = stop.cancelled() => {}
            () = env.sleep(limit) => {
                if self.is_subscribed(key) == Ok(false) {
                    process.kill();
                    process.ended().await;
                    return late;
                }
                tokio::select! {
                    biased;
                    status = process.ended() => return Over::Exited { status },
                    () = stop.cancelled() => {}
                }
            }
        }
        let grace = info.shutdown_grace_period.map_or(config.shutdown_grace, |grace| grace.duration());
        tokio::select! {
            biased;
            status = process.ended() => return Over::Exited { status },
            () = env.sleep(grace) => process.kill(),
        }
        Over::Exited { status: process.ended().await }
    }
}

impl Over {
    fn words(&self) -> (Reason, String) {
        match self {
            Over::Exited { .. } => (Reason::ExecutorTerminated, "Executor terminated".to_owned()),
            Over::Late { limit } => {
                let words = format!("Executor did not register within {}secs", limit.as_secs_f64());
                (Reason::ExecutorRegistrationTimeout, words)
            }
            Over::Absent { limit } => (Reason::ExecutorReregistrationTimeout, recovery::late(*limit)),
            Over::Lost => {
                let words = "Abnormal executor termination: unknown container".to_owned();
                (Reason::ExecutorTerminated, words)
            }
            Over::NotFetched { container } => {
                let words = format!(
                    "Failed to launch container: Failed to fetch all URIs for container '{container}': exited with status 1"
                );
                (Reason::ContainerLaunchFailed, words)
            }
        }
    }

    /// What its tasks are then.
    fn state(&self) -> TaskState {
        if matches!(self, Over::Absent { .. }) { TaskState::Gone } else { TaskState::Failed }
    }

    /// In the form of wait(2).
    fn status(&self) -> i32 {
        match self {
            Over::Exited { status } => *status,
            Over::Late { .. } | Over::Absent { .. } => KILLED,
            Over::Lost => UNKNOWN,
            Over::NotFetched { .. } => NOT_FETCHED,
        }
    }
}

#[async_trait]
impl Launcher for Executors {
    async fn launch(&self, launch: Launch) {
        let task = launch.task.clone();
        let Some(info) = task.executor.clone() else {
            let message = "this agent has no executor for commands: bring one in 'executor'".to_owned();
            let status = TaskStatus::of(task.task_id, TaskState::Error);
            let reason = Reason::TaskInvalid.wire();
            return self.inner.sink.report(TaskStatus { reason, message: Some(message), ..status }).await;
        };
        let key = (launch.framework_id.clone(), info.executor_id.clone());
        if self.enlist(&key, launch, info) {
            self.send_launch(&key, task).await;
        }
    }

    async fn registered(&self, agent: &AgentId) {
        self.state().agent_id = Some(agent.clone());
    }

    async fn kill(&self, task_id: &TaskId, grace: Duration) {
        let found = {
            let mut state = self.state();
            state.executors.iter_mut().find_map(|(key, executor)| {
                let queued = executor.queued.iter().position(|task| task.task_id == *task_id);
                if let Some(at) = queued {
                    executor.queued.remove(at);
                    return Some(None);
                }
                // One that is to end takes its tasks with it.
                let is_told = executor.tasks.contains_key(task_id) && !executor.stop.is_cancelled();
                is_told.then(|| Some(key.clone()))
            })
        };
        match found {
            Some(Some(key)) => {
                let kill_policy = Some(KillPolicy { grace_period: Some(grace.into()) });
                let kill = Some(Kill { task_id: task_id.clone(), kill_policy });
                // Who wants it killed says so again.
                let _is_sent = self.send(&key, Event { kill, ..event(ExecutorEventType::Kill) });
            }
            Some(None) => self.inner.sink.report(TaskStatus::of(task_id.clone(), TaskState::Killed)).await,
            None => tracing::debug!(task = %task_id, "nothing of the task runs"),
        }
    }

    async fn shutdown(&self, framework: &FrameworkId, executor: &ExecutorId) {
        let key = (framework.clone(), executor.clone());
        let Some(stop) = self.state().executors.get(&key).map(|executor| executor.stop.clone()) else {
            return tracing::debug!(%framework, %executor, "nothing of the executor runs");
        };
        // One that has not subscribed is told when it does.
        let _is_sent = self.send(&key, event(ExecutorEventType::Shutdown));
        stop.cancel();
    }

    async fn describe(&self, framework: &FrameworkInfo) {
        let id = framework.id.clone().unwrap_or_default();
        self.state().frameworks.insert(id, framework.clone());
        let (work_dir, framework) = (self.inner.config.work_dir.clone(), framework.clone());
        let written = self.inner.env.run_blocking(move || kept::write_framework(&work_dir, &framework)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "framework not kept: an agent that ends now does not know it when it is back");
        }
    }

    async fn framework_removed(&self, framework: &FrameworkId) {
        let own: Vec<ExecutorId> = {
            let mut state = self.state();
            state.frameworks.remove(framework);
            kept::forget_framework(&self.inner.config.work_dir, framework);
            let own = state.executors.keys().filter(|(owner, _)| owner == framework);
            own.map(|(_, executor)| executor.clone()).collect()
        };
        for executor in own {
            self.shutdown(framework, &executor).await;
        }
    }

    fn executors(&self) -> Option<Vec<(FrameworkId, ExecutorInfo)>> {
        let state = self.state();
        let all = state.executors.iter().map(|((framework, _), it)| (framework.clone(), it.info.clone()));
        Some(all.collect())
    }

    async fn message(&self, framework: &FrameworkId, executor: &ExecutorId, data: Vec<u8>) {
        let message = Some(MessageEvent { data });
        let event = Event { message, ..event(ExecutorEventType::Message) };
        let _is_sent = self.send(&(framework.clone(), executor.clone()), event);
    }

    async fn recall(&self, tasks: &[Recalled]) {
        self.recover(tasks).await;
    }

    async fn journalled(&self, task_id: &TaskId, uuid: &[u8]) {
        let told = {
            let mut state = self.state();
            let mut executors = state.executors.iter_mut();
            executors.find_map(|(key, executor)| executor.journalled(task_id, uuid).then(|| key.clone()))
        };
        if let Some(key) = told {
            self.acknowledge(&key, task_id.clone(), uuid.to_vec());
        }
    }

    async fn adopt(&self, tasks: &[Launch]) -> Result<Vec<Adopted>, LauncherUnavailable> {
        self.settled().await;
        Ok(tasks.iter().map(|launch| self.fate(launch)).collect())
    }

    async fn sweep(&self, _owned: &BTreeSet<TaskId>) -> Result<Vec<String>, LauncherUnavailable> {
        Ok(Vec::new())
    }
}
