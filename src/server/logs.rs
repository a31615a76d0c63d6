//! Where a task's output comes from: declared here, implemented over the executor where the rooms are wired.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::api::Task;

/// Which of a task's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    Stdout,
    Stderr,
    /// Both, in the order in which they were kept.
    Both,
}

/// What of a task's output is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogQuery {
    /// Go on with what is written from now on, until the task has ended.
    pub follow: bool,
    /// Begin with the last so many lines; `None`: with the first that is kept.
    pub tail_lines: Option<u64>,
    pub stream: LogStream,
}

/// Why there is nothing to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The task has written nothing yet, or what it wrote is no longer kept.
    #[error("{0}")]
    Absent(String),
    /// Whoever keeps the output does not answer.
    #[error("{0}")]
    Unavailable(String),
}

/// Reads what tasks write.
#[async_trait]
pub trait TaskLogs: Send + Sync + 'static {
    /// The output of `task` as it was written, in pieces of any size. Dropping the stream ends the reading.
    async fn open(
        &self,
        task: &Task,
        query: LogQuery,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, LogError>;
}
