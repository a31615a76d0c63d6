//! Commands beside tasks: declared here, implemented over the executor where the rooms are wired.

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::api::Task;

/// Something that can be read and written.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A line to a command. What goes over it is an affair between the client and the executor.
pub type Line = Box<dyn Duplex>;

/// What is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecRequest {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Whether something may be typed.
    pub stdin: bool,
}

/// Why there is no line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// It can never be had for this task, or not any more.
    #[error("{0}")]
    Refused(String),
    /// Not here or not now.
    #[error("{0}")]
    Unavailable(String),
}

/// Runs commands beside tasks.
#[async_trait]
pub trait TaskExec: Send + Sync + 'static {
    /// A line to a command that begins to run beside `task`. The command ends with the line, if not before.
    ///
    /// # Errors
    /// Why there is none.
    async fn open(&self, task: &Task, request: ExecRequest) -> Result<Line, ExecError>;

    /// The same for another server of the installation, which took this one for the leader: from here, or not at all.
    ///
    /// # Errors
    /// As above.
    async fn open_here(&self, task: &Task, request: ExecRequest) -> Result<Line, ExecError>;
}
