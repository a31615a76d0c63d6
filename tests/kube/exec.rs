//! Who may run commands beside tasks, and how that is asked for. What runs is canned: `tests/server` has real ones.

use http::{Method, Request};
use kube::client::Body;
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::access::{Person, permit, rule};
use crate::server::TestServer;

const TASKS: &str = "/apis/tenure.dev/v1/namespaces/default/tasks";

fn asked(query: &str) -> Request<Body> {
    let request = Request::post(format!("{TASKS}/t1/exec?{query}"));
    let request = request.header("connection", "Upgrade").header("upgrade", "tenure-exec");
    request.body(Body::empty()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_a_stream_for_those_who_may_create_it() {
    let server = TestServer::start().await;
    let task = json!({
        "apiVersion": "tenure.dev/v1", "kind": "Task", "metadata": {"name": "t1"},
        "spec": {"app": "web", "revision": "web-1", "slot": 0},
    });
    let made = server.json(Method::POST, TASKS, &task).await;
    assert_eq!(made.status, 201, "{}", made.text());

    let answer = server.client.send(asked("command=echo&command=a%20b&tty=true")).await.unwrap();
    assert_eq!(answer.status(), 101);
    let line = hyper::upgrade::on(answer).await.unwrap();
    let mut said = String::new();
    hyper_util::rt::TokioIo::new(line).read_to_string(&mut said).await.unwrap();
    assert_eq!(said, r#"t1 runs ["echo", "a b"] terminal=true stdin=false"#);

    for (request, code, words) in [
        (
            Request::post(format!("{TASKS}/t1/exec?command=a")).body(Body::empty()).unwrap(),
            400,
            "Upgrade: tenure-exec",
        ),
        (asked("tty=true"), 400, "command: Required value"),
        (
            Request::get(format!("{TASKS}/t1/exec?command=a")).body(Body::empty()).unwrap(),
            405,
            "does not allow",
        ),
    ] {
        let answer = crate::server::Answer::of(server.client.send(request).await.unwrap()).await;
        assert!(answer.status == code && answer.text().contains(words), "{code}: {}", answer.text());
    }

    let reader = Person::account(&server, "reader").await;
    permit(
        &server,
        "reader",
        &json!([rule(&["get", "list", "watch"], "tenure.dev", &["tasks", "tasks/log", "tasks/exec"])]),
    )
    .await;
    let answer = reader.send(asked("command=a")).await;
    assert!(answer.status == 403 && answer.text().contains("tasks/exec"), "{}", answer.text());
    let operator = Person::account(&server, "operator").await;
    permit(&server, "operator", &json!([rule(&["create"], "tenure.dev", &["tasks/exec"])])).await;
    assert_eq!(operator.begin(asked("command=a")).await, 101);
}
