//! What an agent's process leaves of its executors to the next one, as an agent of Mesos does in its meta folder: one file for each
//! executor of a framework that checkpoints, from the start of its process to its end.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::env::process::ProcessId;
use crate::mesos::launcher::Launch;
use crate::mesos::wire::{ExecutorInfo, FrameworkInfo};

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
    /// Writes its file; half of one is never read. That it survives the machine is of no use: its process does not.
    pub(super) fn write(&self, work_dir: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder(work_dir))?;
        let file = file(work_dir, &self.container);
        let new = file.with_extension("new");
        // What executors are told may hold secrets.
        let mut written = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        written.write_all(&serde_json::to_vec(self)?)?;
        std::fs::rename(new, file)
    }
}

/// Nothing is left of an executor that has ended, or never was there.
pub(super) fn forget(work_dir: &Path, container: &str) {
    if let Err(error) = std::fs::remove_file(file(work_dir, container))
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, container, "executor not forgotten");
    }
}

/// Reads what the last process left.
///
/// # Errors
/// When it cannot be read: an agent that went on would tell that tasks are gone that run.
pub(super) fn all(work_dir: &Path) -> io::Result<Vec<Kept>> {
    let entries = match std::fs::read_dir(folder(work_dir)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut kept = Vec::new();
    for entry in entries {
        let path = entry?.path();
        // One that was being written has been written before, or its executor is not known to anybody.
        if path.extension().is_some_and(|it| it == "json") {
            kept.push(serde_json::from_slice(&std::fs::read(path)?)?);
        }
    }
    Ok(kept)
}
