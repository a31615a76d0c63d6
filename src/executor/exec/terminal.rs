//! A terminal of our own: the end that we hold, and the program that makes the other one the terminal of a command.
//!
//! A process gets a controlling terminal by opening one as the leader of a session that has none. So the command begins as this
//! very program, `… terminal PATH PROGRAM ARGUMENT…`, which becomes such a leader, opens the terminal, and then is the program.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::setsid;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Size;

/// What a program gets that is not there, by the habit of shells.
const NOT_FOUND: u8 = 127;
/// And one that cannot be executed.
const NOT_EXECUTABLE: u8 = 126;

/// Our end of a terminal. Clones are the same end.
#[derive(Debug, Clone)]
pub struct Terminal {
    end: Arc<AsyncFd<OwnedFd>>,
    path: PathBuf,
}

impl Terminal {
    /// A new one.
    ///
    /// # Errors
    /// When the system has none left.
    #[expect(deprecated, reason = "an `OwnedFd` stays open, and the same, for as long as it lives")]
    pub fn open() -> io::Result<Terminal> {
        let end = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&end)?;
        unlockpt(&end)?;
        let name = ptsname(&end, Vec::new())?;
        let path = PathBuf::from(name.into_string().map_err(io::Error::other)?);
        rustix::io::ioctl_fionbio(&end, true)?;
        Ok(Terminal { end: Arc::new(AsyncFd::new(end)?), path })
    }

    /// Where the other end is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells whoever uses it how large it is.
    ///
    /// # Errors
    /// When it is gone.
    pub fn resize(&self, size: Size) -> io::Result<()> {
        let size = Winsize { ws_row: size.height, ws_col: size.width, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(self.end.get_ref(), size)?)
    }
}

impl AsyncRead for Terminal {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.end.poll_read_ready(cx))?;
            let read = guard.try_io(|end| Ok(rustix::io::read(end.get_ref(), buffer.initialize_unfilled())?));
            match read {
                Ok(Ok(length)) => {
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
                // Nobody has the other end any more.
                Ok(Err(error)) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.end.poll_write_ready(cx))?;
            match guard.try_io(|end| Ok(rustix::io::write(end.get_ref(), bytes)?)) {
                Ok(written) => return Poll::Ready(written),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// A terminal has no half that could be closed: the end of what is typed is a sign of its own.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        const END_OF_TRANSMISSION: &[u8] = &[4];
        self.poll_write(cx, END_OF_TRANSMISSION).map_ok(|_| ())
    }
}

/// `terminal PATH PROGRAM ARGUMENT…`: this process becomes that program, with that terminal. To be called before any other thread.
#[must_use]
pub fn run(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let (Some(path), Some(program)) = (args.next(), args.next()) else {
        complain("usage: terminal PATH PROGRAM ARGUMENT…");
        return ExitCode::from(2);
    };
    if let Err(error) = take(Path::new(&path)) {
        complain(&format!("no terminal at {}: {error}", path.display()));
        return ExitCode::from(NOT_EXECUTABLE);
    }
    let error = Command::new(&program).args(args).exec();
    complain(&format!("{}: {error}", program.display()));
    let missing = error.kind() == io::ErrorKind::NotFound;
    ExitCode::from(if missing { NOT_FOUND } else { NOT_EXECUTABLE })
}

fn take(path: &Path) -> io::Result<()> {
    setsid()?;
    let terminal = open(path, OFlags::RDWR, Mode::empty())?;
    dup2_stdin(&terminal)?;
    dup2_stdout(&terminal)?;
    dup2_stderr(&terminal)?;
    Ok(())
}

/// There is nowhere to report that it could not be written.
fn complain(words: &str) {
    let _unwritable = writeln!(io::stderr(), "tenure: {words}");
}
