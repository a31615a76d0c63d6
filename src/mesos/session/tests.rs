//! The session against the embedded master, and against a master that is written down.

mod breaks;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::support::Remembered;
use super::*;
use crate::mesos::connection::{CallPipe, MayAct, Subscription};
use crate::mesos::embedded::agent::AgentConfig;
use crate::mesos::embedded::agent::journal::Medium;
use crate::mesos::embedded::launcher::reports;
use crate::mesos::embedded::master::{MasterConfig, MasterHandle};
use crate::mesos::embedded::resources::parse_resources;
use crate::mesos::embedded::simulated::{Machine, SimulatedLauncher};
use crate::mesos::wire::scheduler::{Error, Event, Offers, Rescind, Subscribed, Update};
use crate::mesos::wire::{AgentInfo, EventType, Offer, Reason, TaskState};

fn node() -> Env {
    Env::simulated("session", 5, Timestamp::UNIX_EPOCH)
}

async fn cluster(env: &Env) -> MasterHandle {
    let (sink, reports) = reports();
    let launcher = Arc::new(SimulatedLauncher::new(env, Machine::reliable(), sink));
    let info = AgentInfo {
        hostname: "here".to_owned(),
        resources: parse_resources("cpus:4;mem:4096;ports:[31000-31099]").unwrap(),
        ..AgentInfo::default()
    };
    let agent = AgentConfig::new(info, "10.0.0.1");
    let master = MasterConfig::default();
    crate::mesos::embedded::start(env, master, agent, Medium::memory(), launcher, reports).await.unwrap()
}

fn open(env: &Env, connection: impl Connection + 'static) -> (Session, SessionEvents, Arc<Remembered>) {
    let identity = Arc::new(Remembered::default());
    let config = SessionConfig { lease: Duration::from_secs(60), ..SessionConfig::default() };
    let (session, events) = start(env, Arc::new(connection), identity.clone(), config);
    (session, events, identity)
}

/// The next event that `pick` takes; others are passed over. No event for an hour is a failure.
async fn await_event<T>(events: &mut SessionEvents, mut pick: impl FnMut(SessionEvent) -> Option<T>) -> T {
    let found = async {
        loop {
            let event = events.next().await.expect("the session goes on");
            if let Some(found) = pick(event) {
                return found;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(3600), found).await.expect("the event comes")
}

async fn offers(events: &mut SessionEvents) -> Vec<Lease> {
    await_event(events, |event| match event {
        SessionEvent::Offers(leases) => Some(leases),
        _ => None,
    })
    .await
}

async fn status(events: &mut SessionEvents) -> TaskStatus {
    await_event(events, |event| match event {
        SessionEvent::Update(status) => Some(*status),
        _ => None,
    })
    .await
}

async fn ended(events: &mut SessionEvents) -> EndReason {
    await_event(events, |event| match event {
        SessionEvent::Ended(reason) => Some(reason),
        _ => None,
    })
    .await
}

fn launch(lease: &Lease, id: &str) -> Vec<Operation> {
    super::support::launch(lease, id, parse_resources("cpus:1;mem:64").unwrap())
}

/// Calls of a subscription, all of which get one answer.
#[derive(Debug)]
struct Answered {
    answer: Result<(), ConnectionError>,
    sent: Vec<CallType>,
}

impl Answered {
    fn with(answer: Result<(), ConnectionError>) -> Answered {
        Answered { answer, sent: Vec::new() }
    }
}

#[async_trait]
impl CallPipe for Answered {
    async fn send(&mut self, call: &Call) -> Result<(), ConnectionError> {
        self.sent.push(call.r#type());
        self.answer.clone()
    }
}

#[tokio::test]
async fn no_call_follows_one_that_showed_that_the_subscription_is_dead() {
    let mut calls = Answered::with(Err(ConnectionError::Lost { message: "no answer".to_owned() }));
    let answers = calls.send_all(vec![of(CallType::Revive), of(CallType::Suppress)], &|| true).await;
    assert_eq!(calls.sent, [CallType::Revive]);
    assert_eq!(answers[1].as_ref().unwrap_err().outcome(), Outcome::NotDone);
}

#[tokio::test]
async fn no_call_is_sent_once_another_process_may_act() {
    let (mut calls, asked) = (Answered::with(Ok(())), AtomicUsize::new(0));
    let first_only = || asked.fetch_add(1, Ordering::Relaxed) == 0;
    let answers = calls.send_all(vec![of(CallType::Revive), of(CallType::Suppress)], &first_only).await;
    assert_eq!((calls.sent, &answers[0]), (vec![CallType::Revive], &Ok(())));
    assert_eq!(answers[1].as_ref().unwrap_err().outcome(), Outcome::NotDone);
}

#[tokio::test(start_paused = true)]
async fn who_may_not_act_any_more_calls_nothing() {
    let env = node();
    let (session, mut events, identity) = open(&env, cluster(&env).await);
    let lease = offers(&mut events).await.remove(0);
    identity.deposed.store(true, Ordering::Relaxed);
    let offer = lease.offer.id.clone();
    let refused = session.accept(vec![offer], launch(&lease, "t"), Duration::ZERO).await.unwrap_err();
    assert_eq!(refused, CallError::Ended);
    assert!(refused.never_done());
}

#[tokio::test(start_paused = true)]
async fn a_task_is_launched_acknowledged_and_killed_through_the_session() {
    let env = node();
    let (session, mut events, identity) = open(&env, cluster(&env).await);
    let lease = offers(&mut events).await.remove(0);
    assert!(identity.id.lock().unwrap().is_some(), "remembered before the first offer is told");
    let offer = lease.offer.id.clone();
    session.accept(vec![offer.clone()], launch(&lease, "t"), Duration::ZERO).await.unwrap();
    let again = session.accept(vec![offer.clone()], launch(&lease, "u"), Duration::ZERO).await.unwrap_err();
    assert_eq!(again, CallError::NotLeased { offer });
    assert!(again.never_done());

    let mut states = Vec::new();
    while states.last() != Some(&TaskState::Killed) {
        let status = status(&mut events).await;
        session.acknowledge(&status).await.unwrap();
        states.push(status.state());
        if status.state() == TaskState::Running {
            session.kill(status.task_id, status.agent_id, None).await.unwrap();
        }
    }
    use TaskState::{Killed, Killing, Running, Starting};
    assert_eq!(states, [Starting, Running, Killing, Killed]);
    session.reconcile(&[(TaskId::new("t"), Some(lease.offer.agent_id.clone()))]).await.unwrap();
    let gone = status(&mut events).await;
    assert_eq!((gone.state(), gone.reason()), (TaskState::Gone, Reason::Reconciliation));
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_of_age_and_the_offer_comes_back() {
    let env = node();
    let (session, mut events, _) = open(&env, cluster(&env).await);
    let lease = offers(&mut events).await.remove(0);
    assert!(session.leases().holds(&lease.offer.id));
    let granted = Instant::now();
    let rescinded = await_event(&mut events, |event| match event {
        SessionEvent::Rescinded(offers) => Some(offers),
        _ => None,
    });
    assert_eq!(rescinded.await, std::slice::from_ref(&lease.offer.id));
    assert!(granted.elapsed() >= Duration::from_secs(60));
    assert!(!session.leases().holds(&lease.offer.id));
    assert_ne!(offers(&mut events).await[0].offer.id, lease.offer.id);
}

#[tokio::test(start_paused = true)]
async fn the_older_of_two_sessions_ends_for_ever() {
    let env = node();
    let master = cluster(&env).await;
    let (first, mut first_events, identity) = open(&env, master.clone());
    offers(&mut first_events).await;
    let config = SessionConfig::default();
    let (_second, mut second_events) = start(&env, Arc::new(master), identity, config);
    offers(&mut second_events).await;

    assert_eq!(ended(&mut first_events).await, EndReason::FailedOver);
    assert!(first_events.next().await.is_none());
    assert_eq!(first.revive(vec!["web".to_owned()]).await, Err(CallError::Ended));
    assert!(first.leases().snapshot().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_removed_framework_does_not_register_anew() {
    let env = node();
    let (session, mut events, identity) = open(&env, cluster(&env).await);
    offers(&mut events).await;
    let id = identity.id.lock().unwrap().clone();
    session.teardown().await.unwrap();
    assert!(matches!(ended(&mut events).await, EndReason::Removed { .. }));
    assert_eq!(*identity.id.lock().unwrap(), id);
}

#[tokio::test(start_paused = true)]
async fn closing_or_dropping_the_session_ends_it() {
    let env = node();
    let (session, mut events, _) = open(&env, cluster(&env).await);
    offers(&mut events).await;
    let other = session.clone();
    drop(session);
    other.revive(vec!["web".to_owned()]).await.unwrap();
    drop(other);
    assert_eq!(ended(&mut events).await, EndReason::Closed);
}

/// A master that says what the test tells it to.
#[derive(Debug, Clone, Default)]
struct Scripted {
    inner: Arc<Mutex<Script>>,
}

#[derive(Debug, Default)]
struct Script {
    subscriptions: Vec<(Call, Instant)>,
    calls: Vec<Call>,
    /// Where the events of the last subscription come from.
    stream: Option<mpsc::Sender<Result<Event, ConnectionError>>>,
    /// What the next subscriptions and calls answer instead.
    refuse_subscribe: Option<ConnectionError>,
    refuse_call: Option<ConnectionError>,
    /// What is never answered.
    hold: Option<CallType>,
    /// How long it takes to find the master.
    subscribing: Duration,
    /// Who leads no more after the next call.
    deposes: Option<Arc<Remembered>>,
}

impl Scripted {
    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.inner.lock().unwrap()
    }

    async fn say(&self, event: Event) {
        let stream = self.script().stream.clone().expect("subscribed");
        stream.send(Ok(event)).await.unwrap();
    }

    async fn greet(&self) {
        let framework_id = FrameworkId::new("f");
        let heartbeat_interval_seconds = Some(15.0);
        let subscribed = Subscribed { framework_id, heartbeat_interval_seconds, master_info: None };
        self.say(Event { subscribed: Some(subscribed), ..Event::of(EventType::Subscribed) }).await;
    }

    async fn offer(&self, id: &str) {
        let offer = Offer { id: OfferId::new(id), ..Offer::default() };
        let offers = Some(Offers { offers: vec![offer] });
        self.say(Event { offers, ..Event::of(EventType::Offers) }).await;
    }

    async fn update(&self, task: &str, state: TaskState, uuid: Option<u8>) {
        let uuid = uuid.map(|byte| vec![byte; 16]);
        let status = TaskStatus { uuid, ..TaskStatus::of(TaskId::new(task), state) };
        self.say(Event { update: Some(Update { status }), ..Event::of(EventType::Update) }).await;
    }

    /// Lets the session take in what was said.
    async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    /// Waits for the `count`-th subscription and greets it.
    async fn subscribed(&self, count: usize) {
        while self.script().subscriptions.len() < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.greet().await;
        self.settle().await;
    }
}

#[async_trait]
impl Connection for Scripted {
    async fn subscribe(&self, call: Call, may_act: MayAct<'_>) -> Result<Subscription, ConnectionError> {
        let wait = self.script().subscribing;
        tokio::time::sleep(wait).await;
        if !may_act() {
            return Err(ConnectionError::deposed());
        }
        let mut script = self.script();
        script.subscriptions.push((call, Instant::now()));
        if let Some(error) = script.refuse_subscribe.clone() {
            return Err(error);
        }
        let (sender, events) = mpsc::channel(64);
        script.stream = Some(sender);
        let events = ReceiverStream::new(events).boxed();
        Ok(Subscription { events, calls: Box::new(self.clone()), acknowledgements: Box::new(self.clone()) })
    }
}

#[async_trait]
impl CallPipe for Scripted {
    async fn send(&mut self, call: &Call) -> Result<(), ConnectionError> {
        let (answer, held) = {
            let mut script = self.script();
            script.calls.push(call.clone());
            if let Some(deposed) = &script.deposes {
                deposed.deposed.store(true, Ordering::Relaxed);
            }
            (script.refuse_call.clone().map_or(Ok(()), Err), script.hold == Some(call.r#type()))
        };
        if held {
            std::future::pending::<()>().await;
        }
        answer
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_framework_asks_to_be_kept_only_once_its_id_is_remembered() {
    let (env, master) = (node(), Scripted::default());
    let (_session, _events, identity) = open(&env, master.clone());
    identity.store_down.store(true, Ordering::Relaxed);
    master.subscribed(1).await;
    assert!(master.script().calls.is_empty(), "not remembered, so not kept");
    identity.store_down.store(false, Ordering::Relaxed);
    master.subscribed(2).await;

    let script = master.script();
    let timeouts: Vec<Option<f64>> = script
        .subscriptions
        .iter()
        .map(|(call, _)| call.subscribe.as_ref().unwrap().framework_info.failover_timeout)
        .collect();
    assert_eq!(timeouts, [Some(0.0), Some(0.0)]);
    let update = script.calls[0].update_framework.as_ref().unwrap();
    assert_eq!(update.framework_info.failover_timeout, Some(600.0));
    assert_eq!(update.framework_info.id, Some(FrameworkId::new("f")));
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_given_up_after_five_heartbeats() {
    let (env, master) = (node(), Scripted::default());
    let (_session, mut events, _) = open(&env, master.clone());
    master.subscribed(1).await;
    let silent_since = Instant::now();
    let reason = await_event(&mut events, |event| match event {
        SessionEvent::Disconnected { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(reason.await, "no heartbeat for 75 s");
    assert!(silent_since.elapsed() >= Duration::from_secs(74));
    master.subscribed(2).await;
    let call = &master.script().subscriptions[1].0;
    assert_eq!(call.framework_id, Some(FrameworkId::new("f")), "it comes back under its id");
}

#[tokio::test(start_paused = true)]
async fn subscribing_again_backs_off_to_fifteen_seconds() {
    let (env, master) = (node(), Scripted::default());
    let down = ConnectionError::Unreachable { message: "connection refused".to_owned() };
    master.script().refuse_subscribe = Some(down);
    let (_session, _events, _) = open(&env, master.clone());
    tokio::time::sleep(Duration::from_secs(300)).await;
    let times: Vec<Instant> = master.script().subscriptions.iter().map(|(_, at)| *at).collect();
    let waits: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[0] <= Duration::from_millis(500), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(15)), "{waits:?}");
    assert!((20..100).contains(&waits.len()), "{} tries in 5 minutes", waits.len());
}

#[tokio::test(start_paused = true)]
async fn a_call_on_a_dead_subscription_makes_a_new_one() {
    let (env, master) = (node(), Scripted::default());
    let (session, mut events, _) = open(&env, master.clone());
    master.subscribed(1).await;
    master.offer("o").await;
    offers(&mut events).await;
    let stale = ConnectionError::Unsubscribed { message: "stream id".to_owned() };
    master.script().refuse_call = Some(stale.clone());
    assert_eq!(session.revive(vec!["web".to_owned()]).await, Err(CallError::Failed(stale)));
    master.script().refuse_call = None;
    master.subscribed(2).await;
    assert!(session.leases().snapshot().is_empty(), "offers of the old subscription are void");
    session.revive(vec!["web".to_owned()]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn suppression_outlives_a_disconnection() {
    let (env, master) = (node(), Scripted::default());
    let (session, _events, _) = open(&env, master.clone());
    master.subscribed(1).await;
    session.suppress(vec!["web".to_owned()]).await.unwrap();
    master.script().stream = None;
    master.subscribed(2).await;
    let suppressed = master.script().subscriptions[1].0.subscribe.clone().unwrap().suppressed_roles;
    assert_eq!(suppressed, ["web"]);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_tells_what_it_was_told_whatever_was_called_meanwhile() {
    let (env, master) = (node(), Scripted::default());
    let (session, mut events, _) = open(&env, master.clone());
    let next = async |events: &mut SessionEvents| {
        let subscribed = await_event(events, |event| match event {
            SessionEvent::Subscribed { generation, suppressed, .. } => Some((generation, suppressed)),
            _ => None,
        });
        subscribed.await
    };
    master.subscribed(1).await;
    assert_eq!(next(&mut events).await, (1, Vec::new()));
    session.suppress(vec!["web".to_owned()]).await.unwrap();
    master.script().stream = None;
    while master.script().subscriptions.len() < 2 {
        master.settle().await;
    }
    assert_eq!(session.revive(vec!["web".to_owned()]).await, Err(CallError::NotSubscribed));
    master.subscribed(2).await;
    assert_eq!(next(&mut events).await, (2, vec!["web".to_owned()]));
    master.script().stream = None;
    master.subscribed(3).await;
    assert_eq!(next(&mut events).await, (3, Vec::new()), "the next one was told");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_slow_reader_is_the_latest_of_each() {
    let (env, master) = (node(), Scripted::default());
    let (_session, mut events, _) = open(&env, master.clone());
    master.subscribed(1).await;
    for round in 0..100 {
        master.update("t", TaskState::Running, Some(round)).await;
        master.update("u", TaskState::Running, None).await;
        master.settle().await;
    }
    master.update("t", TaskState::Unknown, None).await;
    for offer in ["o1", "o2"] {
        master.offer(offer).await;
    }
    let rescind = Some(Rescind { offer_id: OfferId::new("o1") });
    master.say(Event { rescind, ..Event::of(EventType::Rescind) }).await;
    master.settle().await;

    let mut told = Vec::new();
    for _ in 0..5 {
        told.push(match events.next().await.unwrap() {
            SessionEvent::Subscribed { generation, .. } => format!("subscribed {generation}"),
            SessionEvent::Update(status) => {
                format!("{} {} {:?}", status.task_id, status.state(), status.uuid.map(|uuid| uuid[0]))
            }
            SessionEvent::Offers(leases) => {
                leases.iter().map(|lease| lease.offer.id.value.clone()).collect::<Vec<_>>().join(",")
            }
            other => panic!("{other:?}"),
        });
    }
    let expected =
        ["subscribed 1", "t TASK_RUNNING Some(99)", "u TASK_RUNNING None", "t TASK_UNKNOWN None", "o2"];
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_retried_late_and_not_for_ever_ended() {
    let (env, master) = (node(), Scripted::default());
    let (_session, mut events, _) = open(&env, master.clone());
    master.settle().await;
    let error = Some(Error { message: "Not authorized to use role 'web'".to_owned() });
    master.say(Event { error, ..Event::of(EventType::Error) }).await;
    let reason = await_event(&mut events, |event| match event {
        SessionEvent::Disconnected { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(reason.await, "Not authorized to use role 'web'");
    master.subscribed(2).await;
    let script = master.script();
    assert!(script.subscriptions[1].1 - script.subscriptions[0].1 >= Duration::from_secs(60));
}

/// What the master says to the older of two subscriptions.
fn failed_over() -> Event {
    let error = Some(Error { message: "Framework failed over".to_owned() });
    Event { error, ..Event::of(EventType::Error) }
}

#[tokio::test(start_paused = true)]
async fn a_stranger_with_our_id_is_told_of_and_left_alone_for_longer_and_longer() {
    let (env, master) = (node(), Scripted::default());
    let (_session, mut events, identity) = open(&env, master.clone());
    identity.is_ours.store(true, Ordering::Relaxed);
    let mut waits = Vec::new();
    for count in 1..=9 {
        master.subscribed(count).await;
        let taken = Instant::now();
        master.say(failed_over()).await;
        let reason = await_event(&mut events, |event| match event {
            SessionEvent::Disconnected { reason, cause: Cause::Usurped, .. } => Some(reason),
            _ => None,
        });
        let reason = reason.await;
        assert!(reason.contains("a copy of this store"), "{reason}");
        while master.script().subscriptions.len() == count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        waits.push(taken.elapsed().as_secs_f64());
    }
    let wanted = [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0, 600.0, 600.0];
    let fits = waits.iter().zip(wanted).all(|(wait, wanted)| (0.79..1.21).contains(&(wait / wanted)));
    assert!(fits, "{waits:?} instead of about {wanted:?}");

    // Nobody fights who lets us have it for so long.
    master.subscribed(10).await;
    for _ in 0..250 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        master.say(Event::of(EventType::Heartbeat)).await;
    }
    let taken = Instant::now();
    master.say(failed_over()).await;
    master.subscribed(11).await;
    assert!(taken.elapsed() < Duration::from_secs(13), "{:?}", taken.elapsed());
}

#[tokio::test(start_paused = true)]
async fn whether_it_was_a_successor_is_asked_until_the_store_answers_or_the_term_is_over() {
    let (env, master) = (node(), Scripted::default());
    let (session, mut events, identity) = open(&env, master.clone());
    identity.is_ours.store(true, Ordering::Relaxed);
    master.subscribed(1).await;
    identity.store_down.store(true, Ordering::Relaxed);
    master.say(failed_over()).await;
    let reason = await_event(&mut events, |event| match event {
        SessionEvent::Disconnected { reason, cause: Cause::Broken, .. } => Some(reason),
        _ => None,
    });
    let reason = reason.await;
    assert!(reason.contains("the store does not tell yet"), "{reason}");
    assert_eq!(session.reconcile(&[]).await, Err(CallError::NotSubscribed));
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(master.script().subscriptions.len(), 1);
    identity.store_down.store(false, Ordering::Relaxed);
    master.subscribed(2).await;

    identity.store_down.store(true, Ordering::Relaxed);
    master.say(failed_over()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    identity.deposed.store(true, Ordering::Relaxed);
    assert_eq!(ended(&mut events).await, EndReason::FailedOver);
}

#[tokio::test(start_paused = true)]
async fn who_may_not_act_any_more_does_not_subscribe_however_long_the_master_was_looked_for() {
    let (env, master) = (node(), Scripted::default());
    master.script().subscribing = Duration::from_secs(20);
    let (_session, mut events, identity) = open(&env, master.clone());
    tokio::time::sleep(Duration::from_secs(10)).await;
    identity.deposed.store(true, Ordering::Relaxed);
    let reason = await_event(&mut events, |event| match event {
        SessionEvent::Disconnected { reason, .. } => Some(reason),
        _ => None,
    });
    assert!(reason.await.contains("does not lead any more"));
    assert!(master.script().subscriptions.is_empty());
}
