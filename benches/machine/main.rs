//! `hack/bench`: what Tenure costs on this machine, as ratios measured in one run.
//!
//! Each comparison alternates between the peer (the Docker socket used directly, at the same parallelism) and Tenure, and
//! prints the median of its repetitions. Figures without a peer are printed as they are, with the machine they are of.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

mod docker;
mod idle;
mod server;

use std::time::Duration;

use anyhow::{Context, Result};

use docker::Raw;
use server::Server;

/// Containers made at once, by both sides: what dockerd gains nothing beyond.
const PARALLEL: usize = 8;
const REPETITIONS: usize = 3;

#[tokio::main]
async fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let runs = |part: &str| wanted.is_empty() || wanted.iter().any(|word| word == part);
    if wanted.iter().any(|word| word == "mesos") {
        return on_mesos().await;
    }
    let server = Server::start().await?;
    if runs("idle") {
        idle::print("0 tasks", &server).await?;
    }
    if runs("docker") {
        let raw = Raw::connect()?;
        for network in ["host", "bridge"] {
            for instances in [16, 48] {
                compare(&server, &raw, network, instances, [1.10, 1.25]).await?;
            }
        }
    }
    if runs("idle") {
        let app = server.app("idle", "host", 48);
        server.launch(&app).await?;
        idle::print("48 tasks", &server).await?;
        server.remove("idle").await?;
    }
    server.stop().await
}

/// The same by an agent of the Mesos that `TENURE_TEST_MESOS` names, which uses the same dockerd.
async fn on_mesos() -> Result<()> {
    let masters = std::env::var("TENURE_TEST_MESOS").context("TENURE_TEST_MESOS names no Mesos")?;
    let server = Server::start_with(&["--mesos", &masters, "--artifact-listen", "127.0.0.1:0"]).await?;
    let raw = Raw::connect()?;
    for instances in [16, 48] {
        compare(&server, &raw, "host", instances, [1.30, 1.30]).await?;
    }
    server.stop().await
}

/// Start and rolling replacement of `instances` containers: Tenure against the socket used directly. `bars` are what launch and update
/// should not go beyond.
async fn compare(
    server: &Server,
    raw: &Raw,
    network: &str,
    instances: usize,
    [launch_bar, update_bar]: [f64; 2],
) -> Result<()> {
    let (mut launches, mut updates) = (Vec::new(), Vec::new());
    for _ in 0..REPETITIONS {
        let names = raw.names(instances);
        let raw_launch = raw.launch(&names, network, PARALLEL).await.context("raw launch")?;
        let raw_update = raw.recreate(&names, network, PARALLEL).await.context("raw update")?;
        raw.remove(&names).await?;

        let app = server.app("bench", network, instances);
        let launch = server.launch(&app).await.context("launch")?;
        let update = server.restart(&app).await.context("update")?;
        server.remove("bench").await?;
        launches.push((launch, raw_launch));
        updates.push((update, raw_update));
    }
    report(&format!("launch {instances} {network}"), launches, launch_bar);
    report(&format!("update {instances} {network}"), updates, update_bar);
    Ok(())
}

fn report(what: &str, mut pairs: Vec<(Duration, Duration)>, bar: f64) {
    let ratio = |(ours, raw): &(Duration, Duration)| ours.as_secs_f64() / raw.as_secs_f64();
    pairs.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    let (ours, raw) = pairs[pairs.len() / 2];
    println!(
        "{what:<18} tenure {:>6.2} s   raw {:>6.2} s   ratio {:.2} (min {:.2}, max {:.2}; bar {bar})",
        ours.as_secs_f64(),
        raw.as_secs_f64(),
        ratio(&(ours, raw)),
        ratio(&pairs[0]),
        ratio(&pairs[pairs.len() - 1]),
    );
}
