//! Runs seeds of the simulated world (`tests/sim`), as fast as they go: `hack/sim`.
#![allow(clippy::unwrap_used, reason = "a failing simulation ends by a panic")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what it is for")]
#![allow(
    dead_code,
    unused_imports,
    reason = "the modules are those of tests/sim, whose scenarios use all of them"
)]

#[path = "../../tests/sim/calm.rs"]
mod calm;
#[path = "../../tests/sim/checks/mod.rs"]
mod checks;
#[path = "../../tests/sim/perturbed/mod.rs"]
mod perturbed;
#[path = "../../tests/sim/plants.rs"]
mod plants;
#[path = "../../tests/sim/seeded/mod.rs"]
mod seeded;
#[path = "../../tests/sim/walks/mod.rs"]
mod walks;

mod perturb;
mod planted;
mod stroll;
mod tally;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;

use crate::seeded::{Profile, Report, Telling, run};
use crate::tally::Tally;

/// The binary's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs seeds of the simulated world and counts what happened in them. Ends with 1 when a seed fails, or when a fault or an
/// act never happened.
#[derive(Debug, Parser)]
#[command(name = "hack/sim")]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 1000, conflicts_with = "seed")]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// The profile of all seeds; `all` gives each seed one of its own.
    #[arg(long, default_value = "all")]
    profile: String,
    /// Replays this seed alone, with its whole log.
    #[arg(long)]
    seed: Option<u64>,
    /// Instead of that, hunts the planted bugs of these names, or all of them: runs seeds with one in force until a check finds it.
    #[arg(long, value_name = "NAME", num_args = 0.., conflicts_with_all = ["profile", "perturbed", "walks"])]
    planted: Option<Vec<String>>,
    /// Goes on after a seed that fails.
    #[arg(long)]
    keep_going: bool,
    /// Runs the scenarios of perturbed views instead (or this one) at every point: after each write, from each older state,
    /// without or with each window of events.
    #[arg(long, value_name = "SCENARIO", num_args = 0..=1, conflicts_with_all = ["seed", "profile", "from"])]
    perturbed: Option<Option<String>>,
    /// Replays the scenario at this point alone, with its whole log.
    #[arg(long, requires = "perturbed")]
    point: Option<String>,
    /// Only points of this kind: crash, stale, frozen, again, drop or merge.
    #[arg(long, requires = "perturbed")]
    kind: Option<String>,
    /// Only every so many points.
    #[arg(long, requires = "perturbed", default_value_t = 1)]
    every: usize,
    /// Takes so many desired-state walks instead, from `--from` on.
    #[arg(long, value_name = "N", conflicts_with_all = ["seed", "profile", "perturbed"])]
    walks: Option<u64>,
    /// On how many threads.
    #[arg(long, default_value_t = 2)]
    threads: u64,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(scenario) = &args.perturbed {
        return perturbed(&args, scenario.clone()).unwrap_or_else(|error| {
            eprintln!("error: {error}");
            ExitCode::from(2)
        });
    }
    if let Some(walks) = args.walks {
        return stroll::take_walks(args.from..args.from.saturating_add(walks), args.threads, args.keep_going);
    }
    let profile = match args.profile.as_str() {
        "all" => None,
        name => match Profile::named(name) {
            Ok(profile) => Some(profile),
            Err(error) => return refused(&error),
        },
    };
    if let Some(names) = &args.planted {
        match (planted::named(names), args.seed) {
            (Ok(plants), None) => return planted::hunt(&plants, args.from, args.seeds, args.threads),
            (Ok(plants), Some(_)) if plants.len() == 1 => {
                // Replayed with the bug in force.
                if let Err(error) = planted::choose(Some(plants[0].name)) {
                    return refused(&error);
                }
            }
            (Ok(_), Some(_)) => return refused("--seed replays with one planted bug: name it"),
            (Err(error), _) => return refused(&error),
        }
    }
    match args.seed {
        Some(seed) => replay(seed, profile.map_or_else(|| Profile::of_seed(seed), |it| it.drawn(seed))),
        None => run_all(&args, profile),
    }
}

fn refused(error: &str) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(2)
}

fn perturbed(args: &Args, scenario: Option<String>) -> Result<ExitCode, String> {
    if let Some(point) = &args.point {
        let scenario = scenario.ok_or("--point needs the name of its scenario: --perturbed SCENARIO")?;
        return perturb::replay_point(&scenario, point);
    }
    perturb::run_points(&perturb::Choice {
        scenario,
        kind: args.kind.clone(),
        every: args.every,
        threads: args.threads,
        keep_going: args.keep_going,
    })
}

fn replay(seed: u64, profile: Profile) -> ExitCode {
    let report = run(seed, profile, Telling::Print);
    println!("log of {} lines, digest {:016x}", report.log.0, report.log.1);
    let Report { broken, simulated, converged_after, .. } = &report;
    println!("{simulated:?} simulated, converged {converged_after:?} after the last fault");
    if broken.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("{report}");
    ExitCode::FAILURE
}

fn run_all(args: &Args, profile: Option<Profile>) -> ExitCode {
    let next = AtomicU64::new(args.from);
    let end = args.from.saturating_add(args.seeds);
    let tally = Mutex::new(Tally::begin());
    std::thread::scope(|scope| {
        for _ in 0..args.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let failed = tally.lock().unwrap().failures > 0;
                    if seed >= end || (failed && !args.keep_going) {
                        return;
                    }
                    let report = run(
                        seed,
                        profile.map_or_else(|| Profile::of_seed(seed), |it| it.drawn(seed)),
                        Telling::Digest,
                    );
                    let mut tally = tally.lock().unwrap();
                    if !report.broken.is_empty() {
                        eprintln!("{report}\n(commit {})\n", commit());
                    }
                    tally.add(&report);
                    tally.tell_progress();
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    println!("{tally}");
    // What a profile leaves out cannot be missed in it; a few seeds may miss anything.
    let missing = if profile.is_none() && args.seeds >= 500 { tally.missing() } else { Vec::new() };
    for what in &missing {
        eprintln!("error: {what} never happened");
    }
    if tally.failures == 0 && missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The commit that this was built from, as `hack/sim` tells it.
fn commit() -> String {
    std::env::var("TENURE_COMMIT").unwrap_or_else(|_| "unknown".to_owned())
}

/// A share of a minute, for people.
fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
