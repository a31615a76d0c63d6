//! Subscriptions that break, masters that are too old, and calls that take long.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::mesos::wire::scheduler::Subscribe;

#[tokio::test(start_paused = true)]
async fn subscriptions_that_break_at_their_first_call_are_made_ever_more_rarely() {
    let (env, master) = (node(), Scripted::default());
    let (session, mut events, identity) = open(&env, master.clone());
    *identity.id.lock().unwrap() = Some(FrameworkId::new("f"));
    let elsewhere = ConnectionError::Unreachable { message: "307".to_owned() };
    master.script().refuse_call = Some(elsewhere);
    let breaking = async {
        for count in 1.. {
            master.subscribed(count).await;
            session.revive(vec!["web".to_owned()]).await.unwrap_err();
        }
    };
    tokio::time::timeout(Duration::from_secs(300), breaking).await.unwrap_err();
    let count = master.script().subscriptions.len();
    assert!((5..30).contains(&count), "{count} subscriptions in 5 minutes");
    let reason = await_event(&mut events, |event| match event {
        SessionEvent::Disconnected { reason, useless: true, .. } => Some(reason),
        _ => None,
    });
    let reason = reason.await;
    assert!(reason.contains("REVIVE failed: no leading master reached: 307"), "{reason}");
    assert!(reason.ends_with(&format!("({count} subscriptions in a row broke soon)")), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_know_who_it_is_asks_no_master_and_says_so() {
    let (env, master) = (node(), Scripted::default());
    let identity = Arc::new(Remembered::default());
    identity.unknown.store(true, Ordering::Relaxed);
    let config = SessionConfig::default();
    let (_session, mut events) = start(&env, Arc::new(master.clone()), identity.clone(), config);
    let reason = await_event(&mut events, |event| match event {
        SessionEvent::Disconnected { reason, cause: Cause::Unidentified, useless: false } => Some(reason),
        _ => None,
    });
    assert_eq!(reason.await, "framework identity: the id is missing");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(master.script().subscriptions.is_empty());
    identity.unknown.store(false, Ordering::Relaxed);
    master.subscribed(1).await;
}

#[tokio::test(start_paused = true)]
async fn calls_that_stay_here_are_counted_apart_from_those_that_break() {
    let (env, master) = (node(), Scripted::default());
    let identity = Arc::new(Remembered::default());
    let tally = Tally::default();
    let config = SessionConfig { tally: tally.clone(), ..SessionConfig::default() };
    let (session, _events) = start(&env, Arc::new(master.clone()), identity.clone(), config);
    master.subscribed(1).await;
    assert_eq!(tally.taken("UPDATE_FRAMEWORK"), 1);
    let gone = OfferId::new("gone");
    session.accept(vec![gone.clone()], Vec::new(), Duration::ZERO).await.unwrap_err();
    assert_eq!(tally.failures("ACCEPT"), [("not_leased", 1)]);
    // The second of them is judged when the process has stood still over the first.
    master.script().deposes = Some(identity.clone());
    let (first, second) = tokio::join!(session.reconcile(&[]), session.reconcile(&[]));
    assert_eq!((first, second), (Ok(()), Err(CallError::Failed(ConnectionError::deposed()))));
    assert_eq!(tally.failures("RECONCILE"), [("not_sent", 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_was_of_use_is_made_again_soon() {
    let (env, master) = (node(), Scripted::default());
    let (session, _events, _) = open(&env, master.clone());
    let life = Duration::from_secs(40);
    for count in 1..=5 {
        master.subscribed(count).await;
        session.revive(vec!["web".to_owned()]).await.unwrap();
        tokio::time::sleep(life).await;
        master.script().stream = None;
    }
    master.subscribed(6).await;
    let times: Vec<Instant> = master.script().subscriptions.iter().map(|(_, at)| *at).collect();
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] < life + Duration::from_secs(1), "{times:?}");
    }
}

/// A master that is too old for UPDATE_FRAMEWORK.
#[derive(Debug, Clone)]
struct Old {
    master: MasterHandle,
    subscriptions: Arc<Mutex<Vec<Subscribe>>>,
    /// Whether it takes the next call for one of another subscription.
    forgets: Arc<AtomicBool>,
}

#[derive(Debug)]
struct OldCalls {
    inner: Box<dyn CallPipe>,
    forgets: Arc<AtomicBool>,
}

#[async_trait]
impl Connection for Old {
    async fn subscribe(&self, call: Call, may_act: MayAct<'_>) -> Result<Subscription, ConnectionError> {
        self.subscriptions.lock().unwrap().extend(call.subscribe.clone());
        let subscription = self.master.subscribe(call, may_act).await?;
        let calls = OldCalls { inner: subscription.calls, forgets: self.forgets.clone() };
        Ok(Subscription { calls: Box::new(calls), ..subscription })
    }
}

#[async_trait]
impl CallPipe for OldCalls {
    async fn send(&mut self, call: &Call) -> Result<(), ConnectionError> {
        if call.r#type() == CallType::UpdateFramework {
            return Err(ConnectionError::Refused { message: "501: Unknown 'Call' type".to_owned() });
        }
        if self.forgets.swap(false, Ordering::Relaxed) {
            return Err(ConnectionError::Unsubscribed { message: "stream id".to_owned() });
        }
        self.inner.send(call).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_framework_that_cannot_be_updated_is_kept_by_a_second_subscription() {
    let env = node();
    let (subscriptions, forgets) = (Arc::default(), Arc::default());
    let old = Old { master: cluster(&env).await, subscriptions, forgets };
    let (session, mut events, identity) = open(&env, old.clone());
    let lease = offers(&mut events).await.remove(0);
    session.accept(vec![lease.offer.id.clone()], launch(&lease, "t"), Duration::ZERO).await.unwrap();
    let asked = |index: usize| {
        let info = old.subscriptions.lock().unwrap()[index].framework_info.clone();
        (info.id, info.failover_timeout)
    };
    let id = identity.id.lock().unwrap().clone();
    assert!(id.is_some());
    assert_eq!((asked(0), asked(1)), ((None, Some(0.0)), (id.clone(), Some(600.0))));

    // The master keeps it over a break, and its task with it.
    old.forgets.store(true, Ordering::Relaxed);
    session.revive(vec!["web".to_owned()]).await.unwrap_err();
    let (again, generation) = await_event(&mut events, |event| match event {
        SessionEvent::Subscribed { framework_id, generation, .. } if generation > 1 => {
            Some((framework_id, generation))
        }
        _ => None,
    })
    .await;
    assert_eq!((Some(again), generation), (id, 2));
    session.reconcile(&[(TaskId::new("t"), Some(lease.offer.agent_id.clone()))]).await.unwrap();
    let answer = await_event(&mut events, |event| match event {
        SessionEvent::Update(status) if status.reason() == Reason::Reconciliation => Some(status.state()),
        _ => None,
    });
    assert!(!answer.await.is_terminal());
    assert_eq!(
        old.subscriptions.lock().unwrap().len(),
        3,
        "the first, the one that keeps it, the one after the break"
    );
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_do_not_wait_for_other_calls_and_are_fenced_as_they_are() {
    let (env, master) = (node(), Scripted::default());
    let (session, _events, identity) = open(&env, master.clone());
    master.subscribed(1).await;
    master.script().hold = Some(CallType::Revive);
    let status = TaskStatus {
        uuid: Some(vec![1; 16]),
        agent_id: Some(AgentId::new("a")),
        ..TaskStatus::of(TaskId::new("t"), TaskState::Running)
    };
    let both = async {
        tokio::select! {
            biased;
            _ = session.revive(vec!["web".to_owned()]) => panic!("nobody answers"),
            acknowledged = session.acknowledge(&status) => acknowledged,
        }
    };
    let acknowledged = tokio::time::timeout(Duration::from_secs(60), both).await;
    assert_eq!(acknowledged.expect("it does not wait"), Ok(()));
    let sent: Vec<CallType> = master.script().calls.iter().map(Call::r#type).collect();
    assert_eq!(sent[sent.len() - 2..], [CallType::Revive, CallType::Acknowledge]);
    identity.deposed.store(true, Ordering::Relaxed);
    assert_eq!(session.acknowledge(&status).await, Err(CallError::Ended));
}
