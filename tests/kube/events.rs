//! Events in both of their groups: one story, told in two forms.

use http::{Method, Request};
use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::server::TestServer;

const OLD: &str = "/api/v1/namespaces/default/events";
const NEW: &str = "/apis/events.k8s.io/v1/namespaces/default/events";

fn new_event(name: &str) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": name},
        "regarding": {"apiVersion": "tenure.dev/v1", "kind": "App", "namespace": "default", "name": "web", "uid": "u"},
        "note": "it happened", "reason": "Happened", "type": "Normal", "action": "Happening",
        "eventTime": "2026-11-20T10:31:42.451899Z", "reportingController": "plugin", "reportingInstance": "plugin-0",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_one_group_is_read_changed_watched_and_deleted_in_the_other() {
    let server = TestServer::start().await;
    let created = server.json(Method::POST, NEW, &new_event("web.1")).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let created = created.json();
    assert_eq!(
        (&created["apiVersion"], &created["note"]),
        (&json!("events.k8s.io/v1"), &json!("it happened"))
    );
    let old = server.get(&format!("{OLD}/web.1")).await.json();
    assert_eq!((&old["apiVersion"], &old["message"]), (&json!("v1"), &json!("it happened")));
    assert_eq!(old["involvedObject"]["name"], "web");
    assert!(old.get("regarding").is_none() && old.get("note").is_none(), "{old}");

    // Go's old recorder counts by a strategic merge patch.
    let patch = Request::patch(format!("{OLD}/web.1"))
        .header("content-type", "application/strategic-merge-patch+json");
    let patched = server.ask(patch.body(br#"{"count":3,"message":"again"}"#.to_vec()).unwrap()).await.json();
    assert_eq!(patched["count"], 3);
    let new = server.get(&format!("{NEW}/web.1")).await.json();
    assert_eq!((&new["deprecatedCount"], &new["note"]), (&json!(3), &json!("again")));

    // The new one by a merge patch of the series.
    let patch = Request::patch(format!("{NEW}/web.1")).header("content-type", "application/merge-patch+json");
    let series = br#"{"series":{"count":4,"lastObservedTime":"2026-11-20T10:32:42.000000Z"}}"#;
    let patched = server.ask(patch.body(series.to_vec()).unwrap()).await.json();
    assert_eq!((&patched["series"]["count"], &patched["note"]), (&json!(4), &json!("again")));

    for (path, selector) in
        [(OLD, "involvedObject.name%3Dweb"), (NEW, "regarding.name%3Dweb,reportingController%3Dplugin")]
    {
        let list = server.get(&format!("{path}?fieldSelector={selector}")).await.json();
        assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
    }
    let (code, _, message) =
        server.get(&format!("{NEW}?fieldSelector=involvedObject.name%3Dweb")).await.refusal();
    assert_eq!((code, message.as_str()), (400, "field label not supported: involvedObject.name"));
    let list = server.get(NEW).await.json();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("EventList"), &json!("events.k8s.io/v1")));
    assert_eq!(list["items"][0]["note"], "again");

    let mut lines = server.lines(&format!("{NEW}?watch=true")).await;
    let first = futures::StreamExt::next(&mut lines).await.unwrap();
    assert_eq!((&first["type"], &first["object"]["note"]), (&json!("ADDED"), &json!("again")));
    let gone = server.json(Method::DELETE, &format!("{NEW}/web.1"), &Value::Null).await;
    assert_eq!(gone.status, 200, "{}", gone.text());
    let last = futures::StreamExt::next(&mut lines).await.unwrap();
    assert_eq!(
        (&last["type"], &last["object"]["apiVersion"]),
        (&json!("DELETED"), &json!("events.k8s.io/v1"))
    );
    assert_eq!(server.get(&format!("{OLD}/web.1")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_tells_the_events_of_a_new_recorder() {
    for (server, kubectl) in Kubectl::all().await {
        let app = server.json(Method::POST, crate::server::APPS, &crate::server::app("web")).await.json();
        let mut event = new_event("web.1");
        event["regarding"]["uid"] = app["metadata"]["uid"].clone();
        assert_eq!(server.json(Method::POST, NEW, &event).await.status, 201);
        let told = kubectl.ok(&["describe", "apps.tenure.dev", "web"]).await;
        assert!(told.contains("Happened") && told.contains("it happened"), "{}: {told}", kubectl.version);
        let listed = kubectl.ok(&["get", "events.v1.events.k8s.io"]).await;
        assert!(listed.contains("it happened"), "{}: {listed}", kubectl.version);
    }
}
