//! The embedded cluster of a replay: a master, and agents whose tasks follow the recording.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tenure::env::Env;
use tenure::mesos::embedded::agent::journal::{Journal, Medium};
use tenure::mesos::embedded::agent::{Agent, AgentConfig};
use tenure::mesos::embedded::launcher::reports;
use tenure::mesos::embedded::master::{
    self, Disturbance, MachineId, MasterConfig, MasterHandle, OperatorError, Window,
};
use tenure::mesos::embedded::resources::{parse_attributes, parse_resources};
use tenure::mesos::wire::{AgentId, AgentInfo, FrameworkId, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::executor::{Machine, Script, ScriptedLauncher};
use super::recording::Flags;

/// Agents of the recordings need seconds to find a new master; nothing in them depends on how many.
const AGENT_RETRY: Duration = Duration::from_secs(3);

/// The time that agents of the recordings need from their start to their registration, without tasks.
const AGENT_START: Duration = Duration::from_millis(1000);

/// How much longer than configured an allocation interval of the recordings is.
const LATE: Duration = Duration::from_micros(1500);

/// Agents are some milliseconds away.
pub(crate) const AGENT_DELAY: Duration = Duration::from_millis(4);

pub(crate) struct Cluster {
    env: Env,
    pub(crate) master: MasterHandle,
    ip: String,
    script: Arc<Script>,
    begun: Instant,
    epoch: Timestamp,
    agents: BTreeMap<u64, AgentHost>,
    lives: u64,
}

/// A machine with its disk, and the agent that runs on it now.
struct AgentHost {
    machine: Machine,
    disk: Medium,
    process: Option<(Env, CancellationToken)>,
}

impl Cluster {
    /// A master that leads, in a world that began at `begun` (then it was `epoch`).
    pub(crate) fn start(
        script: Script,
        (begun, epoch): (Instant, Timestamp),
        ip: &str,
        flags: &Flags,
        is_watched: bool,
    ) -> Cluster {
        let env = Env::simulated("master", 1, epoch + begun.elapsed());
        let stock = MasterConfig::default();
        let ping = flags
            .duration("agent_ping_timeout")
            .map(|ping| ping * flags.get("max_agent_ping_timeouts").unwrap_or("5").parse::<u32>().unwrap());
        let config = MasterConfig {
            allocation_interval: LATE
                + flags.duration("allocation_interval").unwrap_or(stock.allocation_interval),
            agent_ping_timeout: ping.unwrap_or(stock.agent_ping_timeout),
            agent_reregister_timeout: flags
                .duration("agent_reregister_timeout")
                .unwrap_or(stock.agent_reregister_timeout),
            history: is_watched,
            offer_timeout: flags.duration("offer_timeout"),
            ..stock
        };
        let master = master::start(&env, config, BTreeSet::new());
        Cluster {
            master,
            env,
            ip: ip.to_owned(),
            script: Arc::new(script),
            begun,
            epoch,
            agents: BTreeMap::new(),
            lives: 1,
        }
    }

    /// How long the agent needs to start. With tasks it waits for all that their executors may take to be back.
    pub(crate) fn time_to_start(&self, number: u64, flags: &Flags) -> Duration {
        let busy = self.agents.get(&number).is_some_and(|host| host.machine.is_busy());
        let wait = flags.duration("executor_reregistration_timeout").unwrap_or(Duration::from_secs(2));
        if busy { wait + AGENT_START * 9 / 10 } else { AGENT_START }
    }

    pub(crate) async fn start_agent(&mut self, number: u64, flags: &Flags) {
        self.lives += 1;
        let env = Env::simulated("agent", self.lives, self.epoch + self.begun.elapsed());
        let host = self.agents.entry(number).or_insert_with(|| AgentHost {
            machine: Machine::new(self.script.clone(), self.begun),
            disk: Medium::memory(),
            process: None,
        });
        let info = AgentInfo {
            hostname: format!("agent{number}"),
            port: Some(5050 + i32::try_from(number).unwrap()),
            resources: parse_resources(flags.get("resources").unwrap()).unwrap(),
            attributes: parse_attributes(flags.get("attributes").unwrap_or_default()).unwrap(),
            ..AgentInfo::default()
        };
        let leave = CancellationToken::new();
        let config = AgentConfig {
            retry: AGENT_RETRY,
            leave: leave.clone(),
            ..AgentConfig::new(info, self.ip.clone())
        };
        let (sink, reports) = reports();
        let launcher = Arc::new(ScriptedLauncher::new(&env, host.machine.clone(), sink));
        let journal = Journal::open(&env, host.disk.clone()).await.unwrap();
        let agent = Agent::new(&env, config, journal, launcher, reports, self.master.clone());
        env.spawn("agent", agent.run());
        host.process = Some((env, leave));
        self.slow_down(number).await;
    }

    /// Puts an agent that has registered at a distance.
    async fn slow_down(&self, number: u64) {
        tokio::time::sleep(Duration::from_millis(1)).await;
        if let Some(agent) = self.agent_id(&format!("agent{number}")).await {
            let disturbance = Disturbance { delay_from_agent: AGENT_DELAY, ..Disturbance::default() };
            self.master.disturb_link(&agent, disturbance).await;
        }
    }

    /// SIGUSR1 makes an agent leave; any other signal kills it.
    pub(crate) fn kill_agent(&mut self, number: u64, signal: &str) {
        let Some((env, leave)) = self.agents.get_mut(&number).and_then(|host| host.process.take()) else {
            return;
        };
        if signal == "SIGUSR1" { leave.cancel() } else { env.crash() }
    }

    pub(crate) async fn agent_id(&self, host: &str) -> Option<AgentId> {
        self.master.agents().await.into_iter().find(|agent| agent.hostname == host).map(|agent| agent.id)
    }

    /// What an operator asks for, with ids of today. Nothing for what changes nothing, or is not built.
    pub(crate) async fn operate(&self, call: &Value) -> Option<Result<(), OperatorError>> {
        let agent = |field: &str| AgentId::new(call[field]["agent_id"]["value"].as_str().unwrap_or_default());
        let master = &self.master;
        let done = match call["type"].as_str()? {
            // Refused by the reader of JSON.
            "DRAIN_AGENT" if call["drain_agent"]["max_grace_period"].is_string() => return None,
            "DRAIN_AGENT" => {
                let drain = &call["drain_agent"];
                let grace = drain["max_grace_period"]["seconds"].as_u64().map(Duration::from_secs);
                master.drain_agent(&agent("drain_agent"), grace, drain["mark_gone"] == true).await
            }
            "DEACTIVATE_AGENT" => master.deactivate_agent(&agent("deactivate_agent")).await,
            "REACTIVATE_AGENT" => master.reactivate_agent(&agent("reactivate_agent")).await,
            "MARK_AGENT_GONE" => master.mark_agent_gone(&agent("mark_agent_gone")).await,
            "TEARDOWN" => {
                let framework = call["teardown"]["framework_id"]["value"].as_str().unwrap_or_default();
                master.teardown(&FrameworkId::new(framework)).await
            }
            "UPDATE_MAINTENANCE_SCHEDULE" => {
                let windows = &call["update_maintenance_schedule"]["schedule"]["windows"];
                master.update_maintenance_schedule(each(windows, window)).await
            }
            "START_MAINTENANCE" => {
                master.start_maintenance(each(&call["start_maintenance"]["machines"], machine)).await
            }
            "STOP_MAINTENANCE" => {
                master.stop_maintenance(each(&call["stop_maintenance"]["machines"], machine)).await
            }
            "UPDATE_WEIGHTS" => {
                let infos = call["update_weights"]["weight_infos"].as_array().into_iter().flatten();
                let weight = |it: &Value| Some((it["role"].as_str()?.to_owned(), it["weight"].as_f64()?));
                master.update_weights(infos.filter_map(weight).collect()).await
            }
            // Quotas are not built, but Mesos takes all offers back when they change.
            "UPDATE_QUOTA" => {
                master.rescind_offers(None).await;
                Ok(())
            }
            _ => return None,
        };
        Some(done)
    }

    pub(crate) fn crash(&self) {
        self.env.crash();
        for host in self.agents.values() {
            if let Some((env, _)) = &host.process {
                env.crash();
            }
        }
    }
}

fn each<T>(list: &Value, read: impl Fn(&Value) -> T) -> Vec<T> {
    list.as_array().into_iter().flatten().map(read).collect()
}

fn window(tree: &Value) -> Window {
    Window {
        machines: each(&tree["machine_ids"], machine),
        unavailability: json::from_value(tree["unavailability"].clone()).unwrap(),
    }
}

fn machine(tree: &Value) -> MachineId {
    let text = |field: &str| tree[field].as_str().unwrap_or_default().to_owned();
    MachineId { hostname: text("hostname"), ip: text("ip") }
}
