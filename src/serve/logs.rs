//! The output of tasks, from the executor to the front door.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use crate::api::Task;
use crate::executor::logs::{self as executor, LogQuery, Stream, TaskLogs};
use crate::mesos::wire::TaskId;
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
        let Some(binding) = &task.spec.binding else {
            return Err(LogError::Absent("the task has not been placed yet: there is no output".to_owned()));
        };
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

/// The output of tasks on Apache Mesos, which nobody fetches yet.
#[derive(Debug)]
pub(super) struct NoLogs;

#[async_trait]
impl server::TaskLogs for NoLogs {
    async fn open(
        &self,
        _task: &Task,
        _query: server::LogQuery,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, LogError> {
        let why =
            "the output of tasks on Apache Mesos is not fetched yet: it stands in the sandbox on the agent";
        Err(LogError::Unavailable(why.to_owned()))
    }
}
