//! What a server that has nothing to do costs.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::server::Server;

const WINDOW: Duration = Duration::from_secs(20);

/// Prints CPU (share of one core over 20 s, after 5 s of rest) and resident memory.
pub(crate) async fn print(what: &str, server: &Server) -> Result<()> {
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = cpu_ticks(server.pid())?;
    tokio::time::sleep(WINDOW).await;
    let ticks = cpu_ticks(server.pid())? - before;
    let share = ticks as f64 / 100.0 / WINDOW.as_secs_f64() * 100.0;
    println!(
        "{:<18} {share:.2} % of a core, {:.1} MiB resident",
        format!("idle, {what}"),
        resident_mib(server.pid())?
    );
    Ok(())
}

/// User and system time in hundredths of a second, as Linux counts them on every platform we run on.
fn cpu_ticks(pid: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(')').context("malformed stat")?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

fn resident_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.split_whitespace().next().context("empty VmRSS")?.parse()?;
    Ok(kib / 1_024.0)
}
