//! What is held and given back, and what the cluster is told about our demand.

use super::*;

/// What a pass answers about offers at this second: a class waits for more than there is, an offer came at second 100, until
/// second `imminent` a Task may come that wants one.
fn answer(waits: bool, offers: bool, imminent: Option<i64>, second: i64, demand: DemandState) -> Answer {
    let mut changes = vec![Change::Agent(agent(1, None, 4000, 4096))];
    changes.extend(offers.then(|| Change::Offer(Offer { received: time(100), ..offer(1, 1, 10, 10) })));
    changes.push(Change::Class(class("web", 500, 64, &[], Vec::new())));
    changes.extend(waits.then(|| asking("web", 0, 100)));
    let plan = at(second, &index(changes), demand, imminent);
    (plan.declines.first().map(|it| it.refuse.as_secs()), plan.demand, plan.again)
}

/// Seconds that the offer is refused for, what the cluster is told, when to look again.
type Answer = (Option<u64>, Demand, Again);

fn at(second: i64, index: &Index, demand: DemandState, imminent: Option<i64>) -> Plan {
    let (now, leases, imminent) = (time(second), LeasePolicy::shared(), imminent.map(time));
    plan(&Snapshot {
        now,
        seed: 0,
        index,
        limit: 99,
        leases: &leases,
        demand,
        imminent,
        elsewhere: Elsewhere::default(),
    })
}

/// A Task that wants an offer since this second.
fn asking(class: &str, number: usize, second: i64) -> Change {
    let task = ObjectName::new("shop", &format!("{class}-{number:03}"));
    Change::Waiting { task, class: ObjectName::new("shop", class), since: time(0), asks: time(second) }
}

fn told(suppressed: bool, revived: Option<i64>, filtered: Option<u64>) -> DemandState {
    DemandState { suppressed, revived: revived.map(time), filtered, fruitless: 1, spent: None }
}

#[test]
fn leases_end() {
    let asked = told(false, Some(100), None);
    let spent = DemandState { spent: Some(time(103)), ..asked };
    let at = |second| Again::At(time(second));
    let (none, suppress) = (Demand::Unchanged, Demand::Suppress);
    let rows = [
        ("what was left comes back", answer(false, false, None, 107, spent), (None, none, at(108))),
        ("or not", answer(false, false, None, 108, spent), (None, suppress, Again::OnChange)),
        ("held for a lease", answer(false, true, None, 104, asked), (None, none, at(105))),
        ("then given back", answer(false, true, None, 105, asked), (Some(3600), suppress, Again::OnChange)),
        ("kept for what comes", answer(false, true, Some(160), 105, asked), (None, none, at(130))),
        ("not for ever", answer(false, true, Some(160), 130, asked), (Some(120), none, at(160))),
        (
            "nor for longer than it may come",
            answer(false, true, Some(120), 105, asked),
            (None, none, at(120)),
        ),
        ("it did not", answer(false, true, Some(120), 120, asked), (Some(3600), suppress, Again::OnChange)),
        ("too small for what waits", answer(true, true, None, 104, asked), (None, none, at(105))),
        ("so it goes", answer(true, true, None, 105, asked), (Some(120), none, at(220))),
    ];
    for (name, answer, expected) in rows {
        assert_eq!(answer, expected, "{name}");
    }
}

#[test]
fn demand_follows_what_waits() {
    let (none, revive) = (Demand::Unchanged, Demand::Revive);
    let rows = [
        // what, waits, imminent, now, what the cluster was told, what it is told now
        ("told once", false, None, 105, told(true, Some(90), Some(0)), none),
        ("asks when something waits", true, None, 105, told(true, Some(90), None), revive),
        ("not for what may come", false, Some(120), 105, told(true, Some(90), None), none),
        ("but does not give up before", false, Some(120), 105, told(false, Some(90), None), none),
        ("not too often", true, None, 105, told(true, Some(102), None), none),
        ("filters hide what it needs", true, None, 105, told(false, Some(90), Some(0)), revive),
        ("it has seen what was refused", true, None, 105, told(false, Some(90), Some(1)), none),
        ("it has seen everything", true, None, 105, told(false, Some(101), None), none),
        ("looks again", true, None, 221, told(false, Some(101), None), revive),
        ("not while its own filters last", true, None, 220, told(false, Some(101), None), none),
        ("never asked", true, None, 105, told(true, None, None), revive),
    ];
    for (name, waits, imminent, second, demand, expected) in rows {
        assert_eq!(answer(waits, false, imminent, second, demand).1, expected, "{name}");
    }
    let (_, _, again) = answer(true, false, None, 105, told(true, Some(102), None));
    assert_eq!(again, Again::At(time(107)), "it asks when it may");
}

/// The seconds up to `last` at which it is asked for offers, for a Task that no agent fits; `step` may change what waits.
fn revived(mut index: Index, last: i64, mut step: impl FnMut(&mut Index, i64)) -> Vec<i64> {
    let (mut demand, mut seconds) = (DemandState::subscribed(true), Vec::new());
    for second in 0..last {
        step(&mut index, second);
        if at(second, &index, demand, None).demand == Demand::Revive {
            seconds.push(second);
            let (revived, fruitless) = (Some(time(second)), demand.fruitless + 1);
            demand = DemandState {
                suppressed: false,
                revived,
                fruitless,
                filtered: Some(index.arrivals()),
                ..demand
            };
        }
    }
    seconds
}

#[test]
fn what_fits_nowhere_asks_more_and_more_seldom() {
    let scene = [Change::Class(class("huge", 64_000, 64, &[], Vec::new())), asking("huge", 0, 0)];
    let seconds = revived(index(scene), 12 * 3600, |_, _| {});
    assert_eq!(
        seconds,
        [
            0, 120, 240, 480, 960, 1920, 3840, 7440, 11_040, 14_640, 18_240, 21_840, 25_440, 29_040, 32_640,
            36_240, 39_840
        ]
    );
}

#[test]
fn what_keeps_coming_and_fits_nowhere_is_no_storm() {
    let scene = [Change::Class(class("huge", 64_000, 64, &[], Vec::new()))];
    let mut number = 0;
    let seconds = revived(index(scene), 300, |index, second| {
        number += 1;
        index.apply(asking("huge", number, second));
    });
    assert_eq!(seconds[..6], [0, 5, 15, 35, 65, 95]);
    assert_eq!(seconds.len(), 12);
}

#[test]
fn of_what_is_left_a_share_is_held_and_the_rest_goes_after_a_glance() {
    let agents = (0..40)
        .map(|number| Change::Agent(Agent { accepts: number != 39, ..agent(number, None, 4000, 4096) }));
    let offers = (0..40).map(|number| {
        Change::Offer(Offer { received: time(100), ..offer(number, number, 3900 - 10 * number as u64, 4000) })
    });
    let scene = [Change::Class(class("huge", 64_000, 64, &[], Vec::new())), asking("huge", 0, 100)];
    let mut index = index(agents.chain(offers).chain(scene));
    let demand = told(false, Some(100), None);
    let glance = at(100, &index, demand, Some(200));
    assert_eq!((glance.declines, glance.again), (Vec::new(), Again::At(time(101))));
    index.apply(Change::Offer(Offer { received: time(101), ..offer(40, 12, 1, 0) }));

    let rest = at(101, &index, demand, Some(200));
    let gone: BTreeSet<&str> = rest.declines.iter().map(|it| &*it.offer.0).collect();
    let expected: Vec<String> = (10..40).filter(|it| *it != 12).map(|it| format!("offer-{it}")).collect();
    assert_eq!(
        gone,
        expected.iter().map(String::as_str).collect(),
        "those in use most go; of one there is news"
    );
    assert!(rest.declines.iter().all(|it| it.refuse.as_secs() == 120));
    assert_eq!(rest.again, Again::At(time(102)), "when the news is old");
    for decline in rest.declines {
        index.apply(Change::OfferGone(decline.offer));
    }
    let news = at(102, &index, demand, Some(200));
    let gone: Vec<&str> = news.declines.iter().map(|it| &*it.offer.0).collect();
    assert_eq!(gone, ["offer-12", "offer-40"]);
    for decline in news.declines {
        index.apply(Change::OfferGone(decline.offer));
    }
    assert_eq!((index.holders(), at(129, &index, demand, Some(200)).declines.len()), (10, 0));
    assert_eq!(at(130, &index, demand, Some(200)).declines.len(), 10);
}

#[test]
fn an_agent_that_is_taken_last_is_kept_until_it_is() {
    let web = ObjectName::new("shop", "web");
    let agents = (0..40).map(|number| Change::Agent(agent(number, None, 4000, 4096)));
    let offers = (0..40).map(|number| Change::Offer(offer(number, number, 3900 - 10 * number as u64, 4096)));
    let scene = [
        Change::Class(class("web", 500, 64, &["hostname IS node-39"], Vec::new())),
        waiting("web", 0),
        failed(&web, "0", 39, 0),
        failed(&web, "1", 39, 0),
    ];
    let index = index(agents.chain(offers).chain(scene));
    let plan = at(4, &index, told(false, Some(0), None), None);
    assert!(plan.bindings.is_empty() && plan.declines.len() == 29, "{} go", plan.declines.len());
    assert!(!plan.declines.iter().any(|it| &*it.offer.0 == "offer-39"));
    assert_eq!(plan.again, Again::At(time(5)));
}

/// Mesos offers what is free on an agent to one role at a time.
#[test]
fn what_another_role_waits_for_is_kept_for_a_glance_or_for_what_comes_soon() {
    let waits = Elsewhere { waits: true, roles: 1 };
    let declined = |policy: &LeasePolicy, second, imminent: Option<i64>, elsewhere| {
        let changes = [
            Change::Agent(agent(1, None, 4000, 4096)),
            Change::Offer(Offer { received: time(100), ..offer(1, 1, 10, 10) }),
        ];
        let (index, demand) = (index(changes), told(false, Some(100), None));
        let (now, imminent) = (time(second), imminent.map(time));
        let plan = plan(&Snapshot {
            now,
            seed: 0,
            index: &index,
            limit: 9,
            leases: policy,
            demand,
            imminent,
            elsewhere,
        });
        plan.declines.len()
    };
    let (sole, shared, none) = (LeasePolicy::sole(), LeasePolicy::shared(), Elsewhere::default());
    for policy in [&sole, &shared] {
        assert_eq!([100, 101].map(|at| declined(policy, at, None, waits)), [0, 1]);
        assert_eq!([129, 130].map(|at| declined(policy, at, Some(999), waits)), [0, 1]);
    }
    assert_eq!([declined(&sole, 399, None, none), declined(&sole, 999, Some(1999), none)], [0, 0]);
}

#[test]
fn roles_have_equal_parts_of_the_share_of_the_cluster() {
    let changes = (1..=40).flat_map(|number| {
        let offer = Offer { received: time(100), ..offer(number, number, 4000, 4096) };
        [Change::Agent(agent(number, None, 4000, 4096)), Change::Offer(offer)]
    });
    let (index, leases) = (index(changes), LeasePolicy::shared());
    let kept = |roles| {
        let (elsewhere, demand) = (Elsewhere { waits: false, roles }, told(false, Some(100), None));
        let plan = plan(&Snapshot {
            now: time(101),
            seed: 0,
            index: &index,
            limit: 9,
            leases: &leases,
            demand,
            imminent: None,
            elsewhere,
        });
        40 - plan.declines.len()
    };
    assert_eq!([0, 1, 9].map(kept), [10, 5, 4], "a quarter of the agents in all, and each at least four");
}
