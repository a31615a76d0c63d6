//! Tests against a real dockerd and real processes.

#![allow(clippy::unwrap_used, reason = "what is used by tests fails like a test")]

#[path = "../support/dockerd.rs"]
mod dockerd;

mod agent;
mod executor;
mod mesos_agent;
