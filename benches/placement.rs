//! Placement decisions per second on one core: one pass of the production planner over synthetic agents, offers leased,
//! every task with cpus, memory, disk and one host port. `cargo bench --bench placement`.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use tenure::api::{Bytes, Constraint, Cpus, Operator, Port, Template};
use tenure::plan::ObjectName;
use tenure::plan::placement::{
    Agent, AgentId, Change, Class, DemandState, Elsewhere, Index, LeasePolicy, Offer, OfferId, PortRange,
    Resources, Snapshot, plan,
};

const RACKS: usize = 75;
const TASKS: usize = 10_000;

/// Four shapes of machine, 75 racks; a tenth to a half of each machine is in use.
fn agent(number: usize) -> [Change; 2] {
    let cpus = 8_000 << (number % 4);
    let totals = Resources { cpus, memory: cpus * 4_096, disk: cpus * 50_000, ..Resources::default() };
    let id = AgentId(format!("agent-{number}").into());
    let rack: Arc<str> = format!("rack-{}", number % RACKS).into();
    let attributes = BTreeMap::from([("rack".to_owned(), rack)]);
    let facts =
        Agent { attributes, totals, ..Agent::new(&format!("agent-{number}"), &format!("node-{number}")) };
    let used = 1 + (number as u64 * 7919) % 5;
    let part = |amount: u64| amount - amount / 10 * used;
    let free = Resources { cpus: part(totals.cpus), memory: part(totals.memory), ..totals };
    let ports = [PortRange { begin: 31_000, end: 32_000 }].into_iter().collect();
    let received = Timestamp::UNIX_EPOCH;
    let offer = Offer { id: OfferId(format!("offer-{number}").into()), agent: id, free, ports, received };
    [Change::Agent(facts), Change::Offer(offer)]
}

fn index(agents: usize, apps: usize, constraints: &[Constraint]) -> Index {
    let mut index = Index::new();
    (0..agents).flat_map(agent).for_each(|change| index.apply(change));
    let mut template =
        Template { constraints: constraints.to_vec(), ports: vec![Port::default()], ..Template::default() };
    template.resources.cpus = Cpus::from_millis(250);
    template.resources.memory = Bytes::from_mebibytes(512);
    template.resources.disk = Bytes::from_mebibytes(100);
    for app in 0..apps {
        let name = ObjectName::new("bench", &format!("app-{app}"));
        if let Ok(class) = Class::new(name.clone(), &template) {
            index.apply(Change::Class(class));
        }
        for task in 0..TASKS / apps {
            let task = ObjectName::new("bench", &format!("app-{app}-{task}"));
            index.apply(Change::Waiting {
                task,
                class: name.clone(),
                since: Timestamp::UNIX_EPOCH,
                asks: Timestamp::UNIX_EPOCH,
            });
        }
    }
    index
}

fn constraint(attribute: &str, operator: Operator, value: Option<&str>) -> Constraint {
    Constraint { attribute: attribute.into(), operator, value: value.map(str::to_owned) }
}

fn placement(criterion: &mut Criterion) {
    let unique = || constraint("hostname", Operator::Unique, None);
    let group_by = || constraint("rack", Operator::GroupBy, None);
    let like = |pattern| constraint("rack", Operator::Like, Some(pattern));
    let kinds = [
        ("plain", vec![]),
        ("hostname-unique", vec![unique()]),
        ("hostname-group-by", vec![constraint("hostname", Operator::GroupBy, None)]),
        ("hostname-like", vec![constraint("hostname", Operator::Like, Some("node-.*[37]"))]),
        ("rack-max-per", vec![constraint("rack", Operator::MaxPer, Some("2"))]),
        ("rack-cluster", vec![constraint("rack", Operator::Cluster, None)]),
        ("rack-group-by", vec![group_by()]),
        ("rack-like", vec![like("rack-.*5")]),
        ("rack-unlike", vec![constraint("rack", Operator::Unlike, Some("rack-.*[^5]"))]),
        ("unique-and-group-by", vec![unique(), group_by()]),
        ("unique-and-like", vec![unique(), like("rack-[1-4].*")]),
        ("like-and-group-by", vec![like("rack-[1-4].*"), group_by()]),
        ("group-by-twice", vec![group_by(), constraint("hostname", Operator::GroupBy, None)]),
    ];
    let leases = LeasePolicy::sole();
    for apps in [100, 1_000] {
        let mut group = criterion.benchmark_group(format!("placement/{apps}-apps"));
        group.throughput(Throughput::Elements(TASKS as u64)).sample_size(10);
        for agents in [1_000, 10_000] {
            for (kind, constraints) in &kinds {
                let index = index(agents, apps, constraints);
                let demand = DemandState::default();
                let now = Timestamp::UNIX_EPOCH;
                let snapshot = Snapshot {
                    now,
                    seed: 1,
                    index: &index,
                    limit: TASKS,
                    leases: &leases,
                    demand,
                    imminent: None,
                    elsewhere: Elsewhere::default(),
                };
                assert_eq!(plan(&snapshot).bindings.len(), TASKS, "all tasks fit");
                group.bench_with_input(BenchmarkId::new(*kind, agents), &snapshot, |bencher, snapshot| {
                    bencher.iter(|| black_box(plan(snapshot)));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, placement);
criterion_main!(benches);
