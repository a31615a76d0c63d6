//! A task's life, in both encodings, over cuts of the stream and changes of the master.

use super::*;
use crate::mesos::connection::Outcome;
use crate::mesos::leases::Lease;
use crate::mesos::session::{CallError, EndReason};
use crate::mesos::wire::scheduler::{Roles, Subscribe};
use crate::mesos::wire::{CallType, EventType, Reason, TaskState, TaskStatus};
use futures::StreamExt;

async fn offer(events: &mut SessionEvents) -> Arc<Lease> {
    await_event(events, |event| match event {
        SessionEvent::Offers(leases) => leases.into_iter().next().map(Arc::new),
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

async fn launch(session: &Session, lease: &Lease, id: &str) {
    let operations = support::launch(lease, id, lease.offer.resources.clone());
    session.accept(vec![lease.offer.id.clone()], operations, Duration::ZERO).await.unwrap();
}

/// Launches a task and brings it to RUNNING, acknowledged.
async fn running(session: &Session, events: &mut SessionEvents, id: &str) -> TaskStatus {
    let lease = offer(events).await;
    launch(session, &lease, id).await;
    let running = status(events).await;
    assert_eq!((running.state(), running.task_id.value.as_str()), (TaskState::Running, id));
    session.acknowledge(&running).await.unwrap();
    running
}

/// The task is asked about, and runs.
async fn runs(session: &Session, events: &mut SessionEvents, running: &TaskStatus) {
    session.reconcile(&[(running.task_id.clone(), running.agent_id.clone())]).await.unwrap();
    let told = status(events).await;
    assert_eq!((told.state(), told.reason()), (TaskState::Running, Reason::Reconciliation));
    assert_eq!(told.task_id, running.task_id);
}

#[tokio::test]
async fn a_task_lives_and_ends_over_http_in_both_encodings() {
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let env = Env::system().unwrap();
        let (master, fleet) = cluster(&env);
        let process = Process::leading(&env, &master, |front| front).await;
        let (session, mut events) =
            open(&env, HttpConfig { encoding, ..HttpConfig::new(vec![process.url()]) });
        let (_, generation, master_id) = subscribed(&mut events).await;
        assert_eq!(generation, 1);
        assert_eq!(master_id, master.introduction().await.map(|info| info.id));
        let running = running(&session, &mut events, "t1").await;
        runs(&session, &mut events, &running).await;
        session.kill(running.task_id.clone(), running.agent_id.clone(), None).await.unwrap();
        let killed = status(&mut events).await;
        assert_eq!(killed.state(), TaskState::Killed);
        session.acknowledge(&killed).await.unwrap();
        // What the task held is offered again.
        let lease = offer(&mut events).await;
        session.decline(vec![lease.offer.id.clone()], Duration::from_secs(3600)).await.unwrap();
        session.suppress(vec!["web".to_owned()]).await.unwrap();
        session.revive(vec!["web".to_owned()]).await.unwrap();
        offer(&mut events).await;
        assert_eq!((fleet.started(), fleet.killed()), (1, 1));
    }
}

#[tokio::test]
async fn a_cut_stream_is_opened_again_as_the_same_framework() {
    let env = Env::system().unwrap();
    let (master, fleet) = cluster(&env);
    let process = Process::leading(&env, &master, |front| front).await;
    let (session, mut events) = open(&env, HttpConfig::new(vec![process.url()]));
    let (id, ..) = subscribed(&mut events).await;
    let running = running(&session, &mut events, "t1").await;

    let address = process.die().await;
    let why = reason(&mut events).await;
    assert!(why.contains("connection to the master lost") || why.contains("closed the stream"), "{why}");
    let listener = TcpListener::bind(address).await.unwrap();
    let _back = Process::on(&env, listener, Role::Leads(address, master.clone()), |front| front);
    assert_eq!(subscribed(&mut events).await.0, id);
    runs(&session, &mut events, &running).await;
    assert_eq!((fleet.started(), fleet.killed()), (1, 0));
}

#[tokio::test]
async fn the_next_master_is_found_where_the_last_one_points() {
    let env = Env::system().unwrap();
    let (first, _fleet) = cluster(&env);
    let (second, other) = cluster(&env);
    let a = Process::leading(&env, &first, |front| front).await;
    let b = Process::leading(&env, &second, |front| front).await;
    // Only the first is known.
    let (session, mut events) = open(&env, HttpConfig::new(vec![a.url()]));
    let (id, _, master_id) = subscribed(&mut events).await;
    let address = a.die().await;
    reason(&mut events).await;

    let listener = TcpListener::bind(address).await.unwrap();
    let a = Process::on(&env, listener, Role::Elects, |front| front);
    let why = reason(&mut events).await;
    assert!(why.contains("refused") || why.contains("503: No leader elected"), "{why}");
    a.role.send_replace(Role::Follows(b.address));
    let (again, generation, leads) = subscribed(&mut events).await;
    assert_eq!((again, generation), (id, 2));
    assert_ne!(leads, master_id);
    running(&session, &mut events, "t1").await;
    assert_eq!(other.started(), 1, "calls go to the master that leads");
}

#[tokio::test]
async fn a_master_that_fails_over_finds_its_framework_again() {
    let env = Env::system().unwrap();
    let (master, _fleet) = cluster(&env);
    let process = Process::leading(&env, &master, |front| front).await;
    let (_session, mut events) = open(&env, HttpConfig::new(vec![process.url()]));
    let (id, _, master_id) = subscribed(&mut events).await;
    master.fail_over(Duration::from_millis(200)).await;
    reason(&mut events).await;
    let (again, _, leads) = subscribed(&mut events).await;
    assert_eq!(again, id);
    assert_ne!(leads, master_id);
}

#[tokio::test]
async fn the_older_of_two_subscriptions_is_told_so_and_its_calls_are_void() {
    let env = Env::system().unwrap();
    let (master, _fleet) = cluster(&env);
    let process = Process::leading(&env, &master, |front| front).await;
    let (session, mut events) = open(&env, HttpConfig::new(vec![process.url()]));
    let (id, ..) = subscribed(&mut events).await;

    let connection = HttpConnection::new(&env, HttpConfig::new(vec![process.url()]));
    let framework_info =
        Remembered { id: Mutex::new(Some(id.clone())), ..Remembered::default() }.framework().await.unwrap();
    let call = Call::subscribe(Subscribe { framework_info, ..Subscribe::default() });
    let Subscription { events: mut first_stream, calls: mut first, .. } =
        connection.subscribe(call.clone(), &|| true).await.unwrap();
    let end = await_event(&mut events, |event| match event {
        SessionEvent::Ended(reason) => Some(reason),
        _ => None,
    });
    assert_eq!(end.await, EndReason::FailedOver);
    assert_eq!(session.revive(vec!["web".to_owned()]).await, Err(CallError::Ended));

    let _second = connection.subscribe(call, &|| true).await.unwrap();
    let revive = Call { revive: Some(Roles::default()), ..Call::of(id, CallType::Revive) };
    let error = first.send(&revive).await.unwrap_err();
    assert!(
        matches!(&error, ConnectionError::Unsubscribed { message } if message.contains("didn't match")),
        "{error}"
    );
    assert_eq!(error.outcome(), Outcome::NotDone);
    let mut last = None;
    while let Some(event) = first_stream.next().await {
        last = Some(event.unwrap());
    }
    assert_eq!(last.unwrap().r#type(), EventType::Error);
}
