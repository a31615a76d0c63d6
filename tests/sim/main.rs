//! The whole of Tenure below its HTTP door, on one thread with virtual time: the real registry, loops, session, embedded
//! master and agents over a store in memory and machines that exist only as tables.
//!
//! `world` builds it, `checks` asserts at every change what must always hold; `seeded` are runs that a number decides, with
//! faults of every kind; the other modules are scenarios.
#![allow(clippy::unwrap_used, reason = "a failing test ends by a panic")]
#![allow(clippy::print_stdout, reason = "a replayed seed prints its log")]
#![allow(
    dead_code,
    unused_imports,
    reason = "`benches/sim` is built of the same modules, and uses what tests do not"
)]

mod agents;
mod apps;
mod calm;
mod checks;
mod crash;
mod failover;
mod faults;
mod garbage;
mod kills;
mod launches;
mod lent;
mod machines;
mod noted;
mod operators;
mod orphans;
mod perturbations;
mod perturbed;
mod plants;
mod play;
mod questions;
mod reality;
mod rollout;
mod scenarios;
mod seeded;
mod seeds;
mod sharing;
mod shut;
mod walked;
mod walks;
mod world;
