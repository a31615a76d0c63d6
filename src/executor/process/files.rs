//! The folder of one process: what stands in which file, and reading and writing them whole.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::env::process::ProcessId;
use crate::mesos::wire::TaskId;

const PIDS: &str = "pid.json";
const EXIT: &str = "exit.json";

/// `DIR/pid.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pids {
    pub shim: ProcessId,
    pub process: ProcessId,
}

/// `DIR/exit.json`: how the process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Exit {
    Code(i32),
    Signal(i32),
    /// It never started: no such program, no permission.
    NotStarted(String),
}

/// The folder of one task's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskDir(PathBuf);

impl TaskDir {
    /// Of the task `id` among the folders in `root`. A name is a function of the task id.
    #[must_use]
    pub fn of(root: &Path, id: &TaskId) -> TaskDir {
        let clean = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' };
        TaskDir(root.join(format!("task-{}", id.value.chars().map(clean).collect::<String>())))
    }

    /// An existing folder.
    #[must_use]
    pub fn at(path: PathBuf) -> TaskDir {
        TaskDir(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The working directory of the process.
    #[must_use]
    pub fn sandbox(&self) -> PathBuf {
        self.0.join("sandbox")
    }

    /// The newest file of `stream` (`stdout` or `stderr`); older ones have `.1`, `.2` after it.
    #[must_use]
    pub fn output(&self, stream: &str) -> PathBuf {
        self.0.join(stream)
    }

    /// Exists once the process has ended.
    #[must_use]
    pub fn exit_file(&self) -> PathBuf {
        self.0.join(EXIT)
    }

    /// Held while the shim lives.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.0.join("shim.lock")
    }

    /// What the shim itself says.
    #[must_use]
    pub fn shim_log(&self) -> PathBuf {
        self.0.join("shim.log")
    }

    /// Makes the folder and the sandbox, readable by their owner only.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn create(&self) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(self.sandbox())
    }

    /// Removes all of it; one that is gone is a success.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Who runs, once the shim has said so.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn pids(&self) -> io::Result<Option<Pids>> {
        self.read(PIDS)
    }

    /// How it ended, once it has.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn exit(&self) -> io::Result<Option<Exit>> {
        self.read(EXIT)
    }

    pub(super) fn write_pids(&self, pids: &Pids) -> io::Result<()> {
        self.write(PIDS, pids)
    }

    pub(super) fn write_exit(&self, exit: &Exit) -> io::Result<()> {
        self.write(EXIT, exit)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        match std::fs::read(self.0.join(name)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whole or not at all, and on disk before anyone sees it.
    fn write<T: Serialize>(&self, name: &str, value: &T) -> io::Result<()> {
        let temporary = self.0.join(format!("{name}.new"));
        let mut file =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        file.sync_all()?;
        std::fs::rename(&temporary, self.0.join(name))
    }
}
