//! The decisions: a snapshot in, actions and reasons out. Never awaits, reads no clock.
//!
//! Every function here is pure: the same snapshot gives the same answer, in the same order. `now` and the seed of
//! any choice are part of the snapshot. The loops in `controllers` read, ask here, and write what is answered;
//! what they must choose themselves belongs here. Doing nothing has a reason, and reasons are written for people.
//!
//! - [`deployment`]: what an App wants next: revisions and tasks to create and to stop, and its status.
//! - [`placement`]: which offer each waiting task gets, which offers are kept, and why tasks wait.
//! - [`status`]: what an update of the cluster means for a task's status.
//! - [`health`]: which tasks are given up: unhealthy, cut off, overdue.
//! - [`teardown`]: which tasks are told to end now, and which are gone.
//! - [`agent`], [`size`]: whether a machine is ready, when it is forgotten, and how large it is.
//! - [`discovery`], [`environment`]: where an App is reached, and what its instances are told.
//! - [`maintenance`]: when a machine that is to be taken away is left.
//! - [`orphans`]: what runs without being owned.
//! - [`gc`]: what nobody needs any more.

pub mod agent;
pub mod deployment;
pub mod discovery;
pub mod environment;
pub mod gc;
pub mod health;
#[cfg(test)]
mod kstatus;
pub mod maintenance;
pub mod orphans;
pub mod placement;
pub mod size;
pub mod status;
pub mod teardown;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::api::{MicroTime, ObjectMeta};

/// The name of a namespaced object, within its kind. Ordered as in the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name within it.
    pub name: Arc<str>,
}

impl ObjectName {
    /// From its two parts.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Of an object as it stands in the store, where both parts are always set.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self::new(
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.name.as_deref().unwrap_or_default(),
        )
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// When a decision should be looked at again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Again {
    /// When something that it looked at changes.
    #[default]
    OnChange,
    /// Then, or at this time even if nothing changes.
    At(Timestamp),
}

impl Again {
    /// The earlier of the two.
    #[must_use]
    pub fn sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::OnChange, again) | (again, Self::OnChange) => again,
            (Self::At(one), Self::At(two)) => Self::At(one.min(two)),
        }
    }
}

/// `base` and `duration` later; the end of time where the calendar has none.
fn after(base: Timestamp, duration: Duration) -> Timestamp {
    base.saturating_add(duration).unwrap_or(Timestamp::MAX)
}

/// A time as it is stored: in microseconds. A plan compares what it wrote with what it would write.
fn micro_time(at: Timestamp) -> MicroTime {
    MicroTime(Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at))
}
