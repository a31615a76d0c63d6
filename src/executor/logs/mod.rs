//! What tasks wrote: kept per task and stream up to a size, readable while the task runs and until it is removed.
//!
//! Processes write through their shim into files that it rotates; containers through Docker's `json-file` driver with
//! the same limits. Both are read through [`TaskLogs`].

mod capture;
mod docker;
mod files;
mod lines;
mod rotate;

use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

pub use capture::{Capture, OutputFiles};
pub use docker::read_container;
pub use files::read_files;
pub use rotate::RotatingFile;

use crate::executor::docker::container_name;
use crate::executor::launcher::LocalLauncher;
use crate::mesos::wire::TaskId;

/// Which output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    /// The name of its file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// How much output of one stream is kept: `files` pieces of at most `file_bytes` each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    pub file_bytes: u64,
    pub files: u32,
}

impl Default for LogLimits {
    /// 10 MB, three times.
    fn default() -> LogLimits {
        LogLimits { file_bytes: 10_000_000, files: 3 }
    }
}

impl LogLimits {
    /// As options of Docker's `json-file` driver, which counts both streams and its own JSON.
    #[must_use]
    pub fn docker_options(self) -> [(String, String); 2] {
        [
            ("max-size".to_owned(), self.file_bytes.to_string()),
            ("max-file".to_owned(), self.files.max(1).to_string()),
        ]
    }
}

/// What to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogQuery {
    pub stream: Stream,
    /// Only this many lines from the end; all that is kept otherwise.
    pub tail_lines: Option<u64>,
    /// Go on with what is written later, until the task has ended and all is read.
    pub follow: bool,
}

/// Why output cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("no output is kept of task {task}")]
    NotKept { task: TaskId },
    #[error("failed to read the output of task {task}: {source}")]
    Read { task: TaskId, source: std::io::Error },
    #[error("failed to read the output of task {task}: {source}")]
    Engine { task: TaskId, source: crate::executor::docker::EngineError },
}

/// A task's output, in pieces of any size.
pub type Output = BoxStream<'static, Result<Bytes, LogError>>;

/// Where the output of this machine's tasks is read.
#[derive(Debug, Clone)]
pub struct TaskLogs {
    launcher: LocalLauncher,
}

impl TaskLogs {
    /// The output of the tasks of this launcher.
    #[must_use]
    pub fn new(launcher: LocalLauncher) -> TaskLogs {
        TaskLogs { launcher }
    }

    /// The output of one stream of a task.
    ///
    /// # Errors
    /// [`LogError::NotKept`] when this machine knows nothing of the task or has no container of it, and
    /// [`LogError::Engine`] when no Docker engine answers; later failures come within the stream.
    pub async fn read(&self, task: &TaskId, query: LogQuery) -> Result<Output, LogError> {
        match self.launcher.runs_in_container(task) {
            None => Err(LogError::NotKept { task: task.clone() }),
            Some(true) => {
                let containers = self.launcher.containers();
                let (env, engine) = (containers.env.clone(), containers.engine.clone());
                let name = container_name(task);
                // Asked first: a stream that has begun can only be cut.
                engine.inspect(&name).await.map_err(|source| match source.is_not_found() {
                    true => LogError::NotKept { task: task.clone() },
                    false => LogError::Engine { task: task.clone(), source },
                })?;
                Ok(read_container(env, engine, name, task.clone(), query))
            }
            Some(false) => {
                let dir = self.launcher.processes().dir(task);
                Ok(read_files(task.clone(), dir.output(query.stream.name()), dir.exit_file(), query))
            }
        }
    }
}
