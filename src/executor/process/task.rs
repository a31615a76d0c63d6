//! One plain process from the launcher's side: started through its shim at most once, found again after a restart,
//! stopped, waited for.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command as Spawn;

use super::files::{Exit, Pids, TaskDir};
use super::shim::ShimSpec;
use crate::env::Env;
use crate::env::process::Watched;
use crate::executor::logs::LogLimits;
use crate::executor::run::{End, Running, Turn};
use crate::executor::task::{Command, Task};
use crate::mesos::wire::TaskId;

/// Where programs are looked for when the task does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// A shim whose server was killed while it started has told who runs, or has ended, long before this.
const SHIM_START_MAX: Duration = Duration::from_secs(5);
/// Between two looks at a shim that was said to have ended and has not.
const HINT_RETRY: Duration = Duration::from_millis(20);

/// What failed around a process.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("failed to make the folder {path}: {source}")]
    Folder { path: PathBuf, source: io::Error },
    #[error("failed to start the shim {program}: {source}")]
    Shim { program: PathBuf, source: io::Error },
    #[error("the shim ended without starting the process: {log}")]
    ShimEnded { log: String },
    #[error("failed to read the state in {path}: {source}")]
    State { path: PathBuf, source: io::Error },
    #[error("{0} is not possible for a plain process: give a cmd or args")]
    NoCommand(&'static str),
}

/// The plain processes of one agent, below one folder.
#[derive(Debug, Clone)]
pub struct Processes {
    pub env: Env,
    pub root: PathBuf,
    /// The program that understands `shim`; `/proc/self/exe` is this very binary, even after an upgrade replaced its file.
    pub shim: PathBuf,
    pub logs: LogLimits,
    /// Where a process runs and writes, where somebody else has made a folder for it; its own otherwise.
    pub home: Option<PathBuf>,
    /// This very process, where its shims must not outlive it: nobody would take them up again.
    pub parent: Option<i32>,
}

impl Processes {
    /// The task's folder.
    #[must_use]
    pub fn dir(&self, id: &TaskId) -> TaskDir {
        TaskDir::of(&self.root, id)
    }

    /// The working directory of the task with this folder.
    pub(crate) fn home_of(&self, dir: &TaskDir) -> PathBuf {
        self.home.clone().unwrap_or_else(|| dir.sandbox())
    }

    /// The process runs afterwards, or has ended; if it was started before, that one is taken up.
    ///
    /// # Errors
    /// When neither can be said: the folder or the shim fails.
    pub async fn start(&self, task: &Task) -> Result<ProcessRun, ProcessError> {
        let dir = self.dir(&task.id);
        if let Some(run) = self.adopt(&task.id).await? {
            return Ok(run);
        }
        let home = self.home_of(&dir);
        let spec =
            ShimSpec { home: self.home.clone(), parent: self.parent, ..shim_spec(task, &home, self.logs)? };
        dir.create().map_err(|source| ProcessError::Folder { path: dir.path().to_owned(), source })?;
        self.spawn_shim(&dir, &spec)
            .await
            .map_err(|source| ProcessError::Shim { program: self.shim.clone(), source })?;
        match ProcessRun::open(&dir)? {
            Some(run) => Ok(run),
            None => Err(ProcessError::ShimEnded { log: last_words(&dir) }),
        }
    }

    /// The process of that task, running or ended; nothing when it was never started.
    ///
    /// # Errors
    /// When its files cannot be read.
    pub async fn adopt(&self, id: &TaskId) -> Result<Option<ProcessRun>, ProcessError> {
        let dir = self.dir(id);
        let run = ProcessRun::open(&dir)?;
        if run.is_some() || !shim_lives(&dir) {
            return Ok(run);
        }
        // The server was killed while this shim began: it tells who runs, or ends, in a moment.
        let wait = async {
            while shim_lives(&dir) && dir.pids().is_ok_and(|pids| pids.is_none()) {
                self.env.sleep(Duration::from_millis(20)).await;
            }
        };
        // A shim that is stuck is no process: what follows finds nothing, and a second shim ends at the lock.
        let _stuck = tokio::time::timeout(SHIM_START_MAX, wait).await;
        ProcessRun::open(&dir)
    }

    /// Ends the process if it runs and removes all that is left of the task.
    ///
    /// # Errors
    /// When the folder cannot be removed.
    pub async fn remove(&self, dir: TaskDir) -> Result<(), ProcessError> {
        if let Some(mut run) = ProcessRun::open(&dir)? {
            run.kill().await.map_err(|why| state(&dir)(io::Error::other(why)))?;
            run.ended().await;
        }
        let path = dir.path().to_owned();
        let removed = self.env.run_blocking(move || dir.remove()).await;
        removed
            .unwrap_or_else(|crashed| Err(io::Error::other(crashed)))
            .map_err(|source| ProcessError::Folder { path, source })
    }

    /// The folders of all tasks that were ever started and not removed.
    ///
    /// # Errors
    /// When the root cannot be read.
    pub fn dirs(&self) -> Result<Vec<TaskDir>, ProcessError> {
        let read = |source| ProcessError::State { path: self.root.clone(), source };
        let entries = match std::fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(read(error)),
        };
        let mut dirs = Vec::new();
        for entry in entries {
            let path = entry.map_err(read)?.path();
            if path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with("task-")) {
                dirs.push(TaskDir::at(path));
            }
        }
        dirs.sort_by(|a, b| a.path().cmp(b.path()));
        Ok(dirs)
    }

    /// Starts the shim, hands it the spec, and returns when it has told who runs, or has ended.
    async fn spawn_shim(&self, dir: &TaskDir, spec: &ShimSpec) -> io::Result<()> {
        let log = std::fs::File::options().append(true).create(true).open(dir.shim_log())?;
        let mut shim = Spawn::new(&self.shim)
            .arg("shim")
            .arg(dir.path())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let (stdin, stdout) = (shim.stdin.take(), shim.stdout.take());
        if let Some(mut stdin) = stdin {
            stdin.write_all(&serde_json::to_vec(spec)?).await?;
            stdin.shutdown().await?;
        }
        if let Some(stdout) = stdout {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).await?;
        }
        Ok(())
    }
}

/// One process that was started.
#[derive(Debug)]
pub struct ProcessRun {
    dir: TaskDir,
    /// Absent when it never ran.
    pids: Option<Pids>,
    /// The shim, while it lives.
    shim: Option<Watched>,
}

impl ProcessRun {
    fn open(dir: &TaskDir) -> Result<Option<ProcessRun>, ProcessError> {
        let ended = dir.exit().map_err(state(dir))?.is_some();
        let pids = dir.pids().map_err(state(dir))?;
        let shim = match &pids {
            // A shim that has written how it ended has nothing left to do but to end itself.
            Some(pids) if !ended => pids.shim.open().map_err(state(dir))?,
            _ => None,
        };
        Ok((ended || pids.is_some()).then(|| ProcessRun { dir: dir.clone(), pids, shim }))
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.shim.is_some()
    }

    /// The pid of the process itself.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.pids.as_ref().map(|pids| pids.process.pid)
    }

    /// Returns when it has ended.
    pub async fn ended(&self) -> End {
        if let Some(shim) = &self.shim {
            if let Err(error) = shim.ended().await {
                return End::Vanished { why: format!("it cannot be watched: {error}") };
            }
            // Readiness is a hint: nothing is said of a shim that is still there.
            while self.pids.as_ref().is_some_and(|pids| pids.shim.lives()) {
                tokio::time::sleep(HINT_RETRY).await;
            }
        }
        self.end()
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        let Some(shim) = &self.shim else { return Ok(()) };
        shim.signal(signal).map_err(|error| format!("failed to signal the shim: {error}"))
    }

    /// What the files say once the shim is gone.
    fn end(&self) -> End {
        match self.dir.exit() {
            Ok(Some(Exit::Code(code))) => End::Exited { code: i64::from(code), out_of_memory: false },
            Ok(Some(Exit::Signal(signal))) => End::Signalled { signal },
            Ok(Some(Exit::NotStarted(why))) => End::NotStarted { why },
            Ok(None) => {
                self.kill_orphans();
                let words = last_words(&self.dir);
                End::Vanished {
                    why: format!("its shim was killed, so its exit status is not known: {words}"),
                }
            }
            Err(error) => End::Vanished { why: format!("its exit status cannot be read: {error}") },
        }
    }

    /// A shim that was killed leaves its process running without anyone to watch it.
    fn kill_orphans(&self) {
        let process = self.pids.as_ref().map(|pids| &pids.process);
        let Some(process) = process.filter(|process| process.open().is_ok_and(|open| open.is_some())) else {
            return;
        };
        if let Some(group) = Pid::from_raw(process.pid) {
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }
}

#[async_trait]
impl Running for ProcessRun {
    async fn next(&mut self) -> Turn {
        Turn::Ended(self.ended().await)
    }

    async fn stop(&mut self) -> Result<(), String> {
        self.signal(Signal::TERM)
    }

    async fn kill(&mut self) -> Result<(), String> {
        self.signal(Signal::USR1)
    }
}

/// What the shim of a task is told. Pure.
///
/// # Errors
/// When there is nothing to run.
pub fn shim_spec(task: &Task, sandbox: &Path, logs: LogLimits) -> Result<ShimSpec, ProcessError> {
    Ok(ShimSpec {
        argv: argv(&task.command)?,
        env: environment(task, sandbox),
        logs,
        home: None,
        parent: None,
    })
}

fn argv(command: &Command) -> Result<Vec<String>, ProcessError> {
    match command {
        Command::Shell(line) => Ok(vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()]),
        Command::Args(args) if args.is_empty() => Err(ProcessError::NoCommand("an empty command")),
        Command::Args(args) => Ok(args.clone()),
        Command::Image => Err(ProcessError::NoCommand("an image's entry point")),
    }
}

/// Nothing of the server's own environment; the task's variables win.
#[must_use]
pub(crate) fn environment(task: &Task, sandbox: &Path) -> BTreeMap<String, String> {
    let sandbox = sandbox.to_string_lossy().into_owned();
    let own = [
        ("PATH", PATH.to_owned()),
        ("HOME", sandbox.clone()),
        ("MESOS_SANDBOX", sandbox),
        ("MESOS_TASK_ID", task.id.to_string()),
    ];
    let mut env: BTreeMap<String, String> =
        own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    env.extend(task.env.clone());
    env
}

/// Whether a shim holds the folder's lock.
fn shim_lives(dir: &TaskDir) -> bool {
    let Ok(lock) = std::fs::File::open(dir.lock()) else { return false };
    // Shared is enough to ask, and does not keep a second asker away.
    flock(&lock, FlockOperation::NonBlockingLockShared).is_err()
}

fn last_words(dir: &TaskDir) -> String {
    let log = std::fs::read_to_string(dir.shim_log()).unwrap_or_default();
    log.lines().next_back().unwrap_or("it said nothing").to_owned()
}

fn state(dir: &TaskDir) -> impl FnOnce(io::Error) -> ProcessError + use<> {
    let path: PathBuf = Path::new(dir.path()).to_owned();
    move |source| ProcessError::State { path, source }
}
