//! The guard of an executor: a small process that sleeps until its executor is dead, and then removes the containers that are left. Where
//! an executor is alone on its machine nobody else would.
//!
//! Agents of Mesos kill an executor's process tree, session and groups (launcher `posix`) or all that is in its cgroups (launcher `linux`):
//! the guard is a child of init, in a session of its own, and leaves the cgroups. It cannot leave a PID namespace; where
//! executors have one each, other executors' looks for leftovers remain.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::setsid;
use tokio::io::AsyncReadExt;

use super::engine::{Engine, EngineError};
use super::leftovers::{label, remove_those};
use super::owner::{EXECUTOR_LABEL, LOCK_LABEL, Owner};
use crate::executor::complaint::Complaint;
use crate::executor::life;

/// The verb that makes a guard, and the one that it is then.
pub const BEGIN: &str = "guard";
pub const GUARD: &str = "guarding";

/// Between two attempts to reach dockerd.
const AGAIN: Duration = Duration::from_secs(2);
/// How often it is tried, which is for an hour: without dockerd nobody can do anything about its containers.
const ATTEMPTS_MAX: u32 = 1800;

/// A guard begins to watch over the containers of `owner`, which is one of several executors. It need not outlive the machine's boot:
/// containers do not.
///
/// # Errors
/// Why there is none, in a person's words.
pub async fn begin(program: &Path, owner: &Owner, docker_host: &str) -> Result<(), String> {
    let Some(executor) = &owner.executor else { return Ok(()) };
    let failed = |error: io::Error| format!("failed to start {}: {error}", program.display());
    let mut beginning = tokio::process::Command::new(program)
        .arg(BEGIN)
        .args([&executor.lock, &PathBuf::from(&executor.id), &PathBuf::from(docker_host)])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut told = String::new();
    if let Some(mut stdout) = beginning.stdout.take() {
        stdout.read_to_string(&mut told).await.map_err(failed)?;
    }
    let status = beginning.wait().await.map_err(failed)?;
    if !status.success() {
        return Err(format!("the guard was not begun: {status}"));
    }
    if !told.is_empty() {
        tracing::warn!(why = told, "the guard stays in the executor's cgroups, and may end with it");
    }
    Ok(())
}

/// `guard LOCK ID HOST`: returns when a guard runs that is no child of its caller. What it could not do for it stands in the standard
/// output. To be called before any thread is started.
#[must_use]
pub fn begin_apart(args: impl Iterator<Item = OsString>) -> ExitCode {
    // Fails only for a process that leads a group already, which then has what it needs.
    let _session = setsid();
    if let Err(error) = leave_cgroups(Path::new("/proc/self")) {
        // The task's own `stderr` is no place for it: of most tasks it never matters.
        let _unwritable = write!(io::stdout(), "{error}");
    }
    let guard = Command::new("/proc/self/exe")
        .arg(GUARD)
        .args(args)
        .env_clear()
        .current_dir("/")
        .stdout(Stdio::null())
        .spawn();
    match guard {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// `guarding LOCK ID HOST`: returns when the executor is dead and none of its containers is left.
#[must_use]
pub fn run(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let mut next = || args.next()?.into_string().ok();
    let (Some(lock), Some(id), Some(host)) = (next(), next(), next()) else { return ExitCode::from(2) };
    match life::outlive(Path::new(&lock))
        .and_then(|left| if left { clear(&lock, &id, &host) } else { Ok(()) })
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// The guard's own words, in the `stderr` of the sandbox. There is nowhere to report that they could not be written.
fn complain(words: &dyn std::fmt::Display) {
    let _unwritable = writeln!(io::stderr(), "tenure-executor: guard: {words}");
}

fn clear(lock: &str, id: &str, host: &str) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let engine = Engine::new(host);
        let mut complaint = Complaint::new();
        for _ in 0..ATTEMPTS_MAX {
            match remove_all(&engine, lock, id).await {
                Ok(()) => return forget(lock),
                // Without the lock whoever looks for leftovers sees that the process is gone.
                Err(_) if !Path::new(lock).exists() => return Ok(()),
                Err(error) => {
                    let words = error.to_string();
                    if complaint.is_due(&words) {
                        complain(&words);
                    }
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
        Err(io::Error::other("gives up: containers may be left"))
    })
}

/// No container of the executor is left; otherwise why the first one is.
async fn remove_all(engine: &Engine, lock: &str, id: &str) -> Result<(), EngineError> {
    let its = |summary: &_| label(summary, LOCK_LABEL) == Some(lock);
    let removed = remove_those(engine, (EXECUTOR_LABEL, id), its).await?;
    for name in removed.names {
        complain(&format_args!("container {name} is removed: its executor is dead"));
    }
    removed.refused.into_iter().next().map_or(Ok(()), Err)
}

/// The lock is gone. Another executor that looked for leftovers may have been faster.
fn forget(lock: &str) -> io::Result<()> {
    match std::fs::remove_file(lock) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Moves this process to the root of each hierarchy of cgroups that `process` tells.
fn leave_cgroups(process: &Path) -> io::Result<()> {
    let (own, mounts) =
        (std::fs::read_to_string(process.join("cgroup"))?, std::fs::read_to_string(process.join("mounts"))?);
    let pid = rustix::process::getpid().as_raw_nonzero().to_string();
    let moves = roots_to_join(&own, &mounts).into_iter().map(|root| {
        let procs = root.join("cgroup.procs");
        let moved = std::fs::write(&procs, &pid);
        moved.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", procs.display())))
    });
    // Each of them, also where another could not be left.
    moves.collect::<Vec<_>>().into_iter().collect()
}

/// The mount points of the hierarchies in which the process is not at the root, as `/proc/PID/cgroup` and `/proc/PID/mounts` tell.
fn roots_to_join(own: &str, mounts: &str) -> Vec<PathBuf> {
    let mounted = |controllers: &str| {
        mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (point, kind, options) = (words.next()?, words.next()?, words.next()?);
            let has = |wanted: &str| options.split(',').any(|option| option == wanted);
            let is_it = match controllers {
                "" => kind == "cgroup2",
                _ => kind == "cgroup" && controllers.split(',').all(has),
            };
            is_it.then(|| PathBuf::from(point))
        })
    };
    let inside = own.lines().filter_map(|line| {
        let mut words = line.splitn(3, ':').skip(1);
        let (controllers, path) = (words.next()?, words.next()?);
        (path != "/").then(|| mounted(controllers)).flatten()
    });
    inside.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_leaves_every_hierarchy_that_an_agent_has_put_its_executor_in() {
        let own = "9:name=systemd:/mesos_executors.slice\n6:freezer:/mesos/1\n4:memory:/mesos/1\n2:cpu,cpuacct:/mesos/1\n1:pids:/\n0::/mesos/1\n";
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw,mode=755 0 0\n\
            cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpuacct,cpu 0 0\n\
            cgroup /sys/fs/cgroup/freezer cgroup rw,relatime,freezer 0 0\n\
            cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0\n\
            cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n\
            cgroup /sys/fs/cgroup/pids cgroup rw,relatime,pids 0 0\n";
        let roots: Vec<_> = roots_to_join(own, mounts);
        let wanted = ["systemd", "freezer", "cpu,cpuacct", "unified"];
        assert_eq!(
            roots,
            wanted.map(|name| Path::new("/sys/fs/cgroup").join(name)),
            "memory is not mounted here"
        );
        assert_eq!(roots_to_join("0::/\n", mounts), Vec::<PathBuf>::new());
    }
}
