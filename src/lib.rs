//! Tenure keeps applications running on Apache Mesos and Docker the way their manifests say.
//!
//! The rooms, in reading order (ARCHITECTURE.md tells how they fit together):
//!
//! - [`api`]: the nouns. Data only; all that a plugin needs.
//! - [`plan`]: the decisions. Plain data in, a list of actions out.
//! - [`mod@env`]: clock, chance and tasks: what the simulation replaces.
//! - [`store`]: versioned documents: etcd, embedded, memory.
//! - [`registry`]: what a write means, and the watch cache that everybody reads.
//! - [`runtime`]: what every loop needs: queues, backoff, leadership, shutdown.
//! - [`mesos`]: the Mesos v1 scheduler API, the session, and the embedded master.
//! - [`executor`]: what runs beside the tasks.
//! - [`controllers`]: the loops: observe, plan, act, report.
//! - [`discovery`]: where endpoints go.
//! - [`server`]: the HTTP front door.
//! - [`cli`]: kubectl-like verbs over HTTP.
//! - [`serve`]: wires the rooms into a running server.

/// True when the planted bug of this name is in force: `false` itself, unless built with `--cfg tenure_planted`. It stands in the
/// one condition that a wrong product would have differently; `hack/sim --planted` shows that the simulation finds each.
#[cfg(all(feature = "full", not(tenure_planted)))]
macro_rules! planted {
    ($name:literal) => {
        false
    };
}
#[cfg(all(feature = "full", tenure_planted))]
macro_rules! planted {
    ($name:literal) => {
        $crate::planted::is_in_force($name)
    };
}

pub mod api;

/// No rooms: what the tests of decoders feed them with, and what they count.
#[cfg(all(test, feature = "full"))]
#[path = "../tests/support/fuzz.rs"]
mod fuzz;

#[cfg(all(test, feature = "full"))]
#[path = "../tests/support/proportion.rs"]
mod proportion;

#[cfg(feature = "full")]
pub mod cli;
#[cfg(feature = "full")]
pub mod controllers;
#[cfg(feature = "full")]
pub mod discovery;
#[cfg(feature = "executor")]
pub mod env;
#[cfg(feature = "executor")]
pub mod executor;
#[cfg(feature = "executor")]
pub mod mesos;
#[cfg(feature = "full")]
pub mod plan;
#[cfg(tenure_planted)]
pub mod planted;
#[cfg(feature = "full")]
pub mod registry;
#[cfg(feature = "full")]
pub mod runtime;
#[cfg(feature = "full")]
pub mod serve;
#[cfg(feature = "full")]
pub mod server;
#[cfg(feature = "full")]
pub mod store;
