//! The whole of it: a real `tenure server` with a real dockerd, driven over its API and killed without mercy.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failing test ends by a panic, and tells the log"
)]

#[path = "../support/dockerd.rs"]
mod dockerd;
#[path = "../support/etcd.rs"]
mod etcd;
#[path = "../support/netns.rs"]
mod netns;
#[path = "../support/python.rs"]
mod python_packages;
#[path = "../support/registry.rs"]
mod registry_server;
#[path = "../support/zookeeper.rs"]
mod zookeeper;

mod cluster;
mod engine;
mod exec;
mod exec_standby;
mod failover;
mod faults;
mod harness;
mod kill;
mod kubernetes;
mod large;
mod launching;
mod life;
mod locked_out;
mod maintenance;
mod mesos;
mod mesos_dns;
mod operators;
mod registry;
mod replicas;
mod second;
mod storage;
mod trouble;
