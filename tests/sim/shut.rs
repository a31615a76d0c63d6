//! A server that the master does not let in: whoever else there is goes on, and one that is alone loses nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use serde_json::json;
use tenure::env::watch;
use tenure::mesos::connection::{Connection, ConnectionError, MayAct, Subscription};
use tenure::mesos::embedded::master::MasterHandle;
use tenure::mesos::wire::TaskId;
use tenure::mesos::wire::scheduler::Call;
use tenure::registry::Resource;
use tenure::store::Revision;

use crate::apps::app;
use crate::world::World;

/// A way to `master` that can be shut: then streams break, and nobody is let in.
#[derive(Debug, Clone)]
struct Door {
    master: MasterHandle,
    shut: watch::Receiver<bool>,
}

impl Door {
    fn to(master: &MasterHandle) -> (Door, watch::Sender<bool>) {
        let (sender, shut) = watch::channel(false);
        (Door { master: master.clone(), shut }, sender)
    }
}

#[async_trait]
impl Connection for Door {
    async fn subscribe(&self, call: Call, may_act: MayAct<'_>) -> Result<Subscription, ConnectionError> {
        if *self.shut.borrow() {
            return Err(ConnectionError::Unreachable { message: "the door is shut".to_owned() });
        }
        let Subscription { events, calls, acknowledgements } = self.master.subscribe(call, may_act).await?;
        let mut shut = self.shut.clone();
        let closed = async move {
            let _closed = shut.wait_for(|shut| *shut).await;
        };
        Ok(Subscription { events: events.take_until(Box::pin(closed)).boxed(), calls, acknowledgements })
    }
}

fn alive(world: &World) -> BTreeSet<TaskId> {
    world.machines.iter().flat_map(|(machine, _)| machine.alive()).collect()
}

/// The revision of every object that loops write.
fn stored(world: &World) -> Vec<Revision> {
    let snapshot = world.snapshot();
    let kinds = ["apps", "revisions", "tasks", "endpoints", "agents"];
    let docs =
        kinds.map(|kind| snapshot.list(&Resource::new("tenure.dev", kind), None).map(|doc| doc.revision()));
    docs.into_iter().flatten().collect()
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_alone_and_not_let_in_touches_nothing_and_goes_on_once_it_is() {
    let mut world = World::new(2, 31).await;
    let cluster = world.start_cluster().await;
    let (door, shut) = Door::to(&cluster.master);
    let replica = world.server_process();
    world.lead_over(&replica, Arc::new(door));
    world.create(app("web", 3, "serve 1")).await;
    world.until_ready("web").await;
    shut.send_replace(true);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let (term, running, before) = (world.leader().await, alive(&world), stored(&world));
    tokio::time::sleep(Duration::from_secs(1200)).await;
    assert_ne!(world.leader().await, term, "it has let others go first");
    assert_eq!(alive(&world), running);
    assert_eq!(stored(&world), before, "nothing was written");

    shut.send_replace(false);
    world.edit("web", json!({"spec": {"instances": 5}})).await;
    world.until_ready("web").await;
    world.assert_owned();
    assert!(running.iter().all(|task| alive(&world).contains(task)));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_not_let_in_makes_way_for_one_that_is() {
    let mut world = World::new(2, 32).await;
    let cluster = world.start_cluster().await;
    let (door, shut) = Door::to(&cluster.master);
    shut.send_replace(true);
    let first = world.server_process();
    world.lead_over(&first, Arc::new(door));
    world.create(app("web", 3, "serve 1")).await;
    world
        .until("it says why", |world| {
            world.condition("web", "Waiting").is_some_and(|why| why.contains("the door is shut"))
        })
        .await;
    let second = world.start_replica(&cluster);
    world.until_ready("web").await;
    let term = world.leader().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.leader().await, term, "who is let in leads on");
    second.env.crash();
    // The first one leads once nobody else does, and says again that it is not let in.
    world.edit("web", json!({"spec": {"instances": 4}})).await;
    world
        .until("it says why", |world| {
            world.condition("web", "Waiting").is_some_and(|why| why.contains("the door is shut"))
        })
        .await;
    shut.send_replace(false);
    world.until_ready("web").await;
    world.assert_owned();
}
