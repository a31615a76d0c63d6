//! Watches over the wire: what is told, in which order, and how a watch ends.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use http::{Method, Request};
use serde_json::{Value, json};
use tenure::registry::cache::CacheOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::hardening::connected;
use crate::server::{APPS, TestServer, app};

/// Type, name and label `i` of an event.
fn shown(event: &Value) -> String {
    let object = &event["object"];
    let name = object["metadata"]["name"].as_str().unwrap_or("-");
    format!("{} {name}", event["type"].as_str().unwrap())
}

async fn next(lines: &mut BoxStream<'static, Value>) -> Value {
    tokio::time::timeout(Duration::from_secs(20), lines.next())
        .await
        .expect("an event comes")
        .expect("the watch is open")
}

async fn all(lines: BoxStream<'static, Value>) -> Vec<String> {
    tokio::time::timeout(Duration::from_secs(20), lines.map(|event| shown(&event)).collect()).await.unwrap()
}

async fn create(server: &TestServer, name: &str, label: &str) -> String {
    let mut object = app(name);
    object["metadata"]["labels"] = json!({"i": label});
    let answer = server.json(Method::POST, APPS, &object).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

async fn patch(server: &TestServer, name: &str, patch: Value) -> Value {
    let request =
        Request::patch(format!("{APPS}/{name}")).header("content-type", "application/merge-patch+json");
    let answer = server.ask(request.body(patch.to_string().into_bytes()).unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_the_present_then_every_change() {
    let server = TestServer::start().await;
    create(&server, "a", "1").await;
    let mut lines = server.lines(&format!("{APPS}?watch=true")).await;
    assert_eq!(shown(&next(&mut lines).await), "ADDED a");
    create(&server, "b", "1").await;
    assert_eq!(shown(&next(&mut lines).await), "ADDED b");
    patch(&server, "a", json!({"spec": {"instances": 5}})).await;
    let event = next(&mut lines).await;
    assert_eq!((shown(&event).as_str(), &event["object"]["spec"]["instances"]), ("MODIFIED a", &json!(5)));
    server.json(Method::DELETE, &format!("{APPS}/a"), &json!({})).await;
    let event = next(&mut lines).await;
    assert!(
        event["type"] == "MODIFIED" && event["object"]["metadata"]["deletionTimestamp"].is_string(),
        "{event}"
    );
    patch(&server, "a", json!({"metadata": {"finalizers": null}})).await;
    let event = next(&mut lines).await;
    assert_eq!(shown(&event), "DELETED a");
    let last: u64 = event["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    let list = server.get(APPS).await.json();
    assert_eq!(
        list["metadata"]["resourceVersion"],
        json!(last.to_string()),
        "a deletion has a revision of its own"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_a_revision_tells_what_came_after_it() {
    let server = TestServer::start().await;
    let revision = create(&server, "a", "1").await;
    create(&server, "b", "1").await;
    let query = format!("{APPS}?watch=1&resourceVersion={revision}&timeoutSeconds=1");
    assert_eq!(all(server.lines(&query).await).await, ["ADDED b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_a_selection_is_a_deletion_and_entering_an_addition() {
    let server = TestServer::start().await;
    let revision = create(&server, "a", "1").await;
    patch(&server, "a", json!({"metadata": {"labels": {"i": "2"}}})).await;
    patch(&server, "a", json!({"metadata": {"labels": {"i": "1"}}})).await;
    let query = format!("{APPS}?watch=1&labelSelector=i%3D1&resourceVersion={revision}&timeoutSeconds=1");
    assert_eq!(all(server.lines(&query).await).await, ["DELETED a", "ADDED a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn initial_events_end_with_a_bookmark() {
    let server = TestServer::start().await;
    create(&server, "a", "1").await;
    let query = format!(
        "{APPS}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    );
    let mut lines = server.lines(&query).await;
    assert_eq!(shown(&next(&mut lines).await), "ADDED a");
    let bookmark = next(&mut lines).await;
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(
        (&bookmark["object"]["kind"], &bookmark["object"]["apiVersion"]),
        (&json!("App"), &json!("tenure.dev/v1"))
    );
    create(&server, "b", "1").await;
    assert_eq!(shown(&next(&mut lines).await), "ADDED b");
    let without_match = server.get(&format!("{APPS}?watch=true&sendInitialEvents=true")).await;
    let (code, _, message) = without_match.refusal();
    assert_eq!(code, 422);
    assert!(
        message.ends_with("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_when_asked_with_a_last_bookmark() {
    let server = TestServer::start().await;
    create(&server, "a", "1").await;
    let query = format!("{APPS}?watch=true&resourceVersion=0&allowWatchBookmarks=true&timeoutSeconds=1");
    assert_eq!(all(server.lines(&query).await).await, ["ADDED a", "BOOKMARK -"]);
}

/// The clock is set forward whenever nothing else happens.
#[tokio::test(start_paused = true)]
async fn a_quiet_watch_says_every_minute_how_far_it_is() {
    let server = TestServer::start().await;
    let token = std::fs::read_to_string(server.folder.path().join("token")).unwrap();
    let mut stream = connected(&server, b"http/1.1").await;
    let query = "watch=true&allowWatchBookmarks=true&resourceVersion=0&timeoutSeconds=200";
    let head = format!(
        "GET {APPS}?{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        token.trim()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    // At 60, 120 and 180 seconds, and at the end.
    assert_eq!(said.matches("\"type\":\"BOOKMARK\"").count(), 4, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_ends_watches() {
    let server = TestServer::start().await;
    let mut lines = server.lines(&format!("{APPS}?watch=true")).await;
    create(&server, "a", "1").await;
    next(&mut lines).await;
    server.shutdown.cancel();
    assert!(all(lines).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_revision_is_refused_before_the_stream_begins() {
    let server = TestServer::start().await;
    let (code, _, message) = server.get(&format!("{APPS}?watch=true&resourceVersion=abc")).await.refusal();
    assert_eq!(code, 500);
    assert!(message.starts_with("resourceVersion: Invalid value: \"abc\""), "{message}");
    let yaml = server.get_as(&format!("{APPS}?watch=true"), "application/yaml").await;
    let text = "only the following media types are accepted: application/json;stream=watch";
    assert_eq!(yaml.refusal(), (406, "NotAcceptable".to_owned(), text.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn history_that_is_gone_ends_a_watch_with_an_error_event() {
    let server = TestServer::start_with(CacheOptions { ring_bytes_max: 1, ..CacheOptions::default() }).await;
    let revision = create(&server, "a", "1").await;
    for name in ["b", "c", "d"] {
        create(&server, name, "1").await;
    }
    let mut lines = server.lines(&format!("{APPS}?watch=true&resourceVersion={revision}")).await;
    let event = next(&mut lines).await;
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(event["object"]["reason"], "Expired");
    let message = event["object"]["message"].as_str().unwrap();
    assert!(message.starts_with(&format!("too old resource version: {revision} (")), "{message}");
    assert!(all(lines).await.is_empty(), "nothing follows");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_tells_its_columns_once() {
    let server = TestServer::start().await;
    create(&server, "a", "1").await;
    create(&server, "b", "1").await;
    let request = Request::get(format!("{APPS}?watch=true&timeoutSeconds=1"))
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json");
    let text = server.ask(request.body(Vec::new()).unwrap()).await.text();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 2, "{text}");
    assert!(events.iter().all(|event| event["object"]["kind"] == "Table"), "{text}");
    assert!(
        events[0]["object"]["columnDefinitions"].is_array()
            && events[1]["object"]["columnDefinitions"].is_null()
    );
    assert_eq!(events[1]["object"]["rows"][0]["cells"][0], "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_watchers_get_metadata_only() {
    let server = TestServer::start().await;
    create(&server, "a", "1").await;
    let request = Request::get(format!("{APPS}?watch=true&timeoutSeconds=1"))
        .header("accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
    let event: Value =
        serde_json::from_str(&server.ask(request.body(Vec::new()).unwrap()).await.text()).unwrap();
    assert_eq!(event["object"]["kind"], "PartialObjectMetadata");
    assert_eq!(event["object"].as_object().unwrap().len(), 3);
}
