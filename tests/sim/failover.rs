//! Two servers, one cluster: leadership passes on, and who lost it does nothing more.

use serde_json::json;
use tenure::store::memory::Fault;

use crate::apps::app;
use crate::world::World;

#[tokio::test(start_paused = true)]
async fn second_server_takes_over_when_the_first_dies_in_the_middle_of_an_update() {
    let mut world = World::new(2, 21).await;
    let cluster = world.start_cluster().await;
    let first = world.start_replica(&cluster);
    world.create(app("web", 4, "serve 1")).await;
    world.until_ready("web").await;
    let _second = world.start_replica(&cluster);
    world.edit("web", json!({"spec": {"cmd": "serve 2"}})).await;
    world.until("the update is under way", |world| world.tasks("web").len() > 4).await;
    first.env.crash();
    world.until_ready("web").await;
    world.assert_owned();
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn store_that_was_down_for_long_loses_nothing() {
    let mut world = World::new(2, 22).await;
    let cluster = world.start_cluster().await;
    let _first = world.start_replica(&cluster);
    let _second = world.start_replica(&cluster);
    world.create(app("web", 3, "serve 1")).await;
    world.until_ready("web").await;
    let running: Vec<_> = world.machines.iter().map(|(machine, _)| machine.alive()).collect();
    world.store.inject(Fault::Down);
    tokio::time::sleep(std::time::Duration::from_secs(300)).await;
    assert_eq!(running, world.machines.iter().map(|(machine, _)| machine.alive()).collect::<Vec<_>>());
    world.store.heal();
    world.edit("web", json!({"spec": {"instances": 5}})).await;
    world.until_ready("web").await;
    world.assert_owned();
}

#[tokio::test(start_paused = true)]
async fn agent_that_is_cut_off_is_replaced_and_leaves_no_surplus_when_it_returns() {
    let mut world = World::new(2, 23).await;
    let cluster = world.start_cluster().await;
    let _server = world.start_replica(&cluster);
    let mut spread = app("web", 2, "serve 1");
    spread["spec"]["constraints"] = json!([{"attribute": "hostname", "operator": "MAX_PER", "value": "2"}]);
    world.create(spread).await;
    world.until_ready("web").await;
    let lost = usize::from(world.machines[0].0.alive().is_empty());
    cluster.agents[lost].crash();
    world
        .until("two instances serve elsewhere", |world| {
            let alive = world.machines[1 - lost].0.alive();
            let elsewhere = |task: &str| alive.iter().any(|id| id.value.contains(task));
            let published = world.published("web");
            published.len() == 2 && published.iter().all(|task| elsewhere(task))
        })
        .await;
    world.start_agent(lost, &cluster.master).await;
    world
        .until("the surplus is gone", |world| {
            let alive: usize = world.machines.iter().map(|(machine, _)| machine.alive().len()).sum();
            alive == 2 && world.live("web").len() == 2
        })
        .await;
    world.assert_owned();
}

#[tokio::test(start_paused = true)]
async fn leader_whose_key_was_taken_commits_nothing_and_another_goes_on() {
    let mut world = World::new(2, 24).await;
    let cluster = world.start_cluster().await;
    let _first = world.start_replica(&cluster);
    world.create(app("web", 3, "serve 1")).await;
    world.until_ready("web").await;
    let _second = world.start_replica(&cluster);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let before = world.leader().await;
    world.take_leadership_away().await;
    world.edit("web", json!({"spec": {"cmd": "serve 2"}})).await;
    world.until_ready("web").await;
    assert_ne!(before, world.leader().await);
    world.assert_owned();
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn task_that_the_store_does_not_own_is_ended() {
    let mut world = World::new(1, 25).await;
    let server = world.start().await;
    world.create(app("web", 2, "serve 1")).await;
    world.until_ready("web").await;
    server.env.crash();
    let forgotten = world.live("web").pop().unwrap();
    world.forget(&forgotten).await;
    assert_eq!(world.machines[0].0.alive().len(), 2);
    let _server = world.start().await;
    world
        .until("only owned tasks run", |world| {
            let alive = world.machines[0].0.alive();
            let name = forgotten.metadata.name.clone().unwrap();
            alive.len() == 2 && !alive.iter().any(|id| id.value.contains(&name))
        })
        .await;
    world.until_ready("web").await;
    world.assert_owned();
}
