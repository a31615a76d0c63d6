//! What a run's act took, told by those who watched, and where it is perturbed: shared by all lives of all servers.

use std::sync::Mutex;
use std::time::Duration;

use tenure::store::{Event, Revision};
use tokio::time::Instant;

use super::point::{Kind, Point};

/// How long a view stands still. Long enough for a probe to find its watch stuck.
const FROZEN: Duration = Duration::from_secs(30);
/// How long what a server was shown after its restart stays as old as it was.
const STALE: Duration = Duration::from_secs(12);
/// How long a watch loses events, at most: a server that waits to see what it wrote would otherwise wait for each of its writes
/// until everything is compared with the store.
const DROPPED: Duration = Duration::from_secs(10);
/// The longest that events wait for the last of their window.
const MERGED: Duration = Duration::from_secs(10);

/// The steps of an act.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Course {
    /// How many commits there were.
    pub(crate) steps: u64,
    /// Which of them servers made.
    pub(crate) writes: Vec<u64>,
    /// How many of them were there before a server looked for the first time: no watch tells of them.
    pub(crate) listed: u64,
}

/// A run's perturbation, and whether it has struck.
pub(crate) struct Perturbation {
    point: Option<Point>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The store's revision when the act began; none before.
    begun: Option<Revision>,
    writes: Vec<u64>,
    /// The first step that a watch told of.
    first: Option<u64>,
    struck: bool,
    /// A server has died and is to be shown an older state.
    misled: bool,
    /// When what is held back is told.
    until: Option<Instant>,
}

/// What is done with an event on its way to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    Told,
    Held { until: Instant },
    Lost,
}

impl Perturbation {
    pub(super) fn new(point: Option<Point>) -> Perturbation {
        Perturbation { point, state: Mutex::default() }
    }

    /// The act begins, at this revision of the store.
    pub(super) fn begin(&self, revision: Revision) {
        self.state.lock().unwrap().begun = Some(revision);
    }

    /// Whether the run was perturbed.
    pub(super) fn struck(&self) -> bool {
        self.state.lock().unwrap().struck
    }

    /// What the act has taken by `revision`.
    pub(super) fn course(&self, revision: Revision) -> Course {
        let state = self.state.lock().unwrap();
        let steps = revision - state.begun.unwrap_or(revision);
        Course { steps, writes: state.writes.clone(), listed: state.first.map_or(steps, |first| first - 1) }
    }

    /// A server has written; returns whether it dies now.
    pub(super) fn wrote(&self, revision: Revision) -> bool {
        let mut state = self.state.lock().unwrap();
        let Some(step) = state.begun.and_then(|begun| revision.checked_sub(begun)).filter(|it| *it > 0)
        else {
            return false;
        };
        state.writes.push(step);
        let Some(point) = self.point.filter(|it| matches!(it.kind, Kind::Crash | Kind::Stale)) else {
            return false;
        };
        let dies = step == point.at && !state.struck;
        state.struck |= dies;
        state.misled |= dies && point.kind == Kind::Stale;
        dies
    }

    /// The older state that a list shows, if it does.
    pub(super) fn listed(&self) -> Option<Revision> {
        let mut state = self.state.lock().unwrap();
        let point = self.point.filter(|_| state.misled)?;
        let until = *state.until.get_or_insert_with(|| Instant::now() + STALE);
        (Instant::now() < until).then(|| state.begun.unwrap_or_default() + point.to)
    }

    /// What becomes of an event of `revision` now.
    pub(super) fn passage(&self, revision: Revision) -> Passage {
        let mut state = self.state.lock().unwrap();
        let Some(begun) = state.begun.filter(|begun| revision > *begun) else { return Passage::Told };
        state.first.get_or_insert(revision - begun);
        let Some(point) = self.point else { return Passage::Told };
        let within = revision > begun + point.at && revision <= begun + point.to;
        let hold = match point.kind {
            Kind::Crash | Kind::Again => return Passage::Told,
            Kind::Drop if within => DROPPED,
            Kind::Drop => return Passage::Told,
            Kind::Stale if state.misled && revision > begun + point.to => STALE,
            Kind::Stale => return Passage::Told,
            // What follows stands still with it.
            Kind::Frozen if revision > begun + point.at => FROZEN,
            Kind::Merge if within => MERGED,
            Kind::Frozen | Kind::Merge => return Passage::Told,
        };
        state.struck = true;
        let until = *state.until.get_or_insert_with(|| Instant::now() + hold);
        match point.kind {
            _ if until <= Instant::now() => Passage::Told,
            Kind::Drop => Passage::Lost,
            _ => Passage::Held { until },
        }
    }

    /// Whether what is held back is told as soon as this revision is.
    pub(super) fn completes(&self, revision: Revision) -> bool {
        let state = self.state.lock().unwrap();
        let end = self.point.filter(|it| it.kind == Kind::Merge).zip(state.begun);
        end.is_some_and(|(point, begun)| revision >= begun + point.to)
    }

    /// Whether of each object only the last of the events that are held back is told.
    pub(super) fn merges(&self) -> bool {
        self.point.is_some_and(|it| it.kind == Kind::Merge)
    }

    /// Whether all that happened is told again behind `revision`; since when, then.
    pub(super) fn repeats(&self, events: &[Event]) -> Option<Revision> {
        let mut state = self.state.lock().unwrap();
        let point = self.point.filter(|it| it.kind == Kind::Again)?;
        let begun = state.begun?;
        let reached = events.iter().any(|event| event.revision() >= begun + point.at) && !state.struck;
        state.struck |= reached;
        reached.then_some(begun)
    }
}
