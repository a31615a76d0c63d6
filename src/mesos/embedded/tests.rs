//! The embedded master and agent as a framework sees them, on a paused clock.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use tokio::time::Instant;

use super::agent::AgentConfig;
use super::agent::journal::Medium;
use super::launcher::reports;
use super::master::{MasterConfig, MasterHandle};
use super::resources::{parse_attributes, parse_resources};
use super::simulated::{Fate, Machine, SimulatedLauncher};
use crate::env::Env;
use crate::mesos::connection::{Connection, ConnectionError, Subscription};
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
}

/// One life of the server.
struct Server {
    env: Env,
    master: MasterHandle,
}

impl World {
    fn new(machine: Machine) -> World {
        World { machine, disk: Medium::memory(), lives: 0 }
    }

    async fn start(&mut self) -> Server {
        self.lives += 1;
        let env = Env::simulated("server", self.lives, Timestamp::UNIX_EPOCH);
        let (sink, reports) = reports();
        let launcher = Arc::new(SimulatedLauncher::new(&env, self.machine.clone(), sink));
        let info = AgentInfo {
            hostname: "here".to_owned(),
            resources: parse_resources("cpus:4;mem:4096;disk:10240;ports:[31000-31099]").unwrap(),
            attributes: parse_attributes("rack:r1").unwrap(),
            ..AgentInfo::default()
        };
        let agent = AgentConfig::new(info, "10.0.0.1");
        let master = super::start(&env, MasterConfig::default(), agent, self.disk.clone(), launcher, reports);
        let master = master.await.unwrap();
        Server { env, master }
    }
}

/// A framework that does nothing by itself.
struct Framework {
    id: FrameworkId,
    master: String,
    subscription: Subscription,
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
        let subscribe = Subscribe { framework_info: framework_info(id), ..Subscribe::default() };
        let mut subscription = server.master.subscribe(Call::subscribe(subscribe)).await.unwrap();
        let first = subscription.events.next().await.unwrap().unwrap();
        let subscribed = first.subscribed.unwrap_or_else(|| panic!("refused: {:?}", first.error));
        let master = subscribed.master_info.unwrap().id;
        Framework { id: subscribed.framework_id, master, subscription }
    }

    /// The next event that is no heartbeat.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.subscription.events.next().await?.unwrap();
            if event.r#type() != EventType::Heartbeat {
                return Some(event);
            }
        }
    }

    /// Whether nothing but heartbeats comes for so long.
    async fn hears_nothing_for(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.next()).await.is_err()
    }

    async fn offers(&mut self) -> Vec<Offer> {
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
                EventType::Offers | EventType::Rescind => {}
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

#[tokio::test(start_paused = true)]
async fn a_task_is_offered_for_launched_and_reported() {
    let mut world = World::new(Machine::reliable());
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    assert_eq!(framework.id.value, format!("{}-0000", framework.master));

    let offers = framework.offers().await;
    assert_eq!((offers.len(), cpus(&offers[0]), offers[0].hostname.as_str()), (1, 4.0, "here"));
    assert_eq!(offers[0].agent_ip(), Some("10.0.0.1"));
    framework.accept(&offers, vec![task("t", &offers[0], "cpus:1.5;mem:96;ports:[31000-31001]")]).await;

    let starting = framework.status().await;
    assert_eq!(brief(&starting), (TaskState::Starting, Source::Executor, Reason::Unrecognised, true));
    assert_eq!(starting.container_status.as_ref().unwrap().ip(), Some("10.0.0.1"));
    framework.acknowledge(&starting).await;
    let running = framework.status().await;
    assert_eq!(running.state(), TaskState::Running);
    framework.acknowledge(&running).await;
    assert_eq!(world.machine.alive(), [TaskId::new("t")].into());
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_an_offer_comes_back_at_the_next_tick() {
    let mut world = World::new(Machine::reliable());
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let offers = framework.offers().await;
    framework.accept(&offers, vec![task("t", &offers[0], "cpus:1.5;ports:[31000-31001]")]).await;
    let rest = framework.offers().await;
    assert_eq!(cpus(&rest[0]), 2.5);
    let ports = rest[0].resources.iter().find(|r| r.name == "ports").unwrap().ranges.clone().unwrap();
    assert_eq!((ports.range.len(), ports.range[0].begin), (1, 31002));
}

#[tokio::test(start_paused = true)]
async fn a_refused_offer_comes_again_when_the_filter_is_over_or_revived() {
    let mut world = World::new(Machine::reliable());
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;

    let offer = framework.offers().await.remove(0).id;
    let declined = Instant::now();
    framework.decline(&offer, 30.0).await;
    let offer = framework.offers().await.remove(0).id;
    assert!(declined.elapsed() >= Duration::from_secs(30), "{:?}", declined.elapsed());

    framework.decline(&offer, 3600.0).await;
    assert!(framework.hears_nothing_for(Duration::from_secs(3000)).await);
    framework.call(Call { revive: Some(Roles::default()), ..of(CallType::Revive) }).await;
    let offer = framework.offers().await.remove(0).id;

    framework.call(Call { suppress: Some(Roles::default()), ..of(CallType::Suppress) }).await;
    framework.decline(&offer, 0.0).await;
    assert!(framework.hears_nothing_for(Duration::from_secs(3000)).await, "suppressed");
    let foreign = Roles { roles: vec!["web".to_owned(), "nope".to_owned()] };
    framework.call(Call { revive: Some(foreign), ..of(CallType::Revive) }).await;
    assert!(framework.hears_nothing_for(Duration::from_secs(60)).await, "a foreign role makes it do nothing");
    framework.call(Call { revive: Some(Roles::default()), ..of(CallType::Revive) }).await;
    framework.offers().await;
}

#[tokio::test(start_paused = true)]
async fn more_than_was_refused_is_offered_in_spite_of_the_filter() {
    let mut world = World::new(Machine::reliable());
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    framework.run("t").await;
    let rest = framework.offers().await;
    framework.decline(&rest[0].id, 3600.0).await;
    framework.kill("t", None).await;
    loop {
        let status = framework.status().await;
        framework.acknowledge(&status).await;
        if status.state() == TaskState::Killed {
            break;
        }
    }
    assert_eq!(cpus(&framework.offers().await[0]), 4.0);
}

#[tokio::test(start_paused = true)]
async fn an_update_is_sent_until_it_is_acknowledged_and_the_next_one_waits() {
    let mut world = World::new(Machine::new(|_| Fate::Exit { code: 3, after: Duration::from_secs(1) }));
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let offers = framework.offers().await;
    framework.accept(&offers, vec![task("t", &offers[0], "cpus:4;mem:4096")]).await;

    let first = framework.status().await;
    let mut sent = vec![Instant::now()];
    for _ in 0..3 {
        let again = framework.status().await;
        assert_eq!(again, first, "the same update, though the task has ended long ago");
        sent.push(Instant::now());
    }
    let waits: Vec<u64> = sent.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert_eq!(waits, [10, 20, 40]);

    let mut wrong = first.clone();
    wrong.uuid = Some(vec![9; 16]);
    framework.acknowledge(&wrong).await;
    framework.acknowledge(&first).await;
    let running = framework.status().await;
    assert_eq!(running.state(), TaskState::Running);
    framework.acknowledge(&first).await;
    framework.acknowledge(&running).await;
    let failed = framework.status().await;
    assert_eq!((failed.state(), failed.message()), (TaskState::Failed, "Command exited with status 3"));
    framework.acknowledge(&failed).await;
    framework.decline(&OfferId::new("bogus"), 0.0).await;
    assert!(tokio::time::timeout(Duration::from_secs(3000), framework.status()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_kill_goes_through_killing_and_a_wrong_agent_is_passed_over() {
    let mut world = World::new(Machine::reliable());
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let agent = framework.run("t").await.agent_id.unwrap();

    framework.kill("t", Some(&AgentId::new("nosuch"))).await;
    assert!(tokio::time::timeout(Duration::from_secs(60), framework.status()).await.is_err());
    framework.kill("t", Some(&agent)).await;
    let killing = framework.status().await;
    framework.acknowledge(&killing).await;
    let killed = framework.status().await;
    framework.acknowledge(&killed).await;
    assert_eq!((killing.state(), killed.state()), (TaskState::Killing, TaskState::Killed));

    framework.kill("t", None).await;
    let unknown = framework.status().await;
    assert_eq!(brief(&unknown), (TaskState::Unknown, Source::Master, Reason::Reconciliation, false));
    framework.kill("t", Some(&agent)).await;
    assert_eq!(framework.status().await.state(), TaskState::Gone);
    assert!(world.machine.alive().is_empty());
}

#[tokio::test(start_paused = true)]
async fn reconciliation_tells_what_the_master_knows() {
    let mut world = World::new(Machine::reliable());
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let agent = framework.run("t").await.agent_id.unwrap();
    let elsewhere = AgentId::new("nosuch-S7");
    let told = [
        ("t", Some(&agent), TaskState::Running, "Reconciliation: Latest task state"),
        ("t", None, TaskState::Running, "Reconciliation: Latest task state"),
        ("t", Some(&elsewhere), TaskState::Running, "Reconciliation: Latest task state"),
        ("never", Some(&agent), TaskState::Gone, "Reconciliation: Task is unknown to the agent"),
        ("never", None, TaskState::Unknown, "Reconciliation: Task is unknown"),
        ("never", Some(&elsewhere), TaskState::Unknown, "Reconciliation: Task is unknown"),
    ];
    for (task, agent, state, message) in told {
        framework.reconcile(&[(task, agent)]).await;
        let status = framework.status().await;
        assert_eq!((status.state(), status.message()), (state, message), "{task} {agent:?}");
        assert_eq!(brief(&status), (state, Source::Master, Reason::Reconciliation, false));
    }
    framework.reconcile(&[]).await;
    assert_eq!(framework.status().await.task_id, TaskId::new("t"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_launched_is_told_in_the_words_of_mesos() {
    let mut world = World::new(Machine::reliable());
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let offers = framework.offers().await;
    let offer = &offers[0];
    let good = task("good", offer, "cpus:3;mem:32");
    let sum = task("sum", offer, "cpus:3;mem:32");
    let twin = task("good", offer, "cpus:0.1");
    let foreign = TaskInfo { agent_id: AgentId::new("nosuch-S5"), ..task("foreign", offer, "cpus:0.1") };
    let idle = TaskInfo { command: None, ..task("idle", offer, "cpus:0.1") };
    let bad_id = task("a/b", offer, "cpus:0.1");
    let port = task("port", offer, "cpus:0.1;ports:[80-80]");
    framework.accept(&offers, vec![good, sum, twin, foreign, idle, bad_id, port]).await;

    let mut told = Vec::new();
    for _ in 0..6 {
        let status = framework.status().await;
        assert_eq!(brief(&status), (TaskState::Error, Source::Master, Reason::TaskInvalid, false));
        told.push(format!("{}: {}", status.task_id, status.message()));
    }
    let agent = &offer.agent_id;
    let free = "cpus(allocated: web):1; disk(allocated: web):10240; mem(allocated: web):4064; \
                ports(allocated: web):[31000-31099]";
    let too_much = "required by task and its executor is more than available";
    assert_eq!(
        told,
        [
            format!("sum: Total resources cpus(allocated: web):3; mem(allocated: web):32 {too_much} {free}"),
            "good: Task has duplicate ID: good".to_owned(),
            format!("foreign: Task uses invalid agent nosuch-S5 while agent {agent} is expected"),
            "idle: Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"
                .to_owned(),
            "a/b: 'a/b' contains invalid characters".to_owned(),
            format!(
                "port: Total resources cpus(allocated: web):0.1; ports(allocated: web):[80-80] {too_much} {free}"
            ),
        ]
    );
    assert_eq!(framework.status().await.task_id, TaskId::new("good"));
}

#[tokio::test(start_paused = true)]
async fn a_malformed_resource_spoils_its_operation_and_no_other() {
    let mut world = World::new(Machine::reliable());
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let offers = framework.offers().await;
    let mut bad = task("bad", &offers[0], "cpus:1");
    bad.resources[0].scalar.as_mut().unwrap().value = -1.0;
    let operations = vec![
        Operation::launch(vec![task("beside", &offers[0], "cpus:1"), bad]),
        Operation::launch(vec![task("apart", &offers[0], "cpus:1")]),
    ];
    let accept = Accept { offer_ids: vec![offers[0].id.clone()], operations, filters: None };
    framework.call(Call { accept: Some(accept), ..of(CallType::Accept) }).await;
    for id in ["beside", "bad"] {
        let status = framework.status().await;
        assert_eq!((status.task_id.value.as_str(), status.state()), (id, TaskState::Error));
        assert_eq!(
            status.message(),
            "Resource 'cpus(allocated: web):-1' is invalid: Invalid scalar resource: value <= 0"
        );
    }
    assert_eq!(framework.status().await.task_id, TaskId::new("apart"));
}

#[tokio::test(start_paused = true)]
async fn a_dead_offer_drops_every_task_and_gives_the_live_ones_back() {
    let mut world = World::new(Machine::reliable());
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let mut offers = framework.offers().await;
    offers.push(Offer { id: OfferId::new("nosuch-O1"), ..offers[0].clone() });
    framework.accept(&offers, vec![task("t", &offers[0], "cpus:1")]).await;
    let status = framework.status().await;
    assert_eq!(brief(&status), (TaskState::Dropped, Source::Master, Reason::InvalidOffers, false));
    assert_eq!(status.message(), "Task launched with invalid offers: Offer nosuch-O1 is no longer valid");
    assert_eq!(cpus(&framework.offers().await[0]), 4.0);
    assert!(world.machine.started().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_second_subscriber_takes_the_framework_over() {
    let mut world = World::new(Machine::reliable());
    let server = world.start().await;
    let mut first = Framework::subscribe(&server, None).await;
    let offers = first.offers().await;
    let mut second = Framework::subscribe(&server, Some(&first.id)).await;
    assert_eq!(second.id, first.id);

    assert_eq!(first.next().await.unwrap().error.unwrap().message, "Framework failed over");
    assert!(first.next().await.is_none());
    let refused = first.try_call(of(CallType::Revive)).await.unwrap_err();
    assert!(matches!(refused, ConnectionError::Unsubscribed { .. }), "{refused}");

    let fresh = second.offers().await;
    second.accept(&offers, vec![task("t", &offers[0], "cpus:1")]).await;
    assert_eq!(second.status().await.reason(), Reason::InvalidOffers, "offers of the first one are void");
    second.decline(&fresh[0].id, 0.0).await;
    second.run("u").await;
}

#[tokio::test(start_paused = true)]
async fn a_framework_that_stays_away_too_long_is_removed_with_its_tasks() {
    let mut world = World::new(Machine::reliable());
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    framework.run("t").await;
    let id = framework.id.clone();
    drop(framework);
    tokio::time::sleep(Duration::from_secs(599)).await;
    let framework = Framework::subscribe(&server, Some(&id)).await;
    drop(framework);
    assert_eq!(world.machine.alive().len(), 1);
    tokio::time::sleep(Duration::from_secs(601)).await;
    assert!(world.machine.alive().is_empty());
    let subscribe = Subscribe { framework_info: framework_info(Some(&id)), ..Subscribe::default() };
    let mut again = server.master.subscribe(Call::subscribe(subscribe)).await.unwrap();
    let refused = again.events.next().await.unwrap().unwrap();
    assert_eq!(refused.error.unwrap().message, "Framework has been removed");
    assert!(again.events.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_crashed_server_adopts_its_tasks_and_starts_none_twice() {
    let mut world = World::new(Machine::new(|task| match task.name.as_str() {
        "ends" => Fate::Exit { code: 0, after: Duration::from_secs(5) },
        _ => Fate::RunForever,
    }));
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    for id in ["stays", "ends", "vanishes"] {
        framework.run(id).await;
    }
    let (id, old_master) = (framework.id.clone(), framework.master.clone());
    server.env.crash();
    drop((server, framework));
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.machine.lose(&TaskId::new("vanishes"));

    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, Some(&id)).await;
    assert_ne!(framework.master, old_master);
    let mut told = std::collections::BTreeMap::new();
    for _ in 0..2 {
        let status = framework.status().await;
        framework.acknowledge(&status).await;
        told.insert(status.task_id.value.clone(), status.state());
    }
    let expected = [("ends".to_owned(), TaskState::Finished), ("vanishes".to_owned(), TaskState::Gone)];
    assert_eq!(told, expected.into());
    framework.reconcile(&[]).await;
    let status = framework.status().await;
    assert_eq!((status.task_id.value.as_str(), status.state()), ("stays", TaskState::Running));
    assert_eq!(world.machine.started().len(), 3);
    assert_eq!(world.machine.alive(), [TaskId::new("stays")].into());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_of_tasks_whose_agent_is_not_back_yet() {
    let mut world = World::new(Machine::reliable());
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let agent = framework.run("t").await.agent_id.unwrap();
    server.env.crash();
    let id = framework.id.clone();

    let env = Env::simulated("master alone", 99, Timestamp::UNIX_EPOCH);
    let master = super::master::start(&env, MasterConfig::default(), [agent.clone()].into());
    let alone = Server { env, master };
    let mut framework = Framework::subscribe(&alone, Some(&id)).await;
    framework.reconcile(&[("t", Some(&agent))]).await;
    framework.reconcile(&[("t", None)]).await;
    framework.reconcile(&[]).await;
    assert!(framework.hears_nothing_for(Duration::from_secs(599)).await);
    let failure = framework.next().await.unwrap().failure.unwrap();
    assert_eq!(failure.agent_id, Some(agent.clone()));
    framework.reconcile(&[("t", Some(&agent))]).await;
    let status = framework.status().await;
    assert_eq!(status.state(), TaskState::Unreachable);
    assert!(status.unreachable_time.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_crashes_at_any_poll_loses_no_task_and_doubles_none() {
    for polls in (1..400).step_by(3) {
        let mut world = World::new(Machine::reliable());
        let server = world.start().await;
        server.env.crash_after(polls);
        let (env, master) = (server.env.clone(), server.master.clone());
        let client = server.env.spawn("client", async move {
            let mut framework = Framework::subscribe(&Server { env, master }, None).await;
            framework.run("t").await
        });
        let _crashed = tokio::time::timeout(Duration::from_secs(30), client.join()).await;
        server.env.crash();
        drop(server);

        let server = world.start().await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let started = world.machine.started();
        assert!(started.len() <= 1, "polls {polls}: {started:?}");
        assert_eq!(world.machine.alive(), started.into_iter().collect(), "polls {polls}");
        drop(server);
    }
}
