//! Commands beside tasks, from the front door to the executor: in this process, or over a line that the task's executor makes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use http::header::{CONNECTION, UPGRADE};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use kube::core::{ObjectMeta, Status};
use tokio::time::{Instant, timeout_at};

use super::leader::{WhoLeads, root};
use crate::api::exec::PROTOCOL;
use crate::api::{Binding, Containerizer, GROUP, Phase, Revision, Task};
use crate::cli::connection::with_query;
use crate::controllers::{MessageError, Messages};
use crate::env::Env;
use crate::executor::LocalLauncher;
use crate::executor::exec::Command;
use crate::mesos::wire::{AgentId, ExecOrder, ExecutorData, ExecutorId, TaskId};
use crate::registry::{Cache, Key, Resource};
use crate::server::{ExecError, ExecRequest, Line, Lines, PEER_EXEC, TaskExec};

/// How much of what is written may wait to be read.
const BUFFER: usize = 64 * 1024;
/// How long it may take until an executor has been told and has made its line.
const LINE_MAX: Duration = Duration::from_secs(15);

/// How long the leader may take to answer: it waits for the line itself.
const LEADER_PATIENCE: Duration = LINE_MAX.saturating_add(Duration::from_secs(10));
const THROUGH_LEADER: &str = "executors are reached through the leader";

/// Commands beside this machine's tasks.
#[derive(Debug)]
pub(super) struct LocalExec {
    pub(super) env: Env,
    pub(super) launcher: LocalLauncher,
}

#[async_trait]
impl TaskExec for LocalExec {
    async fn open(&self, task: &Task, request: ExecRequest) -> Result<Line, ExecError> {
        let id = TaskId::new(&running(task)?.mesos_task_id);
        let ExecRequest { argv, terminal, stdin } = request;
        let (ours, theirs) = tokio::io::duplex(BUFFER);
        let launcher = self.launcher.clone();
        self.env.spawn("exec", async move {
            launcher.exec(&id, &Command { argv, terminal, stdin }, theirs).await;
        });
        Ok(Box::new(ours))
    }

    async fn open_here(&self, task: &Task, request: ExecRequest) -> Result<Line, ExecError> {
        self.open(task, request).await
    }
}

/// Where executors make their lines to.
#[derive(Debug, Clone)]
pub(super) struct ExecDoor {
    /// `HOST:PORT`.
    pub(super) address: String,
    /// How they are met.
    pub(super) lines: Lines,
    /// Who has signed the certificate that is shown there, PEM.
    pub(super) authority: String,
}

/// Commands beside tasks on Apache Mesos.
#[derive(Debug)]
pub(super) struct AgentExec {
    pub(super) env: Env,
    pub(super) messages: Messages,
    pub(super) leader: Arc<WhoLeads>,
    /// Absent where nothing listens.
    pub(super) door: Option<ExecDoor>,
    /// Tells what tasks are made of.
    pub(super) cache: Arc<Cache>,
    /// Whether tasks have our executor.
    pub(super) is_ours: bool,
}

impl AgentExec {
    /// The containerizer of Mesos that runs `task`, if its App has chosen one.
    fn containerizer(&self, task: &Task) -> Option<Containerizer> {
        let namespace = task.metadata.namespace.as_deref().unwrap_or_default();
        let key = Key::new(&Resource::new(GROUP, "revisions"), namespace, &task.spec.revision);
        let revision = self.cache.snapshot().get(&key)?.typed::<Revision>().ok()?;
        revision.spec.template.container.as_ref()?.containerizer
    }
}

#[async_trait]
impl TaskExec for AgentExec {
    async fn open(&self, task: &Task, request: ExecRequest) -> Result<Line, ExecError> {
        if self.messages.leads() {
            return self.open_here(task, request).await;
        }
        let ask = async |leader| ask(leader, task, &request).await;
        match self.leader.asked(THROUGH_LEADER, LEADER_PATIENCE, ask).await {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(why)) => Err(ExecError::Refused(why)),
            Err(why) => Err(ExecError::Unavailable(why)),
        }
    }

    async fn open_here(&self, task: &Task, request: ExecRequest) -> Result<Line, ExecError> {
        let binding = running(task)?;
        if !self.is_ours {
            let text =
                "tasks are run by Mesos's own executors (--mesos-executor off), into which there is no line";
            return Err(ExecError::Refused(text.to_owned()));
        }
        if let Some(containerizer) = self.containerizer(task) {
            let text = format!(
                "the task is run by Mesos's own executor (containerizer: {containerizer:?}), into which there is no line"
            );
            return Err(ExecError::Refused(text));
        }
        let Some(door) = &self.door else {
            let text =
                "executors have nowhere to make their lines to: start this server with --artifact-listen";
            return Err(ExecError::Unavailable(text.to_owned()));
        };
        let expected = door.lines.expect(&self.env);
        let ExecRequest { argv, terminal, stdin } = request;
        let id = &binding.mesos_task_id;
        let ExecDoor { address: server, authority, .. } = door.clone();
        let (token, authority) = (expected.token().to_owned(), Some(authority));
        let order = ExecOrder { task: TaskId::new(id), argv, terminal, stdin, server, token, authority };
        let (agent, executor) = (AgentId::new(&binding.agent_id), ExecutorId::new(binding.executor()));
        let until = Instant::now() + LINE_MAX;
        let sent = self.messages.send(agent, executor, ExecutorData::Exec(order).encode());
        let Ok(sent) = timeout_at(until, sent).await else {
            return Err(ExecError::Unavailable(format!(
                "the Mesos master, which passes it on to the task's executor, has not taken the command within {} s",
                LINE_MAX.as_secs()
            )));
        };
        match sent {
            Ok(()) => {}
            Err(MessageError::NotLeading) => {
                let text = self.leader.told(THROUGH_LEADER).await;
                return Err(ExecError::Unavailable(text));
            }
            Err(error) => return Err(ExecError::Unavailable(format!("{error}: {}", root(&error)))),
        }
        match timeout_at(until, expected.line()).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) | Err(_) => Err(ExecError::Unavailable(format!(
                "the task's executor on {} made no line to this server within {} s: is --address reachable from there, and is the \
                 task run by tenure-executor?",
                binding.host,
                LINE_MAX.as_secs()
            ))),
        }
    }
}

/// The line that `leader` has to a command beside `task`, or why there can be none; the outer error is the leader's own.
async fn ask(
    leader: kube::Client,
    task: &Task,
    request: &ExecRequest,
) -> Result<Result<Line, String>, String> {
    let ExecRequest { argv, terminal, stdin } = request;
    let flag = |on: &bool| on.then_some("true");
    let ObjectMeta { namespace, name, uid, .. } = &task.metadata;
    let mut query =
        vec![("namespace", namespace.as_deref()), ("name", name.as_deref()), ("uid", uid.as_deref())];
    query.extend([("tty", flag(terminal)), ("stdin", flag(stdin))]);
    query.extend(argv.iter().map(|part| ("command", Some(part.as_str()))));
    let request = http::Request::post(with_query(PEER_EXEC, &query))
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, PROTOCOL)
        .body(Body::empty());
    let answer = leader.send(request.map_err(|error| error.to_string())?).await;
    let answer = answer.map_err(|error| root(&error))?;
    let status = answer.status();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        let line = hyper::upgrade::on(answer).await.map_err(|error| root(&error))?;
        return Ok(Ok(Box::new(TokioIo::new(line))));
    }
    let text = answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    let told = serde_json::from_slice::<Status>(&text).map(|it| it.message);
    let why = told.unwrap_or_else(|_| format!("it answers {status}"));
    match status {
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => Ok(Err(why)),
        _ => Err(why),
    }
}

/// Where a task runs.
fn running(task: &Task) -> Result<&Binding, ExecError> {
    let refused =
        |what: &str| ExecError::Refused(format!("the task {what}: there is nothing to run a command beside"));
    let binding = task.spec.binding.as_ref().ok_or_else(|| refused("has not been placed yet"))?;
    match task.phase() {
        Phase::Running | Phase::Stopping => Ok(binding),
        phase if phase.is_terminal() => Err(refused("has ended")),
        _ => Err(refused("does not run yet")),
    }
}
