//! A launcher whose tasks exist only as entries of a table, on the clock of the simulation.
//!
//! The [`Machine`] is what would survive the death of the server: tasks go on, and end, while no launcher watches them.
//! A [`SimulatedLauncher`] belongs to one life of the server and is lost with its node.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::launcher::{Adopted, Launch, Launcher, LauncherUnavailable, ReportSink};
use crate::env::{Env, watch};
use crate::mesos::wire::status::HttpCheckStatus;
use crate::mesos::wire::{CheckStatusInfo, Engine, Reason, TaskId, TaskInfo, TaskState, TaskStatus};

/// What happens to a simulated task once it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Runs until it is killed.
    RunForever,
    /// Ends by itself.
    Exit {
        /// 0 is success.
        code: i32,
        /// After it began to run.
        after: Duration,
    },
    /// Never runs.
    FailToStart {
        /// Why, for people.
        message: String,
    },
    /// As agents that fetch before anybody reports: nothing is told of it for so long.
    Silently {
        /// Since its launch.
        after: Duration,
        /// What becomes of it then.
        then: Box<Fate>,
    },
    /// Runs until it is killed, healthy at first and not so later.
    BecomeUnhealthy {
        /// After it began to run.
        after: Duration,
    },
    /// Is never done starting, until it is killed.
    Hang,
    /// Needs so much longer to start.
    Slowly {
        /// Than others.
        after: Duration,
        /// What becomes of it then.
        then: Box<Fate>,
    },
    /// Runs until it is killed; its readiness check is answered with 503 at first and with 200 later.
    BecomeReady {
        /// After it began to run.
        after: Duration,
    },
    /// Runs until it is killed, and then until the grace is over.
    OutlastGrace,
    /// Runs until it is killed, and is healthy and unhealthy by turns, beginning healthy.
    Flap {
        /// How long each turn is.
        every: Duration,
    },
}

/// A simulated machine. Clones are the same machine.
#[derive(Clone)]
pub struct Machine {
    inner: Arc<Inner>,
}

struct Inner {
    /// How long a task needs from launch to running.
    start_after: Duration,
    /// How long a task needs to end once asked to.
    stop_after: Duration,
    fate: Box<dyn Fn(&TaskInfo) -> Fate + Send + Sync>,
    tasks: Mutex<BTreeMap<TaskId, Running>>,
    /// Tasks started so far; shows tasks that were started twice.
    started: Mutex<Vec<TaskId>>,
    /// Something was done to the tasks that no launcher knows of.
    disturbed: Notify,
    /// The container engine, of which a machine tells nothing unless it is set.
    engine: watch::Sender<Engine>,
}

#[derive(Debug, Clone)]
struct Running {
    info: TaskInfo,
    fate: Fate,
    launched_at: Instant,
    /// When a kill will have ended it.
    ends_at: Option<Instant>,
    /// Ended by somebody else.
    felled: bool,
}

impl Machine {
    /// A machine on which `fate` decides what becomes of each task.
    pub fn new(fate: impl Fn(&TaskInfo) -> Fate + Send + Sync + 'static) -> Machine {
        let inner = Inner {
            start_after: Duration::from_millis(50),
            stop_after: Duration::from_millis(50),
            fate: Box::new(fate),
            tasks: Mutex::default(),
            started: Mutex::default(),
            disturbed: Notify::new(),
            engine: watch::channel(Engine::Unknown).0,
        };
        Machine { inner: Arc::new(inner) }
    }

    /// A machine on which every task runs until it is killed.
    #[must_use]
    pub fn reliable() -> Machine {
        Machine::new(|_| Fate::RunForever)
    }

    /// The tasks that exist now and have not ended.
    #[must_use]
    pub fn alive(&self) -> BTreeSet<TaskId> {
        let now = Instant::now();
        let tasks = self.tasks();
        let alive = tasks.iter().filter(|(id, task)| !self.state_at(id, task, now).0.state().is_terminal());
        alive.map(|(id, _)| id.clone()).collect()
    }

    /// Whether a task of this id exists and has not begun to run.
    #[must_use]
    pub fn is_starting(&self, id: &str) -> bool {
        let id = TaskId::new(id);
        let state = self.tasks().get(&id).map(|task| self.state_at(&id, task, Instant::now()).0.state());
        state == Some(TaskState::Starting)
    }

    /// The descriptions of the tasks that exist now and have not ended.
    #[must_use]
    pub fn descriptions(&self) -> Vec<TaskInfo> {
        let alive = self.alive();
        self.tasks().iter().filter(|(id, _)| alive.contains(id)).map(|(_, task)| task.info.clone()).collect()
    }

    /// Every start so far, in order.
    #[must_use]
    pub fn started(&self) -> Vec<TaskId> {
        self.inner.started.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a task of this id was ever started here.
    #[must_use]
    pub fn has_started(&self, id: &str) -> bool {
        let started = self.inner.started.lock().unwrap_or_else(PoisonError::into_inner);
        started.iter().rev().any(|task| task.value == id)
    }

    /// From now on the container engine is like that, if it was set before the launcher began. While it cannot be asked
    /// containers run on, and nothing is known of them.
    pub fn set_engine(&self, engine: Engine) {
        self.inner.engine.send_replace(engine);
    }

    /// What a launcher answers about containers while the engine cannot be asked.
    fn ask_engine(&self) -> Result<(), LauncherUnavailable> {
        match self.inner.engine.borrow().trouble() {
            Some(why) => Err(LauncherUnavailable { message: why.to_owned() }),
            None => Ok(()),
        }
    }

    /// A task vanishes without a trace, as when somebody removes its container.
    pub fn lose(&self, task_id: &TaskId) {
        self.tasks().remove(task_id);
        self.inner.disturbed.notify_waiters();
    }

    /// Somebody ends a task by hand; whoever watches it learns that it failed.
    pub fn fell(&self, task_id: &TaskId) {
        if let Some(task) = self.tasks().get_mut(task_id) {
            task.felled = true;
        }
        self.inner.disturbed.notify_waiters();
    }

    /// Power is lost: all tasks end, and nobody is told.
    pub fn lose_all(&self) {
        self.tasks().clear();
    }

    fn tasks(&self) -> MutexGuard<'_, BTreeMap<TaskId, Running>> {
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The task's status at `now`, and when it will change next by itself.
    fn state_at(&self, id: &TaskId, task: &Running, now: Instant) -> (TaskStatus, Option<Instant>) {
        let status = |state: TaskState| TaskStatus::of(id.clone(), state);
        if task.ends_at.is_some_and(|at| at <= now) {
            return (TaskStatus { message: said("killed"), ..status(TaskState::Killed) }, None);
        }
        if task.felled {
            let message = said("Command terminated with signal Killed");
            return (TaskStatus { message, ..status(TaskState::Failed) }, None);
        }
        let (delay, fate) = match &task.fate {
            Fate::Slowly { after, then } => (*after, &**then),
            Fate::Silently { after, .. } if now < task.launched_at + *after => {
                let next = earliest(Some(task.launched_at + *after), task.ends_at);
                return (status(TaskState::Staging), next);
            }
            Fate::Silently { after, then } => (*after, &**then),
            fate => (Duration::ZERO, fate),
        };
        let running_at = task.launched_at + self.inner.start_after + delay;
        if *fate == Fate::Hang || now < running_at {
            let next = (*fate != Fate::Hang).then_some(running_at);
            return (status(TaskState::Starting), earliest(next, task.ends_at));
        }
        let (status, next) = lived(&status, fate, running_at, now);
        (status, earliest(next, task.ends_at))
    }
}

/// What has become of a task since it began to run, and when that will change next by itself.
fn lived(
    status: &impl Fn(TaskState) -> TaskStatus,
    fate: &Fate,
    running_at: Instant,
    now: Instant,
) -> (TaskStatus, Option<Instant>) {
    let checked = |healthy| TaskStatus { healthy: Some(healthy), ..status(TaskState::Running) };
    match fate {
        Fate::RunForever | Fate::Hang | Fate::OutlastGrace | Fate::Slowly { .. } | Fate::Silently { .. } => {
            (status(TaskState::Running), None)
        }
        Fate::FailToStart { message } => {
            let reason = Reason::ContainerLaunchFailed.wire();
            (TaskStatus { message: said(message), reason, ..status(TaskState::Failed) }, None)
        }
        Fate::Exit { code, after } if running_at + *after <= now => {
            let state = if *code == 0 { TaskState::Finished } else { TaskState::Failed };
            let message = said(&format!("Command exited with status {code}"));
            (TaskStatus { message, ..status(state) }, None)
        }
        Fate::Exit { after, .. } => (status(TaskState::Running), Some(running_at + *after)),
        Fate::BecomeUnhealthy { after } => {
            let healthy = now < running_at + *after;
            (checked(healthy), healthy.then_some(running_at + *after))
        }
        Fate::BecomeReady { after } => {
            let ready = running_at + *after <= now;
            let http = Some(HttpCheckStatus { status_code: Some(if ready { 200 } else { 503 }) });
            let check_status = Some(CheckStatusInfo { http, ..CheckStatusInfo::default() });
            let status = TaskStatus { check_status, ..status(TaskState::Running) };
            (status, (!ready).then_some(running_at + *after))
        }
        Fate::Flap { every } => {
            let every = (*every).max(Duration::from_millis(1));
            let turns =
                u32::try_from((now - running_at).as_millis() / every.as_millis()).unwrap_or(u32::MAX - 1);
            (checked(turns % 2 == 0), Some(running_at + every * (turns + 1)))
        }
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("tasks", &self.tasks()).finish_non_exhaustive()
    }
}

fn said(message: &str) -> Option<String> {
    Some(message.to_owned())
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// Runs tasks on a [`Machine`] for one life of the server.
#[derive(Debug)]
pub struct SimulatedLauncher {
    env: Env,
    machine: Machine,
    sink: ReportSink,
    /// Wakes the watcher of a task whose end has come nearer.
    watchers: Mutex<BTreeMap<TaskId, Arc<Notify>>>,
}

impl SimulatedLauncher {
    /// A launcher of this node that reports to `sink`.
    #[must_use]
    pub fn new(env: &Env, machine: Machine, sink: ReportSink) -> SimulatedLauncher {
        SimulatedLauncher { env: env.clone(), machine, sink, watchers: Mutex::default() }
    }

    fn watchers(&self) -> MutexGuard<'_, BTreeMap<TaskId, Arc<Notify>>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports each change of a task that is different from `known`, to the terminal one.
    fn watch(&self, task_id: TaskId, known: Option<TaskStatus>) {
        let changed = Arc::new(Notify::new());
        self.watchers().insert(task_id.clone(), changed.clone());
        let (machine, sink) = (self.machine.clone(), self.sink.clone());
        self.env.spawn("simulated task", async move {
            let mut known = known;
            loop {
                let disturbed = machine.inner.disturbed.notified();
                let at = machine
                    .tasks()
                    .get(&task_id)
                    .map(|task| machine.state_at(&task_id, task, Instant::now()));
                let (status, next) = at.unwrap_or_else(|| (vanished(&task_id), None));
                if known.as_ref() != Some(&status) && status.state() != TaskState::Staging {
                    sink.report(status.clone()).await;
                }
                if status.state().is_terminal() {
                    machine.tasks().remove(&task_id);
                    return;
                }
                known = Some(status);
                tokio::select! {
                    biased;
                    () = changed.notified() => {}
                    () = disturbed => {}
                    () = sleep_until(next) => {}
                }
            }
        });
    }
}

fn vanished(task_id: &TaskId) -> TaskStatus {
    let status = TaskStatus::of(task_id.clone(), TaskState::Failed);
    TaskStatus { message: said("the task is no longer there"), ..status }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[async_trait]
impl Launcher for SimulatedLauncher {
    async fn launch(&self, launch: Launch) {
        let id = launch.task_id().clone();
        let present = self.machine.tasks().contains_key(&id);
        if !present {
            let is_absent = matches!(*self.machine.inner.engine.borrow(), Engine::Absent { .. });
            let fate = match is_absent && launch.needs_engine() {
                true => Fate::FailToStart { message: "no container engine".to_owned() },
                false => (self.machine.inner.fate)(&launch.task),
            };
            let launched_at = Instant::now();
            let running = Running { info: launch.task, fate, launched_at, ends_at: None, felled: false };
            self.machine.tasks().insert(id.clone(), running);
            self.machine.inner.started.lock().unwrap_or_else(PoisonError::into_inner).push(id.clone());
        }
        self.watch(id, None);
    }

    async fn kill(&self, task_id: &TaskId, grace: Duration) {
        let now = Instant::now();
        let known = match self.machine.tasks().get_mut(task_id) {
            Some(task) => {
                let ends_after = match task.fate {
                    Fate::OutlastGrace => grace,
                    _ => self.machine.inner.stop_after,
                };
                task.ends_at.get_or_insert(now + ends_after);
                true
            }
            None => false,
        };
        if known {
            if let Some(watcher) = self.watchers().get(task_id) {
                watcher.notify_one();
            }
        } else {
            let status = TaskStatus::of(task_id.clone(), TaskState::Killed);
            self.sink.report(TaskStatus { message: said("nothing ran"), ..status }).await;
        }
    }

    fn engine(&self) -> watch::Receiver<Engine> {
        let engine = self.machine.inner.engine.subscribe();
        let is_told = *engine.borrow() != Engine::Unknown;
        if is_told { engine } else { watch::channel(Engine::Unknown).1 }
    }

    async fn adopt(&self, tasks: &[Launch]) -> Result<Vec<Adopted>, LauncherUnavailable> {
        if tasks.iter().any(Launch::needs_engine) {
            self.machine.ask_engine()?;
        }
        let now = Instant::now();
        let adopt = |launch: &Launch| {
            let id = launch.task_id();
            let status = self.machine.tasks().get(id).map(|task| self.machine.state_at(id, task, now).0);
            match status {
                None => Adopted::Missing,
                Some(status) if status.state().is_terminal() => {
                    self.machine.tasks().remove(id);
                    Adopted::Ended(status)
                }
                Some(status) => {
                    self.watch(id.clone(), Some(status.clone()));
                    Adopted::Running(status)
                }
            }
        };
        Ok(tasks.iter().map(adopt).collect())
    }

    async fn sweep(&self, owned: &BTreeSet<TaskId>) -> Result<Vec<String>, LauncherUnavailable> {
        self.machine.ask_engine()?;
        let mut tasks = self.machine.tasks();
        let unowned: Vec<TaskId> = tasks.keys().filter(|id| !owned.contains(id)).cloned().collect();
        for id in &unowned {
            tasks.remove(id);
        }
        Ok(unowned.into_iter().map(|id| id.value).collect())
    }
}
