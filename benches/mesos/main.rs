//! `hack/bench mesos`: what the way to a Mesos over HTTP costs. The real loops and session with a store in memory, from the first
//! write of an App to the last observed RUNNING, on simulated agents whose master is
//!
//! ```text
//! in process   a part of this process, without a wire
//! protobuf     `tenure mesos`, in a process of its own, over HTTP
//! json         the same
//! ```
//!
//! Each round does all three; printed are the medians, and how each compares with the one before.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

mod options;
mod simulated;
mod world;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tenure::env::Env;
use tenure::mesos::connection::Connection;
use tenure::mesos::http::{HttpConfig, HttpConnection, MasterUrl};
use tenure::mesos::wire::Encoding;
use tokio::time::Instant;

use options::Options;
use simulated::{Direct, Process};
use world::World;

/// The binary's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One measurement.
#[derive(Debug, Clone, Copy)]
struct Figures {
    took: Duration,
    /// Of this process: Tenure, and the master where that is a part of it.
    here: Duration,
    /// Of the master's process.
    there: Duration,
}

fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    if let Ok(filter) = std::env::var("TENURE_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&options))
}

async fn run(options: &Options) -> Result<()> {
    println!("{options}");
    let (mut direct, mut protobuf, mut json) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        direct.push(in_process(options).await.context("in process")?);
        protobuf.push(over_http(options, Encoding::Protobuf).await.context("protobuf")?);
        json.push(over_http(options, Encoding::Json).await.context("json")?);
    }
    let (direct, protobuf, json) = (median(direct), median(protobuf), median(json));
    report("in process", options, &direct, "");
    report("protobuf", options, &protobuf, &ratio(&protobuf, &direct, "in process"));
    report("json", options, &json, &ratio(&json, &protobuf, "protobuf"));
    Ok(())
}

async fn in_process(options: &Options) -> Result<Figures> {
    let elsewhere = Env::system()?;
    let direct = Direct::start(&elsewhere, options).await;
    let figures = measure(options, direct.connection(), None).await;
    elsewhere.crash();
    figures
}

async fn over_http(options: &Options, encoding: Encoding) -> Result<Figures> {
    let process = Process::start(options).await?;
    let url: MasterUrl = process.url().parse()?;
    let config = HttpConfig { encoding, ..HttpConfig::new(vec![url]) };
    let env = Env::system()?;
    measure(options, Arc::new(HttpConnection::new(&env, config)), Some(&process)).await
}

async fn measure(
    options: &Options,
    connection: Arc<dyn Connection>,
    process: Option<&Process>,
) -> Result<Figures> {
    let there = || process.map_or(Ok(Duration::ZERO), |process| simulated::cpu(process.id()));
    let world = World::start(connection).await?;
    let (here_before, there_before) = (simulated::cpu(std::process::id())?, there()?);
    let begun = Instant::now();
    world.write_apps(options).await?;
    world.until_running(options.tasks, options.patience).await?;
    let took = begun.elapsed();
    let here = simulated::cpu(std::process::id())? - here_before;
    let figures = Figures { took, here, there: there()? - there_before };
    world.end();
    Ok(figures)
}

fn median(mut figures: Vec<Figures>) -> Figures {
    figures.sort_by_key(|it| it.took);
    figures[figures.len() / 2]
}

fn ratio(ours: &Figures, peer: &Figures, name: &str) -> String {
    format!("; {:.2} of the time of {name}", ours.took.as_secs_f64() / peer.took.as_secs_f64())
}

fn report(name: &str, options: &Options, figures: &Figures, ratio: &str) {
    let per_task = |time: Duration| time.as_secs_f64() * 1e6 / options.tasks as f64;
    println!(
        "{name:<11} {:>7.0} tasks/s, {:.2} s; CPU a task: {:.0} us here, {:.0} us in the master's process{ratio}",
        options.tasks as f64 / figures.took.as_secs_f64(),
        figures.took.as_secs_f64(),
        per_task(figures.here),
        per_task(figures.there),
    );
}
