//! A cluster that another framework uses too: what is held of it, and how often everything is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use serde_json::{Value, json};
use tenure::mesos::connection::{CallPipe, Connection, ConnectionError, MayAct, Subscription};
use tenure::mesos::embedded::master::MasterHandle;
use tenure::mesos::wire::scheduler::{Call, Decline, Subscribe};
use tenure::mesos::wire::{CallType, Filters, FrameworkId, FrameworkInfo, Offer};
use tokio::time::Instant;

use crate::apps::app;
use crate::world::{World, as_framework};

/// A way to the master that notes what goes over it.
#[derive(Clone)]
struct Overheard {
    master: MasterHandle,
    notes: Arc<Mutex<Notes>>,
}

#[derive(Default)]
struct Notes {
    subscribed: Option<(FrameworkId, Instant)>,
    calls: Vec<Call>,
}

impl fmt::Debug for Overheard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Overheard")
    }
}

struct Pipe {
    calls: Box<dyn CallPipe>,
    notes: Arc<Mutex<Notes>>,
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pipe")
    }
}

#[async_trait]
impl Connection for Overheard {
    async fn subscribe(&self, call: Call, may_act: MayAct<'_>) -> Result<Subscription, ConnectionError> {
        let Subscription { events, calls, acknowledgements } = self.master.subscribe(call, may_act).await?;
        let notes = self.notes.clone();
        let events = events.inspect(move |event| {
            if let Some(subscribed) = event.as_ref().ok().and_then(|it| it.subscribed.as_ref()) {
                notes.lock().unwrap().subscribed = Some((subscribed.framework_id.clone(), Instant::now()));
            }
        });
        let calls = Box::new(Pipe { calls, notes: self.notes.clone() });
        Ok(Subscription { events: events.boxed(), calls, acknowledgements })
    }
}

#[async_trait]
impl CallPipe for Pipe {
    async fn send(&mut self, call: &Call) -> Result<(), ConnectionError> {
        self.notes.lock().unwrap().calls.push(call.clone());
        self.calls.send(call).await
    }
}

impl Overheard {
    fn of(master: &MasterHandle) -> Overheard {
        Overheard { master: master.clone(), notes: Arc::default() }
    }

    fn count(&self, call: CallType) -> usize {
        self.calls(call).len()
    }

    fn calls(&self, call: CallType) -> Vec<Call> {
        let notes = self.notes.lock().unwrap();
        notes.calls.iter().filter(|it| it.r#type() == call).cloned().collect()
    }

    fn subscribed(&self) -> Option<(FrameworkId, Instant)> {
        self.notes.lock().unwrap().subscribed.clone()
    }
}

/// Another scheduler, which starts nothing.
struct Other {
    id: FrameworkId,
    subscription: Subscription,
}

impl Other {
    async fn subscribe(master: &MasterHandle, framework_info: FrameworkInfo) -> Other {
        let subscribe = Call::subscribe(Subscribe { framework_info, ..Subscribe::default() });
        let mut subscription = master.subscribe(subscribe, &|| true).await.unwrap();
        let first = subscription.events.next().await.unwrap().unwrap();
        Other { id: first.subscribed.unwrap().framework_id, subscription }
    }

    /// What is offered until `end`, each offer declined for so many seconds as soon as it comes.
    async fn offered(&mut self, end: Instant, refuse: f64) -> Vec<(Instant, Offer)> {
        let mut offered = Vec::new();
        while let Ok(event) = tokio::time::timeout_at(end, self.subscription.events.next()).await {
            let offers = event.unwrap().unwrap().offers.unwrap_or_default().offers;
            let offer_ids: Vec<_> = offers.iter().map(|it| it.id.clone()).collect();
            offered.extend(offers.into_iter().map(|offer| (Instant::now(), offer)));
            if !offer_ids.is_empty() {
                let filters = Some(Filters { refuse_seconds: Some(refuse) });
                let mut call = Call::of(self.id.clone(), CallType::Decline);
                call.decline = Some(Decline { offer_ids, filters });
                self.subscription.calls.send(&call).await.unwrap();
            }
        }
        offered
    }
}

fn other_framework() -> FrameworkInfo {
    FrameworkInfo { name: "other".to_owned(), roles: vec!["other".to_owned()], ..as_framework() }
}

fn with(mut app: Value, field: &str, value: Value) -> Value {
    app["spec"][field] = value;
    app
}

pub(crate) async fn pass(time: u64) {
    tokio::time::sleep(Duration::from_secs(time)).await;
}

#[tokio::test(start_paused = true)]
async fn app_that_fits_nowhere_starves_nobody_and_asks_more_and_more_seldom() {
    let mut world = World::new(60, 91).await;
    let cluster = world.start_cluster().await;
    let way = Overheard::of(&cluster.master);
    let _server = world.start_sharing(Arc::new(way.clone()));
    world.create(with(app("huge", 1, "serve 1"), "resources", json!({"cpus": 64, "memory": "64Mi"}))).await;
    world.until("it waits", |world| world.is("huge", "Waiting")).await;
    let mut other = Other::subscribe(&cluster.master, other_framework()).await;
    let (begun, before) = (Instant::now(), way.count(CallType::Revive));
    let offered = other.offered(begun + Duration::from_secs(900), 5.0).await;
    let mut seen: BTreeMap<&str, Vec<Instant>> = BTreeMap::new();
    for (at, offer) in &offered {
        seen.entry(&offer.agent_id.value).or_insert_with(|| vec![begun]).push(*at);
    }
    assert_eq!(seen.len(), 60);
    let longest = seen.values().flat_map(|it| it.windows(2).map(|pair| pair[1] - pair[0])).max().unwrap();
    let first = seen.values().map(|it| it[1] - begun).max().unwrap();
    assert!(first <= Duration::from_secs(10), "an agent was first offered to the other one after {first:?}");
    assert!(longest <= Duration::from_secs(15), "an agent was not offered to the other one for {longest:?}");
    let revived = way.count(CallType::Revive) - before;
    assert!(revived <= 4, "{revived} REVIVE in a quarter of an hour");
    assert!(world.is("huge", "Waiting"));
}

#[tokio::test(start_paused = true)]
async fn instances_that_end_or_start_ask_for_no_offers() {
    let mut world = World::new(3, 92).await;
    let cluster = world.start_cluster().await;
    let way = Overheard::of(&cluster.master);
    let _server = world.start_sharing(Arc::new(way.clone()));
    world.create(app("web", 5, "serve 1")).await;
    world.until_ready("web").await;
    pass(60).await;
    let told = |way: &Overheard| (way.count(CallType::Revive), way.count(CallType::Suppress));
    let idle = told(&way);
    assert!(idle.1 > 0, "nothing is wanted any more");
    world.edit("web", json!({"spec": {"instances": 2}})).await;
    world.until_ready("web").await;
    pass(60).await;
    assert_eq!(told(&way), idle);
    world.edit("web", json!({"spec": {"instances": 3}})).await;
    world.until_ready("web").await;
    pass(60).await;
    assert_eq!(told(&way), (idle.0 + 1, idle.1 + 1), "once each for what grows");
}

/// Its stream still stands at the master, which therefore keeps what it has refused.
#[tokio::test(start_paused = true)]
async fn successor_sees_what_a_leader_that_stands_still_has_refused() {
    let mut world = World::new(2, 93).await;
    let cluster = world.start_cluster().await;
    let way = Overheard::of(&cluster.master);
    let first = world.start_sharing(Arc::new(way.clone()));
    world.until("it has subscribed", |_| way.subscribed().is_some()).await;
    first.env.crash();
    let id = way.subscribed().map(|(id, _)| id);
    let mut stands_still = Other::subscribe(&cluster.master, FrameworkInfo { id, ..as_framework() }).await;
    let refused = stands_still.offered(Instant::now() + Duration::from_secs(5), 3600.0).await;
    let agents: BTreeSet<_> = refused.iter().map(|(_, offer)| &offer.agent_id.value).collect();
    assert_eq!(agents.len(), 2);
    world.create(app("web", 2, "serve 1")).await;
    let way = Overheard::of(&cluster.master);
    let _second = world.start_sharing(Arc::new(way.clone()));
    world.until_ready("web").await;
    let took = way.subscribed().unwrap().1.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?} of simulated time");
    assert_eq!(way.count(CallType::Revive), 1);
}

#[tokio::test(start_paused = true)]
async fn what_grows_after_a_long_silence_is_placed_at_once() {
    let mut world = World::new(40, 94).await;
    let cluster = world.start_cluster().await;
    let way = Overheard::of(&cluster.master);
    let _server = world.start_sharing(Arc::new(way.clone()));
    world.create(with(app("huge", 1, "serve 1"), "resources", json!({"cpus": 64, "memory": "64Mi"}))).await;
    world.create(app("web", 1, "serve 1")).await;
    world.until_ready("web").await;
    pass(3000).await;
    let begun = Instant::now();
    world.edit("web", json!({"spec": {"instances": 200}})).await;
    world.until_ready("web").await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?} of simulated time");
}

#[tokio::test(start_paused = true)]
async fn many_updates_at_once_do_not_wait_for_offers() {
    let mut world = World::new(12, 95).await;
    let cluster = world.start_cluster().await;
    let way = Overheard::of(&cluster.master);
    let _server = world.start_sharing(Arc::new(way.clone()));
    let apps: Vec<String> = (0..10).map(|number| format!("web-{number}")).collect();
    let rules = json!([{"attribute": "hostname", "operator": "UNIQUE"}]);
    let update = json!({"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0.0});
    for name in &apps {
        let app = with(app(name, 4, "serve 1"), "constraints", rules.clone());
        world.create(with(app, "update", update.clone())).await;
    }
    for name in &apps {
        world.until_ready(name).await;
    }
    pass(600).await;
    let (begun, before) = (Instant::now(), way.count(CallType::Revive));
    for name in &apps {
        world.edit(name, json!({"spec": {"cmd": "serve 2"}})).await;
    }
    for name in &apps {
        world.until_ready(name).await;
    }
    let (took, revived) = (begun.elapsed(), way.count(CallType::Revive) - before);
    assert!(took < Duration::from_secs(45), "{took:?} of simulated time");
    assert!(revived <= 9, "{revived} REVIVE");
}

/// The roles that each SUPPRESS or REVIVE named.
fn roles_of(calls: &[Call]) -> Vec<Vec<String>> {
    calls
        .iter()
        .filter_map(|it| it.suppress.as_ref().or(it.revive.as_ref()))
        .map(|it| it.roles.clone())
        .collect()
}

/// Mesos offers what is free on a machine to one role at a time, and to the other one only what the first has given back.
#[tokio::test(start_paused = true)]
async fn each_app_takes_what_is_offered_to_its_role_and_a_role_in_which_nothing_waits_wants_nothing() {
    let mut world = World::new(2, 94).await;
    let cluster = world.start_cluster().await;
    let way = Overheard::of(&cluster.master);
    let server = world.start_in_roles(Arc::new(way.clone()), &["tenure", "batch"]);
    world.create(app("web", 3, "serve 1")).await;
    world.create(with(app("nightly", 3, "serve 1"), "role", json!("batch"))).await;
    world.until_ready("web").await;
    world.until_ready("nightly").await;
    let accepted = way.calls(CallType::Accept).into_iter().filter_map(|it| it.accept);
    let mut taken: BTreeMap<(String, String), usize> = BTreeMap::new();
    for operation in accepted.flat_map(|it| it.operations) {
        for info in operation.launch.unwrap_or_default().task_infos {
            let roles = info.resources.iter().filter_map(|it| it.allocation_info.as_ref()?.role.clone());
            let roles: BTreeSet<String> = roles.collect();
            assert_eq!(roles.len(), 1, "{info:?}");
            *taken.entry((info.name, roles.into_iter().next().unwrap())).or_default() += 1;
        }
    }
    let wanted = [("nightly.shop", "batch"), ("web.shop", "tenure")];
    assert_eq!(taken, wanted.map(|(app, role)| ((app.to_owned(), role.to_owned()), 3)).into());

    pass(60).await;
    let idle = way.count(CallType::Revive);
    let suppressed: BTreeSet<String> =
        roles_of(&way.calls(CallType::Suppress)).concat().into_iter().collect();
    assert_eq!(suppressed, ["batch", "tenure"].map(ToOwned::to_owned).into());
    world.edit("nightly", json!({"spec": {"instances": 4}})).await;
    world.until_ready("nightly").await;
    pass(60).await;
    assert_eq!(
        roles_of(&way.calls(CallType::Revive)[idle..]),
        [["batch"]],
        "the other role stays suppressed"
    );
    assert_eq!(roles_of(&way.calls(CallType::Suppress)).last().unwrap(), &["batch"]);

    // The next server is in one of these roles only, and in another one: the tasks of the role that it has left run on.
    let ids =
        |world: &World| world.live("nightly").iter().map(|it| it.metadata.name.clone()).collect::<Vec<_>>();
    let before = ids(&world);
    server.env.crash();
    let way = Overheard::of(&cluster.master);
    let _server = world.start_in_roles(Arc::new(way.clone()), &["tenure", "db/main"]);
    world.create(with(app("store", 1, "serve 1"), "role", json!("db/main"))).await;
    world.until_ready("store").await;
    assert_eq!(ids(&world), before);
    world.edit("nightly", json!({"spec": {"instances": 5}})).await;
    world.until("it waits", |world| world.is("nightly", "Waiting")).await;
    let told = "1 task waits: spec.role: this installation is not in the Mesos role \"batch\", but in \"tenure\", \"db/main\" \
                (tenure server --mesos-role)";
    assert_eq!(world.condition("nightly", "Waiting").unwrap(), told);
    pass(60).await;
    assert_eq!(ids(&world).len(), before.len() + 1);
    let bound = world.live("nightly").iter().filter(|it| it.spec.binding.is_some()).count();
    assert_eq!(bound, before.len(), "nothing was launched");
    let events = world.snapshot();
    let events = events.list(&tenure::registry::Resource::new("", "events"), Some("shop"));
    let told = events.filter(|it| it.value().is_ok_and(|it| it["reason"] == "RoleMissing")).count();
    assert_eq!(told, 1);
}

/// What waits in one role gets at once what the other one is offered and does not need.
#[tokio::test(start_paused = true)]
async fn a_role_in_which_nothing_fits_starves_no_other_one() {
    let mut world = World::new(1, 95).await;
    let cluster = world.start_cluster().await;
    let way = Overheard::of(&cluster.master);
    let _server = world.start_in_roles(Arc::new(way.clone()), &["tenure", "batch"]);
    world.create(with(app("huge", 1, "serve 1"), "resources", json!({"cpus": 64, "memory": "64Mi"}))).await;
    world.until("it waits", |world| world.is("huge", "Waiting")).await;
    let begun = Instant::now();
    world.create(with(app("nightly", 2, "serve 1"), "role", json!("batch"))).await;
    world.until_ready("nightly").await;
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?} of simulated time", begun.elapsed());
    assert!(world.condition("huge", "Waiting").unwrap().starts_with("1 task waits in the role tenure: "));
}
