//! The audit log: one line for each request that changes something or is denied, in the form of audit.k8s.io/v1 at the
//! level Metadata. What is in an object never stands there.
//!
//! A line is in the file before its request is answered. A file that has grown large is put aside; of those only the newest
//! are kept.

pub(crate) mod told;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::env::Env;

/// How large the file grows, how many older ones are kept, and for how long.
const BYTES_MAX: u64 = 100 * 1024 * 1024;
const FILES_MAX: usize = 10;
const AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Lines that wait to be written.
const QUEUE: usize = 1_024;

/// The audit log. Lines go through one writer, all that wait in one write.
#[derive(Debug, Clone)]
pub struct Audit {
    lines: mpsc::Sender<Line>,
}

#[derive(Debug)]
struct Line {
    text: String,
    written: oneshot::Sender<()>,
}

impl Audit {
    /// A log in `folder`, which is made.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(env: &Env, folder: &Path) -> io::Result<Audit> {
        let mut file = Journal::open(folder.to_owned(), BYTES_MAX)?;
        let (lines, mut waiting) = mpsc::channel::<Line>(QUEUE);
        let node = env.clone();
        env.spawn("audit", async move {
            let (mut batch, mut fails) = (Vec::new(), false);
            while waiting.recv_many(&mut batch, QUEUE).await > 0 {
                let text: String = batch.iter().map(|line| line.text.as_str()).collect();
                let now = node.now();
                let written = node.run_blocking(move || {
                    let result = file.write(text.as_bytes(), now);
                    (file, result)
                });
                let Ok((back, result)) = written.await else { return };
                file = back;
                let failed = result.is_err();
                match result {
                    // Told when it begins and when it ends: a full disk fails every line.
                    Err(error) if !fails => {
                        tracing::error!(%error, "the audit log cannot be written: lines are lost");
                    }
                    Ok(()) if fails => tracing::info!("the audit log is written again"),
                    _ => {}
                }
                fails = failed;
                for line in batch.drain(..) {
                    // Whoever asked may be gone.
                    let _ = line.written.send(());
                }
            }
        });
        Ok(Audit { lines })
    }

    /// Writes `event`; it is in the file when this returns, unless the file cannot be written, which the log tells.
    pub(crate) async fn write(&self, event: &Value) {
        let (written, done) = oneshot::channel();
        let line = Line { text: format!("{event}\n"), written };
        if self.lines.send(line).await.is_ok() {
            // A writer that is gone is the end of this server.
            let _ = done.await;
        }
    }
}

/// The file and those before it.
#[derive(Debug)]
struct Journal {
    folder: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
}

impl Journal {
    fn open(folder: PathBuf, bytes_max: u64) -> io::Result<Journal> {
        fs::create_dir_all(&folder)?;
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(folder.join("audit.log"))?;
        let bytes = file.metadata()?.len();
        Ok(Journal { folder, file, bytes, bytes_max })
    }

    fn write(&mut self, lines: &[u8], now: Timestamp) -> io::Result<()> {
        let length = lines.len() as u64;
        if self.bytes > 0 && self.bytes + length > self.bytes_max {
            self.put_aside(now)?;
        }
        self.file.write_all(lines)?;
        self.bytes += length;
        Ok(())
    }

    fn put_aside(&mut self, now: Timestamp) -> io::Result<()> {
        self.file.sync_all()?;
        let last = self.aside()?.last().map_or(0, |(number, _)| *number);
        fs::rename(self.folder.join("audit.log"), self.folder.join(format!("audit-{:06}.log", last + 1)))?;
        *self = Journal::open(self.folder.clone(), self.bytes_max)?;
        self.forget(now)
    }

    /// The files that were put aside, the oldest first.
    fn aside(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut aside = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let number = name.strip_prefix("audit-").and_then(|rest| rest.strip_suffix(".log"));
            aside.extend(number.and_then(|number| number.parse().ok()).map(|number| (number, path.clone())));
        }
        aside.sort();
        Ok(aside)
    }

    fn forget(&self, now: Timestamp) -> io::Result<()> {
        let is_old = |path: &Path| {
            let modified = fs::metadata(path).and_then(|it| it.modified()).ok();
            let modified = modified.and_then(|it| Timestamp::try_from(it).ok());
            modified.is_some_and(|at| now.duration_since(at).unsigned_abs() > AGE_MAX && at < now)
        };
        let aside = self.aside()?;
        let surplus = aside.len().saturating_sub(FILES_MAX);
        for (at, (_, path)) in aside.iter().enumerate() {
            if at < surplus || is_old(path) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_is_full_is_put_aside_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let now: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        let mut journal = Journal::open(folder.path().to_owned(), 10).unwrap();
        for number in 0..15 {
            journal.write(format!("line {number:02}\n").as_bytes(), now).unwrap();
        }
        let mut names: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names.len(), FILES_MAX + 1);
        assert_eq!(fs::read_to_string(folder.path().join("audit.log")).unwrap(), "line 14\n");
        let oldest = fs::read_to_string(folder.path().join(&names[0])).unwrap();
        assert_eq!(oldest, "line 04\n");
        let mode = fs::metadata(folder.path().join("audit.log")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_line_is_in_the_file_when_it_is_said_to_be_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let env = Env::system().unwrap();
        for name in ["one", "two"] {
            let audit = Audit::open(&env, folder.path()).unwrap();
            audit.write(&Value::from(name)).await;
        }
        assert_eq!(fs::read_to_string(folder.path().join("audit.log")).unwrap(), "\"one\"\n\"two\"\n");
    }
}
