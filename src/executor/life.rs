//! The sign by which others on a machine know that an executor lives: a file that it keeps locked, and what process it is. It stands outside
//! all sandboxes, for those are collected when their executor is dead, and what a container can reach is no proof.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FlockOperation, OFlags, access, flock};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::api::names::short_hash;
use crate::executor::process::ProcessId;

/// Where the files of a machine's executors are, if nobody says otherwise. It is empty after a boot, as is the machine.
pub const FOLDER: &str = "/run/tenure/executors";

/// How the names of these files begin.
const PREFIX: &str = "executor-";
/// The most of an executor's id that is told in the name of a file, of which 255 bytes may be one.
const NAMED_MAX: usize = 100;

/// Where the executors of one installation with one Docker engine show that they live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signs {
    folder: PathBuf,
    /// The installation and the engine.
    scope: String,
}

impl Signs {
    /// Those in `folder`.
    #[must_use]
    pub fn new(folder: PathBuf, installation: &str, docker_host: &str) -> Signs {
        Signs { folder, scope: format!("{}-{}", clean(installation), short_hash(docker_host.as_bytes())) }
    }

    /// The file of one executor, which only `unique` tells from that of an earlier one with its id.
    #[must_use]
    pub fn of(&self, executor: &str, unique: &str) -> PathBuf {
        let executor: String = clean(executor).chars().take(NAMED_MAX).collect();
        self.folder.join(format!("{PREFIX}{}-{executor}-{unique}", self.scope))
    }

    /// The file that one of them holds, as [`take_turn`] does.
    #[must_use]
    pub fn turn(&self) -> PathBuf {
        self.folder.join(format!("sweeper-{}", self.scope))
    }

    /// The files of those that are certainly dead, without `own`.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn dead(&self, own: &Path) -> io::Result<Vec<PathBuf>> {
        let mut dead = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if self.has(&path) && path != own && is_over(&path, None) {
                dead.push(path);
            }
        }
        Ok(dead)
    }

    /// Takes away the sign of an executor that is dead and of which nothing is left, if it is one of these: a path that a container
    /// names may lead anywhere.
    pub(super) fn forget(&self, sign: &Path) {
        if self.has(sign) && is_over(sign, None) {
            // Its guard may have been faster.
            let _gone = std::fs::remove_file(sign);
        }
    }

    fn has(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        let rest = name.and_then(|name| name.strip_prefix(PREFIX)?.strip_prefix(&*self.scope));
        path.parent() == Some(&self.folder) && rest.is_some_and(|rest| rest.starts_with('-'))
    }
}

/// As a part of a file's name.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' }).collect()
}

/// While this exists, this process is seen to live.
#[derive(Debug)]
pub struct Life {
    _locked: File,
    path: PathBuf,
}

impl Life {
    /// Makes the file at `path`, which nobody else may have, and locks it.
    ///
    /// # Errors
    /// When its folder cannot be written.
    pub fn begin(path: &Path) -> io::Result<Life> {
        // Whoever looks through the folder must not find it before it is locked.
        let mut unseen = OsString::from(".");
        unseen.push(path.file_name().unwrap_or_default());
        let unseen = path.with_file_name(unseen);
        let file = File::options().write(true).create_new(true).mode(0o644).open(&unseen)?;
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
        let shown = locked.map_err(io::Error::from).and_then(|()| std::fs::hard_link(&unseen, path));
        std::fs::remove_file(&unseen)?;
        shown?;
        Ok(Life { _locked: file, path: path.to_owned() })
    }

    /// Nothing is left that anybody would have to look after: the sign is taken away. (Otherwise it stays, and is free once this
    /// process has ended.)
    pub fn end(&self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the lock is left behind");
        }
    }
}

/// The folder is there, and this process can make files in it.
///
/// # Errors
/// When that cannot be so.
pub fn prepare(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// The file at `path`, locked, unless another process has it so: whoever keeps it does what one of several is to do.
///
/// # Errors
/// When the file cannot be made or opened.
pub fn take_turn(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = File::options();
    let file = options.write(true).create(true).truncate(false).mode(0o644).custom_flags(flags).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
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

/// What process this is, as [`is_over`] reads it: pid and start time count in one boot and one namespace.
///
/// # Errors
/// When the kernel does not tell.
pub fn own_process() -> io::Result<String> {
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

        prepare(path.parent().unwrap()).unwrap();
        let life = Life::begin(&path).unwrap();
        assert!(!is_over(&path, Some(&own)));
        assert!(!is_over(&path, Some("another-boot 1 2 3")), "whoever holds it lives");
        drop(life);
        assert!(is_over(&path, None) && is_over(&path, Some(&own)), "it is there and free");
        std::fs::remove_file(&path).unwrap();
        let life = Life::begin(&path).unwrap();
        life.end();
        assert!(!path.exists());
    }

    #[test]
    fn of_all_that_show_that_they_live_only_dead_ones_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let of = |installation, host| Signs::new(folder.path().to_owned(), installation, host);
        let signs = of("uid-1", "unix:///run/docker.sock");
        let (own, other) = (signs.of("f/e", "1"), signs.of("f/e", "2"));
        let dead = || signs.dead(&own).unwrap();
        for path in [&own, &signs.turn(), &own.with_file_name(".executor-soon")] {
            std::fs::write(path, "").unwrap();
        }
        drop(Life::begin(&of("uid-2", "unix:///run/docker.sock").of("e", "1")).unwrap());
        drop(Life::begin(&of("uid-1", "unix:///run/docker.sock-2").of("e", "1")).unwrap());
        let life = Life::begin(&other).unwrap();
        for _ in 0..2 {
            let refused = Life::begin(&other).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists, "it has an owner");
            assert!(!other.with_file_name(format!(".{}", other.file_name().unwrap().display())).exists());
        }
        assert_eq!(dead(), [] as [PathBuf; 0]);
        signs.forget(&other);
        drop(life);
        assert_eq!(dead(), std::slice::from_ref(&other), "it is there, and free");

        let elsewhere = folder.path().join("deep");
        prepare(&elsewhere).unwrap();
        let stray = elsewhere.join(other.file_name().unwrap());
        drop(Life::begin(&stray).unwrap());
        for path in [&stray, &signs.turn(), &other] {
            signs.forget(path);
        }
        assert!(stray.exists() && signs.turn().exists(), "neither is one of these");
        assert_eq!(dead(), [] as [PathBuf; 0]);
        assert!(Signs::new(elsewhere.join("none"), "uid-1", "").dead(&own).is_err());
    }

    #[test]
    fn the_names_of_signs_are_never_too_long_for_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let uid = "4b3900d3-a211-483a-93a9-82ecae47a061";
        let signs =
            Signs::new(folder.path().to_owned(), uid, &format!("unix://{}/docker.sock", "/deep".repeat(50)));
        drop(Life::begin(&signs.of(&"task.".repeat(100), uid)).unwrap());
        drop(take_turn(&signs.turn()).unwrap().unwrap());
    }

    #[test]
    fn one_of_several_has_the_turn_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sweeper");
        let first = take_turn(&path).unwrap().unwrap();
        assert!(take_turn(&path).unwrap().is_none());
        drop(first);
        assert!(take_turn(&path).unwrap().is_some());
        assert!(take_turn(&folder.path().join("nowhere/sweeper")).is_err());
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
        let life = Life::begin(&path).unwrap();
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || outlive(&path)
        });
        drop(life);
        assert!(waiting.join().unwrap().unwrap());
        assert!(outlive(&path).unwrap());
    }
}
