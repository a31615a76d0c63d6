//! The launcher of this machine: one loop per task, from its launch or adoption to its removal, in a container or as a
//! plain process.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{OnceCell, mpsc};
use tokio::time::Instant;

use crate::env::{Env, watch};
use crate::executor::checks::{Check, LOOPBACK, ProbeCommand, Prober, Target};
use crate::executor::docker::adopt::{self, Found, FoundState};
use crate::executor::docker::{
    Containers, Engine, Executor, Owner, Sweep, container_name, effective_network, guard,
};
use crate::executor::life::{Life, Signs};
use crate::executor::logs::{Capture, LogLimits, OutputFiles};
use crate::executor::process::{ProcessError, ProcessRun, Processes, SandboxCommand, environment};
use crate::executor::report::{Reporter, container_status, process_status};
use crate::executor::run::{End, Findings, Group, Order, stand_by};
use crate::executor::task::{Container, Network, Task, Volume, VolumeSource};
use crate::executor::wire;
use crate::mesos::launcher::fetch::fetch;
use crate::mesos::launcher::{Adopted, Launch, Launcher, LauncherUnavailable, ReportSink};
use crate::mesos::wire::{ContainerStatus, Engine as State, TaskId, TaskState, TaskStatus};

/// A verdict that waits to be reported is enough: the prober waits with the next one.
const FINDINGS: usize = 1;

/// How many failed tasks are kept for a look at their output. The rest, and all at the next start, is removed.
const FAILED_KEPT_MAX: usize = 20;
/// Of how many tasks that have ended an executor of many keeps the output.
const ENDED_KEPT_MAX: usize = 20;

/// What a launcher needs to know.
#[derive(Debug, Clone)]
pub struct LauncherConfig {
    /// The installation's uid, on every container.
    pub installation: String,
    /// dockerd's address, `unix:///path`.
    pub docker_host: String,
    /// Below it each plain process has its folder.
    pub process_dir: PathBuf,
    /// The program that understands `shim`.
    pub shim: PathBuf,
    pub logs: LogLimits,
    /// Where a Mesos agent has made a sandbox for this process.
    pub sandbox: Option<Sandbox>,
}

/// The folder, in the sandbox of an executor of many tasks, with a folder for each.
pub const TASKS: &str = "tasks";

/// Whose an executor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    /// It came with its task, and ends with it.
    OneTask,
    /// All tasks of its agent.
    ManyTasks,
}

/// The sandbox of an executor. That of one task is the task's: it runs there, or finds it at [`SANDBOX_INSIDE`], and its output is
/// kept there. With many tasks each has a folder of its own in it.
#[derive(Debug, Clone)]
pub struct Sandbox {
    pub serves: Serves,
    /// As this process sees it.
    pub path: PathBuf,
    /// As the machine's Docker engine sees it.
    pub host_path: PathBuf,
    /// Which executor this is, of all on this machine.
    pub executor: String,
    /// A file that this process keeps locked from its first container on, as others on the machine see it, and what process it is.
    pub lock: PathBuf,
    pub process: String,
    /// The files of all executors like this one; absent where it cannot have its own among them.
    pub signs: Option<Signs>,
    /// How containers of dead executors are looked for; absent where they are not.
    pub sweep: Option<Sweep>,
}

impl Sandbox {
    /// A path in it as the machine's Docker engine sees it.
    fn on_host(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.path).map_or_else(|_| path.to_owned(), |inner| self.host_path.join(inner))
    }
}

/// Where a container finds its task's sandbox; Mesos's own path.
const SANDBOX_INSIDE: &str = "/mnt/mesos/sandbox";

/// Runs tasks on this machine.
#[derive(Clone)]
pub struct LocalLauncher {
    inner: Arc<Inner>,
}

struct Inner {
    env: Env,
    containers: Containers,
    processes: Processes,
    sandbox: Option<Sandbox>,
    /// Others see by it that this process lives. It has none before its first container.
    life: OnceCell<Life>,
    /// Something outlives this process that ends its containers, if it has any.
    guarded: OnceCell<()>,
    sink: ReportSink,
    tasks: Mutex<BTreeMap<TaskId, Handle>>,
    /// Tasks that ended and whose output is kept a while, the oldest first: in a shared sandbox, of any end; elsewhere, of those that
    /// failed, whose remains are kept, too.
    kept: Mutex<VecDeque<TaskId>>,
    /// Folders that nobody owned are gone: they are looked for once, when there are no newer ones yet.
    folders_swept: AtomicBool,
}

/// The way to a task's loop.
struct Handle {
    reporter: Reporter,
    order: watch::Sender<Option<Instant>>,
    in_container: bool,
}

impl std::fmt::Debug for LocalLauncher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LocalLauncher").field(&self.inner.containers.engine).finish()
    }
}

/// How a task's loop begins.
enum Begin {
    Launch,
    Container { id: String, address: Option<IpAddr> },
    Process(ProcessRun),
}

impl LocalLauncher {
    /// A launcher whose tasks report to `sink`. Begins to follow dockerd's events and, where it is one of several on the machine, to
    /// look for containers that dead ones have left.
    #[must_use]
    pub fn new(env: Env, config: LauncherConfig, sink: ReportSink) -> LocalLauncher {
        let LauncherConfig { installation, docker_host, process_dir, shim, logs, sandbox } = config;
        let engine = Engine::new(&docker_host);
        let executor = sandbox.clone().map(|it| {
            let Sandbox { executor: id, lock, process, signs, .. } = it;
            Executor { id, lock, process, signs }
        });
        let owner = Owner { installation, executor };
        let home =
            sandbox.as_ref().filter(|it| it.serves == Serves::OneTask).map(|sandbox| sandbox.path.clone());
        let containers = Containers::new(env.clone(), engine.clone(), owner.clone(), logs, home.clone());
        env.spawn("docker events", containers.events.clone().run(env.clone(), engine, owner));
        if let Some(sweep) = sandbox.as_ref().and_then(|sandbox| sandbox.sweep.clone()) {
            env.spawn("leftovers", sweep.run(containers.clone()));
        }
        let parent = sandbox.as_ref().map(|_| rustix::process::getpid().as_raw_nonzero().get());
        let processes = Processes { env: env.clone(), root: process_dir, shim, logs, home, parent };
        let (tasks, kept, folders_swept) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        let (life, guarded) = (OnceCell::new(), OnceCell::new());
        let inner =
            Inner { env, containers, processes, sandbox, life, guarded, sink, tasks, kept, folders_swept };
        LocalLauncher { inner: Arc::new(inner) }
    }

    /// The containers, for whoever reads their output or runs commands in them.
    #[must_use]
    pub fn containers(&self) -> &Containers {
        &self.inner.containers
    }

    /// The plain processes.
    #[must_use]
    pub fn processes(&self) -> &Processes {
        &self.inner.processes
    }

    /// Nothing is left of the task afterwards but its output, if that is in a sandbox, however it stands. False when dockerd refuses
    /// to remove its container. One that is unknown is a success.
    pub async fn discard(&self, task_id: &TaskId) -> bool {
        let handle = self.inner.tasks().remove(task_id);
        let Some(handle) = handle else { return true };
        if self.inner.sandbox.as_ref().is_some_and(|it| it.serves == Serves::ManyTasks) {
            self.inner.leave_output(task_id, &handle).await
        } else {
            self.inner.discard(task_id, &handle).await
        }
    }

    /// Nothing is left that anybody would have to look after: this process's guard goes, too.
    pub fn leave(&self) {
        if let Some(life) = self.inner.life.get() {
            life.end();
        }
    }

    /// Whether a task runs in a container; nothing when it is not known here.
    #[must_use]
    pub fn runs_in_container(&self, id: &TaskId) -> Option<bool> {
        self.inner.tasks().get(id).map(|handle| handle.in_container)
    }
}

impl Inner {
    fn tasks(&self) -> std::sync::MutexGuard<'_, BTreeMap<TaskId, Handle>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the task known; its reporter and the order that it must obey. Nothing when it is known already.
    fn enter(&self, id: &TaskId, in_container: bool) -> Option<(Reporter, Order)> {
        let mut tasks = self.tasks();
        if tasks.contains_key(id) {
            return None;
        }
        let reporter = Reporter::new(id.clone(), self.sink.clone());
        let (order, obey) = watch::channel(None);
        tasks.insert(id.clone(), Handle { reporter: reporter.clone(), order, in_container });
        Some((reporter, obey))
    }

    /// Which task's remains go now that `ended` may go: its own, or, so that the output of what failed can still be read,
    /// those of the oldest failed task that was kept.
    fn to_remove(&self, ended: &TaskId) -> Option<TaskId> {
        let state = self.tasks().get(ended)?.reporter.status().state();
        if state != TaskState::Failed {
            return Some(ended.clone());
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.contains(ended) {
            kept.push_back(ended.clone());
        }
        if kept.len() > FAILED_KEPT_MAX { kept.pop_front() } else { None }
    }

    /// Removes the container of a task that has ended, and the output of the one that ended so many ends ago. Whether the container is
    /// gone.
    async fn leave_output(&self, id: &TaskId, handle: &Handle) -> bool {
        let is_gone = !handle.in_container || self.containers.remove(&container_name(id)).await;
        let oldest = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push_back(id.clone());
            if kept.len() > ENDED_KEPT_MAX { kept.pop_front() } else { None }
        };
        if let Some(oldest) = oldest {
            self.remove_folder(&oldest).await;
        }
        is_gone
    }

    async fn remove_folder(&self, id: &TaskId) {
        if let Err(error) = self.processes.remove(self.processes.dir(id)).await {
            tracing::warn!(task = %id, %error, "folder is left until the next start");
        }
    }

    /// Whether no container is left.
    async fn discard(&self, id: &TaskId, handle: &Handle) -> bool {
        let is_gone = !handle.in_container || self.containers.remove(&container_name(id)).await;
        // In a sandbox nothing of ours is there; what looks so a container has put there.
        if !handle.in_container || self.sandbox.is_none() {
            // A container has a folder if something was fetched for it.
            self.remove_folder(id).await;
        }
        is_gone
    }

    fn spawn(self: &Arc<Self>, task: Task, begin: Begin, reporter: Reporter, order: Order) {
        let inner = self.clone();
        self.env.spawn("task", async move { inner.live(task, begin, reporter, order).await });
    }

    /// One task's life. Its terminal report is the last thing that it does.
    async fn live(&self, task: Task, begin: Begin, reporter: Reporter, mut order: Order) {
        let end = match &task.container {
            Some(container) => self.live_in_container(&task, container, begin, &reporter, &mut order).await,
            None => self.live_as_process(&task, begin, &reporter, &mut order).await,
        };
        let ordered = order.borrow().is_some();
        reporter.ended(&end, ordered).await;
    }

    async fn live_in_container(
        &self,
        task: &Task,
        container: &Container,
        begin: Begin,
        reporter: &Reporter,
        order: &mut Order,
    ) -> End {
        let adopted = matches!(begin, Begin::Container { .. });
        let placed = if adopted { Ok(None) } else { self.in_sandbox(task, container, order).await };
        let placed = match placed {
            Ok(placed) => placed,
            Err(end) => return end,
        };
        let output = self.sandbox.as_ref().map(|sandbox| self.output_files(task, sandbox));
        let running = match (begin, &placed) {
            (Begin::Container { id, address }, _) => {
                Ok(self.containers.found(&container_name(&task.id), &id, address))
            }
            (_, Some((task, container))) => self.containers.start(task, container, order, reporter).await,
            (_, None) => self.containers.start(task, container, order, reporter).await,
        };
        let mut running = match running {
            Ok(running) => running,
            Err(end) => return end,
        };
        let address = running.address(container).await;
        if !adopted {
            reporter.running(Some(self.status_of(container, running.id(), address))).await;
        }
        let Containers { env, engine, .. } = &self.containers;
        let output = output.map(|files| Capture::begin(env, engine, &task.id, files));
        let findings = self.probe(task, address.unwrap_or(LOOPBACK), Arc::new(running.commands()));
        let end = stand_by(&mut running, order, findings, reporter).await;
        if let Some(output) = output {
            output.finish().await;
        }
        end
    }

    /// What is told of a running container. Among other machines its address on a bridge leads nobody anywhere: told nothing, the agent
    /// names its own address, where the container's ports are.
    fn status_of(&self, container: &Container, id: &str, address: Option<IpAddr>) -> ContainerStatus {
        let network = effective_network(container);
        let is_reachable = self.sandbox.is_none() || network != Network::Bridge;
        let address = address.filter(|_| is_reachable).map(|address| address.to_string());
        container_status(id, network.mode(), address.as_deref())
    }

    /// What a container writes goes there.
    fn output_files(&self, task: &Task, sandbox: &Sandbox) -> OutputFiles {
        let dir = self.processes.dir(&task.id);
        let folder = if sandbox.serves == Serves::ManyTasks { dir.path() } else { &sandbox.path };
        OutputFiles::open(folder, self.containers.logs)
    }

    /// The container with the task's sandbox in it, where it has one: of its agent's making, or of ours because something is to be
    /// fetched.
    async fn in_sandbox(
        &self,
        task: &Task,
        container: &Container,
        order: &mut Order,
    ) -> Result<Option<(Task, Container)>, End> {
        let folder = match &self.sandbox {
            Some(sandbox) => {
                self.guard().await;
                if sandbox.serves == Serves::ManyTasks {
                    sandbox.on_host(&self.filled(task, order).await?)
                } else {
                    sandbox.host_path.clone()
                }
            }
            None if task.fetch.is_empty() => return Ok(None),
            None => self.filled(task, order).await?,
        };
        let (mut task, mut container) = (task.clone(), container.clone());
        task.env.insert("MESOS_SANDBOX".to_owned(), SANDBOX_INSIDE.to_owned());
        container.volumes.push(Volume {
            container_path: SANDBOX_INSIDE.to_owned(),
            source: VolumeSource::HostPath(folder.display().to_string()),
            read_only: false,
        });
        Ok(Some((task, container)))
    }

    /// The task's folder, with all that it wants fetched in it, for whoever the image's processes run as: who may look into it from
    /// outside is decided by the folder around it.
    async fn filled(&self, task: &Task, order: &mut Order) -> Result<PathBuf, End> {
        let folder = self.fetched(task, order).await?;
        let open = std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777));
        open.map_err(|error| End::NotStarted { why: format!("{}: {error}", folder.display()) })?;
        Ok(folder)
    }

    /// Sees to it, before there is a container, that none outlives this process for long.
    async fn guard(&self) {
        let Containers { owner, engine, .. } = &self.containers;
        let Some(executor) = &owner.executor else { return };
        if let Err(error) = self.life.get_or_try_init(async || Life::begin(&executor.lock)).await {
            tracing::warn!(
                lock = %executor.lock.display(),
                %error,
                "that this executor lives is to be seen by its process alone"
            );
        }
        let begun = self.guarded.get_or_try_init(|| guard::begin(&self.processes.shim, owner, engine.host()));
        if let Err(why) = begun.await {
            tracing::warn!(
                why,
                "containers that outlive this executor are left to any other one on this machine"
            );
        }
    }

    /// The task's folder, with all that it wants fetched in it; unless it is told to end before.
    async fn fetched(&self, task: &Task, order: &mut Order) -> Result<PathBuf, End> {
        let dir = self.processes.dir(&task.id);
        let folder = self.processes.home_of(&dir);
        let failed = |error: &dyn std::fmt::Display| End::NotStarted { why: error.to_string() };
        dir.create().map_err(|error| failed(&format!("failed to make {}: {error}", folder.display())))?;
        let all = async {
            for uri in &task.fetch {
                fetch(uri, &folder).await.map_err(|error| failed(&error))?;
            }
            Ok(())
        };
        tokio::select! {
            biased;
            Ok(_) = order.wait_for(Option::is_some) => return Err(End::KilledBeforeStart),
            done = all => done?,
        }
        Ok(folder)
    }

    /// Starts a plain process, once what it wants fetched is there. One that was started before is taken up as it is.
    async fn start_process(&self, task: &Task, order: &mut Order) -> Result<ProcessRun, End> {
        let failed = |error: ProcessError| End::NotStarted { why: error.to_string() };
        if !task.fetch.is_empty() && self.processes.adopt(&task.id).await.map_err(failed)?.is_none() {
            self.fetched(task, order).await?;
        }
        let run = self.processes.start(task).await.map_err(failed)?;
        self.env.seam("process-started");
        Ok(run)
    }

    async fn live_as_process(
        &self,
        task: &Task,
        begin: Begin,
        reporter: &Reporter,
        order: &mut Order,
    ) -> End {
        let adopted = matches!(begin, Begin::Process(_));
        let mut running = match begin {
            Begin::Process(run) => run,
            Begin::Launch | Begin::Container { .. } => {
                if order.borrow().is_some() {
                    return End::KilledBeforeStart;
                }
                match self.start_process(task, order).await {
                    Ok(run) => run,
                    Err(end) => return end,
                }
            }
        };
        if !adopted && running.is_running() {
            reporter.running(Some(process_status(running.pid()))).await;
        }
        let dir = self.processes.dir(&task.id);
        let sandbox = self.processes.home_of(&dir);
        let commands = SandboxCommand { env: environment(task, &sandbox), sandbox };
        let findings = self.probe(task, LOOPBACK, Arc::new(commands));
        stand_by(&mut running, order, findings, reporter).await
    }

    fn probe(&self, task: &Task, address: IpAddr, commands: Arc<dyn ProbeCommand>) -> Findings {
        let target = Target { address, commands, started: Instant::now() };
        let group = |checks: &[Check]| {
            let (findings, receiver) = mpsc::channel(FINDINGS);
            for (index, check) in checks.iter().enumerate() {
                let (env, check, target) = (self.env.clone(), check.clone(), target.clone());
                let prober = Prober { env, index, check, target };
                self.env.spawn("check", prober.run(findings.clone()));
            }
            Group::new(checks.len(), receiver)
        };
        Findings { health: group(&task.health), readiness: group(&task.readiness) }
    }

    /// Fails while dockerd is known not to answer: a call could hang.
    fn ask_engine(&self) -> Result<(), LauncherUnavailable> {
        match self.containers.events.engine().borrow().trouble() {
            Some(why) => Err(LauncherUnavailable { message: why.to_owned() }),
            None => Ok(()),
        }
    }

    /// Ends and removes plain processes that nobody owns; their folders.
    async fn sweep_folders(&self, owned: &BTreeSet<TaskId>) -> Result<Vec<String>, String> {
        let kept: BTreeSet<PathBuf> =
            owned.iter().map(|id| self.processes.dir(id).path().to_owned()).collect();
        let mut removed = Vec::new();
        for dir in self.processes.dirs().map_err(|error| error.to_string())? {
            if !kept.contains(dir.path()) {
                removed.push(dir.path().display().to_string());
                self.processes.remove(dir).await.map_err(|error| error.to_string())?;
            }
        }
        Ok(removed)
    }

    /// What became of one journalled task.
    async fn adopt_one(
        self: &Arc<Self>,
        launch: &Launch,
        found: Option<&Found>,
    ) -> Result<Adopted, LauncherUnavailable> {
        let Ok(task) = wire::task(launch) else { return Ok(Adopted::Missing) };
        if let Some(known) = self.tasks().get(&task.id) {
            return Ok(told(&known.reporter));
        }
        if task.container.is_some() {
            return Ok(self.adopt_container(task, found));
        }
        let run = self.processes.adopt(&task.id).await;
        let run = run.map_err(|error| LauncherUnavailable { message: error.to_string() })?;
        match run {
            Some(run) => Ok(self.adopt_process(task, run).await),
            None => Ok(Adopted::Missing),
        }
    }

    fn adopt_container(self: &Arc<Self>, task: Task, found: Option<&Found>) -> Adopted {
        let Some(found) = found.filter(|found| found.state != FoundState::Created) else {
            return Adopted::Missing;
        };
        let Some((reporter, order)) = self.enter(&task.id, true) else { return Adopted::Missing };
        match &found.state {
            FoundState::Running { address } => {
                let status = task.container.as_ref().map(|it| self.status_of(it, &found.id, *address));
                reporter.set_running(status);
                let adopted = told(&reporter);
                let begin = Begin::Container { id: found.id.clone(), address: *address };
                self.spawn(task, begin, reporter, order);
                adopted
            }
            FoundState::Ended(end) => {
                reporter.set_ended(end, false);
                told(&reporter)
            }
            FoundState::Created => Adopted::Missing,
        }
    }

    async fn adopt_process(self: &Arc<Self>, task: Task, run: ProcessRun) -> Adopted {
        let Some((reporter, order)) = self.enter(&task.id, false) else { return Adopted::Missing };
        if run.is_running() {
            reporter.set_running(Some(process_status(run.pid())));
            let adopted = told(&reporter);
            self.spawn(task, Begin::Process(run), reporter, order);
            return adopted;
        }
        let end = run.ended().await;
        reporter.set_ended(&end, false);
        told(&reporter)
    }
}

/// A task's present status as an answer to the agent.
fn told(reporter: &Reporter) -> Adopted {
    let status = reporter.status();
    if status.state().is_terminal() { Adopted::Ended(status) } else { Adopted::Running(status) }
}

#[async_trait]
impl Launcher for LocalLauncher {
    async fn launch(&self, launch: Launch) {
        let id = launch.task_id().clone();
        let task = match wire::task(&launch) {
            Ok(task) => task,
            Err(error) => {
                let reporter = Reporter::new(id, self.inner.sink.clone());
                return reporter.invalid(error.to_string()).await;
            }
        };
        match self.inner.enter(&id, task.container.is_some()) {
            Some((reporter, order)) => self.inner.spawn(task, Begin::Launch, reporter, order),
            None => {
                let known = self.inner.tasks().get(&id).map(|handle| handle.reporter.clone());
                if let Some(reporter) =
                    known.filter(|reporter| reporter.status().state() != TaskState::Staging)
                {
                    reporter.repeat().await;
                }
            }
        }
    }

    async fn kill(&self, task_id: &TaskId, grace: Duration) {
        let deadline = Instant::now() + grace;
        let known = self.inner.tasks().get(task_id).map(|handle| {
            handle.order.send_if_modified(|order| {
                let sooner = order.is_none_or(|given| deadline < given);
                if sooner {
                    *order = Some(deadline);
                }
                sooner
            });
        });
        if known.is_none() {
            let mut status = TaskStatus::of(task_id.clone(), TaskState::Killed);
            status.message = Some("nothing of the task ran here".to_owned());
            self.inner.sink.report(status).await;
        }
    }

    async fn remove(&self, task_id: &TaskId) {
        let Some(id) = self.inner.to_remove(task_id) else { return };
        let Some(handle) = self.inner.tasks().remove(&id) else { return };
        let inner = self.inner.clone();
        self.inner.env.spawn("remove task", async move {
            // What dockerd refuses to remove is left to the next sweep.
            let _is_gone = inner.discard(&id, &handle).await;
        });
    }

    fn engine(&self) -> watch::Receiver<State> {
        self.inner.containers.events.engine()
    }

    async fn adopt(&self, tasks: &[Launch]) -> Result<Vec<Adopted>, LauncherUnavailable> {
        let any_container = tasks.iter().any(|launch| launch.task.container.is_some());
        let found = if any_container {
            self.inner.ask_engine()?;
            let found = adopt::find(&self.inner.containers).await;
            found.map_err(|error| LauncherUnavailable { message: error.to_string() })?
        } else {
            BTreeMap::new()
        };
        let mut adopted = Vec::with_capacity(tasks.len());
        for launch in tasks {
            adopted.push(self.inner.adopt_one(launch, found.get(launch.task_id())).await?);
        }
        Ok(adopted)
    }

    async fn sweep(&self, owned: &BTreeSet<TaskId>) -> Result<Vec<String>, LauncherUnavailable> {
        let unavailable = |message: String| LauncherUnavailable { message };
        let mut removed = Vec::new();
        if !self.inner.folders_swept.load(Ordering::Relaxed) {
            removed = self.inner.sweep_folders(owned).await.map_err(unavailable)?;
            self.inner.folders_swept.store(true, Ordering::Relaxed);
        }
        self.inner.ask_engine()?;
        let swept = crate::executor::docker::sweep(&self.inner.containers, owned).await;
        removed.extend(swept.map_err(|error| unavailable(error.to_string()))?);
        Ok(removed)
    }
}
