//! What the cluster is asked when some of its machines are gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tenure::mesos::wire::AgentId;
use tenure::mesos::wire::scheduler::Reconcile;

use crate::apps::app;
use crate::noted::Noted;
use crate::world::World;

fn questions(noted: &Noted) -> Vec<Reconcile> {
    noted.take().into_iter().filter_map(|call| call.reconcile).collect()
}

/// In a large cluster some machine is always gone: asking about all tasks each time would drown what is news.
#[tokio::test(start_paused = true)]
async fn machine_that_is_gone_is_asked_about_and_no_other() {
    let mut world = World::new(4, 76).await;
    let cluster = world.start_cluster().await;
    let noted = Noted::new(&cluster.master);
    let replica = world.server_process();
    world.lead_over(&replica, Arc::new(noted.clone()));
    let mut web = app("web", 8, "serve 1");
    web["spec"]["constraints"] = json!([{"attribute": "hostname", "operator": "MAX_PER", "value": "2"}]);
    world.create(web).await;
    world.until_ready("web").await;
    // Between two rounds about everything, which are ten minutes apart by now.
    tokio::time::sleep(Duration::from_secs(1100)).await;
    let everything = questions(&noted);
    assert!(
        everything.iter().any(|it| it.tasks.is_empty()),
        "what the store does not know was never asked about"
    );
    assert!(everything.iter().any(|it| it.tasks.len() == 8), "the Tasks were never asked about");

    cluster.agents[0].crash();
    tokio::time::sleep(Duration::from_secs(250)).await;
    let asked = questions(&noted);
    assert!(asked.iter().all(|it| !it.tasks.is_empty()), "asked about everything: {asked:?}");
    let agents: BTreeSet<Option<AgentId>> =
        asked.iter().flat_map(|it| &it.tasks).map(|task| task.agent_id.clone()).collect();
    assert_eq!(agents.len(), 1, "asked about machines that are not gone: {agents:?}");
}
