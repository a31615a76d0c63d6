//! Offers: what comes when, and what an ACCEPT may do with it.

use super::*;
use crate::mesos::embedded::fleet::Fleet;
use crate::mesos::embedded::master;
use crate::mesos::wire::DomainInfo;

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

/// As in recording 47, whose master and agents have regions.
#[tokio::test(start_paused = true)]
async fn agents_of_other_regions_are_offered_to_those_that_know_of_regions() {
    let env = Env::simulated("master", 1, jiff::Timestamp::UNIX_EPOCH);
    let domain = |region: &str| Some(DomainInfo::in_region(region));
    let config = MasterConfig { domain: domain("eu"), ..MasterConfig::default() };
    let master = master::start(&env, config, [].into());
    let agent = |(hostname, region): (&str, Option<&str>)| AgentInfo {
        hostname: hostname.to_owned(),
        domain: region.and_then(domain),
        ..agent_config().info
    };
    let agents = [("near", Some("eu")), ("far", Some("us")), ("anywhere", None)].map(agent);
    let _fleet = Fleet::start(&env, &master, agents);
    let server = Server { env, master };
    for (is_aware, expected) in [(false, vec!["anywhere", "near"]), (true, vec!["anywhere", "far", "near"])] {
        let mut info = framework_info(None);
        if is_aware {
            info.capabilities.push(Capability::RegionAware.into());
        }
        let mut framework = Framework::subscribe_as(&server, info).await;
        let mut hosts = Vec::new();
        while hosts.len() < expected.len() {
            hosts.extend(framework.offers().await.into_iter().map(|offer| offer.hostname));
        }
        hosts.sort();
        assert_eq!(hosts, expected, "aware of regions: {is_aware}");
        framework.call(of(CallType::Teardown)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_lends_is_offered_to_those_that_know_of_it_and_mixed_with_nothing() {
    let env = Env::simulated("master", 1, jiff::Timestamp::UNIX_EPOCH);
    let master = master::start(&env, MasterConfig::default(), [].into());
    let resources = parse_resources("cpus:4;cpus{REV}:2;mem:1024").unwrap();
    let _fleet = Fleet::start(&env, &master, [AgentInfo { resources, ..agent_config().info }]);
    let server = Server { env, master };
    let amounts = |offer: &Offer| {
        let scalars = offer.resources.iter().filter(|it| it.name == "cpus");
        scalars.map(|it| (it.scalar.unwrap().value, it.revocable.is_some())).collect::<Vec<_>>()
    };

    let mut knows_nothing_of_it = Framework::subscribe(&server, None).await;
    let offers = knows_nothing_of_it.offers().await;
    assert_eq!(amounts(&offers[0]), [(4.0, false)]);
    let mut info = framework_info(None);
    info.capabilities.push(Capability::RevocableResources.into());
    let mut borrows = Framework::subscribe_as(&server, info.clone()).await;
    let offers = borrows.offers().await;
    assert_eq!(amounts(&offers[0]), [(2.0, true)], "the rest is offered elsewhere");
    knows_nothing_of_it.call(of(CallType::Teardown)).await;
    borrows.call(of(CallType::Teardown)).await;

    let mut borrows = Framework::subscribe_as(&server, info).await;
    let offers = borrows.offers().await;
    assert_eq!(amounts(&offers[0]), [(4.0, false), (2.0, true)]);
    let mixed = task("mixed", &offers[0], "cpus:1;cpus{REV}:1");
    let lent = task("lent", &offers[0], "cpus{REV}:2;mem:32");
    borrows.accept(&offers, vec![mixed, lent]).await;
    let refused = borrows.status().await;
    assert_eq!(
        refused.message(),
        "Task and its executor mix revocable and non-revocable resources: Cannot use both revocable and non-revocable 'cpus' at the same time"
    );
    let runs = borrows.status().await;
    assert_eq!((&*runs.task_id.value, runs.state()), ("lent", TaskState::Running));
    assert_eq!(amounts(&borrows.offers().await[0]), [(4.0, false)]);
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
