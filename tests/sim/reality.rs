//! Status is never ahead of reality: no Task runs in the store before it was started on its machine, or has ended there
//! while it still runs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tenure::api::{Phase, Task};
use tenure::env::Env;
use tenure::mesos::embedded::simulated::Machine;
use tenure::mesos::wire::TaskId;
use tenure::registry::Resource;
use tenure::store::memory::Fault;

use crate::apps::app;
use crate::world::World;

/// What is wrong with a Task's status, given whether its task was ever started and whether it lives now.
fn ahead(task: &Task, started: bool, alive: bool) -> Option<&'static str> {
    let status = task.status.clone().unwrap_or_default();
    match task.phase() {
        Phase::Running if !started => Some("runs and was never started"),
        Phase::Finished | Phase::Failed if alive => Some("has ended and is alive"),
        // Lost says that nobody knows.
        _ if status.ready && !started => Some("is ready and was never started"),
        _ => None,
    }
}

/// What was seen of all Tasks.
#[derive(Debug, Default)]
struct Seen {
    running: usize,
    ended: usize,
    wrong: Vec<String>,
}

impl Seen {
    fn look(&mut self, task: &Task, machines: &[Machine]) {
        let Some(binding) = &task.spec.binding else { return };
        let id = TaskId::new(binding.mesos_task_id.clone());
        let started = machines.iter().any(|it| it.started().contains(&id));
        let alive = machines.iter().any(|it| it.alive().contains(&id));
        self.running += usize::from(task.phase() == Phase::Running);
        self.ended += usize::from(task.is_terminal());
        if let Some(what) = ahead(task, started, alive) {
            self.wrong.push(format!("{} {what}", task.metadata.name.as_deref().unwrap_or_default()));
        }
    }
}

/// Looks at every version of every Task from now on, with the machines as they are when it is stored.
fn watch(world: &World) -> (Env, Arc<Mutex<Seen>>) {
    let env = Env::simulated("reality", 0, Timestamp::UNIX_EPOCH);
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let machines: Vec<Machine> = world.machines.iter().map(|(machine, _)| machine.clone()).collect();
    let (_, mut changes) = world.people.cache().follow(Some(Resource::new("tenure.dev", "tasks")));
    let found = seen.clone();
    env.spawn("reality", async move {
        while let Ok(changes) = changes.next().await {
            for doc in changes.iter().filter_map(|change| change.new.as_ref()) {
                found.lock().unwrap().look(&doc.typed::<Task>().unwrap(), &machines);
            }
        }
    });
    (env, seen)
}

fn assert_true_to_reality(seen: &Mutex<Seen>) {
    let seen = seen.lock().unwrap();
    assert!(seen.running > 0 && seen.ended > 0, "nothing was looked at: {seen:?}");
    assert!(seen.wrong.is_empty(), "{:#?}", seen.wrong);
}

#[test]
fn status_that_is_ahead_is_found() {
    let task = |state: &str, phase: &str, ready: bool| -> Task {
        let status = json!({"phase": phase, "state": state, "ready": ready});
        let spec = json!({"app": "web", "revision": "web-1", "slot": 0});
        serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": spec, "status": status})).unwrap()
    };
    let rows = [
        (task("TASK_RUNNING", "Running", false), false, false, Some("runs and was never started")),
        (task("TASK_STARTING", "Launching", true), false, false, Some("is ready and was never started")),
        (task("TASK_FAILED", "Failed", false), true, true, Some("has ended and is alive")),
        (task("TASK_RUNNING", "Running", true), true, true, None),
        (task("TASK_RUNNING", "Running", true), true, false, None), // its end is on the way
        (task("TASK_LOST", "Lost", false), true, true, None),
        (task("TASK_FINISHED", "Finished", false), true, false, None),
    ];
    for (task, started, alive, expected) in rows {
        assert_eq!(ahead(&task, started, alive), expected, "{:?}", task.status);
    }
}

#[tokio::test(start_paused = true)]
async fn status_follows_reality_through_updates_failures_and_scaling() {
    let mut world = World::new(1, 81).await;
    let (_watcher, seen) = watch(&world);
    let _server = world.start().await;
    world.create(app("web", 4, "serve 1")).await;
    world.create(app("broken", 1, "crash always")).await;
    world.create(app("missing", 1, "refuse always")).await;
    world.until_ready("web").await;
    world.edit("web", json!({"spec": {"cmd": "serve 2"}})).await;
    world.until_ready("web").await;
    world.edit("web", json!({"spec": {"instances": 1}})).await;
    world.until_ready("web").await;
    assert_true_to_reality(&seen);
}

#[tokio::test(start_paused = true)]
async fn status_follows_reality_whenever_the_server_dies() {
    for polls in (1..1500).step_by(71) {
        let mut world = World::new(1, polls).await;
        let (_watcher, seen) = watch(&world);
        let doomed = world.server_process();
        doomed.crash_after(polls);
        let _begun = tokio::time::timeout(Duration::from_secs(1), world.start_on(doomed.clone())).await;
        world.create(app("web", 3, "serve 1")).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        doomed.crash();
        let _server = world.start().await;
        world.until_ready("web").await;
        world.edit("web", json!({"spec": {"cmd": "serve 2"}})).await;
        world.until_ready("web").await;
        assert_true_to_reality(&seen);
    }
}

#[tokio::test(start_paused = true)]
async fn status_follows_reality_through_lost_agents_and_a_store_that_misbehaves() {
    let mut world = World::new(2, 83).await;
    let (_watcher, seen) = watch(&world);
    let cluster = world.start_cluster().await;
    let _server = world.start_replica(&cluster);
    world.create(app("web", 4, "serve 1")).await;
    world.until_ready("web").await;
    for fault in [Fault::LoseAnswers(3), Fault::RepeatBatches(3), Fault::DelayEvents(2), Fault::BreakWatches]
    {
        world.store.inject(fault);
        world.edit("web", json!({"metadata": {"labels": {"touched": "yes"}}})).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    cluster.agents[0].crash();
    world.edit("web", json!({"spec": {"cmd": "serve 2"}})).await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    let _agent = world.start_agent(0, &cluster.master).await;
    world.store.heal();
    world.until_ready("web").await;
    assert_true_to_reality(&seen);
}
