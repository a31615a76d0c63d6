//! A command in the container of a task, by `docker exec`.

use async_trait::async_trait;
use futures::StreamExt;
use rustix::process::{Pid, Signal, kill_process};

use super::frames::{End, Frame, Size};
use super::{Command, Control, Running};
use crate::executor::docker::{Attached, Engine};

/// Starts it.
///
/// # Errors
/// In dockerd's words.
pub(super) async fn start(engine: &Engine, container: &str, command: &Command) -> Result<Running, String> {
    let Command { argv, terminal, stdin } = command;
    let attached = engine.attach(container, argv, *terminal, *stdin).await;
    let Attached { output, input, exec } = attached.map_err(|error| error.to_string())?;
    let output = output.map(|piece| {
        piece.map(|(is_error, bytes)| if is_error { Frame::Stderr(bytes) } else { Frame::Stdout(bytes) })
    });
    let control = Box::new(InContainer { engine: engine.clone(), exec });
    Ok(Running { input: stdin.then_some(input), output: output.boxed(), control })
}

struct InContainer {
    engine: Engine,
    /// dockerd's name of it.
    exec: String,
}

#[async_trait]
impl Control for InContainer {
    async fn resize(&self, size: Size) {
        if let Err(error) = self.engine.resize_exec(&self.exec, size.width, size.height).await {
            tracing::debug!(%error, "a terminal keeps its size");
        }
    }

    async fn end(&mut self) -> End {
        match self.engine.exec_state(&self.exec).await {
            Ok(state) => match state.exit_code {
                Some(code) => End::ExitCode(code),
                None => End::Failed("its output has ended, and it has not".to_owned()),
            },
            Err(error) => End::Failed(error.to_string()),
        }
    }

    /// Docker has no call for it, but the process is one of this machine's.
    async fn kill(&mut self) {
        if let Ok(state) = self.engine.exec_state(&self.exec).await
            && let Some(pid) = state.pid.and_then(Pid::from_raw)
        {
            let _gone = kill_process(pid, Signal::KILL);
        }
    }
}
