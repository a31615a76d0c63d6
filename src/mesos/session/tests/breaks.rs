//! Subscriptions that break, masters that are too old, and calls that take long.

use super::*;

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
            session.revive().await.unwrap_err();
        }
    };
    tokio::time::timeout(Duration::from_secs(300), breaking).await.unwrap_err();
    let count = master.script().subscriptions.len();
    assert!((5..30).contains(&count), "{count} subscriptions in 5 minutes");
    let reason = await_event(&mut events, |event| match event {
        SessionEvent::Disconnected { reason, .. } => Some(reason),
        _ => None,
    });
    let reason = reason.await;
    assert!(reason.contains("REVIVE failed: no leading master reached: 307"), "{reason}");
    assert!(reason.ends_with(&format!("({count} subscriptions in a row broke soon)")), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_was_of_use_is_made_again_soon() {
    let (env, master) = (node(), Scripted::default());
    let (session, _events, _) = open(&env, master.clone());
    let life = Duration::from_secs(40);
    for count in 1..=5 {
        master.subscribed(count).await;
        session.revive().await.unwrap();
        tokio::time::sleep(life).await;
        master.script().stream = None;
    }
    master.subscribed(6).await;
    let times: Vec<Instant> = master.script().subscriptions.iter().map(|(_, at)| *at).collect();
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] < life + Duration::from_secs(1), "{times:?}");
    }
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
            _ = session.revive() => panic!("nobody answers"),
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
