//! Commands that people run beside a task: in its container, or with the environment of its process; with a terminal or without.
//!
//! ```text
//! line ── stdin, size ──▶ session ──▶ command (container | process)
//!      ◀─ stdout, stderr, end ──  ◀──
//! ```
//!
//! Whoever is at the other end of the line decides how long it lasts: when the line breaks, the command is ended.

mod container;
pub mod frames;
mod process;
pub mod terminal;

use std::io;
use std::pin::Pin;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use self::frames::{End, Frame, Size, read, write};
use super::docker::container_name;
use super::launcher::LocalLauncher;
use crate::mesos::wire::TaskId;

/// What is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Whether it has a terminal; then its two outputs are one.
    pub terminal: bool,
    /// Whether something may be typed.
    pub stdin: bool,
}

/// A command that runs, with its ends in our hands.
struct Running {
    /// Absent where nothing may be typed.
    input: Option<Pin<Box<dyn AsyncWrite + Send>>>,
    /// Ends when nobody can write any more.
    output: BoxStream<'static, io::Result<Frame>>,
    control: Box<dyn Control>,
}

/// What else can be done with a command that runs.
#[async_trait]
trait Control: Send + Sync {
    async fn resize(&self, size: Size);

    /// How it ended; called when its output has.
    async fn end(&mut self) -> End;

    /// Ends it by force.
    async fn kill(&mut self);
}

impl LocalLauncher {
    /// Runs `command` beside `task` for whoever is at the other end of `line`: until it ends, or the line does. The last frame
    /// tells how it ended, or why it did not begin.
    pub async fn exec(&self, task: &TaskId, command: &Command, line: impl AsyncRead + AsyncWrite + Send) {
        let (mut from, mut to) = tokio::io::split(Box::pin(line));
        let running = match self.start(task, command).await {
            Ok(running) => running,
            Err(why) => return say(&mut to, End::Failed(why)).await,
        };
        let Running { mut input, mut output, mut control } = running;
        let told = {
            let heard = listen(&mut from, &mut input, &*control);
            let told = tell(&mut output, &mut to);
            tokio::select! {
                biased;
                told = told => told,
                () = heard => false,
            }
        };
        if told {
            let end = control.end().await;
            return say(&mut to, end).await;
        }
        tracing::debug!(%task, "nobody listens any more: the command is ended");
        control.kill().await;
    }

    async fn start(&self, task: &TaskId, command: &Command) -> Result<Running, String> {
        if command.argv.is_empty() {
            return Err("there is no command".to_owned());
        }
        match self.runs_in_container(task) {
            Some(true) => container::start(&self.containers().engine, &container_name(task), command).await,
            Some(false) => process::start(self.processes(), task, command).await,
            None => Err("the task does not run here".to_owned()),
        }
    }
}

/// Passes on what is typed, until the line ends.
async fn listen(
    from: &mut (impl AsyncRead + Unpin),
    input: &mut Option<Pin<Box<dyn AsyncWrite + Send>>>,
    control: &dyn Control,
) {
    let mut heard = Vec::new();
    loop {
        match read(from, &mut heard).await {
            Ok(Some(Frame::Stdin(bytes))) => {
                let Some(open) = input.as_mut() else { continue };
                // A command need not read to the end: its own end is told by its output.
                if open.write_all(&bytes).await.is_err() || open.flush().await.is_err() {
                    *input = None;
                }
            }
            Ok(Some(Frame::StdinEnds)) => {
                if let Some(mut open) = input.take() {
                    let _gone = open.shutdown().await;
                }
            }
            Ok(Some(Frame::Size(size))) => control.resize(size).await,
            Ok(Some(Frame::Stdout(_) | Frame::Stderr(_) | Frame::End(_))) => {}
            Ok(None) => return,
            Err(error) => return tracing::debug!(%error, "the line is broken"),
        }
    }
}

/// Passes on what is written; whether somebody heard it to the end.
async fn tell(
    output: &mut BoxStream<'static, io::Result<Frame>>,
    to: &mut (impl AsyncWrite + Unpin),
) -> bool {
    while let Some(frame) = output.next().await {
        match frame {
            Ok(frame) if write(to, &frame).await.is_err() => return false,
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "output of a command is lost");
                return true;
            }
        }
    }
    true
}

async fn say(to: &mut (impl AsyncWrite + Unpin), end: End) {
    if let Err(error) = write(to, &Frame::End(end)).await {
        return tracing::debug!(%error, "nobody heard how a command ended");
    }
    let _gone = to.shutdown().await;
}
