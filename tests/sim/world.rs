//! The world of a scenario: what outlives servers (the store, the machines and their disks), the servers, and people.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tenure::api::{App, Endpoints, Task};
use tenure::controllers::{
    Census, Contact, Ends, Leader, Messages, Offers, Policy, Runner, borrowing, framework,
};
use tenure::env::Env;
use tenure::mesos::connection::Connection;
use tenure::mesos::embedded;
use tenure::mesos::embedded::agent::journal::{Journal, Medium};
use tenure::mesos::embedded::agent::{Agent, AgentConfig};
use tenure::mesos::embedded::launcher::reports;
use tenure::mesos::embedded::master::{self, MasterConfig, MasterHandle};
use tenure::mesos::embedded::resources::{parse_attributes, parse_resources};
use tenure::mesos::embedded::simulated::{Machine, SimulatedLauncher};
use tenure::mesos::wire::{AgentInfo, FrameworkInfo};
use tenure::registry::{Cache, Fence, Key, Prefix, Registry, Resource, Scheme, Snapshot, Write};
use tenure::runtime::{Election, Facts, LEADER_TTL};
use tenure::store::memory::MemoryStore;
use tenure::store::{Op, Store, Txn};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::apps::fate;
use crate::checks::{Checks, Reality, Terms};

/// The time in which everything that a scenario waits for has happened.
const PATIENCE: Duration = Duration::from_secs(900);

/// Everything that outlives servers.
pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) machines: Vec<(Machine, Medium)>,
    /// A person's view of the store.
    pub(crate) people: Arc<Registry>,
    checks: Arc<Mutex<Checks>>,
    seed: u64,
    lives: u64,
    origin: Instant,
    /// Keeps time for what is not a server.
    _elsewhere: Env,
}

/// One life of a server process.
pub(crate) struct Server {
    pub(crate) env: Env,
}

/// A cluster that servers reach over a network: its master and agents do not die with a server.
pub(crate) struct Cluster {
    pub(crate) master: MasterHandle,
    pub(crate) agents: Vec<Env>,
    _env: Env,
}

/// What servers subscribe as.
pub(crate) fn as_framework() -> FrameworkInfo {
    framework("demo", "root", &["tenure".to_owned()], "here")
}

fn prefix() -> Prefix {
    Prefix::new("demo")
}

impl World {
    /// A world of `machines` machines, in which nothing runs yet.
    pub(crate) async fn new(machines: usize, seed: u64) -> World {
        if std::env::var_os("TENURE_SIM_LOG").is_some() {
            let _set_by_another_test =
                tracing_subscriber::fmt().with_env_filter("debug").without_time().try_init();
        }
        let origin = Instant::now();
        let elsewhere = Env::simulated("elsewhere", seed, Timestamp::UNIX_EPOCH);
        let store = MemoryStore::new(&elsewhere);
        let machine = |index| (Machine::new(move |info| fate(index, info)), Medium::memory());
        let machines: Vec<_> = (0..machines).map(machine).collect();
        let reality = Reality(Arc::new(machines.iter().map(|(machine, _)| machine.clone()).collect()));
        let terms = Terms { reality: Some(reality), ..Terms::default() };
        let checks = Checks::of(&store, &prefix(), &terms);
        let cache = Cache::start(&elsewhere, store.clone(), &prefix());
        cache.listed().await;
        let people =
            Registry::new(&elsewhere, store.clone(), cache.clone(), &prefix(), Scheme::ours().unwrap());
        let world = World { store, machines, people, checks, seed, lives: 0, origin, _elsewhere: elsewhere };
        for namespace in ["default", "shop"] {
            let value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            world.write(Write::Create { value }).await;
        }
        world
    }

    /// A process that begins now.
    fn process(&mut self, name: &str) -> Env {
        self.lives += 1;
        let now = Timestamp::UNIX_EPOCH + self.origin.elapsed();
        Env::simulated(name, self.seed.wrapping_mul(1000) + self.lives, now)
    }

    /// Starts a server whose first machine's agent and whose master are part of it, as on one machine.
    pub(crate) async fn start(&mut self) -> Server {
        let env = self.process("server");
        self.start_on(env).await
    }

    /// As [`World::start`], in a process that was made before.
    pub(crate) async fn start_on(&mut self, env: Env) -> Server {
        let (machine, disk) = self.machines[0].clone();
        let (sink, reports) = reports();
        let launcher = Arc::new(SimulatedLauncher::new(&env, machine, sink));
        let agent = AgentConfig::new(agent_info(0), "10.0.0.1");
        let started = embedded::start(&env, MasterConfig::default(), agent, disk, launcher, reports).await;
        let master = started.unwrap();
        self.lead(&env, master);
        Server { env }
    }

    /// A server process that is to be started; it may be told to crash before.
    pub(crate) fn server_process(&mut self) -> Env {
        self.process("server")
    }

    /// Starts the master and one agent per machine, apart from any server.
    pub(crate) async fn start_cluster(&mut self) -> Cluster {
        let env = self.process("master");
        let master = master::start(&env, MasterConfig::default(), std::collections::BTreeSet::new());
        let mut agents = Vec::new();
        for index in 0..self.machines.len() {
            agents.push(self.start_agent(index, &master).await);
        }
        Cluster { master, agents, _env: env }
    }

    /// Starts the agent of a machine.
    pub(crate) async fn start_agent(&mut self, index: usize, master: &MasterHandle) -> Env {
        let env = self.process("agent");
        let (machine, disk) = self.machines[index].clone();
        let (sink, reports) = reports();
        let launcher = Arc::new(SimulatedLauncher::new(&env, machine, sink));
        let journal = Journal::open(&env, disk).await.unwrap();
        let config = AgentConfig::new(agent_info(index), format!("10.0.0.{}", index + 1));
        let agent = Agent::new(&env, config, journal, launcher, reports, master.clone());
        env.spawn("agent", agent.run());
        env
    }

    /// Starts a server that reaches `cluster` over a network.
    pub(crate) fn start_replica(&mut self, cluster: &Cluster) -> Server {
        let env = self.process("replica");
        self.lead(&env, cluster.master.clone());
        Server { env }
    }

    fn lead(&self, env: &Env, master: MasterHandle) {
        self.lead_over(env, Arc::new(master));
    }

    /// Stands for leadership in the process `env`, over this connection.
    pub(crate) fn lead_over(&self, env: &Env, connection: Arc<dyn Connection>) {
        self.lead_as(env, connection, Policy::sole());
    }

    /// Starts a server that reaches a cluster over this connection and shares it with others.
    pub(crate) fn start_sharing(&mut self, connection: Arc<dyn Connection>) -> Server {
        let env = self.process("replica");
        self.lead_as(&env, connection, Policy::shared(Runner::Embedded));
        Server { env }
    }

    /// As [`World::start_sharing`], in these roles.
    pub(crate) fn start_in_roles(&mut self, connection: Arc<dyn Connection>, roles: &[&str]) -> Server {
        let env = self.process("replica");
        let roles: Vec<String> = roles.iter().map(ToString::to_string).collect();
        let framework = framework("demo", "root", &roles, "here");
        self.lead_with(&env, connection, Policy::shared(Runner::Embedded), framework);
        Server { env }
    }

    /// As [`World::start_sharing`], taking what is lent, too.
    pub(crate) fn start_borrowing(&mut self, connection: Arc<dyn Connection>) -> Server {
        let env = self.process("replica");
        self.lead_with(&env, connection, Policy::shared(Runner::Embedded), borrowing(as_framework()));
        Server { env }
    }

    fn lead_as(&self, env: &Env, connection: Arc<dyn Connection>, policy: Policy) {
        self.lead_with(env, connection, policy, as_framework());
    }

    fn lead_with(
        &self,
        env: &Env,
        connection: Arc<dyn Connection>,
        policy: Policy,
        framework: FrameworkInfo,
    ) {
        let (store, prefix) = (self.store.clone(), prefix());
        let cache = Cache::start(env, store.clone(), &prefix);
        let registry = Registry::new(env, store.clone(), cache, &prefix, Scheme::ours().unwrap());
        let leader = Leader {
            env: env.clone(),
            registry,
            facts: Facts::new(store.clone(), &prefix.meta("")),
            connection,
            framework,
            installation: Arc::from("installation-uid"),
            host: Arc::from("here"),
            policy,
            contact: Contact::default(),
            ends: Ends::default(),
            census: Census::default(),
            offers: Offers::default(),
            messages: Messages::default(),
            anew: None,
        };
        let election = Election {
            env: env.clone(),
            store,
            key: prefix.leader(),
            holder: env.name().to_owned(),
            door: serde_json::Value::Null,
            ttl: LEADER_TTL,
            rivals: true,
        };
        env.spawn("leader", async move {
            let end = leader.run(&election, CancellationToken::new()).await;
            panic!("leading ended: {end:?}");
        });
    }

    /// Everything as people see it now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.people.cache().snapshot()
    }

    /// A person's write.
    pub(crate) async fn write(&self, write: Write) {
        self.people.commit(&Fence::none(), vec![write]).await.unwrap();
        self.people.cache().most_recent().await.unwrap();
    }

    /// A person creates an object.
    pub(crate) async fn create(&self, value: Value) {
        self.write(Write::Create { value }).await;
    }

    /// A person changes an App, as often as it takes.
    pub(crate) async fn edit(&self, app: &str, patch: Value) {
        loop {
            let base = self.people.cache().most_recent().await.unwrap().get(&app_key(app)).cloned().unwrap();
            let write = Write::Merge { base, patch: patch.clone() };
            if self.people.commit(&Fence::none(), vec![write]).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.people.cache().most_recent().await.unwrap();
    }

    /// A person deletes an App.
    pub(crate) async fn delete(&self, app: &str) {
        self.edit(app, json!({"metadata": {"deletionTimestamp": "now"}})).await;
    }

    /// Somebody changes a Task, wherever it stands now.
    pub(crate) async fn change_task(&self, task: &Task, patch: Value) {
        let name = task.metadata.name.as_deref().unwrap();
        let key = Key::new(&Resource::new("tenure.dev", "tasks"), "shop", name);
        let base = self.people.cache().most_recent().await.unwrap().get(&key).cloned().unwrap();
        self.write(Write::Merge { base, patch }).await;
    }

    /// Somebody removes a Task's document by hand.
    pub(crate) async fn forget(&self, task: &Task) {
        let name = task.metadata.name.as_deref().unwrap();
        let key = Key::new(&Resource::new("tenure.dev", "tasks"), "shop", name);
        let txn = Txn { guards: vec![], ops: vec![Op::Delete { key: key.store_key(&prefix()) }] };
        self.checks.lock().unwrap().excuse_next();
        self.store.txn(txn).await.unwrap();
        self.people.cache().most_recent().await.unwrap();
    }

    /// The revision of the present leader's term.
    pub(crate) async fn leader(&self) -> Option<u64> {
        self.store.get(&prefix().leader()).await.unwrap().map(|record| record.created)
    }

    /// Somebody removes the leader's key by hand: the term is over, though its leader does not know it yet.
    pub(crate) async fn take_leadership_away(&self) {
        let txn = Txn { guards: vec![], ops: vec![Op::Delete { key: prefix().leader() }] };
        self.store.txn(txn).await.unwrap();
    }

    /// The App, as it is now.
    pub(crate) fn app(&self, name: &str) -> Option<Arc<App>> {
        self.snapshot().get(&app_key(name)).map(|doc| doc.typed().unwrap())
    }

    /// The Tasks of an App.
    pub(crate) fn tasks(&self, app: &str) -> Vec<Arc<Task>> {
        let all = tasks(&self.snapshot());
        all.into_iter().filter(|task| task.spec.app == app).collect()
    }

    /// The Tasks of an App that have not ended and are not told to.
    pub(crate) fn live(&self, app: &str) -> Vec<Arc<Task>> {
        let tasks = self.tasks(app);
        tasks.into_iter().filter(|task| !task.is_terminal() && task.spec.stop.is_none()).collect()
    }

    /// The addresses that an App publishes as ready, `task` names.
    pub(crate) fn published(&self, app: &str) -> Vec<String> {
        let snapshot = self.snapshot();
        let docs = snapshot.list(&Resource::new("tenure.dev", "endpoints"), Some("shop"));
        let endpoints = docs.map(|doc| doc.typed::<Endpoints>().unwrap());
        let of_app = endpoints.filter(|it| it.spec.app == app);
        of_app.flat_map(|it| it.spec.ready.iter().map(|it| it.task.clone()).collect::<Vec<_>>()).collect()
    }

    /// Whether the App's condition is as wanted and speaks of the present spec.
    pub(crate) fn is(&self, app: &str, condition: &str) -> bool {
        self.app(app).is_some_and(|app| {
            let status = app.status.clone().unwrap_or_default();
            let current = status.observed_generation == app.metadata.generation;
            current && status.conditions.iter().any(|it| it.type_ == condition && it.status == "True")
        })
    }

    /// What the App's condition says, while it is true.
    pub(crate) fn condition(&self, app: &str, condition: &str) -> Option<String> {
        let status = self.app(app)?.status.clone()?;
        let found = status.conditions.into_iter().find(|it| it.type_ == condition && it.status == "True");
        found.map(|it| it.message)
    }

    /// Waits until `reached` holds.
    pub(crate) async fn until(&self, what: &str, reached: impl Fn(&World) -> bool) {
        let mut revisions = self.people.cache().revisions();
        let begun = Instant::now();
        while !reached(self) {
            let changed = tokio::time::timeout(Duration::from_secs(5), revisions.changed()).await;
            let _either = changed;
            assert!(begun.elapsed() < PATIENCE, "not reached: {what}\n{}", self.describe());
        }
        self.checks.lock().unwrap().assert();
    }

    /// Waits until the App is ready at its present spec, with everything else gone.
    pub(crate) async fn until_ready(&self, app: &str) {
        self.until(&format!("{app} is ready"), |world| {
            let wanted = world.app(app).map(|it| it.spec.instances as usize);
            world.is(app, "Ready")
                && wanted == Some(world.live(app).len())
                && wanted == Some(world.published(app).len())
                && world.tasks(app).iter().filter(|it| !it.is_terminal()).count() == world.live(app).len()
        })
        .await;
    }

    /// What runs on the machines is what the store owns, and each task was started once.
    pub(crate) fn assert_owned(&self) {
        let bound: Vec<String> = tasks(&self.snapshot())
            .iter()
            .filter(|task| !task.is_terminal())
            .filter_map(|task| Some(task.spec.binding.as_ref()?.mesos_task_id.clone()))
            .collect();
        for (machine, _) in &self.machines {
            for alive in machine.alive() {
                assert!(bound.contains(&alive.value), "{alive} runs without an owner\n{}", self.describe());
            }
            let mut started: Vec<_> = machine.started();
            let all = started.len();
            started.sort();
            started.dedup();
            assert_eq!(all, started.len(), "a task was started twice: {:?}", machine.started());
        }
        self.checks.lock().unwrap().assert();
    }

    /// Once converged nothing is written: the store stays at its revision.
    pub(crate) async fn assert_quiet(&self) {
        // What was still under way (a Waiting condition, a first reconciliation) has a while to end.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let before = self.snapshot().revision;
        tokio::time::sleep(Duration::from_secs(120)).await;
        let after = self.people.cache().most_recent().await.unwrap().revision;
        assert_eq!(before, after, "something is written although nothing happens\n{}", self.describe());
    }

    /// Apps and Tasks, for a failing test.
    pub(crate) fn describe(&self) -> String {
        let snapshot = self.snapshot();
        let mut text = format!("at {:?}, revision {}\n", self.origin.elapsed(), snapshot.revision);
        for doc in snapshot.list(&Resource::new("tenure.dev", "apps"), None) {
            let app = doc.typed::<App>().unwrap();
            text += &format!("{}: {}\n", doc.key(), serde_json::to_string(&app.status).unwrap());
        }
        for task in tasks(&snapshot) {
            let (spec, status) = (&task.spec, task.status.clone().unwrap_or_default());
            text += &format!(
                "  {} slot {} {:?} {:?} bound {} stop {:?} deleting {} published {}: {:?}\n",
                task.metadata.name.as_deref().unwrap_or_default(),
                spec.slot,
                task.phase(),
                status.state,
                spec.binding.is_some(),
                spec.stop.as_ref().map(|it| &it.reason),
                task.metadata.deletion_timestamp.is_some(),
                self.published(&spec.app).contains(task.metadata.name.as_ref().unwrap()),
                status.message,
            );
        }
        for (machine, _) in &self.machines {
            text +=
                &format!("  alive: {:?}\n", machine.alive().iter().map(|it| &it.value).collect::<Vec<_>>());
        }
        text
    }
}

fn app_key(name: &str) -> Key {
    Key::new(&Resource::new("tenure.dev", "apps"), "shop", name)
}

fn tasks(snapshot: &Snapshot) -> Vec<Arc<Task>> {
    let docs = snapshot.list(&Resource::new("tenure.dev", "tasks"), None);
    docs.map(|doc| doc.typed::<Task>().unwrap()).collect()
}

fn agent_info(index: usize) -> AgentInfo {
    AgentInfo {
        hostname: format!("machine-{index}"),
        resources: parse_resources(
            "cpus:4;mem:4096;cpus{REV}:2;mem{REV}:1024;disk:10240;ports:[31000-31099]",
        )
        .unwrap(),
        attributes: parse_attributes(&format!("rack:r{index}")).unwrap(),
        ..AgentInfo::default()
    }
}
