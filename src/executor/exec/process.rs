//! A command beside a plain process: in its folder, with its environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Stdio;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::process::{Child, Command as Spawn};

use super::frames::{End, Frame, Size};
use super::terminal::Terminal;
use super::{Command, Control, Running};
use crate::executor::process::Processes;
use crate::mesos::wire::TaskId;

/// How much is read at once.
const PIECE: usize = 16 * 1024;

/// Starts it.
///
/// # Errors
/// When the task has ended, or the system refuses.
pub(super) async fn start(
    processes: &Processes,
    task: &TaskId,
    command: &Command,
) -> Result<Running, String> {
    let dir = processes.dir(task);
    let run = processes.adopt(task).await.map_err(|error| error.to_string())?;
    let pid = run.filter(|run| run.is_running()).and_then(|run| run.pid());
    let pid = pid.ok_or("the task's process does not run")?;
    let environment =
        environment_of(pid).map_err(|error| format!("its environment cannot be read: {error}"))?;
    let home = processes.home_of(&dir);
    let spawn = |program: PathBuf, arguments: Vec<OsString>| {
        let mut spawn = Spawn::new(program);
        spawn.args(arguments).env_clear().envs(environment).current_dir(home).kill_on_drop(true);
        spawn
    };
    let argv = command.argv.iter().map(OsString::from);
    let failed = |error: io::Error| format!("failed to start {}: {error}", command.argv[0]);
    if command.terminal {
        let terminal = Terminal::open().map_err(failed)?;
        let arguments =
            [OsString::from("terminal"), terminal.path().into()].into_iter().chain(argv).collect();
        return with_terminal(spawn(processes.shim.clone(), arguments), terminal, command.stdin)
            .map_err(failed);
    }
    let spawn = spawn(PathBuf::from(&command.argv[0]), argv.skip(1).collect());
    with_pipes(spawn, command.stdin).map_err(failed)
}

fn with_pipes(mut spawn: Spawn, stdin: bool) -> io::Result<Running> {
    let input = if stdin { Stdio::piped() } else { Stdio::null() };
    let spawn = spawn.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = spawn.spawn()?;
    let input = child.stdin.take().map(|input| Box::pin(input) as Pin<Box<dyn AsyncWrite + Send>>);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let out = out.map(|out| pieces(out, Frame::Stdout));
    let err = err.map(|err| pieces(err, Frame::Stderr));
    let output = stream::select_all(out.into_iter().chain(err)).boxed();
    Ok(Running { input, output, control: Box::new(Process { child, terminal: None }) })
}

fn with_terminal(mut spawn: Spawn, terminal: Terminal, stdin: bool) -> io::Result<Running> {
    let child = spawn.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let output = pieces(terminal.clone(), Frame::Stdout);
    let input = stdin.then(|| Box::pin(terminal.clone()) as Pin<Box<dyn AsyncWrite + Send>>);
    Ok(Running { input, output, control: Box::new(Process { child, terminal: Some(terminal) }) })
}

/// What is read, in frames.
fn pieces(
    from: impl AsyncRead + Send + 'static,
    frame: fn(Vec<u8>) -> Frame,
) -> BoxStream<'static, io::Result<Frame>> {
    let from = Box::pin(from);
    let read = stream::try_unfold(from, move |mut from| async move {
        let mut piece = vec![0; PIECE];
        let length = from.read(&mut piece).await?;
        piece.truncate(length);
        Ok((length > 0).then(|| (frame(piece), from)))
    });
    read.boxed()
}

/// What a process was started with.
fn environment_of(pid: i32) -> io::Result<BTreeMap<OsString, OsString>> {
    let whole = std::fs::read(format!("/proc/{pid}/environ"))?;
    let variables = whole.split(|byte| *byte == 0).filter_map(|entry| {
        let at = entry.iter().position(|byte| *byte == b'=')?;
        let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        Some((text(&entry[..at]), text(&entry[at + 1..])))
    });
    Ok(variables.collect())
}

struct Process {
    child: Child,
    terminal: Option<Terminal>,
}

#[async_trait]
impl Control for Process {
    async fn resize(&self, size: Size) {
        if let Some(terminal) = &self.terminal
            && let Err(error) = terminal.resize(size)
        {
            tracing::debug!(%error, "a terminal keeps its size");
        }
    }

    async fn end(&mut self) -> End {
        match self.child.wait().await {
            // A signal has no exit code; a shell would say 128 and its number.
            Ok(status) => {
                let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
                End::ExitCode(code.into())
            }
            Err(error) => End::Failed(format!("nobody knows how it ended: {error}")),
        }
    }

    async fn kill(&mut self) {
        let group = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(group) = group {
            let _gone = kill_process_group(group, Signal::KILL);
        }
        let _status = self.child.wait().await;
    }
}
