//! Desired-state walks, and what they came to together.

use std::collections::BTreeSet;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::walks::{Walk, everything_bad, walk};

/// Takes the walks of these seeds. Fails when one of them does, or when all together never changed some field.
pub(crate) fn take_walks(seeds: Range<u64>, threads: u64, keep_going: bool) -> ExitCode {
    let (next, taken) = (AtomicU64::new(seeds.start), Mutex::new(Vec::<Walk>::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let failed = taken.lock().unwrap().iter().any(|it| !it.broken.is_empty());
                    if seed >= seeds.end || (failed && !keep_going) {
                        return;
                    }
                    let walk = walk(seed);
                    if !walk.broken.is_empty() {
                        eprintln!("{walk}\n(commit {})\n", crate::commit());
                    }
                    taken.lock().unwrap().push(walk);
                }
            });
        }
    });
    let mut walks = taken.into_inner().unwrap();
    let bad = everything_bad();
    if !bad.broken.is_empty() {
        eprintln!("{bad}");
    }
    walks.push(bad);
    sum_up(&walks)
}

fn sum_up(walks: &[Walk]) -> ExitCode {
    let failed = walks.iter().filter(|walk| !walk.broken.is_empty()).count();
    let sum = |of: fn(&Walk) -> u64| walks.iter().map(of).sum::<u64>();
    let changed: BTreeSet<&String> = walks.iter().flat_map(|walk| &walk.changed).collect();
    let never: Vec<&String> =
        walks.iter().flat_map(|walk| &walk.fields).filter(|it| !changed.contains(it)).collect();
    let never: BTreeSet<&&String> = never.iter().collect();
    for field in &never {
        eprintln!("error: spec.{field} was never changed");
    }
    println!(
        "{} walks, {failed} failed: {} changes accepted, {} refused, {} recoveries",
        walks.len(),
        sum(|it| it.accepted),
        sum(|it| it.refused),
        sum(|it| it.recovered)
    );
    if failed == 0 && never.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
