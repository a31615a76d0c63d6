//! A file that is renamed to `.1`, `.2` and so on when it has reached its size, keeping the newest few.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::LogLimits;

/// One stream's output. Pieces are cut between lines where a line ends within the last piece written.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    limits: LogLimits,
    file: File,
    written: u64,
}

impl RotatingFile {
    /// Goes on at the end of the file at `path`, which is made when it does not exist.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, limits: LogLimits) -> io::Result<RotatingFile> {
        let file = append(path)?;
        let written = file.metadata()?.len();
        Ok(RotatingFile { path: path.to_owned(), limits, file, written })
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
            let from = numbered(&self.path, number);
            if from.exists() {
                std::fs::rename(from, numbered(&self.path, number + 1))?;
            }
        }
        if oldest == 0 {
            std::fs::remove_file(&self.path)?;
        }
        self.file = append(&self.path)?;
        self.written = 0;
        Ok(())
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

fn append(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().append(true).create(true).mode(0o600).open(path)
}

/// `stdout` for 0, `stdout.1` for 1, and so on: the higher, the older.
pub(super) fn numbered(path: &Path, number: u32) -> PathBuf {
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
}
