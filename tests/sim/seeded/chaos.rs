//! The time of faults: which strikes when, and how long it lasts.

use std::sync::Arc;
use std::time::Duration;

use tenure::store::memory::{Fault as StoreFault, MemoryStore};
use tenure::store::{Op, Store, Txn};
use tokio::time::{Instant, sleep_until};

use super::cluster::Cluster;
use super::people;
use super::profile::Fault;
use super::servers::Servers;
use super::sim::{Sim, prefix};
use crate::checks::convergence::views_unsettled;

/// How often servers and agents that have died are looked for.
const TICK: Duration = Duration::from_millis(500);
/// The mean time between two changes by people.
const EDITS_MS: u64 = 12_000;

/// The longest that a decision takes to arrive, with all delays.
const UNDER_WAY: Duration = Duration::from_secs(20);

/// Everything that can fail.
pub(crate) struct World {
    pub(crate) sim: Sim,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) servers: Servers,
    pub(crate) cluster: Cluster,
    /// When the store is well again.
    pub(crate) store_heals_at: Option<Instant>,
    /// Since when all views are as the store, after its watch has lost events.
    pub(crate) level_since: Option<Instant>,
}

impl World {
    /// Lets the world run until `end`, without new faults.
    pub(crate) async fn run_until(&mut self, end: Instant) {
        while Instant::now() < end {
            self.tick().await;
            sleep_until((Instant::now() + TICK).min(end)).await;
        }
        self.tick().await;
    }

    async fn tick(&mut self) {
        if self.store_heals_at.is_some_and(|at| at <= Instant::now()) {
            self.heal_store();
        }
        self.cluster.tick().await;
        self.servers.tick(&self.cluster).await;
        if self.servers.blur.is_on() {
            self.look_for_clarity();
        }
    }

    /// What was decided on a wrong view may still be on its way a while after the view is right.
    fn look_for_clarity(&mut self) {
        let checks = self.servers.checks.lock().unwrap();
        let is_level = !self.store.is_losing()
            && views_unsettled(&checks.scene().objects, self.servers.caches()).is_none();
        self.level_since = self.level_since.filter(|_| is_level).or_else(|| is_level.then(Instant::now));
        if self.level_since.is_some_and(|since| since.elapsed() > UNDER_WAY) {
            self.servers.blur.set(false);
            self.level_since = None;
        }
    }

    /// Lets faults strike and people change their minds until `end`.
    pub(crate) async fn suffer_until(&mut self, end: Instant) {
        let striking: Vec<Fault> =
            self.sim.on().iter().copied().filter(|it| strikes_by_itself(*it)).collect();
        let mut fault_at = self.after(self.sim.profile().pause_ms);
        let mut edit_at = self.after(EDITS_MS);
        while Instant::now() < end {
            self.run_until(fault_at.min(edit_at).min(end)).await;
            let now = Instant::now();
            if edit_at <= now {
                edit_at = self.after(EDITS_MS);
                if let Some(door) = self.servers.door() {
                    people::act(&self.sim, &self.servers.checks, door);
                }
                self.answer_questions();
            }
            if fault_at <= now {
                fault_at = self.after(self.sim.profile().pause_ms);
                if let Some(fault) = self.sim.pick(&striking).copied() {
                    self.strike(fault).await;
                }
            }
        }
    }

    /// People answer what some server asks them.
    pub(crate) fn answer_questions(&self) {
        if let Some(door) = self.servers.doors().first() {
            people::answer(&self.sim, &self.servers.checks, door);
        }
    }

    /// A time that is `mean_ms` ahead on average.
    fn after(&self, mean_ms: u64) -> Instant {
        Instant::now() + self.sim.millis(1, mean_ms * 2)
    }

    async fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::CrashAtPoll
            | Fault::CrashAtSeam
            | Fault::Pause
            | Fault::ClockJumps
            | Fault::StreamCut
            | Fault::MasterPartition
            | Fault::StorePartition => self.servers.strike(fault),
            Fault::AgentRestart
            | Fault::AgentCutOff
            | Fault::AllCutOff
            | Fault::AgentReboot
            | Fault::AgentGone
            | Fault::MasterFailover
            | Fault::TaskKilledByHand
            | Fault::TaskVanishes => self.cluster.strike(fault),
            Fault::Maintenance => self.cluster.plan_maintenance().await,
            Fault::LinkLoses | Fault::LinkSlow | Fault::LinkRepeats => self.cluster.disturb(fault).await,
            Fault::Interference => {
                let Some(door) = self.servers.door() else { return };
                if let Some(key) = people::interfere(&self.sim, &self.servers.checks, door) {
                    self.sim.strike(fault, format_args!("with {key}"));
                }
            }
            Fault::LeaderKeyTaken => {
                let txn = Txn { guards: vec![], ops: vec![Op::Delete { key: prefix().leader() }] };
                self.servers.checks.lock().unwrap().takes_leadership();
                if self.store.txn(txn).await.is_ok() {
                    self.sim.strike(fault, format_args!(""));
                }
            }
            Fault::Compaction => {
                let Ok(revision) = self.store.revision().await else { return };
                if self.store.compact(revision).await.is_ok() {
                    self.sim.strike(fault, format_args!("to {revision}"));
                }
            }
            _ => self.strike_store(fault),
        }
    }

    fn strike_store(&mut self, fault: Fault) {
        let events = u32::try_from(self.sim.between(1, 6)).unwrap_or(1);
        let (injected, lasts) = match fault {
            Fault::StoreDown => (StoreFault::Down, true),
            Fault::StoreFull => (StoreFault::Full, true),
            Fault::WatchStalls => (StoreFault::StallWatches, true),
            Fault::WatchEnds => (StoreFault::BreakWatches, false),
            Fault::WatchRepeats => (StoreFault::RepeatBatches(events), false),
            Fault::WatchSkips => (StoreFault::LoseEvents(events), false),
            Fault::WatchLate => (StoreFault::DelayEvents(events), false),
            _ => return,
        };
        self.sim.strike(fault, format_args!("{injected:?}"));
        if matches!(fault, Fault::WatchSkips | Fault::WatchLate) {
            self.servers.blur.set(true);
        }
        if fault == Fault::WatchStalls {
            self.servers.blur.set_stalled(true);
        }
        self.store.inject(injected);
        if lasts {
            self.store_heals_at = Some(Instant::now() + self.sim.millis(200, 45_000));
        }
    }

    fn heal_store(&mut self) {
        self.sim.log(format_args!("the store is well"));
        self.store_heals_at = None;
        self.store.heal();
        self.servers.blur.set_stalled(false);
    }

    /// Ends every fault; what was done cannot be undone.
    pub(crate) fn heal(&mut self) {
        self.sim.set_faulty(false);
        self.sim.log(format_args!("no more faults"));
        self.heal_store();
        self.servers.heal();
        self.cluster.heal();
    }
}

/// Whether a fault strikes at some time; the others strike messages, requests or tasks as they come.
fn strikes_by_itself(fault: Fault) -> bool {
    use Fault::{
        CallAnswerLost, CallDelayed, CallLost, CallRepeated, HealthFlaps, ImageMissing, ImageSlow,
        PauseInCall, PauseInSubscribe, ReportLate, ReportRepeated, StoreAnswerLost, StoreRefuses, StoreSlow,
        TaskFails, TaskHangs, UpdateDelayed, UpdateLost, UpdateRepeated,
    };
    !matches!(
        fault,
        CallAnswerLost
            | CallDelayed
            | CallLost
            | CallRepeated
            | HealthFlaps
            | ImageMissing
            | ImageSlow
            | PauseInCall
            | PauseInSubscribe
            | ReportLate
            | ReportRepeated
            | StoreAnswerLost
            | StoreRefuses
            | StoreSlow
            | TaskFails
            | TaskHangs
            | UpdateDelayed
            | UpdateLost
            | UpdateRepeated
    )
}
