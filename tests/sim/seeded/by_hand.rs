//! A world in which nothing fails by itself, and what may be done to its servers, machines and master by name: the faults
//! that chance strikes with elsewhere, one at a time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure::env::Env;
use tenure::mesos::embedded::master::MasterHandle;
use tenure::mesos::embedded::simulated::Fate;
use tenure::mesos::wire::{TaskId, TaskInfo};
use tenure::registry::Change;
use tenure::store::memory::MemoryStore;
use tenure::store::{Op, Store, Txn};
use tokio::time::Instant;

use super::chaos::World;
use super::cluster::{Cluster, Host};
use super::log::Telling;
use super::people;
use super::profile::Profile;
use super::servers::{SEAMS, Server, Servers, plain};
use super::sim::{Sim, prefix};
use crate::checks::{Blur, Checks, Reality, Terms};

/// Longer than any script plays.
const NEVER_BY_ITSELF: Duration = Duration::from_secs(365 * 24 * 3600);

impl World {
    /// A world of `machines` machines and `servers` servers (none: one, with master and agent within) that has begun.
    /// `fate` decides what becomes of the tasks of each machine; `listener` hears of every commit.
    pub(crate) async fn quiet(
        servers: usize,
        machines: usize,
        fate: impl Fn(usize, &TaskInfo) -> Fate + Clone + Send + Sync + 'static,
        listener: impl FnMut(&[Change]) + Send + 'static,
    ) -> (World, Arc<Mutex<Checks>>) {
        let sim = Sim::new(1, Profile::quiet(servers, machines), Telling::Digest);
        let store = MemoryStore::new(sim.env());
        let cluster = Cluster::with(&sim, fate);
        let reality = Reality(Arc::new(cluster.machines()));
        let terms = Terms { reality: Some(reality), blur: Blur::default() };
        let checks = Checks::telling(&store, &prefix(), &terms, listener);
        let servers = Servers::new(&sim, &checks, &terms.blur, &store, plain());
        let mut world = World { sim, store, servers, cluster, store_heals_at: None, level_since: None };
        if world.sim.profile().replicas > 0 {
            world.cluster.start().await;
        }
        loop {
            world.run_for(Duration::from_secs(1)).await;
            if let Some(door) = world.servers.door()
                && people::found(&door).await.is_ok()
            {
                break;
            }
        }
        // All machines have been seen, and all that a first leader does is done.
        world.run_for(Duration::from_secs(20)).await;
        (world, checks)
    }

    /// Lets the world run for so long.
    pub(crate) async fn run_for(&mut self, time: Duration) {
        self.run_until(Instant::now() + time).await;
    }

    /// The server that leads, as the store has it.
    pub(crate) async fn leader(&self) -> Option<String> {
        let record = self.store.get(&prefix().leader()).await.ok().flatten()?;
        let holder = String::from_utf8_lossy(&record.value).into_owned();
        self.servers.all.iter().map(|it| it.name.clone()).find(|name| holder.contains(name.as_str()))
    }

    /// Somebody removes the leader's key: the term is over, though its leader does not know it yet.
    pub(crate) async fn take_leadership_away(&self) -> Result<(), String> {
        let txn = Txn { guards: vec![], ops: vec![Op::Delete { key: prefix().leader() }] };
        self.servers.checks.lock().unwrap().takes_leadership();
        self.store.txn(txn).await.map(|_| ()).map_err(|error| error.to_string())
    }
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    format!("there is no {what} {name:?}; there are: {}", known.collect::<Vec<_>>().join(", "))
}

impl Servers {
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|it| it.name.as_str())
    }

    fn named(&mut self, name: &str) -> Result<&mut Server, String> {
        match self.all.iter().position(|it| it.name == name) {
            Some(index) => Ok(&mut self.all[index]),
            None => Err(unknown("server", name, self.names())),
        }
    }

    fn running(&mut self, name: &str) -> Result<&Env, String> {
        let process = self.named(name)?.process.as_ref();
        process.map(|it| &it.env).ok_or_else(|| format!("{name} does not run"))
    }

    /// `kill -9`; whoever supervises the server starts it again at once.
    pub(crate) fn kill(&mut self, name: &str) -> Result<(), String> {
        self.running(name).map(Env::crash)
    }

    /// As [`Servers::kill`], at its next passage of this seam.
    pub(crate) fn crash_at(&mut self, name: &str, seam: &str) -> Result<(), String> {
        if !SEAMS.contains(&seam) {
            return Err(unknown("seam", seam, SEAMS.into_iter()));
        }
        self.running(name).map(|env| env.crash_at_seam(seam, 1))
    }

    /// As [`Servers::kill`], and it stays away until [`Servers::start_again`].
    pub(crate) fn stop(&mut self, name: &str) -> Result<(), String> {
        self.running(name).map(Env::crash)?;
        self.named(name)?.process = None;
        Ok(())
    }

    pub(crate) fn start_again(&mut self, name: &str) -> Result<(), String> {
        let server = self.named(name)?;
        if server.process.is_some() {
            return Err(format!("{name} runs already"));
        }
        server.back_at = Some(Instant::now());
        Ok(())
    }

    /// The process stands still, as under SIGSTOP.
    pub(crate) fn pause(&mut self, name: &str) -> Result<(), String> {
        let process = self.named(name)?.process.as_mut();
        let process = process.ok_or_else(|| format!("{name} does not run"))?;
        process.paused = true;
        process.env.pause();
        Ok(())
    }

    /// It goes on, and reaches everything again.
    pub(crate) fn resume(&mut self, name: &str) -> Result<(), String> {
        self.named(name).map(Server::heal)
    }

    pub(crate) fn cut_from_store(&mut self, name: &str) -> Result<(), String> {
        self.named(name)?.store_cut.send_replace(true);
        Ok(())
    }

    pub(crate) fn cut_from_master(&mut self, name: &str) -> Result<(), String> {
        self.named(name)?.master_cut.send_replace(true);
        Ok(())
    }

    /// Its stream from the master breaks, and it is told.
    pub(crate) fn break_stream(&mut self, name: &str) -> Result<(), String> {
        self.named(name).map(|it| it.breaks.notify_waiters())
    }
}

/// The name of a machine.
pub(crate) fn machine_name(index: usize) -> String {
    format!("machine-{index}")
}

impl Cluster {
    fn named(&self, machine: &str) -> Result<usize, String> {
        let names: Vec<String> = (0..self.hosts.len()).map(machine_name).collect();
        let found = names.iter().position(|it| it == machine);
        found.ok_or_else(|| unknown("machine", machine, names.iter().map(String::as_str)))
    }

    /// A machine with an agent that may go away.
    fn apart(&mut self, machine: &str) -> Result<usize, String> {
        let index = self.named(machine)?;
        let is_apart = self.sim().profile().replicas > 0;
        let there = is_apart && self.hosts[index].agent.is_some();
        if there { Ok(index) } else { Err(format!("{machine} has no agent that could go away")) }
    }

    /// Its agent is away until [`Cluster::bring_back`]; its tasks run on.
    pub(crate) fn lose_agent(&mut self, machine: &str) -> Result<(), String> {
        let index = self.apart(machine)?;
        self.cut_off(index, NEVER_BY_ITSELF);
        Ok(())
    }

    /// Power fails and comes back after `away`: its tasks are gone.
    pub(crate) fn reboot(&mut self, machine: &str, away: Duration) -> Result<(), String> {
        let index = self.apart(machine)?;
        self.cut_off(index, away);
        self.hosts[index].machine.lose_all();
        Ok(())
    }

    /// The machine is gone with its tasks, and does not come back.
    pub(crate) fn destroy(&mut self, machine: &str) -> Result<(), String> {
        let index = self.apart(machine)?;
        self.cut_off(index, NEVER_BY_ITSELF);
        let host: &mut Host = &mut self.hosts[index];
        host.machine.lose_all();
        (host.back_at, host.gone) = (None, true);
        Ok(())
    }

    pub(crate) fn bring_back(&mut self, machine: &str) -> Result<(), String> {
        let index = self.named(machine)?;
        let host = &mut self.hosts[index];
        if host.gone || host.agent.is_some() || host.back_at.is_none() {
            return Err(format!("{machine} is not away"));
        }
        host.back_at = Some(Instant::now());
        Ok(())
    }

    /// The master dies; another one leads after `away`.
    pub(crate) fn fail_over(&mut self, away: Duration) -> Result<(), String> {
        if self.master.is_none() {
            return Err("there is no master that could die apart from its server".to_owned());
        }
        self.lose_master(away);
        Ok(())
    }

    /// The leading master.
    pub(crate) fn master(&self) -> Result<MasterHandle, String> {
        self.leading.lock().unwrap().clone().ok_or_else(|| "no master leads".to_owned())
    }

    /// Where a task runs.
    pub(crate) fn whereabouts(&self, id: &TaskId) -> Result<&Host, String> {
        let found = self.hosts.iter().find(|host| host.machine.alive().contains(id));
        found.ok_or_else(|| format!("{id} does not run"))
    }
}
