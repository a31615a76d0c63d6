//! The server dies at any moment and starts again on the same store and machine.

use serde_json::json;

use crate::apps::app;
use crate::world::World;

/// An App is created, updated and scaled while the server dies after `polls` polls of its life; then all must be well.
async fn dies_after(polls: u64, seed: u64) {
    let mut world = World::new(1, seed).await;
    let doomed = world.server_process();
    doomed.crash_after(polls);
    // A server that dies while it starts is started again by whoever supervises it.
    let begun = tokio::time::timeout(std::time::Duration::from_secs(1), world.start_on(doomed.clone())).await;
    world.create(app("web", 3, "serve 1")).await;
    if begun.is_ok() {
        tokio::time::sleep(std::time::Duration::from_secs(15)).await;
        world.edit("web", json!({"spec": {"cmd": "serve 2"}})).await;
        tokio::time::sleep(std::time::Duration::from_secs(15)).await;
    }
    doomed.crash();
    let _server = world.start().await;
    world.until_ready("web").await;
    world.assert_owned();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_or_doubled_whenever_the_server_dies() {
    for polls in (1..400).step_by(13) {
        dies_after(polls, polls).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_or_doubled_whenever_the_server_dies_later() {
    for polls in (400..4000).step_by(97) {
        dies_after(polls, polls).await;
    }
}

#[tokio::test(start_paused = true)]
async fn server_that_dies_while_it_registers_with_a_cluster_leaves_it_usable() {
    for polls in 1..150 {
        let mut world = World::new(1, polls).await;
        let cluster = world.start_cluster().await;
        let first = world.start_replica(&cluster);
        first.env.crash_after(polls);
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        first.env.crash();
        let _second = world.start_replica(&cluster);
        world.create(app("web", 1, "serve 1")).await;
        world.until_ready("web").await;
        world.assert_owned();
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_or_doubled_when_the_server_dies_at_a_seam() {
    for seam in ["planned", "bound", "agent-journalled", "published", "status-committed"] {
        for nth in 1..4 {
            let mut world = World::new(1, u64::from(nth)).await;
            let doomed = world.server_process();
            doomed.crash_at_seam(seam, nth);
            world.start_on(doomed.clone()).await;
            world.create(app("web", 3, "serve 1")).await;
            tokio::time::sleep(std::time::Duration::from_secs(15)).await;
            world.edit("web", json!({"spec": {"cmd": "serve 2"}})).await;
            tokio::time::sleep(std::time::Duration::from_secs(15)).await;
            assert!(doomed.is_crashed(), "the server never came to {seam} for the {nth}. time");
            let _server = world.start().await;
            world.until_ready("web").await;
            world.assert_owned();
        }
    }
}
