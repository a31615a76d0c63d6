//! Placement against a plain reading of its rules: a slow oracle that looks at everything for every Task.

mod leases;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;

use super::constraint::Rule;
use super::*;
use crate::api::{Constraint, HostPort, Operator, Revocable};

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn amounts(cpus: u64, memory: u64) -> Resources {
    Resources { cpus, memory: memory * 1000, ..Resources::default() }
}

pub(super) fn agent(number: usize, rack: Option<&str>, cpus: u64, memory: u64) -> Agent {
    let attributes = rack.map(|it| ("rack".to_owned(), Arc::from(it))).into_iter().collect();
    let totals = amounts(cpus, memory);
    Agent { attributes, totals, ..Agent::new(&format!("agent-{number}"), &format!("node-{number}")) }
}

pub(super) fn offer(number: usize, agent: usize, cpus: u64, memory: u64) -> Offer {
    Offer {
        id: OfferId(format!("offer-{number}").into()),
        agent: AgentId(format!("agent-{agent}").into()),
        free: amounts(cpus, memory),
        ports: [PortRange { begin: 31_000, end: 31_009 }].into_iter().collect(),
        received: time(0),
    }
}

pub(super) fn class(name: &str, cpus: u64, memory: u64, constraints: &[&str], ports: Vec<HostPort>) -> Class {
    let rules = constraints.iter().map(|it| constraint::Rule::new(&constraint(it)).unwrap()).collect();
    Class::of(ObjectName::new("shop", name), amounts(cpus, memory), ports, rules)
}

fn constraint(text: &str) -> Constraint {
    let mut words = text.splitn(3, ' ').map(str::to_owned);
    let (attribute, operator) = (words.next().unwrap(), words.next().unwrap());
    let operator: Operator = serde_json::from_value(operator.into()).unwrap();
    Constraint { attribute, operator, value: words.next() }
}

pub(super) fn waiting(class: &str, number: usize) -> Change {
    let (task, class) =
        (ObjectName::new("shop", &format!("{class}-{number:03}")), ObjectName::new("shop", class));
    Change::Waiting { task, class, since: time(0), asks: time(0) }
}

fn failed(class: &ObjectName, task: &str, agent: usize, at: i64) -> Change {
    let task = ObjectName::new("shop", &format!("{}-failed-{task}", class.name));
    Change::Failed {
        task,
        class: class.clone(),
        agent: AgentId(format!("agent-{agent}").into()),
        at: time(at),
    }
}

pub(super) fn index(changes: impl IntoIterator<Item = Change>) -> Index {
    let mut index = Index::new();
    changes.into_iter().for_each(|change| index.apply(change));
    index
}

pub(super) fn place(index: &Index) -> Plan {
    place_at_most(index, usize::MAX)
}

fn place_at_most(index: &Index, limit: usize) -> Plan {
    let leases = LeasePolicy::shared();
    let demand = DemandState::default();
    plan(&Snapshot {
        now: time(1),
        seed: 7,
        index,
        limit,
        leases: &leases,
        demand,
        imminent: None,
        elsewhere: Elsewhere::default(),
    })
}

/// What a pass binds and leaves.
fn decisions(index: &Index) -> (Vec<Binding>, Vec<Waiting>) {
    let plan = place(index);
    (plan.bindings, plan.waiting)
}

/// The agents that Tasks went to, in the order in which they were bound.
pub(super) fn agents(plan: &Plan) -> Vec<&str> {
    plan.bindings.iter().map(|it| &*it.hostname).collect()
}

#[test]
fn tasks_spread_over_the_agents_in_use_least() {
    let changes = [
        Change::Agent(agent(1, None, 4000, 4096)),
        Change::Agent(agent(2, None, 4000, 4096)),
        Change::Offer(offer(1, 1, 4000, 4096)),
        Change::Offer(offer(2, 2, 3000, 4096)), // a quarter of its cpus is in use
        Change::Class(class("web", 500, 64, &[], Vec::new())),
    ];
    let index = index(changes.into_iter().chain((0..6).map(|n| waiting("web", n))));
    assert_eq!(agents(&place(&index)), ["node-1", "node-1", "node-2", "node-1", "node-2", "node-1"]);
}

#[test]
fn offers_of_one_agent_are_used_as_one() {
    let changes = [
        Change::Agent(agent(1, None, 2000, 512)),
        Change::Offer(offer(1, 1, 500, 256)),
        Change::Offer(offer(2, 1, 500, 256)),
        Change::Class(class("web", 1000, 512, &[], Vec::new())),
        waiting("web", 0),
    ];
    let plan = place(&index(changes));
    let offers: Vec<_> = plan.bindings[0].offers.iter().map(|it| &*it.0).collect();
    assert_eq!(offers, ["offer-1", "offer-2"]);
    assert_eq!(plan.bindings[0].resources, amounts(1000, 512));
}

#[test]
fn ports_are_carved_from_the_offer_fixed_ones_first() {
    let ports = vec![HostPort::Any, HostPort::None, HostPort::Fixed(31_004), HostPort::Any];
    let changes = [
        Change::Agent(agent(1, None, 4000, 4096)),
        Change::Offer(offer(1, 1, 4000, 4096)),
        Change::Class(class("web", 100, 32, &[], ports)),
        waiting("web", 0),
        waiting("web", 1), // 31004 is taken
    ];
    let plan = place(&index(changes));
    assert_eq!((plan.bindings.len(), plan.waiting.len()), (1, 1));
    let ports = &plan.bindings[0].ports;
    assert_eq!((ports[1], ports[2]), (0, 31_004));
    assert!(ports[0] != ports[3] && ports[0] != 31_004 && ports[3] != 31_004, "{ports:?}");
}

#[test]
fn another_seed_chooses_other_ports() {
    let changes = [
        Change::Agent(agent(1, None, 4000, 4096)),
        Change::Offer(offer(1, 1, 4000, 4096)),
        Change::Class(class("web", 100, 32, &[], vec![HostPort::Any])),
        waiting("web", 0),
    ];
    let index = index(changes);
    let leases = LeasePolicy::shared();
    let port = |seed| {
        let demand = DemandState::default();
        let snapshot = Snapshot {
            now: time(1),
            seed,
            index: &index,
            limit: 9,
            leases: &leases,
            demand,
            imminent: None,
            elsewhere: Elsewhere::default(),
        };
        plan(&snapshot).bindings[0].ports[0]
    };
    let chosen: BTreeSet<_> = (0..50).map(port).collect();
    assert!(chosen.len() > 5, "{chosen:?}");
    assert_eq!(port(3), port(3));
}

#[test]
fn a_large_class_does_not_starve_others() {
    let changes = [
        Change::Agent(agent(1, None, 100_000, 100_000)),
        Change::Offer(offer(1, 1, 10_000, 100_000)),
        Change::Class(class("large", 100, 1, &[], Vec::new())),
        Change::Class(class("small", 100, 1, &[], Vec::new())),
    ];
    let tasks = (0..200).map(|n| waiting("large", n)).chain((0..10).map(|n| waiting("small", n)));
    let plan = place(&index(changes.into_iter().chain(tasks)));
    let small = plan.bindings.iter().filter(|it| &*it.class.name == "small").count();
    assert_eq!((plan.bindings.len(), small), (100, 10));
    let left: Vec<_> = plan.waiting.iter().map(|it| (&*it.class.name, it.tasks)).collect();
    assert_eq!(left, [("large", 110)]);
}

#[test]
fn a_limit_leaves_the_rest_for_another_pass() {
    let changes = [
        Change::Agent(agent(1, None, 4000, 4096)),
        Change::Offer(offer(1, 1, 4000, 4096)),
        Change::Class(class("web", 100, 1, &[], Vec::new())),
    ];
    let index = index(changes.into_iter().chain((0..5).map(|n| waiting("web", n))));
    let plan = place_at_most(&index, 3);
    assert_eq!((plan.bindings.len(), plan.more, plan.waiting[0].tasks), (3, true, 2));
}

#[test]
fn why_a_class_waits_is_told_in_words() {
    let racks = [Some("a"), Some("b"), None];
    let mut changes: Vec<_> = (0..3).map(|n| Change::Agent(agent(n, racks[n], 4000, 4096))).collect();
    changes.extend([
        Change::Offer(offer(0, 0, 1000, 4096)),
        Change::Offer(offer(1, 1, 4000, 1024)),
        Change::Class(class("large", 100, 65_536, &[], Vec::new())),
        Change::Class(class("square", 2000, 2048, &[], Vec::new())),
        Change::Class(class("racked", 100, 32, &["rack IS c"], Vec::new())),
        Change::Class(class("alone", 100, 32, &["rack UNIQUE"], Vec::new())),
        Change::Class(class("port", 100, 32, &[], vec![HostPort::Fixed(80)])),
        Change::Class(class("fits", 100, 32, &["hostname IS node-1"], Vec::new())),
        Change::Placed {
            task: ObjectName::new("shop", "alone-1"),
            class: ObjectName::new("shop", "alone"),
            agent: AgentId("agent-1".into()),
        },
    ]);
    let index = index(changes);
    let rows = [
        (
            "large",
            "memory: wants 64Gi, the largest free agent has 4Gi (of 3 agents: 3 with too little memory)",
        ),
        (
            "square",
            "no agent has all of it free: node-0 comes closest and lacks cpus (wants 2, has 1) (of 3 agents: \
             1 with too little cpus, 1 with too little memory, 1 without an offer)",
        ),
        ("racked", "no offer may be used (of 3 agents: 3 refused by the constraint rack IS c)"),
        (
            "port",
            "no agent has the host ports free (of 3 agents: 1 without an offer, 2 without host port 80 free)",
        ),
    ];
    for (class, expected) in rows {
        let told = explain(&index, &ObjectName::new("shop", class), time(1)).unwrap();
        assert_eq!(told.to_string(), expected);
    }
    let alone = explain(&index, &ObjectName::new("shop", "alone"), time(1)).unwrap();
    assert_eq!(alone.refusals[&Refusal::Constraint("rack UNIQUE".into())], 2);
    assert_eq!(explain(&index, &ObjectName::new("shop", "unknown"), time(1)), None);
    assert_eq!(explain(&Index::new(), &ObjectName::new("shop", "web"), time(1)), None);
}

#[test]
fn why_a_class_waits_stays_the_same_while_a_spent_offer_is_on_its_way_back() {
    let (large, small) = (ObjectName::new("shop", "large"), ObjectName::new("shop", "small"));
    let mut index = index([
        Change::Agent(agent(1, None, 4000, 4096)),
        Change::Class(class("large", 100, 65_536, &[], Vec::new())),
        Change::Class(class("small", 1000, 1024, &[], Vec::new())),
        Change::Offer(offer(1, 1, 3000, 3072)),
        Change::Placed {
            task: ObjectName::new("shop", "small-1"),
            class: small,
            agent: AgentId("agent-1".into()),
        },
    ]);
    let told = |index: &Index| explain(index, &large, time(1)).unwrap().to_string();
    let before = told(&index);
    assert_eq!(
        before,
        "memory: wants 64Gi, the largest free agent has 3Gi (of 1 agents: 1 with too little memory)"
    );
    index.apply(Change::OfferGone(OfferId("offer-1".into())));
    assert_eq!(told(&index), before);
}

/// A cluster and what waits for it, small enough to be placed by looking at everything.
#[derive(Clone, Debug)]
struct Scene {
    agents: Vec<Agent>,
    offers: Vec<Offer>,
    classes: Vec<Class>,
    /// Class and number of waiting Tasks.
    waiting: Vec<(usize, usize)>,
    /// Class and agent of Tasks that have a place.
    placed: Vec<(usize, usize)>,
    /// Class and agent, each for two Tasks that failed.
    failed: Vec<(usize, usize)>,
}

const CONSTRAINTS: [&[&str]; 26] = [
    &[],
    &[],
    &["hostname UNIQUE"],
    &["rack UNIQUE"],
    &["rack MAX_PER 2"],
    &["rack CLUSTER"],
    &["rack CLUSTER a"],
    &["rack LIKE [ab]"],
    &["rack UNLIKE a"],
    &["rack UNLIKE [b-e]"],
    &["hostname IS node-1"],
    &["hostname LIKE node-1.?"],
    &["hostname CLUSTER"],
    &["rack GROUP_BY"],
    &["rack GROUP_BY 3"],
    &["hostname GROUP_BY"],
    &["hostname UNIQUE", "rack LIKE [d-e]"],
    &["rack MAX_PER 2", "rack UNLIKE b"],
    &["rack UNIQUE", "hostname LIKE node-[2-9]"],
    &["rack CLUSTER", "hostname UNIQUE"],
    &["hostname GROUP_BY", "rack UNLIKE b"],
    &["rack GROUP_BY", "hostname UNIQUE"],
    &["rack GROUP_BY", "rack LIKE [c-e]"],
    &["rack GROUP_BY", "hostname LIKE node-.?[02468]"],
    &["rack GROUP_BY", "hostname GROUP_BY"],
    &["hostname GROUP_BY", "rack GROUP_BY 2"],
];

/// What the classes of a scene take of what is lent.
const LENT: [&[Revocable]; 3] = [&[], &[Revocable::Cpus], &[Revocable::Cpus, Revocable::Memory]];

fn scene() -> impl Strategy<Value = Scene> {
    let agents = prop::collection::vec((0_usize..6, 1_u64..5, prop::bool::weighted(0.8)), 1..16);
    let offers = prop::collection::vec((0_usize..16, 0_u64..4, 0_u64..4), 0..24);
    let port =
        prop::sample::select(vec![HostPort::None, HostPort::Any, HostPort::Any, HostPort::Fixed(31_003)]);
    let classes = prop::collection::vec(
        (0..CONSTRAINTS.len(), 0_u64..3, 0_u64..3, prop::collection::vec(port, 0..3)),
        1..4,
    );
    let waiting = prop::collection::vec((0_usize..4, 0_usize..12), 1..4);
    let placed = prop::collection::vec((0_usize..4, 0_usize..17), 0..5);
    let failed = prop::collection::vec((0_usize..4, 0_usize..17), 0..3);
    (agents, offers, classes, waiting, placed, failed).prop_map(
        |(agents, offers, classes, waiting, placed, failed)| {
            let racks = [None, Some("a"), Some("b"), Some("c"), Some("d"), Some("e")];
            let count = agents.len();
            let agents = agents.into_iter().enumerate();
            let agents = agents.map(|(number, (rack, size, accepts))| Agent {
                accepts: accepts || number > 0,
                ..agent(number, racks[rack], size * 1000, size * 1000)
            });
            let classes: Vec<_> = classes
                .into_iter()
                .enumerate()
                .map(|(number, (rules, cpus, memory, ports))| {
                    let name = format!("class-{number}");
                    let mut class = class(&name, cpus * 400, memory * 300, CONSTRAINTS[rules], ports);
                    class.wants = class.wants.lending(LENT[number]);
                    class
                })
                .collect();
            let offers = offers.into_iter().enumerate();
            let one = |(number, (at, cpus, memory)): (usize, (usize, u64, u64))| {
                // Two offers of one agent have different ports.
                let begin = 31_000 + u16::try_from(number).unwrap_or(0) * 10;
                let ports = [PortRange { begin, end: begin + 3 }].into_iter().collect();
                let offer = offer(number, at % count, cpus * 500, memory * 500);
                let free = Resources { lent_cpus: memory * 500, lent_memory: cpus * 300_000, ..offer.free };
                Offer { ports, free, ..offer }
            };
            let in_range =
                |all: Vec<(usize, usize)>| all.into_iter().filter(|it| it.0 < classes.len()).collect();
            let (waiting, placed, failed) = (in_range(waiting), in_range(placed), in_range(failed));
            Scene {
                agents: agents.collect(),
                offers: offers.map(one).collect(),
                classes,
                waiting,
                placed,
                failed,
            }
        },
    )
}

impl Scene {
    /// Classes and the agents that they avoid. With GROUP_BY an agent that was passed over may become right again once one to avoid
    /// was taken; the walk does not go back for it.
    fn avoided(&self) -> impl Iterator<Item = (ObjectName, usize)> {
        let classes = self.failed.iter().map(|(class, agent)| (&self.classes[*class], *agent));
        classes
            .filter(|(it, _)| !it.rules.iter().any(Rule::groups))
            .map(|(it, agent)| (it.name.clone(), agent))
    }

    fn changes(&self) -> Vec<Change> {
        let mut changes: Vec<_> = self.agents.iter().cloned().map(Change::Agent).collect();
        changes.extend(self.offers.iter().cloned().map(Change::Offer));
        changes.extend(self.classes.iter().cloned().map(Change::Class));
        for (class, count) in &self.waiting {
            changes.extend((0..*count).map(|number| waiting(&format!("class-{class}"), number)));
        }
        for (number, (class, agent)) in self.placed.iter().enumerate() {
            let task = ObjectName::new("shop", &format!("placed-{number}"));
            let class = ObjectName::new("shop", &format!("class-{class}"));
            changes.push(Change::Placed { task, class, agent: AgentId(format!("agent-{agent}").into()) });
        }
        for (number, (class, agent)) in self.avoided().enumerate() {
            changes.extend((0..2).map(|task| failed(&class, &format!("{number}-{task}"), agent, 0)));
        }
        changes
    }
}

/// The oracle's view of the cluster while bindings are replayed one by one.
struct Replay {
    agents: BTreeMap<AgentId, Agent>,
    free: BTreeMap<AgentId, Resources>,
    ports: BTreeMap<AgentId, BTreeSet<u16>>,
    ours: BTreeMap<AgentId, u64>,
    /// Class and agent of every placed Task.
    placed: Vec<(ObjectName, AgentId)>,
    /// Classes and the agents that they take last.
    avoided: BTreeSet<(ObjectName, AgentId)>,
}

impl Replay {
    fn new(scene: &Scene) -> Self {
        let mut replay = Self {
            agents: scene.agents.iter().map(|it| (it.id.clone(), it.clone())).collect(),
            free: BTreeMap::new(),
            ports: BTreeMap::new(),
            ours: BTreeMap::new(),
            placed: Vec::new(),
            avoided: scene
                .avoided()
                .map(|(class, agent)| (class, AgentId(format!("agent-{agent}").into())))
                .collect(),
        };
        for offer in &scene.offers {
            let free = replay.free.entry(offer.agent.clone()).or_default();
            *free = free.plus(&offer.free);
            let ports = offer.ports.ranges().iter().flat_map(|it| it.begin..=it.end);
            replay.ports.entry(offer.agent.clone()).or_default().extend(ports);
        }
        for (class, agent) in &scene.placed {
            let class = ObjectName::new("shop", &format!("class-{class}"));
            replay.add(class, AgentId(format!("agent-{agent}").into()));
        }
        replay
    }

    fn add(&mut self, class: ObjectName, agent: AgentId) {
        *self.ours.entry(agent.clone()).or_default() += 1;
        self.placed.push((class, agent));
    }

    fn counts(&self, class: &Class, attribute: &constraint::Field) -> BTreeMap<Option<Arc<str>>, u32> {
        let mut counts = BTreeMap::new();
        for (_, agent) in self.placed.iter().filter(|(of, _)| *of == class.name) {
            let value = self.agents.get(agent).and_then(|it| attribute.on(it)).cloned();
            *counts.entry(value).or_insert(0) += 1;
        }
        counts
    }

    /// Marathon's table, read once more.
    fn allows(&self, class: &Class, agent: &Agent) -> bool {
        class.rules.iter().all(|rule| {
            let counts = self.counts(class, &rule.field);
            let Some(value) = rule.field.on(agent) else {
                return matches!(rule.test, constraint::Test::Differs(_) | constraint::Test::AtHome(_));
            };
            let here = counts.get(&Some(value.clone())).copied().unwrap_or(0);
            match &rule.test {
                constraint::Test::Equals(wanted) | constraint::Test::AtHome(wanted) => value == wanted,
                constraint::Test::Matches(regex) => regex.is_match(value),
                constraint::Test::Differs(regex) => !regex.is_match(value),
                constraint::Test::Together => counts.is_empty() || here > 0,
                constraint::Test::AtMost(most) => here < *most,
                constraint::Test::Evenly(groups) => {
                    let smallest = counts.values().min().copied().unwrap_or(0);
                    here == 0 || (counts.len() >= *groups as usize && here == smallest)
                }
            }
        })
    }

    fn has_room(&self, class: &Class, id: &AgentId) -> bool {
        let Some(free) = self.free.get(id) else { return false };
        let ports = &self.ports[id];
        let any = class.ports.iter().filter(|it| **it == HostPort::Any).count();
        let wanted = any + class.fixed_ports().collect::<BTreeSet<_>>().len();
        class.wants.lacks_in(free).is_none()
            && ports.len() >= wanted
            && class.fixed_ports().all(|port| ports.contains(&port))
    }

    fn takes(&self, class: &Class, agent: &Agent) -> bool {
        agent.accepts && self.has_room(class, &agent.id) && self.allows(class, agent)
    }

    /// In use least first, to the precision that placement keeps; then the fewest Tasks of ours.
    fn use_of(&self, agent: &Agent) -> (u64, u64) {
        let free = self.free[&agent.id];
        let part = |free: u64, total: u64| total.saturating_sub(free) * (1 << 20) / total;
        let used = part(free.cpus, agent.totals.cpus).max(part(free.memory, agent.totals.memory));
        (used, self.ours.get(&agent.id).copied().unwrap_or(0))
    }

    /// The order in which a class takes agents: those where it fails last; with GROUP_BY new values first, then values in order; used least first.
    fn place_of(&self, class: &Class, agent: &Agent) -> (bool, Option<Arc<str>>, u64, u64) {
        let (used, tasks) = self.use_of(agent);
        let by = class.rules.iter().find(|it| it.groups()).map(|it| &it.field);
        let group = by.and_then(|it| it.on(agent)).cloned();
        let known = by.is_some_and(|it| self.counts(class, it).contains_key(&group));
        let is_avoided = self.avoided.contains(&(class.name.clone(), agent.id.clone()));
        (is_avoided, group.filter(|_| known), used, tasks)
    }

    fn spend(&mut self, class: &Class, binding: &Binding) -> Result<(), TestCaseError> {
        let free = self.free.get_mut(&binding.agent).unwrap();
        prop_assert_eq!(binding.resources, class.wants);
        *free = free.minus(&binding.resources);
        prop_assert_eq!(binding.ports.len(), class.ports.len());
        let mut fixed_before = BTreeSet::new();
        for (port, wanted) in binding.ports.iter().zip(&class.ports) {
            match wanted {
                HostPort::None => prop_assert_eq!(*port, 0),
                HostPort::Fixed(fixed) => prop_assert_eq!(port, fixed),
                HostPort::Any => {}
            }
            let taken = self.ports.get_mut(&binding.agent).unwrap();
            // One number for TCP and for UDP is one port.
            let repeated = matches!(wanted, HostPort::Fixed(_)) && !fixed_before.insert(*port);
            prop_assert!(
                *port == 0 || repeated || taken.remove(port),
                "port {} used twice or not on offer",
                port
            );
        }
        self.add(binding.class.clone(), binding.agent.clone());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn bindings_spend_offers_once_hold_constraints_and_leave_nobody_waiting_who_fits(scene in scene()) {
        let plan = pass::place(&index(scene.changes()), time(6), 7, usize::MAX);
        let classes: BTreeMap<_, _> = scene.classes.iter().map(|it| (it.name.clone(), it)).collect();
        let mut replay = Replay::new(&scene);
        let mut bound = BTreeSet::new();
        for binding in &plan.bindings {
            let class = classes[&binding.class];
            prop_assert!(bound.insert(binding.task.clone()), "{} is bound twice", binding.task);
            let agent = replay.agents[&binding.agent].clone();
            prop_assert!(replay.takes(class, &agent), "{} does not take {}", agent.id, binding.task);
            let others = replay.agents.values().filter(|it| replay.takes(class, it));
            let least = others.map(|it| replay.place_of(class, it)).min();
            prop_assert_eq!(Some(replay.place_of(class, &agent)), least, "{} is not the first", agent.id);
            replay.spend(class, binding)?;
        }
        for left in &plan.waiting {
            let class = classes[&left.class];
            let fits = replay.agents.values().find(|it| replay.takes(class, it));
            prop_assert!(fits.is_none(), "{} waits and fits on {:?}", left.class, fits.map(|it| &it.id));
        }
        let waits: usize = plan.waiting.iter().map(|it| it.tasks).sum();
        let tasks: BTreeSet<_> = scene.waiting.iter().flat_map(|(class, count)| (0..*count).map(move |n| (class, n))).collect();
        prop_assert_eq!(plan.bindings.len() + waits, tasks.len());
    }

    #[test]
    fn what_was_refused_is_asked_again_exactly_when_it_may_have_become_right(
        scene in scene(), later in scene(), steps in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..4), 1..12),
    ) {
        let mut plain = index(scene.changes());
        let mut told = plain.clone();
        for (step, (choice, kind)) in steps.into_iter().enumerate() {
            let change = match kind {
                0 => scene.offers.get(choice.index(24)).map(|it| Change::OfferGone(it.id.clone())),
                1 => Some(Change::TaskGone(ObjectName::new("shop", &format!("placed-{}", choice.index(5))))),
                2 => Some(Change::Agent(choice.get(&later.agents).clone())),
                _ => later.offers.get(step).cloned().map(Change::Offer),
            };
            let plan = place(&told);
            for class in plan.refused {
                told.apply(Change::Refused { class, seen: plan.seen });
            }
            for Binding { task, class, agent, offers, .. } in plan.bindings {
                let spent = offers.into_iter().map(Change::OfferGone);
                for change in spent.chain([Change::Placed { task, class, agent }]) {
                    plain.apply(change.clone());
                    told.apply(change);
                }
            }
            if let Some(change) = change {
                plain.apply(change.clone());
                told.apply(change);
            }
            prop_assert_eq!(decisions(&told), decisions(&plain));
        }
    }

    #[test]
    fn an_index_that_saw_everything_come_and_go_is_one_that_saw_the_end(
        before in scene(), after in scene(), order in any::<prop::sample::Index>(),
    ) {
        let mut walked = index(before.changes());
        for offer in &before.offers {
            walked.apply(Change::OfferGone(offer.id.clone()));
        }
        for change in before.changes() {
            match change {
                Change::Waiting { task, .. } | Change::Placed { task, .. } | Change::Failed { task, .. } => walked.apply(Change::TaskGone(task)),
                Change::Class(class) => walked.apply(Change::ClassGone(class.name)),
                Change::Agent(agent) => walked.apply(Change::AgentGone(agent.id)),
                Change::AgentGone(_)
                | Change::Offer(_)
                | Change::OfferGone(_)
                | Change::ClassGone(_)
                | Change::TaskGone(_)
                | Change::Refused { .. } => {}
            }
        }
        let mut changes = after.changes();
        changes.iter().for_each(|it| walked.apply(it.clone()));
        changes.iter().for_each(|it| walked.apply(it.clone()));
        let turned = order.index(changes.len());
        changes.rotate_left(turned);
        let fresh = index(changes);
        prop_assert_eq!(decisions(&walked), decisions(&fresh));
        prop_assert_eq!((walked.held_offers(), walked.holders()), (fresh.held_offers(), fresh.holders()));
        prop_assert_eq!(walked.waiting_tasks(), fresh.waiting_tasks());
        for class in &after.classes {
            prop_assert_eq!(explain(&walked, &class.name, time(1)), explain(&fresh, &class.name, time(1)));
        }
    }
}

#[test]
fn an_agent_where_a_class_keeps_failing_is_taken_last_and_not_before_others_had_a_moment() {
    let web = ObjectName::new("shop", "web");
    let mut scene = vec![
        Change::Agent(agent(1, None, 8000, 8192)),
        Change::Agent(agent(2, None, 1000, 1024)),
        Change::Offer(offer(1, 1, 8000, 8192)),
        Change::Class(class("web", 500, 64, &[], Vec::new())),
        Change::Class(class("other", 500, 64, &[], Vec::new())),
        waiting("web", 0),
        failed(&web, "0", 1, 0),
    ];
    let at = |index: &Index, second| pass::place(index, time(second), 7, usize::MAX);
    assert_eq!(at(&index(scene.clone()), 1).bindings.len(), 1, "once may be chance");

    scene.push(failed(&web, "1", 1, 1));
    let mut alone = index(scene.clone());
    let placed = at(&alone, 1);
    assert_eq!((placed.bindings.len(), placed.waiting.len(), placed.again), (0, 1, Again::At(time(5))));
    assert!(placed.refused.is_empty(), "it is asked again without anything having changed");
    let told = explain(&alone, &web, time(1)).unwrap().to_string();
    assert!(told.contains("1 to be taken last, as its tasks keep failing there"), "{told}");
    assert_eq!(at(&alone, 5).bindings.len(), 1, "there is no other");
    assert_eq!(at(&alone, 601).bindings[0].agent.0.as_ref(), "agent-1", "one failure is forgotten by then");

    alone.apply(Change::Offer(offer(2, 2, 1000, 1024)));
    alone.apply(waiting("web", 1));
    alone.apply(waiting("web", 2));
    alone.apply(waiting("other", 0));
    let hosts = |index: &Index| -> Vec<String> {
        at(index, 5).bindings.iter().map(|it| format!("{} {}", it.class.name, it.hostname)).collect()
    };
    assert_eq!(hosts(&alone), ["other node-1", "web node-2", "web node-2", "web node-1"]);

    alone.apply(Change::TaskGone(ObjectName::new("shop", "web-failed-0")));
    let forgotten = ["other node-1", "web node-2", "web node-1", "web node-1"];
    assert_eq!(hosts(&alone), forgotten, "the Task is not remembered any more");
}

#[test]
fn where_no_other_agent_is_known_nobody_waits_for_one() {
    let web = ObjectName::new("shop", "web");
    let index = index([
        Change::Agent(agent(1, None, 8000, 8192)),
        Change::Offer(offer(1, 1, 8000, 8192)),
        Change::Class(class("web", 500, 64, &["hostname UNIQUE"], Vec::new())),
        waiting("web", 0),
        failed(&web, "0", 1, 0),
        failed(&web, "1", 1, 0),
    ]);
    assert_eq!(agents(&place(&index)), ["node-1"]);
}

#[test]
fn an_agent_with_gpus_is_taken_last_by_those_who_want_none() {
    let gpu = Offer { free: Resources { gpus: 1000, ..amounts(8000, 8192) }, ..offer(1, 1, 0, 0) };
    let changes = [
        Change::Agent(agent(1, None, 8000, 8192)),
        Change::Agent(agent(2, None, 1000, 1024)),
        Change::Offer(gpu),
        Change::Offer(offer(2, 2, 1000, 1024)),
        Change::Class(class("web", 500, 64, &[], Vec::new())),
        waiting("web", 0),
        waiting("web", 1),
        waiting("web", 2),
    ];
    assert_eq!(agents(&place(&index(changes))), ["node-2", "node-2", "node-1"]);
}

/// Two thousand agents on 75 racks, a tenth to a half of each in use: all of a rack alike. Forty classes of ten Tasks.
fn many(constraints: &[&str]) -> Index {
    let agents = (0..2000).flat_map(|number| {
        let rack = format!("rack-{}", number % 75);
        let free = 16_000 - 1_600 * (1 + number as u64 % 5);
        let agent = agent(number, Some(&rack), 16_000, 64_000);
        [Change::Agent(agent), Change::Offer(offer(number, number, free, 60_000))]
    });
    let classes = (0..40).flat_map(|number| {
        let name = format!("class-{number}");
        let class = Change::Class(class(&name, 100, 64, constraints, Vec::new()));
        [class].into_iter().chain((0..10).map(move |task| waiting(&name, task)))
    });
    index(agents.chain(classes))
}

#[test]
fn few_agents_are_looked_at_whatever_is_asked_of_them() {
    let kinds: [&[&str]; 13] = [
        &[],
        &["hostname UNIQUE"],
        &["hostname GROUP_BY"],
        &["hostname LIKE node-.*[37]"],
        &["rack MAX_PER 2"],
        &["rack CLUSTER"],
        &["rack CLUSTER rack-74"],
        &["rack GROUP_BY"],
        &["rack LIKE rack-.*4"],
        &["rack UNLIKE rack-.*[^4]"],
        &["hostname UNIQUE", "rack LIKE rack-[1-4].*"],
        &["rack LIKE rack-[1-4].*", "rack GROUP_BY"],
        &["rack GROUP_BY", "hostname GROUP_BY"],
    ];
    for constraints in kinds {
        let placed = pass::place(&many(constraints), time(1), 1, usize::MAX);
        assert_eq!(placed.bindings.len(), 400, "{constraints:?}");
        // A class that has to look at most agents for its ten Tasks comes to more than a hundred for each.
        let looks = placed.looks / placed.bindings.len();
        println!("{looks:4} looks per binding: {constraints:?}");
        assert!(looks <= 20, "{looks} looks per binding: {constraints:?}");
    }
}
