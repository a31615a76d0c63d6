//! The recorded requests that only a whole server can answer: routes, negotiation, lists, tables, watches. What the registry
//! answers is compared beside it (`registry::tests::replay`); `tests/house/kube_replay.rs` sees that nothing recorded is left out.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use http::{Method, Request};
use regex::Regex;
use serde_json::{Value, json};
use tenure::registry::cache::CacheOptions;

use crate::answers::{Recorded, recordings, settled};
use crate::server::{APPS, Answer, TestServer};

/// What differs in an answer of the whole server, and may.
static DETAILS: LazyLock<[(Regex, &str); 4]> = LazyLock::new(|| {
    [
        (r#""\d+s""#, r#""AGE""#),
        // A list that is complete has no token, or an empty one.
        (r#""continue": ?"","#, ""),
        // Where the real server shows its store.
        (r"StorageError: invalid object, .* AdditionalErrorMsg: ", ""),
        (r"too old resource version: 1 \(\d+\)", "too old resource version: 1 (VERSION)"),
    ]
    .map(|(pattern, word)| (Regex::new(pattern).unwrap(), word))
});

fn comparable(body: &Value) -> Value {
    let mut text = settled(body).to_string();
    for (pattern, word) in DETAILS.iter() {
        text = pattern.replace_all(&text, *word).into_owned();
    }
    let mut body = serde_json::from_str(&text).unwrap();
    sort_quoted(&mut body);
    body
}

/// A list that a message quotes has its fields in the order of Go's structs there, and sorted here.
fn sort_quoted(value: &mut Value) {
    match value {
        Value::String(text) => {
            let Some((start, end)) = text.find("[{").zip(text.find("}]")) else { return };
            if let Some(Ok(list)) = text.get(start..end + 2).map(serde_json::from_str::<Value>) {
                text.replace_range(start..end + 2, &list.to_string());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(sort_quoted),
        Value::Object(map) => map.values_mut().for_each(sort_quoted),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// One section of the recordings, played against a server of the kinds that were recorded.
struct Replay {
    server: TestServer,
    section: &'static str,
    recordings: BTreeMap<(String, String), Recorded>,
    /// The token of the last list that goes on.
    token: String,
    differences: Vec<String>,
}

impl Replay {
    async fn of(section: &'static str) -> Replay {
        let server = TestServer::of_the_recordings(CacheOptions::default()).await;
        Replay { server, section, recordings: recordings(), token: String::new(), differences: Vec::new() }
    }

    /// Prepares: what must succeed, and is compared with nothing.
    async fn given(&self, method: Method, path: &str, type_: &str, body: &Value) -> Value {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", type_)
            .header("user-agent", "python-requests/2");
        let answer = self.server.ask(request.body(body.to_string().into_bytes()).unwrap()).await;
        assert!(answer.status < 300, "{path}: {}", answer.text());
        answer.json()
    }

    async fn app(&self, name: &str, labels: &Value) -> Value {
        let object = json!({"apiVersion": "tenure.dev/v1", "kind": "App", "metadata": {"name": name, "labels": labels},
            "spec": {"image": "x", "replicas": 1}});
        self.given(Method::POST, APPS, "application/json", &object).await
    }

    fn recorded(&self, name: &str) -> Recorded {
        let key = (self.section.to_owned(), name.to_owned());
        self.recordings.get(&key).unwrap_or_else(|| panic!("{key:?} is not recorded")).clone()
    }

    /// Sends what was recorded under `name`, with this body, and notes where the answer is another.
    async fn play(&mut self, name: &str, body: &str) {
        let recorded = self.recorded(name);
        let answer = self.sent(&recorded, body).await;
        if let Some(token) =
            answer_json(&answer).and_then(|it| Some(it.pointer("/metadata/continue")?.as_str()?.to_owned()))
        {
            self.token = token;
        }
        let (ours, theirs) = match recorded.json() {
            Some(theirs) => {
                let ours = answer_json(&answer).unwrap_or_default();
                (comparable(&ours).to_string(), comparable(&theirs).to_string())
            }
            None if recorded.accept == "application/yaml" => {
                let read = |text: &str| comparable(&tenure::cli::yaml::parse(text).unwrap()).to_string();
                (read(&answer.text()), read(&recorded.text))
            }
            None => (answer.text().trim().to_owned(), recorded.text.trim().to_owned()),
        };
        if (answer.status, &ours) != (recorded.code, &theirs) {
            let (code, wanted) = (answer.status, recorded.code);
            self.differences.push(format!("{name}:\n  ours   {code} {ours}\n  theirs {wanted} {theirs}"));
        }
    }

    async fn sent(&self, recorded: &Recorded, body: &str) -> Answer {
        let target = Regex::new("continue=[A-Za-z0-9]{20,}").unwrap();
        let target = target.replace(&recorded.target, format!("continue={}", self.token));
        let uri = target.replace(' ', "%20");
        let mut request = Request::builder().method(recorded.method.as_str()).uri(uri);
        if recorded.accept != "None" {
            request =
                request.header("accept", if recorded.accept.is_empty() { "*/*" } else { &recorded.accept });
        }
        let type_ =
            if recorded.content_type.is_empty() { "application/json" } else { &recorded.content_type };
        let request = request.header("content-type", type_).header("user-agent", "python-requests/2");
        self.server.ask(request.body(body.as_bytes().to_vec()).unwrap()).await
    }

    fn end(self) {
        let count = self.differences.len();
        assert!(count == 0, "{}: {count} answers differ:\n{}", self.section, self.differences.join("\n"));
    }
}

fn answer_json(answer: &Answer) -> Option<Value> {
    serde_json::from_slice(&answer.bytes).ok()
}

/// An App of the recordings as text, with more in its metadata.
fn text(name: &str, more: &str) -> String {
    format!(
        r#"{{"apiVersion":"tenure.dev/v1","kind":"App","metadata":{{"name":"{name}"{more}}},"spec":{{"image":"x","replicas":1}}}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_and_forms_are_answered_as_recorded() {
    let mut replay = Replay::of("routing").await;
    for name in ["e1", "g-bcdfg", "noct", "x2", "yy"] {
        replay.app(name, &Value::Null).await;
    }
    for name in [
        "unknown group",
        "unknown version",
        "unknown resource",
        "unknown subresource",
        "not found",
        "cluster kind in ns",
        "accept unsupported",
        "accept protobuf,json",
        "accept yaml",
        "accept missing",
        "pretty",
        "HEAD",
    ] {
        replay.play(name, "").await;
    }
    for name in ["POST on name", "PUT on collection", "namespaced without ns"] {
        replay.play(name, &text("e1", "")).await;
    }
    replay.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_only_a_whole_server_reads_are_answered_as_recorded() {
    let mut replay = Replay::of("create").await;
    replay.play("text/plain", "x").await;
    let owner = |name: &str, uid: u8| {
        format!(
            r#"{{"apiVersion":"tenure.dev/v1","kind":"App","name":"{name}","uid":"{uid}","controller":true}}"#
        )
    };
    let owners = format!(r#","ownerReferences":[{},{}]"#, owner("q", 1), owner("q2", 2));
    replay.play("two controllers", &text("x7", &owners)).await;
    replay.end();

    let mut replay = Replay::of("update").await;
    let made = replay.app("e1", &Value::Null).await;
    let version = &made["metadata"]["resourceVersion"];
    replay.play("uid mismatch", &text("e1", &format!(r#","uid":"0000","resourceVersion":{version}"#))).await;
    replay.end();

    let mut replay = Replay::of("patch").await;
    let object = json!({"apiVersion": "tenure.dev/v1", "kind": "App", "metadata": {"name": "e1"},
        "spec": {"image": "x", "replicas": 1, "env": [{"name": "A", "value": "1"}], "tags": ["a"]}});
    replay.given(Method::POST, APPS, "application/json", &object).await;
    replay.play("json ct", "{}").await;
    replay
        .play("json test rv ok-form", r#"[{"op":"test","path":"/metadata/resourceVersion","value":"1"}]"#)
        .await;
    replay.play("unknown field Strict merge", r#"{"spec":{"bogus":1}}"#).await;
    replay.end();

    let mut replay = Replay::of("apply").await;
    let config = |spec: &Value| json!({"apiVersion": "tenure.dev/v1", "kind": "App", "metadata": {"name": "s1"}, "spec": spec});
    let (path, apply) = (format!("{APPS}/s1"), "application/apply-patch+yaml");
    replay
        .given(Method::PATCH, &format!("{path}?fieldManager=m1"), apply, &config(&json!({"image": "y"})))
        .await;
    let nulls = config(&json!({"image": "y", "selector": null, "paused": null}));
    replay.play("null value", &nulls.to_string()).await;
    replay.play("cbor ct", "x").await;
    let reset = json!({"metadata": {"managedFields": []}});
    replay.given(Method::PATCH, &path, "application/merge-patch+json", &reset).await;
    let replace = r#"[{"op":"replace","path":"/metadata/managedFields","value":[{}]}]"#;
    replay.play("json patch managedFields [{}]", replace).await;
    replay.end();

    let mut replay = Replay::of("delete").await;
    replay.app("d6", &json!({"a": "b"})).await;
    replay.app("other", &json!({"a": "c"})).await;
    for name in ["deletecollection", "deletecollection empty"] {
        replay.play(name, "").await;
    }
    replay.end();
}

/// The Apps of the recorded lists; what the real server's revisions are here.
async fn listed(replay: &Replay) -> BTreeMap<&'static str, String> {
    let mut revisions = BTreeMap::new();
    let version = |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    for (at, theirs) in ["1437", "1438", "1439", "1440", "1441"].into_iter().enumerate() {
        let made = replay.app(&format!("l{at}"), &json!({"i": at.to_string()})).await;
        revisions.insert(theirs, version(&made));
    }
    let shop = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    replay.given(Method::POST, "/api/v1/namespaces", "application/json", &shop).await;
    let elsewhere = json!({"apiVersion": "tenure.dev/v1", "kind": "App", "metadata": {"name": "z"}, "spec": {"image": "x"}});
    let path = APPS.replace("default", "shop");
    let made = replay.given(Method::POST, &path, "application/json", &elsewhere).await;
    revisions.insert("1442", version(&made));
    revisions
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_tables_are_answered_as_recorded() {
    let mut replay = Replay::of("list").await;
    listed(&replay).await;
    for name in [
        "limit",
        "continue",
        "bad continue",
        "rv future",
        "field sel ok",
        "label sel set",
        "list table",
        "list table includeObject=None",
        "list table includeObject=Object",
        "get table",
        "get partial",
        "get partial list on single",
        "get table v1beta1",
        "unknown as",
        "error as table",
    ] {
        replay.play(name, "").await;
    }
    replay.play("create as partial", &text("pm", "")).await;
    replay.play("all ns list kind", "").await;
    replay.end();
}

/// An event as the recordings tell it, with the revision that it has here.
fn told(event: &Value, short: bool, revisions: &BTreeMap<&str, String>) -> Value {
    let object = &event["object"];
    if !short {
        return json!([event["type"], comparable(object)]);
    }
    let meta = &object["metadata"];
    let revision =
        revisions.iter().find(|(_, ours)| meta["resourceVersion"] == **ours).map(|(theirs, _)| *theirs);
    let short = json!({"kind": object["kind"], "name": meta["name"], "rv": revision, "del": meta["deletionTimestamp"]});
    json!([event["type"], short])
}

/// What a watch said: each line, and what was recorded of it.
async fn watched(replay: &Replay, name: &str, revisions: &BTreeMap<&str, String>) -> Vec<String> {
    let mut recorded = replay.recorded(name);
    for (theirs, ours) in revisions {
        recorded.target =
            recorded.target.replace(&format!("resourceVersion={theirs}"), &format!("resourceVersion={ours}"));
    }
    let timeout = Regex::new("timeoutSeconds=[0-9]+").unwrap();
    recorded.target = timeout
        .replace(&recorded.target, "timeoutSeconds=1")
        .replace("labelSelector=i=4", "labelSelector=i%3D4");
    recorded.accept = match name {
        "table" => "application/json;as=Table;v=v1;g=meta.k8s.io,application/json".to_owned(),
        "protobuf;stream=watch,json" => {
            "application/vnd.kubernetes.protobuf;stream=watch,application/json".to_owned()
        }
        name if name.contains("PartialObjectMetadata") => {
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1".to_owned()
        }
        _ => String::new(),
    };
    let answer = replay.sent(&recorded, "").await;
    let mut differences = Vec::new();
    if answer.status != recorded.code {
        differences.push(format!("{name}: {} instead of {}", answer.status, recorded.code));
    }
    // `0.0s ADDED {…}`, and at last `closed after 3.0s`.
    let theirs: Vec<(&str, &str)> = recorded
        .text
        .lines()
        .filter_map(|line| line.trim().split_once("s ")?.1.split_once(' '))
        .filter(|(_, object)| object.starts_with('{'))
        .collect();
    let mut ours: Vec<Value> =
        answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // A last bookmark before the end is ours alone, for a watch that is as short.
    let is_last = |event: &mut Value| {
        event["type"] == "BOOKMARK" && event["object"]["metadata"]["annotations"].is_null()
    };
    ours.pop_if(is_last);
    if ours.len() != theirs.len() {
        differences.push(format!("{name}: {} events instead of {}: {ours:?}", ours.len(), theirs.len()));
    }
    for (ours, (type_, object)) in ours.iter().zip(&theirs) {
        let (ours, theirs) = match serde_json::from_str::<Value>(object) {
            // No stream: the refusal itself.
            Ok(theirs) if *type_ == "None" => (comparable(ours), comparable(&theirs)),
            Ok(theirs) => {
                let short = theirs.get("rv").is_some();
                let theirs = if short { theirs } else { comparable(&theirs) };
                (told(ours, short, revisions), json!([type_, theirs]))
            }
            // Long ones were cut: what is left tells the type, and whether there are columns.
            Err(_) => {
                let columns = object.contains(r#""columnDefinitions": null"#);
                (
                    json!([ours["type"], ours["object"]["columnDefinitions"].is_null()]),
                    json!([type_, columns]),
                )
            }
        };
        if ours != theirs {
            differences.push(format!("{name}:\n  ours   {ours}\n  theirs {theirs}"));
        }
    }
    differences
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_tell_what_was_recorded() {
    let mut replay = Replay::of("watch").await;
    let mut revisions = listed(&replay).await;
    let version = |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    revisions.insert("1443", version(&replay.app("pm", &Value::Null).await));
    let merge = "application/merge-patch+json";
    let label = async |name: &str, labels: Value| {
        let patch = json!({"metadata": {"labels": labels}});
        version(&replay.given(Method::PATCH, &format!("{APPS}/{name}"), merge, &patch).await)
    };
    revisions.insert("1444", label("l1", json!({"q": "1"})).await);
    replay.given(Method::DELETE, &format!("{APPS}/l2"), "application/json", &json!({})).await;
    let deleted = replay.server.get(APPS).await.json();
    revisions.insert("1445", version(&deleted));
    revisions.insert("1446", label("l3", json!({"i": "gone"})).await);
    let first = ["from rv", "no rv", "rv=0"].map(|name| watched(&replay, name, &revisions));
    let mut differences = futures::future::join_all(first).await.concat();

    revisions.insert("1447", label("l4", json!({"i": "gone"})).await);
    revisions.insert("1448", label("l4", json!({"i": "4"})).await);
    let then = [
        "label selector leaving",
        "sendInitialEvents",
        "sendInitialEvents no bookmarks",
        "sendInitialEvents no match",
        "sendInitialEvents=false",
        "sendInitialEvents as PartialObjectMetadata",
        "future rv",
        "garbage rv",
        "table",
        "protobuf;stream=watch,json",
        "single name field selector",
        "with limit",
    ];
    let then = then.map(|name| watched(&replay, name, &revisions));
    differences.extend(futures::future::join_all(then).await.concat());
    // A watch of one object's path is none: "watch on GET name".
    let one = replay.server.get(&format!("{APPS}/l1?watch=true")).await.json();
    assert_eq!(one["metadata"]["name"], "l1");

    // A real server's history has a beginning, which ours gets by being short.
    replay.server =
        TestServer::of_the_recordings(CacheOptions { ring_bytes_max: 1, ..CacheOptions::default() }).await;
    listed(&replay).await;
    differences.extend(watched(&replay, "rv=1 (too old?)", &BTreeMap::new()).await);
    replay.differences = differences;
    replay.end();
}
