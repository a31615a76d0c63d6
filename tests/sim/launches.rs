//! Launches that take long.

use std::time::Duration;

use crate::apps::app;
use crate::world::World;

/// After this long, questions about everything are ten minutes apart.
const SETTLED: Duration = Duration::from_secs(420);

#[tokio::test(start_paused = true)]
async fn a_launch_of_which_nothing_is_heard_goes_on_while_the_master_knows_of_it() {
    let mut world = World::new(1, 11).await;
    let _server = world.start().await;
    tokio::time::sleep(SETTLED).await;
    // The agent fetches for 400 s, and reports nothing before it is done.
    world.create(app("web", 2, "silent 1")).await;
    world.until_ready("web").await;
    let tasks = world.tasks("web");
    assert!(tasks.iter().all(|task| task.spec.stop.is_none()) && tasks.len() == 2, "{}", world.describe());
    assert_eq!(world.machines[0].0.started().len(), 2, "each was started once");
    world.assert_owned();
}

#[tokio::test(start_paused = true)]
async fn a_launch_of_which_nothing_is_heard_goes_on_while_a_new_master_waits_for_its_agent() {
    let mut world = World::new(1, 12).await;
    let cluster = world.start_cluster().await;
    let _server = world.start_replica(&cluster);
    tokio::time::sleep(SETTLED).await;
    world.create(app("web", 1, "silent 1")).await;
    world
        .until("it has a place", |world| world.tasks("web").iter().any(|it| it.spec.binding.is_some()))
        .await;
    tokio::time::sleep(Duration::from_secs(280)).await;
    let agent = cluster.master.agents().await[0].id.clone();
    cluster.master.cut_off_agent(&agent).await;
    cluster.master.fail_over(Duration::from_secs(1)).await;
    // By now it would have been asked about in vain.
    tokio::time::sleep(Duration::from_secs(180)).await;
    assert_eq!(world.tasks("web")[0].phase(), tenure::api::Phase::Bound, "{}", world.describe());
    cluster.master.restore_agent(&agent).await;
    world.until_ready("web").await;
    let tasks = world.tasks("web");
    assert!(tasks.iter().all(|task| task.spec.stop.is_none()) && tasks.len() == 1, "{}", world.describe());
    assert_eq!(world.machines[0].0.started().len(), 1);
    world.assert_owned();
}
