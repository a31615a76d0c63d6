//! KILL, and a master that does not know the task.

use std::sync::Arc;

use serde_json::json;
use tenure::mesos::embedded::master::{self, MasterConfig};
use tenure::mesos::wire::CallType;

use crate::apps::app;
use crate::noted::Noted;
use crate::world::World;

/// The new master of a cluster has never heard of a machine that is away, so it knows no task of it: told to end one, it answers
/// TASK_UNKNOWN.
#[tokio::test(start_paused = true)]
async fn task_that_the_master_does_not_know_is_not_told_to_end_again_and_again() {
    let mut world = World::new(1, 75).await;
    let cluster = world.start_cluster().await;
    let server = world.start_replica(&cluster);
    let mut web = app("web", 2, "serve 1");
    web["spec"]["unreachable"] = json!({"inactiveAfter": "60s", "expungeAfter": "2h"});
    world.create(web).await;
    world.until_ready("web").await;
    server.env.crash();
    cluster.agents[0].crash();

    let env = world.server_process();
    let master = master::start(&env, MasterConfig::default(), std::collections::BTreeSet::new());
    let noted = Noted::new(&master);
    let replica = world.server_process();
    world.lead_over(&replica, Arc::new(noted.clone()));
    let all = world.live("web");
    for task in &all {
        world.change_task(task, json!({"metadata": {"deletionTimestamp": "now"}})).await;
    }
    tokio::time::sleep(std::time::Duration::from_secs(1800)).await;
    let told = noted.take().iter().filter(|call| call.r#type() == CallType::Kill).count();
    assert!(told <= 2 * all.len(), "{told} KILLs of {} tasks", all.len());

    let _agent = world.start_agent(0, &master).await;
    world.edit("web", json!({"spec": {"instances": 0}})).await;
    world.until("they have ended", |world| world.machines[0].0.alive().is_empty()).await;
    world.until("all are gone", |world| world.tasks("web").is_empty()).await;
}
