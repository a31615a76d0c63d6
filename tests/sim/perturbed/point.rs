//! Where a run is perturbed, and how: steps are commits of the store, counted from the beginning of the scenario's act.

use std::fmt;

use super::course::Course;

/// A way to perturb what a server does or sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Dies right after a write.
    Crash,
    /// Dies right after a write, and is shown an older state when it is back.
    Stale,
    /// Its view stands still for a while, and then moves on.
    Frozen,
    /// Is told again all that happened.
    Again,
    /// Is never told of a window of events.
    Drop,
    /// Is told of a window of events at once, as by a list: of each object the last one.
    Merge,
}

impl Kind {
    pub(crate) const ALL: [Kind; 6] =
        [Kind::Crash, Kind::Stale, Kind::Frozen, Kind::Again, Kind::Drop, Kind::Merge];

    /// What a server decides on its view is then not what the truth would have it decide, for a while.
    pub(crate) fn blurs(self) -> bool {
        self == Kind::Drop
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Crash => "crash",
            Kind::Stale => "stale",
            Kind::Frozen => "frozen",
            Kind::Again => "again",
            Kind::Drop => "drop",
            Kind::Merge => "merge",
        })
    }
}

/// One perturbation of one run. For [`Kind::Crash`] and [`Kind::Stale`] `at` is the step that the server writes before it
/// dies, and `to` the step that it is shown afterwards; for the others they are the window of steps, `at` left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) kind: Kind,
    pub(crate) at: u64,
    pub(crate) to: u64,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.kind, self.at, self.to)
    }
}

impl std::str::FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Point, String> {
        let wrong = || format!("--point {text:?} is not KIND:STEP:STEP, as a failure tells it");
        let [kind, at, to] = text.split(':').collect::<Vec<_>>()[..] else { return Err(wrong()) };
        let kind = Kind::ALL.into_iter().find(|it| it.to_string() == kind).ok_or_else(wrong)?;
        let number = |text: &str| text.parse().map_err(|_| wrong());
        Ok(Point { kind, at: number(at)?, to: number(to)? })
    }
}

/// Every point of one kind in a run that took this course: after each write, from each older state, each window whose length is
/// a power of two.
pub(crate) fn points(kind: Kind, course: &Course) -> Vec<Point> {
    let steps = course.listed..course.steps;
    let windows = |shortest: u64| {
        let lengths = (0..u64::BITS).map(|power| 1_u64 << power).filter(move |length| *length >= shortest);
        let windows = steps.clone().flat_map(move |at| {
            let last = course.steps - at;
            lengths.clone().take_while(move |length| *length <= last).map(move |length| (at, at + length))
        });
        windows.collect::<Vec<_>>()
    };
    let pairs: Vec<(u64, u64)> = match kind {
        Kind::Crash => course.writes.iter().map(|write| (*write, *write)).collect(),
        Kind::Stale => {
            let older = |write: &u64| (0..*write).map(|view| (*write, view)).collect::<Vec<_>>();
            course.writes.iter().flat_map(older).collect()
        }
        Kind::Frozen => steps.map(|at| (at, course.steps)).collect(),
        Kind::Again => steps.map(|at| (at + 1, at + 1)).collect(),
        Kind::Drop => windows(1),
        Kind::Merge => windows(2),
    };
    pairs.into_iter().map(|(at, to)| Point { kind, at, to }).collect()
}
