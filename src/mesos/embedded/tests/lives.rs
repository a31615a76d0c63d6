//! Who comes and goes: subscribers, the server, agents.

use super::*;

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
    let mut again = server.master.subscribe(Call::subscribe(subscribe), &|| true).await.unwrap();
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
    let master = crate::mesos::embedded::master::start(&env, MasterConfig::default(), [agent.clone()].into());
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

/// A master and one agent that can die alone.
pub(super) struct Apart {
    world: World,
    pub(super) master: MasterHandle,
    agent_lives: u64,
}

impl Apart {
    pub(super) async fn new(machine: Machine) -> (Apart, Server) {
        let env = Env::simulated("master", 7, Timestamp::UNIX_EPOCH);
        let master = crate::mesos::embedded::master::start(&env, MasterConfig::default(), [].into());
        let server = Server { env, master: master.clone() };
        (Apart { world: World::new(machine), master, agent_lives: 0 }, server)
    }

    /// Starts the agent; it lives until the returned node crashes.
    pub(super) async fn start_agent(&mut self) -> Env {
        self.agent_lives += 1;
        let env = Env::simulated("agent", 100 + self.agent_lives, Timestamp::UNIX_EPOCH);
        let (sink, reports) = reports();
        let launcher = Arc::new(SimulatedLauncher::new(&env, self.world.machine.clone(), sink));
        let opened = Journal::open(&env, self.world.disk.clone()).await.unwrap();
        let agent = Agent::new(&env, agent_config(), opened, launcher, reports, self.master.clone());
        env.spawn("agent", agent.run());
        env
    }

    pub(super) fn machine(&self) -> &Machine {
        &self.world.machine
    }

    /// The next agent is another one: nothing is left of this one's disk.
    pub(super) fn forget_disk(&mut self) {
        self.world.disk = Medium::memory();
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_comes_back_in_time_is_told_of_by_its_offers_alone() {
    let (mut apart, server) = Apart::new(Machine::reliable()).await;
    let agent = apart.start_agent().await;
    let mut framework = Framework::subscribe(&server, None).await;
    framework.run("t").await;
    let held = framework.offers().await.remove(0).id;
    agent.crash();
    assert_eq!(framework.next().await.unwrap().rescind.unwrap().offer_id, held);
    framework.kill("t", None).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let _agent = apart.start_agent().await;
    assert_eq!(cpus(&framework.offers().await[0]), 3.0);
    let killing = framework.status().await;
    assert_eq!(killing.state(), TaskState::Killing, "a kill is remembered while the agent is away");
    framework.acknowledge(&killing).await;
    assert_eq!(framework.status().await.state(), TaskState::Killed);
}

#[tokio::test(start_paused = true)]
async fn an_agent_away_for_too_long_is_unreachable_and_may_return() {
    let (mut apart, server) = Apart::new(Machine::new(|task| match task.name.as_str() {
        "ends" => Fate::Exit { code: 4, after: Duration::from_secs(30) },
        _ => Fate::RunForever,
    }))
    .await;
    let agent = apart.start_agent().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let agent_id = framework.run("lives").await.agent_id.unwrap();
    framework.run("ends").await;
    agent.crash();
    let away = Instant::now();

    for id in ["ends", "lives"] {
        let status = framework.status().await;
        assert_eq!(brief(&status), (TaskState::Unreachable, Source::Master, Reason::AgentRemoved, false));
        assert_eq!((status.task_id.value.as_str(), status.message()), (id, "health check timed out"));
        assert!(status.unreachable_time.is_some());
    }
    assert_eq!(away.elapsed().as_secs(), 75);
    assert_eq!(framework.next().await.unwrap().failure.unwrap().agent_id, Some(agent_id.clone()));
    framework.kill("lives", Some(&agent_id)).await;
    let truth = framework.status().await;
    assert_eq!(truth.message(), "Reconciliation: Task is unreachable");
    framework.reconcile(&[]).await;

    let _agent = apart.start_agent().await;
    let mut told = Vec::new();
    for _ in 0..3 {
        let status = framework.status().await;
        told.push(format!("{} {} {}", status.task_id, status.state(), status.source()));
        if status.uuid.is_some() {
            framework.acknowledge(&status).await;
        } else {
            assert_eq!(status.reason(), Reason::AgentReregistered);
        }
    }
    let expected = [
        "ends TASK_FAILED SOURCE_MASTER",
        "lives TASK_RUNNING SOURCE_MASTER",
        "ends TASK_FAILED SOURCE_EXECUTOR",
    ];
    assert_eq!(told, expected);
    assert_eq!(cpus(&framework.offers().await[0]), 3.0);
}

#[tokio::test(start_paused = true)]
async fn what_is_offered_to_one_framework_is_not_offered_to_another() {
    let mut world = World::new(Machine::reliable());
    let server = world.start().await;
    let mut first = Framework::subscribe(&server, None).await;
    let offer = first.offers().await.remove(0);
    let mut second = Framework::subscribe(&server, None).await;
    assert!(second.hears_nothing_for(Duration::from_secs(600)).await);
    second.accept(std::slice::from_ref(&offer), vec![task("t", &offer, "cpus:1")]).await;
    assert_eq!(second.status().await.reason(), Reason::InvalidOffers);
    first.decline(&offer.id, 3600.0).await;
    assert_eq!(cpus(&second.offers().await[0]), 4.0);
}

/// Runs a task, then kills it; acknowledges everything.
async fn run_and_kill(server: Server, id: Arc<Mutex<Option<FrameworkId>>>) {
    let mut framework = Framework::subscribe(&server, None).await;
    *id.lock().unwrap() = Some(framework.id.clone());
    framework.run("t").await;
    framework.kill("t", None).await;
    loop {
        let status = framework.status().await;
        framework.acknowledge(&status).await;
    }
}

/// Asks for the end of the task until it is told that there is none.
async fn kill_until_over(server: &Server, id: &FrameworkId) -> TaskStatus {
    let mut framework = Framework::subscribe(server, Some(id)).await;
    for _ in 0..20 {
        framework.kill("t", None).await;
        while let Ok(status) = tokio::time::timeout(Duration::from_secs(10), framework.status()).await {
            if status.uuid.is_some() {
                framework.acknowledge(&status).await;
            }
            if status.state().is_terminal() || status.state() == TaskState::Unknown {
                return status;
            }
        }
    }
    panic!("the task never ends");
}

#[tokio::test(start_paused = true)]
async fn a_kill_survives_a_crash_of_the_server_at_any_poll() {
    for polls in (1..500).step_by(4) {
        let mut world = World::new(Machine::reliable());
        let server = world.start().await;
        server.env.crash_after(polls);
        let id = Arc::new(Mutex::new(None));
        let same = Server { env: server.env.clone(), master: server.master.clone() };
        let client = server.env.spawn("client", run_and_kill(same, id.clone()));
        let _crashed = tokio::time::timeout(Duration::from_secs(30), client.join()).await;
        server.env.crash();
        drop(server);

        let server = world.start().await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let id = id.lock().unwrap().clone();
        if let Some(id) = id {
            kill_until_over(&server, &id).await;
        }
        let started = world.machine.started();
        assert!(started.len() <= 1, "polls {polls}: {started:?}");
        assert!(world.machine.alive().is_empty(), "polls {polls}");
    }
}
