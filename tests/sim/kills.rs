//! KILL, and a master that does not know the task.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use serde_json::json;
use tenure::mesos::connection::{CallPipe, Connection, ConnectionError, Subscription};
use tenure::mesos::embedded::master::{self, MasterConfig, MasterHandle};
use tenure::mesos::wire::CallType;
use tenure::mesos::wire::scheduler::Call;

use crate::apps::app;
use crate::world::World;

/// A connection that counts the KILLs that it carries.
#[derive(Debug, Clone)]
struct Counting {
    master: MasterHandle,
    kills: Arc<AtomicU64>,
}

struct CountingCalls {
    inner: Box<dyn CallPipe>,
    kills: Arc<AtomicU64>,
}

impl fmt::Debug for CountingCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CountingCalls").field(&self.inner).finish()
    }
}

#[async_trait]
impl Connection for Counting {
    async fn subscribe(&self, call: Call) -> Result<Subscription, ConnectionError> {
        let Subscription { events, calls } = self.master.subscribe(call).await?;
        let calls = CountingCalls { inner: calls, kills: self.kills.clone() };
        Ok(Subscription { events, calls: Box::new(calls) })
    }
}

#[async_trait]
impl CallPipe for CountingCalls {
    async fn send(&mut self, call: &Call) -> Result<(), ConnectionError> {
        self.kills.fetch_add(u64::from(call.r#type() == CallType::Kill), Ordering::Relaxed);
        self.inner.send(call).await
    }
}

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
    let counting = Counting { master: master.clone(), kills: Arc::default() };
    let kills = counting.kills.clone();
    let replica = world.server_process();
    world.lead_over(&replica, Arc::new(counting));
    let all = world.live("web");
    for task in &all {
        world.change_task(task, json!({"metadata": {"deletionTimestamp": "now"}})).await;
    }
    tokio::time::sleep(std::time::Duration::from_secs(1800)).await;
    let told = kills.load(Ordering::Relaxed);
    assert!(told <= 2 * all.len() as u64, "{told} KILLs of {} tasks", all.len());

    let _agent = world.start_agent(0, &master).await;
    world.edit("web", json!({"spec": {"instances": 0}})).await;
    world.until("they have ended", |world| world.machines[0].0.alive().is_empty()).await;
    world.until("all are gone", |world| world.tasks("web").is_empty()).await;
}
