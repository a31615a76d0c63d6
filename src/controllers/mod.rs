//! The loops: observe, plan, act, report. Only here meet a reader, a decision and a writer.
//!
//! | loop | looks at | decides in | writes |
//! | --- | --- | --- | --- |
//! | `deployment` | an App, its Revisions and Tasks | `plan::deployment` | Revisions, Tasks (wanted, stopped), App status |
//! | `placement` | waiting Tasks, leased offers | `plan::placement` | Task bindings, then ACCEPT; App condition `Waiting` |
//! | `status` | updates of the cluster | `plan::status` | Task status, then ACKNOWLEDGE |
//! | `health` | a Task's status | `plan::health` | Task stops |
//! | `teardown` | Tasks that shall end | `plan::teardown` | KILL; takes the finalizer off |
//! | `endpoints` | an App's running Tasks | `plan::discovery` | Endpoints |
//! | `agents` | offers, what machines and the master say of machines | `plan::agent` | Agents |
//! | `maintenance` | machines that are to be taken away | `plan::maintenance` | the answer to inverse offers |
//! | `reconcile` | what the cluster runs | | RECONCILE |
//! | `orphans` | reported tasks that nobody owns | `plan::orphans` | KILL; Agent condition `Orphans` |
//! | `gc` | owners and what they own | `plan::gc` | deletions |
//!
//! Loops never call each other: they meet in the store. [`Leader`] runs all of them for a term.

mod agents;
mod by_app;
mod census;
mod contact;
mod deployment;
mod endpoints;
mod ends;
mod events;
mod framework;
mod gc;
mod health;
mod identity;
mod leader;
mod machines;
mod maintenance;
mod messages;
mod objects;
mod offers;
mod orphans;
mod placement;
mod places;
mod questions;
mod reconcile;
mod rest;
mod runner;
mod secrets;
mod session;
mod sightings;
mod silent;
mod standing;
mod status;
mod task_info;
mod teardown;
mod updates;

use std::time::Duration;

use jiff::Timestamp;

pub use census::Census;
pub use contact::{Contact, Trouble};
pub use ends::Ends;
pub use framework::{FRAMEWORK_ID, borrowing, framework};
pub use leader::{LeadError, Leader, Policy};
pub use messages::{MessageError, Messages};
pub use objects::{agent_key, task_key};
pub use offers::{Busy, Offers};
pub use runner::{Program, Runner, Share};
pub use secrets::{SecretError, Secrets};
pub use task_info::{Launch, LaunchError, task_info};

/// How long launches may take.
pub use crate::plan::health::Limits;

/// How long it is from `now` to `then`; nothing when that is past.
fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
}
