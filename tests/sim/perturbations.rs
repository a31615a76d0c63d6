//! Perturbed views in a small size; `hack/sim --perturbed` runs every point.

use crate::perturbed::{Kind, Scenario, disturbed, points, undisturbed};
use crate::seeded::Telling;

/// So many points of each kind are run.
const SAMPLE: usize = 2;

/// A few points of every kind, always the same ones.
fn ends_the_same(name: &str) {
    let scenario = Scenario::named(name).unwrap();
    let expected = undisturbed(scenario);
    assert!(expected.broken.is_empty(), "{expected}");
    for kind in Kind::ALL {
        let points = points(kind, &expected.course);
        println!("{name} {kind} {}", points.len());
        assert!(points.len() >= SAMPLE, "{name} has {} points of {kind}", points.len());
        let every = points.len() / SAMPLE;
        for point in points.into_iter().skip(every / 2).step_by(every).take(SAMPLE) {
            let run = disturbed(scenario, point, &expected.end, Telling::Digest);
            assert!(run.broken.is_empty(), "{run}");
        }
    }
}

/// A round of reconciliation was dropped because the view was behind just then, and the lost machine stayed `Ready`.
#[test]
fn machine_that_is_lost_while_the_view_is_behind_is_called_lost() {
    let scenario = Scenario::named("agent-lost").unwrap();
    let expected = undisturbed(scenario).end;
    let run = disturbed(scenario, "merge:0:2".parse().unwrap(), &expected, Telling::Digest);
    assert!(run.broken.is_empty(), "{run}");
}

#[test]
fn creation_ends_the_same_however_servers_see_it() {
    ends_the_same("create");
}

#[test]
fn scaling_up_ends_the_same_however_servers_see_it() {
    ends_the_same("scale-up");
}

#[test]
fn scaling_down_ends_the_same_however_servers_see_it() {
    ends_the_same("scale-down");
}

#[test]
fn update_ends_the_same_however_servers_see_it() {
    ends_the_same("roll");
}

#[test]
fn redirected_update_ends_the_same_however_servers_see_it() {
    ends_the_same("roll-redirected");
}

#[test]
fn loss_of_an_agent_ends_the_same_however_servers_see_it() {
    ends_the_same("agent-lost");
}

#[test]
fn failover_ends_the_same_however_servers_see_it() {
    ends_the_same("failover");
}

#[test]
fn deletion_ends_the_same_however_servers_see_it() {
    ends_the_same("delete");
}
