//! Figures: rates and times of both sides, and their ratio.

use std::time::Duration;

/// One measure, round by round.
#[derive(Debug, Default)]
pub(crate) struct Pairs(Vec<(f64, f64)>);

impl Pairs {
    /// One round: the API's figure and the store's.
    pub(crate) fn add(&mut self, api: f64, raw: f64) {
        self.0.push((api, raw));
    }

    /// Prints the round with the median ratio of the API to the store, and how far the ratios lie apart.
    pub(crate) fn print(mut self, what: &str, unit: &str) {
        let ratio = |(api, raw): &(f64, f64)| api / raw;
        self.0.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
        let Some((api, raw)) = self.0.get(self.0.len() / 2).copied() else { return };
        let (least, most) = (ratio(&self.0[0]), ratio(&self.0[self.0.len() - 1]));
        println!(
            "{what:<28} api {api:>10.2} {unit:<5} raw {raw:>10.2} {unit:<5} ratio {:>8.3} (min {least:.3}, max {most:.3})",
            api / raw
        );
    }
}

/// Prints a figure that has no other side.
pub(crate) fn alone(what: &str, value: f64, unit: &str) {
    println!("{what:<28} api {value:>10.2} {unit}");
}

/// The time below which this percentage of `times` lies, in milliseconds.
pub(crate) fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort();
    let at = (times.len().saturating_sub(1)) * percent / 100;
    times.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1_000.0)
}
