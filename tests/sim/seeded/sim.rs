//! What all parts of a run share: its chance, its log, its counts, and which faults are on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tenure::env::Env;
use tenure::registry::Prefix;
use tokio::time::Instant;

use super::log::{Log, Telling};
use super::profile::{Fault, Profile};

/// Clones are the same run.
#[derive(Clone)]
pub(crate) struct Sim {
    inner: Arc<Inner>,
}

struct Inner {
    /// The node of everything that is not a process of ours; its chance decides all faults.
    env: Env,
    profile: Profile,
    on: BTreeSet<Fault>,
    faulty: AtomicBool,
    log: Mutex<Log>,
    counts: Mutex<Counts>,
    origin: Instant,
}

/// How often each fault struck, and each thing was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) faults: BTreeMap<Fault, u64>,
    pub(crate) acts: BTreeMap<String, u64>,
}

impl Counts {
    /// Adds what another run counted.
    pub(crate) fn add(&mut self, other: &Counts) {
        for (fault, count) in &other.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
        for (act, count) in &other.acts {
            *self.acts.entry(act.clone()).or_default() += count;
        }
    }
}

/// Everything of a simulation stands under this.
pub(crate) fn prefix() -> Prefix {
    Prefix::new("demo")
}

impl Sim {
    /// A run in which nothing has happened yet. The seed decides which of the profile's faults are on.
    pub(crate) fn new(seed: u64, profile: Profile, telling: Telling) -> Sim {
        let env = Env::simulated("sim", seed, jiff::Timestamp::UNIX_EPOCH);
        let classes = Fault::ALL.into_iter().take(profile.classes);
        let on = classes.filter(|fault| env.below(100) < profile.chance(*fault)).collect();
        let inner = Inner {
            env,
            profile,
            on,
            faulty: AtomicBool::new(false),
            log: Mutex::new(Log::new(telling)),
            counts: Mutex::default(),
            origin: Instant::now(),
        };
        let sim = Sim { inner: Arc::new(inner) };
        sim.log(format_args!("profile {} with {:?}", profile.name, sim.inner.on));
        sim
    }

    pub(crate) fn env(&self) -> &Env {
        &self.inner.env
    }

    pub(crate) fn profile(&self) -> Profile {
        self.inner.profile
    }

    /// The faults that are on in this run.
    pub(crate) fn on(&self) -> &BTreeSet<Fault> {
        &self.inner.on
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.inner.origin.elapsed()
    }

    pub(crate) fn log(&self, what: fmt::Arguments<'_>) {
        self.log_lock().line(what);
    }

    pub(crate) fn log_lock(&self) -> MutexGuard<'_, Log> {
        self.inner.log.lock().unwrap()
    }

    /// Something was done.
    pub(crate) fn act(&self, what: &str) {
        let mut counts = self.inner.counts.lock().unwrap();
        match counts.acts.get_mut(what) {
            Some(count) => *count += 1,
            None => drop(counts.acts.insert(what.to_owned(), 1)),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.inner.counts.lock().unwrap().clone()
    }

    /// Begins or ends the time of faults.
    pub(crate) fn set_faulty(&self, faulty: bool) {
        self.inner.faulty.store(faulty, Ordering::Relaxed);
    }

    pub(crate) fn is_faulty(&self) -> bool {
        self.inner.faulty.load(Ordering::Relaxed)
    }

    /// A fault strikes.
    pub(crate) fn strike(&self, fault: Fault, what: fmt::Arguments<'_>) {
        *self.inner.counts.lock().unwrap().faults.entry(fault).or_default() += 1;
        self.log(format_args!("fault {fault} {what}"));
    }

    /// Whether `fault` strikes this message, request or task.
    pub(crate) fn strikes(&self, fault: Fault) -> bool {
        self.strikes_in(fault, self.inner.profile.per_mille)
    }

    /// As [`Sim::strikes`], with so many chances in a thousand.
    pub(crate) fn strikes_in(&self, fault: Fault, per_mille: u64) -> bool {
        self.is_faulty() && self.inner.on.contains(&fault) && self.inner.env.below(1000) < per_mille
    }

    /// A number from `from` to below `to`.
    pub(crate) fn between(&self, from: u64, to: u64) -> u64 {
        from + self.inner.env.below(to - from)
    }

    pub(crate) fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.between(from, to))
    }

    /// One of `things`.
    pub(crate) fn pick<'a, T>(&self, things: &'a [T]) -> Option<&'a T> {
        things.get(usize::try_from(self.inner.env.below(things.len() as u64)).unwrap_or(0))
    }
}
