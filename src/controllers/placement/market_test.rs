//! Which offers are held and asked for, from the objects in the store: whatever says that an offer may soon be wanted is derived
//! here as it is in the product.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::api::Kind;
use crate::controllers::runner::Runner;
use crate::plan::placement::{Demand, DemandState, LeasePolicy};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn doc(key: Key, object: &Value) -> Arc<Doc> {
    Arc::new(Doc::from_stored(key, 1, object.to_string().as_bytes()).unwrap())
}

fn object<K: Kind>(name: &str, spec: &Value, status: &Value) -> Arc<Doc> {
    let name = ObjectName::new("shop", name);
    let object = json!({
        "apiVersion": "tenure.dev/v1", "kind": K::DEFINITION.kind, "spec": spec, "status": status,
        "metadata": {"namespace": "shop", "name": &*name.name, "labels": {labels::APP: "web"},
            "creationTimestamp": "1970-01-01T00:00:10Z"},
    });
    doc(key::<K>(&name), &object)
}

fn app(instances: u32, progresses: &str) -> Arc<Doc> {
    let condition = json!({"type": "Progressing", "status": "True", "reason": progresses, "message": "",
        "lastTransitionTime": "1970-01-01T00:00:10Z"});
    let status = json!({"instances": instances, "conditions": [condition]});
    object::<App>("web", &json!({"instances": instances, "cmd": "a"}), &status)
}

/// The Revision `web-1`, whose Tasks want so many cpus.
fn revision(cpus: u32, env: &Value) -> Arc<Doc> {
    revision_in(&Value::Null, cpus, env)
}

fn revision_in(role: &Value, cpus: u32, env: &Value) -> Arc<Doc> {
    revision_with("role", role, cpus, env)
}

fn revision_with(field: &str, value: &Value, cpus: u32, env: &Value) -> Arc<Doc> {
    let mut template = json!({"cmd": "a", "resources": {"cpus": cpus, "memory": "64Mi"}, "env": env});
    if !value.is_null() {
        template[field] = value.clone();
    }
    let spec = json!({"app": "web", "number": 1, "hash": "1", "template": template});
    object::<Revision>("web-1", &spec, &Value::Null)
}

fn task(name: &str, binding: &Value, stop: &Value, phase: &str) -> Arc<Doc> {
    let spec = json!({"app": "web", "revision": "web-1", "slot": 0, "binding": binding, "stop": stop});
    object::<Task>(name, &spec, &json!({"phase": phase, "reachable": true}))
}

fn binding(agent: &str) -> Value {
    json!({"agentId": agent, "host": agent, "offerId": "O", "resources": {"cpus": 1, "memory": "64Mi"},
        "boundAt": "1970-01-01T00:01:30.000000Z", "mesosTaskId": "t"})
}

/// An offer of each of so many agents came at this second.
fn leases(agents: usize, second: i64) -> OrdMap<wire::OfferId, Lease> {
    let lease = |number: usize| {
        let scalar = |name: &str, value: f64| wire::Resource {
            name: name.to_owned(),
            r#type: wire::ValueType::Scalar.wire(),
            scalar: Some(wire::resource::Scalar { value }),
            ..wire::Resource::default()
        };
        let offer = wire::Offer {
            id: wire::OfferId::new(format!("O{number:02}")),
            agent_id: wire::AgentId::new(format!("S{number:02}")),
            hostname: format!("node-{number}"),
            resources: vec![scalar("cpus", 4.0), scalar("mem", 4096.0)],
            ..wire::Offer::default()
        };
        let lease = Lease {
            offer: Arc::new(offer),
            generation: 1,
            received_at: at(second),
            expires_at: Instant::now(),
        };
        (lease.offer.id.clone(), lease)
    };
    (0..agents).map(lease).collect()
}

fn plan(market: &mut Market, second: i64, demand: DemandState) -> Plan {
    market.advance(at(second));
    placement::plan(&placement::Snapshot {
        now: at(second),
        seed: 0,
        index: &market.lanes().get(0).index,
        limit: 100,
        leases: &LeasePolicy::shared(),
        demand,
        imminent: market.lanes().get(0).imminent(at(second)),
        elsewhere: market.lanes().elsewhere(0),
    })
}

/// The session declines what the plan does.
fn without(held: &OrdMap<wire::OfferId, Lease>, plan: &Plan) -> OrdMap<wire::OfferId, Lease> {
    let mut held = held.clone();
    for decline in &plan.declines {
        held.remove(&wire::OfferId::new(&*decline.offer.0));
    }
    held
}

#[test]
fn an_app_that_fits_nowhere_gives_back_all_but_a_share_at_once_and_that_soon() {
    let docs = [
        app(1, "WaitingForOffers"),
        revision(64, &json!([])),
        task("web-a", &Value::Null, &Value::Null, "Pending"),
    ];
    let snapshot = Snapshot::of(1, docs);
    let mut market = Market::of(&snapshot, Runner::Embedded, &Terms::default(), at(100));
    let held = leases(40, 100);
    market.lease(&held, &snapshot, at(100));
    let demand = DemandState { revived: Some(at(100)), fruitless: 1, ..DemandState::default() };
    assert_eq!(plan(&mut market, 100, demand).waiting.len(), 1);
    let rest = plan(&mut market, 101, demand);
    assert_eq!(rest.declines.len(), 30, "it waits, and what is left is bounded all the same");
    let held = without(&held, &rest);
    market.lease(&held, &snapshot, at(101));
    let demand = DemandState { filtered: Some(rest.arrivals), ..demand };
    assert_eq!(plan(&mut market, 104, demand).declines, []);
    let last = plan(&mut market, 105, demand);
    assert_eq!(last.declines.len(), 10, "that it waits is no reason to hold what it does not fit");
    assert!(last.declines.iter().all(|it| it.refuse.as_secs() == 120));
    market.lease(&without(&held, &last), &snapshot, at(105));
    let revived: Vec<i64> =
        (105..220).filter(|second| plan(&mut market, *second, demand).demand == Demand::Revive).collect();
    assert_eq!(revived, [0_i64; 0], "nothing is asked for that it has seen");
    assert_eq!(plan(&mut market, 220, demand).demand, Demand::Revive);
}

#[test]
fn what_starts_or_stops_holds_nothing_and_asks_for_nothing() {
    let stop = json!({"reason": "ScaledDown", "message": "", "at": "1970-01-01T00:01:39.000000Z"});
    let docs = [
        app(2, "Stopping"),
        revision(1, &json!([])),
        task("web-a", &binding("S00"), &stop, "Running"),
        task("web-b", &binding("S01"), &Value::Null, "Starting"),
    ];
    let snapshot = Snapshot::of(1, docs);
    let mut market = Market::of(&snapshot, Runner::Embedded, &Terms::default(), at(100));
    let idle = DemandState { suppressed: true, revived: Some(at(10)), ..DemandState::default() };
    let plan_of = plan(&mut market, 100, idle);
    assert_eq!((plan_of.demand, plan_of.again), (Demand::Unchanged, crate::plan::Again::OnChange));
    market.lease(&leases(4, 100), &snapshot, at(100));
    assert_eq!(market.wanted(&snapshot).of_roles[0].held, Held::Lease);
    let ended = plan(&mut market, 105, DemandState { suppressed: false, ..idle });
    assert_eq!((ended.declines.len(), ended.demand), (4, Demand::Suppress));
}

#[test]
fn an_update_holds_offers_for_its_next_step_and_goes_on_being_offered_some() {
    let snapshot = Snapshot::of(1, [app(2, "RollingOut"), revision(1, &json!([]))]);
    let mut market = Market::of(&snapshot, Runner::Embedded, &Terms::default(), at(100));
    market.lease(&leases(4, 100), &snapshot, at(100));
    assert_eq!(market.wanted(&snapshot).of_roles[0].held, Held::Imminent);
    let asked = DemandState { revived: Some(at(90)), ..DemandState::default() };
    assert_eq!(plan(&mut market, 129, asked).declines, []);
    let given_back = plan(&mut market, 130, asked);
    assert_eq!((given_back.declines.len(), given_back.demand), (4, Demand::Unchanged));
    market.lease(&OrdMap::new(), &snapshot, at(131));
    assert_eq!(plan(&mut market, 159, asked).demand, Demand::Unchanged);
    assert_eq!(plan(&mut market, 160, asked).demand, Demand::Suppress, "no step followed");
}

/// It was there before anything was refused, but could not use what was offered then.
#[test]
fn a_task_whose_secret_comes_late_is_shown_what_was_refused_before() {
    let env = json!([{"name": "P", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]);
    let docs = [app(1, "Starting"), revision(1, &env), task("web-a", &Value::Null, &Value::Null, "Pending")];
    let mut snapshot = Snapshot::of(1, docs.clone());
    let mut market = Market::of(&snapshot, Runner::Embedded, &Terms::default(), at(100));
    let idle = DemandState { suppressed: true, revived: Some(at(20)), ..DemandState::default() };
    assert_eq!(plan(&mut market, 100, idle).demand, Demand::Unchanged, "it could not use an offer");
    let busy =
        DemandState { suppressed: false, filtered: Some(market.lanes().get(0).index.arrivals()), ..idle };

    let secret = Key::new(&secrets_resource(), "shop", "db");
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "shop", "name": "db"},
        "data": {"password": "aHVudGVyMg=="}});
    let secret = doc(secret, &object);
    snapshot = Snapshot::of(2, docs.into_iter().chain([secret.clone()]));
    market.advance(at(400));
    market.take(&Change { revision: 2, key: secret.key().clone(), old: None, new: Some(secret) }, &snapshot);
    assert_eq!(plan(&mut market, 400, idle).demand, Demand::Revive);
    assert_eq!(plan(&mut market, 400, busy).demand, Demand::Revive);
    let shown = DemandState { revived: Some(at(401)), filtered: None, ..busy };
    assert_eq!(plan(&mut market, 402, shown).demand, Demand::Unchanged);
}

#[test]
fn why_tasks_are_withheld_is_told_as_it_is_now_however_many_they_are() {
    let reference =
        |name: &str| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}});
    let mut docs = vec![
        app(2, "Starting"),
        revision(1, &json!([reference("a"), reference("b")])),
        task("web-a", &Value::Null, &Value::Null, "Pending"),
        task("web-b", &Value::Null, &Value::Null, "Pending"),
    ];
    let mut market = Market::of(&Snapshot::of(1, docs.clone()), Runner::Embedded, &Terms::default(), at(100));
    let reason = |market: &Market| {
        let said = market.backlog().withheld().map(|(_, it)| (it.tasks.len(), it.reason.clone()));
        said.collect::<Vec<_>>()
    };
    assert_eq!(reason(&market), [(2, "Secret a does not exist".to_owned())]);
    for (name, left) in [("a", vec![(2, "Secret b does not exist".to_owned())]), ("b", Vec::new())] {
        let object = json!({"apiVersion": "v1", "kind": "Secret", "data": {"k": "aHVudGVyMg=="},
            "metadata": {"namespace": "shop", "name": name}});
        let secret = doc(Key::new(&secrets_resource(), "shop", name), &object);
        docs.push(secret.clone());
        let change = Change { revision: 2, key: secret.key().clone(), old: None, new: Some(secret) };
        market.take(&change, &Snapshot::of(2, docs.clone()));
        assert_eq!(reason(&market), left, "Secret {name} is there");
    }
}

#[test]
fn a_machine_whose_object_is_gone_is_none_of_those_of_which_a_share_is_held() {
    let docs = [
        app(1, "AllReady"),
        revision(1, &json!([])),
        task("web-a", &binding("S01"), &Value::Null, "Running"),
    ];
    let snapshot = Snapshot::of(1, docs);
    let mut market = Market::of(&snapshot, Runner::Embedded, &Terms::default(), at(100));
    let held = leases(3, 100);
    market.lease(&held, &snapshot, at(100));
    let gone = |name: &str| {
        let key = key::<Agent>(&ObjectName::new("", name));
        let old = doc(
            key.clone(),
            &json!({"apiVersion": "tenure.dev/v1", "kind": "Agent", "metadata": {"name": name}}),
        );
        Change { revision: 2, key, old: Some(old), new: None }
    };
    market.take(&gone("s00"), &snapshot);
    assert_eq!(market.known_agents(), 3, "an offer of it is held");
    market.lease(&OrdMap::new(), &snapshot, at(101));
    market.take(&gone("s00"), &snapshot);
    market.take(&gone("s01"), &snapshot);
    assert_eq!(market.known_agents(), 2, "a task of ours is on the other");
    market.lease(&held, &snapshot, at(102));
    assert_eq!(market.known_agents(), 3, "it is back");
}

fn in_roles(roles: &[&str]) -> Terms {
    Terms { roles: roles.iter().map(ToString::to_string).collect(), lends: false }
}

/// An offer of `S` to each of these roles.
fn offered_to(roles: &[&str]) -> OrdMap<wire::OfferId, Lease> {
    let all = leases(roles.len(), 100);
    let offers = all.into_iter().zip(roles).map(|((id, lease), role)| {
        let allocation_info = Some(wire::resource::AllocationInfo { role: Some((*role).to_owned()) });
        let offer =
            wire::Offer { agent_id: wire::AgentId::new("S"), allocation_info, ..(*lease.offer).clone() };
        (id, Lease { offer: Arc::new(offer), ..lease })
    });
    offers.collect()
}

/// What a pass of each role binds: Tasks and the offers that they take.
fn bound(market: &mut Market) -> Vec<Vec<(String, Vec<String>)>> {
    market.advance(at(100));
    let plans = market.lanes().iter().map(|lane| {
        placement::plan(&placement::Snapshot {
            now: at(100),
            seed: 0,
            index: &lane.index,
            limit: 100,
            leases: &LeasePolicy::shared(),
            demand: DemandState::default(),
            imminent: None,
            elsewhere: placement::Elsewhere::default(),
        })
    });
    let of = |it: placement::Binding| {
        (it.task.name.to_string(), it.offers.iter().map(|it| it.0.to_string()).collect())
    };
    plans.map(|plan| plan.bindings.into_iter().map(of).collect()).collect()
}

#[test]
fn a_task_takes_offers_to_its_role_alone_and_never_together_with_others() {
    let terms = in_roles(&["web", "batch"]);
    let (none, waits) = (Value::Null, task("web-a", &Value::Null, &Value::Null, "Pending"));
    let market = |role: &Value, cpus| {
        let docs = [app(1, "Starting"), revision_in(role, cpus, &json!([])), waits.clone()];
        let snapshot = Snapshot::of(1, docs);
        let mut market = Market::of(&snapshot, Runner::Embedded, &terms, at(100));
        market.lease(&offered_to(&["web", "batch", "batch"]), &snapshot, at(100));
        bound(&mut market)
    };
    let taken = |offers: &[&str]| {
        vec![("web-a".to_owned(), offers.iter().map(ToString::to_string).collect::<Vec<_>>())]
    };
    // Each offer has four cpus.
    assert_eq!(market(&none, 4), [taken(&["O00"]), vec![]], "the first role is that of Apps that name none");
    assert_eq!(market(&json!("batch"), 8), [vec![], taken(&["O01", "O02"])]);
    let nothing: [Vec<(String, Vec<String>)>; 2] = [vec![], vec![]];
    assert_eq!(market(&json!("web"), 5), nothing, "the agent has more, but offers it to the other role");
    assert_eq!(market(&json!("other"), 1), nothing);
}

#[test]
fn a_task_whose_revision_is_seen_late_is_of_its_role_from_then_on() {
    let terms = in_roles(&["web", "batch"]);
    let (key, revision) = {
        let doc = revision_in(&json!("batch"), 1, &json!([]));
        (doc.key().clone(), doc)
    };
    let waits = task("web-a", &Value::Null, &Value::Null, "Pending");
    let before = Snapshot::of(1, [app(1, "Starting"), waits.clone()]);
    let mut market = Market::of(&before, Runner::Embedded, &terms, at(100));
    let after = Snapshot::of(2, [app(1, "Starting"), waits, revision.clone()]);
    let change = Change { key, old: None, new: Some(revision), revision: 2 };
    market.take(&change, &after);
    market.lease(&offered_to(&["web", "batch"]), &after, at(100));
    let taken = ("web-a".to_owned(), vec!["O01".to_owned()]);
    assert_eq!(bound(&mut market), [vec![], vec![taken]]);
}

#[test]
fn an_offer_tells_its_role_and_for_whom_of_that_it_is_held() {
    let terms = in_roles(&["web", "batch"]);
    let waits = task("web-a", &Value::Null, &Value::Null, "Pending");
    let docs = [app(1, "Starting"), revision_in(&json!("batch"), 3, &json!([])), waits];
    let snapshot = Snapshot::of(1, docs);
    let mut market = Market::of(&snapshot, Runner::Embedded, &terms, at(100));
    market.lease(&offered_to(&["web", "batch"]), &snapshot, at(100));
    market.cut_off();
    let wanted = market.wanted(&snapshot);
    let told: Vec<_> = wanted.of_roles.iter().map(|it| (&*it.role, it.held, it.apps.len())).collect();
    assert_eq!(told, [("web", Held::Lease, 0), ("batch", Held::Waiting, 1)]);
}

/// What each agent is bound to, with the offers taken for it; and why what waits does.
type Outcome = (Vec<Vec<(String, Vec<String>)>>, Vec<String>);

/// What becomes of a Task that wants two cpus, lent or not, where of four cpus the cluster lends so many.
fn borrowed(revocable: &Value, lends: bool, lent: f64) -> Outcome {
    let waits = task("web-a", &Value::Null, &Value::Null, "Pending");
    let revision = revision_with("revocable", revocable, 2, &json!([]));
    let snapshot = Snapshot::of(1, [app(1, "Starting"), revision, waits]);
    let terms = Terms { roles: Vec::new(), lends };
    let mut market = Market::of(&snapshot, Runner::Embedded, &terms, at(100));
    let offered = leases(1, 100).into_iter().map(|(id, lease)| {
        let mut offer = (*lease.offer).clone();
        let cpus = offer.resources[0].clone();
        let scalar = |value: f64| Some(wire::resource::Scalar { value });
        offer.resources[0].scalar = scalar(4.0 - lent);
        let revocable = Some(wire::resource::Marker {});
        offer.resources.push(wire::Resource { scalar: scalar(lent), revocable, ..cpus });
        (id, Lease { offer: Arc::new(offer), ..lease })
    });
    market.lease(&offered.collect(), &snapshot, at(100));
    let withheld = market.backlog().withheld().map(|(_, it)| format!("{}: {}", it.word, it.reason));
    let mut told: Vec<String> = withheld.collect();
    let bound = bound(&mut market);
    if told.is_empty() && bound == [vec![]] {
        let (_, why) = market.explain(&ObjectName::new("shop", "web-1"));
        told.extend(why.map(|it| it.to_string()));
    }
    (bound, told)
}

#[test]
fn a_task_takes_what_is_lent_if_it_asks_for_that_and_nothing_lent_if_it_does_not() {
    let taken = (vec![vec![("web-a".to_owned(), vec!["O00".to_owned()])]], vec![]);
    let waits = |why: &str| (vec![vec![]], vec![why.to_owned()]);
    let (ordinary, lent) = (Value::Null, json!(["cpus"]));
    assert_eq!(borrowed(&ordinary, true, 2.0), taken);
    assert_eq!(borrowed(&lent, true, 2.0), taken);
    let little = "cpus: wants 2, the largest free agent has 1 (of 1 agents: 1 with too little cpus)";
    assert_eq!(borrowed(&ordinary, true, 3.0), waits(little));
    let little = "revocable cpus: wants 2, the largest free agent has 1 (of 1 agents: 1 with too little revocable cpus)";
    assert_eq!(borrowed(&lent, true, 1.0), waits(little));
}

#[test]
fn a_task_that_asks_for_what_is_lent_waits_where_nothing_is() {
    let told = "RevocableNotOffered: spec.revocable: this installation takes nothing that Mesos lends (tenure server --mesos-revocable)";
    assert_eq!(borrowed(&json!(["memory"]), false, 2.0), (vec![vec![]], vec![told.to_owned()]));
}

#[test]
fn an_agent_that_took_back_what_it_had_lent_is_taken_last() {
    let taken = |ended: &[(&str, &str, &str)]| {
        let waits = task("web-a", &Value::Null, &Value::Null, "Pending");
        let ended = ended.iter().enumerate().map(|(number, (agent, phase, reason))| {
            let spec = json!({"app": "web", "revision": "web-1", "slot": 0, "binding": binding(agent),
                "stop": {"reason": "Lost", "message": "", "at": "1970-01-01T00:01:35.000000Z"}});
            let status = json!({"phase": phase, "reachable": true, "reason": reason, "finishedAt": "1970-01-01T00:01:34Z"});
            object::<Task>(&format!("web-x{number}"), &spec, &status)
        });
        let docs = [app(1, "Starting"), revision(1, &json!([])), waits].into_iter().chain(ended);
        let snapshot = Snapshot::of(1, docs);
        let mut market = Market::of(&snapshot, Runner::Embedded, &Terms::default(), at(100));
        market.lease(&leases(2, 10), &snapshot, at(100));
        bound(&mut market)[0].iter().map(|(_, offers)| offers.join(",")).collect::<Vec<_>>()
    };
    let [first, second] = if taken(&[]) == ["O00"] { ["S00", "S01"] } else { ["S01", "S00"] };
    let offer_of = |agent: &str| vec![agent.replace('S', "O")];
    assert_eq!(taken(&[]), offer_of(first));
    let twice = |reason| [(first, "Lost", reason); 2];
    assert_eq!(taken(&twice("REASON_CONTAINER_PREEMPTED")), offer_of(second));
    assert_eq!(taken(&twice("REASON_AGENT_RESTARTED")), offer_of(first), "no fault of what runs there");
}
