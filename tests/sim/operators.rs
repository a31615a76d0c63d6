//! What an operator does to agents, and what befalls the master: Tenure replaces what must be replaced, and no more.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tenure::mesos::embedded::master::Disturbance;
use tenure::mesos::wire::{AgentId, TaskId};

use crate::apps::app;
use crate::world::{Cluster, Server, World};

/// Two machines, a server and an App whose two instances run on a machine each.
async fn spread(seed: u64) -> (World, Cluster, Server) {
    let mut world = World::new(2, seed).await;
    let cluster = world.start_cluster().await;
    let server = world.start_replica(&cluster);
    let mut app = app("web", 2, "serve 1");
    app["spec"]["constraints"] = json!([{"attribute": "hostname", "operator": "GROUP_BY", "value": "2"}]);
    world.create(app).await;
    world.until_ready("web").await;
    assert!(world.machines.iter().all(|(machine, _)| machine.alive().len() == 1), "{}", world.describe());
    (world, cluster, server)
}

fn alive(world: &World) -> Vec<BTreeSet<TaskId>> {
    world.machines.iter().map(|(machine, _)| machine.alive()).collect()
}

/// The agent of a machine: they registered one after the other.
async fn agent(cluster: &Cluster, machine: usize) -> AgentId {
    cluster.master.agents().await[machine].id.clone()
}

/// Waits until both instances run on the second machine, and are published.
async fn until_second_machine_has_all(world: &World) {
    world
        .until("the second machine has all", |world| {
            world.published("web").len() == 2
                && world.machines[1].0.alive().len() == 2
                && world.live("web").len() == 2
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_new_master_with_an_empty_memory_costs_no_task() {
    let (mut world, cluster, _server) = spread(51).await;
    let before = alive(&world);
    cluster.master.fail_over(Duration::from_secs(7)).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(before, alive(&world));
    world.until_ready("web").await;
    world.edit("web", json!({"spec": {"cmd": "serve 2"}})).await;
    world.until("the update is under way", |world| world.tasks("web").len() > 2).await;
    cluster.master.fail_over(Duration::from_secs(1)).await;
    world.until_ready("web").await;
    world.assert_owned();
    world.assert_quiet().await;
    world.start_agent(0, &cluster.master).await;
}

#[tokio::test(start_paused = true)]
async fn the_tasks_of_a_drained_agent_move_and_it_gets_none_until_it_is_reactivated() {
    let (mut world, cluster, _server) = spread(52).await;
    // The other machine alone may not satisfy the constraint of the first placement.
    world.edit("web", json!({"spec": {"constraints": []}})).await;
    world.until_ready("web").await;
    let drained = agent(&cluster, 0).await;
    cluster.master.drain_agent(&drained, Some(Duration::from_secs(1)), false).await.unwrap();
    until_second_machine_has_all(&world).await;
    world.edit("web", json!({"spec": {"instances": 4}})).await;
    world.until_ready("web").await;
    assert!(world.machines[0].0.alive().is_empty());
    cluster.master.reactivate_agent(&drained).await.unwrap();
    world.edit("web", json!({"spec": {"instances": 2, "cmd": "serve 2"}})).await;
    world.until_ready("web").await;
    world.assert_owned();
    world.assert_quiet().await;
    world.start_agent(1, &cluster.master).await;
}

#[tokio::test(start_paused = true)]
async fn the_tasks_of_a_gone_agent_are_replaced_at_once() {
    let (world, cluster, _server) = spread(53).await;
    world.edit("web", json!({"spec": {"constraints": []}})).await;
    world.until_ready("web").await;
    cluster.master.mark_agent_gone(&agent(&cluster, 0).await).await.unwrap();
    until_second_machine_has_all(&world).await;
    assert!(world.machines[0].0.alive().is_empty());
    world.assert_owned();
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_heals_leaves_no_surplus() {
    let (world, cluster, _server) = spread(54).await;
    world.edit("web", json!({"spec": {"constraints": []}})).await;
    world.until_ready("web").await;
    let cut_off = agent(&cluster, 0).await;
    cluster.master.cut_off_agent(&cut_off).await;
    until_second_machine_has_all(&world).await;
    cluster.master.restore_agent(&cut_off).await;
    world
        .until("two instances are left", |world| {
            alive(world).iter().map(BTreeSet::len).sum::<usize>() == 2 && world.live("web").len() == 2
        })
        .await;
    world.until_ready("web").await;
    world.assert_owned();
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn lost_and_late_messages_of_agents_and_rescinded_offers_delay_an_update_and_break_nothing() {
    let (world, cluster, _server) = spread(55).await;
    for round in 2..8 {
        for machine in 0..2 {
            let disturbance = Disturbance {
                lose_from_agent: round % 3,
                lose_to_agent: (round + 1) % 3,
                delay_from_agent: Duration::from_millis(u64::from(round) * 40),
                ..Disturbance::default()
            };
            cluster.master.disturb_link(&agent(&cluster, machine).await, disturbance).await;
        }
        world.edit("web", json!({"spec": {"cmd": format!("serve {round}")}})).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        cluster.master.rescind_offers(None).await;
        cluster.master.begin_interval().await;
    }
    // Messages get lost when a link breaks: then the agent registers again, and says what never came.
    for machine in 0..2 {
        let agent = agent(&cluster, machine).await;
        cluster.master.cut_off_agent(&agent).await;
        cluster.master.restore_agent(&agent).await;
    }
    world.until_ready("web").await;
    world.assert_owned();
}
