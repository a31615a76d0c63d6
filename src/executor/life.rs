//! The sign by which others on a machine know that an executor lives: a file that it keeps locked, and what process it is. It stands outside
//! all sandboxes, for those are collected when their executor is dead, and what a container can reach is no proof.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::executor::process::ProcessId;

/// Where the files of a machine's executors are, if nobody says otherwise. It is empty after a boot, as is the machine.
pub const FOLDER: &str = "/run/tenure/executors";

/// While this exists, this process is seen to live.
#[derive(Debug)]
pub struct Life {
    _locked: File,
    path: PathBuf,
    process: String,
}

impl Life {
    /// Makes the file `name`, which nobody else may have, in `folder` and locks it.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn begin(folder: &Path, name: &str) -> io::Result<Life> {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
        let path = folder.join(name);
        let file = File::options().write(true).create_new(true).mode(0o644).open(&path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Life { _locked: file, path, process: own_process()? })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What process this is, as [`is_over`] reads it.
    #[must_use]
    pub fn process(&self) -> &str {
        &self.process
    }

    /// Nothing is left that anybody would have to look after: the sign is taken away. (Otherwise it stays, free.)
    pub fn end(self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the lock is left behind");
        }
    }
}

/// Whether the executor with this file, and this process where it is known, is certainly dead. One of which that cannot be told is not.
#[must_use]
pub fn is_over(lock: &Path, process: Option<&str>) -> bool {
    match open(lock) {
        // Shared is enough to ask, and does not keep a second asker away.
        Ok(file) => flock(&file, FlockOperation::NonBlockingLockShared).is_ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => process.is_some_and(is_dead),
        Err(_) => false,
    }
}

/// Returns once the executor with this file is dead and has left it; false when it has taken the file away, and so left nothing.
///
/// # Errors
/// When the file cannot be asked about.
pub(super) fn outlive(lock: &Path) -> io::Result<bool> {
    let file = match open(lock) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    while let Err(error) = flock(&file, FlockOperation::LockExclusive) {
        if error != Errno::INTR {
            return Err(error.into());
        }
    }
    Ok(file.metadata()?.nlink() > 0)
}

fn open(lock: &Path) -> io::Result<File> {
    // Not through a link, and not waiting for whoever writes a pipe.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    File::options().read(true).custom_flags(flags).open(lock)
}

/// Pid and start time count in one boot and one namespace.
fn own_process() -> io::Result<String> {
    let ProcessId { pid, start_ticks, boot } = ProcessId::own()?;
    Ok(format!("{boot} {} {pid} {start_ticks}", pid_namespace()?))
}

fn pid_namespace() -> io::Result<u64> {
    Ok(std::fs::metadata("/proc/self/ns/pid")?.ino())
}

fn is_dead(process: &str) -> bool {
    let known = || {
        let mut words = process.split(' ');
        let (boot, namespace, pid) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
        Some((
            namespace.parse::<u64>().ok()?,
            ProcessId { pid, start_ticks: words.next()?.parse().ok()?, boot: boot.to_owned() },
        ))
    };
    let Some((namespace, id)) = known() else { return false };
    let Ok(own) = ProcessId::own() else { return false };
    if own.boot != id.boot {
        return true;
    }
    if pid_namespace().ok() != Some(namespace) {
        return false;
    }
    let exists = Pid::from_raw(id.pid).is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH));
    // Of a process that exists and may not be looked at nothing is known.
    !exists || (ProcessId::of(id.pid).is_ok() && !id.lives())
}

#[cfg(test)]
mod tests {
    use rustix::process::{WaitId, WaitIdOptions, waitid};

    use super::*;

    #[test]
    fn a_lock_tells_who_lives_and_without_it_the_process_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/executor-1");
        let own = own_process().unwrap();
        assert!(!is_over(&path, Some(&own)), "this process lives");
        assert!(!is_over(&path, None), "of that one nothing is known");

        let life = Life::begin(path.parent().unwrap(), "executor-1").unwrap();
        assert!(!is_over(life.path(), Some(life.process())));
        assert!(!is_over(life.path(), Some("another-boot 1 2 3")), "whoever holds it lives");
        drop(life);
        assert!(is_over(&path, None) && is_over(&path, Some(&own)), "it is there and free");
        let life = Life::begin(folder.path(), "executor-2").unwrap();
        let path = life.path().to_owned();
        life.end();
        assert!(!path.exists());
    }

    #[test]
    fn a_process_is_dead_by_its_pid_its_start_or_its_boot_and_unknown_in_another_namespace() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let ProcessId { pid, start_ticks, boot } = ProcessId::of(child.id().cast_signed()).unwrap();
        let own = pid_namespace().unwrap();
        assert!(!is_dead(&format!("{boot} {own} {pid} {start_ticks}")));
        assert!(is_dead(&format!("{boot} {own} {pid} {}", start_ticks + 1)), "the pid is another's now");
        assert!(is_dead(&format!("before {own} {pid} {start_ticks}")), "the machine was booted since");
        assert!(!is_dead(&format!("{boot} {} {pid} {}", own + 1, start_ticks + 1)));
        child.kill().unwrap();
        let its = WaitId::Pid(Pid::from_raw(pid).unwrap());
        waitid(its, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        assert!(is_dead(&format!("{boot} {own} {pid} {start_ticks}")), "nobody has collected it yet");
        child.wait().unwrap();
        assert!(is_dead(&format!("{boot} {own} {pid} {start_ticks}")));
        assert!(!is_dead("nonsense") && !is_dead(""));
    }

    #[test]
    fn who_outlives_an_executor_learns_whether_it_has_left_anything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e");
        assert!(!outlive(&path).unwrap(), "it was never there, or went in peace");
        let life = Life::begin(folder.path(), "e").unwrap();
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || outlive(&path)
        });
        drop(life);
        assert!(waiting.join().unwrap().unwrap());
        assert!(outlive(&path).unwrap());
    }
}
