//! House rules as tests: the arrows between the rooms, the generated files, the recorded conversations.
//! No service is started here.

#![allow(clippy::unwrap_used, reason = "a failing test ends by a panic")]

#[path = "../support/answers.rs"]
mod answers;
mod arrows;
#[allow(dead_code, reason = "the simulation reads the rest of the catalogue")]
#[path = "../sim/plants.rs"]
mod catalogue;
mod crds;
mod headers;
mod kinds;
mod kube_replay;
mod manifests;
mod mesos_refusals;
mod mesos_replay;
mod mesos_traces;
mod plants;
mod samples;
