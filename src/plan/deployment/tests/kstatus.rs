//! An App as the kstatus library reads it, by which Flux, Argo CD's health checks and `kpt` decide what they wait for.

use super::world::World;
use super::{FULL, Time, world};
use crate::plan::kstatus::kstatus;

/// What kstatus says once the plan's status is written.
fn seen(mut world: World) -> &'static str {
    world.apply(&world.plan());
    kstatus(&serde_json::to_value(&world.app).unwrap())
}

#[test]
fn an_app_is_current_exactly_when_it_is_ready() {
    for (instances, tasks, expected) in [
        (0, "", "Current"),
        (2, "", "InProgress"),
        (2, "new0=ready new1=pending", "InProgress"),
        (2, "new0=ready new1=healthy", "InProgress"),
        (2, "new0=ready new1=unhealthy", "InProgress"),
        (2, "new0=ready new1=cutoff", "InProgress"),
        (2, "new0=ready new1=ready", "Current"),
        (2, "old0=ready old1=ready", "InProgress"),
        (2, "new0=ready new1=ready old1=stopping", "InProgress"),
        (1, "new0=ready new1=ready", "InProgress"),
    ] {
        let world = world(instances, FULL, tasks);
        let mut after = world.clone();
        after.apply(&after.plan());
        let ready = after.condition("Ready").status == "True";
        assert_eq!((seen(world), ready), (expected, expected == "Current"), "{instances}: {tasks}");
    }
}

#[test]
fn an_app_that_was_changed_is_in_progress_before_anybody_has_looked() {
    let mut world = world(1, FULL, "new0=ready");
    world.apply(&world.plan());
    world.app.metadata.generation = Some(2);
    assert_eq!(kstatus(&serde_json::to_value(&world.app).unwrap()), "InProgress");
    assert_eq!(seen(world), "Current");
}

#[test]
fn an_app_that_goes_is_terminating_and_one_that_keeps_failing_has_failed() {
    let mut going = world(1, FULL, "new0=ready");
    going.app.metadata.deletion_timestamp = Some(Time(going.now));
    assert_eq!(seen(going), "Terminating");

    let mut failing = World::new(1);
    failing.app.spec.backoff.max = crate::api::Span::from_secs(5);
    failing.apply(&failing.plan());
    for times in 1..=5 {
        let name = failing.tasks.last().unwrap().metadata.name.clone().unwrap();
        let binding = failing.binding(&name);
        failing.change(&name, |task| {
            task.spec.binding = Some(binding);
            task.status.get_or_insert_default().phase = crate::api::Phase::Failed;
        });
        let expected = if times < 5 { "InProgress" } else { "Failed" };
        assert_eq!(seen(failing.clone()), expected, "after {times} failures");
        failing.apply(&failing.plan());
        failing.advance(5);
        failing.apply(&failing.plan());
    }
}
