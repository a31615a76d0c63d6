//! Reads the rotated files of a process: what is kept, and then what is written, woken by inotify.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::StreamExt;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

use super::lines::tail;
use super::rotate::numbered;
use super::{LogQuery, Output};
use crate::env::readable::wake_for;
use crate::executor::logs::LogError;
use crate::mesos::wire::TaskId;

/// Read at once while following.
const PIECE: usize = 64 * 1024;

/// The output in `path` and its rotated predecessors. Following ends when `exit` exists and all is read.
#[must_use]
pub fn read_files(task: TaskId, path: PathBuf, exit: PathBuf, query: LogQuery) -> Output {
    let failed = move |source| LogError::Read { task: task.clone(), source };
    let start = async move { Follow::start(path, exit, query) };
    let pieces = futures::stream::once(start).flat_map(move |started| match started {
        Err(error) => futures::stream::once(std::future::ready(Err(error))).boxed(),
        Ok(follow) => futures::stream::unfold(follow, Follow::step).boxed(),
    });
    pieces.map(move |piece| piece.map_err(&failed)).boxed()
}

struct Follow {
    path: PathBuf,
    exit: PathBuf,
    /// What was kept when reading began.
    kept: VecDeque<Bytes>,
    /// The newest file, read up to the end of what was kept.
    file: File,
    /// Absent when only what was kept is asked for.
    watch: Option<AsyncFd<OwnedFd>>,
}

impl Follow {
    fn start(path: PathBuf, exit: PathBuf, query: LogQuery) -> io::Result<Follow> {
        // Watching begins before reading: what is written in between wakes once for nothing.
        let watch = query.follow.then(|| watch(&path)).transpose()?;
        let mut files = newest_first(&path)?;
        let mut pieces = Vec::new();
        for file in files.iter_mut().rev() {
            let mut piece = Vec::new();
            file.read_to_end(&mut piece)?;
            pieces.push(Bytes::from(piece));
        }
        let file = files.into_iter().next().ok_or(io::ErrorKind::NotFound)?;
        let kept = tail(pieces, query.tail_lines).into();
        Ok(Follow { path, exit, kept, file, watch })
    }

    async fn step(mut self) -> Option<(io::Result<Bytes>, Follow)> {
        loop {
            if let Some(piece) = self.kept.pop_front() {
                if piece.is_empty() {
                    continue;
                }
                return Some((Ok(piece), self));
            }
            self.watch.as_ref()?;
            // Asked before reading, so that what was written before the end is read after it.
            let ended = self.exit.exists();
            match self.read_more() {
                Ok(piece) if !piece.is_empty() => return Some((Ok(piece), self)),
                Ok(_) if ended => return None,
                Ok(_) => {}
                Err(error) => return Some((Err(error), Follow { watch: None, ..self })),
            }
            if let Some(watch) = &self.watch
                && let Err(error) = wait(watch).await
            {
                return Some((Err(error), Follow { watch: None, ..self }));
            }
        }
    }

    /// What the file has more; when it was rotated away and is read to its end, what its successor has.
    fn read_more(&mut self) -> io::Result<Bytes> {
        loop {
            let mut piece = Vec::new();
            Read::by_ref(&mut self.file).take(PIECE as u64).read_to_end(&mut piece)?;
            if !piece.is_empty() {
                return Ok(piece.into());
            }
            match successor(&self.path, &self.file)? {
                Some(next) => self.file = next,
                None => return Ok(Bytes::new()),
            }
        }
    }
}

/// The kept files, each once, though they may be rotated meanwhile: a rotation moves files to higher numbers, so that
/// going upwards meets one twice and misses none.
fn newest_first(path: &Path) -> io::Result<Vec<File>> {
    let (mut files, mut seen) = (Vec::new(), BTreeSet::new());
    for number in 0.. {
        match File::open(numbered(path, number)) {
            Ok(file) => {
                if seen.insert(file.metadata()?.ino()) {
                    files.push(file);
                }
            }
            // Within a rotation there is no newest file for a moment.
            Err(error) if error.kind() == io::ErrorKind::NotFound && number == 0 => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// The file that was begun when `file` was rotated away. If rotations have removed `file` altogether, the oldest kept.
fn successor(path: &Path, file: &File) -> io::Result<Option<File>> {
    let own = file.metadata()?.ino();
    let mut newer = None;
    for candidate in newest_first(path)? {
        if candidate.metadata()?.ino() == own {
            return Ok(newer);
        }
        newer = Some(candidate);
    }
    Ok(newer)
}

/// Wakes when anything in the folder of `path` changes: output, rotation, `exit.json`.
fn watch(path: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    let flags = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE_SELF;
    inotify::add_watch(&fd, folder, flags)?;
    wake_for(fd)
}

async fn wait(watch: &AsyncFd<OwnedFd>) -> io::Result<()> {
    let mut ready = watch.readable().await?;
    let mut events = [0; 4096];
    // Which events they were does not matter: everything is looked at again.
    let drained = ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut events)?));
    match drained {
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::logs::{LogLimits, RotatingFile, Stream};

    fn query(tail_lines: Option<u64>, follow: bool) -> LogQuery {
        LogQuery { stream: Stream::Stdout, tail_lines, follow }
    }

    async fn all(output: Output) -> String {
        let pieces: Vec<Bytes> = output.map(|piece| piece.unwrap()).collect().await;
        String::from_utf8(pieces.concat()).unwrap()
    }

    #[tokio::test]
    async fn kept_output_is_read_over_rotated_files() {
        let folder = tempfile::tempdir().unwrap();
        let (path, exit) = (folder.path().join("stdout"), folder.path().join("exit.json"));
        let mut file = RotatingFile::open(&path, LogLimits { file_bytes: 4, files: 3 }).unwrap();
        for line in ["1\n2\n", "3\n4\n", "5\n"] {
            file.write(line.as_bytes()).unwrap();
        }
        let read = |tail| read_files(TaskId::new("t"), path.clone(), exit.clone(), query(tail, false));
        assert_eq!(all(read(None)).await, "1\n2\n3\n4\n5\n");
        assert_eq!(all(read(Some(2))).await, "4\n5\n");
    }

    #[tokio::test]
    async fn following_passes_over_rotations_and_ends_with_the_task() {
        let folder = tempfile::tempdir().unwrap();
        let (path, exit) = (folder.path().join("stdout"), folder.path().join("exit.json"));
        let mut file = RotatingFile::open(&path, LogLimits { file_bytes: 4, files: 9 }).unwrap();
        file.write(b"1\n2\n").unwrap();
        let mut output = read_files(TaskId::new("t"), path, exit.clone(), query(Some(1), true));
        assert_eq!(output.next().await.unwrap().unwrap(), "2\n");
        for line in ["3\n", "4\n", "5\n"] {
            file.write(line.as_bytes()).unwrap();
            assert_eq!(output.next().await.unwrap().unwrap(), line);
        }
        std::fs::write(exit, "{}").unwrap();
        assert!(output.next().await.is_none());
    }
}
