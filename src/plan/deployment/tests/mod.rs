//! Tables of cases, and walks through the life of an App.

mod kstatus;
mod launch_faults;
mod walk;
mod world;

use jiff::Timestamp;

use super::{Action, Dependency};
use crate::api::{KillSelection, Maintenance, Phase, Span, TaskStatus, Time, Update, labels};
use crate::plan::{Again, after, maintenance, micro_time};
use world::World;

/// What a plan does to Tasks, one word each: `stop old0 Replaced`, `start 1 beside old1`.
fn show(actions: &[Action]) -> Vec<String> {
    let one = |action: &Action| match action {
        Action::CreateTask(task) => {
            let beside = task.spec.replaces.as_ref().map(|it| format!(" beside {it}")).unwrap_or_default();
            format!("start {}{beside}", task.spec.slot)
        }
        Action::StopTask { name, stop } => format!("stop {name} {}", stop.reason),
        Action::RecordEnd { name, stop } => format!("record {name} {}", stop.reason),
        Action::CreateRevision(revision) => format!("revision {}", revision.spec.number),
        Action::RenumberRevision { number, .. } => format!("renumber {number}"),
        Action::RemoveRevision { name } => format!("remove {name}"),
        Action::HoldApp => "hold".into(),
        Action::ReleaseApp => "release".into(),
    };
    actions.iter().map(one).collect()
}

/// A world with Tasks written as `old0=ready new1=pending`: Revision and slot, then a state. A letter behind the slot
/// tells Tasks in one slot apart.
fn world(instances: u32, update: (f64, f64), tasks: &str) -> World {
    let mut world = World::new(instances);
    world.app.spec.update = Update { minimum_health_capacity: update.0, maximum_over_capacity: update.1 };
    world.app.spec.unreachable.inactive_after = Span::from_secs(60);
    let old = world.revision("old", 1);
    let new = world.revision("new", 2);
    for text in tasks.split_whitespace() {
        let (name, state) = text.split_once('=').unwrap();
        let revision = if name.starts_with("old") { &old } else { &new };
        let digits: String = name.chars().filter(char::is_ascii_digit).collect();
        world.task(name, revision, digits.parse().unwrap(), state);
    }
    world
}

fn check(name: &str, world: &World, expected: &str) {
    let shown = show(&world.plan().actions).join(", ");
    assert_eq!(shown, expected, "{name}");
}

const FULL: (f64, f64) = (1.0, 1.0);
const TIGHT: (f64, f64) = (1.0, 0.0);
const HALF: (f64, f64) = (0.5, 0.0);

/// Name, instances, minimumHealthCapacity and maximumOverCapacity, what is there, what is done.
type Row = (&'static str, u32, (f64, f64), &'static str, &'static str);

const ROWS: [Row; 25] = [
    // name, instances, bounds, what is there, what is done
    ("a new app starts all", 3, FULL, "", "start 0, start 1, start 2"),
    ("nothing to do", 2, FULL, "new0=ready new1=pending", ""),
    ("scaling up fills free slots", 4, FULL, "new0=ready new2=ready", "start 1, start 3"),
    ("scaling down stops the youngest", 1, FULL, "new0=ready@9 new1=ready@5", "stop new0 ScaledDown"),
    (
        "what serves nobody goes first",
        1,
        FULL,
        "new0=ready@9 new1=launching new2=pending new3=unhealthy@1",
        "stop new2 ScaledDown, stop new1 ScaledDown, stop new3 ScaledDown",
    ),
    ("scaling to nothing", 0, FULL, "new0=ready old1=ready", "stop new0 ScaledDown, stop old1 ScaledDown"),
    ("a failed one is replaced", 2, FULL, "new0=ready new1=stopping", "start 1 beside new1"),
    ("not while the slot has two", 1, FULL, "new0=stopping new0b=stopping", ""),
    ("over capacity it waits for an end", 1, (0.0, 0.0), "new0=stopping", ""),
    ("a deleted one gets a reason", 1, FULL, "new0=deleted", "stop new0 Deleted, start 0 beside new0"),
    (
        "an update starts beside the old",
        2,
        FULL,
        "old0=ready old1=ready",
        "start 0 beside old0, start 1 beside old1",
    ),
    ("one by one without over-capacity", 2, TIGHT, "old0=ready@1 old1=ready@2", "start 1 beside old1"),
    (
        "an old one goes when a new one is ready",
        2,
        TIGHT,
        "old0=ready old1=ready new1=ready",
        "stop old1 Replaced",
    ),
    ("and not before", 2, TIGHT, "old0=ready old1=ready new1=healthy", ""),
    (
        "half may go at once",
        4,
        HALF,
        "old0=ready@1 old1=ready@2 old2=ready@3 old3=ready@4",
        "stop old3 Replaced, stop old2 Replaced",
    ),
    (
        "then their slots are filled",
        4,
        HALF,
        "old0=ready old1=ready new2=ready",
        "stop old0 Replaced, start 0 beside old0",
    ),
    (
        "old ones that serve nobody go at once",
        3,
        FULL,
        "old0=unhealthy old1=pending old2=ready",
        "stop old1 Replaced, stop old0 Replaced, start 0 beside old0, start 1 beside old1, start 2 beside old2",
    ),
    (
        "scaling down in the middle of an update",
        1,
        FULL,
        "old0=ready old1=ready old2=ready new0=ready new1=launching",
        "stop new1 ScaledDown, stop old0 Replaced, stop old1 Replaced, stop old2 Replaced",
    ),
    (
        "scaling up in the middle of an update",
        3,
        (1.0, 0.34),
        "old0=ready new1=ready",
        "start 2, start 0 beside old0",
    ),
    ("a cut-off one keeps its slot for a while", 1, FULL, "new0=cutoff", ""),
    ("then it is replaced", 1, FULL, "new0=givenup", "start 0 beside new0"),
    ("one that came back is surplus", 1, FULL, "new0=ready@1 new0b=ready@2", "stop new0b Surplus"),
    ("unless health forbids it", 2, FULL, "new0=ready new0b=ready", "start 1"),
    ("a starting twin serves nobody", 1, FULL, "new0=ready new0b=launching", "stop new0b Surplus"),
    ("an end is recorded and the slot filled", 1, FULL, "old0=failed", "record old0 Failed, start 0"),
];

#[test]
fn tasks_are_created_and_stopped_by_slots_and_bounds() {
    let wrong: Vec<_> = ROWS
        .into_iter()
        .map(|(name, instances, bounds, tasks, expected)| {
            (name, show(&world(instances, bounds, tasks).plan().actions).join(", "), expected)
        })
        .filter(|(_, shown, expected)| shown != expected)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_plan_names_those_that_go_on_serving_and_those_that_are_given_up() {
    type Row = (u32, (f64, f64), &'static str, &'static [&'static str]);
    let rows: [Row; 7] = [
        // instances, bounds, what is there, whom the stops rely on
        (2, TIGHT, "old0=ready old1=ready new1=ready", &["old0", "new1"]),
        (4, HALF, "old0=ready@1 old1=ready@2 old2=ready@3 old3=ready@4", &["old0", "old1"]),
        (1, FULL, "new0=ready@9 new1=ready@5", &["new1"]),
        (3, FULL, "old0=unhealthy old1=pending old2=ready", &[]), // what is stopped served nobody
        (2, (0.0, 0.0), "old0=ready old1=ready", &[]),            // nobody must serve
        (2, FULL, "new0=givenup new1=ready", &["new0"]),          // it may be back by now
        (1, FULL, "new0=cutoff new1=givenup", &[]),               // its place is not filled
    ];
    for (instances, bounds, tasks, expected) in rows {
        assert_eq!(world(instances, bounds, tasks).plan().relies_on, expected, "{tasks}");
    }
}

#[test]
fn instances_leave_a_machine_before_it_is_taken_away_within_the_same_bounds() {
    let mut world = world(2, TIGHT, "new0=ready@1 new1=ready@2");
    world.change("new0", |task| task.spec.binding.as_mut().unwrap().agent_id = "agent-2".into());
    let from = after(world.now, 2 * maintenance::AHEAD);
    let plan = Maintenance { from: micro_time(from), until: None };
    world.maintained.insert("agent-1".into(), plan);
    check("not yet", &world, "");
    assert_eq!(world.plan().again, Again::At(after(world.now, maintenance::AHEAD)));

    world.advance(maintenance::AHEAD.as_secs());
    check("another one first", &world, "start 1 beside new1");
    let status = world.plan().status;
    assert_eq!((status.instances, status.updated, status.ready), (2, 1, 2));
    let moving = status.conditions.iter().find(|it| it.type_ == "Progressing").unwrap();
    assert_eq!((moving.status.as_str(), moving.reason.as_str()), ("True", "Moving"), "{}", moving.message);

    let plan = world.plan();
    world.apply(&plan);
    let started = world.tasks.last().unwrap().metadata.name.clone().unwrap();
    check("it is not ready", &world, "");
    world.change(&started, |task| {
        let mut ready =
            TaskStatus { phase: Phase::Running, healthy: Some(true), ready: true, ..TaskStatus::default() };
        ready.started_at = Some(Time(Timestamp::from_second(3000).unwrap()));
        task.status = Some(ready);
    });
    check("then it goes", &world, "stop new1 Maintenance");
}

#[test]
fn the_oldest_go_first_if_the_app_says_so() {
    let mut world = world(1, (1.0, 1.0), "new0=ready@9 new1=ready@5");
    world.app.spec.template.kill.selection = KillSelection::OldestFirst;
    // Another template, hence another Revision: name its Tasks anew.
    let current = world.current();
    for name in ["new0", "new1"] {
        world.change(name, |task| task.spec.revision.clone_from(&current));
    }
    check("oldest first", &world, "revision 3, stop new1 ScaledDown");
}

#[test]
fn the_first_plan_holds_the_app_and_makes_its_revision() {
    let mut world = World::new(2);
    world.app.metadata.finalizers = None;
    world.app.metadata.labels = Some([("team".to_owned(), "web".to_owned())].into());
    let plan = world.plan();
    assert_eq!(show(&plan.actions), ["hold", "revision 1", "start 0", "start 1"]);
    assert_eq!((plan.status.launched, plan.status.observed_generation), (2, Some(1)));
    let Some(Action::CreateTask(task)) = plan.actions.last() else { panic!("a task is created last") };
    assert_eq!(task.metadata.namespace.as_deref(), Some("shop"));
    assert_eq!(task.metadata.finalizers.as_deref(), Some(&[labels::CLUSTER_FINALIZER.to_owned()][..]));
    let labels = task.metadata.labels.as_ref().unwrap();
    assert_eq!((labels["team"].as_str(), labels["tenure.dev/app"].as_str()), ("web", "web"));
    assert_eq!(task.spec.revision, world.current());
}

#[test]
fn undo_makes_an_old_revision_the_current_one_again() {
    let mut world = world(1, (1.0, 1.0), "new0=ready");
    world.app.spec.template = world::template("old");
    check("undo", &world, "renumber 3, start 0 beside new0");
    world.apply(&world.plan());
    check("undone", &world, "");
    assert_eq!(world.revisions.len(), 2);
}

#[test]
fn history_keeps_ten_revisions_and_those_in_use() {
    let mut world = World::new(0);
    let used = world.revision("cmd-1", 1);
    for number in 2..=13 {
        world.revision(&format!("cmd-{number}"), number);
    }
    world.revision("new", 14);
    world.task("old0", &used, 0, "stopping");
    let gone: Vec<_> = world.revisions[1..3].iter().map(|it| it.metadata.name.clone().unwrap()).collect();
    check("history", &world, &format!("remove {}, remove {}", gone[0], gone[1]));
}

#[test]
fn nothing_starts_before_what_the_app_depends_on() {
    let mut world = World::new(1);
    world.app.spec.depends_on = vec!["db".into(), "queue".into()];
    world.dependencies.insert("db".into(), Dependency::NotReady);
    let plan = world.plan();
    assert_eq!(show(&plan.actions), ["revision 1"]);
    let told: Vec<_> = plan.reasons.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["depends on app db, which is not ready", "depends on app queue, which does not exist"]);
    world.apply(&plan);
    let ready = world.condition("Ready");
    assert_eq!(ready.reason, "WaitingForDependency");
    assert_eq!(ready.message, "0 of 1 instances are ready; depends on app db, which is not ready");
    world.dependencies.insert("db".into(), Dependency::Ready);
    world.dependencies.insert("queue".into(), Dependency::Ready);
    check("both are ready", &world, "start 0");
}

#[test]
fn old_instances_stay_while_new_ones_may_not_start() {
    let tasks = "old0=unhealthy old1=ready";
    let mut world = world(2, (0.0, 0.0), tasks);
    world.app.spec.depends_on = vec!["db".into()];
    check("they may recover with their dependency", &world, "");
    world.app.spec.instances = 1;
    check("too many is too many", &world, "stop old0 Replaced");
}

#[test]
fn a_crash_loop_is_delayed_more_and_more() {
    let mut world = World::new(1);
    world.app.spec.backoff.factor = 2.0;
    world.app.spec.backoff.max = Span::from_secs(5);
    world.apply(&world.plan());
    for (failures, delay) in [(1, 1), (2, 2), (3, 4), (4, 5), (5, 5)] {
        let name = world.tasks.last().unwrap().metadata.name.clone().unwrap();
        let binding = world.binding(&name);
        world.change(&name, |task| {
            task.spec.binding = Some(binding);
            task.status.get_or_insert_default().phase = Phase::Failed;
        });
        let plan = world.plan();
        assert_eq!(show(&plan.actions), [format!("record {name} Failed")]);
        let backoff = plan.status.backoff.clone().unwrap();
        let until = after(world.now, std::time::Duration::from_secs(delay));
        assert_eq!((backoff.failures, backoff.until.0, plan.again), (failures, until, Again::At(until)));
        world.apply(&plan);
        check("counted once", &world, "");
        world.advance(delay);
        assert_eq!(show(&world.plan().actions), ["start 0"]);
        world.apply(&world.plan());
    }
    let stalled = world.condition("Stalled");
    assert_eq!(
        (stalled.status.as_str(), stalled.message.as_str()),
        ("True", "instances failed 5 times in a row")
    );
    assert_eq!(world.condition("Reconciling").status, "False");
    assert_eq!(world.condition("Degraded").status, "True");

    world.app.spec.template = world::template("fixed");
    let plan = world.plan();
    assert_eq!(plan.status.backoff, None, "a new revision starts without delay");
    let last = world.tasks.last().unwrap().metadata.name.clone().unwrap();
    let expected = ["revision 2".into(), format!("stop {last} Replaced"), format!("start 0 beside {last}")];
    assert_eq!(show(&plan.actions), expected);
}

#[test]
fn instances_that_are_never_healthy_are_delayed_as_those_that_crash() {
    let mut world = World::new(1);
    world.app.spec.backoff.factor = 2.0;
    world.apply(&world.plan());
    for (failures, delay) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16)] {
        let name = world.tasks.last().unwrap().metadata.name.clone().unwrap();
        let (binding, stop) = (world.binding(&name), world::stop("Unhealthy", world.now));
        world.change(&name, |task| (task.spec.binding, task.spec.stop) = (Some(binding), Some(stop)));
        let plan = world.plan();
        let until = after(world.now, std::time::Duration::from_secs(delay));
        let backoff = plan.status.backoff.clone().unwrap();
        assert_eq!((backoff.failures, backoff.until.0, plan.again), (failures, until, Again::At(until)));
        world.apply(&plan);
        check("the next start is delayed", &world, "");
        assert_eq!(world.plan().status.backoff, Some(backoff), "counted once");
        world.change(&name, |task| task.status.get_or_insert_default().phase = Phase::Finished);
        assert_eq!(world.plan().status.backoff, world.status().backoff, "its end is no second failure");
        world.advance(delay);
        check("the delay is over", &world, "start 0");
        world.apply(&world.plan());
    }
    assert_eq!(world.condition("Stalled").status, "True");
}

#[test]
fn an_unhealthy_one_that_takes_long_to_end_is_not_counted_again_when_the_count_is_forgotten() {
    let mut world = world(2, FULL, "new0=ready new1=ready");
    let stop = world::stop("Unhealthy", world.now);
    world.change("new1", |task| task.spec.stop = Some(stop));
    world.apply(&world.plan());
    assert_eq!(world.status().backoff.unwrap().failures, 1);
    world.advance(302);
    world.apply(&world.plan());
    assert_eq!(world.status().backoff, None);
    assert_eq!(world.plan().status.backoff, None);
}

#[test]
fn one_failure_degrades_no_longer_than_instances_are_missing_and_a_crash_loop_until_it_has_settled() {
    let mut world = world(1, FULL, "new0=failed");
    let shown = |world: &World| world.condition("Degraded").status == "True";
    world.apply(&world.plan());
    assert!(shown(&world), "an instance is missing");
    let revision = world.current();
    world.task("new1", &revision, 0, "ready@1000");
    world.apply(&world.plan());
    assert!(!shown(&world), "all are ready, and it failed once");
    assert_eq!(world.status().backoff.unwrap().failures, 1);

    world.app.status.as_mut().unwrap().backoff.as_mut().unwrap().failures = 5;
    let plan = world.plan();
    world.apply(&plan);
    let told =
        |world: &World| ["Ready", "Degraded", "Stalled"].map(|it| world.condition(it).status == "True");
    assert_eq!(told(&world), [true, true, true], "it has only just started once more");
    let settles_at = after(world.now, std::time::Duration::from_secs(10));
    assert_eq!(plan.again, Again::At(after(world.now, std::time::Duration::from_secs(1))), "the delay");
    world.advance(1);
    assert_eq!(world.plan().again, Again::At(settles_at));
    world.now = settles_at;
    world.apply(&world.plan());
    assert_eq!(told(&world), [true, false, false]);
}

#[test]
fn a_delay_recorded_by_a_clock_that_was_ahead_is_no_longer_than_a_delay() {
    let mut world = world(1, FULL, "new0=failed");
    world.apply(&world.plan());
    let ahead = after(world.now, std::time::Duration::from_secs(2280));
    world.app.status.as_mut().unwrap().backoff.as_mut().unwrap().until = micro_time(ahead);
    let plan = world.plan();
    let until = after(world.now, std::time::Duration::from_secs(1));
    assert_eq!((plan.status.backoff.clone().unwrap().until.0, plan.again), (until, Again::At(until)));
    world.apply(&plan);
    world.advance(1);
    check("the delay is over", &world, "start 0");
}

#[test]
fn one_that_was_bound_or_stopped_by_a_clock_that_was_ahead_is_counted_at_most_once() {
    let hour = std::time::Duration::from_secs(3600);
    for (bound_ahead, stopped_ahead, failures) in [(true, false, 1), (true, true, 0)] {
        let mut world = World::new(1);
        world.apply(&world.plan());
        let name = world.tasks.last().unwrap().metadata.name.clone().unwrap();
        let at = |ahead: bool| if ahead { after(world.now, hour) } else { world.now };
        let (mut binding, stop) = (world.binding(&name), world::stop("Unhealthy", at(stopped_ahead)));
        binding.bound_at = micro_time(at(bound_ahead));
        world.change(&name, |task| (task.spec.binding, task.spec.stop) = (Some(binding), Some(stop)));
        for _ in 0..3 {
            let plan = world.plan();
            assert_eq!(plan.status.backoff.clone().map_or(0, |it| it.failures), failures);
            world.apply(&plan);
        }
    }
}

#[test]
fn a_delay_is_forgotten_when_all_was_well_for_long_enough() {
    let mut world = world(1, (1.0, 1.0), "new0=ready@1000 new1=failed");
    world.apply(&world.plan());
    let until = world.status().backoff.unwrap().until.0;
    world.advance(2);
    let forget_at = after(until, std::time::Duration::from_secs(300));
    assert_eq!(world.plan().again, Again::At(forget_at));
    world.now = forget_at;
    assert_eq!(world.plan().status.backoff, None);
    assert_eq!(world.plan().again, Again::OnChange);
}

#[test]
fn instances_that_fail_together_count_once_and_those_the_cluster_ended_not_at_all() {
    let failed = "new0=failed new1=failed new2=failed";
    assert_eq!(world(3, (1.0, 1.0), failed).plan().status.backoff.unwrap().failures, 1);
    for (state, reason, counts) in [
        ("TASK_FAILED", "REASON_COMMAND_EXECUTOR_FAILED", true),
        ("TASK_LOST", "REASON_AGENT_RESTARTED", false),
        ("TASK_DROPPED", "REASON_INVALID_OFFERS", false),
        ("TASK_KILLED", "REASON_COMMAND_EXECUTOR_FAILED", false),
        ("TASK_GONE", "", true),
    ] {
        let mut world = world(1, (1.0, 1.0), "new0=failed");
        world.change("new0", |task| {
            let status = task.status.as_mut().unwrap();
            (status.state, status.reason) = (Some(state.into()), Some(reason.into()));
        });
        assert_eq!(world.plan().status.backoff.is_some(), counts, "{state} {reason}");
    }
}

#[test]
fn an_instance_that_is_preempted_counts_unless_it_had_a_life() {
    let seconds = jiff::SignedDuration::from_secs;
    for (lived, counts) in [(None, true), (Some(9), true), (Some(10), false)] {
        // The agent's clock is an hour behind, or the leader was away.
        for told in [seconds(3600), seconds(0)] {
            let mut world = world(1, (1.0, 1.0), "new0=failed");
            let ended = world.now - told;
            world.change("new0", |task| {
                let status = task.status.as_mut().unwrap();
                (status.phase, status.state) = (Phase::Lost, Some("TASK_GONE".into()));
                status.started_at = lived.map(|lived| Time(ended - seconds(lived)));
                status.finished_at = Some(Time(ended));
                status.reason = Some("REASON_CONTAINER_PREEMPTED".into());
            });
            assert_eq!(world.plan().status.backoff.is_some(), counts, "{lived:?} {told:?}");
        }
    }
}

#[test]
fn a_deleted_app_goes_when_its_last_task_is_gone() {
    let mut world = world(2, (1.0, 1.0), "new0=ready new1=pending new2=failed new3=givenup");
    world.app.metadata.deletion_timestamp = Some(Time(world.now));
    check("its tasks end", &world, "stop new0 AppDeleted, stop new1 AppDeleted, stop new3 AppDeleted");
    world.apply(&world.plan());
    let plan = world.plan();
    assert_eq!(plan.reasons[0].to_string(), "3 tasks must end first");
    for name in ["new0", "new1", "new3"] {
        world.change(name, |task| task.status.as_mut().unwrap().phase = Phase::Finished);
    }
    check("they have", &world, "release");
    world.apply(&world.plan());
    check("it is not held any more", &world, "");
}

#[test]
fn orphans_of_a_deleted_app_run_on() {
    let mut world = world(1, (1.0, 1.0), "new0=ready");
    world.app.metadata.deletion_timestamp = Some(Time(world.now));
    world.app.metadata.finalizers.as_mut().unwrap().push("orphan".into());
    check("orphans", &world, "release");
}

#[test]
fn a_large_app_is_changed_in_several_transactions() {
    let mut world = World::new(250);
    let mut created = Vec::new();
    while let plan = world.plan()
        && !plan.actions.is_empty()
    {
        assert!(plan.actions.len() <= super::MAX_ACTIONS);
        created.push(plan.actions.len());
        world.apply(&plan);
    }
    assert_eq!(created, [100, 100, 51]); // and one Revision
    assert_eq!(world.status().launched, 250);
    world.app.spec.instances = 0;
    world.apply(&world.plan());
    world.apply(&world.plan());
    world.apply(&world.plan());
    check("all are stopped", &world, "");
}

#[test]
fn the_status_says_what_is_observed() {
    let tasks = "new0=ready new1=healthy new2=running new3=pending old1=ready new4=stopping new9=failed";
    let mut world = world(4, (1.0, 1.0), tasks);
    world.apply(&world.plan());
    let status = world.status();
    let counts = [
        ("instances", status.instances, 5),
        ("running", status.running, 4),
        ("healthy", status.healthy, 3),
        ("ready", status.ready, 2),
        ("updated", status.updated, 4),
        ("waiting", status.waiting, 1),
    ];
    for (name, count, expected) in counts {
        assert_eq!(count, expected, "{name}");
    }
    assert_eq!(status.revision, Some(world.current()));
}

#[test]
fn conditions_tell_where_the_app_stands() {
    let rows = [
        // what is there (2 wanted), Ready, Available, Progressing, Degraded, Reconciling, reason
        ("new0=ready new1=ready", "TTFFF", "AllReady"),
        ("", "FFTFT", "Starting"),
        ("new0=ready new1=pending", "FFTFT", "WaitingForOffers"),
        ("new0=ready new1=running", "FFTFT", "Starting"),
        ("new0=ready new1=unhealthy", "FFTTT", "Starting"),
        ("new0=ready new1=cutoff", "FFTTT", "Starting"),
        ("new0=ready old1=ready", "FTTFT", "RollingOut"),
        ("new0=ready new1=ready new5=stopping", "FTTFT", "Stopping"),
    ];
    for (tasks, expected, reason) in rows {
        let mut world = world(2, (1.0, 1.0), tasks);
        world.apply(&world.plan());
        let types = ["Ready", "Available", "Progressing", "Degraded", "Reconciling"];
        let shown: String = types.map(|it| world.condition(it).status[..1].to_owned()).concat();
        assert_eq!((shown.as_str(), world.condition("Ready").reason.as_str()), (expected, reason), "{tasks}");
    }
}

#[test]
fn a_revision_is_rolled_out_once_until_another_one_is_wanted() {
    let mut world = world(1, FULL, "new0=running");
    let new = world.current();
    let told = |world: &mut World| {
        world.apply(&world.plan());
        world.status().rolled_out
    };
    let ready = |world: &mut World, ready| {
        world.change("new0", |task| {
            let status = task.status.as_mut().unwrap();
            (status.healthy, status.ready) = (Some(ready), ready);
        });
    };
    assert_eq!(told(&mut world), None);
    ready(&mut world, true);
    assert_eq!(told(&mut world), Some(new.clone()));
    ready(&mut world, false);
    assert_eq!(told(&mut world), Some(new.clone()), "an instance that is not ready is no rollout");
    ready(&mut world, true);
    world.app.spec.template = world::template("old");
    assert_eq!(told(&mut world), None);
    world.app.spec.template = world::template("new");
    world.tasks.retain(|it| it.metadata.name.as_deref() == Some("new0"));
    let plan = world.plan();
    assert_eq!((show(&plan.actions), plan.status.rolled_out), (vec!["renumber 4".to_owned()], Some(new)));
}

#[test]
fn a_condition_keeps_its_time_while_it_says_the_same_and_others_conditions_are_kept() {
    let mut world = world(1, (1.0, 1.0), "new0=running");
    world.apply(&world.plan());
    let before = world.condition("Ready");
    let waiting = crate::api::Condition { type_: "Waiting".into(), ..before.clone() };
    world.app.status.as_mut().unwrap().conditions.push(waiting.clone());
    world.advance(10);
    world.apply(&world.plan());
    assert_eq!(world.condition("Ready"), before);
    world.change("new0", |task| {
        let status = task.status.as_mut().unwrap();
        (status.healthy, status.ready) = (Some(true), true);
    });
    world.apply(&world.plan());
    let ready = world.condition("Ready");
    assert_eq!((ready.status.as_str(), ready.last_transition_time), ("True", Time(world.now)));
    assert_eq!(world.condition("Waiting"), waiting);
}

#[test]
fn a_dependency_is_ready_when_its_status_speaks_of_its_present_spec() {
    let mut world = world(1, (1.0, 1.0), "new0=ready");
    assert_eq!(Dependency::of(None), Dependency::Missing);
    assert_eq!(Dependency::of(Some(&world.app)), Dependency::NotReady);
    world.apply(&world.plan());
    assert_eq!(Dependency::of(Some(&world.app)), Dependency::Ready);
    world.app.metadata.generation = Some(2);
    assert_eq!(Dependency::of(Some(&world.app)), Dependency::NotReady);
}
