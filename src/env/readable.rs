//! A file descriptor that the runtime wakes for when it can be read: a pidfd, an inotify queue.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Wakes for `fd`.
///
/// # Errors
/// When the kernel cannot poll it.
#[expect(
    deprecated,
    reason = "its successor is unsafe for types that swap their descriptor; an OwnedFd never does"
)]
pub(crate) fn wake_for(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}
