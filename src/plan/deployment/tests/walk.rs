//! Random walks through the life of an App: what must always hold, and that it converges when all goes well.
//!
//! The oracles read the documents only; they share no code with the planner but names and rounding.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::{Action, Bounds, Dependency, Plan};
use super::world::{World, template};
use crate::api::{Phase, Span, Task, Time, Update};
use crate::plan::{Again, after, micro_time};

/// What happens to the App, to its cluster, or to time.
#[derive(Clone, Debug)]
enum Event {
    Scale(u32),
    Template(u8),
    Bounds(f64, f64),
    Dependency(bool),
    /// A Task comes one step further: bound, launching, running, healthy, ready; a stopping one ends.
    Step(usize),
    Fail(usize),
    Unhealthy(usize),
    CutOff(usize),
    Return(usize),
    /// A person deletes a Task.
    Delete(usize),
    Wait(u64),
    Plan,
}

fn event() -> impl Strategy<Value = Event> {
    let task = 0_usize..12;
    prop_oneof![
        2 => (0_u32..6).prop_map(Event::Scale),
        2 => (0_u8..3).prop_map(Event::Template),
        1 => (prop::sample::select(vec![0.0, 0.5, 1.0]), prop::sample::select(vec![0.0, 0.34, 1.0]))
            .prop_map(|(minimum, over)| Event::Bounds(minimum, over)),
        1 => any::<bool>().prop_map(Event::Dependency),
        20 => task.clone().prop_map(Event::Step),
        2 => task.clone().prop_map(Event::Fail),
        2 => task.clone().prop_map(Event::Unhealthy),
        1 => task.clone().prop_map(Event::CutOff),
        2 => task.clone().prop_map(Event::Return),
        1 => task.prop_map(Event::Delete),
        3 => (1_u64..90).prop_map(Event::Wait),
        12 => Just(Event::Plan),
    ]
}

fn name(task: &Task) -> String {
    task.metadata.name.clone().unwrap()
}

fn is_stopping(task: &Task) -> bool {
    task.spec.stop.is_some() || task.metadata.deletion_timestamp.is_some()
}

fn is_reachable(task: &Task) -> bool {
    task.status.as_ref().is_none_or(|it| it.reachable)
}

/// Alive in the store: not ended and not cut off.
fn is_live(task: &Task) -> bool {
    !task.is_terminal() && is_reachable(task)
}

fn is_healthy(task: &Task) -> bool {
    let status = task.status.clone().unwrap_or_default();
    !is_stopping(task) && status.phase == Phase::Running && status.reachable && status.healthy == Some(true)
}

fn live(world: &World) -> usize {
    world.tasks.iter().filter(|it| is_live(it)).count()
}

fn healthy(world: &World) -> usize {
    world.tasks.iter().filter(|it| is_healthy(it)).count()
}

/// One Task comes one step further, as a cluster where all goes well would have it.
fn step(world: &mut World, name: &str) {
    let (binding, now) = (world.binding(name), world.now);
    let mut gone = false;
    world.change(name, |task| {
        if is_stopping(task) {
            gone = is_reachable(task);
            return;
        }
        let phase = task.phase();
        let status = task.status.get_or_insert_default();
        match phase {
            Phase::Pending => task.spec.binding = Some(binding),
            Phase::Bound => status.phase = Phase::Launching,
            Phase::Launching => {
                (status.phase, status.started_at) = (Phase::Running, Some(Time(now)));
            }
            Phase::Running if status.healthy != Some(true) => status.healthy = Some(true),
            Phase::Running => status.ready = true,
            Phase::Stopping | Phase::Finished | Phase::Failed | Phase::Lost => {}
        }
    });
    if gone {
        world.tasks.retain(|it| it.metadata.name.as_deref() != Some(name));
    }
}

fn happen(world: &mut World, event: &Event) {
    let nth = |index: &usize| world.tasks.get(*index).map(|it| name(it));
    let now = world.now;
    match event {
        Event::Scale(instances) => world.app.spec.instances = *instances,
        Event::Template(number) => world.app.spec.template = template(&format!("cmd-{number}")),
        Event::Bounds(minimum_health_capacity, maximum_over_capacity) => {
            world.app.spec.update = Update {
                minimum_health_capacity: *minimum_health_capacity,
                maximum_over_capacity: *maximum_over_capacity,
            };
        }
        Event::Dependency(ready) => {
            let state = if *ready { Dependency::Ready } else { Dependency::NotReady };
            world.dependencies.insert("db".into(), state);
        }
        Event::Step(index) => {
            if let Some(name) = nth(index) {
                step(world, &name);
            }
        }
        Event::Fail(index) => {
            let Some(name) = nth(index) else { return };
            world.change(&name, |task| {
                if task.phase() >= Phase::Bound && !task.is_terminal() {
                    let status = task.status.get_or_insert_default();
                    (status.phase, status.ready, status.reachable) = (Phase::Failed, false, true);
                    (status.unreachable_since, status.finished_at) = (None, Some(Time(now)));
                }
            });
        }
        Event::Unhealthy(index) => {
            let Some(name) = nth(index) else { return };
            world.change(&name, |task| {
                if task.phase() == Phase::Running {
                    task.status.get_or_insert_default().healthy = Some(false);
                }
            });
        }
        Event::CutOff(index) => {
            let Some(name) = nth(index) else { return };
            world.change(&name, |task| {
                if task.phase() >= Phase::Bound && !task.is_terminal() {
                    let status = task.status.get_or_insert_default();
                    status.phase =
                        task.spec.binding.as_ref().map_or(status.phase, |_| status.phase.max(Phase::Bound));
                    status.reachable = false;
                    status.unreachable_since.get_or_insert(micro_time(now));
                }
            });
        }
        Event::Return(index) => {
            let Some(name) = nth(index) else { return };
            come_back(world, &name);
        }
        Event::Delete(index) => {
            let Some(name) = nth(index) else { return };
            world.change(&name, |task| {
                task.metadata.deletion_timestamp.get_or_insert(Time(now));
            });
        }
        Event::Wait(seconds) => world.advance(*seconds),
        Event::Plan => {}
    }
}

fn come_back(world: &mut World, name: &str) {
    world.change(name, |task| {
        if let Some(status) = &mut task.status {
            (status.reachable, status.unreachable_since) = (true, None);
        }
    });
}

/// What must hold of a plan, and of the world before and after it was carried out.
fn carry_out(world: &mut World) -> Result<(), TestCaseError> {
    let plan = world.plan();
    let before = world.clone();
    world.apply(&plan);
    check_bounds(&before, world, &plan)?;
    check_slots(&before, &plan)?;
    check_stops(&before, &plan)?;
    let launched = before.status().launched;
    let created = plan.actions.iter().filter(|it| matches!(it, Action::CreateTask(_))).count();
    prop_assert_eq!(plan.status.launched, launched + created as u64);
    let again = world.plan();
    prop_assert_eq!(&again.actions, &Vec::new(), "planning again does something new");
    world.apply(&again);
    let third = world.plan();
    prop_assert_eq!(&third.status, &world.status(), "a status that says the same is not equal");
    Ok(())
}

fn check_bounds(before: &World, after: &World, plan: &Plan) -> Result<(), TestCaseError> {
    let bounds = Bounds::of(&before.app.spec);
    prop_assert!(
        live(after) <= bounds.capacity.max(live(before)),
        "more live than allowed: {:?}",
        plan.actions
    );
    let floor = bounds.minimum.min(healthy(before));
    prop_assert!(healthy(after) >= floor, "fewer healthy than allowed: {:?}", plan.actions);
    Ok(())
}

fn check_slots(before: &World, plan: &Plan) -> Result<(), TestCaseError> {
    let mut started = BTreeSet::new();
    for action in &plan.actions {
        let Action::CreateTask(task) = action else { continue };
        prop_assert!(started.insert(task.spec.slot), "two starts in one slot");
        let there: Vec<_> =
            before.tasks.iter().filter(|it| it.spec.slot == task.spec.slot && is_live(it)).collect();
        prop_assert!(there.len() <= 1, "a third one in slot {}", task.spec.slot);
        if let [one] = there[..] {
            prop_assert_eq!(&task.spec.replaces, &one.metadata.name, "it does not name what it replaces");
        }
    }
    Ok(())
}

fn check_stops(before: &World, plan: &Plan) -> Result<(), TestCaseError> {
    let tasks: BTreeMap<_, _> = before.tasks.iter().map(|it| (name(it), it)).collect();
    for action in &plan.actions {
        let (name, stop, ended) = match action {
            Action::StopTask { name, stop } => (name, stop, false),
            Action::RecordEnd { name, stop } => (name, stop, true),
            _ => continue,
        };
        let task = tasks[name];
        prop_assert!(!stop.reason.is_empty() && !stop.message.is_empty(), "a stop without a reason");
        prop_assert_eq!(task.is_terminal(), ended);
        prop_assert!(task.spec.stop.is_none(), "{} was stopped before", name);
    }
    Ok(())
}

/// Everything goes well from here on: what runs gets healthy, what was told to ends, agents come back, time passes.
fn heal(world: &mut World) -> Result<(), TestCaseError> {
    world.dependencies.insert("db".into(), Dependency::Ready);
    for _ in 0..60 {
        for name in world.tasks.iter().map(|it| name(it)).collect::<Vec<_>>() {
            come_back(world, &name);
            step(world, &name);
        }
        world.advance(7);
        carry_out(world)?;
    }
    // Ended ones are history.
    world.tasks.retain(|it| !it.is_terminal());
    Ok(())
}

fn check_converged(world: &mut World) -> Result<(), TestCaseError> {
    let wanted = world.app.spec.instances as usize;
    let slots: BTreeSet<_> = world.tasks.iter().map(|it| it.spec.slot).collect();
    prop_assert_eq!((world.tasks.len(), slots.len()), (wanted, wanted));
    let current = world.current();
    for task in &world.tasks {
        prop_assert_eq!(&task.spec.revision, &current);
        prop_assert!(is_healthy(task) && task.status.as_ref().is_some_and(|it| it.ready));
    }
    for (type_, status) in
        [("Ready", "True"), ("Available", "True"), ("Reconciling", "False"), ("Stalled", "False")]
    {
        prop_assert_eq!(world.condition(type_).status, status, "{}", type_);
    }
    // Once the last delay is forgotten there is nothing left to look at.
    world.now = after(world.now, std::time::Duration::from_secs(3600));
    carry_out(world)?;
    prop_assert_eq!((world.plan().again, world.status().backoff), (Again::OnChange, None));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn an_app_keeps_its_bounds_on_any_walk_and_converges_when_all_goes_well(
        instances in 0_u32..6,
        depends in any::<bool>(),
        events in prop::collection::vec(event(), 0..120),
    ) {
        let mut world = World::new(instances);
        world.app.spec.unreachable.inactive_after = Span::from_secs(30);
        world.app.spec.depends_on = if depends { vec!["db".into()] } else { Vec::new() };
        for event in &events {
            happen(&mut world, event);
            if matches!(event, Event::Plan) {
                carry_out(&mut world)?;
            }
        }
        heal(&mut world)?;
        check_converged(&mut world)?;
    }
}
