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
