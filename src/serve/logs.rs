//! The output of tasks, from the executor to the front door.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::keyed::KeyedWay;
use crate::api::{Agent, Task};
use crate::controllers::{FRAMEWORK_ID, agent_key, task_key};
use crate::executor::launcher::TASKS;
use crate::executor::logs::{self as executor, LogQuery, Stream, TaskLogs};
use crate::executor::process::TaskDir;
use crate::mesos::http::{FileError, HasEnded, sandbox_path};
use crate::mesos::wire::{ExecutorId, FrameworkId, TaskId};
use crate::registry::{Cache, Key};
use crate::runtime::Facts;
use crate::server::{self, LogError, LogStream};

/// The output of this machine's tasks.
#[derive(Debug)]
pub(super) struct LocalLogs {
    logs: TaskLogs,
}

impl LocalLogs {
    pub(super) fn new(logs: TaskLogs) -> LocalLogs {
        LocalLogs { logs }
    }

    async fn one(
        &self,
        task: &TaskId,
        stream: Stream,
        query: server::LogQuery,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, LogError> {
        let query = LogQuery { stream, tail_lines: query.tail_lines, follow: query.follow };
        let output = self.logs.read(task, query).await.map_err(|error| match error {
            executor::LogError::NotKept { .. } => LogError::Absent(error.to_string()),
            executor::LogError::Read { .. } | executor::LogError::Engine { .. } => {
                LogError::Unavailable(error.to_string())
            }
        })?;
        Ok(output.map(|piece| piece.map_err(io::Error::other)).boxed())
    }
}

#[async_trait]
impl server::TaskLogs for LocalLogs {
    async fn open(
        &self,
        task: &Task,
        query: server::LogQuery,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, LogError> {
        let Some(binding) = &task.spec.binding else { return Err(not_placed()) };
        let id = TaskId { value: binding.mesos_task_id.clone() };
        match query.stream {
            LogStream::Stdout => self.one(&id, Stream::Stdout, query).await,
            LogStream::Stderr => self.one(&id, Stream::Stderr, query).await,
            LogStream::Both => {
                let out = self.one(&id, Stream::Stdout, query).await?;
                let err = self.one(&id, Stream::Stderr, query).await?;
                Ok(stream::select(out, err).boxed())
            }
        }
    }
}

/// The output of tasks on Apache Mesos: the files `stdout` and `stderr` of their sandboxes, from the agents.
#[derive(Debug)]
pub(super) struct SandboxLogs {
    pub(super) way: Arc<KeyedWay>,
    pub(super) facts: Facts,
    pub(super) cache: Arc<Cache>,
}

impl SandboxLogs {
    async fn one(
        &self,
        place: &Place,
        file: &str,
        query: server::LogQuery,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, LogError> {
        let file = place.folder.join(file).display().to_string();
        let path = sandbox_path(&place.framework, &place.executor, &file);
        let file = self.way.agents().file(&place.agent, path).map_err(told)?;
        let follow = query.follow.then(|| self.has_ended(&place.task));
        file.tail(query.tail_lines, follow).await.map_err(told)
    }

    /// Where the sandbox of `task` is.
    async fn place(&self, task: &Task) -> Result<Place, LogError> {
        let Some(binding) = &task.spec.binding else { return Err(not_placed()) };
        let unknown = |what: &str| {
            let text = format!("the task's agent {} ({}) {what}", binding.host, binding.agent_id);
            LogError::Unavailable(text)
        };
        let agent = agent_key(&binding.agent_id);
        let doc = self.cache.snapshot().get(&agent).cloned();
        let doc = doc
            .ok_or_else(|| unknown("is not part of the cluster any more: its sandboxes are out of reach"))?;
        let status = doc.typed::<Agent>().ok().and_then(|agent| agent.status.clone()).unwrap_or_default();
        let address = status.address.ok_or_else(|| unknown("has not told yet where it listens"))?;
        let framework = self.facts.read(FRAMEWORK_ID).await;
        let framework = framework.map_err(|error| LogError::Unavailable(error.to_string()))?;
        let Some(framework) = framework else { return Err(not_placed()) };
        Ok(Place {
            agent: if self.way.has_tls() { named(&status.hostname, &address) } else { address },
            framework: FrameworkId::new(String::from_utf8_lossy(&framework)),
            executor: ExecutorId::new(binding.executor()),
            // One that runs several tasks has a folder for each.
            folder: binding.executor_id.as_ref().map_or_else(PathBuf::new, |_| {
                TaskDir::of(Path::new(TASKS), &TaskId::new(&*binding.mesos_task_id)).path().to_owned()
            }),
            task: task_key(task),
        })
    }

    /// Tells of the Task whether it writes no more.
    fn has_ended(&self, task: &Key) -> HasEnded {
        let (cache, task) = (self.cache.clone(), task.clone());
        Arc::new(move || {
            let doc = cache.snapshot().get(&task).cloned();
            doc.and_then(|doc| doc.typed::<Task>().ok()).is_none_or(|task| task.is_terminal())
        })
    }
}

#[async_trait]
impl server::TaskLogs for SandboxLogs {
    async fn open(
        &self,
        task: &Task,
        query: server::LogQuery,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, LogError> {
        let place = self.place(task).await?;
        match query.stream {
            LogStream::Stdout => self.one(&place, "stdout", query).await,
            LogStream::Stderr => self.one(&place, "stderr", query).await,
            LogStream::Both => {
                let out = self.one(&place, "stdout", query).await?;
                let err = self.one(&place, "stderr", query).await?;
                Ok(stream::select(out, err).boxed())
            }
        }
    }
}

/// Where a task's sandbox is.
struct Place {
    /// `HOST:PORT`.
    agent: String,
    framework: FrameworkId,
    executor: ExecutorId,
    /// The task's part of the sandbox.
    folder: PathBuf,
    task: Key,
}

/// The address with the machine's name, which is what stands in its certificate.
fn named(hostname: &str, address: &str) -> String {
    match address.rsplit_once(':') {
        Some((_, port)) => format!("{hostname}:{port}"),
        None => address.to_owned(),
    }
}

fn not_placed() -> LogError {
    LogError::Absent("the task has not been placed yet: there is no output".to_owned())
}

fn told(error: FileError) -> LogError {
    match error {
        FileError::Absent { agent, path } => LogError::Absent(format!(
            "the agent at {agent} has no {path}: the task has not begun to write, or its sandbox was collected (agents keep it for \
             their --gc_delay, a week by default)"
        )),
        error @ (FileError::Unreachable { .. } | FileError::Refused { .. }) => {
            LogError::Unavailable(error.to_string())
        }
    }
}
