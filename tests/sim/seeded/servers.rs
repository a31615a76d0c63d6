//! Tenures: whole servers below their HTTP door, that die, stop, are cut off, and come back.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use tenure::controllers::{Census, Contact, Ends, Leader, Messages, Offers, Policy, borrowing, framework};
use tenure::env::{Env, watch};
use tenure::mesos::embedded;
use tenure::mesos::embedded::agent::AgentConfig;
use tenure::mesos::embedded::launcher::reports;
use tenure::mesos::embedded::master::MasterConfig;
use tenure::mesos::embedded::simulated::SimulatedLauncher;
use tenure::plan::health::Limits;
use tenure::registry::{Cache, Registry, Scheme};
use tenure::runtime::{Election, Facts, LEADER_TTL};
use tenure::store::Store;
use tenure::store::memory::MemoryStore;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cluster::{Cluster, agent_info};
use super::profile::Fault;
use super::reach::{Reach, Through};
use super::sim::{Sim, prefix};
use super::watcher;
use super::wire::{Leading, Line, Wire};
use crate::checks::{Blur, Checks};

/// The seams of a server, after each of which it may die.
pub(super) const SEAMS: [&str; 6] =
    ["planned", "stopped", "bound", "agent-journalled", "published", "status-committed"];

/// How far a wall clock may be off. What was recorded by a clock that was ahead (since when a launch is overdue, until when a Task
/// is kept) holds for as long, and the bound of convergence is thirty minutes.
pub(super) const JUMP: Duration = Duration::from_secs(600);

/// The most polls of a server between two looks at it, half a second apart; each may be many steps. So many mean that it goes
/// round and round at one moment, which would never end.
const POLLS: u64 = 20_000;

/// One server: its place in the network, and the process that runs there now.
pub(crate) struct Server {
    pub(super) name: String,
    pub(super) store_cut: watch::Sender<bool>,
    pub(super) master_cut: watch::Sender<bool>,
    pub(super) breaks: Arc<Notify>,
    /// A call at which it stands still, and for how long.
    nap: Arc<Mutex<Option<Duration>>>,
    pub(super) process: Option<Process>,
    pub(super) back_at: Option<Instant>,
    heals_at: Option<Instant>,
}

/// One life of a server.
pub(super) struct Process {
    pub(super) env: Env,
    door: Arc<Registry>,
    pub(super) paused: bool,
    /// Its polls when it was looked at last.
    polls: u64,
    /// A fault will end it at some poll.
    doomed: bool,
}

impl Process {
    /// It may be polled so often until it is looked at again.
    fn allow(&mut self) {
        self.polls = self.env.polls();
        if !self.doomed {
            self.env.crash_after(POLLS);
        }
    }

    fn has_stood_still(&self) -> bool {
        self.env.is_crashed() && self.env.polls() >= self.polls + POLLS
    }
}

/// What a process uses as its store, made of its way to the real one.
pub(crate) type Around = Arc<dyn Fn(&Env, Arc<Reach>) -> Arc<dyn Store> + Send + Sync>;

/// A process uses the store itself.
pub(crate) fn plain() -> Around {
    Arc::new(|_, reach| reach)
}

/// All servers of a run.
pub(crate) struct Servers {
    sim: Sim,
    pub(crate) checks: Arc<Mutex<Checks>>,
    /// Whether the servers' views may be wrong.
    pub(crate) blur: Blur,
    store: Arc<MemoryStore>,
    around: Around,
    pub(crate) all: Vec<Server>,
}

/// A process that begins now.
pub(crate) fn process(sim: &Sim, name: &str) -> Env {
    Env::simulated(name, sim.env().below(u64::MAX), Timestamp::UNIX_EPOCH + sim.elapsed())
}

/// The kinds, read once for all runs of a process.
pub(crate) fn scheme() -> Scheme {
    static SCHEME: OnceLock<Scheme> = OnceLock::new();
    SCHEME.get_or_init(|| Scheme::ours().unwrap()).clone()
}

impl Servers {
    pub(crate) fn new(
        sim: &Sim,
        checks: &Arc<Mutex<Checks>>,
        blur: &Blur,
        store: &Arc<MemoryStore>,
        around: Around,
    ) -> Servers {
        let server = |index| Server {
            name: format!("server-{index}"),
            store_cut: watch::Sender::new(false),
            master_cut: watch::Sender::new(false),
            breaks: Arc::default(),
            nap: Arc::default(),
            process: None,
            back_at: Some(Instant::now()),
            heals_at: None,
        };
        let all = (0..sim.profile().replicas.max(1)).map(server).collect();
        Servers {
            sim: sim.clone(),
            checks: checks.clone(),
            blur: blur.clone(),
            store: store.clone(),
            around,
            all,
        }
    }

    /// What has to happen by now happens: servers that died are noticed, servers start, go on, and are reachable again.
    pub(crate) async fn tick(&mut self, cluster: &Cluster) {
        let now = Instant::now();
        for index in 0..self.all.len() {
            let server = &mut self.all[index];
            if server.process.as_ref().is_some_and(Process::has_stood_still) {
                self.checks.lock().unwrap().stood_still(&server.name, POLLS);
                server.process = None;
            }
            if server.process.as_ref().is_some_and(|it| it.env.is_crashed()) {
                self.sim.log(format_args!("{} has died", server.name));
                server.process = None;
                let after = if self.sim.is_faulty() { self.sim.millis(100, 20_000) } else { Duration::ZERO };
                server.back_at = Some(now + after);
            }
            server.process.iter_mut().for_each(Process::allow);
            server.notice_nap();
            if server.heals_at.is_some_and(|at| at <= now) {
                self.sim.log(format_args!("{} goes on", server.name));
                server.heal();
            }
            if server.back_at.is_some_and(|at| at <= now) {
                self.all[index].back_at = None;
                self.start(index, cluster).await;
            }
        }
    }

    async fn start(&mut self, index: usize, cluster: &Cluster) {
        let env = process(&self.sim, &self.all[index].name);
        let server = &self.all[index];
        self.sim.log(format_args!("{} starts", server.name));
        let leading = if self.sim.profile().replicas == 0 {
            start_within(&env, cluster).await
        } else {
            cluster.leading.clone()
        };
        let cut = server.store_cut.subscribe();
        let reach = |through| Reach::new(&self.sim, &self.checks, (&server.name, through), &self.store, &cut);
        let wire = Wire {
            sim: self.sim.clone(),
            checks: self.checks.clone(),
            env: env.clone(),
            server: server.name.clone(),
            leading,
            line: Line {
                cut: server.master_cut.subscribe(),
                breaks: server.breaks.clone(),
                nap: server.nap.clone(),
            },
            subscriptions: AtomicU64::new(0),
        };
        let store = |through| (self.around)(&env, reach(through));
        let cache = Cache::start(&env, store(Through::Loops), &prefix());
        watcher::watch(self.sim.env(), &server.name, &cache, &self.checks, &self.blur);
        let registry = Registry::new(&env, store(Through::Loops), cache.clone(), &prefix(), scheme());
        let door = Registry::new(&env, store(Through::Door), cache, &prefix(), scheme());
        lead(&self.sim, &env, &server.name, registry, store(Through::Loops), wire);
        let mut process = Process { env, door, paused: false, polls: 0, doomed: false };
        process.allow();
        self.all[index].process = Some(process);
    }

    /// `fault` strikes a server.
    pub(crate) fn strike(&mut self, fault: Fault) {
        let indices: Vec<usize> = (0..self.all.len()).collect();
        let Some(index) = self.sim.pick(&indices).copied() else { return };
        let (sim, server) = (&self.sim, &mut self.all[index]);
        let name = server.name.clone();
        let away = sim.millis(500, 45_000);
        let Some(process) = server.process.as_mut().filter(|it| !it.paused) else { return };
        match fault {
            Fault::CrashAtPoll => {
                let polls = sim.between(1, 3_000);
                sim.strike(fault, format_args!("{name} after {polls} polls"));
                process.doomed = true;
                process.env.crash_after(polls);
            }
            Fault::CrashAtSeam => {
                let (seam, nth) = (sim.pick(&SEAMS).copied().unwrap_or("bound"), sim.between(1, 4));
                sim.strike(fault, format_args!("{name} at the {nth}. {seam}"));
                process.env.crash_at_seam(seam, u32::try_from(nth).unwrap_or(1));
            }
            Fault::Pause => {
                sim.strike(fault, format_args!("{name} for {away:?}"));
                process.paused = true;
                process.env.pause();
                server.heals_at = Some(Instant::now() + away);
            }
            Fault::ClockJumps => {
                let most = i64::try_from(JUMP.as_millis()).unwrap_or(i64::MAX);
                let ahead = i64::try_from(sim.between(0, 2 * most.unsigned_abs())).unwrap_or(0) - most;
                sim.strike(fault, format_args!("{name} to {ahead} ms"));
                process.env.set_clock_ahead(ahead);
                server.heals_at = Some(Instant::now() + away);
            }
            Fault::StreamCut => {
                sim.strike(fault, format_args!("{name}"));
                server.breaks.notify_waiters();
            }
            Fault::MasterPartition => {
                let away = away * 3;
                sim.strike(fault, format_args!("{name} for {away:?}"));
                server.master_cut.send_replace(true);
                server.heals_at = Some(Instant::now() + away);
            }
            Fault::StorePartition => {
                sim.strike(fault, format_args!("{name} for {away:?}"));
                server.store_cut.send_replace(true);
                server.heals_at = Some(Instant::now() + away);
            }
            _ => {}
        }
    }

    /// The process of the server `name` dies, and is started again after `away`.
    pub(crate) fn crash(&mut self, name: &str, away: Duration) {
        let named = self.all.iter_mut().filter(|server| server.name == name);
        for server in named {
            server.process.take().iter().for_each(|process| process.env.crash());
            server.back_at = Some(Instant::now() + away);
        }
    }

    /// Ends everything that is wrong with any server; those that are away come back.
    pub(crate) fn heal(&mut self) {
        for server in &mut self.all {
            server.heal();
            if let Some(process) = &mut server.process {
                process.doomed = false;
                process.allow();
                process.env.crash_at_seam("", u32::MAX);
            }
            if let Some(at) = &mut server.back_at {
                *at = (*at).min(Instant::now());
            }
        }
    }

    /// The door of some server that is there and answers; a person tries another one when one does not.
    pub(crate) fn door(&self) -> Option<Arc<Registry>> {
        self.sim.pick(&self.doors()).cloned()
    }

    /// The doors of all servers that are there and answer.
    pub(crate) fn doors(&self) -> Vec<Arc<Registry>> {
        let open = |server: &Server| {
            let process = server.process.as_ref().filter(|it| !it.paused && !it.env.is_crashed())?;
            Some(process.door.clone())
        };
        self.all.iter().filter_map(open).collect()
    }

    /// The views of all servers that are there.
    pub(crate) fn caches(&self) -> impl Iterator<Item = (&str, &Arc<Cache>)> {
        let there = self.all.iter().filter_map(|server| Some((server, server.process.as_ref()?)));
        there.map(|(server, process)| (server.name.as_str(), process.door.cache()))
    }
}

impl Server {
    /// A process that stands still by itself counts as paused.
    fn notice_nap(&mut self) {
        if let Some(away) = self.nap.lock().unwrap().take()
            && let Some(process) = &mut self.process
        {
            process.paused = true;
            self.heals_at = Some(Instant::now() + away);
        }
    }

    pub(super) fn heal(&mut self) {
        self.notice_nap();
        self.heals_at = None;
        self.store_cut.send_replace(false);
        self.master_cut.send_replace(false);
        if let Some(process) = self.process.as_mut().filter(|it| it.paused) {
            process.paused = false;
            process.env.resume();
        }
        if let Some(process) = &self.process {
            process.env.set_clock_ahead(0);
        }
    }
}

/// Starts a master and the first machine's agent within the server's own process.
async fn start_within(env: &Env, cluster: &Cluster) -> Leading {
    let (machine, disk) = cluster.first();
    let (sink, reported) = reports();
    let launcher = Arc::new(SimulatedLauncher::new(env, machine, sink));
    let agent = AgentConfig::new(agent_info(0), "10.0.0.1");
    let started = embedded::start(env, MasterConfig::local(), agent, disk, launcher, reported).await;
    Arc::new(Mutex::new(Some(started.unwrap())))
}

/// Stands for leadership in this process until it dies.
fn lead(sim: &Sim, env: &Env, name: &str, registry: Arc<Registry>, store: Arc<dyn Store>, wire: Wire) {
    let limits = Limits { confirm: Duration::from_secs(60), start: Duration::from_secs(120) };
    let leader = Leader {
        env: env.clone(),
        registry,
        facts: Facts::new(store.clone(), &prefix().meta("")),
        connection: Arc::new(wire),
        framework: borrowing(framework("demo", "root", &sim.profile().role_names(), "here")),
        installation: Arc::from("installation-uid"),
        host: Arc::from(name),
        policy: Policy { launches: limits, ..Policy::sole() },
        contact: Contact::default(),
        ends: Ends::default(),
        census: Census::default(),
        offers: Offers::default(),
        messages: Messages::default(),
        anew: None,
    };
    let (holder, key) = (name.to_owned(), prefix().leader());
    let door = serde_json::Value::Null;
    let election = Election { env: env.clone(), store, key, holder, door, ttl: LEADER_TTL, rivals: true };
    let (name, sim) = (name.to_owned(), sim.clone());
    env.spawn("leader", async move {
        let end = leader.run(&election, CancellationToken::new()).await;
        sim.log(format_args!("{name} has stopped to lead: {end:?}"));
        panic!("{name} has stopped to lead: {end:?}");
    });
}
