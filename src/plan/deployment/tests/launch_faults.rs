//! Launches that fail by the cluster's fault.

use std::time::Duration;

use jiff::Timestamp;

use super::show;
use super::world::World;
use crate::api::{Container, Containerizer, Fetch, Phase, Time};
use crate::plan::gc::{self, Ended, Retention};
use crate::plan::{Again, after};

const NOT_LAUNCHED: &str = "REASON_CONTAINER_LAUNCH_FAILED";
const NOT_FETCHED: &str =
    "Failed to launch container: Failed to fetch all URIs for container '20b2afde': exited with status 1";

/// The last Task got a place and failed a moment later, as Mesos reports it.
fn fail(world: &mut World, reason: &str, message: &str, has_run: bool) -> String {
    let name = world.tasks.last().unwrap().metadata.name.clone().unwrap();
    bind(world, &name);
    world.advance(1);
    end(world, &name, (reason, message), has_run, world.now);
    name
}

fn bind(world: &mut World, name: &str) {
    let binding = world.binding(name);
    world.change(name, |task| task.spec.binding = Some(binding));
}

fn run(world: &mut World, name: &str) {
    let now = world.now;
    world.change(name, |task| {
        let status = task.status.get_or_insert_default();
        (status.phase, status.state) = (Phase::Running, Some("TASK_RUNNING".into()));
        (status.started_at, status.healthy, status.ready) = (Some(Time(now)), Some(true), true);
    });
}

/// A Task failed at `at`, as its agent's clock tells.
fn end(world: &mut World, name: &str, (reason, message): (&str, &str), has_run: bool, at: Timestamp) {
    world.change(name, |task| {
        let status = task.status.get_or_insert_default();
        (status.phase, status.state) = (Phase::Failed, Some("TASK_FAILED".into()));
        (status.reason, status.message) = (Some(reason.into()), Some(message.into()));
        status.started_at = has_run.then_some(Time(at));
        status.finished_at = Some(Time(at));
    });
}

/// The Tasks that have not ended.
fn alive(world: &World) -> Vec<String> {
    let alive = world.tasks.iter().filter(|it| !it.is_terminal());
    alive.map(|it| it.metadata.name.clone().unwrap()).collect()
}

/// All that live got a place and failed a moment later, by clocks that are so far ahead; what is over the history goes.
fn fail_all(world: &mut World, ahead: u64) {
    let names = alive(world);
    names.iter().for_each(|name| bind(world, name));
    world.advance(1);
    for name in names {
        let at = after(world.now, Duration::from_secs(ahead));
        end(world, &name, (NOT_LAUNCHED, NOT_FETCHED), false, at);
    }
}

/// Ended Tasks go as history has it.
fn collect(world: &mut World) {
    let ended = world.tasks.iter().filter_map(|task| {
        let finished = task.status.as_ref()?.finished_at.as_ref()?.0;
        Some(Ended { key: task.metadata.name.clone()?, finished, counted: task.spec.stop.is_some() })
    });
    let (gone, _) = gc::history(&ended.collect::<Vec<_>>(), &Retention::default(), world.now);
    for action in gone {
        let gc::Action::Delete { key } = action else { panic!("{action:?}") };
        world.tasks.retain(|it| it.metadata.name.as_ref() != Some(&key));
    }
}

fn starts(world: &World) -> usize {
    show(&world.plan().actions).iter().filter(|it| it.starts_with("start")).count()
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
    world.apply(&world.plan());
    let over = after(world.now, Duration::from_secs(90));
    assert_eq!(world.plan().again, Again::At(over), "nothing got a place for so long");
    world.advance(600);
    world.apply(&world.plan());
    assert_eq!(world.status().launch_faults, None);
    fail(&mut world, "REASON_EXECUTOR_TERMINATED", "Executor terminated", false);
    assert_eq!(world.plan().actions.len(), 2, "recorded, and started");
    assert_eq!(world.plan().again, Again::OnChange);
}

#[test]
fn an_executor_that_does_not_register_is_no_fault_of_an_app_that_lets_nothing_else_be_fetched() {
    let image = |containerizer| Container { image: "web".into(), containerizer, ..Container::default() };
    for (fetches, container, counts) in [
        (false, None, false),
        (true, None, true),
        (false, Some(image(None)), false),
        (false, Some(image(Some(Containerizer::Docker))), true),
    ] {
        let mut world = World::new(1);
        let case = format!("fetches: {fetches}, {container:?}");
        let file = serde_json::json!({"uri": "http://files/a.tgz"});
        let file = serde_json::from_value::<Fetch>(file).unwrap();
        world.app.spec.template.fetch = fetches.then_some(file).into_iter().collect();
        world.app.spec.template.container = container;
        world.apply(&world.plan());
        let said = "Executor did not register within 1mins";
        fail(&mut world, "REASON_EXECUTOR_REGISTRATION_TIMEOUT", said, false);
        assert_eq!(world.plan().status.backoff.is_some(), counts, "{case}");
    }
}

#[test]
fn an_app_of_more_instances_than_history_keeps_is_paced_just_so_whatever_clocks_its_agents_have() {
    for ahead in [0, 3, 3600] {
        let mut world = World::new(6);
        world.apply(&world.plan());
        fail_all(&mut world, ahead);
        world.apply(&world.plan());
        collect(&mut world);
        for pause in [5, 7, 15, 31, 60, 60] {
            fail_all(&mut world, ahead);
            let plan = world.plan();
            let until = after(world.now, Duration::from_secs(pause));
            assert_eq!((starts(&world), plan.again), (0, Again::At(until)), "{pause} s, {ahead} s ahead");
            world.apply(&plan);
            collect(&mut world);
            world.advance(pause);
            assert_eq!(starts(&world), 6, "{pause} s");
            world.apply(&world.plan());
        }
    }
}

#[test]
fn those_that_fail_a_while_after_others_of_their_wave_do_not_lengthen_the_pause() {
    let mut world = World::new(2);
    world.apply(&world.plan());
    fail_all(&mut world, 0);
    world.apply(&world.plan());
    let names = alive(&world);
    names.iter().for_each(|name| bind(&mut world, name));
    world.advance(1);
    let first = world.now;
    end(&mut world, &names[0], (NOT_LAUNCHED, NOT_FETCHED), false, first);
    world.apply(&world.plan());
    let until = world.status().launch_faults.unwrap().until;
    world.advance(3);
    end(&mut world, &names[1], (NOT_LAUNCHED, NOT_FETCHED), false, after(first, Duration::from_secs(3)));
    let plan = world.plan();
    assert_eq!(plan.status.launch_faults.unwrap().until, until);
    assert_eq!(show(&plan.actions), [format!("record {} Failed", names[1])]);
}

#[test]
fn what_was_recorded_by_a_clock_that_is_an_hour_ahead_holds_nothing_back_for_long() {
    let mut world = World::new(1);
    world.apply(&world.plan());
    world.advance(3600);
    for _ in 0..2 {
        fail_all(&mut world, 0);
        world.apply(&world.plan());
    }
    world.now = Timestamp::from_second(1000).unwrap();
    assert_eq!(world.plan().again, Again::At(after(world.now, Duration::from_secs(60))));
}

#[test]
fn nothing_is_said_of_failed_launches_once_one_runs_or_none_is_on_its_way() {
    let failing = || {
        let mut world = World::new(1);
        world.apply(&world.plan());
        for _ in 0..2 {
            fail_all(&mut world, 0);
            world.apply(&world.plan());
        }
        assert_eq!(world.condition("Degraded").reason, "LaunchFailing");
        world.advance(5);
        world.apply(&world.plan());
        world
    };
    let scaled = |mut world: World| {
        world.app.spec.instances = 2;
        world.apply(&world.plan());
        world.condition("Degraded").reason
    };

    let mut runs = failing();
    let name = alive(&runs).remove(0);
    bind(&mut runs, &name);
    runs.advance(1);
    run(&mut runs, &name);
    runs.apply(&runs.plan());
    assert_eq!(scaled(runs), "NoneFailing", "one that was started later runs");

    let mut waits = failing();
    waits.advance(90);
    assert_eq!(scaled(waits), "NoneFailing", "it found no place for so long");

    let mut fetches = failing();
    let name = alive(&fetches).remove(0);
    bind(&mut fetches, &name);
    fetches.advance(300);
    assert_eq!(scaled(fetches.clone()), "LaunchFailing", "nobody knows yet");
    fail_all(&mut fetches, 0);
    assert_eq!(starts(&fetches), 0, "it belongs to the row");
}
