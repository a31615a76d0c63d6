//! What all seeds together came to.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::seconds;
use crate::seeded::{ACTS, Counts, Fault, Report};

/// Sums over seeds.
pub(crate) struct Tally {
    begun: Instant,
    seeds: u64,
    pub(crate) failures: u64,
    simulated: Duration,
    counts: Counts,
    /// From the last fault to convergence, of each seed.
    converged: Vec<Duration>,
}

impl Tally {
    pub(crate) fn begin() -> Tally {
        let (begun, counts) = (Instant::now(), Counts::default());
        let (seeds, failures, simulated) = (0, 0, Duration::ZERO);
        Tally { begun, seeds, failures, simulated, counts, converged: Vec::new() }
    }

    pub(crate) fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.failures += u64::from(!report.broken.is_empty());
        self.simulated += report.simulated;
        self.counts.add(&report.counts);
        self.converged.push(report.converged_after);
    }

    /// A line for every thousand seeds, beside the results.
    pub(crate) fn tell_progress(&self) {
        if self.seeds.is_multiple_of(1000) {
            eprintln!("{} seeds, {} failed, in {}", self.seeds, self.failures, seconds(self.begun.elapsed()));
        }
    }

    /// The faults and acts that did not happen.
    pub(crate) fn missing(&self) -> Vec<String> {
        let faults = Fault::ALL.into_iter().filter(|it| !self.counts.faults.contains_key(it));
        let acts = ACTS.into_iter().filter(|it| !self.counts.acts.contains_key(*it));
        faults.map(|it| format!("fault {it}")).chain(acts.map(|it| format!("act {it}"))).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wall = self.begun.elapsed();
        let per_hour = self.seeds as f64 / wall.as_secs_f64() * 3600.0;
        let times = self.simulated.as_secs_f64() / wall.as_secs_f64();
        for (fault, count) in &self.counts.faults {
            writeln!(f, "fault {fault:<18} {count:>10}")?;
        }
        for (act, count) in &self.counts.acts {
            writeln!(f, "act   {act:<18} {count:>10}")?;
        }
        let mut converged = self.converged.clone();
        converged.sort();
        let at = |share: usize| {
            converged.get((converged.len() * share / 1000).min(converged.len().saturating_sub(1)))
        };
        let shown = |share: usize| at(share).map_or_else(String::new, |it| seconds(*it));
        writeln!(f, "converged after {} (half), {} (99 %), {} (all)", shown(500), shown(990), shown(1000))?;
        write!(
            f,
            "{} seeds, {} failed, in {}: {per_hour:.0} seeds an hour, {times:.0} times real time",
            self.seeds,
            self.failures,
            seconds(wall)
        )
    }
}
