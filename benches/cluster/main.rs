//! `hack/bench cluster`: how far one process carries. The real loops, session and embedded master on real time, with
//! agents that exist only as their master sees them.
//!
//! ```text
//! rollout   first write of an App ─▶ last observed RUNNING
//! quiet     a minute in which nothing happens: CPU, writes, calls
//! loss      a tenth of the agents goes ─▶ all tasks run again
//! failover  the leader dies ─▶ its successor's first placement; tasks touched on the way
//! ```
//!
//! Memory is of the whole process: Tenure, the simulated cluster, and the store where that is in process. What a second
//! server adds when it has read and decoded everything, before the first one dies, is Tenure's own view; the values that
//! were written are the store's until it is compacted.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

mod counted;
#[path = "../../tests/support/etcd.rs"]
mod etcd;
mod options;
mod process;
mod rollout;
mod world;

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

use options::Options;
use process::Usage;
use rollout::Observer;
use world::World;

/// The binary's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Nothing was written for this long: what was under way has ended.
const CALM: Duration = Duration::from_secs(5);

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
    let mut world = World::new(options).await?;
    let leader = world.start_server().await?;
    rollout(options, &world).await?;
    if options.runs("quiet") {
        quiet(options, &world).await?;
    }
    if options.runs("loss") {
        loss(options, &world).await?;
    }
    if options.runs("failover") {
        failover(options, &mut world, leader).await?;
    }
    if world.fleet.started_twice() > 0 {
        bail!("{} tasks were started twice", world.fleet.started_twice());
    }
    Ok(())
}

async fn rollout(options: &Options, world: &World) -> Result<()> {
    let mut observer = Observer::new(world, 0);
    let (before, begun) = (Usage::now(&world.counts)?, Instant::now());
    world.write_apps(options).await?;
    let written = begun.elapsed();
    observer.until_running(options.tasks, options.patience).await?;
    let took = begun.elapsed();
    println!("  apps written after {:.2} s", written.as_secs_f64());
    let used = Usage::now(&world.counts)?;
    println!(
        "  memory: {:.0} MiB before the first App, {:.1} KiB a task since; values written: {:.1} KiB a task",
        before.resident_mib,
        (used.resident_mib - before.resident_mib) * 1024.0 / options.tasks as f64,
        used.counts.since(&before.counts).bytes as f64 / 1024.0 / options.tasks as f64,
    );
    report("rollout", options.tasks, took, &used.since(&before));
    Ok(())
}

async fn quiet(options: &Options, world: &World) -> Result<()> {
    until_calm(world, options.patience).await?;
    let before = Usage::now(&world.counts)?;
    tokio::time::sleep(options.quiet).await;
    let used = Usage::now(&world.counts)?.since(&before);
    println!(
        "quiet     {:.2} % of a core over {} s; {}",
        used.cpu.as_secs_f64() / options.quiet.as_secs_f64() * 100.0,
        options.quiet.as_secs(),
        used.counts,
    );
    Ok(())
}

async fn loss(options: &Options, world: &World) -> Result<()> {
    until_calm(world, options.patience).await?;
    let lost = options.agents / 10;
    let mut observer = Observer::new(world, lost);
    let before = Usage::now(&world.counts)?;
    let begun = Instant::now();
    world.fleet.lose(0..lost);
    let hit = observer.until_fewer_run(options.tasks, options.patience).await?;
    println!("  {lost} agents lost; the first of their tasks noticed after {:.2} s", hit.as_secs_f64());
    observer.until_running(options.tasks, options.patience).await?;
    let took = begun.elapsed();
    report("loss", options.tasks / 10, took, &Usage::now(&world.counts)?.since(&before));
    Ok(())
}

async fn failover(options: &Options, world: &mut World, leader: world::Server) -> Result<()> {
    until_calm(world, options.patience).await?;
    let alone = Usage::now(&world.counts)?;
    let _standby = world.start_server().await?;
    world.decode_tasks();
    let both = Usage::now(&world.counts)?;
    println!(
        "  memory: a second server's view takes {:.1} KiB a task; its CPU {:.0} us a task",
        (both.resident_mib - alone.resident_mib) * 1024.0 / options.tasks as f64,
        both.since(&alone).cpu.as_secs_f64() * 1e6 / options.tasks as f64,
    );
    let (tasks, started, killed) = (world.task_revisions(), world.fleet.started(), world.fleet.killed());
    let old = world.leader_term().await?;
    let begun = Instant::now();
    leader.env.crash();
    drop(leader);
    world.write_probe().await?;
    let elected = world.until_led_anew(old, options.patience).await?;
    world.until_probe_bound(options.patience).await?;
    let placed = begun.elapsed();
    until_calm(world, options.patience).await?;
    let touched = tasks.iter().filter(|(key, revision)| world.revision_of(key) != Some(**revision)).count();
    println!(
        "failover  first placement {:.2} s after the election, {:.2} s after the crash; {touched} tasks touched, {} \
         started, {} killed",
        (placed - elected).as_secs_f64(),
        placed.as_secs_f64(),
        world.fleet.started() - started - 1,
        world.fleet.killed() - killed,
    );
    Ok(())
}

/// Waits until nothing is written any more.
async fn until_calm(world: &World, patience: Duration) -> Result<()> {
    let begun = Instant::now();
    loop {
        let before = world.counts.read();
        tokio::time::sleep(CALM).await;
        let since = world.counts.read().since(&before);
        if since.txns == 0 {
            return Ok(());
        }
        if begun.elapsed() > patience {
            bail!("never calm: {since} in the last {} s", CALM.as_secs());
        }
    }
}

fn report(part: &str, tasks: usize, took: Duration, used: &Usage) {
    let per_task = |value: f64| value / tasks.max(1) as f64;
    println!(
        "{part:<9} {tasks} tasks in {:.2} s ({:.0}/s); {:.1} CPU s, {:.0} us a task; {}; {:.0} MiB resident, peak {:.0}",
        took.as_secs_f64(),
        tasks as f64 / took.as_secs_f64(),
        used.cpu.as_secs_f64(),
        per_task(used.cpu.as_secs_f64() * 1e6),
        used.counts,
        used.resident_mib,
        used.peak_mib,
    );
}
