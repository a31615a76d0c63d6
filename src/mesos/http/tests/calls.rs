//! Where calls go, what they wait for, and what they do not wait for.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::calls::LANES;
use super::fake::{ACCEPTED, Fake, STREAM};
use super::*;
use crate::mesos::connection::{CallPipe, Outcome};
use crate::mesos::wire::CallType;

fn revive() -> Call {
    Call::of(FrameworkId::new("f"), CallType::Revive)
}

#[tokio::test]
async fn calls_go_to_the_address_at_which_the_stream_was_found() {
    let env = Env::system().unwrap();
    let mut master = Fake::start(&env).await;
    let connection = HttpConnection::new(&env, HttpConfig::new(vec![master.url()]));
    let client = connection.client.clone();
    let url = master.url();
    let finding =
        env.spawn("find", async move { client.find_leader(&url, None, &Bytes::new(), &|| true).await });
    master.next().await.answer(STREAM);
    let (leader, _stream) = finding.join().await.unwrap().unwrap().unwrap();
    assert_eq!(leader.address, Some(master.address));

    // A name that would not be found a second time.
    let leader = Leader { url: "http://masters.invalid:5050".parse().unwrap(), ..leader };
    let over = CancellationToken::new();
    let mut calls = HttpCalls::new(connection.client.clone(), leader, HeaderValue::from_static("s"), over);
    let calling = env.spawn("call", async move { calls.send(&revive()).await });
    let asked = master.next().await;
    assert!(asked.head.contains("host: masters.invalid:5050"), "{}", asked.head);
    asked.answer(ACCEPTED);
    assert_eq!(calling.join().await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_call_that_comes_to_a_master_that_does_not_lead_goes_on_to_the_one_that_does() {
    let env = Env::system().unwrap();
    // Behind the address of a load balancer the SUBSCRIBE came to the leader, and the call does not.
    let (mut shared, mut leader) = (Fake::start(&env).await, Fake::start(&env).await);
    let Subscription { events: _events, mut calls, .. } = shared.subscribed(&env).await;
    let calling =
        env.spawn("call", async move { [calls.send(&revive()).await, calls.send(&revive()).await] });
    let location = format!("Location: //{}/master/api/v1/scheduler", leader.address);
    let redirect = format!("HTTP/1.1 307 Temporary Redirect\r\n{location}\r\nContent-Length: 0\r\n\r\n");
    shared.next().await.answer(&redirect);
    for _ in 0..2 {
        let asked = leader.next().await;
        let (line, headers) = asked.head.split_once("\r\n").unwrap();
        assert_eq!(line, "POST /master/api/v1/scheduler HTTP/1.1");
        assert!(headers.contains("mesos-stream-id: s"), "{headers}");
        asked.answer(ACCEPTED);
    }
    assert_eq!(calling.join().await.unwrap(), [Ok(()), Ok(())]);
}

/// Time goes by at once.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_slow_master_is_waited_for_while_its_stream_lives() {
    let env = Env::system().unwrap();
    let mut master = Fake::start(&env).await;
    let connection = HttpConnection::new(&env, HttpConfig::new(vec![master.url()]));
    let subscribing =
        env.spawn("subscribe", async move { connection.subscribe(refusals::subscribe(), &|| true).await });
    let asked = master.next().await;
    pass(Duration::from_secs(50)).await;
    asked.answer(STREAM);
    let Subscription { events: _events, mut calls, .. } = subscribing.join().await.unwrap().unwrap();
    let calling = env.spawn("call", async move { calls.send(&revive()).await });
    let asked = master.next().await;
    pass(Duration::from_secs(200)).await;
    asked.answer(ACCEPTED);
    assert_eq!(calling.join().await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_call_waits_no_longer_than_its_stream_lives() {
    let env = Env::system().unwrap();
    let mut master = Fake::start(&env).await;
    let Subscription { events, mut calls, .. } = master.subscribed(&env).await;
    let calling =
        env.spawn("call", async move { (calls.send(&revive()).await, calls.send(&revive()).await) });
    let _unanswered = master.next().await;
    drop(events);
    let (first, second) = calling.join().await.unwrap();
    let ended = "the subscription ended before the answer came".to_owned();
    assert_eq!(first, Err(ConnectionError::Lost { message: ended }));
    assert_eq!(second, Err(ConnectionError::not_sent()));
}

#[tokio::test]
async fn acknowledgements_wait_neither_for_other_calls_nor_for_each_other() {
    let env = Env::system().unwrap();
    let mut master = Fake::start(&env).await;
    let Subscription { events: _events, mut calls, mut acknowledgements } = master.subscribed(&env).await;
    let calling = env.spawn("call", async move {
        let first = calls.send(&revive()).await;
        (first, calls)
    });
    let revived = master.next().await;
    let many = vec![Call::of(FrameworkId::new("f"), CallType::Acknowledge); 2 * LANES];
    let acknowledging = env.spawn("acknowledge", async move {
        let answers = acknowledgements.send_all(many, &|| true).await;
        (answers, acknowledgements)
    });
    let mut under_way = Vec::new();
    for _ in 0..LANES {
        under_way.push(master.next().await);
    }
    under_way.into_iter().for_each(|asked| asked.answer(ACCEPTED));
    for _ in 0..LANES {
        master.next().await.answer(ACCEPTED);
    }
    let (answers, mut acknowledgements) = acknowledging.join().await.unwrap();
    assert_eq!(answers, vec![Ok(()); 2 * LANES]);
    revived.answer(ACCEPTED);
    let (first, mut calls) = calling.join().await.unwrap();
    assert_eq!(first, Ok(()));

    // One that shows that the subscription is dead ends the others, too.
    let dying = env.spawn("acknowledge", async move {
        acknowledgements.send(&Call::of(FrameworkId::new("f"), CallType::Acknowledge)).await
    });
    let text = "Framework cannot be found";
    let refusal = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    master.next().await.answer(&refusal);
    let dead = dying.join().await.unwrap();
    assert!(matches!(dead, Err(ConnectionError::Unsubscribed { .. })), "{dead:?}");
    assert_eq!(calls.send(&revive()).await, Err(ConnectionError::not_sent()));
}

#[tokio::test]
async fn no_acknowledgement_is_sent_once_another_process_may_act() {
    let env = Env::system().unwrap();
    let mut master = Fake::start(&env).await;
    let Subscription { events: _events, mut acknowledgements, .. } = master.subscribed(&env).await;
    let many = vec![Call::of(FrameworkId::new("f"), CallType::Acknowledge); 2 * LANES];
    let acknowledging = env.spawn("acknowledge", async move {
        let asked = AtomicUsize::new(0);
        let three = || asked.fetch_add(1, Ordering::Relaxed) < 3;
        acknowledgements.send_all(many, &three).await
    });
    for _ in 0..3 {
        master.next().await.answer(ACCEPTED);
    }
    let answers = acknowledging.join().await.unwrap();
    let sent = answers.iter().filter(|it| it.is_ok()).count();
    let kept =
        answers.iter().filter(|it| it.as_ref().is_err_and(|it| it.outcome() == Outcome::NotDone)).count();
    assert_eq!((sent, kept), (3, 2 * LANES - 3));
}
