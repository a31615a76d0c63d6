//! Which Tasks to start and to stop, by slots and within bounds.
//!
//! - **Counts.** Updated Tasks are wanted in as many slots as the App has instances; further slots are surplus.
//! - **Start.** A missing one starts in a free slot while fewer slots are taken than wanted, else beside the old Task
//!   that goes next, which it names in `replaces`; never beyond the capacity, never a third in one slot.
//! - **Stop.** Old Tasks that serve nobody stop at once. Old Tasks that serve stop while more serve than must; a new
//!   one serves when it is healthy and ready. While nothing may start, all wanted instances must.
//! - **Machines.** A Task on a machine that is about to be taken away counts as old: it is replaced elsewhere within the same bounds.
//! - **Twins.** Two updated Tasks in one slot (an agent came back) become one as soon as health allows.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::instance::{Instance, Standing};
use super::{Action, Again, Bounds, Dependency, Failures, Reason, Snapshot, kill_order};
use crate::api::{App, LaunchFaultsStatus, Stop};
use crate::plan::micro_time;

/// Whether anything may start now.
#[derive(Debug)]
pub(super) struct Gate {
    /// What is waited for; empty when the gate is open.
    pub(super) reasons: Vec<Reason>,
    pub(super) again: Again,
}

impl Gate {
    pub(super) fn of(snapshot: &Snapshot<'_>, failures: &Failures<'_>) -> Self {
        let mut reasons: Vec<_> = snapshot
            .app
            .spec
            .depends_on
            .iter()
            .filter_map(|app| {
                let state = snapshot.dependencies.get(app).copied().unwrap_or(Dependency::Missing);
                let missing = state == Dependency::Missing;
                (state != Dependency::Ready).then(|| Reason::WaitsForDependency { app: app.clone(), missing })
            })
            .collect();
        let delay = failures.backoff.as_ref().filter(|it| it.until.0 > snapshot.now);
        reasons.extend(delay.map(|it| Reason::BacksOff { failures: it.failures, until: it.until.0 }));
        let pause = failures.of_launch.as_ref().filter(|it| it.until.0 > snapshot.now);
        let fails = |it: &LaunchFaultsStatus| (it.message.clone(), it.until.0);
        reasons.extend(pause.map(fails).map(|(said, until)| Reason::LaunchesFail { said, until }));
        let ends = delay.map(|it| it.until.0).into_iter().chain(pause.map(|it| it.until.0));
        Self { reasons, again: ends.map(Again::At).fold(Again::OnChange, Again::sooner) }
    }

    pub(super) fn is_open(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// A Task to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) slot: u32,
    /// The Task that is still in the slot.
    pub(super) replaces: Option<String>,
}

/// Why a Task is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    ScaledDown,
    Replaced,
    /// Its machine is to be taken away.
    Moved,
    /// Its slot has another one: it was given up and came back, or was replaced while it was cut off.
    Twin,
}

/// What to start and to stop.
#[derive(Debug, Default)]
pub(super) struct Steps {
    stops: Vec<(String, Cause)>,
    wanted: usize,
    pub(super) starts: Vec<Start>,
    /// See [`super::Plan::relies_on`].
    pub(super) relies_on: Vec<String>,
    pub(super) reasons: Vec<Reason>,
    /// Why nothing may start although something is missing: a word and a sentence.
    pub(super) blocked: Option<(&'static str, String)>,
}

impl Steps {
    /// One `StopTask` per stop, in the order in which they were chosen.
    pub(super) fn stops(&self, now: Timestamp) -> impl Iterator<Item = Action> {
        self.stops.iter().map(move |(name, cause)| {
            let (reason, message) = match cause {
                Cause::ScaledDown => ("ScaledDown", format!("the app wants {} instances", self.wanted)),
                Cause::Replaced => ("Replaced", "a newer revision replaces it".to_owned()),
                Cause::Moved => ("Maintenance", "its machine is about to be taken away".to_owned()),
                Cause::Twin => ("Surplus", "another instance has taken its place".to_owned()),
            };
            let stop = Stop { reason: reason.into(), message, at: micro_time(now) };
            Action::StopTask { name: name.clone(), stop }
        })
    }
}

/// What to start and to stop now.
pub(super) fn steps(
    app: &App,
    (instances, current): (&[Instance<'_>], &str),
    bounds: Bounds,
    gate: &Gate,
) -> Steps {
    let mut round = Round::new(app, (instances, current), bounds, gate);
    round.stop_twins();
    round.stop_surplus();
    round.stop_old();
    round.rely();
    round.start(gate);
    round.steps
}

/// One round of decisions over one App.
struct Round<'a> {
    all: &'a [Instance<'a>],
    /// Name of the current Revision.
    current: &'a str,
    /// Of the current Revision and on machines that stay, in kill order.
    updated: Vec<&'a Instance<'a>>,
    /// All others that take part, in kill order.
    old: Vec<&'a Instance<'a>>,
    bounds: Bounds,
    open: bool,
    /// Fewest that must serve; what serves beyond it may be stopped.
    floor: usize,
    /// Whether one that serves is stopped.
    spends: bool,
    /// Instances that serve and stay: old ones that are healthy, new ones that are ready too.
    serving: usize,
    /// Updated instances that stay, counted by slot.
    slots: BTreeMap<u32, usize>,
    stopped: BTreeSet<&'a str>,
    steps: Steps,
}

impl<'a> Round<'a> {
    fn new(app: &App, (all, current): (&'a [Instance<'a>], &'a str), bounds: Bounds, gate: &Gate) -> Self {
        let selection = app.spec.template.kill.selection;
        let in_order = |pick: fn(&Instance<'_>) -> bool| {
            let mut picked: Vec<_> = all.iter().filter(|it| pick(it)).collect();
            picked.sort_by(|a, b| kill_order::compare(a, b, selection));
            picked
        };
        let (updated, old) = (in_order(|it| it.is_updated()), in_order(|it| it.is_old()));
        let mut slots = BTreeMap::new();
        for instance in &updated {
            *slots.entry(instance.slot()).or_default() += 1;
        }
        Self {
            all,
            current,
            serving: all.iter().filter(|it| serves(it)).count(),
            floor: if gate.is_open() { bounds.minimum } else { bounds.wanted },
            open: gate.is_open(),
            spends: false,
            slots,
            updated,
            old,
            bounds,
            stopped: BTreeSet::new(),
            steps: Steps { wanted: bounds.wanted, ..Steps::default() },
        }
    }

    fn stop(&mut self, instance: &'a Instance<'a>, cause: Cause) {
        self.steps.stops.push((instance.name().to_owned(), cause));
        self.stopped.insert(instance.name());
        self.serving -= usize::from(serves(instance));
        self.spends |= serves(instance);
        if instance.is_updated()
            && let Some(count) = self.slots.get_mut(&instance.slot())
        {
            *count -= 1;
            if *count == 0 {
                self.slots.remove(&instance.slot());
            }
        }
    }

    /// Of several in one slot the most useful stays; the others go as soon as health allows.
    fn stop_twins(&mut self) {
        let best: BTreeMap<_, _> = self.updated.iter().map(|it| (it.slot(), it.name())).collect();
        let twins: Vec<_> = self.updated.iter().copied().filter(|it| best[&it.slot()] != it.name()).collect();
        for twin in twins {
            if (!twin.healthy || self.serving > self.floor) && !planted!("twins-stay") {
                self.stop(twin, Cause::Twin);
            }
        }
    }

    /// The least useful go first, so what stays is as healthy as it can be.
    fn stop_surplus(&mut self) {
        for instance in self.updated.clone() {
            if self.slots.len() <= self.bounds.wanted {
                break;
            }
            let alone = self.slots.get(&instance.slot()) == Some(&1);
            let stays = !self.stopped.contains(instance.name());
            if stays && (alone || self.bounds.wanted == 0) {
                self.stop(instance, Cause::ScaledDown);
            }
        }
    }

    /// While nothing may start, old ones go only as far as there are too many.
    fn stop_old(&mut self) {
        let kept = self.old.len() + self.updated.len() - self.stopped.len();
        let mut allowed = if self.open { usize::MAX } else { kept.saturating_sub(self.bounds.wanted) };
        let replaced: BTreeSet<_> =
            self.updated.iter().filter(|it| self.stays(it) && it.ready).map(|it| it.slot()).collect();
        let mut candidates = self.old.clone();
        candidates.sort_by_key(|it| (it.healthy, !replaced.contains(&it.slot()))); // stable: kill order within
        for instance in candidates {
            if allowed > 0
                && (!instance.healthy
                    || self.serving + usize::from(planted!("one-too-many-stops")) > self.floor)
            {
                allowed -= 1;
                self.stop(instance, self.cause(instance));
            }
        }
        let old = self.old.iter().filter(|it| self.stays(it)).count();
        if old > 0 {
            self.steps.reasons.push(Reason::KeepsOld { old, healthy: self.serving, minimum: self.floor });
        }
    }

    fn cause(&self, old: &Instance<'_>) -> Cause {
        match old.task.spec.revision == self.current {
            _ if self.bounds.wanted == 0 => Cause::ScaledDown,
            true => Cause::Moved,
            false => Cause::Replaced,
        }
    }

    fn stays(&self, instance: &Instance<'_>) -> bool {
        !self.stopped.contains(instance.name())
    }

    /// Whoever stops one that serves does so because of these.
    fn rely(&mut self) {
        if self.spends {
            let kept = self.all.iter().filter(|it| serves(it) && self.stays(it)).take(self.bounds.minimum);
            self.steps.relies_on = kept.map(|it| it.name().to_owned()).collect();
        }
    }

    fn start(&mut self, gate: &Gate) {
        let missing = self.bounds.wanted.saturating_sub(self.slots.len());
        if missing == 0 {
            return;
        }
        if !self.open {
            self.steps.blocked = gate.reasons.first().map(|it| (it.word(), it.to_string()));
            return;
        }
        let mut live: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
        // A cut-off one that is stopped here will not count at the next look.
        let lives = |it: &&Instance<'_>| it.is_live() && (it.reachable || self.stays(it));
        for instance in self.all.iter().filter(lives) {
            live.entry(instance.slot()).or_default().push(instance.name());
        }
        let alive = live.values().map(Vec::len).sum();
        let room = self.bounds.capacity.saturating_sub(alive);
        if room < missing {
            self.steps.reasons.push(Reason::AtCapacity { live: alive, capacity: self.bounds.capacity });
        }
        for slot in self.places(missing) {
            let there = live.get(&slot).map_or(&[][..], Vec::as_slice);
            match there {
                [_, _, ..] if !planted!("third-in-a-slot") => {
                    self.steps.reasons.push(Reason::SlotBusy { slot });
                }
                _ if self.steps.starts.len() == room => break,
                _ => {
                    let replaces = there.first().copied().or_else(|| self.left_in(slot)).map(str::to_owned);
                    let given_up = self.in_slot(slot).filter(|it| it.standing.is_given_up());
                    let given_up: Vec<String> = given_up.map(|it| it.name().to_owned()).collect();
                    self.steps.relies_on.extend(given_up);
                    self.steps.starts.push(Start { slot, replaces });
                }
            }
        }
    }

    /// Slots for `missing` new Tasks: free ones, lowest first, as far as the App has places; then those of old Tasks
    /// in kill order.
    fn places(&self, missing: usize) -> Vec<u32> {
        let old: Vec<_> = self.old.iter().filter(|it| self.stays(it)).map(|it| it.slot()).collect();
        let taken: BTreeSet<_> = self.slots.keys().chain(&old).copied().collect();
        let free = self.bounds.wanted.saturating_sub(taken.len()).min(missing);
        let mut places: Vec<_> = (0..).filter(|slot| !taken.contains(slot)).take(free).collect();
        let mut seen = BTreeSet::new();
        let beside = old.into_iter().filter(|it| !self.slots.contains_key(it) && seen.insert(*it));
        places.extend(beside.take(missing - free));
        places
    }

    /// The cut-off Task, if any, whose place a slot is.
    fn left_in(&self, slot: u32) -> Option<&'a str> {
        self.in_slot(slot).filter(|it| it.standing != Standing::Ended).last().map(Instance::name)
    }

    fn in_slot(&self, slot: u32) -> impl Iterator<Item = &'a Instance<'a>> + use<'a> {
        let from = self.all.partition_point(|it| it.slot() < slot);
        self.all[from..].iter().take_while(move |it| it.slot() == slot)
    }
}

fn serves(instance: &Instance<'_>) -> bool {
    if instance.is_updated() { instance.ready } else { instance.is_old() && instance.healthy }
}
