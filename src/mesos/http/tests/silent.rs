//! Masters that take connections and say nothing, beside others.

use std::net::TcpListener as Unheard;

use futures::FutureExt as _;

use super::fake::{Fake, STREAM};
use super::refusals::subscribe;
use super::*;

/// How long a slow one takes, which is long for one that is not waited for.
const SLOWNESS: Duration = Duration::from_millis(100);

/// One that takes connections and says nothing: the kernel takes them.
fn silent() -> (Unheard, MasterUrl) {
    let listener = Unheard::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    (listener, url)
}

/// One at which nobody listens.
fn absent() -> MasterUrl {
    silent().1
}

/// One that answers each request with a stream, in its own time, and not while it is told to be silent.
async fn slow(env: &Env) -> (MasterUrl, watch::Sender<bool>) {
    let mut fake = Fake::start(env).await;
    let url = fake.url();
    let (answers, told) = watch::channel(true);
    let node = env.clone();
    env.spawn("slow", async move {
        loop {
            let asked = fake.next().await;
            let mut told = told.clone();
            node.spawn("answer", async move {
                tokio::time::sleep(SLOWNESS).await;
                while !*told.borrow_and_update() {
                    if told.changed().await.is_err() {
                        return;
                    }
                }
                asked.answer(STREAM);
            });
        }
    });
    (url, answers)
}

async fn asks(connection: &HttpConnection) -> Result<Subscription, ConnectionError> {
    tokio::time::timeout(PATIENCE, connection.subscribe(subscribe(), &|| true)).await.expect("it ends")
}

#[tokio::test]
async fn a_silent_master_that_never_answered_is_passed_over_for_the_others() {
    let env = Env::system().unwrap();
    let (_first, silent) = silent();
    let (master, _fleet) = cluster(&env);
    let leader = Process::leading(&env, &master, |front| front).await;
    let config = HttpConfig {
        silence_timeout: Duration::from_secs(2),
        ..HttpConfig::new(vec![silent, absent(), leader.url()])
    };
    asks(&HttpConnection::new(&env, config)).await.unwrap();
}

#[tokio::test]
async fn a_slow_master_is_waited_for_if_it_is_the_only_one_or_the_others_are_of_no_use_or_it_has_answered() {
    let env = Env::system().unwrap();
    // Whoever is not waited for has no time at all.
    let config = |masters| HttpConfig { silence_timeout: Duration::ZERO, ..HttpConfig::new(masters) };
    let (slow, answers) = slow(&env).await;
    asks(&HttpConnection::new(&env, config(vec![slow.clone()]))).await.unwrap();
    asks(&HttpConnection::new(&env, config(vec![slow.clone(), absent()]))).await.unwrap();

    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", other.local_addr().unwrap()).parse().unwrap();
    let connection = HttpConnection::new(&env, config(vec![slow, silent]));
    // The first time the other one is asked in between.
    answers.send_replace(false);
    let (subscribed, _) = tokio::join!(asks(&connection), async {
        tokio::time::timeout(PATIENCE, other.accept()).await.expect("it is asked").unwrap();
        answers.send_replace(true);
    });
    subscribed.unwrap();
    asks(&connection).await.unwrap();
    assert!(other.accept().now_or_never().is_none(), "one that has answered was not waited for");
}

#[tokio::test]
async fn a_master_that_was_waited_for_in_vain_has_to_answer_before_it_is_waited_for_again() {
    let env = Env::system().unwrap();
    let (_other, silent) = silent();
    let (hangs, answers) = slow(&env).await;
    let config = HttpConfig {
        silence_timeout: Duration::ZERO,
        subscribe_timeout: Duration::from_secs(2),
        ..HttpConfig::new(vec![absent(), hangs.clone(), silent.clone()])
    };
    let connection = HttpConnection::new(&env, config);
    asks(&connection).await.unwrap();
    answers.send_replace(false);
    let error = asks(&connection).await.unwrap_err().to_string();
    assert!(error.contains(&format!("{hangs}: no answer within")), "{error}");
    // Now it is asked after the other one, passed over, and so after the other one again.
    let error = asks(&connection).await.unwrap_err().to_string();
    assert!(error.contains(&format!("{silent}: no answer within")), "{error}");
}
