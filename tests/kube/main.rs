//! The API server as its clients see it: real kubectl (Debian's and the one on PATH), kube-rs, and plain requests.
//!
//! Each test has a server of its own in this process: memory store, our CRDs, TLS, a free loopback port. No loop runs
//! behind it, so nothing happens to an object but what the test does.

#![allow(clippy::unwrap_used, reason = "a failing test ends by a panic")]

#[path = "../support/python.rs"]
mod python_packages;

mod access;
#[path = "../support/answers.rs"]
mod answers;
mod bad_input;
mod certificates;
mod cli;
mod client;
mod confirm;
mod definitions;
mod events;
mod exec;
mod gitops;
mod hardening;
mod helm;
mod kubectl;
mod kubectl_edges;
mod kubectl_verbs;
mod newer;
mod offers;
mod plugins;
mod python;
mod replay;
mod server;
mod watch;
mod wire;
