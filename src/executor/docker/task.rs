//! One container from the launcher's side:
//!
//! ```text
//! image ──▶ create ──▶ start ──▶ running ──▶ ended ──▶ removed (once its end is recorded)
//!             │ name taken: ours is adopted, a stranger's is an error
//! ```
//!
//! While dockerd is away every step waits and tries again; only dockerd's own word moves a task on.

use std::fs::Permissions;
use std::future::Future;
use std::net::IpAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::{ContainerCreateBody, ContainerInspectResponse, ContainerState};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::Semaphore;

use super::engine::{Engine, EngineError, Image};
use super::events::{Events, Followed};
use super::gpus;
use super::image::{ImageError, Images, Wanted};
use super::leftovers::{make_room, may_be_left};
use super::owner::Owner;
use super::spec::{TASK_ID_LABEL, container_name, create_request, effective_network};
use crate::env::{Env, watch};
use crate::executor::checks::ProbeCommand;
use crate::executor::logs::LogLimits;
use crate::executor::report::Reporter;
use crate::executor::retry::Backoff;
use crate::executor::run::{End, Order, Running, Turn, ordered};
use crate::executor::task::{Container, Task};
use crate::mesos::wire::Engine as State;

/// Creates, starts and removals under way at once. Measured: dockerd starts no more containers per second with more than 16
/// at a time, it only takes longer for each; with 4 it starts a fifth fewer.
pub(crate) const AT_ONCE_MAX: usize = 16;
/// A look at local images takes milliseconds; what takes longer than this is a pull, and people are told.
const PULL_SHOWS_AFTER: Duration = Duration::from_millis(300);
/// dockerd answers a first call in milliseconds; it is busy, or hangs.
const ANSWER_SHOWS_AFTER: Duration = Duration::from_secs(2);
/// How long a launch waits for the ports of dead executors' containers: one that dockerd cannot end holds up nobody for longer.
const ROOM_MAX: Duration = Duration::from_secs(5);
const AWAY_FIRST: Duration = Duration::from_millis(100);
const AWAY_MAX: Duration = Duration::from_secs(2);
/// Docker's own default, when neither image nor task names one.
const STOP_SIGNAL: &str = "SIGTERM";

/// The containers of one owner on one dockerd.
#[derive(Debug, Clone)]
pub struct Containers {
    pub env: Env,
    pub engine: Engine,
    pub images: Images,
    pub events: Events,
    pub owner: Owner,
    pub logs: LogLimits,
    pub slots: Arc<Semaphore>,
    /// The sandbox of an executor of one task, which stands in its container: a user of the container that is not root gets the
    /// right to use it.
    pub home: Option<PathBuf>,
}

/// Why a container does not run, short of being told to stop.
enum Failure {
    End(End),
    /// The image that was there is not there any more.
    ImageGone,
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Failure {
        Failure::End(End::NotStarted { why: error.to_string() })
    }
}

impl Containers {
    /// Everything about containers behind one dockerd; [`Events::run`] must be spawned beside it.
    #[must_use]
    pub fn new(env: Env, engine: Engine, owner: Owner, logs: LogLimits, home: Option<PathBuf>) -> Containers {
        Containers {
            env,
            images: Images::new(engine.clone()),
            engine,
            events: Events::default(),
            owner,
            logs,
            slots: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            home,
        }
    }

    /// The container runs afterwards. If it was made before, that one is taken up, whatever state it is in.
    ///
    /// # Errors
    /// How the task ended instead.
    pub async fn start(
        &self,
        task: &Task,
        container: &Container,
        order: &mut Order,
        reporter: &Reporter,
    ) -> Result<RunningContainer, End> {
        if let Some(why) = self.absence(order, reporter).await? {
            return Err(End::NotStarted { why: format!("this machine has no Docker engine: {why}") });
        }
        let mut body = create_request(task, container, self.logs)
            .map_err(|error| End::NotStarted { why: error.to_string() })?;
        if self.owner.executor.is_some() {
            gpus::name(&mut body, task.resources.gpus, Path::new("/"))
                .map_err(|why| End::NotStarted { why })?;
        }
        let labels = self.owner.labels().into_iter().map(|(label, value)| (label.to_owned(), value));
        body.labels.get_or_insert_default().extend(labels);
        let wanted = wanted(task, container);
        match self.attempt(task, &body, &wanted, order, reporter).await {
            Err(Failure::ImageGone) => {
                self.images.forget(&wanted);
                let again = self.attempt(task, &body, &wanted, order, reporter).await;
                again.map_err(|failure| match failure {
                    Failure::End(end) => end,
                    Failure::ImageGone => End::NotStarted {
                        why: format!("image {} disappears as soon as it is there", wanted.image),
                    },
                })
            }
            Err(Failure::End(end)) => Err(end),
            Ok(running) => Ok(running),
        }
    }

    /// Waits until it is known whether there is an engine at all; why there is none.
    async fn absence(&self, order: &mut Order, reporter: &Reporter) -> Result<Option<String>, End> {
        let mut engine = self.events.engine();
        let mut told = false;
        loop {
            match &*engine.borrow_and_update() {
                State::Unknown => {}
                State::Absent { why } => return Ok(Some(why.clone())),
                State::Ready | State::Away { .. } => return Ok(None),
            }
            tokio::select! {
                biased;
                _ = ordered(order) => return Err(End::KilledBeforeStart),
                changed = engine.changed() => if changed.is_err() { std::future::pending::<()>().await },
                () = self.env.sleep(ANSWER_SHOWS_AFTER), if !told => {
                    told = true;
                    reporter.starting("waiting for an answer of dockerd".to_owned()).await;
                }
            }
        }
    }

    async fn attempt(
        &self,
        task: &Task,
        body: &ContainerCreateBody,
        wanted: &Wanted,
        order: &mut Order,
        reporter: &Reporter,
    ) -> Result<RunningContainer, Failure> {
        let name = container_name(&task.id);
        let followed = self.events.follow(&name);
        let image = self.image(wanted, order, reporter).await?;
        if may_be_left(&self.owner) {
            tokio::select! {
                biased;
                _ = ordered(order) => return Err(Failure::End(End::KilledBeforeStart)),
                _ = make_room_in_time(self) => {}
            }
        }
        self.welcome(body.user.as_ref().unwrap_or(&image.user));
        let slot = tokio::select! {
            biased;
            _ = ordered(order) => return Err(Failure::End(End::KilledBeforeStart)),
            slot = self.slots.acquire() => slot,
        };
        let id = self.create(task, &name, body, order).await?;
        self.env.seam("container-created");
        if order.borrow().is_some() {
            return Err(Failure::End(End::KilledBeforeStart));
        }
        let mut started = self.patiently(order, || self.engine.start(&name)).await;
        // What it lacks (a port) a container may hold whose executor is dead and has left no sign.
        if matches!(started, Err(Failed::Engine(_)))
            && self.owner.executor.is_some()
            && make_room_in_time(self).await
        {
            started = self.patiently(order, || self.engine.start(&name)).await;
        }
        started?;
        self.env.seam("container-started");
        drop(slot);
        let state = self.events.engine();
        Ok(RunningContainer {
            containers: self.clone(),
            name,
            id,
            followed,
            look: false,
            address: None,
            state,
        })
    }

    /// Lets a user who is not root use the container's folder. It is theirs, and nobody else's, where the image or the App gives a
    /// number; a name means something in the image alone, and opens it as `/tmp` is.
    fn welcome(&self, user: &str) {
        let Some(home) = self.home.as_ref().filter(|_| !is_root(user)) else { return };
        // An executor that is not root cannot give it away.
        if numbers(user).is_some_and(|(uid, gid)| chown(home, Some(uid), gid).is_ok()) {
            return;
        }
        if let Err(error) = std::fs::set_permissions(home, Permissions::from_mode(0o1777)) {
            tracing::warn!(user, %error, "the container's user may not be able to use the sandbox");
        }
    }

    /// The machine has the image afterwards. What it waits for is told: a pull, or a dockerd that does not answer.
    async fn image(&self, wanted: &Wanted, order: &mut Order, reporter: &Reporter) -> Result<Image, Failure> {
        let mut engine = self.events.engine();
        let mut backoff = Backoff::new(AWAY_FIRST, AWAY_MAX);
        let mut told = false;
        let mut ensuring = Box::pin(self.images.ensure(wanted));
        loop {
            tokio::select! {
                biased;
                _ = ordered(order) => return Err(Failure::End(End::KilledBeforeStart)),
                ensured = &mut ensuring => match ensured {
                    Ok(image) => return Ok(image),
                    Err(error) if error.is_away() => {
                        self.env.sleep(backoff.next()).await;
                        ensuring = Box::pin(self.images.ensure(wanted));
                    }
                    Err(error) => return Err(Failure::End(End::NotStarted { why: image_words(&error) })),
                },
                why = changed(&mut engine) => {
                    told = true;
                    let words = why.unwrap_or_else(|| format!("waiting for image {}", wanted.image));
                    reporter.starting(words).await;
                }
                () = self.env.sleep(PULL_SHOWS_AFTER), if !told => {
                    told = true;
                    reporter.starting(format!("waiting for image {}", wanted.image)).await;
                }
            }
        }
    }

    /// The container exists afterwards and is this task's; its id.
    async fn create(
        &self,
        task: &Task,
        name: &str,
        body: &ContainerCreateBody,
        order: &mut Order,
    ) -> Result<String, Failure> {
        let created = self.patiently(order, || self.engine.create(name, body.clone())).await;
        match created {
            Ok(id) => Ok(id),
            Err(Failed::Engine(error)) if error.is_conflict() => self.take_up(task, name, order).await,
            // dockerd answers 404 for a missing volume plugin as well.
            Err(Failed::Engine(error))
                if error.is_not_found() && error.to_string().contains("No such image") =>
            {
                Err(Failure::ImageGone)
            }
            Err(failed) => Err(failed.into()),
        }
    }

    /// The name is taken: by an earlier launch of this very task, or by a stranger.
    async fn take_up(&self, task: &Task, name: &str, order: &mut Order) -> Result<String, Failure> {
        let found = self.patiently(order, || self.engine.inspect(name)).await?;
        let label = |label: &str| found.config.as_ref()?.labels.as_ref()?.get(label).map(String::as_str);
        let ours = label(TASK_ID_LABEL) == Some(&*task.id.value) && self.owner.owns(label);
        if !ours {
            let why = format!("container name {name} is taken by a container that is not this task's");
            return Err(Failure::End(End::NotStarted { why }));
        }
        match end_of(found.state.as_ref()) {
            Some(end) => Err(Failure::End(end)),
            None => Ok(found.id.unwrap_or_default()),
        }
    }

    /// Repeats a call until dockerd has answered, or the task is told to stop.
    async fn patiently<T, F: Future<Output = Result<T, EngineError>>>(
        &self,
        order: &mut Order,
        call: impl Fn() -> F,
    ) -> Result<T, Failed> {
        let mut backoff = Backoff::new(AWAY_FIRST, AWAY_MAX);
        loop {
            match call().await {
                Err(error) if error.is_away() => {
                    tokio::select! {
                        biased;
                        _ = ordered(order) => return Err(Failed::Ordered),
                        () = self.env.sleep(backoff.next()) => {}
                    }
                }
                Err(error) => return Err(Failed::Engine(error)),
                Ok(value) => return Ok(value),
            }
        }
    }

    /// A container that was found running.
    #[must_use]
    pub fn found(&self, name: &str, id: &str, address: Option<IpAddr>) -> RunningContainer {
        let followed = self.events.follow(name);
        // What happened between the finding and the following is not in any event: look once.
        RunningContainer {
            containers: self.clone(),
            name: name.to_owned(),
            id: id.to_owned(),
            followed,
            look: true,
            address,
            state: self.events.engine(),
        }
    }

    /// Whether nothing is left of the container of that name: false when dockerd refuses to remove it (a busy mount), which it is
    /// asked however long it is away. Where there is no engine there is no container.
    pub async fn remove(&self, name: &str) -> bool {
        if matches!(*self.events.engine().borrow(), State::Absent { .. }) {
            return true;
        }
        let mut backoff = Backoff::new(AWAY_FIRST, AWAY_MAX);
        loop {
            // The semaphore is never closed.
            let _slot = self.slots.acquire().await;
            match self.engine.remove(name).await {
                Ok(()) => return true,
                Err(error) if error.is_away() => {}
                Err(error) => {
                    tracing::warn!(%error, "the container of a task that has ended stays for now");
                    return false;
                }
            }
            self.env.sleep(backoff.next()).await;
        }
    }
}

/// As [`make_room`], which holds up a launch for no longer than [`ROOM_MAX`].
async fn make_room_in_time(containers: &Containers) -> bool {
    tokio::time::timeout(ROOM_MAX, make_room(containers)).await.unwrap_or(false)
}

/// Why a call was given up.
enum Failed {
    Engine(EngineError),
    Ordered,
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Failure {
        match failed {
            Failed::Engine(error) => error.into(),
            Failed::Ordered => Failure::End(End::KilledBeforeStart),
        }
    }
}

fn wanted(task: &Task, container: &Container) -> Wanted {
    let revision = task.labels.get("tenure.dev/revision");
    Wanted {
        image: container.image.clone(),
        policy: container.pull,
        login: container.registry_login.clone(),
        scope: revision.unwrap_or(&task.id.value).clone(),
    }
}

/// The user and group that `UID` or `UID:GID` gives.
fn numbers(user: &str) -> Option<(u32, Option<u32>)> {
    let (uid, gid) = user.split_once(':').unwrap_or((user, ""));
    Some((uid.parse().ok()?, gid.parse().ok()))
}

fn is_root(user: &str) -> bool {
    matches!(user.split(':').next(), None | Some("" | "0" | "root"))
}

fn image_words(error: &ImageError) -> String {
    error.to_string()
}

/// A container that was started.
#[derive(Debug)]
pub struct RunningContainer {
    containers: Containers,
    name: String,
    id: String,
    followed: Followed,
    /// An event, or a doubt, that has not been looked into yet.
    look: bool,
    address: Option<IpAddr>,
    /// Whether dockerd can be asked about it.
    state: watch::Receiver<State>,
}

impl RunningContainer {
    /// Docker's id of it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its own address, on a network that gives it one. Asks dockerd the first time.
    pub async fn address(&mut self, container: &Container) -> Option<IpAddr> {
        if self.address.is_none() && effective_network(container).has_own_address() {
            // A container that has ended already, or a dockerd that is away, gives no address; its end follows.
            let found = self.containers.engine.inspect(&self.name).await.ok()?;
            self.look |= end_of(found.state.as_ref()).is_some();
            self.address = address_of(&found);
        }
        self.address
    }

    /// Runs commands in it.
    #[must_use]
    pub fn commands(&self) -> ContainerCommand {
        ContainerCommand { engine: self.containers.engine.clone(), name: self.name.clone() }
    }

    async fn stop_signal(&self) -> Result<String, EngineError> {
        let found = self.containers.engine.inspect(&self.name).await?;
        let signal = found.config.and_then(|config| config.stop_signal).filter(|signal| !signal.is_empty());
        Ok(signal.unwrap_or_else(|| STOP_SIGNAL.to_owned()))
    }
}

#[async_trait]
impl Running for RunningContainer {
    async fn next(&mut self) -> Turn {
        let mut backoff = Backoff::new(AWAY_FIRST, AWAY_MAX);
        loop {
            if !self.look {
                tokio::select! {
                    biased;
                    () = self.followed.changed() => self.look = true,
                    why = changed(&mut self.state) => return Turn::Doubt(why),
                }
            }
            match self.containers.engine.inspect(&self.name).await {
                Ok(found) => match end_of(found.state.as_ref()) {
                    Some(end) => return Turn::Ended(end),
                    None => self.look = false,
                },
                Err(error) if error.is_not_found() => {
                    let why = "its container was removed by someone else".to_owned();
                    return Turn::Ended(End::Vanished { why });
                }
                // Away, or an answer that says nothing about the container: ask again.
                Err(_) => tokio::select! {
                    biased;
                    why = changed(&mut self.state) => return Turn::Doubt(why),
                    () = self.containers.env.sleep(backoff.next()) => {}
                },
            }
        }
    }

    async fn stop(&mut self) -> Result<(), String> {
        let signal = self.stop_signal().await.map_err(|error| error.to_string())?;
        self.containers.engine.kill(&self.name, &signal).await.map_err(|error| error.to_string())
    }

    async fn kill(&mut self) -> Result<(), String> {
        self.containers.engine.kill(&self.name, "SIGKILL").await.map_err(|error| error.to_string())
    }
}

/// Why dockerd cannot be asked from now on; nothing when it can again.
async fn changed(state: &mut watch::Receiver<State>) -> Option<String> {
    if state.changed().await.is_err() {
        // Whoever knew is gone, and with it the whole node.
        std::future::pending::<()>().await;
    }
    state.borrow_and_update().trouble().map(str::to_owned)
}

/// How a container ended, if it has. One that was created and never started has not.
pub(super) fn end_of(state: Option<&ContainerState>) -> Option<End> {
    use bollard::models::ContainerStateStatusEnum::{DEAD, EXITED, REMOVING};
    let state = state?;
    let ended = matches!(state.status, Some(EXITED | DEAD | REMOVING)) && state.running != Some(true);
    ended.then(|| End::Exited {
        code: state.exit_code.unwrap_or(-1),
        out_of_memory: state.oom_killed == Some(true),
    })
}

fn address_of(found: &ContainerInspectResponse) -> Option<IpAddr> {
    let networks = found.network_settings.as_ref()?.networks.as_ref()?;
    networks.values().find_map(|network| network.ip_address.as_ref()?.parse().ok())
}

/// Commands of health checks in a container, by `docker exec`.
#[derive(Debug, Clone)]
pub struct ContainerCommand {
    engine: Engine,
    name: String,
}

#[async_trait]
impl ProbeCommand for ContainerCommand {
    async fn run(&self, argv: &[String], limit: Duration) -> Result<i32, String> {
        let exec = self.engine.exec(&self.name, argv).await.map_err(|error| error.to_string())?;
        match tokio::time::timeout(limit, exec.run()).await {
            Ok(Ok(code)) => i32::try_from(code).map_err(|_| format!("exit code {code}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => {
                // Docker has no call that ends an exec, but its process is one of this machine's.
                if let Ok(Some(pid)) = exec.pid().await
                    && let Some(pid) = Pid::from_raw(pid)
                {
                    let _gone = kill_process(pid, Signal::KILL);
                }
                Err(format!("no result within {limit:?}"))
            }
        }
    }
}
