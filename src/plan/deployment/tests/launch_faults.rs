//! Launches that fail by the cluster's fault.

use super::show;
use super::world::World;
use crate::api::{Fetch, Phase, Time};
use crate::plan::{Again, after};

const NOT_FETCHED: &str =
    "Failed to launch container: Failed to fetch all URIs for container '20b2afde': exited with status 1";

/// The last Task got a place and failed a moment later, as Mesos reports it.
fn fail(world: &mut World, reason: &str, message: &str, has_run: bool) -> String {
    let name = world.tasks.last().unwrap().metadata.name.clone().unwrap();
    let binding = world.binding(&name);
    world.advance(1);
    let now = world.now;
    world.change(&name, |task| {
        task.spec.binding = Some(binding);
        let status = task.status.get_or_insert_default();
        (status.phase, status.state) = (Phase::Failed, Some("TASK_FAILED".into()));
        (status.reason, status.message) = (Some(reason.into()), Some(message.into()));
        status.started_at = has_run.then_some(Time(now));
        status.finished_at = Some(Time(now));
    });
    name
}

fn launched(fetches: bool) -> World {
    let mut world = World::new(1);
    if fetches {
        let file = serde_json::json!({"uri": "http://files/a.tgz"});
        world.app.spec.template.fetch = vec![serde_json::from_value::<Fetch>(file).unwrap()];
    }
    world.apply(&world.plan());
    world
}

#[test]
fn an_executor_that_is_not_fetched_or_ends_before_its_task_runs_is_no_fault_of_the_app() {
    let (failed, ended) = ("REASON_CONTAINER_LAUNCH_FAILED", "REASON_EXECUTOR_TERMINATED");
    for (reason, message, fetches, has_run, counts) in [
        (failed, NOT_FETCHED, false, false, false),
        (failed, NOT_FETCHED, true, false, true),
        (failed, "Failed to launch container: Failed to create image: no such image", false, false, true),
        (ended, "Executor terminated", false, false, false),
        (ended, "Executor terminated", false, true, true),
    ] {
        let mut world = launched(fetches);
        let name = fail(&mut world, reason, message, has_run);
        let plan = world.plan();
        let case = format!("{message}, fetches: {fetches}, ran: {has_run}");
        assert_eq!(plan.status.backoff.is_some(), counts, "{case}");
        let recorded = format!("record {name} Failed");
        let expected = if counts { vec![recorded] } else { vec![recorded, "start 0".to_owned()] };
        assert_eq!(show(&plan.actions), expected, "{case}: at once if it is not its fault");
    }
}

#[test]
fn launches_that_the_cluster_fails_again_and_again_are_paced_and_told() {
    let mut world = launched(false);
    fail(&mut world, "REASON_CONTAINER_LAUNCH_FAILED", NOT_FETCHED, false);
    world.apply(&world.plan());
    for pause in [5, 7, 15, 31, 60, 60] {
        let name = fail(&mut world, "REASON_CONTAINER_LAUNCH_FAILED", NOT_FETCHED, false);
        let plan = world.plan();
        assert_eq!(show(&plan.actions), [format!("record {name} Failed")]);
        let until = after(world.now, std::time::Duration::from_secs(pause));
        assert_eq!((plan.status.backoff.clone(), plan.again), (None, Again::At(until)));
        let degraded = plan.status.conditions.iter().find(|it| it.type_ == "Degraded").unwrap();
        assert_eq!((degraded.status.as_str(), degraded.reason.as_str()), ("True", "LaunchFailing"));
        assert!(degraded.message.contains("Failed to fetch all URIs"), "{}", degraded.message);
        world.apply(&plan);
        world.advance(pause);
        assert_eq!(show(&world.plan().actions), ["start 0"]);
        world.apply(&world.plan());
    }
}

#[test]
fn what_fails_long_after_another_is_started_at_once_again() {
    let mut world = launched(false);
    fail(&mut world, "REASON_EXECUTOR_TERMINATED", "Executor terminated", false);
    world.advance(600);
    world.apply(&world.plan());
    fail(&mut world, "REASON_EXECUTOR_TERMINATED", "Executor terminated", false);
    assert_eq!(world.plan().actions.len(), 2, "recorded, and started");
    assert_eq!(world.plan().again, Again::OnChange);
}
