//! `tenure confirm orphans` against the API server: the answer is an annotation, and holds for what was asked.

use http::Method;
use serde_json::{Value, json};

use crate::cli::{refused, shown};
use crate::server::TestServer;

const AGENTS: &str = "/apis/tenure.dev/v1/agents";
const ANSWER: &str = "/metadata/annotations/tenure.dev~1confirm-orphans";

/// An agent that asks about orphans with this digest, or asks nothing.
async fn agent(server: &TestServer, name: &str, digest: Option<&str>) {
    let agent = json!({"apiVersion": "tenure.dev/v1", "kind": "Agent", "metadata": {"name": name}});
    assert_eq!(server.json(Method::POST, AGENTS, &agent).await.status, 201);
    let condition = |status: &str| {
        json!([{"type": "Orphans", "status": status, "reason": "TooManyOrphans", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}])
    };
    let status = match digest {
        Some(digest) => json!({"orphans": {"count": 57, "digest": digest}, "conditions": condition("True")}),
        None => json!({"conditions": condition("False")}),
    };
    let request = http::Request::patch(format!("{AGENTS}/{name}/status"))
        .header("content-type", "application/merge-patch+json")
        .body(json!({"status": status}).to_string().into_bytes());
    let answer = server.ask(request.unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn answer_of(server: &TestServer, name: &str) -> Value {
    let agent: Value =
        serde_json::from_str(&shown(server, &["get", "agent", name, "-o", "json"]).await).unwrap();
    agent.pointer(ANSWER).cloned().unwrap_or(Value::Null)
}

#[tokio::test]
async fn what_is_asked_is_confirmed_and_nothing_else() {
    let server = TestServer::start().await;
    agent(&server, "quiet", None).await;
    let none = refused(&server, &["confirm", "orphans"]).await;
    assert_eq!(none, "error: there is nothing to confirm: no agent asks about orphans\n");
    agent(&server, "one", Some("abc")).await;
    agent(&server, "two", Some("def")).await;

    let wrong = refused(&server, &["confirm", "orphans", "quiet"]).await;
    assert_eq!(wrong, "error: agent.tenure.dev/quiet does not ask about orphans\n");
    let absent = refused(&server, &["confirm", "orphans", "nobody"]).await;
    assert!(absent.contains("\"nobody\" not found"), "{absent}");

    let said = shown(&server, &["confirm", "orphans", "one"]).await;
    assert_eq!(said, "agent.tenure.dev/one confirmed: 57 tasks that nobody owns will end\n");
    assert_eq!(answer_of(&server, "one").await, "abc");
    assert_eq!(answer_of(&server, "two").await, Value::Null);

    shown(&server, &["confirm", "orphans"]).await;
    assert_eq!(answer_of(&server, "two").await, "def");
    assert_eq!(answer_of(&server, "quiet").await, Value::Null);
}
