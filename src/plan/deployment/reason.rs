//! Why a plan does not do more, in words for people.

use std::fmt;

use jiff::Timestamp;

/// One thing that a plan waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing starts before an App that this one depends on.
    WaitsForDependency {
        /// Name of the other App.
        app: String,
        /// Whether it does not even exist.
        missing: bool,
    },
    /// Nothing starts before the delay after failures is over.
    BacksOff {
        /// Failures in a row.
        failures: u32,
        /// When the next start is allowed.
        until: Timestamp,
    },
    /// Nothing starts before the pause after launches that the cluster failed again and again is over.
    LaunchesFail {
        /// What was said of the last.
        said: String,
        /// When the next start is allowed.
        until: Timestamp,
    },
    /// Nothing more starts while so many live: instances must end first.
    AtCapacity {
        /// Instances alive, stopping ones too.
        live: usize,
        /// The most allowed.
        capacity: usize,
    },
    /// Old instances stay until new ones are ready.
    KeepsOld {
        /// Old instances that stay.
        old: usize,
        /// Instances that serve now.
        healthy: usize,
        /// The fewest allowed.
        minimum: usize,
    },
    /// A slot has an instance that is stopping and one more: the first must end.
    SlotBusy {
        /// The slot.
        slot: u32,
    },
    /// Tasks of a deleted App must end before it may go.
    WaitsForTasksToEnd {
        /// How many.
        tasks: usize,
    },
}

impl Reason {
    /// One CamelCase word, for conditions.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::WaitsForDependency { .. } => "WaitingForDependency",
            Self::BacksOff { .. } => "BackingOff",
            Self::LaunchesFail { .. } => "LaunchFailing",
            Self::AtCapacity { .. } => "AtCapacity",
            Self::KeepsOld { .. } => "RollingOut",
            Self::SlotBusy { .. } => "SlotBusy",
            Self::WaitsForTasksToEnd { .. } => "Deleting",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WaitsForDependency { app, missing: true } => {
                write!(formatter, "depends on app {app}, which does not exist")
            }
            Self::WaitsForDependency { app, missing: false } => {
                write!(formatter, "depends on app {app}, which is not ready")
            }
            Self::BacksOff { failures: 1, until } => {
                write!(formatter, "an instance failed; the next start is at {until:.0}")
            }
            Self::BacksOff { failures, until } => {
                write!(
                    formatter,
                    "instances failed {failures} times in a row; the next start is at {until:.0}"
                )
            }
            Self::LaunchesFail { said, until } => {
                write!(
                    formatter,
                    "launches fail by no fault of the app: {said}; the next start is at {until:.0}"
                )
            }
            Self::AtCapacity { live, capacity } => {
                write!(formatter, "{live} instances are alive and {capacity} allowed: one must end first")
            }
            Self::KeepsOld { old, healthy, minimum } => write!(
                formatter,
                "{old} old instances stay: {healthy} are healthy and {minimum} must be, until new ones are ready"
            ),
            Self::SlotBusy { slot } => {
                write!(formatter, "slot {slot} has an instance that is still stopping")
            }
            Self::WaitsForTasksToEnd { tasks } => write!(formatter, "{tasks} tasks must end first"),
        }
    }
}
