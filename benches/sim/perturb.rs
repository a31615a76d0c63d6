//! Every point of every scenario of perturbed views, with their numbers.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::perturbed::{ALL, Kind, Point, Run, Scenario, disturbed, points, undisturbed};
use crate::seeded::Telling;

/// Which points are run.
pub(crate) struct Choice {
    /// The scenario; none for all of them.
    pub(crate) scenario: Option<String>,
    /// Only points of this kind.
    pub(crate) kind: Option<String>,
    /// Every so many points.
    pub(crate) every: usize,
    pub(crate) threads: u64,
    pub(crate) keep_going: bool,
}

/// Runs the points, tells how many there are of each kind, and fails if there are none, or if a run ends otherwise.
pub(crate) fn run_points(choice: &Choice) -> Result<ExitCode, String> {
    let scenarios = match &choice.scenario {
        Some(name) => vec![Scenario::named(name)?],
        None => ALL.iter().collect(),
    };
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|it| is_chosen(*it, choice)).collect();
    if kinds.is_empty() {
        let names = Kind::ALL.map(|it| it.to_string()).join(", ");
        return Err(format!("--kind {:?} is none of: {names}", choice.kind.as_deref().unwrap_or_default()));
    }
    let mut failures = 0;
    for scenario in scenarios {
        let expected = undisturbed(scenario);
        failures += tell(&expected);
        for kind in &kinds {
            let all = points(*kind, &expected.course);
            let chosen: Vec<Point> = all.iter().step_by(choice.every.max(1)).copied().collect();
            let failed = if failures > 0 && !choice.keep_going {
                0
            } else {
                run_all(scenario, &chosen, &expected, choice)
            };
            println!(
                "{:<16} {kind:<7} {:>5} points, {:>5} run, {failed} failed",
                scenario.name,
                all.len(),
                chosen.len()
            );
            failures += failed + usize::from(all.is_empty());
        }
    }
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Replays one point with its whole log.
pub(crate) fn replay_point(scenario: &str, point: &str) -> Result<ExitCode, String> {
    let scenario = Scenario::named(scenario)?;
    let expected = undisturbed(scenario);
    let run = disturbed(scenario, point.parse()?, &expected.end, Telling::Print);
    Ok(if tell(&run) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_chosen(kind: Kind, choice: &Choice) -> bool {
    choice.kind.as_ref().is_none_or(|name| *name == kind.to_string())
}

fn run_all(scenario: &'static Scenario, points: &[Point], expected: &Run, choice: &Choice) -> usize {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(0));
    std::thread::scope(|scope| {
        for _ in 0..choice.threads.max(1) {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if *failed.lock().unwrap() > 0 && !choice.keep_going {
                        return;
                    }
                    let run = disturbed(scenario, *point, &expected.end, Telling::Digest);
                    *failed.lock().unwrap() += tell(&run);
                }
            });
        }
    });
    failed.into_inner().unwrap()
}

/// Tells of a run that failed, and counts it.
fn tell(run: &Run) -> usize {
    if run.broken.is_empty() {
        return 0;
    }
    eprintln!("{run}\n(commit {})\n", crate::commit());
    1
}
