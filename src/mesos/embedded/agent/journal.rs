//! The agent's journal: what it must still know after `kill -9`.
//!
//! One JSON line per fact, appended and synced before anything is done about it. (An acknowledgement alone is not
//! synced: if it is lost, an update is sent once more.) At opening the file is read to its
//! last whole line (a torn last line is what a crash leaves; anything else is an error) and written anew without
//! what is over; it is also written anew when it has grown to many times of what it says. Where a full disk has no room
//! for that, an agent that restarts goes on with the lines that are there.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::state::{AgentState, Entry};
use crate::env::Env;
use crate::mesos::wire::json;

/// The journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file operation failed; the disk may be full.
    #[error("failed to {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A line that is not the last says nothing that this version understands.
    #[error("line {line} of {path} is no journal entry")]
    Corrupt {
        /// Counted from 1.
        line: usize,
        /// Of which file.
        path: PathBuf,
        /// Why it is none.
        #[source]
        source: serde_json::Error,
    },
    /// The server is going down.
    #[error("the node crashed")]
    Crashed,
}

impl JournalError {
    fn is_no_room(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }
}

/// Where a journal lives.
#[derive(Debug, Clone)]
pub enum Medium {
    /// In `journal` of this folder, which is made if needed.
    Folder(PathBuf),
    /// In memory that outlives a simulated node. Clones are the same memory.
    Memory(Arc<Mutex<Vec<u8>>>),
}

/// An open journal.
pub struct Journal {
    env: Env,
    medium: Medium,
    /// Bytes appended since the file was last written anew, and the bytes that it had then.
    appended: usize,
    compacted: usize,
}

/// A journal smaller than this is never written anew.
const COMPACT_FROM: usize = 1 << 20;

impl Journal {
    /// Opens or makes the journal and returns what it says.
    ///
    /// # Errors
    /// When it cannot be read, or written anew. A full disk is an error only if there is no journal yet.
    pub async fn open(env: &Env, medium: Medium) -> Result<(Journal, AgentState), JournalError> {
        let mut journal = Journal { env: env.clone(), medium: medium.clone(), appended: 0, compacted: 0 };
        let old = medium.clone();
        let (state, whole) = journal
            .blocking(move || {
                let bytes = old.read()?;
                Ok((replay(&old.path(), &bytes)?, whole_lines(&bytes)))
            })
            .await?;
        match journal.compact(&state).await {
            Err(error) if whole > 0 && error.is_no_room() => {
                journal.blocking(move || medium.cut(whole)).await?;
            }
            result => result?,
        }
        Ok((journal, state))
    }

    /// Appends `entries`. When this returns they are on the disk, unless all are acknowledgements.
    ///
    /// # Errors
    /// When they may not be; nothing must be done about them then.
    pub async fn append(&mut self, entries: &[Entry]) -> Result<(), JournalError> {
        let bytes = encode(entries);
        self.appended += bytes.len();
        let medium = self.medium.clone();
        let matters = entries.iter().any(|entry| !matches!(entry, Entry::Acknowledged(_)));
        self.blocking(move || medium.append(&bytes, matters)).await
    }

    /// Writes the journal anew if it has grown to many times of what `state` says.
    ///
    /// # Errors
    /// When it cannot be written; the old one stays.
    pub async fn compact_if_large(&mut self, state: &AgentState) -> Result<(), JournalError> {
        if self.appended < COMPACT_FROM.max(self.compacted * 4) {
            return Ok(());
        }
        self.compact(state).await
    }

    async fn compact(&mut self, state: &AgentState) -> Result<(), JournalError> {
        let bytes = encode(&state.entries());
        (self.appended, self.compacted) = (0, bytes.len());
        let medium = self.medium.clone();
        self.blocking(move || medium.replace(&bytes)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        match self.medium {
            Medium::Folder(_) => self.env.run_blocking(work).await.map_err(|_| JournalError::Crashed)?,
            Medium::Memory(_) => work(),
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("medium", &self.medium).finish_non_exhaustive()
    }
}

impl Medium {
    /// Memory that a simulation keeps over the crashes of a node.
    #[must_use]
    pub fn memory() -> Medium {
        Medium::Memory(Arc::default())
    }

    fn path(&self) -> PathBuf {
        match self {
            Medium::Folder(folder) => folder.join("journal"),
            Medium::Memory(_) => PathBuf::from("(memory)"),
        }
    }

    fn read(&self) -> Result<Vec<u8>, JournalError> {
        let path = self.path();
        match self {
            Medium::Memory(bytes) => Ok(lock(bytes).clone()),
            Medium::Folder(folder) => {
                std::fs::create_dir_all(folder).map_err(failed("create", folder))?;
                match std::fs::read(&path) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
                    result => result.map_err(failed("read", &path)),
                }
            }
        }
    }

    /// Leaves only the first `length` bytes, which takes no room.
    fn cut(&self, length: usize) -> Result<(), JournalError> {
        match self {
            Medium::Memory(memory) => lock(memory).truncate(length),
            Medium::Folder(_) => {
                let path = self.path();
                let length = u64::try_from(length).unwrap_or(u64::MAX);
                let file = OpenOptions::new().append(true).open(&path).map_err(failed("open", &path))?;
                file.set_len(length).map_err(failed("truncate", &path))?;
            }
        }
        Ok(())
    }

    fn append(&self, bytes: &[u8], sync: bool) -> Result<(), JournalError> {
        match self {
            Medium::Memory(memory) => lock(memory).extend_from_slice(bytes),
            Medium::Folder(_) => {
                let path = self.path();
                let mut file = OpenOptions::new().append(true).open(&path).map_err(failed("open", &path))?;
                let before = file.metadata().map_err(failed("read", &path))?.len();
                let written = file.write_all(bytes);
                let written = if sync { written.and_then(|()| file.sync_data()) } else { written };
                if let Err(error) = written {
                    // Half a line must not stay in the middle of the file: later lines would follow it.
                    file.set_len(before).map_err(failed("truncate", &path))?;
                    return Err(failed("append to", &path)(error));
                }
            }
        }
        Ok(())
    }

    fn replace(&self, bytes: &[u8]) -> Result<(), JournalError> {
        match self {
            Medium::Memory(memory) => bytes.clone_into(&mut lock(memory)),
            Medium::Folder(folder) => {
                let (path, new) = (self.path(), folder.join("journal.new"));
                // Tasks may carry secrets.
                let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).clone();
                let written = options.open(&new).and_then(|mut file| {
                    file.write_all(bytes)?;
                    file.sync_all()
                });
                written.map_err(failed("write", &new))?;
                std::fs::rename(&new, &path).map_err(failed("replace", &path))?;
                File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", folder))?;
            }
        }
        Ok(())
    }
}

fn lock(bytes: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    bytes.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io { operation, path, source }
}

fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        // Our own types always have a JSON form.
        bytes.extend(json::to_vec(entry).unwrap_or_default());
        bytes.push(b'\n');
    }
    bytes
}

/// How many bytes there are up to the end of the last whole line.
fn whole_lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1)
}

fn replay(path: &Path, bytes: &[u8]) -> Result<AgentState, JournalError> {
    let mut state = AgentState::default();
    for (index, line) in bytes[..whole_lines(bytes)].split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let entry = serde_json::from_slice(line).map_err(|source| JournalError::Corrupt {
            line: index + 1,
            path: path.to_owned(),
            source,
        })?;
        state.apply(entry);
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::super::state::{Acknowledged, Updated};
    use super::*;
    use crate::mesos::embedded::launcher::Launch;
    use crate::mesos::wire::{AgentId, FrameworkId, Scalar, TaskId, TaskInfo, TaskState, TaskStatus};
    use jiff::Timestamp;

    fn launch(id: &str) -> Launch {
        let mut task = TaskInfo { name: id.to_owned(), task_id: TaskId::new(id), ..TaskInfo::default() };
        task.data = Some(vec![0, 255]);
        task.limits.insert("mem".to_owned(), Scalar { value: f64::INFINITY });
        let environment = [("A".to_owned(), "b".to_owned())].into();
        Launch { framework_id: FrameworkId::new("f"), agent_id: AgentId::new("a"), task, environment }
    }

    fn updated(id: &str, state: TaskState, uuid: u8) -> Entry {
        let status = TaskStatus { uuid: Some(vec![uuid; 16]), ..TaskStatus::of(TaskId::new(id), state) };
        Entry::Updated(Box::new(Updated { framework_id: FrameworkId::new("f"), status }))
    }

    fn acknowledged(id: &str, uuid: u8) -> Entry {
        let (framework_id, task_id) = (FrameworkId::new("f"), TaskId::new(id));
        Entry::Acknowledged(Acknowledged { framework_id, task_id, uuid: vec![uuid; 16] })
    }

    fn life() -> Vec<Entry> {
        vec![
            Entry::Registered(AgentId::new("a")),
            Entry::Launched(Box::new(launch("runs"))),
            Entry::Launched(Box::new(launch("over"))),
            updated("runs", TaskState::Starting, 1),
            acknowledged("runs", 1),
            updated("runs", TaskState::Running, 2),
            updated("over", TaskState::Failed, 3),
            acknowledged("over", 3),
        ]
    }

    fn env() -> Env {
        Env::simulated("agent", 1, Timestamp::UNIX_EPOCH)
    }

    #[tokio::test]
    async fn what_was_appended_is_read_after_a_restart_and_what_is_over_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let medium = Medium::Folder(folder.path().join("agent"));
        let (mut journal, state) = Journal::open(&env(), medium.clone()).await.unwrap();
        assert_eq!(state, AgentState::default());
        journal.append(&life()).await.unwrap();

        for _ in 0..2 {
            let (_, state) = Journal::open(&env(), medium.clone()).await.unwrap();
            let runs = &state.tasks[&TaskId::new("runs")];
            assert_eq!(state.tasks.len(), 1);
            assert_eq!(runs.launch, launch("runs"));
            assert_eq!(runs.in_flight().map(TaskStatus::state), Some(TaskState::Running));
            assert_eq!(runs.acknowledged.as_ref().map(TaskStatus::state), Some(TaskState::Starting));
        }
    }

    #[tokio::test]
    async fn a_torn_last_line_is_forgotten_and_a_broken_one_before_is_an_error() {
        let memory = Medium::memory();
        let (mut journal, _) = Journal::open(&env(), memory.clone()).await.unwrap();
        journal.append(&life()).await.unwrap();
        memory.append(br#"{"launched":{"fra"#, true).unwrap();
        let (mut journal, state) = Journal::open(&env(), memory.clone()).await.unwrap();
        assert_eq!(state.tasks.len(), 1);

        memory.append(b"nonsense\n", true).unwrap();
        journal.append(&life()).await.unwrap();
        let error = Journal::open(&env(), memory).await.unwrap_err();
        assert!(matches!(error, JournalError::Corrupt { line: 6, .. }), "{error}");
    }
}
