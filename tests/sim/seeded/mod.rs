//! Seeded runs: one number decides a whole world, ten minutes of its faults, and the quiet time after them.
//!
//! ```text
//! people ──door──▶ servers ──reach──▶ store (its watch anomalies)
//!                     └──wire──▶ master ──▶ agents ──▶ machines
//! chaos strikes all of them; checks judge every commit and call; the log proves that a seed repeats itself
//! ```
//!
//! Everything is on one thread and tokio's paused clock. Nothing reads the wall clock or the system's randomness.

mod by_hand;
pub(crate) mod chaos;
pub(crate) mod cluster;
mod fates;
mod log;
mod maintenance;
pub(crate) mod panics;
mod people;
mod profile;
pub(crate) mod reach;
pub(crate) mod servers;
pub(crate) mod sim;
pub(crate) mod story;
mod watcher;
mod wire;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure::store::memory::MemoryStore;
use tokio::time::Instant;

pub(crate) use self::by_hand::machine_name;
pub(crate) use self::chaos::World;
use self::cluster::Cluster;
pub(crate) use self::cluster::Host;
pub(crate) use self::log::Telling;
pub(crate) use self::profile::{Fault, Profile, ROLES};
use self::servers::{Servers, plain};
pub(crate) use self::sim::Counts;
use self::sim::Sim;
pub(crate) use self::sim::prefix;
pub(crate) use self::story::ACTS;
use crate::checks::convergence::unsettled;
use crate::checks::{Blur, Checks, Reality, Terms};

/// How long faults strike.
const FAULTS: Duration = Duration::from_secs(600);
/// The bound: so long after the last fault and the last change by people everything is as wanted. The longest waits in it
/// are those of an update that an agent sends again and of a comparison with the store that finds a lost event, about ten
/// minutes each, and they may follow one another.
pub(crate) const BOUND: Duration = Duration::from_secs(30 * 60);
/// After convergence, what was under way may end so long; then all is quiet for as long again.
const QUIET: Duration = Duration::from_secs(60);

/// What became of a run.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) profile: &'static str,
    /// Everything that was found wrong, in the order in which it happened; nothing is how it should be.
    pub(crate) broken: Vec<String>,
    pub(crate) counts: Counts,
    /// Lines of the log, and the digest of them all.
    pub(crate) log: (u64, u64),
    /// All lines, if they were to be kept.
    pub(crate) whole: String,
    /// The last lines.
    pub(crate) tail: String,
    /// How long it lasted in its own time.
    pub(crate) simulated: Duration,
    /// From the last fault to convergence.
    pub(crate) converged_after: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { seed, profile, broken, log, tail, .. } = self;
        writeln!(f, "seed {seed} of profile {profile} fails:")?;
        for what in broken.iter().take(10) {
            writeln!(f, "  {what}")?;
        }
        writeln!(f, "log of {} lines, digest {:016x}; its end:\n{tail}", log.0, log.1)?;
        write!(f, "replay with: hack/sim --seed {seed} --profile {profile}")
    }
}

impl Report {
    /// The check that found the first thing broken.
    pub(crate) fn found_by(&self) -> Option<&str> {
        self.broken.first().and_then(|what| what.split(':').next())
    }
}

/// Runs one seed. Equal seeds and profiles give equal reports. `telling` says what becomes of the log.
pub(crate) fn run(seed: u64, profile: Profile, telling: Telling) -> Report {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime can be made");
    panics::forget();
    let mut report = runtime.block_on(live(seed, profile, telling));
    drop(runtime);
    report.broken.extend(panics::take().into_iter().map(|what| format!("Panics: {what}")));
    report
}

async fn live(seed: u64, profile: Profile, telling: Telling) -> Report {
    let sim = Sim::new(seed, profile, telling);
    let store = MemoryStore::new(sim.env());
    let cluster = Cluster::new(&sim);
    let reality = Reality(Arc::new(cluster.machines()));
    let terms = Terms { reality: Some(reality.clone()), blur: Blur::default() };
    let of = sim.clone();
    let checks = Checks::telling(&store, &prefix(), &terms, move |changes| story::tell(&of, changes));
    let servers = Servers::new(&sim, &checks, &terms.blur, &store, plain());
    let mut world =
        World { sim: sim.clone(), store, servers, cluster, store_heals_at: None, level_since: None };
    begin(&mut world).await;
    world.suffer_until(Instant::now() + FAULTS).await;
    let (broken, converged_after) = calm_down(&mut world, &checks, &reality).await;
    let mut all = checks.lock().unwrap().broken().to_vec();
    all.extend(broken);
    let (log, tail, whole) = {
        let log = sim.log_lock();
        (log.fingerprint(), log.tail(), log.whole())
    };
    Report {
        seed,
        profile: profile.name,
        broken: all,
        counts: sim.counts(),
        log,
        tail,
        whole,
        simulated: sim.elapsed(),
        converged_after,
    }
}

/// A world in which people have just begun to want something. In every other one nothing fails before that, so that there
/// is something to lose; in the others installing fails, too.
async fn begin(world: &mut World) {
    world.sim.set_faulty(world.sim.between(0, 2) == 0);
    if world.sim.profile().replicas > 0 {
        world.cluster.start().await;
    }
    loop {
        world.run_until(Instant::now() + Duration::from_secs(1)).await;
        let Some(door) = world.servers.door() else { continue };
        match people::found(&door).await {
            Ok(()) => break,
            Err(error) => world.sim.log(format_args!("not founded yet: {error}")),
        }
    }
    for _ in 0..3 {
        if let Some(door) = world.servers.door() {
            people::act(&world.sim, &world.servers.checks, door);
        }
        world.run_until(Instant::now() + Duration::from_secs(7)).await;
    }
    world.sim.set_faulty(true);
}

/// Ends all faults and waits for convergence and quiet; tells what is missing, and how long convergence took.
async fn calm_down(
    world: &mut World,
    checks: &Arc<Mutex<Checks>>,
    reality: &Reality,
) -> (Option<String>, Duration) {
    world.heal();
    let healed = Instant::now();
    loop {
        world.run_until(Instant::now() + Duration::from_secs(5)).await;
        let truth = checks.lock().unwrap().scene().objects.clone();
        let settled = match world.servers.door() {
            Some(door) => people::settle(&world.sim, door, &truth).await,
            None => false,
        };
        if settled {
            break;
        }
        if healed.elapsed() > BOUND {
            return (
                Some("Convergence: people's last wishes were not accepted".to_owned()),
                healed.elapsed(),
            );
        }
    }
    let left = loop {
        world.run_until(Instant::now() + Duration::from_secs(1)).await;
        world.answer_questions();
        let left = unsettled(checks.lock().unwrap().scene(), reality, world.servers.caches());
        if left.is_none() || healed.elapsed() > BOUND {
            break left;
        }
    };
    let took = healed.elapsed();
    world.sim.log(format_args!("converged after {took:?}: {left:?}"));
    if let Some(left) = left {
        return (Some(format!("Convergence: not as wanted {took:?} after the last fault: {left}")), took);
    }
    // What was to fail when it started may still do so, and who looked at a clock that was behind looks again as much too late.
    let clocks_jumped = world.sim.counts().faults.contains_key(&Fault::ClockJumps);
    let late = if clocks_jumped { servers::JUMP } else { Duration::ZERO };
    world.run_until(healed + fates::LATEST.max(late)).await;
    (be_quiet(world, checks).await, took)
}

/// Once converged nothing is written, and nothing is asked of the cluster but what became of its tasks.
pub(crate) async fn be_quiet(world: &mut World, checks: &Arc<Mutex<Checks>>) -> Option<String> {
    // Agents may still send again what was not acknowledged, and offers go back when their leases end.
    const LOUD: [&str; 4] = ["call ACCEPT", "call KILL", "call REVIVE", "call SUBSCRIBE"];
    let loud = |sim: &Sim| {
        let acts = sim.counts().acts;
        LOUD.map(|act| acts.get(act).copied().unwrap_or(0))
    };
    world.run_until(Instant::now() + QUIET).await;
    let (since, calls) = (Instant::now(), loud(&world.sim));
    world.run_until(since + QUIET).await;
    let written = checks.lock().unwrap().last_change();
    if written > since {
        return Some(format!("Quiet: something is written {:?} after convergence", written - since + QUIET));
    }
    let now = loud(&world.sim);
    (now != calls).then(|| format!("Quiet: {LOUD:?} were {calls:?} and are {now:?} although nothing happens"))
}
