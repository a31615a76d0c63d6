//! An Agent object per machine tells its slow facts, and is written only when one of them changes.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tenure::api::{Agent, Bytes, Cpus, Totals};
use tenure::mesos::wire::TaskId;
use tenure::registry::{Doc, Resource, Write};
use tenure::store::memory::Fault;

use crate::apps::app;
use crate::world::World;

fn docs(world: &World) -> Vec<Arc<Doc>> {
    world.snapshot().list(&Resource::new("tenure.dev", "agents"), None).cloned().collect()
}

fn agents(world: &World) -> Vec<Arc<Agent>> {
    docs(world).iter().map(|doc| doc.typed().unwrap()).collect()
}

/// The versions of all Agents.
fn versions(world: &World) -> Vec<(String, u64)> {
    docs(world).iter().map(|doc| (doc.key().to_string(), doc.revision())).collect()
}

/// What each machine of a world has.
fn whole_machine() -> Totals {
    Totals {
        cpus: Cpus::from_millis(4000),
        memory: Bytes::from_mebibytes(4096),
        disk: Bytes::from_mebibytes(10240),
        gpus: 0,
        ports: vec!["31000-31099".to_owned()],
    }
}

#[tokio::test(start_paused = true)]
async fn every_machine_is_told_with_its_attributes_and_totals() {
    let mut world = World::new(3, 71).await;
    let cluster = world.start_cluster().await;
    let _server = world.start_replica(&cluster);
    world.until("all machines are known", |world| agents(world).len() == 3).await;
    let mut hosts = Vec::new();
    for agent in agents(&world) {
        let status = agent.status.clone().unwrap();
        let number: usize = status.hostname.strip_prefix("machine-").unwrap().parse().unwrap();
        assert_eq!(status.attributes["rack"], format!("r{number}"));
        assert_eq!(status.totals, whole_machine());
        let conditions: Vec<_> = status.conditions.iter().map(|it| (&*it.type_, &*it.status)).collect();
        assert_eq!(conditions, [("Ready", "True")]);
        assert_eq!(agent.metadata.name.as_deref(), Some(&*status.agent_id.to_ascii_lowercase()));
        hosts.push(number);
    }
    hosts.sort_unstable();
    assert_eq!(hosts, [0, 1, 2]);
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn totals_are_the_whole_machine_whatever_runs_on_it_and_nothing_is_written() {
    let mut world = World::new(2, 72).await;
    let cluster = world.start_cluster().await;
    let _server = world.start_replica(&cluster);
    world.until("all machines are known", |world| agents(world).len() == 2).await;
    let before = versions(&world);
    world.create(app("web", 6, "serve 1")).await;
    world.until_ready("web").await;
    for instances in [2, 9, 0, 4] {
        world
            .edit("web", json!({"spec": {"instances": instances, "cmd": format!("serve {instances}")}}))
            .await;
        world.until_ready("web").await;
        // Leases end meanwhile, and offers come again.
        tokio::time::sleep(Duration::from_secs(1000)).await;
    }
    assert_eq!(versions(&world), before);
    assert!(agents(&world).iter().all(|it| it.status.as_ref().unwrap().totals == whole_machine()));
}

#[tokio::test(start_paused = true)]
async fn machine_that_is_first_seen_half_used_is_told_as_a_whole() {
    let mut world = World::new(1, 73).await;
    let cluster = world.start_cluster().await;
    let first = world.start_replica(&cluster);
    world.create(app("web", 6, "serve 1")).await;
    world.until_ready("web").await;
    first.env.crash();
    for doc in docs(&world) {
        world.write(Write::Remove { base: doc }).await;
    }
    let _second = world.start_replica(&cluster);
    world.edit("web", json!({"spec": {"instances": 7}})).await;
    world.until_ready("web").await;
    world.until("the machine is known again", |world| agents(world).len() == 1).await;
    let totals = agents(&world)[0].status.clone().unwrap().totals;
    assert_eq!((totals.cpus, totals.memory), (whole_machine().cpus, whole_machine().memory));
}

#[tokio::test(start_paused = true)]
async fn successor_and_returning_agent_change_nothing_about_a_machine_that_is_the_same() {
    let mut world = World::new(2, 74).await;
    let cluster = world.start_cluster().await;
    let first = world.start_replica(&cluster);
    world.create(app("web", 4, "serve 1")).await;
    world.until_ready("web").await;
    let before = versions(&world);
    first.env.crash();
    let _second = world.start_replica(&cluster);
    world.edit("web", json!({"spec": {"instances": 5}})).await;
    world.until_ready("web").await;
    cluster.agents[0].crash();
    let _agent = world.start_agent(0, &cluster.master).await;
    world.edit("web", json!({"spec": {"instances": 6}})).await;
    world.until_ready("web").await;
    assert_eq!(versions(&world), before);
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn machine_looks_no_larger_while_the_store_lags_behind_the_cluster() {
    let mut world = World::new(2, 75).await;
    let cluster = world.start_cluster().await;
    let _server = world.start_replica(&cluster);
    world.until("all machines are known", |world| agents(world).len() == 2).await;
    let before = versions(&world);
    world.create(app("web", 2, "crash always")).await;
    world.store.inject(Fault::Delay(Duration::from_millis(700)));
    tokio::time::sleep(Duration::from_secs(300)).await;
    world.store.heal();
    let started: usize = world.machines.iter().map(|(machine, _)| machine.started().len()).sum();
    assert!(started > 5, "only {started} tasks came and went");
    assert_eq!(versions(&world), before);
}

/// The view shows a Task that has ended, and its machine offers what it used.
#[tokio::test(start_paused = true)]
async fn machine_looks_no_larger_although_the_watch_has_lost_the_end_of_a_task() {
    let mut world = World::new(1, 76).await;
    let cluster = world.start_cluster().await;
    let _server = world.start_replica(&cluster);
    world.create(app("web", 2, "serve 1")).await;
    world.until_ready("web").await;
    let before = versions(&world);
    let task = world.live("web").remove(0);
    // Its status, and the Event that tells of it: for the server, and for people.
    world.store.inject(Fault::LoseEvents(4));
    world.machines[0].0.fell(&TaskId::new(&task.spec.binding.as_ref().unwrap().mesos_task_id));
    let failed =
        |world: &World| {
            world.store.dump().values().any(|it| {
                serde_json::from_slice::<Value>(it).is_ok_and(|it| it["status"]["phase"] == "Failed")
            })
        };
    while !failed(&world) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // What it used is offered again.
    world.create(app("other", 1, "serve 1")).await;
    world.until_ready("other").await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(world.live("web").len(), 2, "nobody has seen its end yet");
    assert_eq!(versions(&world), before);
    world.until("it is replaced", |world| !world.live("web").contains(&task)).await;
    world.until_ready("web").await;
    assert_eq!(versions(&world), before);
}

/// An earlier version called it larger, or it was larger: started again with less.
#[tokio::test(start_paused = true)]
async fn machine_that_is_smaller_than_it_was_called_is_called_as_large_as_it_is() {
    let mut world = World::new(1, 77).await;
    let cluster = world.start_cluster().await;
    let _server = world.start_replica(&cluster);
    world.create(app("web", 2, "serve 1")).await;
    world.until_ready("web").await;
    let base = docs(&world).remove(0);
    let patch = json!({"status": {"totals": {"cpus": "64", "memory": "1Ti"}}});
    world.write(Write::Merge { base, patch }).await;
    for instances in [3, 4] {
        assert_ne!(agents(&world)[0].status.clone().unwrap().totals, whole_machine(), "it is doubted first");
        world.edit("web", json!({"spec": {"instances": instances}})).await;
        world.until_ready("web").await;
        tokio::time::sleep(Duration::from_secs(10 * 60)).await;
    }
    world
        .until("it is called as large as it is", |world| {
            agents(world)[0].status.clone().unwrap().totals == whole_machine()
        })
        .await;
    world.assert_quiet().await;
}
