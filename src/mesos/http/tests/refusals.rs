//! Masters that refuse, servers that are no masters, and such as say nothing.

use super::*;
use crate::mesos::connection::CallPipe;
use crate::mesos::embedded::http::Accounts;
use crate::mesos::wire::CallType;
use crate::mesos::wire::scheduler::Subscribe;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn credentials(text: &str) -> Option<Credentials> {
    Some(Credentials::parse(text).unwrap())
}

#[tokio::test]
async fn wrong_credentials_are_told_and_right_ones_go_along_with_every_request() {
    let env = Env::system().unwrap();
    let (master, _fleet) = cluster(&env);
    let accounts = Accounts::parse("rec:s3cret\np2:s3cret").unwrap();
    let leader = Process::leading(&env, &master, |front| front.authenticating(accounts.clone())).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let role = Role::Follows(leader.address);
    let follower = Process::on(&env, listener, role, |front| front.authenticating(accounts));
    let config = |text: Option<&str>| HttpConfig {
        credentials: text.and_then(credentials),
        ..HttpConfig::new(vec![follower.url()])
    };
    for (text, principal, words) in [
        (None, None, "asked for, and none are configured (401)"),
        (Some("rec:wrong"), Some("rec"), "not accepted (401)"),
        (Some("rec:s3cret"), Some("p2"), "Authenticated principal 'rec' does not match principal 'p2'"),
    ] {
        let (_session, mut events) = open_as(&env, config(text), principal);
        let why = reason(&mut events).await;
        assert!(why.contains(words) && !why.contains("s3cret"), "{why}");
    }
    // Also with the redirect, and with calls: UPDATE_FRAMEWORK goes before this event.
    let (session, mut events) = open_as(&env, config(Some("rec:s3cret")), Some("rec"));
    subscribed(&mut events).await;
    session.revive(vec!["web".to_owned()]).await.unwrap();
}

pub(super) fn subscribe() -> Call {
    let framework_info =
        FrameworkInfo { user: "root".to_owned(), name: "test".to_owned(), ..FrameworkInfo::default() };
    Call::subscribe(Subscribe { framework_info, ..Subscribe::default() })
}

/// A server that answers every request with the same bytes and closes.
async fn answering(env: &Env, answer: &'static str) -> MasterUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    env.spawn("no master", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 1 << 16];
            // One read takes all of so small a request, or at least its head.
            let _read = stream.read(&mut request).await;
            let _gone = stream.write_all(answer.as_bytes()).await;
        }
    });
    url
}

async fn error_of(env: &Env, url: MasterUrl) -> ConnectionError {
    HttpConnection::new(env, HttpConfig::new(vec![url])).subscribe(subscribe(), &|| true).await.unwrap_err()
}

#[tokio::test]
async fn what_is_no_master_is_told_by_what_it_answered() {
    let env = Env::system().unwrap();
    for (answer, words) in [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found", "404: not found"),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
            "is no Mesos master: its answer is no event stream but \"text/html\"",
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", "204"),
        (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 17\r\n\r\nNo leader elected",
            "503: No leader elected",
        ),
        (
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://\r\nContent-Length: 0\r\n\r\n",
            "names no HOST:PORT",
        ),
        (
            "HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\n\r\n",
            "redirects to \"\", which names no host",
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n", "invalid HTTP"),
    ] {
        let url = answering(&env, answer).await;
        let error = error_of(&env, url.clone()).await;
        assert!(error.is_retryable(), "{error}: it may be replaced by a master");
        let text = error.to_string();
        assert!(text.contains(words) && text.contains(&url.to_string()), "{text}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = error_of(&env, format!("http://{closed}").parse().unwrap()).await;
    assert!(matches!(error, ConnectionError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn what_is_no_master_keeps_nobody_from_one_that_is_named_after_it() {
    let env = Env::system().unwrap();
    let (master, _fleet) = cluster(&env);
    let leader = Process::leading(&env, &master, |front| front).await;
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>";
    let masters = vec![answering(&env, page).await, leader.url()];
    let connection = HttpConnection::new(&env, HttpConfig::new(masters));
    connection.subscribe(subscribe(), &|| true).await.unwrap();
}

#[tokio::test]
async fn masters_that_point_at_each_other_are_left_after_two_redirects() {
    let env = Env::system().unwrap();
    let listeners =
        [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
    let [a, b] = [0, 1].map(|index: usize| listeners[index].local_addr().unwrap());
    let [first, second] = listeners;
    let _a = Process::on(&env, first, Role::Follows(b), |front| front);
    let _b = Process::on(&env, second, Role::Follows(a), |front| front);
    let error = error_of(&env, format!("http://{a}").parse().unwrap()).await;
    assert!(error.to_string().contains("more than 2 redirects"), "{error}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn what_is_no_event_ends_the_stream() {
    use futures::StreamExt;
    let env = Env::system().unwrap();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nMesos-Stream-Id: s\r\n\r\n";
    for (body, words) in [
        ("3\n\u{1}\u{1}\u{1}", "failed to parse protobuf"),
        ("<html>", "no digit"),
        ("999999999999\n", "longer than"),
    ] {
        let answer: &'static str = Box::leak(format!("{head}{body}").into_boxed_str());
        let url = answering(&env, answer).await;
        let connection = HttpConnection::new(&env, HttpConfig::new(vec![url]));
        let mut subscription = connection.subscribe(subscribe(), &|| true).await.unwrap();
        let error = subscription.events.next().await.unwrap().unwrap_err();
        assert!(
            matches!(&error, ConnectionError::Malformed { message } if message.contains(words)),
            "{error}"
        );
        assert!(subscription.events.next().await.is_none(), "nothing follows");
    }
}

#[tokio::test]
async fn a_master_that_does_not_answer_is_not_asked_first_again() {
    let env = Env::system().unwrap();
    // It listens, and nobody ever accepts: as a process that is stopped.
    let stopped = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (master, _fleet) = cluster(&env);
    let leader = Process::leading(&env, &master, |front| front).await;
    let silent = format!("http://{}", stopped.local_addr().unwrap()).parse().unwrap();
    let config = HttpConfig {
        subscribe_timeout: Duration::from_millis(300),
        ..HttpConfig::new(vec![silent, leader.url()])
    };
    let connection = HttpConnection::new(&env, config);
    let error = connection.subscribe(subscribe(), &|| true).await.unwrap_err();
    assert!(
        matches!(&error, ConnectionError::Lost { message } if message.contains("no answer within")),
        "{error}"
    );
    connection.subscribe(subscribe(), &|| true).await.unwrap();
}

#[tokio::test]
async fn who_may_not_act_any_more_asks_no_further_master() {
    let env = Env::system().unwrap();
    let further = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = format!("//{}/api/v1/scheduler", further.local_addr().unwrap());
    let answer =
        format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    let pointing = answering(&env, Box::leak(answer.into_boxed_str())).await;
    let connection = HttpConnection::new(&env, HttpConfig::new(vec![pointing]));
    let asked = std::sync::atomic::AtomicUsize::new(0);
    // Once before the first master and once before its request, and no more where that points.
    let twice = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 2;
    let error = connection.subscribe(subscribe(), &twice).await.unwrap_err();
    assert!(error.to_string().contains("does not lead any more"), "{error}");
    let (mut line, _) = further.accept().await.unwrap();
    assert_eq!(line.read(&mut [0; 64]).await.unwrap(), 0, "nothing was written");
}

/// A subscription to a master of its own, its framework's id, and the process.
async fn subscription(env: &Env) -> (Subscription, FrameworkId, Process) {
    use futures::StreamExt;
    let (master, _fleet) = cluster(env);
    let leader = Process::leading(env, &master, |front| front).await;
    let connection = HttpConnection::new(env, HttpConfig::new(vec![leader.url()]));
    let mut subscription = connection.subscribe(subscribe(), &|| true).await.unwrap();
    let first = subscription.events.next().await.unwrap().unwrap();
    (subscription, first.subscribed.unwrap().framework_id, leader)
}

#[tokio::test]
async fn calls_follow_each_other_and_a_malformed_one_is_no_dead_subscription() {
    let env = Env::system().unwrap();
    let (mut subscription, id, leader) = subscription(&env).await;
    let calls: &mut dyn CallPipe = subscription.calls.as_mut();
    let revive = Call::of(id, CallType::Revive);
    calls.send(&revive).await.unwrap();
    let unknown = Call { r#type: CallType::Unknown.wire(), ..revive.clone() };
    let refused = ConnectionError::Refused { message: "501: Unknown 'Call' type".to_owned() };
    assert_eq!(calls.send(&unknown).await, Err(refused));
    let malformed = Call { framework_id: None, ..revive.clone() };
    let answers = calls.send_all(vec![revive.clone(), malformed, revive.clone()], &|| true).await;
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    let refused = answers[1].as_ref().unwrap_err();
    assert!(matches!(refused, ConnectionError::Refused { .. }), "{refused}");

    leader.die().await;
    let lost = calls.send(&revive).await.unwrap_err();
    assert!(matches!(lost, ConnectionError::Lost { .. } | ConnectionError::Unreachable { .. }), "{lost}");
    assert_eq!(calls.send(&revive).await, Err(ConnectionError::not_sent()));
}

#[tokio::test]
async fn dropping_the_stream_ends_the_subscription() {
    use futures::StreamExt;
    let env = Env::system().unwrap();
    let (master, _fleet) = cluster(&env);
    let process = Process::leading(&env, &master, |front| front).await;
    let client = HttpConnection::new(&env, HttpConfig::new(vec![process.url()])).client;
    let body = Bytes::from(client.encoding.encode(&subscribe()));
    let (leader, answer) = client.find_leader(&process.url(), None, &body, &|| true).await.unwrap().unwrap();
    let stream_id = answer.headers()[STREAM_ID].clone();
    let nobody = CancellationToken::new().drop_guard();
    let mut events = stream::events(env, answer.into_body(), client.encoding, client.record_limit, nobody);
    let id = events.next().await.unwrap().unwrap().subscribed.unwrap().framework_id;
    // Calls that are not told that their stream is gone.
    let mut first = HttpCalls::new(client, leader, stream_id, CancellationToken::new());
    let revive = Call::of(id, CallType::Revive);
    first.send(&revive).await.unwrap();
    drop(events);
    // Nothing tells when the master notices.
    let noticed = async {
        loop {
            if let Err(error) = first.send(&revive).await {
                return error;
            }
        }
    };
    let error = tokio::time::timeout(PATIENCE, noticed).await.unwrap();
    // Its failover timeout is 0: it may be gone already.
    let texts = ["Framework is not subscribed", "Framework cannot be found"];
    assert!(texts.iter().any(|text| error.to_string().contains(text)), "{error}");
}
