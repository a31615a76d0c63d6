//! An App from its first task to its last.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::apps::app;
use crate::world::World;

#[tokio::test(start_paused = true)]
async fn app_of_three_converges_publishes_and_is_quiet() {
    let mut world = World::new(1, 1).await;
    let _server = world.start().await;
    world.create(app("web", 3, "serve 1")).await;
    world.until_ready("web").await;
    let status = world.app("web").unwrap().status.clone().unwrap();
    assert_eq!((status.running, status.healthy, status.ready, status.updated), (3, 3, 3, 3));
    world.assert_owned();
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn app_is_scaled_up_and_down() {
    let mut world = World::new(1, 2).await;
    let _server = world.start().await;
    world.create(app("web", 2, "serve 1")).await;
    world.until_ready("web").await;
    let first: Vec<_> = world.live("web").iter().map(|it| it.metadata.name.clone()).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.edit("web", json!({"spec": {"instances": 5}})).await;
    world.until_ready("web").await;
    world.edit("web", json!({"spec": {"instances": 2}})).await;
    world.until_ready("web").await;
    let last: Vec<_> = world.live("web").iter().map(|it| it.metadata.name.clone()).collect();
    assert_eq!(first, last, "the youngest went first");
    world.edit("web", json!({"spec": {"instances": 0}})).await;
    world.until("nothing lives", |world| world.live("web").is_empty()).await;
    world.until("nothing runs", |world| world.machines[0].0.alive().is_empty()).await;
    world.assert_owned();
}

#[tokio::test(start_paused = true)]
async fn update_replaces_every_task_within_its_bounds() {
    let mut world = World::new(1, 3).await;
    let _server = world.start().await;
    world.create(app("web", 4, "serve 1")).await;
    world.until_ready("web").await;
    let before = world.app("web").unwrap().status.clone().unwrap().revision;
    world.edit("web", json!({"spec": {"cmd": "serve 2"}})).await;
    world.until_ready("web").await;
    let after = world.app("web").unwrap().status.clone().unwrap().revision;
    assert_ne!(before, after);
    assert!(world.live("web").iter().all(|task| Some(&task.spec.revision) == after.as_ref()));
    world.assert_owned();
    world.assert_quiet().await;
}

/// What a launch leaves of an offer comes back at the master's next allocation (each second); were it filtered, the next
/// Task would wait until a REVIVE is allowed.
#[tokio::test(start_paused = true)]
async fn launches_that_follow_each_other_do_not_wait_for_a_revive() {
    let mut world = World::new(1, 9).await;
    let _server = world.start().await;
    world.create(app("web", 1, "serve 1")).await;
    world.until_ready("web").await;
    for instances in 2..6 {
        let begun = Instant::now();
        world.edit("web", json!({"spec": {"instances": instances}})).await;
        world.until_ready("web").await;
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(3), "{took:?} of simulated time until instance {instances} ran");
    }
}

#[tokio::test(start_paused = true)]
async fn update_is_redirected_in_the_middle_by_a_newer_one() {
    let mut world = World::new(1, 4).await;
    let _server = world.start().await;
    world.create(app("web", 6, "serve 1")).await;
    world.until_ready("web").await;
    world.edit("web", json!({"spec": {"cmd": "refuse 2"}})).await;
    world
        .until("the bad update is under way", |world| {
            world.tasks("web").iter().any(|task| task.status.as_ref().is_some_and(|it| it.message.is_some()))
        })
        .await;
    assert!(world.published("web").len() >= 6, "a revision that does not start costs nothing");
    world.edit("web", json!({"spec": {"cmd": "serve 3", "instances": 5}})).await;
    world.until_ready("web").await;
    world.assert_owned();
    world.edit("web", json!({"spec": {"cmd": "serve 1"}})).await;
    world.until_ready("web").await;
    world.assert_owned();
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn app_that_is_deleted_leaves_nothing() {
    let mut world = World::new(1, 5).await;
    let _server = world.start().await;
    world.create(app("web", 3, "serve 1")).await;
    world.until_ready("web").await;
    world.delete("web").await;
    world
        .until("the app is gone with all it had", |world| {
            let snapshot = world.snapshot();
            let left = ["apps", "tasks", "revisions", "endpoints"];
            left.iter().all(|it| snapshot.count(&tenure::registry::Resource::new("tenure.dev", it)) == 0)
        })
        .await;
    assert!(world.machines[0].0.alive().is_empty());
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn tasks_beyond_the_machine_wait_and_say_why() {
    let mut world = World::new(1, 6).await;
    let _server = world.start().await;
    let mut big = app("web", 3, "serve 1");
    big["spec"]["resources"] = json!({"cpus": 2, "memory": "64Mi"});
    world.create(big).await;
    world
        .until("one task waits for cpus", |world| {
            let waiting = world.condition("web", "Waiting").unwrap_or_default();
            waiting.starts_with("1 task waits") && waiting.contains("cpus")
        })
        .await;
    assert_eq!(world.published("web").len(), 2);
    world.edit("web", json!({"spec": {"instances": 2}})).await;
    world.until_ready("web").await;
    world.until("nothing waits", |world| !world.is("web", "Waiting")).await;
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn task_waits_for_a_secret_and_starts_once_it_is_there() {
    let mut world = World::new(1, 7).await;
    let _server = world.start().await;
    let mut secretive = app("web", 1, "serve 1");
    secretive["spec"]["env"] =
        json!([{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]);
    world.create(secretive).await;
    world
        .until("it waits for the secret", |world| {
            world.condition("web", "Waiting").as_deref() == Some("1 task waits: Secret db does not exist")
        })
        .await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"namespace": "shop", "name": "db"}, "data": {"password": "aHVudGVyMg=="},
    });
    world.create(secret).await;
    world.until_ready("web").await;
    world.assert_owned();
}

#[tokio::test(start_paused = true)]
async fn crash_loop_backs_off_and_recovers_with_a_better_revision() {
    let mut world = World::new(1, 8).await;
    let _server = world.start().await;
    world.create(app("web", 1, "crash always")).await;
    world
        .until("several failures in a row", |world| {
            let status = world.app("web").and_then(|app| app.status.clone()).unwrap_or_default();
            status.backoff.is_some_and(|it| it.failures >= 8)
        })
        .await;
    let started = world.machines[0].0.started().len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let in_a_minute = world.machines[0].0.started().len() - started;
    assert!(in_a_minute < 25, "{in_a_minute} starts in a minute are no backoff");
    world.edit("web", json!({"spec": {"cmd": "serve 2"}})).await;
    world.until_ready("web").await;
    world.assert_owned();
}

#[tokio::test(start_paused = true)]
async fn unhealthy_task_is_replaced() {
    let mut world = World::new(1, 9).await;
    let _server = world.start().await;
    let mut sick = app("web", 2, "sicken soon");
    sick["spec"]["healthChecks"] = json!([{"tcp": {"port": "http"}}]);
    world.create(sick).await;
    world
        .until("both are healthy", |world| {
            world.app("web").and_then(|app| app.status.clone()).is_some_and(|it| it.healthy == 2)
        })
        .await;
    world
        .until("one was stopped as unhealthy and replaced", |world| world.machines[0].0.started().len() > 2)
        .await;
    world.edit("web", json!({"spec": {"cmd": "checked now"}})).await;
    world.until_ready("web").await;
    world.assert_owned();
}

#[tokio::test(start_paused = true)]
async fn task_that_vanishes_is_replaced() {
    let mut world = World::new(1, 10).await;
    let server = world.start().await;
    world.create(app("web", 2, "serve 1")).await;
    world.until_ready("web").await;
    server.env.crash();
    let lost = world.machines[0].0.alive().into_iter().next().unwrap();
    world.machines[0].0.lose(&lost);
    let _server = world.start().await;
    world
        .until("the lost one is told", |world| world.tasks("web").iter().any(|task| task.is_terminal()))
        .await;
    world.until_ready("web").await;
    world.assert_owned();
}
