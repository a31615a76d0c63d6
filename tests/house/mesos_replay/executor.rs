//! A launcher whose tasks say what the recorded executors said, when they said it.
//!
//! What executors do is not the master's: it is taken from the recording. The machine outlives its agents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tenure::env::Env;
use tenure::mesos::embedded::launcher::{
    Adopted, ExecutorExit, ExecutorMessage, Launch, Launcher, LauncherUnavailable, ReportSink,
};
use tenure::mesos::wire::scheduler::Message;
use tenure::mesos::wire::{
    ExecutorId, ExecutorInfo, FrameworkId, Reason, Source, TaskId, TaskState, TaskStatus, json,
};
use tokio::time::Instant;

use super::cluster::AGENT_DELAY;
use super::recording::{Recording, What};

/// What the executors of a recording said, by task and launch.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// For each launch of a task: when it was asked for, and the statuses.
    launches: BTreeMap<TaskId, Vec<Said>>,
    acknowledged: BTreeMap<TaskId, Duration>,
    /// When which executor ended, and how.
    exits: Vec<(Duration, ExecutorId, i32)>,
    /// When which executor told its framework what.
    messages: Vec<(Duration, ExecutorId, Vec<u8>)>,
    /// When an agent was started last, and when a scheduler closed its stream.
    listening_since: Duration,
    stream_closed: Option<Duration>,
    subscribed: Duration,
}

/// What the executor of one launch said.
#[derive(Debug, Default)]
struct Said {
    launched: Duration,
    statuses: Vec<(Duration, TaskStatus)>,
    /// When it said something last, whether or not that is kept.
    last: Option<Duration>,
    running: bool,
    killed_at: Option<Duration>,
    /// It was killed while it ran: agents say KILLING themselves then, where no executor of the framework's does.
    killed: bool,
    by_executor: bool,
}

impl Script {
    pub(crate) fn of(recording: &Recording) -> Script {
        let mut script = Script::default();
        let mut seen = BTreeSet::new();
        for step in &recording.steps {
            match &step.what {
                What::StartAgent { .. } => script.listening_since = step.at,
                What::CloseStream { .. } => script.stream_closed = Some(step.at),
                What::Call { call, .. } => {
                    for operation in call["accept"]["operations"].as_array().into_iter().flatten() {
                        for task in operation["launch"]["task_infos"].as_array().into_iter().flatten() {
                            let id = TaskId::new(task["task_id"]["value"].as_str().unwrap_or_default());
                            let by_executor = task["executor"].is_object();
                            let said = Said { launched: step.at, by_executor, ..Said::default() };
                            script.launches.entry(id).or_default().push(said);
                        }
                    }
                    if let Some(task) = call["acknowledge"]["task_id"]["value"].as_str() {
                        script.acknowledged.insert(TaskId::new(task), step.at);
                    }
                    if let Some(task) = call["kill"]["task_id"]["value"].as_str() {
                        script.killed(&TaskId::new(task), step.at);
                    }
                    if call["type"] == "SUBSCRIBE" {
                        script.subscribed = step.at;
                    }
                }
                What::Event { event, .. } => {
                    if let Some(executor) = event["failure"]["executor_id"]["value"].as_str() {
                        let status = i32::try_from(event["failure"]["status"].as_i64().unwrap()).unwrap();
                        let at = step.at.saturating_sub(AGENT_DELAY);
                        script.exits.push((at, ExecutorId::new(executor), status));
                    }
                    if event["type"] == "MESSAGE" {
                        let message: Message = json::from_value(event["message"].clone()).unwrap();
                        let at = step.at.saturating_sub(AGENT_DELAY);
                        script.messages.push((at, message.executor_id, message.data));
                    }
                    script.refused(&event["update"]["status"]);
                    let Some(uuid) = event["update"]["status"]["uuid"].as_str() else { continue };
                    if seen.insert(uuid.to_owned()) {
                        let status: TaskStatus = json::from_value(event["update"]["status"].clone()).unwrap();
                        script.said(step.at, status);
                    }
                }
                _ => {}
            }
        }
        script
    }

    /// A launch that the master refused never came to an executor.
    fn refused(&mut self, status: &serde_json::Value) {
        let reason = status["reason"].as_str().unwrap_or_default();
        if status["source"] != "SOURCE_MASTER"
            || !["REASON_TASK_INVALID", "REASON_INVALID_OFFERS"].contains(&reason)
        {
            return;
        }
        let task = TaskId::new(status["task_id"]["value"].as_str().unwrap_or_default());
        if let Some(launches) = self.launches.get_mut(&task) {
            launches.pop_if(|last| last.statuses.is_empty());
        }
    }

    fn killed(&mut self, task: &TaskId, at: Duration) {
        if let Some(said) = self.launches.get_mut(task).and_then(|launches| launches.last_mut()) {
            said.killed |= said.running && !said.by_executor;
            said.killed_at = Some(at);
        }
    }

    /// Takes in an update, unless it is one that agents make themselves.
    fn said(&mut self, at: Duration, status: TaskStatus) {
        let at = self.when_said(at, &status);
        let said = self.launches.get_mut(&status.task_id).and_then(|launches| launches.last_mut());
        let Some(said) = said else { return };
        said.last = Some(at);
        said.running |= status.state() == TaskState::Running;
        let agents_own = [Reason::TaskKilledDuringLaunch, Reason::Reconciliation].contains(&status.reason());
        let draining = status.reason() == Reason::AgentDraining;
        let killing = status.state() == TaskState::Killing && (said.killed || draining);
        let gone = status.state() == TaskState::GoneByOperator;
        if !(killing || gone || agents_own && status.source() == Source::Agent) {
            // As told as the end of the executor is.
            let of_end = said.by_executor && status.source() == Source::Agent;
            let at = if of_end { at.saturating_sub(AGENT_DELAY) } else { at };
            said.statuses.push((at, plain(status)));
        }
    }

    /// When an update was made that was told at `at`. What came at once upon an acknowledgement had waited for it; what
    /// came with a new agent or a new stream had waited for that.
    fn when_said(&self, at: Duration, status: &TaskStatus) -> Duration {
        let soon_after = |then: Duration, time: u64| at.saturating_sub(then) < Duration::from_millis(time);
        let said = self.launches.get(&status.task_id).and_then(|launches| launches.last());
        let last = said.and_then(|said| said.last);
        if said.is_some_and(|said| said.killed_at > last) {
            return at;
        }
        let waited = self.acknowledged.get(&status.task_id).is_some_and(|then| soon_after(*then, 30));
        if let Some(last) = last.filter(|_| waited) {
            return last + Duration::from_millis(1);
        }
        if last.is_some_and(|last| last < self.listening_since) && soon_after(self.listening_since, 3500) {
            return self.listening_since.saturating_sub(Duration::from_millis(100));
        }
        match self.stream_closed {
            Some(closed) if last.is_some_and(|last| last < closed) && soon_after(self.subscribed, 100) => {
                closed + Duration::from_millis(100)
            }
            _ => at,
        }
    }

    fn launch(&self, task: &TaskId, now: Duration) -> Vec<(Duration, TaskStatus)> {
        let mut launches = self.launches.get(task).into_iter().flatten();
        let last = launches.rfind(|said| said.launched <= now + Duration::from_millis(1));
        last.map(|said| said.statuses.clone()).unwrap_or_default()
    }
}

/// A status without what the agent fills in.
fn plain(mut status: TaskStatus) -> TaskStatus {
    status.uuid = None;
    status.agent_id = None;
    status.executor_id = None;
    status.timestamp = None;
    if status.reason() == Reason::AgentDraining {
        status.reason = None;
    }
    if let Some(container) = &mut status.container_status {
        container.container_id = None;
    }
    status
}

/// What survives an agent: its machine.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    script: Arc<Script>,
    begun: Instant,
    tasks: Arc<Mutex<BTreeMap<TaskId, Running>>>,
    executors: Arc<Mutex<BTreeMap<Key, ExecutorInfo>>>,
}

/// Framework and executor.
type Key = (FrameworkId, ExecutorId);

#[derive(Debug, Clone, Default)]
struct Running {
    /// What it has still to say.
    statuses: Vec<(Duration, TaskStatus)>,
    last: Option<TaskStatus>,
    killed: bool,
}

impl Machine {
    pub(crate) fn new(script: Arc<Script>, begun: Instant) -> Machine {
        Machine { script, begun, tasks: Arc::default(), executors: Arc::default() }
    }

    fn executors(&self) -> MutexGuard<'_, BTreeMap<Key, ExecutorInfo>> {
        self.executors.lock().unwrap()
    }

    fn tasks(&self) -> MutexGuard<'_, BTreeMap<TaskId, Running>> {
        self.tasks.lock().unwrap()
    }

    /// Whether something runs on it.
    pub(crate) fn is_busy(&self) -> bool {
        !self.tasks().is_empty()
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// What the task says next that is due, or when it is.
    fn next(&self, task: &TaskId) -> Next {
        let now = self.now();
        let mut tasks = self.tasks();
        let Some(running) = tasks.get_mut(task) else { return Next::Over };
        match running.statuses.first() {
            Some((at, _)) if *at > now => Next::At(*at),
            Some(_) => {
                let (_, status) = running.statuses.remove(0);
                running.last = Some(status.clone());
                Next::Says(Box::new(status))
            }
            None if running.killed => Next::Says(Box::new(TaskStatus::of(task.clone(), TaskState::Killed))),
            None => Next::Never,
        }
    }
}

enum Next {
    Says(Box<TaskStatus>),
    At(Duration),
    Never,
    Over,
}

/// Runs the tasks of a machine for one life of its agent.
#[derive(Debug)]
pub(crate) struct ScriptedLauncher {
    env: Env,
    machine: Machine,
    sink: ReportSink,
    killed: Arc<tokio::sync::Notify>,
}

impl ScriptedLauncher {
    pub(crate) fn new(env: &Env, machine: Machine, sink: ReportSink) -> ScriptedLauncher {
        let launcher = ScriptedLauncher { env: env.clone(), machine, sink, killed: Arc::default() };
        let executors: Vec<Key> = launcher.machine.executors().keys().cloned().collect();
        executors.into_iter().for_each(|key| launcher.watch_executor(key));
        launcher
    }

    /// Lets an executor say what it said, and ends it when it ended.
    fn watch_executor(&self, key: Key) {
        let (machine, sink, now) = (self.machine.clone(), self.sink.clone(), self.machine.now());
        let messages: Vec<_> = machine
            .script
            .messages
            .iter()
            .filter(|(at, id, _)| *at >= now && *id == key.1)
            .cloned()
            .collect();
        let (says, begun, framework) = (sink.clone(), machine.begun, key.0.clone());
        self.env.spawn("scripted messages", async move {
            for (at, executor_id, data) in messages {
                tokio::time::sleep_until(begun + at).await;
                says.message(ExecutorMessage { framework_id: framework.clone(), executor_id, data }).await;
            }
        });
        let exits = &machine.script.exits;
        let Some((at, _, status)) = exits.iter().find(|(at, id, _)| *at >= now && *id == key.1).cloned()
        else {
            return;
        };
        self.env.spawn("scripted executor", async move {
            tokio::time::sleep_until(machine.begun + at).await;
            machine.executors().remove(&key);
            let (framework_id, executor_id) = key;
            sink.exited(ExecutorExit { framework_id, executor_id, status }).await;
        });
    }

    fn watch(&self, task: TaskId) {
        let (machine, sink, killed) = (self.machine.clone(), self.sink.clone(), self.killed.clone());
        self.env.spawn("scripted task", async move {
            loop {
                let kill = killed.notified();
                match machine.next(&task) {
                    Next::Over => return,
                    Next::Says(status) => {
                        let over = status.state().is_terminal();
                        sink.report(*status).await;
                        if over {
                            machine.tasks().remove(&task);
                            return;
                        }
                    }
                    Next::At(at) => {
                        tokio::select! {
                            biased;
                            () = kill => {}
                            () = tokio::time::sleep_until(machine.begun + at) => {}
                        }
                    }
                    Next::Never => kill.await,
                }
            }
        });
    }
}

#[async_trait]
impl Launcher for ScriptedLauncher {
    async fn launch(&self, launch: Launch) {
        let task = launch.task_id().clone();
        if let Some(info) = launch.task.executor {
            let key = (launch.framework_id, info.executor_id.clone());
            if self.machine.executors().insert(key.clone(), info).is_none() {
                self.watch_executor(key);
            }
        }
        let statuses = self.machine.script.launch(&task, self.machine.now());
        self.machine.tasks().insert(task.clone(), Running { statuses, ..Running::default() });
        self.watch(task);
    }

    async fn kill(&self, task: &TaskId, _grace: Duration) {
        if let Some(running) = self.machine.tasks().get_mut(task) {
            running.killed = true;
        }
        self.killed.notify_waiters();
    }

    async fn framework_removed(&self, framework: &FrameworkId) {
        self.machine.executors().retain(|(owner, _), _| owner != framework);
    }

    fn executors(&self) -> Option<Vec<(FrameworkId, ExecutorInfo)>> {
        let executors = self.machine.executors();
        Some(executors.iter().map(|((framework, _), info)| (framework.clone(), info.clone())).collect())
    }

    async fn adopt(&self, tasks: &[Launch]) -> Result<Vec<Adopted>, LauncherUnavailable> {
        let adopt = |launch: &Launch| {
            let task = launch.task_id().clone();
            while let Next::Says(status) = self.machine.next(&task) {
                if status.state().is_terminal() {
                    self.machine.tasks().remove(&task);
                    return Adopted::Ended(*status);
                }
            }
            let last = self.machine.tasks().get(&task).map(|running| running.last.clone());
            match last {
                None => Adopted::Missing,
                Some(last) => {
                    self.watch(task.clone());
                    Adopted::Running(last.unwrap_or_else(|| TaskStatus::of(task, TaskState::Starting)))
                }
            }
        };
        Ok(tasks.iter().map(adopt).collect())
    }

    async fn sweep(&self, owned: &BTreeSet<TaskId>) -> Result<Vec<String>, LauncherUnavailable> {
        self.machine.tasks().retain(|task, _| owned.contains(task));
        Ok(Vec::new())
    }
}
