//! Machines as their objects show them: in contact or not, with a container engine or not.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tenure::api::Agent;
use tenure::mesos::wire::Engine;
use tenure::registry::Resource;

use crate::apps::app;
use crate::world::World;

/// An App in containers, on machines of this rack.
fn contained(name: &str, instances: u32, rack: &str) -> Value {
    let mut app = on_rack(name, instances, rack);
    app["spec"]["container"] = json!({"image": "web:1", "network": "host"});
    app
}

fn on_rack(name: &str, instances: u32, rack: &str) -> Value {
    let mut app = app(name, instances, "serve 1");
    app["spec"]["constraints"] = json!([{"attribute": "rack", "operator": "LIKE", "value": rack}]);
    app
}

/// The object of the machine `machine-<index>`.
fn agent(world: &World, index: usize) -> Option<Arc<Agent>> {
    let snapshot = world.snapshot();
    let all = snapshot.list(&Resource::new("tenure.dev", "agents"), None);
    let mut agents = all.map(|doc| doc.typed::<Agent>().unwrap());
    agents.find(|it| it.status.as_ref().is_some_and(|it| it.hostname == format!("machine-{index}")))
}

/// Status and reason of a condition of the machine.
fn condition(world: &World, index: usize, kind: &str) -> String {
    let status = agent(world, index).and_then(|agent| agent.status.clone()).unwrap_or_default();
    let found = status.conditions.into_iter().find(|it| it.type_ == kind);
    found.map_or_else(|| "absent".to_owned(), |it| format!("{} {}", it.status, it.reason))
}

/// The reasons of the Events about the machine.
fn told(world: &World, index: usize) -> Vec<String> {
    let name = agent(world, index).unwrap().metadata.name.clone().unwrap();
    let snapshot = world.snapshot();
    let events = snapshot.list(&Resource::new("", "events"), Some("default"));
    let values = events.map(|doc| doc.typed::<Value>().unwrap());
    let about = values.filter(|it| it["involvedObject"]["name"] == name.as_str());
    about.map(|it| format!("{} {}", it["type"].as_str().unwrap(), it["reason"].as_str().unwrap())).collect()
}

#[tokio::test(start_paused = true)]
async fn machine_whose_engine_does_not_answer_is_not_ready_and_gets_no_containers() {
    let mut world = World::new(2, 61).await;
    for (machine, _) in &world.machines {
        machine.set_engine(Engine::Ready);
    }
    let cluster = world.start_cluster().await;
    let _server = world.start_replica(&cluster);
    world.create(contained("before", 2, "r0")).await;
    world.until_ready("before").await;
    world.until("the engine is told of", |it| condition(it, 0, "DockerReady") == "True DockerReady").await;
    assert_eq!(condition(&world, 0, "Ready"), "True AgentReady");

    world.machines[0].0.set_engine(Engine::Away { why: "connection refused".to_owned() });
    world.until("it is not ready", |it| condition(it, 0, "Ready") == "False DockerUnavailable").await;
    assert_eq!(told(&world, 0), ["Warning DockerUnavailable"]);
    let started = world.machines[0].0.started().len();
    world.create(contained("pinned", 1, "r0")).await;
    world.create(contained("free", 2, "r.*")).await;
    world.until_ready("free").await;
    let waits =
        |it: &World| it.condition("pinned", "Waiting").is_some_and(|why| why.contains("Docker engine"));
    world.until("it says what it waits for", waits).await;
    assert_eq!(world.machines[0].0.started().len(), started, "no container was started");
    world.create(on_rack("plain", 1, "r0")).await;
    world.until_ready("plain").await;
    world.until_ready("before").await;

    world.machines[0].0.set_engine(Engine::Ready);
    world.until_ready("pinned").await;
    assert_eq!(condition(&world, 0, "Ready"), "True AgentReady");
    assert!(told(&world, 0).contains(&"Normal AgentReady".to_owned()), "{:?}", told(&world, 0));
    world.assert_owned();
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn machine_without_an_engine_runs_plain_processes_and_is_ready() {
    let mut world = World::new(1, 62).await;
    world.machines[0].0.set_engine(Engine::Absent { why: "no socket".to_owned() });
    let _server = world.start().await;
    world.create(on_rack("plain", 2, "r0")).await;
    world.until_ready("plain").await;
    world.create(contained("web", 1, "r0")).await;
    world.until("web says why it waits", |it| it.condition("web", "Waiting").is_some()).await;
    assert_eq!(condition(&world, 0, "DockerReady"), "False NoDocker");
    assert_eq!(condition(&world, 0, "Ready"), "True AgentReady");
    world.machines[0].0.set_engine(Engine::Ready);
    world.until_ready("web").await;
    world.assert_owned();
}

#[tokio::test(start_paused = true)]
async fn containers_of_before_a_restart_are_taken_up_when_the_engine_answers() {
    let mut world = World::new(1, 63).await;
    world.machines[0].0.set_engine(Engine::Ready);
    let server = world.start().await;
    world.create(contained("web", 3, "r0")).await;
    world.create(on_rack("plain", 1, "r0")).await;
    world.until_ready("web").await;
    world.until_ready("plain").await;
    server.env.crash();
    world.machines[0].0.set_engine(Engine::Absent { why: "no socket".to_owned() });
    let _server = world.start().await;
    // Plain processes do not wait; containers keep their state, and it is told that nothing is known of them.
    world.edit("plain", json!({"spec": {"instances": 2}})).await;
    world.until_ready("plain").await;
    world
        .until("doubt is told", |world| {
            let tasks = world.live("web");
            let said =
                |it: &tenure::api::Task| it.status.clone().unwrap_or_default().message.unwrap_or_default();
            tasks.len() == 3 && tasks.iter().all(|it| said(it).contains("not known whether it still runs"))
        })
        .await;
    assert_eq!(condition(&world, 0, "Ready"), "False DockerUnavailable", "it had an engine before");
    world.edit("web", json!({"spec": {"instances": 2}})).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(world.machines[0].0.alive().len(), 5, "what cannot be asked about is not ended");
    world.machines[0].0.set_engine(Engine::Ready);
    world.until_ready("web").await;
    let said = world.live("web").iter().filter_map(|it| it.status.clone()?.message).collect::<Vec<_>>();
    assert!(said.is_empty(), "the doubt is over: {said:?}");
    world.assert_owned();
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn idle_machine_that_is_cut_off_turns_unready_and_back() {
    let mut world = World::new(2, 64).await;
    let cluster = world.start_cluster().await;
    let _server = world.start_replica(&cluster);
    // Something must have been wanted once, or no offer was ever looked at.
    world.create(app("web", 2, "serve 1")).await;
    world.until_ready("web").await;
    world.delete("web").await;
    world.until("both are known", |it| (0..2).all(|index| agent(it, index).is_some())).await;
    cluster.agents[1].crash();
    world.until("it is not ready", |it| condition(it, 1, "Ready") == "False Unreachable").await;
    assert_eq!(condition(&world, 0, "Ready"), "True AgentReady");
    assert_eq!(told(&world, 1), ["Warning Unreachable"]);
    let _back = world.start_agent(1, &cluster.master).await;
    world.until("it is ready again", |it| condition(it, 1, "Ready") == "True AgentReady").await;
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn machine_that_the_cluster_does_not_know_any_more_is_forgotten_after_an_hour() {
    let mut world = World::new(1, 65).await;
    let since = "1970-01-01T00:00:00Z";
    world
        .create(json!({
            "apiVersion": "tenure.dev/v1",
            "kind": "Agent",
            "metadata": {"name": "old-s0"},
            "status": {
                "agentId": "old-S0",
                "hostname": "machine-9",
                "conditions": [{"type": "Ready", "status": "True", "reason": "AgentReady", "message": "", "lastTransitionTime": since}],
            },
        }))
        .await;
    let _server = world.start().await;
    world.until("it is gone", |it| condition(it, 9, "Ready") == "False Gone").await;
    tokio::time::sleep(Duration::from_secs(3000)).await;
    assert!(agent(&world, 9).is_some(), "people can still see that it is gone");
    tokio::time::sleep(Duration::from_secs(700)).await;
    world.until("it is forgotten", |it| agent(it, 9).is_none()).await;
}
