//! The embedded master and agent as a framework sees them, on a paused clock.

mod executors;
mod faults;
mod journal;
mod lives;
mod offers;
mod overcommitment;
mod sharing;
mod tasks;
mod watching;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::env::Env;
use crate::mesos::connection::{Connection, ConnectionError, Subscription};
use crate::mesos::embedded::agent::journal::{Journal, Medium};
use crate::mesos::embedded::agent::{Agent, AgentConfig};
use crate::mesos::embedded::launcher::reports;
use crate::mesos::embedded::master::{MasterConfig, MasterHandle};
use crate::mesos::embedded::resources::{parse_attributes, parse_resources};
use crate::mesos::embedded::simulated::{Fate, Machine, SimulatedLauncher};
use crate::mesos::wire::scheduler::{
    Accept, Acknowledge, Call, Decline, Event, Kill, Reconcile, ReconcileTask, Roles, Subscribe,
};
use crate::mesos::wire::{
    AgentId, AgentInfo, CallType, Capability, CommandInfo, EventType, Filters, FrameworkId, FrameworkInfo,
    Offer, OfferId, Operation, Reason, Source, TaskId, TaskInfo, TaskState, TaskStatus,
};

/// What outlives a server: the machine with its tasks, and the disk.
struct World {
    machine: Machine,
    disk: Medium,
    lives: u64,
    config: MasterConfig,
}

/// One life of the server.
struct Server {
    env: Env,
    master: MasterHandle,
}

impl World {
    fn new(machine: Machine) -> World {
        World { machine, disk: Medium::memory(), lives: 0, config: MasterConfig::default() }
    }

    async fn start(&mut self) -> Server {
        self.lives += 1;
        let env = Env::simulated("server", self.lives, Timestamp::UNIX_EPOCH);
        let (sink, reports) = reports();
        let launcher = Arc::new(SimulatedLauncher::new(&env, self.machine.clone(), sink));
        let master = crate::mesos::embedded::start(
            &env,
            self.config.clone(),
            agent_config(),
            self.disk.clone(),
            launcher,
            reports,
        );
        let master = master.await.unwrap();
        Server { env, master }
    }
}

fn agent_config() -> AgentConfig {
    let info = AgentInfo {
        hostname: "here".to_owned(),
        resources: parse_resources("cpus:4;mem:4096;disk:10240;ports:[31000-31099]").unwrap(),
        attributes: parse_attributes("rack:r1").unwrap(),
        ..AgentInfo::default()
    };
    AgentConfig::new(info, "10.0.0.1")
}

/// A framework that does nothing by itself.
struct Framework {
    id: FrameworkId,
    master: String,
    subscription: Subscription,
    /// Offers that came while something else was awaited.
    passed_over: Vec<Offer>,
}

fn framework_info(id: Option<&FrameworkId>) -> FrameworkInfo {
    let capabilities = [Capability::PartitionAware, Capability::MultiRole, Capability::TaskKillingState];
    FrameworkInfo {
        user: "root".to_owned(),
        name: "test".to_owned(),
        id: id.cloned(),
        failover_timeout: Some(600.0),
        checkpoint: Some(true),
        roles: vec!["web".to_owned()],
        capabilities: capabilities.map(Into::into).into(),
        ..FrameworkInfo::default()
    }
}

impl Framework {
    async fn subscribe(server: &Server, id: Option<&FrameworkId>) -> Framework {
        Framework::subscribe_as(server, framework_info(id)).await
    }

    async fn subscribe_as(server: &Server, framework_info: FrameworkInfo) -> Framework {
        let subscribe = Subscribe { framework_info, ..Subscribe::default() };
        let mut subscription = server.master.subscribe(Call::subscribe(subscribe), &|| true).await.unwrap();
        let first = subscription.events.next().await.unwrap().unwrap();
        let subscribed = first.subscribed.unwrap_or_else(|| panic!("refused: {:?}", first.error));
        let master = subscribed.master_info.unwrap().id;
        Framework { id: subscribed.framework_id, master, subscription, passed_over: Vec::new() }
    }

    /// The next event that is no heartbeat. None for half a day is a failure.
    async fn next(&mut self) -> Option<Event> {
        for _ in 0..3000 {
            let event = self.subscription.events.next().await?.unwrap();
            if event.r#type() != EventType::Heartbeat {
                return Some(event);
            }
        }
        panic!("only heartbeats come");
    }

    /// Whether nothing but heartbeats comes for so long.
    async fn hears_nothing_for(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.next()).await.is_err()
    }

    /// The offers that were passed over, or else the next ones.
    async fn offers(&mut self) -> Vec<Offer> {
        if !self.passed_over.is_empty() {
            return std::mem::take(&mut self.passed_over);
        }
        loop {
            let event = self.next().await.unwrap();
            match event.r#type() {
                EventType::Offers => return event.offers.unwrap().offers,
                EventType::Update => {}
                other => panic!("offers expected: {other:?}"),
            }
        }
    }

    async fn status(&mut self) -> TaskStatus {
        loop {
            let event = self.next().await.unwrap();
            match event.r#type() {
                EventType::Update => return event.update.unwrap().status,
                EventType::Offers => self.passed_over.extend(event.offers.unwrap().offers),
                EventType::Rescind => {
                    let gone = event.rescind.unwrap().offer_id;
                    self.passed_over.retain(|offer| offer.id != gone);
                }
                // A machine may say again how it is.
                EventType::Message => {}
                other => panic!("update expected: {other:?}"),
            }
        }
    }

    async fn try_call(&mut self, call: Call) -> Result<(), ConnectionError> {
        self.subscription.calls.send(&Call { framework_id: Some(self.id.clone()), ..call }).await
    }

    async fn call(&mut self, call: Call) {
        self.try_call(call).await.unwrap();
    }

    async fn accept(&mut self, offers: &[Offer], tasks: Vec<TaskInfo>) {
        let offer_ids = offers.iter().map(|offer| offer.id.clone()).collect();
        let operations = vec![Operation::launch(tasks)];
        let filters = Some(Filters { refuse_seconds: Some(0.0) });
        self.call(Call { accept: Some(Accept { offer_ids, operations, filters }), ..of(CallType::Accept) })
            .await;
    }

    async fn decline(&mut self, offer: &OfferId, refuse_seconds: f64) {
        let filters = Some(Filters { refuse_seconds: Some(refuse_seconds) });
        let decline = Decline { offer_ids: vec![offer.clone()], filters };
        self.call(Call { decline: Some(decline), ..of(CallType::Decline) }).await;
    }

    async fn acknowledge(&mut self, status: &TaskStatus) {
        let acknowledge = Acknowledge {
            agent_id: status.agent_id.clone().unwrap(),
            task_id: status.task_id.clone(),
            uuid: status.uuid.clone().unwrap(),
        };
        self.call(Call { acknowledge: Some(acknowledge), ..of(CallType::Acknowledge) }).await;
    }

    async fn kill(&mut self, task_id: &str, agent_id: Option<&AgentId>) {
        let kill = Kill { task_id: TaskId::new(task_id), agent_id: agent_id.cloned(), kill_policy: None };
        self.call(Call { kill: Some(kill), ..of(CallType::Kill) }).await;
    }

    async fn reconcile(&mut self, tasks: &[(&str, Option<&AgentId>)]) {
        let task = |(task_id, agent_id): &(&str, Option<&AgentId>)| ReconcileTask {
            task_id: TaskId::new(*task_id),
            agent_id: agent_id.cloned(),
        };
        let reconcile = Reconcile { tasks: tasks.iter().map(task).collect() };
        self.call(Call { reconcile: Some(reconcile), ..of(CallType::Reconcile) }).await;
    }

    /// Launches a task on a fresh offer and acknowledges it up to RUNNING.
    async fn run(&mut self, id: &str) -> TaskStatus {
        let offers = self.offers().await;
        self.accept(&offers, vec![task(id, &offers[0], "cpus:1;mem:100")]).await;
        loop {
            let status = self.status().await;
            self.acknowledge(&status).await;
            if status.state() == TaskState::Running {
                return status;
            }
        }
    }
}

fn of(r#type: CallType) -> Call {
    Call { r#type: r#type.wire(), ..Call::default() }
}

fn task(id: &str, offer: &Offer, resources: &str) -> TaskInfo {
    TaskInfo {
        name: id.to_owned(),
        task_id: TaskId::new(id),
        agent_id: offer.agent_id.clone(),
        resources: parse_resources(resources).unwrap(),
        command: Some(CommandInfo { value: Some("run".to_owned()), ..CommandInfo::default() }),
        ..TaskInfo::default()
    }
}

fn cpus(offer: &Offer) -> f64 {
    offer.resources.iter().find(|r| r.name == "cpus").and_then(|r| r.scalar).map_or(0.0, |s| s.value)
}

fn brief(status: &TaskStatus) -> (TaskState, Source, Reason, bool) {
    (status.state(), status.source(), status.reason(), status.uuid.is_some())
}
