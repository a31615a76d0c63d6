//! The master and the machines with their agents, and how they fail.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure::env::Env;
use tenure::mesos::embedded::agent::journal::{Journal, Medium};
use tenure::mesos::embedded::agent::{Agent, AgentConfig};
use tenure::mesos::embedded::launcher::{Reports, reports};
use tenure::mesos::embedded::master::{self, Disturbance, MasterConfig, MasterHandle};
use tenure::mesos::embedded::resources::{parse_attributes, parse_resources};
use tenure::mesos::embedded::simulated::{Fate, Machine, SimulatedLauncher};
use tenure::mesos::wire::{AgentId, AgentInfo, TaskId, TaskInfo};
use tokio::time::Instant;

use super::fates;
use super::maintenance::{Maintained, address};
use super::profile::Fault;
use super::servers::process;
use super::sim::Sim;
use super::wire::Leading;

/// A machine, its disk, and the agent on it.
pub(crate) struct Host {
    pub(crate) machine: Machine,
    disk: Medium,
    pub(super) agent: Option<Env>,
    /// When the agent comes back; never, when it is gone for good.
    pub(super) back_at: Option<Instant>,
    pub(super) gone: bool,
}

/// Everything outside of the servers.
pub(crate) struct Cluster {
    sim: Sim,
    pub(crate) hosts: Vec<Host>,
    pub(crate) leading: Leading,
    pub(super) master: Option<Env>,
    pub(super) master_back_at: Option<Instant>,
    /// When the links between the master and its agents break and are made anew, if messages on them are disturbed.
    links_heal_at: Option<Instant>,
    /// What the operator is about to do with a machine.
    pub(super) maintained: Option<Maintained>,
}

/// What every machine of a simulation is.
pub(crate) fn agent_info(index: usize) -> AgentInfo {
    AgentInfo {
        hostname: format!("machine-{index}"),
        resources: parse_resources(
            "cpus:4;mem:4096;cpus{REV}:4;mem{REV}:4096;disk:10240;ports:[31000-31099]",
        )
        .unwrap(),
        attributes: parse_attributes(&format!("rack:r{}", index % 2)).unwrap(),
        ..AgentInfo::default()
    }
}

impl Cluster {
    /// Machines on which nothing runs, not even an agent; chance decides what becomes of tasks.
    pub(crate) fn new(sim: &Sim) -> Cluster {
        let of = sim.clone();
        Cluster::with(sim, move |_, info| fates::fate(&of, info))
    }

    /// As [`Cluster::new`], with `fate` to decide what becomes of the tasks of each machine.
    pub(crate) fn with(
        sim: &Sim,
        fate: impl Fn(usize, &TaskInfo) -> Fate + Clone + Send + Sync + 'static,
    ) -> Cluster {
        let machine = |index| Host {
            machine: Machine::new({
                let fate = fate.clone();
                move |info| fate(index, info)
            }),
            disk: Medium::memory(),
            agent: None,
            back_at: None,
            gone: false,
        };
        let hosts = (0..sim.profile().machines).map(machine).collect();
        let leading: Leading = Arc::new(Mutex::new(None));
        Cluster {
            sim: sim.clone(),
            hosts,
            leading,
            master: None,
            master_back_at: None,
            links_heal_at: None,
            maintained: None,
        }
    }

    pub(super) fn sim(&self) -> &Sim {
        &self.sim
    }

    pub(crate) fn machines(&self) -> Vec<Machine> {
        self.hosts.iter().map(|host| host.machine.clone()).collect()
    }

    /// The first machine and its disk, for a server that has master and agent within.
    pub(crate) fn first(&self) -> (Machine, Medium) {
        (self.hosts[0].machine.clone(), self.hosts[0].disk.clone())
    }

    /// Starts the master and all agents.
    pub(crate) async fn start(&mut self) {
        self.start_master().await;
        for index in 0..self.hosts.len() {
            self.start_agent(index).await;
        }
    }

    async fn start_master(&mut self) {
        let env = process(&self.sim, "master");
        let mut known: BTreeSet<AgentId> = BTreeSet::new();
        for host in self.hosts.iter().filter(|host| !host.gone) {
            let (_, state) = Journal::open(&env, host.disk.clone()).await.unwrap();
            known.extend(state.agent_id);
        }
        let master = master::start(&env, MasterConfig::default(), known);
        self.remember_maintenance(&master).await;
        self.master = Some(env);
        self.master_back_at = None;
        *self.leading.lock().unwrap() = Some(master);
        self.sim.log(format_args!("a master leads"));
    }

    async fn start_agent(&mut self, index: usize) {
        let Some(master) = self.leading.lock().unwrap().clone() else { return };
        let host = &mut self.hosts[index];
        host.back_at = None;
        host.agent = Some(start_agent(&self.sim, host, index, master).await);
        self.sim.log(format_args!("agent {index} starts"));
    }

    /// What has to happen by now happens: agents and masters come back.
    pub(crate) async fn tick(&mut self) {
        let now = Instant::now();
        if self.master_back_at.is_some_and(|at| at <= now) {
            self.start_master().await;
            // Agents look for the leading master anew.
            for host in self.hosts.iter_mut().filter(|host| host.agent.is_some()) {
                host.agent.take().iter().for_each(Env::crash);
                host.back_at = Some(now + self.sim.millis(10, 3_000));
            }
        }
        if self.links_heal_at.is_some_and(|at| at <= now) {
            self.heal_links().await;
        }
        self.go_on_with_maintenance().await;
        for index in 0..self.hosts.len() {
            if self.hosts[index].back_at.is_some_and(|at| at <= now) {
                self.start_agent(index).await;
            }
        }
    }

    /// The agent of a machine ends and comes back after `away`; the tasks run on.
    pub(super) fn cut_off(&mut self, index: usize, away: Duration) {
        let host = &mut self.hosts[index];
        host.agent.take().iter().for_each(Env::crash);
        host.back_at = Some(Instant::now() + away);
    }

    /// The network between the master and all machines is cut for longer than an App may wait for instances that it does not reach.
    fn cut_all_off(&mut self) {
        let away = self.sim.millis(76_000, 400_000);
        self.sim.strike(Fault::AllCutOff, format_args!("for {away:?}"));
        for index in 0..self.hosts.len() {
            if self.hosts[index].agent.is_some() {
                self.cut_off(index, away + self.sim.millis(0, 5_000));
            }
        }
    }

    /// The master, while one leads.
    pub(super) fn leader(&self) -> Option<MasterHandle> {
        self.leading.lock().unwrap().clone()
    }

    /// A random machine that has an agent now.
    pub(super) fn present(&self) -> Option<usize> {
        let present: Vec<usize> =
            (0..self.hosts.len()).filter(|index| self.hosts[*index].agent.is_some()).collect();
        self.sim.pick(&present).copied()
    }

    /// A task that runs on some machine.
    fn some_task(&self) -> Option<(usize, TaskId)> {
        let alive = |(index, host): (usize, &Host)| {
            host.machine.alive().into_iter().map(move |id| (index, id)).collect::<Vec<_>>()
        };
        let all: Vec<_> = self.hosts.iter().enumerate().flat_map(alive).collect();
        self.sim.pick(&all).cloned()
    }

    /// The master dies, and after `away` another one leads.
    pub(super) fn lose_master(&mut self, away: Duration) {
        self.master.take().iter().for_each(Env::crash);
        *self.leading.lock().unwrap() = None;
        self.master_back_at = Some(Instant::now() + away);
    }

    /// `fault` strikes, if there is something that it can strike.
    pub(crate) fn strike(&mut self, fault: Fault) {
        let sim = self.sim.clone();
        match fault {
            Fault::MasterFailover if self.master.is_some() => {
                let away = sim.millis(100, 30_000);
                sim.strike(fault, format_args!("for {away:?}"));
                self.lose_master(away);
            }
            Fault::AllCutOff => self.cut_all_off(),
            Fault::TaskKilledByHand => {
                let Some((index, id)) = self.some_task() else { return };
                sim.strike(fault, format_args!("{id} on {index}"));
                self.hosts[index].machine.fell(&id);
            }
            Fault::TaskVanishes => {
                let Some((index, id)) = self.some_task() else { return };
                sim.strike(fault, format_args!("{id} on {index}"));
                self.hosts[index].machine.lose(&id);
            }
            _ => {
                let Some(index) = self.present() else { return };
                self.strike_agent(fault, index);
            }
        }
    }

    /// Messages between the master and an agent are lost, late or repeated from now on, until the link breaks, as a connection
    /// that loses messages does.
    pub(crate) async fn disturb(&mut self, fault: Fault) {
        let Some(master) = self.leading.lock().unwrap().clone() else { return };
        let agents = master.agents().await;
        let Some(agent) = self.sim.pick(&agents) else { return };
        let few = || u32::try_from(self.sim.between(0, 4)).unwrap_or(1);
        let disturbance = match fault {
            Fault::LinkLoses => {
                Disturbance { lose_from_agent: few(), lose_to_agent: 1 + few(), ..Disturbance::default() }
            }
            Fault::LinkSlow => {
                Disturbance { delay_from_agent: self.sim.millis(10, 15_000), ..Disturbance::default() }
            }
            _ => Disturbance { repeat_from_agent: 1 + few(), ..Disturbance::default() },
        };
        let lasts = self.sim.millis(1_000, 40_000);
        self.sim.strike(fault, format_args!("{} for {lasts:?}: {disturbance:?}", agent.hostname));
        master.disturb_link(&agent.id, disturbance).await;
        self.links_heal_at = Some(Instant::now() + lasts);
    }

    async fn heal_links(&mut self) {
        self.links_heal_at = None;
        let Some(master) = self.leading.lock().unwrap().clone() else { return };
        self.sim.log(format_args!("the agents' links are made anew"));
        for agent in master.agents().await {
            master.cut_off_agent(&agent.id).await;
            master.restore_agent(&agent.id).await;
        }
    }

    fn strike_agent(&mut self, fault: Fault, index: usize) {
        let sim = self.sim.clone();
        match fault {
            Fault::AgentRestart => {
                let away = sim.millis(10, 5_000);
                sim.strike(fault, format_args!("{index} for {away:?}"));
                self.cut_off(index, away);
            }
            Fault::AgentCutOff => {
                let away = sim.millis(76_000, 240_000);
                sim.strike(fault, format_args!("{index} for {away:?}"));
                self.cut_off(index, away);
            }
            Fault::AgentReboot => {
                let away = sim.millis(1_000, 120_000);
                sim.strike(fault, format_args!("{index} for {away:?}"));
                self.cut_off(index, away);
                self.hosts[index].machine.lose_all();
            }
            Fault::AgentGone if self.hosts.iter().filter(|host| !host.gone).count() > 2 => {
                sim.strike(fault, format_args!("{index}"));
                self.lose(index);
            }
            _ => {}
        }
    }

    /// A machine is gone for good, with all that runs on it.
    pub(crate) fn lose(&mut self, index: usize) {
        self.cut_off(index, Duration::ZERO);
        let host = &mut self.hosts[index];
        host.machine.lose_all();
        (host.back_at, host.gone) = (None, true);
    }

    /// Whatever is away comes back soon, but for what is gone for good.
    pub(crate) fn heal(&mut self) {
        let soon = Instant::now() + Duration::from_secs(1);
        for at in [&mut self.master_back_at, &mut self.links_heal_at].into_iter().flatten() {
            *at = (*at).min(soon);
        }
        self.end_maintenance(soon);
        for host in &mut self.hosts {
            if let Some(at) = &mut host.back_at {
                *at = (*at).min(soon);
            }
        }
    }
}

/// Starts the agent of a machine, in a process of its own.
async fn start_agent(sim: &Sim, host: &Host, index: usize, master: MasterHandle) -> Env {
    let env = process(sim, "agent");
    let (sink, reported) = reports();
    let launcher = Arc::new(SimulatedLauncher::new(&env, host.machine.clone(), sink));
    let journal = Journal::open(&env, host.disk.clone()).await.unwrap();
    let config = AgentConfig::new(agent_info(index), address(index));
    let reported = gossip(sim, &env, reported);
    let agent = Agent::new(&env, config, journal, launcher, reported, master);
    env.spawn("agent", agent.run());
    env
}

/// Reports on their way from what runs a task to the agent: now and then one is late, or comes twice.
fn gossip(sim: &Sim, env: &Env, mut reported: Reports) -> Reports {
    let (sink, heard) = reports();
    let sim = sim.clone();
    env.spawn("reports", async move {
        while let Some(report) = reported.recv().await {
            let Some(status) = report.clone().into_status() else {
                sink.pass_on(report).await;
                continue;
            };
            if sim.strikes_in(Fault::ReportLate, 100) {
                let by = sim.millis(1, 10_000);
                sim.strike(Fault::ReportLate, format_args!("{} by {by:?}", status.task_id));
                tokio::time::sleep(by).await;
            }
            if sim.strikes_in(Fault::ReportRepeated, 100) {
                sim.strike(Fault::ReportRepeated, format_args!("{}", status.task_id));
                sink.report(status.clone()).await;
            }
            sink.report(status).await;
        }
    });
    heard
}
