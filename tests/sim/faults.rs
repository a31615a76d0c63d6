//! A store that misbehaves while an App is updated.

use std::time::Duration;

use serde_json::json;
use tenure::store::memory::Fault;

use crate::apps::app;
use crate::world::World;

/// Updates an App while the store misbehaves; once it no longer does, everything converges.
async fn converges_after(seed: u64, fault: fn() -> Fault) {
    let mut world = World::new(1, seed).await;
    let _server = world.start().await;
    world.create(app("web", 3, "serve 1")).await;
    world.until_ready("web").await;
    world.edit("web", json!({"spec": {"cmd": "serve 2"}})).await;
    for _ in 0..10 {
        world.store.inject(fault());
        tokio::time::sleep(Duration::from_millis(137)).await;
    }
    world.store.heal();
    world.edit("web", json!({"spec": {"instances": 4}})).await;
    world.until_ready("web").await;
    world.assert_owned();
}

#[tokio::test(start_paused = true)]
async fn refused_requests_are_tried_again() {
    converges_after(31, || Fault::RefuseNext(5)).await;
}

#[tokio::test(start_paused = true)]
async fn lost_answers_double_nothing() {
    converges_after(32, || Fault::LoseAnswers(3)).await;
}

#[tokio::test(start_paused = true)]
async fn slow_store_slows_down_and_breaks_nothing() {
    converges_after(33, || Fault::Delay(Duration::from_millis(300))).await;
}

#[tokio::test(start_paused = true)]
async fn watches_that_break_repeat_or_reorder_events_change_nothing() {
    converges_after(34, || Fault::BreakWatches).await;
    converges_after(35, || Fault::RepeatBatches(3)).await;
    converges_after(36, || Fault::DelayEvents(2)).await;
}

#[tokio::test(start_paused = true)]
async fn store_that_is_full_is_waited_out() {
    converges_after(37, || Fault::Full).await;
}
