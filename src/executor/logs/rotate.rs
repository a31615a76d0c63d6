//! A file that is renamed to `.1`, `.2` and so on when it has reached its size, keeping the newest few.
//!
//! What it writes may lie in a folder in which a container's root does as it likes: no link is ever followed, and what begins anew is a
//! file of our own making.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, open, openat, renameat, unlinkat};
use rustix::io::Errno;

use super::LogLimits;

/// How often a name is freed that somebody else takes at the same time.
const ATTEMPTS: u32 = 8;

/// One stream's output. Pieces are cut between lines where a line ends within the last piece written.
#[derive(Debug)]
pub struct RotatingFile {
    folder: OwnedFd,
    name: OsString,
    limits: LogLimits,
    file: File,
    written: u64,
}

impl RotatingFile {
    /// Goes on at the end of the file at `path`, which is made when it does not exist.
    ///
    /// # Errors
    /// When it cannot be opened, or is not a file.
    pub fn open(path: &Path, limits: LogLimits) -> io::Result<RotatingFile> {
        let parts = path.parent().zip(path.file_name());
        let (folder, name) = parts.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
        let folder = open(folder, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        // Not waiting for whoever reads a pipe.
        let file = append(&folder, name, OFlags::NONBLOCK)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
        }
        Ok(RotatingFile { folder, name: name.to_owned(), limits, file, written: metadata.len() })
    }

    /// Writes all of `bytes`, rotating first when they do not fit any more.
    ///
    /// # Errors
    /// When the disk is full or the file system refuses; what was not written is lost.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.written > 0 && self.written + bytes.len() as u64 > self.limits.file_bytes {
            self.rotate()?;
        }
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let oldest = self.limits.files.saturating_sub(1);
        for number in (0..oldest).rev() {
            let (from, to) = (numbered(&self.name, number), numbered(&self.name, number + 1));
            match renameat(&self.folder, from, &self.folder, to) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.file = self.begin_anew()?;
        self.written = 0;
        Ok(())
    }

    /// A new file under the name, in the place of whatever has it.
    fn begin_anew(&self) -> io::Result<File> {
        for _ in 0..ATTEMPTS {
            match append(&self.folder, &self.name, OFlags::EXCL) {
                Err(Errno::EXIST) => {}
                made => return Ok(made?),
            }
            match unlinkat(&self.folder, &self.name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Errno::EXIST.into())
    }
}

impl Write for RotatingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        RotatingFile::write(self, bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn append(folder: &OwnedFd, name: impl rustix::path::Arg, how: OFlags) -> Result<File, Errno> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, name, flags | how, Mode::RUSR | Mode::WUSR).map(File::from)
}

/// `stdout` for 0, `stdout.1` for 1, and so on: the higher, the older.
pub(super) fn numbered(path: impl AsRef<Path>, number: u32) -> PathBuf {
    let path = path.as_ref();
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(path: &Path) -> Vec<String> {
        (0..5).map_while(|n| std::fs::read_to_string(numbered(path, n)).ok()).collect()
    }

    #[test]
    fn the_newest_files_are_kept_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stdout");
        let limits = LogLimits { file_bytes: 8, files: 3 };
        let mut file = RotatingFile::open(&path, limits).unwrap();
        for line in ["1111\n", "2222\n", "3333\n", "4444\n"] {
            file.write(line.as_bytes()).unwrap();
        }
        assert_eq!(kept(&path), ["4444\n", "3333\n", "2222\n"]);

        let mut again = RotatingFile::open(&path, limits).unwrap();
        again.write(b"55\n").unwrap();
        assert_eq!(kept(&path)[0], "4444\n55\n", "a new shim goes on where the last one ended");
    }

    #[test]
    fn a_single_file_starts_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stdout");
        let mut file = RotatingFile::open(&path, LogLimits { file_bytes: 4, files: 1 }).unwrap();
        file.write(b"1111").unwrap();
        file.write(b"2222").unwrap();
        assert_eq!(kept(&path), ["2222"]);
    }

    #[test]
    fn no_link_is_followed_and_no_pipe_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (folder.path().join("stdout"), folder.path().join("elsewhere"));
        let limits = LogLimits { file_bytes: 8, files: 3 };
        let mut file = RotatingFile::open(&path, limits).unwrap();
        let replace = || {
            std::fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        };
        replace();
        file.write(b"1111\n").unwrap();
        file.write(b"2222\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "2222\n");
        assert!(!elsewhere.exists(), "{:?}", std::fs::read(&elsewhere));
        let mut single = RotatingFile::open(&path, LogLimits { file_bytes: 8, files: 1 }).unwrap();
        replace();
        single.write(b"3333\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "3333\n");

        replace();
        RotatingFile::open(&path, limits).expect_err("a link");
        assert!(!elsewhere.exists());
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        RotatingFile::open(&pipe, limits).expect_err("nobody reads it");
        RotatingFile::open(folder.path(), limits).expect_err("a folder");
    }
}
