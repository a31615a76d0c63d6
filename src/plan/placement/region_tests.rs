//! Two regions: Tasks stay in the master's, unless a constraint speaks of regions.

use super::tests::{agent, agents, class, index, offer, place, waiting};
use super::*;

fn in_region(number: usize, region: Option<&str>) -> [Change; 2] {
    let agent = Agent { region: region.map(Arc::from), ..agent(number, None, 4000, 4096) };
    // What is in use least comes first: the later ones are.
    let offer = offer(number, number, 1000 + 100 * number as u64, 4096);
    [Change::Agent(agent), Change::Offer(offer)]
}

/// Where three Tasks go that ask for this, if the master is there.
fn placed(home: Option<&str>, constraints: &[&str]) -> (Vec<String>, Index) {
    let machines = [(1, Some("eu")), (2, None), (3, Some("us")), (4, Some("us"))];
    let machines = machines.into_iter().flat_map(|(number, region)| in_region(number, region));
    let class = class("web", 800, 64, constraints, Vec::new()).at_home(home.map(Arc::from).as_ref());
    let tasks = (0..3).map(|number| waiting("web", number));
    let index = index(machines.chain([Change::Class(class)]).chain(tasks));
    let mut hosts: Vec<String> = agents(&place(&index)).into_iter().map(ToOwned::to_owned).collect();
    hosts.sort();
    (hosts, index)
}

#[test]
fn tasks_stay_in_the_masters_region_unless_a_constraint_speaks_of_regions() {
    let rows: [(Option<&str>, &[&str], &[&str]); 7] = [
        // the master's region, constraints, where three Tasks go of which each fits once on a machine
        (Some("eu"), &[], &["node-1", "node-2"]), // one of which no region is known is there
        (Some("us"), &[], &["node-2", "node-3", "node-4"]),
        (Some("asia"), &[], &["node-2"]),
        (None, &[], &["node-2", "node-3", "node-4"]), // nobody knows what is far away
        (Some("eu"), &["@region IS us"], &["node-3", "node-4"]),
        (Some("eu"), &["@region GROUP_BY"], &["node-1", "node-3", "node-4"]),
        (Some("eu"), &["@zone UNLIKE a", "@region UNLIKE eu"], &["node-2", "node-3", "node-4"]),
    ];
    for (home, constraints, expected) in rows {
        assert_eq!(placed(home, constraints).0, expected, "{home:?} {constraints:?}");
    }
}

#[test]
fn who_waits_is_told_of_machines_that_are_far_away() {
    let (_, index) = placed(Some("asia"), &[]);
    let why = explain(&index, &crate::plan::ObjectName::new("shop", "web"), Timestamp::UNIX_EPOCH).unwrap();
    let words = "3 outside asia, the master's region, and no constraint names @region";
    assert!(why.to_string().contains(words), "{why}");
}

/// A cluster of which most is elsewhere: it costs no look at what is there.
#[test]
fn machines_of_other_regions_are_passed_over_as_a_whole() {
    let region = |number: usize| if number < 1_900 { "us" } else { "eu" };
    let machines = (0..2_000).flat_map(|number| {
        let agent = Agent { region: Some(region(number).into()), ..agent(number, None, 16_000, 64_000) };
        // Of those that are far away nothing is in use.
        let free = if number < 1_900 { 16_000 } else { 8_000 };
        [Change::Agent(agent), Change::Offer(offer(number, number, free, 60_000))]
    });
    let home: Arc<str> = "eu".into();
    let classes = (0..40).flat_map(|number| {
        let name = format!("class-{number}");
        let class = class(&name, 100, 64, &[], Vec::new()).at_home(Some(&home));
        [Change::Class(class)].into_iter().chain((0..10).map(move |task| waiting(&name, task)))
    });
    let index = index(machines.chain(classes));
    let placed = pass::place(&index, Timestamp::UNIX_EPOCH, 1, usize::MAX);
    assert_eq!(placed.bindings.len(), 400);
    let looks = placed.looks / placed.bindings.len();
    assert!(looks <= 20, "{looks} looks per binding");
}
