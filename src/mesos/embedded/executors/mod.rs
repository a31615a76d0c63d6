//! Executors of frameworks, run as an agent of Mesos runs them: fetched into a sandbox, started with what agents put into
//! the environment, spoken to over the v1 executor API (`http::AgentFront`).
//!
//! ```text
//! Launch ─▶ sandbox ─▶ fetch ─▶ process ── SUBSCRIBE ──▶ LAUNCH, KILL, ACKNOWLEDGED
//!                                      ── UPDATE ─────▶ reports ─▶ the agent
//! ```
//!
//! What is recorded of a real agent holds here: an executor that is late or ends leaves its tasks failed; one whose tasks were
//! killed before it came is sent away; a second subscription closes the first. Left out: containers around executors, commands
//! without one, and finding executors again after the agent's process has ended.

mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::launcher::{Adopted, Launch, Launcher, LauncherUnavailable, ReportSink};
use crate::env::Env;
use crate::mesos::wire::executor::{
    Acknowledged, Event, Kill, Launch as LaunchEvent, MessageEvent, Subscribed,
};
use crate::mesos::wire::{
    AgentInfo, ExecutorEventType, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, KillPolicy, Reason,
    Source, TaskId, TaskInfo, TaskState, TaskStatus,
};

/// How an agent runs executors. The times are Mesos's own by default.
#[derive(Debug, Clone)]
pub struct ExecutorsConfig {
    /// Below it stand the sandboxes.
    pub work_dir: PathBuf,
    /// Where the executor API of this agent is.
    pub address: SocketAddr,
    /// Its name to executors.
    pub hostname: String,
    /// How long an executor may take to subscribe, its fetching included.
    pub registration_timeout: Duration,
    /// How long an executor may take to end its tasks where it does not say.
    pub shutdown_grace: Duration,
    /// More variables, as `--executor_environment_variables` gives them.
    pub environment: BTreeMap<String, String>,
}

impl ExecutorsConfig {
    /// With Mesos's own times.
    #[must_use]
    pub fn new(work_dir: PathBuf, address: SocketAddr, hostname: &str) -> ExecutorsConfig {
        ExecutorsConfig {
            work_dir,
            address,
            hostname: hostname.to_owned(),
            registration_timeout: Duration::from_secs(60),
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

/// How many events may wait for an executor that does not read.
const EVENTS: usize = 256;

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
    executors: Mutex<BTreeMap<Key, Executor>>,
}

/// One executor, from the launch of its first task to the end of its process.
#[derive(Debug)]
struct Executor {
    info: ExecutorInfo,
    launch: Launch,
    stream: Option<mpsc::Sender<Event>>,
    was_subscribed: bool,
    /// Tasks that wait for it to subscribe.
    queued: Vec<TaskInfo>,
    /// Tasks that were sent to it, and whether they have ended.
    tasks: BTreeMap<TaskId, bool>,
}

/// How the process of an executor ended, or that it never came.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Over {
    Exited,
    Late { limit: Duration },
    NotFetched { container: String },
}

impl Executors {
    /// Nothing runs yet; tasks report to `sink`.
    #[must_use]
    pub fn new(env: &Env, config: ExecutorsConfig, sink: ReportSink) -> Executors {
        Executors { inner: Arc::new(Inner { env: env.clone(), config, sink, executors: Mutex::default() }) }
    }

    fn executors(&self) -> MutexGuard<'_, BTreeMap<Key, Executor>> {
        self.inner.executors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the executor has subscribed at least once.
    ///
    /// # Errors
    /// When it is not known.
    pub(super) fn is_subscribed(&self, key: &Key) -> Result<bool, Unknown> {
        let executors = self.executors();
        match executors.get(key) {
            Some(executor) => Ok(executor.was_subscribed),
            None if executors.keys().any(|(framework, _)| *framework == key.0) => Err(Unknown::Executor),
            None => Err(Unknown::Framework),
        }
    }

    /// The events of a subscription; an earlier one ends.
    pub(super) fn subscribe(&self, key: &Key) -> mpsc::Receiver<Event> {
        let (stream, events) = mpsc::channel(EVENTS);
        let mut executors = self.executors();
        let Some(executor) = executors.get_mut(key) else { return events };
        let first = !executor.was_subscribed;
        executor.was_subscribed = true;
        if first && executor.queued.is_empty() {
            // All its tasks were killed before it came.
            let _sent = stream.try_send(event(ExecutorEventType::Shutdown));
        } else {
            let subscribed = Some(executor.subscribed(&self.inner.config));
            let _sent = stream.try_send(Event { subscribed, ..event(ExecutorEventType::Subscribed) });
            for task in std::mem::take(&mut executor.queued) {
                executor.tasks.insert(task.task_id.clone(), false);
                let _sent = stream.try_send(launch_event(task));
            }
        }
        executor.stream = Some(stream);
        events
    }

    /// Takes in an update of an executor, and confirms it. After the end of a task nothing counts.
    pub(super) async fn update(&self, key: &Key, status: TaskStatus) {
        let acknowledged =
            Acknowledged { task_id: status.task_id.clone(), uuid: status.uuid.clone().unwrap_or_default() };
        let counts = {
            let mut executors = self.executors();
            let ended = executors.get_mut(key).and_then(|executor| executor.tasks.get_mut(&status.task_id));
            ended.is_some_and(|ended| !std::mem::replace(ended, *ended || status.state().is_terminal()))
        };
        if counts {
            self.inner.sink.report(status).await;
        }
        let event = Event { acknowledged: Some(acknowledged), ..event(ExecutorEventType::Acknowledged) };
        self.send(key, event);
    }

    /// An agent does not notice that a stream is broken: what it sends is lost.
    fn send(&self, key: &Key, event: Event) {
        let executors = self.executors();
        let stream = executors.get(key).and_then(|executor| executor.stream.as_ref());
        if stream.is_none_or(|stream| stream.try_send(event).is_err()) {
            tracing::warn!(executor = %key.1, "event is lost");
        }
    }

    /// Runs the process of an executor to its end, and tells what that means for its tasks.
    async fn run(self, key: Key, launch: Launch, info: ExecutorInfo) {
        let over = self.live(&key, &launch, &info).await;
        let executor = self.executors().remove(&key);
        let Some(executor) = executor else { return };
        let queued = executor.queued.into_iter().map(|task| task.task_id);
        let alive = executor.tasks.into_iter().filter(|(_, ended)| !ended).map(|(id, _)| id);
        for id in alive.chain(queued) {
            let (reason, message) = over.words();
            self.inner
                .sink
                .report(TaskStatus {
                    source: Source::Agent.wire(),
                    reason: reason.wire(),
                    message: Some(message),
                    ..TaskStatus::of(id, TaskState::Failed)
                })
                .await;
        }
    }

    async fn live(&self, key: &Key, launch: &Launch, info: &ExecutorInfo) -> Over {
        let Inner { env, config, .. } = &*self.inner;
        let container = env.uid();
        let begun = process::Sandbox::make(config, launch, info, &container);
        let process = match begun {
            Ok(sandbox) => sandbox.start(config, launch, info).await,
            Err(error) => Err(error),
        };
        let mut process = match process {
            Ok(process) => process,
            Err(error) => {
                tracing::warn!(executor = %key.1, %error, "executor not started");
                return Over::NotFetched { container };
            }
        };
        let limit = config.registration_timeout;
        tokio::select! {
            biased;
            () = process.ended() => return Over::Exited,
            () = env.sleep(limit) => {}
        }
        if self.is_subscribed(key) == Ok(false) {
            process.kill();
            process.ended().await;
            return Over::Late { limit };
        }
        process.ended().await;
        Over::Exited
    }
}

impl Over {
    fn words(&self) -> (Reason, String) {
        match self {
            Over::Exited => (Reason::ExecutorTerminated, "Executor terminated".to_owned()),
            Over::Late { limit } => {
                let words = format!("Executor did not register within {}secs", limit.as_secs_f64());
                (Reason::ExecutorRegistrationTimeout, words)
            }
            Over::NotFetched { container } => {
                let words = format!(
                    "Failed to launch container: Failed to fetch all URIs for container '{container}': exited with status 1"
                );
                (Reason::ContainerLaunchFailed, words)
            }
        }
    }
}

impl Executor {
    fn subscribed(&self, config: &ExecutorsConfig) -> Subscribed {
        let framework_id = Some(self.launch.framework_id.clone());
        Subscribed {
            executor_info: ExecutorInfo { framework_id: framework_id.clone(), ..self.info.clone() },
            // That a task is being killed is said by this agent itself, where the framework understands it.
            framework_info: FrameworkInfo {
                id: framework_id,
                checkpoint: Some(true),
                ..FrameworkInfo::default()
            },
            agent_info: AgentInfo {
                id: Some(self.launch.agent_id.clone()),
                hostname: config.hostname.clone(),
                port: Some(config.address.port().into()),
                ..AgentInfo::default()
            },
            container_id: None,
        }
    }
}

fn event(kind: ExecutorEventType) -> Event {
    Event { r#type: kind.wire(), ..Event::default() }
}

fn launch_event(task: TaskInfo) -> Event {
    Event { launch: Some(LaunchEvent { task }), ..event(ExecutorEventType::Launch) }
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
        let mut executors = self.executors();
        if let Some(executor) = executors.get_mut(&key) {
            if executor.was_subscribed {
                executor.tasks.insert(task.task_id.clone(), false);
                drop(executors);
                return self.send(&key, launch_event(task));
            }
            return executor.queued.push(task);
        }
        let executor = Executor {
            info: info.clone(),
            launch: launch.clone(),
            stream: None,
            was_subscribed: false,
            queued: vec![task],
            tasks: BTreeMap::new(),
        };
        executors.insert(key.clone(), executor);
        self.inner.env.spawn("executor", self.clone().run(key, launch, info));
    }

    async fn kill(&self, task_id: &TaskId, grace: Duration) {
        let found = {
            let mut executors = self.executors();
            executors.iter_mut().find_map(|(key, executor)| {
                let queued = executor.queued.iter().position(|task| task.task_id == *task_id);
                if let Some(at) = queued {
                    executor.queued.remove(at);
                    return Some(None);
                }
                (executor.tasks.get(task_id) == Some(&false)).then(|| Some(key.clone()))
            })
        };
        match found {
            Some(Some(key)) => {
                let kill_policy = Some(KillPolicy { grace_period: Some(grace.into()) });
                let kill = Some(Kill { task_id: task_id.clone(), kill_policy });
                self.send(&key, Event { kill, ..event(ExecutorEventType::Kill) });
            }
            Some(None) => self.inner.sink.report(TaskStatus::of(task_id.clone(), TaskState::Killed)).await,
            None => tracing::debug!(task = %task_id, "nothing of the task runs"),
        }
    }

    async fn message(&self, framework: &FrameworkId, executor: &ExecutorId, data: Vec<u8>) {
        let message = Some(MessageEvent { data });
        let event = Event { message, ..event(ExecutorEventType::Message) };
        self.send(&(framework.clone(), executor.clone()), event);
    }

    async fn adopt(&self, tasks: &[Launch]) -> Result<Vec<Adopted>, LauncherUnavailable> {
        Ok(tasks.iter().map(|_| Adopted::Missing).collect())
    }

    async fn sweep(&self, _owned: &BTreeSet<TaskId>) -> Result<Vec<String>, LauncherUnavailable> {
        Ok(Vec::new())
    }
}
