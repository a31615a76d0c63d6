//! What an agent's process leaves of its executors to the next one, as an agent of Mesos does in its meta folder: one file for each
//! executor of a framework that checkpoints, from the start of its process to its end.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::env::process::ProcessId;
use crate::mesos::launcher::Launch;
use crate::mesos::wire::{ExecutorInfo, FrameworkId, FrameworkInfo};

/// One executor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kept {
    pub(super) framework: FrameworkInfo,
    pub(super) info: ExecutorInfo,
    /// That of its first task.
    pub(super) launch: Launch,
    pub(super) container: String,
    pub(super) directory: PathBuf,
    pub(super) process: ProcessId,
    /// Whether it has ever subscribed, so that tasks were sent to it.
    pub(super) came: bool,
}

/// The folder of the files.
pub(super) fn folder(work_dir: &Path) -> PathBuf {
    work_dir.join("meta/executors")
}

fn file(work_dir: &Path, container: &str) -> PathBuf {
    folder(work_dir).join(container).with_extension("json")
}

impl Kept {
    /// Writes its file; half of one is never read.
    pub(super) fn write(&self, work_dir: &Path) -> io::Result<()> {
        write(&file(work_dir, &self.container), self)
    }
}

/// Where what a framework has told of itself stands, for tasks that were on their way when the agent ended.
fn framework_file(work_dir: &Path, id: &FrameworkId) -> PathBuf {
    work_dir.join("meta/frameworks").join(id.to_string()).with_extension("json")
}

/// Notes what a framework tells of itself.
pub(super) fn write_framework(work_dir: &Path, framework: &FrameworkInfo) -> io::Result<()> {
    write(&framework_file(work_dir, &framework.id.clone().unwrap_or_default()), framework)
}

/// It has been removed.
pub(super) fn forget_framework(work_dir: &Path, id: &FrameworkId) {
    remove(&framework_file(work_dir, id));
}

/// What frameworks have told of themselves.
///
/// # Errors
/// When it cannot be read.
pub(super) fn frameworks(work_dir: &Path) -> io::Result<Vec<FrameworkInfo>> {
    read_all(&work_dir.join("meta/frameworks"))
}

fn write(file: &Path, what: &impl Serialize) -> io::Result<()> {
    file.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    let new = file.with_extension("new");
    // What executors are told may hold secrets.
    let mut written = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    written.write_all(&serde_json::to_vec(what)?)?;
    // An empty file under this name would keep the agent from starting after a loss of power.
    written.sync_all()?;
    std::fs::rename(new, file)
}

/// Nothing is left of an executor that has ended, or never was there.
pub(super) fn forget(work_dir: &Path, container: &str) {
    remove(&file(work_dir, container));
}

fn remove(file: &Path) {
    if let Err(error) = std::fs::remove_file(file)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, file = %file.display(), "not removed");
    }
}

/// Reads what the last process left.
///
/// # Errors
/// When it cannot be read: an agent that went on would tell that tasks are gone that run.
pub(super) fn all(work_dir: &Path) -> io::Result<Vec<Kept>> {
    read_all(&folder(work_dir))
}

fn read_all<T: DeserializeOwned>(folder: &Path) -> io::Result<Vec<T>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut kept = Vec::new();
    for entry in entries {
        let path = entry?.path();
        // One that was being written has been written before, or its executor is not known to anybody.
        if path.extension().is_some_and(|it| it == "json") {
            let read = std::fs::read(&path).and_then(|text| Ok(serde_json::from_slice(&text)?));
            let named = |error| io::Error::other(format!("{}: {error}", path.display()));
            kept.push(read.map_err(|error: io::Error| named(error))?);
        }
    }
    Ok(kept)
}
