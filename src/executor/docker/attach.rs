//! A command in a container with its ends in our hands: what is typed, what is written, the size of its terminal, its end.

use std::fmt;
use std::io;
use std::pin::Pin;

use bollard::container::LogOutput;
use bollard::exec::{ResizeExecOptions, StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::io::AsyncWrite;

use super::engine::{Engine, EngineError, Fault, Operation, failed};

/// Whether it is of the second output, and what was written.
type Piece = (bool, Vec<u8>);

/// A command that runs in a container.
pub struct Attached {
    pub output: BoxStream<'static, io::Result<Piece>>,
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// dockerd's name of it.
    pub exec: String,
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Attached").field(&self.exec).finish()
    }
}

/// What dockerd knows of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecState {
    /// Once it has ended.
    pub exit_code: Option<i64>,
    /// Its process on this machine, while it runs.
    pub pid: Option<i32>,
}

impl Engine {
    /// Runs a command in a container, with a terminal or without.
    ///
    /// # Errors
    /// When the container does not run, or there is no such program in it.
    pub async fn attach(
        &self,
        name: &str,
        argv: &[String],
        terminal: bool,
        stdin: bool,
    ) -> Result<Attached, EngineError> {
        let config = ExecConfig {
            cmd: Some(argv.to_vec()),
            attach_stdin: Some(stdin),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(terminal),
            ..ExecConfig::default()
        };
        let docker = self.docker()?;
        let exec = docker.create_exec(name, config).await.map_err(failed(Operation::Exec, name))?.id;
        let options = StartExecOptions { detach: false, tty: terminal, output_capacity: None };
        let started = docker.start_exec(&exec, Some(options)).await.map_err(failed(Operation::Exec, name))?;
        let StartExecResults::Attached { output, input } = started else {
            let fault = Fault::Refused("dockerd started it without its ends".to_owned());
            return Err(EngineError { operation: Operation::Exec, subject: name.to_owned(), fault });
        };
        let output = output.map(|piece| match piece {
            Ok(LogOutput::StdErr { message }) => Ok((true, message.to_vec())),
            Ok(other) => Ok((false, other.into_bytes().to_vec())),
            Err(error) => Err(io::Error::other(error)),
        });
        Ok(Attached { output: output.boxed(), input, exec })
    }

    /// Tells a command how large its terminal is.
    ///
    /// # Errors
    /// When it has ended, or has none.
    pub async fn resize_exec(&self, exec: &str, width: u16, height: u16) -> Result<(), EngineError> {
        let size = ResizeExecOptions { height, width };
        self.docker()?.resize_exec(exec, size).await.map_err(failed(Operation::Exec, exec))
    }

    /// Whether a command runs, or how it ended.
    ///
    /// # Errors
    /// When dockerd is away, or has forgotten it.
    pub async fn exec_state(&self, exec: &str) -> Result<ExecState, EngineError> {
        let known = self.docker()?.inspect_exec(exec).await.map_err(failed(Operation::Exec, exec))?;
        let runs = known.running == Some(true);
        let pid = known.pid.filter(|pid| runs && *pid > 0).and_then(|pid| i32::try_from(pid).ok());
        Ok(ExecState { exit_code: known.exit_code.filter(|_| !runs), pid })
    }
}
