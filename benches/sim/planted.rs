//! Hunts planted bugs: seeds are run with one of them in force until a check finds it.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::plants::{PLANTS, Plant};
use crate::seeded::{Profile, Report, Telling, run};

/// From now on the bug of this name is in force on this thread, or none.
#[cfg(tenure_planted)]
pub(crate) fn choose(name: Option<&'static str>) -> Result<(), String> {
    tenure::planted::choose(name);
    Ok(())
}

#[cfg(not(tenure_planted))]
pub(crate) fn choose(_: Option<&'static str>) -> Result<(), String> {
    Err("this build has no planted bugs: `hack/sim --planted` makes one that has".to_owned())
}

/// The planted bugs of these names; all of them without one.
pub(crate) fn named(names: &[String]) -> Result<Vec<&'static Plant>, String> {
    let of_name = |name: &String| {
        let found = PLANTS.iter().find(|plant| plant.name == name);
        let names = || PLANTS.map(|plant| plant.name).join(", ");
        found.ok_or_else(|| format!("--planted {name:?} is none of: {}", names()))
    };
    if names.is_empty() { Ok(PLANTS.iter().collect()) } else { names.iter().map(of_name).collect() }
}

/// Runs at most `seeds` seeds from `from` on for each of `plants`, and tells which found it. Ends with 1 when one was missed.
pub(crate) fn hunt(plants: &[&'static Plant], from: u64, seeds: u64, threads: u64) -> ExitCode {
    // A bug may well make a server panic; that is a finding and no news.
    std::panic::set_hook(Box::new(|_| {}));
    let next = AtomicUsize::new(0);
    let missed = Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some(plant) = plants.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match find(plant, from, seeds) {
                        Ok(Some((after, report))) => {
                            let check = report.found_by().unwrap_or("nobody");
                            println!("{} found after {after} seeds (by {check})", plant.name);
                        }
                        Ok(None) => {
                            println!("{} missed", plant.name);
                            *missed.lock().unwrap() += 1;
                        }
                        Err(error) => {
                            eprintln!("error: {error}");
                            *missed.lock().unwrap() += 1;
                        }
                    }
                }
            });
        }
    });
    if missed.into_inner().unwrap() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The first seed that finds it, counted from 1.
fn find(plant: &'static Plant, from: u64, seeds: u64) -> Result<Option<(u64, Report)>, String> {
    choose(Some(plant.name))?;
    let found = (from..from.saturating_add(seeds)).find_map(|seed| {
        let report = run(seed, Profile::of_seed(seed), Telling::Digest);
        (!report.broken.is_empty()).then_some((seed - from + 1, report))
    });
    choose(None)?;
    Ok(found)
}
