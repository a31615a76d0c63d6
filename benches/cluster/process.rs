//! What this process has used so far.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::counted::{Counted, Counts};

/// CPU, memory, and what was asked of store and master.
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) resident_mib: f64,
    pub(crate) peak_mib: f64,
    pub(crate) counts: Counts,
}

impl Usage {
    pub(crate) fn now(counts: &Counted) -> Result<Usage> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        Ok(Usage {
            cpu: cpu()?,
            resident_mib: mebibytes(&status, "VmRSS:")?,
            peak_mib: mebibytes(&status, "VmHWM:")?,
            counts: counts.read(),
        })
    }

    /// What was used between `before` and this; memory is the present one.
    pub(crate) fn since(self, before: &Usage) -> Usage {
        Usage { cpu: self.cpu - before.cpu, counts: self.counts.since(&before.counts), ..self }
    }
}

/// User and system time. Linux counts them in hundredths of a second on every platform we run on.
fn cpu() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(')').context("malformed stat")?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    Ok(Duration::from_millis((fields[11].parse::<u64>()? + fields[12].parse::<u64>()?) * 10))
}

fn mebibytes(status: &str, field: &str) -> Result<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next()).with_context(|| format!("no {field}"))?;
    Ok(kib.parse::<f64>()? / 1_024.0)
}
