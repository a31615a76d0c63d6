//! Names a process so that a reused pid is never taken for it: pid and start time, and the boot it happened in.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;

use super::readable::wake_for;

/// A process of this machine, past or present.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: i32,
    /// Clock ticks from boot to its start (field 22 of `/proc/PID/stat`).
    pub start_ticks: u64,
    pub boot: String,
}

impl ProcessId {
    /// The process that has this pid now.
    ///
    /// # Errors
    /// When there is none.
    pub fn of(pid: i32) -> io::Result<ProcessId> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        Ok(ProcessId { pid, start_ticks: start_ticks(pid)?, boot })
    }

    /// This very process.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn own() -> io::Result<ProcessId> {
        ProcessId::of(rustix::process::getpid().as_raw_nonzero().get())
    }

    /// A handle on the process, or nothing when it has ended.
    ///
    /// # Errors
    /// When the kernel gives no handle for another reason.
    pub fn open(&self) -> io::Result<Option<Watched>> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(None) };
        let fd = match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // The handle is held, so the pid cannot be reused from here on: whose is it?
        match ProcessId::of(self.pid) {
            Ok(found) if found == *self => Ok(Some(Watched { fd: wake_for(fd)? })),
            _ => Ok(None),
        }
    }
}

impl ProcessId {
    /// Whether it exists and has not ended; one that only waits to be collected has.
    #[must_use]
    pub fn lives(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let ended = stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']));
        !ended && ProcessId::of(self.pid).is_ok_and(|found| found == *self)
    }
}

fn start_ticks(pid: i32) -> io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command's name, in parentheses, may itself hold spaces and parentheses.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest);
    fields
        .and_then(|fields| fields.split_ascii_whitespace().nth(19)?.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat: no start time")))
}

/// A process that can be signalled and waited for without being its parent.
#[derive(Debug)]
pub struct Watched {
    fd: AsyncFd<OwnedFd>,
}

impl Watched {
    /// Returns when the process has ended.
    ///
    /// # Errors
    /// When the runtime cannot watch the handle.
    pub async fn ended(&self) -> io::Result<()> {
        self.fd.readable().await.map(|_| ())
    }

    /// Sends a signal; to a process that has ended is a success.
    ///
    /// # Errors
    /// When the signal may not be sent.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(self.fd.get_ref(), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_known_by_pid_and_start_time_and_its_end_is_an_event() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let id = ProcessId::of(i32::try_from(child.id()).unwrap()).unwrap();
        let watched = id.open().unwrap().expect("it runs");
        let other = ProcessId { start_ticks: id.start_ticks + 1, ..id.clone() };
        assert!(other.open().unwrap().is_none(), "another process with the same pid");

        watched.signal(Signal::KILL).unwrap();
        watched.ended().await.unwrap();
        child.wait().unwrap();
        assert!(id.open().unwrap().is_none());
        watched.signal(Signal::KILL).unwrap();
    }
}
