//! The shim: the parent of one plain process, in a session of its own, so that the process outlives the server.
//!
//! It reads what to run from its standard input, runs it in a process group of its own, writes its output to rotated
//! files, and says in files who runs and, at last, how it ended. SIGTERM asks the process to end (it is passed on to its
//! group); SIGUSR1 ends everything by force. When the process has ended, so does all that it left behind: as the
//! subreaper of its descendants the shim finds even those that moved to another session.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, getppid, kill_process, kill_process_group,
    set_parent_process_death_signal, setsid, waitpid,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Signalled, SignalKind, signal};

use super::files::{Exit, Pids, TaskDir};
use crate::env::process::ProcessId;
use crate::executor::logs::{LogLimits, RotatingFile, Stream};

/// After the process and all its descendants are gone, its pipes are at their end at once; this is for a pipe that was handed to
/// a stranger.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// What the shim says on its standard output once `pid.json` or `exit.json` is there.
pub(super) const SAID: &str = "told\n";

/// What to run; sent on standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShimSpec {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    pub logs: LogLimits,
    /// Where it runs and where its output goes; the task's own folder if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<PathBuf>,
    /// The process that has started the shim, where the task must not outlive it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<i32>,
}

/// Why a shim gave up.
#[derive(Debug, thiserror::Error)]
enum ShimError {
    #[error("usage: tenure shim DIR")]
    Usage,
    #[error("failed to lock {path}: {source}")]
    Lock { path: PathBuf, source: io::Error },
    #[error("failed to read what to run from standard input: {0}")]
    Spec(io::Error),
    #[error("nothing to run: argv is empty")]
    Empty,
    #[error("whoever wanted it run is dead already")]
    Orphan,
    #[error("this task was started before; it is not started again")]
    StartedBefore,
    #[error("failed to {action}: {source}")]
    Io { action: &'static str, source: io::Error },
}

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> ShimError {
    move |source| ShimError::Io { action, source }
}

/// `tenure shim DIR`: runs one process to its end. To be called before any runtime or thread is started.
#[must_use]
pub fn run(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let outcome = match (args.next(), args.next()) {
        (Some(dir), None) => supervise(&TaskDir::at(PathBuf::from(dir))),
        _ => Err(ShimError::Usage),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// The shim's own words, in `shim.log`. There is nowhere to report that they could not be written.
fn complain(words: &dyn std::fmt::Display) {
    let _unwritable = writeln!(io::stderr(), "tenure shim: {words}");
}

fn supervise(dir: &TaskDir) -> Result<(), ShimError> {
    // Fails only for a process that leads a group already, which then has what it needs.
    let _session = setsid();
    let lock_path = dir.lock();
    let lock_error = |source| ShimError::Lock { path: lock_path.clone(), source };
    let lock = std::fs::File::create(&lock_path).map_err(lock_error)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        // Another shim runs this task: launching it twice is launching it once.
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(()),
        Err(error) => return Err(lock_error(error.into())),
    }
    let told = dir.pids().map_err(failed("read pid.json"))?.is_some()
        || dir.exit().map_err(failed("read exit.json"))?.is_some();
    if told {
        return Err(ShimError::StartedBefore);
    }
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text).map_err(ShimError::Spec)?;
    let spec: ShimSpec = serde_json::from_slice(&text).map_err(|error| ShimError::Spec(error.into()))?;
    if let Some(parent) = spec.parent {
        end_with(parent)?;
    }
    rustix::process::set_child_subreaper(Some(getpid())).map_err(|e| failed("become subreaper")(e.into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed("start the runtime"))?;
    let exit = runtime.block_on(run_process(dir, &spec))?;
    dir.write_exit(&exit).map_err(failed("write exit.json"))?;
    say()?;
    drop(lock);
    Ok(())
}

/// From now on the death of `parent`, which has started this shim, is an order to end everything by force.
fn end_with(parent: i32) -> Result<(), ShimError> {
    let asked = set_parent_process_death_signal(Some(Signal::USR1));
    asked.map_err(|error| failed("ask for word of the executor's death")(error.into()))?;
    // It may have died before it was asked for.
    match getppid() {
        Some(present) if present.as_raw_nonzero().get() == parent => Ok(()),
        _ => Err(ShimError::Orphan),
    }
}

/// Whoever started the shim waits for this line; nobody does after a restart of the server.
fn say() -> Result<(), ShimError> {
    match io::stdout().write_all(SAID.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(failed("report the start")),
    }
}

async fn run_process(dir: &TaskDir, spec: &ShimSpec) -> Result<Exit, ShimError> {
    let (program, arguments) = spec.argv.split_first().ok_or(ShimError::Empty)?;
    let log = |stream: Stream| {
        let own = || dir.output(stream.name());
        let path = spec.home.as_ref().map_or_else(own, |home| home.join(stream.name()));
        RotatingFile::open(&path, spec.logs).map_err(failed("open the output file"))
    };
    // Heard from before anyone can know of the process: an unheard SIGUSR1 would end the shim itself.
    let mut signals = Signals::listen()?;
    let (mut out, mut err) = (log(Stream::Stdout)?, log(Stream::Stderr)?);
    let started = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(&spec.env)
        .current_dir(spec.home.clone().unwrap_or_else(|| dir.sandbox()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return Ok(Exit::NotStarted(format!("failed to start {program}: {error}"))),
    };
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let pid = pid.ok_or(ShimError::Empty)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ids = |pid: Pid| ProcessId::of(pid.as_raw_nonzero().get());
    let shim = ids(getpid()).map_err(failed("read the own start time"))?;
    let process = ids(pid).map_err(failed("read the process's start time"))?;
    dir.write_pids(&Pids { shim, process }).map_err(failed("write pid.json"))?;
    say()?;

    // Output can end long before the process does: it may close both streams, or hand them to nobody.
    let output = async { tokio::join!(keep(stdout, &mut out), keep(stderr, &mut err)) };
    let overseen = oversee(&mut child, pid, &mut signals);
    tokio::pin!(output, overseen);
    let mut at_end = false;
    let status = loop {
        tokio::select! {
            biased;
            status = &mut overseen => break status?,
            _ = &mut output, if !at_end => at_end = true,
        }
    };
    end_all(Some(pid));
    if !at_end && tokio::time::timeout(DRAIN_MAX, output).await.is_err() {
        complain(&"the output pipes are still open elsewhere; the rest is not kept");
    }
    Ok(exit_of(status))
}

/// What the shim is told.
struct Signals {
    stop: Signalled,
    kill: Signalled,
    child_ended: Signalled,
}

impl Signals {
    fn listen() -> Result<Signals, ShimError> {
        let listen = |kind| signal(kind).map_err(failed("listen for signals"));
        Ok(Signals {
            stop: listen(SignalKind::terminate())?,
            kill: listen(SignalKind::user_defined1())?,
            child_ended: listen(SignalKind::child())?,
        })
    }
}

/// Until the process itself has ended.
async fn oversee(child: &mut Child, pid: Pid, signals: &mut Signals) -> Result<ExitStatus, ShimError> {
    loop {
        tokio::select! {
            biased;
            _ = signals.kill.recv() => end_all(Some(pid)),
            // A group that is gone has what it was asked for.
            _ = signals.stop.recv() => { let _gone = kill_process_group(pid, Signal::TERM); }
            status = child.wait() => return status.map_err(failed("wait for the process")),
            _ = signals.child_ended.recv() => reap(pid),
        }
    }
}

/// Copies until the end. When the disk is full the output is dropped, not the process.
async fn keep(pipe: Option<impl AsyncRead + Unpin>, file: &mut RotatingFile) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = vec![0; 16 * 1024];
    let mut complained = false;
    loop {
        match pipe.read(&mut buffer).await {
            Ok(0) => return,
            Ok(read) => match file.write(&buffer[..read]) {
                Ok(()) => complained = false,
                Err(error) if !complained => {
                    complained = true;
                    complain(&format_args!("output is lost: {error}"));
                }
                Err(_) => {}
            },
            Err(error) => return complain(&format_args!("failed to read output: {error}")),
        }
    }
}

/// Kills the group of the process and every descendant that is left, and collects what they leave.
fn end_all(group: Option<Pid>) {
    if let Some(group) = group {
        let _gone = kill_process_group(group, Signal::KILL);
    }
    // Killing one orphan makes its own children ours: go on until there are none.
    for _ in 0..1000 {
        let left: Vec<Pid> = children().into_iter().filter(|pid| Some(*pid) != group).collect();
        if left.is_empty() {
            return;
        }
        for pid in left {
            let _gone = kill_process(pid, Signal::KILL);
            let _reaped = waitpid(Some(pid), WaitOptions::empty());
        }
    }
}

/// Collects orphans that have ended; the process itself is left to its own wait.
fn reap(process: Pid) {
    for pid in children().into_iter().filter(|pid| *pid != process) {
        let _running = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

/// Our children, born or adopted.
fn children() -> Vec<Pid> {
    let own = getpid().as_raw_nonzero();
    let listed = std::fs::read_to_string(format!("/proc/self/task/{own}/children")).unwrap_or_default();
    listed.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Code(-1),
    }
}
