//! Tasks that run without being owned, few and many.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tenure::api::Agent;
use tenure::api::labels::CONFIRM_ORPHANS;
use tenure::mesos::wire::TaskId;
use tenure::registry::{Resource, Write};
use tenure::store::memory::Fault;
use tokio::time::Instant;

use crate::apps::app;
use crate::world::World;

fn agents(world: &World) -> Vec<Arc<Agent>> {
    let snapshot = world.snapshot();
    let all = snapshot.list(&Resource::new("tenure.dev", "agents"), None);
    all.map(|doc| doc.typed::<Agent>().unwrap()).collect()
}

/// How many orphans the agents ask about, and the one agent's digest.
fn asked(world: &World) -> (u32, String) {
    let orphans = agents(world).iter().find_map(|it| it.status.clone()?.orphans);
    orphans.map_or((0, String::new()), |it| (it.count, it.digest))
}

fn asks(world: &World) -> String {
    let condition = agents(world)
        .iter()
        .find_map(|it| it.status.clone()?.conditions.into_iter().find(|it| it.type_ == "Orphans"));
    condition.map_or_else(|| "never asked".to_owned(), |it| it.status)
}

async fn confirm(world: &World, digest: &str) {
    let snapshot = world.snapshot();
    let base = snapshot.list(&Resource::new("tenure.dev", "agents"), None).next().cloned().unwrap();
    let patch = json!({"metadata": {"annotations": {CONFIRM_ORPHANS: digest}}});
    world.write(Write::Merge { base, patch }).await;
}

/// A world in which 14 tasks run on one machine of which the store has lost 12; the server was away meanwhile.
async fn forgetful(seed: u64) -> (World, crate::world::Server) {
    let mut world = World::new(1, seed).await;
    let server = world.start().await;
    let mut web: Value = app("web", 14, "serve 1");
    web["spec"]["resources"] = json!({"cpus": "10m", "memory": "16Mi"});
    world.create(web).await;
    world.until_ready("web").await;
    server.env.crash();
    for task in world.live("web").into_iter().take(12) {
        world.forget(&task).await;
    }
    let server = world.start().await;
    (world, server)
}

#[tokio::test(start_paused = true)]
async fn too_many_orphans_are_asked_about_and_ended_once_a_person_confirms_them() {
    let (world, _server) = forgetful(71).await;
    world.until("it is asked", |it| asks(it) == "True").await;
    world.until_ready("web").await;
    assert_eq!(world.machines[0].0.alive().len(), 14 + 12, "nothing was ended");
    let (count, digest) = asked(&world);
    assert_eq!(count, 12);
    let told = world.snapshot().list(&Resource::new("", "events"), Some("default")).any(|doc| {
        let event = doc.typed::<Value>().unwrap();
        event["reason"] == "TooManyOrphans" && event["involvedObject"]["kind"] == "Agent"
    });
    assert!(told, "an Event tells it");

    confirm(&world, &digest).await;
    world.until("the orphans are gone", |it| it.machines[0].0.alive().len() == 14).await;
    world.until("nothing is asked any more", |it| asks(it) == "False").await;
    assert_eq!(asked(&world).0, 0);
    let left = agents(&world)[0].metadata.annotations.clone().unwrap_or_default();
    assert!(!left.contains_key(CONFIRM_ORPHANS), "an answer holds once: {left:?}");
    world.until_ready("web").await;
    world.assert_owned();
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn confirmation_of_other_orphans_confirms_nothing() {
    let (mut world, server) = forgetful(72).await;
    world.until("it is asked", |it| asks(it) == "True").await;
    world.until_ready("web").await;
    let (_, before) = asked(&world);
    // One more is lost before the answer comes.
    server.env.crash();
    let lost = world.live("web").pop().unwrap();
    world.forget(&lost).await;
    let _server = world.start().await;
    world.until("it is asked about all of them", |it| asked(it).0 == 13).await;
    confirm(&world, &before).await;
    tokio::time::sleep(std::time::Duration::from_secs(1200)).await;
    assert_eq!(world.machines[0].0.alive().len(), 14 + 13, "nothing was ended");
    let (_, now) = asked(&world);
    confirm(&world, &now).await;
    world.until("the orphans are gone", |it| it.machines[0].0.alive().len() == 14).await;
    world.assert_owned();
}

#[tokio::test(start_paused = true)]
async fn question_is_withdrawn_when_the_orphans_are_gone_by_themselves() {
    let (mut world, server) = forgetful(73).await;
    world.until("it is asked", |it| asks(it) == "True").await;
    let owned: Vec<String> = world
        .live("web")
        .iter()
        .filter_map(|it| Some(it.spec.binding.as_ref()?.mesos_task_id.clone()))
        .collect();
    server.env.crash();
    let machine = world.machines[0].0.clone();
    for orphan in machine.alive().into_iter().filter(|it| !owned.contains(&it.value)) {
        machine.lose(&orphan);
    }
    let _server = world.start().await;
    world.until("nothing is asked any more", |it| asks(it) == "False").await;
    world.until_ready("web").await;
    world.assert_owned();
}

/// Requests may be on their way to it.
#[tokio::test(start_paused = true)]
async fn orphan_that_endpoints_name_is_ended_when_they_do_not_any_more() {
    let mut world = World::new(1, 75).await;
    let server = world.start().await;
    world.create(app("web", 1, "serve 1")).await;
    world.until_ready("web").await;
    server.env.crash();
    let lost = world.live("web").pop().unwrap();
    // Endpoints that no loop keeps true.
    let named = json!([{"address": "10.0.0.1", "port": 31000, "task": lost.metadata.name}]);
    world
        .create(json!({
            "apiVersion": "tenure.dev/v1", "kind": "Endpoints",
            "metadata": {"namespace": lost.metadata.namespace, "name": "by-hand"},
            "spec": {"app": "by-hand", "port": {"index": 0}, "ready": named},
        }))
        .await;
    world.forget(&lost).await;
    let _server = world.start().await;
    world.until_ready("web").await;
    tokio::time::sleep(Duration::from_secs(1200)).await;
    assert_eq!(world.machines[0].0.alive().len(), 1 + 1, "nothing was ended");

    let snapshot = world.snapshot();
    let mut all = snapshot.list(&Resource::new("tenure.dev", "endpoints"), None);
    let base = all.find(|it| &*it.key().name == "by-hand").cloned().unwrap();
    world.write(Write::Remove { base }).await;
    world.until("the orphan is ended", |it| it.machines[0].0.alive().len() == 1).await;
    world.assert_owned();
}

/// The watch has lost the event that tells of a binding: by the view the Task was never placed, and what runs is nobody's.
#[tokio::test(start_paused = true)]
async fn task_whose_binding_the_watch_has_lost_is_neither_ended_nor_kept_from_running() {
    let mut world = World::new(1, 74).await;
    let cluster = world.start_cluster().await;
    let _server = world.start_replica(&cluster);
    world.until("the machine is known", |world| !agents(world).is_empty()).await;
    cluster.agents[0].crash();
    world.create(app("web", 1, "serve 1")).await;
    world.until("it is told that a Task waits", |world| world.is("web", "Waiting")).await;
    let _agent = world.start_agent(0, &cluster.master).await;
    assert!(world.tasks("web")[0].spec.binding.is_none(), "nothing but its binding is written next");
    // Of the server, and of people.
    world.store.inject(Fault::LoseEvents(2));
    let running = |records: &std::collections::BTreeMap<Arc<str>, bytes::Bytes>| {
        let tasks = records.iter().filter(|(key, _)| key.contains("/tasks/"));
        let mut tasks = tasks.map(|(_, value)| serde_json::from_slice::<Value>(value).unwrap());
        tasks.any(|task| task["status"]["phase"] == "Running")
    };
    let begun = Instant::now();
    while !running(&world.store.dump()) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(begun.elapsed() < Duration::from_secs(120), "it waits until all is compared with the store");
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((world.machines[0].0.alive().len(), world.machines[0].0.started().len()), (1, 1));
    world.until_ready("web").await;
    world.assert_owned();
}

/// The watch has lost a change of a Task: each status of it is decided on an old version, until that is seen.
#[tokio::test(start_paused = true)]
async fn status_of_a_task_whose_change_the_watch_has_lost_is_stored() {
    let mut world = World::new(1, 76).await;
    let _server = world.start().await;
    world.create(app("web", 1, "serve 1")).await;
    world.until_ready("web").await;
    let task = world.live("web").remove(0);
    world.store.inject(Fault::LoseEvents(2));
    world.change_task(&task, json!({"metadata": {"annotations": {"touched": "yes"}}})).await;
    let id = &task.spec.binding.as_ref().unwrap().mesos_task_id;
    world.machines[0].0.fell(&TaskId::new(id));
    let name = task.metadata.name.clone().unwrap();
    let begun = Instant::now();
    let ended = |world: &World| {
        let records = world.store.dump();
        let (_, value) = records.iter().find(|(key, _)| key.ends_with(&name)).unwrap();
        serde_json::from_slice::<Value>(value).unwrap()["status"]["phase"] == "Failed"
    };
    while !ended(&world) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(begun.elapsed() < Duration::from_secs(120), "it waits until all is compared with the store");
    }
}
