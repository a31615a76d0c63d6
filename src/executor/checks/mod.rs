//! Health and readiness checks: probes become verdicts, and only changes of a verdict are reported.
//!
//! ```text
//! Check --prober (one loop per check)--> Probe result --verdict (pure)--> Option<bool> --> the task's reports
//! ```
//!
//! A verdict is all that this room gives: it never kills. Whether an unhealthy task is replaced is decided by `plan`.

mod http;
mod prober;
mod verdict;

use std::net::IpAddr;
use std::time::Duration;

pub use prober::{Finding, ProbeCommand, Prober, Target};
pub use verdict::{Rules, Together, Verdict};

/// One check of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    pub probe: Probe,
    /// Before the first probe.
    pub delay: Duration,
    /// From the end of one probe to the start of the next.
    pub interval: Duration,
    /// For one probe.
    pub timeout: Duration,
    pub rules: Rules,
}

/// How a check looks at its task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A GET; healthy when the status is among `statuses`, or from 200 to 399 when those are empty.
    Http { port: u16, path: String, statuses: Vec<u16> },
    /// A connection that opens.
    Tcp { port: u16 },
    /// A command inside the container or the sandbox that exits with 0.
    Command { argv: Vec<String> },
}

/// The kinds of probes, as Mesos counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Http,
    Tcp,
    Command,
}

impl Probe {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Probe::Http { .. } => Kind::Http,
            Probe::Tcp { .. } => Kind::Tcp,
            Probe::Command { .. } => Kind::Command,
        }
    }
}

/// What one probe found: a detail in a person's words, and what Mesos's `CheckStatusInfo` wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Http {
        status: u16,
        passed: bool,
    },
    Tcp {
        connected: bool,
    },
    Command {
        exit_code: i32,
    },
    /// No answer: refused, timed out, not startable.
    Failed {
        why: String,
    },
}

impl Outcome {
    /// Whether the probe counts as a success.
    #[must_use]
    pub fn passed(&self) -> bool {
        match self {
            Outcome::Http { passed, .. } => *passed,
            Outcome::Tcp { connected } => *connected,
            Outcome::Command { exit_code } => *exit_code == 0,
            Outcome::Failed { .. } => false,
        }
    }

    /// For `status.message`.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Outcome::Http { status, .. } => format!("HTTP status {status}"),
            Outcome::Tcp { connected: true } => "connected".to_owned(),
            Outcome::Tcp { connected: false } => "not connected".to_owned(),
            Outcome::Command { exit_code } => format!("command exited with {exit_code}"),
            Outcome::Failed { why } => why.clone(),
        }
    }
}

/// Where probes go: the container's own address, or this machine's loopback.
pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
