//! Thin calls to dockerd. Each says in its error which operation failed on what, and whether dockerd answered at all:
//! a task ends only by what dockerd says, never because dockerd is away.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as Bollard;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerSummary, EventMessage, ExecConfig,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, EventsOptionsBuilder,
    KillContainerOptionsBuilder, ListContainersOptionsBuilder, LogsOptions, RemoveContainerOptionsBuilder,
};
use futures::{Stream, StreamExt, TryStreamExt};
use http::HeaderValue;

use crate::executor::task::RegistryLogin;

/// Where dockerd listens when `DOCKER_HOST` does not say otherwise.
pub const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// No call may hang for ever (dockerd has had bugs where one did), but a volume driver may attach for minutes.
const CALL_TIMEOUT: Duration = Duration::from_secs(300);

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Connect,
    Ping,
    Create,
    Start,
    Inspect,
    List,
    Kill,
    Remove,
    InspectImage,
    Pull,
    Events,
    Exec,
    Logs,
}

impl Operation {
    fn words(self) -> &'static str {
        match self {
            Operation::Connect => "connect to dockerd at",
            Operation::Ping => "get an answer of dockerd at",
            Operation::Create => "create container",
            Operation::Start => "start container",
            Operation::Inspect => "inspect container",
            Operation::List => "list the containers of installation",
            Operation::Kill => "signal container",
            Operation::Remove => "remove container",
            Operation::InspectImage => "inspect image",
            Operation::Pull => "pull image",
            Operation::Events => "follow the events of installation",
            Operation::Exec => "run a command in container",
            Operation::Logs => "read the output of container",
        }
    }
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to {} {subject}: {fault}", operation.words())]
pub struct EngineError {
    pub operation: Operation,
    pub subject: String,
    pub fault: Fault,
}

/// How it failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// dockerd did not answer, or is stopping: nothing is known about the outcome. Try again.
    #[error("dockerd is away: {0}")]
    Away(String),
    /// No such container, image, network or plugin.
    #[error("{0}")]
    NotFound(String),
    /// The name is taken, or the container is not in the state that the call needs.
    #[error("{0}")]
    Conflict(String),
    /// dockerd refused, in its own words.
    #[error("{0}")]
    Refused(String),
}

impl EngineError {
    /// Whether the same call may succeed later without any change of ours.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self.fault, Fault::Away(_))
    }

    /// Whether dockerd knows nothing of that name.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.fault, Fault::NotFound(_))
    }

    /// Whether the name is taken or the state is wrong.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self.fault, Fault::Conflict(_))
    }
}

/// An image of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// A digest.
    pub id: String,
    /// Whom its processes run as; empty where it does not say.
    pub user: String,
}

/// dockerd, at one address. Cloning is cheap.
#[derive(Clone)]
pub struct Engine {
    host: String,
    /// Made at the first call that finds the socket: dockerd may start after Tenure.
    docker: Arc<OnceLock<Docker>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Engine").field(&self.host).finish()
    }
}

impl Engine {
    /// dockerd at `host` (`unix:///path`). Connects at the first call.
    #[must_use]
    pub fn new(host: &str) -> Engine {
        Engine { host: host.to_owned(), docker: Arc::default() }
    }

    /// dockerd where `DOCKER_HOST` says, else at its usual socket.
    #[must_use]
    pub fn from_environment() -> Engine {
        let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        Engine::new(host.as_deref().unwrap_or(DEFAULT_HOST))
    }

    /// The address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether there is a socket at its address: without one no dockerd can be listening there.
    #[must_use]
    pub fn has_socket(&self) -> bool {
        self.host.strip_prefix("unix://").is_none_or(|path| PathBuf::from(path).exists())
    }

    /// Asks it for nothing but an answer.
    ///
    /// # Errors
    /// When there is none within `limit`.
    pub async fn ping(&self, limit: Duration) -> Result<(), EngineError> {
        let late = || Fault::Away(format!("no answer within {} s", limit.as_secs()));
        let asked = tokio::time::timeout(limit, self.docker()?.ping()).await;
        let fault = match asked {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => fault_of(&error),
            Err(_) => late(),
        };
        Err(EngineError { operation: Operation::Ping, subject: self.host.clone(), fault })
    }

    pub(super) fn docker(&self) -> Result<&Docker, EngineError> {
        if let Some(docker) = self.docker.get() {
            return Ok(docker);
        }
        let fault = |fault| EngineError { operation: Operation::Connect, subject: self.host.clone(), fault };
        if !self.host.starts_with("unix://") {
            let only = "only unix:///path is supported: tasks, volumes and ports must be this machine's";
            return Err(fault(Fault::Refused(only.to_owned())));
        }
        if !self.has_socket() {
            return Err(fault(Fault::Away("the socket does not exist".to_owned())));
        }
        let connected =
            Docker::connect_with_unix(&self.host, CALL_TIMEOUT.as_secs(), bollard::API_DEFAULT_VERSION)
                .map_err(|error| fault(fault_of(&error)))?
                .with_request_modifier(url_safe_registry_auth);
        Ok(self.docker.get_or_init(|| connected))
    }

    /// Makes a container that does not run yet; its id.
    ///
    /// # Errors
    /// `NotFound`: the image or a volume plugin is missing. `Conflict`: the name is taken.
    pub async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<String, EngineError> {
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let made = self.docker()?.create_container(Some(options), body).await;
        Ok(made.map_err(failed(Operation::Create, name))?.id)
    }

    /// Starts it; a container that runs already is a success.
    ///
    /// # Errors
    /// In dockerd's words: command not found, port taken, network missing.
    pub async fn start(&self, name: &str) -> Result<(), EngineError> {
        self.docker()?.start_container(name, None).await.map_err(failed(Operation::Start, name))
    }

    /// All about one container.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub async fn inspect(&self, name: &str) -> Result<ContainerInspectResponse, EngineError> {
        self.docker()?.inspect_container(name, None).await.map_err(failed(Operation::Inspect, name))
    }

    /// Every container, running or not, that carries the label `label` with the value `value`.
    ///
    /// # Errors
    /// When dockerd is away.
    pub async fn list(&self, label: &str, value: &str) -> Result<Vec<ContainerSummary>, EngineError> {
        let filters = [("label", vec![format!("{label}={value}")])].into_iter().collect();
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        self.docker()?.list_containers(Some(options)).await.map_err(failed(Operation::List, value))
    }

    /// Sends a signal. A container that is gone or does not run is a success.
    ///
    /// # Errors
    /// When dockerd is away or cannot deliver it.
    pub async fn kill(&self, name: &str, signal: &str) -> Result<(), EngineError> {
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        let sent = self.docker()?.kill_container(name, Some(options)).await;
        settled(sent.map_err(failed(Operation::Kill, name)))
    }

    /// Removes it with its anonymous volumes, killing it if it runs. One that is gone is a success.
    ///
    /// # Errors
    /// When dockerd is away or cannot remove it.
    pub async fn remove(&self, name: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let removed = self.docker()?.remove_container(name, Some(options)).await;
        settled(removed.map_err(failed(Operation::Remove, name)))
    }

    /// What there is to know of a local image.
    ///
    /// # Errors
    /// `NotFound` when this machine does not have it.
    pub async fn image(&self, image: &str) -> Result<Image, EngineError> {
        let found =
            self.docker()?.inspect_image(image).await.map_err(failed(Operation::InspectImage, image))?;
        let user = found.config.and_then(|config| config.user).unwrap_or_default();
        Ok(Image { id: found.id.unwrap_or_default(), user })
    }

    /// Pulls an image to the end; dockerd reports failures inside a successful answer.
    ///
    /// # Errors
    /// In dockerd's or the registry's words.
    pub async fn pull(
        &self,
        image: &str,
        tag: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<(), EngineError> {
        let options = CreateImageOptionsBuilder::new().from_image(image).tag(tag).build();
        let credentials = login.map(|login| bollard::auth::DockerCredentials {
            username: Some(login.username.clone()),
            password: Some(login.password.clone()),
            serveraddress: Some(login.server.clone()),
            ..Default::default()
        });
        let progress = self.docker()?.create_image(Some(options), None, credentials);
        progress
            .try_for_each(|_| std::future::ready(Ok(())))
            .await
            .map_err(failed(Operation::Pull, &pulled(image, tag, login)))
    }

    /// What happens to the containers with that label from `since` (seconds, with a fraction) on. Ends when dockerd does.
    ///
    /// # Errors
    /// When dockerd is away.
    pub fn events(
        &self,
        label: &str,
        value: &str,
        since: &str,
    ) -> Result<impl Stream<Item = Result<EventMessage, EngineError>> + use<>, EngineError> {
        let filters = [
            ("type", vec!["container".to_owned()]),
            ("label", vec![format!("{label}={value}")]),
            ("event", ["start", "die", "destroy"].map(str::to_owned).to_vec()),
        ];
        let options =
            EventsOptionsBuilder::new().filters(&filters.into_iter().collect()).since(since).build();
        let subject = value.to_owned();
        let events = self.docker()?.clone().events(Some(options));
        Ok(events.map_err(move |error| failed(Operation::Events, &subject)(error)))
    }

    /// Makes a command in a container, to be run by [`Exec::run`]. Its output is discarded.
    ///
    /// # Errors
    /// When the container does not run.
    pub async fn exec(&self, name: &str, command: &[String]) -> Result<Exec<'_>, EngineError> {
        let config = ExecConfig {
            cmd: Some(command.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let docker = self.docker()?;
        let made = docker.create_exec(name, config).await.map_err(failed(Operation::Exec, name))?;
        Ok(Exec { docker, id: made.id, container: name.to_owned() })
    }

    /// The container's output as dockerd kept it.
    ///
    /// # Errors
    /// When dockerd is away.
    pub fn logs(
        &self,
        name: &str,
        options: LogsOptions,
    ) -> Result<impl Stream<Item = Result<bytes::Bytes, EngineError>> + use<>, EngineError> {
        let subject = name.to_owned();
        let output = self.docker()?.clone().logs(name, Some(options));
        Ok(output.map(move |chunk| match chunk {
            Ok(chunk) => Ok(chunk.into_bytes()),
            Err(error) => Err(failed(Operation::Logs, &subject)(error)),
        }))
    }
}

/// A command in a container, made but not started.
#[derive(Debug)]
pub struct Exec<'a> {
    docker: &'a Docker,
    id: String,
    container: String,
}

impl Exec<'_> {
    /// Starts it and waits; its exit code. Dropping the future leaves the command running: [`Exec::pid`] finds it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn run(&self) -> Result<i64, EngineError> {
        use bollard::exec::StartExecResults;
        let started = self.docker.start_exec(&self.id, None).await.map_err(self.failed())?;
        if let StartExecResults::Attached { mut output, .. } = started {
            while let Some(chunk) = output.next().await {
                chunk.map_err(self.failed())?;
            }
        }
        let ended = self.docker.inspect_exec(&self.id).await.map_err(self.failed())?;
        // An exit code is missing only while it runs, and its output has just ended.
        Ok(ended.exit_code.unwrap_or(-1))
    }

    /// Its process on this machine, while it runs.
    ///
    /// # Errors
    /// When dockerd is away.
    pub async fn pid(&self) -> Result<Option<i32>, EngineError> {
        let exec = self.docker.inspect_exec(&self.id).await.map_err(self.failed())?;
        let running = exec.running == Some(true);
        Ok(exec.pid.filter(|pid| running && *pid > 0).and_then(|pid| i32::try_from(pid).ok()))
    }

    fn failed(&self) -> impl FnOnce(Bollard) -> EngineError {
        failed(Operation::Exec, &self.container)
    }
}

/// What is pulled, and as whom: a registry's refusal tells neither.
fn pulled(image: &str, tag: &str, login: Option<&RegistryLogin>) -> String {
    match login {
        Some(login) => format!("{image}:{tag} as user {:?}", login.username),
        None => format!("{image}:{tag}"),
    }
}

/// dockerd reads this header as URL-safe base64; the library writes the other alphabet.
fn url_safe_registry_auth(mut request: bollard::BollardRequest) -> bollard::BollardRequest {
    if let Some(value) = request.headers_mut().get_mut("x-registry-auth") {
        let safe: Vec<u8> = value
            .as_bytes()
            .iter()
            .map(|b| match b {
                b'+' => b'-',
                b'/' => b'_',
                other => *other,
            })
            .collect();
        if let Ok(mut header) = HeaderValue::from_bytes(&safe) {
            header.set_sensitive(true);
            *value = header;
        }
    }
    request
}

pub(super) fn failed(operation: Operation, subject: &str) -> impl FnOnce(Bollard) -> EngineError + use<> {
    let subject = subject.to_owned();
    move |error| EngineError { operation, subject, fault: fault_of(&error) }
}

/// Gone, or not running, is what a kill and a removal wanted.
fn settled(result: Result<(), EngineError>) -> Result<(), EngineError> {
    match result {
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
        other => other,
    }
}

fn fault_of(error: &Bollard) -> Fault {
    match error {
        Bollard::DockerResponseServerError { status_code, message } => {
            let message = message.trim().to_owned();
            match status_code {
                404 => Fault::NotFound(message),
                409 => Fault::Conflict(message),
                503 => Fault::Away(message),
                500 if is_stopping(&message) => Fault::Away(message),
                _ => Fault::Refused(message),
            }
        }
        Bollard::DockerStreamError { error } => Fault::Refused(error.clone()),
        Bollard::DockerContainerWaitError { error, .. } => Fault::Refused(error.clone()),
        Bollard::RequestTimeoutError => Fault::Away(format!("no answer in {} s", CALL_TIMEOUT.as_secs())),
        Bollard::SocketNotFoundError(_) => Fault::Away("the socket does not exist".to_owned()),
        Bollard::IOError { .. } | Bollard::HyperResponseError { .. } | Bollard::HyperLegacyError { .. } => {
            Fault::Away(root(error))
        }
        other => Fault::Refused(chain(other)),
    }
}

/// What a stopping dockerd answers to calls that it had already accepted.
fn is_stopping(message: &str) -> bool {
    ["transport is closing", "containerd.sock", "context canceled", "daemon is shutting down"]
        .iter()
        .any(|words| message.contains(words))
}

/// The innermost cause: what lies around it are the layers of the HTTP client.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
