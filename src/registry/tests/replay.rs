//! Replays the recorded requests and compares every answer with a real apiserver's.

use serde_json::{Value, json};

use super::answers::{Answer, recorded, settled};
use super::bench::Bench;
use crate::registry::{
    At, Body, DeleteOptions, Deleted, Encoding, Failure, Key, KindDef, ListQuery, Patch, Query, Subresource,
    Verb, WriteOptions,
};

/// Namespace of the recordings.
const NAMESPACE: &str = "default";

struct Request<'r> {
    method: &'r str,
    /// `apps`, `apps/e1`, `apps/e1/status`.
    path: &'r str,
    query: &'r str,
    /// Content type; empty for JSON.
    type_: &'r str,
    /// `$rv` and `$uid` stand for those of the object that the path names.
    body: &'r str,
}

impl Bench {
    async fn send(&self, request: &Request<'_>) -> Answer {
        let answer = match self.answer(request).await {
            Ok(answer) => answer,
            Err(failure) => Answer { code: failure.code, body: failure.status() },
        };
        self.caught_up().await;
        answer
    }

    async fn answer(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let mut parts = request.path.split('/');
        let kind = self.kind(parts.next().unwrap());
        let name = parts.next().unwrap_or_default();
        let subresource = match parts.next() {
            None => Subresource::Main,
            Some("status") => Subresource::Status,
            Some("scale") => Subresource::Scale,
            Some(other) => panic!("no subresource {other}"),
        };
        let key = kind.key(NAMESPACE, name);
        let query = query(request.query);
        let body = self.filled(&key, request.body).await;
        match request.method {
            "POST" => self.post(&kind, &query, request.type_, &body).await,
            "PUT" => {
                let options = WriteOptions::parse(Verb::Update, &query, "python-requests/2")?;
                let body = Body::decode(body.as_bytes(), Encoding::Json).unwrap();
                let written = self.registry.update(&kind, &key, subresource, body, &options).await?;
                Ok(ok(200, &written.object))
            }
            "PATCH" => self.patch(&kind, &key, subresource, &query, request.type_, &body).await,
            "DELETE" => self.delete(&kind, &key, &query, &body).await,
            "GET" if name.is_empty() => {
                let page = self.registry.list(&kind, &ListQuery::parse(Some(NAMESPACE), &query)?).await?;
                let items: Vec<Value> = page.docs.iter().map(|doc| doc.value().unwrap()).collect();
                Ok(Answer { code: 200, body: json!({"items": items}) })
            }
            "GET" => {
                let object = self.registry.get_subresource(&kind, &key, subresource, At::MostRecent).await?;
                Ok(ok(200, &object))
            }
            other => panic!("no method {other}"),
        }
    }

    async fn post(&self, kind: &KindDef, query: &Query, type_: &str, body: &str) -> Result<Answer, Failure> {
        let options = WriteOptions::parse(Verb::Create, query, "python-requests/2")?;
        let encoding = if type_ == "application/yaml" { Encoding::Yaml } else { Encoding::Json };
        let body = Body::decode(body.as_bytes(), encoding)
            .map_err(|error| error.of_object(&kind.kind, body.as_bytes()))?;
        let written = self.registry.create(kind, NAMESPACE, body, &options).await?;
        Ok(ok(201, &written.object))
    }

    async fn patch(
        &self,
        kind: &KindDef,
        key: &Key,
        subresource: Subresource,
        query: &Query,
        type_: &str,
        body: &str,
    ) -> Result<Answer, Failure> {
        let (verb, encoding) = match type_ {
            "apply" => (Verb::Apply, Encoding::Yaml),
            _ => (Verb::Patch, Encoding::Json),
        };
        let options = WriteOptions::parse(verb, query, "python-requests/2")?;
        let body = Body::decode(body.as_bytes(), encoding).map_err(|error| error.of_patch())?;
        let patch = match type_ {
            "apply" => Patch::Apply(body),
            "merge" => Patch::Merge(body),
            "json" => Patch::Json(body),
            "strategic" => Patch::Strategic(body),
            other => panic!("no patch {other}"),
        };
        let written = self.registry.patch(kind, key, subresource, patch, &options).await?;
        Ok(ok(if written.created { 201 } else { 200 }, &written.object))
    }

    async fn delete(&self, kind: &KindDef, key: &Key, query: &Query, body: &str) -> Result<Answer, Failure> {
        let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() };
        let options = DeleteOptions::parse(&body, query)?;
        match self.registry.delete(kind, key, &options).await? {
            Deleted::Terminating(object) => Ok(ok(200, &object)),
            Deleted::Gone { key, uid } => Ok(Answer {
                code: 200,
                body: json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                    "details": {"name": *key.name, "group": kind.group, "kind": kind.plural, "uid": uid},
                }),
            }),
        }
    }

    async fn filled(&self, key: &Key, body: &str) -> String {
        match self.registry.live(key).await.unwrap() {
            Some(doc) => body.replace("$rv", &doc.revision().to_string()).replace("$uid", &doc.meta().uid),
            None => body.to_owned(),
        }
    }
}

fn ok(code: u16, object: &[u8]) -> Answer {
    Answer { code, body: serde_json::from_slice(object).unwrap() }
}

fn query(text: &str) -> Query {
    let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), value.replace('+', " "))
    });
    Query::new(pairs)
}

/// Sends `requests` in order. Those whose name stands in the recordings must be answered as they were there.
async fn replay(section: &str, requests: &[(&str, Request<'_>)]) {
    let bench = Bench::of_the_recordings().await;
    let recorded = recorded();
    let mut differences = Vec::new();
    let mut compared = 0;
    for (name, request) in requests {
        let answer = bench.send(request).await;
        if name.is_empty() {
            assert!(answer.code < 300, "preparing {section}: {}: {}", request.body, answer.body);
            continue;
        }
        let expected = recorded.get(&(section.to_owned(), (*name).to_owned()));
        let expected = expected.unwrap_or_else(|| panic!("{section}: {name:?} is not recorded"));
        compared += 1;
        let (ours, theirs) = (settled(&answer.body), settled(&expected.body));
        if (answer.code, &ours) != (expected.code, &theirs) {
            let text =
                format!("{name}:\n  ours   {} {ours}\n  theirs {} {theirs}", answer.code, expected.code);
            differences.push(text);
        }
    }
    assert!(
        differences.is_empty(),
        "{section}: {} of {compared} answers differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

/// A request line: `METHOD path?query [content type]`, and its body.
fn request<'r>(line: &'r str, body: &'r str) -> Request<'r> {
    let mut words = line.split(' ');
    let method = words.next().unwrap();
    let target = words.next().unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Request { method, path, query, type_: words.next().unwrap_or_default(), body }
}

fn table<'r>(rows: &'r [(&'r str, &'r str, &'r str)]) -> Vec<(&'r str, Request<'r>)> {
    rows.iter().map(|&(name, line, body)| (name, request(line, body))).collect()
}

const E1: &str = r#"{"apiVersion":"tenure.dev/v1","kind":"App","metadata":{"name":"e1"},"spec":{"image":"x","replicas":1}}"#;

/// An App `x` of this `metadata` and `spec`.
fn app(metadata: &str, spec: &str) -> String {
    format!(r#"{{"apiVersion":"tenure.dev/v1","kind":"App","metadata":{metadata},"spec":{spec}}}"#)
}

#[tokio::test(start_paused = true)]
#[expect(clippy::too_many_lines, reason = "a table: one row per recorded request")]
async fn creations_are_answered_as_recorded() {
    let x = |name: &str| app(&format!(r#"{{"name":"{name}"}}"#), r#"{"image":"x","replicas":1}"#);
    let spec = |spec: &str| app(r#"{"name":"x5"}"#, spec);
    let meta = |name: &str, more: &str| {
        app(&format!(r#"{{"name":"{name}",{more}}}"#), r#"{"image":"x","replicas":1}"#)
    };
    let big = format!(r#""annotations":{{"a":"{}"}}"#, "x".repeat(262_145));
    let owner = r#""ownerReferences":[{"apiVersion":"v1","kind":"A","name":"q","uid":""}]"#;
    let owned = meta(
        "x2",
        r#""uid":"1","generation":7,"creationTimestamp":"2001-01-01T00:00:00Z",
        "deletionTimestamp":"2001-01-01T00:00:00Z","selfLink":"/x","managedFields":[{"manager":"m","operation":"Update"}]"#,
    );
    let huge = format!("\"{}\"", "x".repeat(4 << 20));
    let long = format!("POST apps?fieldManager={}", "x".repeat(129));
    let rows: Vec<(&str, &str, String)> = vec![
        ("ok", "POST apps", x("e1")),
        ("no content type", "POST apps", x("noct")),
        (
            "yaml",
            "POST apps application/yaml",
            "apiVersion: tenure.dev/v1\nkind: App\nmetadata: {name: yy}\nspec: {image: x, replicas: 1}\n"
                .into(),
        ),
        ("exists", "POST apps", x("e1")),
        ("bad name", "POST apps", x("Bad_Name")),
        ("no name", "POST apps", app("{}", r#"{"image":"x"}"#)),
        ("generateName", "POST apps", app(r#"{"generateName":"g-"}"#, r#"{"image":"x"}"#)),
        ("wrong apiVersion", "POST apps", x("x1").replace("tenure.dev/v1", "tenure.dev/v2")),
        ("wrong kind", "POST apps", x("x1").replace("\"App\"", "\"Nope\"")),
        ("no kind", "POST apps", r#"{"metadata": {"name": "x1"}, "spec": {"image": "x"}}"#.into()),
        ("ns mismatch", "POST apps", meta("x1", r#""namespace":"other""#)),
        ("not json", "POST apps", "{nope".into()),
        ("empty body", "POST apps", String::new()),
        ("rv set", "POST apps", meta("x1", r#""resourceVersion":"5""#)),
        ("uid+gen+ct+deletion+selfLink+managedFields set", "POST apps", owned),
        (
            "unknown fields Strict",
            "POST apps?fieldValidation=Strict",
            spec(r#"{"image":"x","bogus":1,"other":2}"#),
        ),
        (
            "unknown fields Warn",
            "POST apps?fieldValidation=Warn&dryRun=All",
            app(r#"{"name":"x3"}"#, r#"{"image":"x","bogus":1,"other":2}"#),
        ),
        (
            "unknown fields default",
            "POST apps?dryRun=All",
            app(r#"{"name":"x3"}"#, r#"{"image":"x","bogus":1}"#),
        ),
        (
            "unknown fields Ignore",
            "POST apps?fieldValidation=Ignore&dryRun=All",
            app(r#"{"name":"x3"}"#, r#"{"image":"x","bogus":1}"#),
        ),
        ("bad fieldValidation", "POST apps?fieldValidation=Foo", x("x4")),
        ("duplicate fields Strict", "POST apps?fieldValidation=Strict", spec(r#"{"image":"x","image":"y"}"#)),
        ("unknown metadata field Strict", "POST apps?fieldValidation=Strict", meta("x4", r#""foo":1"#)),
        (
            "unknown root field Strict",
            "POST apps?fieldValidation=Strict",
            x("x4").replace("\"spec\"", "\"extra\":1,\"spec\""),
        ),
        (
            "nulls (default/no default/object)",
            "POST apps?dryRun=All",
            app(r#"{"name":"x4"}"#, r#"{"image":"x","replicas":null,"paused":null,"selector":null}"#),
        ),
        ("null required", "POST apps?dryRun=All", app(r#"{"name":"x4"}"#, r#"{"image":null}"#)),
        ("wrong types", "POST apps", spec(r#"{"image":"x","replicas":"three","command":"c"}"#)),
        ("missing required", "POST apps", spec("{}")),
        (
            "spec missing",
            "POST apps",
            r#"{"apiVersion":"tenure.dev/v1","kind":"App","metadata":{"name":"x5"}}"#.into(),
        ),
        (
            "minimum/enum",
            "POST apps",
            spec(r#"{"image":"x","replicas":-1,"ports":[{"name":"a","port":1,"protocol":"ICMP"}]}"#),
        ),
        (
            "dup list-map key",
            "POST apps",
            spec(r#"{"image":"x","ports":[{"name":"a","port":1},{"name":"a","port":2}]}"#),
        ),
        ("dup set item", "POST apps", spec(r#"{"image":"x","tags":["a","a"]}"#)),
        ("float for int", "POST apps", spec(r#"{"image":"x","replicas":1.5}"#)),
        (
            "integral float for int",
            "POST apps?dryRun=All",
            app(r#"{"name":"x6"}"#, r#"{"image":"x","replicas":2.0}"#),
        ),
        ("bad label", "POST apps", meta("x7", r#""labels":{"a b":"not ok!"}"#)),
        ("label not string", "POST apps", meta("x7", r#""labels":{"a":1}"#)),
        ("annotation too big", "POST apps", meta("x7", &big)),
        ("bad finalizer", "POST apps?dryRun=All", meta("x7", r#""finalizers":["nodomain"]"#)),
        ("bad ownerRef", "POST apps?dryRun=All", meta("x7", owner)),
        ("body 4MB", "POST apps", huge),
        ("bad dryRun", "POST apps?dryRun=Some", x("x8")),
        ("bad fieldManager", &long, x("x8")),
    ];
    let rows: Vec<(&str, &str, &str)> =
        rows.iter().map(|(name, line, body)| (*name, *line, body.as_str())).collect();
    replay("create", &table(&rows)).await;
}

#[tokio::test(start_paused = true)]
async fn updates_are_answered_as_recorded() {
    let put = |metadata: &str, spec: &str| app(metadata, spec);
    let e1 = |more: &str, spec: &str| put(&format!(r#"{{"name":"e1"{more}}}"#), spec);
    let x = r#"{"image":"x","replicas":1}"#;
    let rv = r#","resourceVersion":"$rv""#;
    let status = |status: &str| {
        format!(
            r#"{{"apiVersion":"tenure.dev/v1","kind":"App","metadata":{{"name":"e1","resourceVersion":"$rv"}},
                "spec":{{"image":"ignored"}},"status":{status}}}"#
        )
    };
    let scale = |rv: &str, replicas: &str| {
        format!(
            r#"{{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{{"name":"e1"{rv}}},"spec":{{"replicas":{replicas}}}}}"#
        )
    };
    let rows: Vec<(&str, &str, String)> = vec![
        ("", "POST apps", E1.into()),
        ("no rv", "PUT apps/e1", e1("", x)),
        ("stale rv", "PUT apps/e1", e1(r#","resourceVersion":"1""#, x)),
        ("garbage rv", "PUT apps/e1", e1(r#","resourceVersion":"abc""#, x)),
        ("name mismatch", "PUT apps/e1", put(r#"{"name":"other","resourceVersion":"$rv"}"#, x)),
        ("nonexistent", "PUT apps/nope", put(r#"{"name":"nope","resourceVersion":"5"}"#, x)),
        ("nonexistent no rv", "PUT apps/nope", put(r#"{"name":"nope"}"#, x)),
        (
            "server-owned metadata reset, status ignored, generation bump",
            "PUT apps/e1",
            e1(&format!(r#"{rv},"generation":9,"deletionTimestamp":"2001-01-01T00:00:00Z""#), x),
        ),
        ("no-op PUT keeps rv 1395", "PUT apps/e1", e1(rv, x)),
        ("dryRun PUT", "PUT apps/e1?dryRun=All", e1(rv, r#"{"image":"dry","replicas":1}"#)),
        (
            "status PUT (spec ignored)",
            "PUT apps/e1/status",
            status(r#"{"phase":"Up","replicas":2,"selector":"a=b"}"#),
        ),
        (
            "status PUT nulls",
            "PUT apps/e1/status",
            status(r#"{"phase":null,"replicas":null,"selector":null}"#),
        ),
        (
            "status PATCH label too",
            "PATCH apps/e1/status merge",
            r#"{"metadata":{"labels":{"a":"b"}},"spec":{"replicas":7},"status":{"phase":"Z","unk":1}}"#
                .into(),
        ),
        ("scale GET", "GET apps/e1/scale", String::new()),
        ("scale PUT", "PUT apps/e1/scale", scale(rv, "5")),
        ("scale PUT negative", "PUT apps/e1/scale", scale(rv, "-5")),
        ("scale PUT stale rv", "PUT apps/e1/scale", scale(r#","resourceVersion":"1""#, "5")),
        ("scale PATCH", "PATCH apps/e1/scale merge", r#"{"spec":{"replicas":6}}"#.into()),
        ("scale on nonexistent", "GET apps/nope/scale", String::new()),
        ("get after", "GET apps/e1", String::new()),
    ];
    let rows: Vec<(&str, &str, &str)> =
        rows.iter().map(|(name, line, body)| (*name, *line, body.as_str())).collect();
    replay("update", &table(&rows)).await;
}

#[tokio::test(start_paused = true)]
async fn patches_are_answered_as_recorded() {
    let many: Vec<Value> =
        (0..10_001).map(|_| json!({"op": "test", "path": "/spec/image", "value": "x"})).collect();
    let many = Value::Array(many).to_string();
    replay(
        "patch",
        &table(&[
            (
                "",
                "POST apps",
                r#"{"apiVersion":"tenure.dev/v1","kind":"App","metadata":{"name":"e1"},
                "spec":{"image":"x","replicas":1,"env":[{"name":"A","value":"1"}],"tags":["a"]}}"#,
            ),
            ("strategic on CR", "PATCH apps/e1 strategic", r#"{"spec":{"image":"y"}}"#),
            ("merge with rv stale", "PATCH apps/e1 merge", r#"{"metadata":{"resourceVersion":"1"}}"#),
            ("merge change name", "PATCH apps/e1 merge", r#"{"metadata":{"name":"zz"}}"#),
            ("merge change uid", "PATCH apps/e1 merge", r#"{"metadata":{"uid":"zz"}}"#),
            ("merge invalid", "PATCH apps/e1 merge", r#"{"spec":{"replicas":"x"}}"#),
            ("merge not json", "PATCH apps/e1 merge", "{nope"),
            ("merge nonexistent", "PATCH apps/nope merge", r#"{"spec":{"image":"y"}}"#),
            ("merge no-op", "PATCH apps/e1 merge", r#"{"spec":{"image":"x"}}"#),
            ("json test fail", "PATCH apps/e1 json", r#"[{"op":"test","path":"/spec/image","value":"no"}]"#),
            ("json remove missing", "PATCH apps/e1 json", r#"[{"op":"remove","path":"/spec/nope"}]"#),
            (
                "json replace missing",
                "PATCH apps/e1 json",
                r#"[{"op":"replace","path":"/spec/nope","value":1}]"#,
            ),
            ("json bad doc", "PATCH apps/e1 json", "{}"),
            ("json too many", "PATCH apps/e1 json", &many),
            ("force on merge", "PATCH apps/e1?force=true merge", "{}"),
            ("unknown field Warn merge", "PATCH apps/e1 merge", r#"{"spec":{"bogus":1}}"#),
        ]),
    )
    .await;
}

/// A configuration of `s1`.
fn config(metadata: &str, spec: &str) -> String {
    format!(r#"{{"apiVersion":"tenure.dev/v1","kind":"App","metadata":{{{metadata}}},"spec":{spec}}}"#)
}

#[tokio::test(start_paused = true)]
async fn applies_are_answered_as_recorded() {
    let s1 = |spec: &str| config(r#""name":"s1""#, spec);
    let s9 = |spec: &str| config(r#""name":"s9""#, spec);
    let status = |name: &str, status: &str| {
        format!(
            r#"{{"apiVersion":"tenure.dev/v1","kind":"App","metadata":{{"name":"{name}"}},"status":{status}}}"#
        )
    };
    let first = config(
        r#""name":"s1","labels":{"l":"1"}"#,
        r#"{"image":"x","env":[{"name":"A","value":"1"},{"name":"B"}],"tags":["t1","t2"],"command":["c"],"selector":{"k":"v"}}"#,
    );
    let rows: Vec<(&str, &str, String)> = vec![
        ("no fieldManager", "PATCH apps/s1 apply", first.clone()),
        ("create", "PATCH apps/s1?fieldManager=m1 apply", first.clone()),
        ("again no-op", "PATCH apps/s1?fieldManager=m1 apply", first.clone()),
        ("conflict 1", "PATCH apps/s1?fieldManager=m2 apply", s1(r#"{"image":"y"}"#)),
        ("conflict many", "PATCH apps/s1?fieldManager=m2 apply",
            s1(r#"{"image":"y","command":["d"],"env":[{"name":"A","value":"2"}],"selector":{"k":"w"}}"#)),
        ("force", "PATCH apps/s1?fieldManager=m2&force=true apply",
            s1(r#"{"image":"y","env":[{"name":"A","value":"2"},{"name":"C"}],"tags":["t3"]}"#)),
        ("shared same value (no conflict)", "PATCH apps/s1?fieldManager=m3 apply", s1(r#"{"image":"y"}"#)),
        ("m1 drops B,label,t2,command,selector", "PATCH apps/s1?fieldManager=m1 apply",
            s1(r#"{"image":"y","tags":["t1"]}"#)),
        ("m2 releases all (required image owned by others)", "PATCH apps/s1?fieldManager=m2 apply",
            r#"{"apiVersion":"tenure.dev/v1","kind":"App","metadata":{"name":"s1"}}"#.into()),
        ("update by PUT-ish merge patch as mgr u1", "PATCH apps/s1?fieldManager=u1 merge",
            r#"{"metadata":{"annotations":{"n":"1"}},"spec":{"replicas":9,"env":[{"name":"Z","value":"9"}]}}"#.into()),
        ("apply conflicts with Update manager", "PATCH apps/s1?fieldManager=m1 apply",
            s1(r#"{"image":"y","replicas":3,"env":[{"name":"Z","value":"8"}]}"#)),
        ("status apply", "PATCH apps/s1/status?fieldManager=ctl apply",
            status("s1", r#"{"phase":"P","conditions":[{"type":"Ready","status":"True"}]}"#)),
        ("status via main apply (ignored)", "PATCH apps/s1?fieldManager=m1 apply",
            s1(r#"{"image":"y"}"#).replace("\"spec\"", "\"status\":{\"phase\":\"Q\"},\"spec\"")),
        ("scale patch then managedFields", "PATCH apps/s1/scale?fieldManager=hpa merge",
            r#"{"spec":{"replicas":4}}"#.into()),
        ("get", "GET apps/s1", String::new()),
        ("managedFields set", "PATCH apps/s1?fieldManager=m1 apply",
            config(r#""name":"s1","managedFields":[{"manager":"x"}]"#, r#"{"image":"y"}"#)),
        ("empty managedFields list", "PATCH apps/s1?fieldManager=m1 apply",
            config(r#""name":"s1","managedFields":[]"#, r#"{"image":"y"}"#)),
        ("unknown field", "PATCH apps/s1?fieldManager=m1 apply", s1(r#"{"image":"y","nope":1}"#)),
        ("unknown field Strict", "PATCH apps/s1?fieldManager=m1&fieldValidation=Strict apply",
            s1(r#"{"image":"y","nope":1}"#)),
        ("dup list-map key", "PATCH apps/s1?fieldManager=m1 apply",
            s1(r#"{"image":"y","env":[{"name":"A"},{"name":"A"}]}"#)),
        ("missing list-map key", "PATCH apps/s1?fieldManager=m1 apply", s1(r#"{"image":"y","env":[{"value":"A"}]}"#)),
        ("wrong type", "PATCH apps/s1?fieldManager=m1 apply", s1(r#"{"image":5}"#)),
        ("name mismatch", "PATCH apps/s1?fieldManager=m1 apply", config(r#""name":"other""#, r#"{"image":"y"}"#)),
        ("no name in body", "PATCH apps/s1?fieldManager=m1 apply", config("", r#"{"image":"y"}"#)),
        ("no apiVersion", "PATCH apps/s1?fieldManager=m1 apply", r#"{"kind":"App","spec":{"image":"y"}}"#.into()),
        ("wrong apiVersion", "PATCH apps/s1?fieldManager=m1 apply", s1(r#"{"image":"y"}"#).replace("/v1", "/v2")),
        ("rv mismatch", "PATCH apps/s1?fieldManager=m1 apply",
            config(r#""name":"s1","resourceVersion":"1""#, r#"{"image":"y"}"#)),
        ("create w/ rv", "PATCH apps/s9?fieldManager=m1 apply",
            config(r#""name":"s9","resourceVersion":"1""#, r#"{"image":"y"}"#)),
        ("create w/ uid", "PATCH apps/s9?fieldManager=m1 apply",
            config(r#""name":"s9","uid":"11""#, r#"{"image":"y"}"#)),
        ("status of nonexistent", "PATCH apps/s9/status?fieldManager=m1 apply", status("s9", r#"{"phase":"y"}"#)),
        ("missing required on create", "PATCH apps/s9?fieldManager=m1 apply", s9("{}")),
        ("yaml body", "PATCH apps/s9?fieldManager=m1&dryRun=All apply",
            "apiVersion: tenure.dev/v1\nkind: App\nmetadata: {name: s9}\nspec: {image: y}\n".into()),
        ("reset managedFields via merge patch []", "PATCH apps/s1 merge", r#"{"metadata":{"managedFields":[]}}"#.into()),
    ];
    let rows: Vec<(&str, &str, &str)> =
        rows.iter().map(|(name, line, body)| (*name, *line, body.as_str())).collect();
    replay("apply", &table(&rows)).await;
}

#[tokio::test(start_paused = true)]
async fn kubectl_moves_to_server_side_apply_as_recorded() {
    let last = r#"{\"apiVersion\": \"tenure.dev/v1\", \"kind\": \"App\", \"metadata\": {\"annotations\": {}, \"name\": \"c1\", \"namespace\": \"default\"}, \"spec\": {\"image\": \"x\", \"replicas\": 2}}"#;
    let created = config(
        &format!(
            r#""name":"c1","annotations":{{"kubectl.kubernetes.io/last-applied-configuration":"{last}"}}"#
        ),
        r#"{"image":"x","replicas":2}"#,
    );
    let c1 = |replicas: u8| config(r#""name":"c1""#, &format!(r#"{{"image":"x","replicas":{replicas}}}"#));
    replay(
        "csa-migrate",
        &table(&[
            ("CSA create", "POST apps?fieldManager=kubectl-client-side-apply", &created),
            (
                "SSA by manager kubectl changing CSA fields",
                "PATCH apps/c1?fieldManager=kubectl&force=false apply",
                &c1(3),
            ),
            (
                "SSA by other manager changing CSA fields",
                "PATCH apps/c1?fieldManager=flux&force=false apply",
                &c1(4),
            ),
        ]),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn deletions_are_answered_as_recorded() {
    let app = |name: &str, more: &str| {
        config(&format!(r#""name":"{name}"{more}"#), r#"{"image":"x","replicas":1}"#)
    };
    let background = r#"{"propagationPolicy":"Background"}"#;
    let rows: Vec<(&str, &str, String)> = vec![
        ("", "POST apps", app("d1", "")),
        ("", "POST apps", app("d2", r#","finalizers":["tenure.dev/x"]"#)),
        ("", "POST apps", app("d3", "")),
        ("", "POST apps", app("d4", "")),
        ("", "POST apps", app("d5", "")),
        ("bad precondition uid", "DELETE apps/d1", r#"{"preconditions":{"uid":"nope"}}"#.into()),
        ("bad precondition rv", "DELETE apps/d1", r#"{"preconditions":{"resourceVersion":"1"}}"#.into()),
        ("bad policy", "DELETE apps/d1", r#"{"propagationPolicy":"Nope"}"#.into()),
        (
            "both orphan+policy",
            "DELETE apps/d1",
            r#"{"propagationPolicy":"Orphan","orphanDependents":true}"#.into(),
        ),
        ("dryRun", "DELETE apps/d1?dryRun=All", background.into()),
        ("plain", "DELETE apps/d1", background.into()),
        ("again", "DELETE apps/d1", background.into()),
        ("finalizer", "DELETE apps/d2", background.into()),
        ("finalizer again", "DELETE apps/d2", background.into()),
        (
            "add finalizer while deleting",
            "PATCH apps/d2 merge",
            r#"{"metadata":{"finalizers":["tenure.dev/x","tenure.dev/y"]}}"#.into(),
        ),
        ("spec change while deleting", "PATCH apps/d2 merge", r#"{"spec":{"replicas":3}}"#.into()),
        (
            "unset deletionTimestamp",
            "PATCH apps/d2 merge",
            r#"{"metadata":{"deletionTimestamp":null}}"#.into(),
        ),
        ("remove last finalizer", "PATCH apps/d2 merge", r#"{"metadata":{"finalizers":null}}"#.into()),
        ("gone", "GET apps/d2", String::new()),
        ("foreground", "DELETE apps/d3", r#"{"propagationPolicy":"Foreground"}"#.into()),
        ("orphan", "DELETE apps/d4", r#"{"propagationPolicy":"Orphan"}"#.into()),
        ("policy in query", "DELETE apps/d5?propagationPolicy=Background", String::new()),
    ];
    let rows: Vec<(&str, &str, &str)> =
        rows.iter().map(|(name, line, body)| (*name, *line, body.as_str())).collect();
    replay("delete", &table(&rows)).await;
}

#[tokio::test(start_paused = true)]
async fn bad_lists_are_answered_as_recorded() {
    replay(
        "list",
        &table(&[
            ("", "POST apps", E1),
            ("continue + rv", "GET apps?limit=2&resourceVersion=5&continue=eyJ2Ijoi", ""),
            ("rv garbage", "GET apps?resourceVersion=abc", ""),
            ("exact rv=1", "GET apps?resourceVersion=1&resourceVersionMatch=Exact", ""),
            ("match without rv", "GET apps?resourceVersionMatch=Exact", ""),
            ("match Exact rv=0", "GET apps?resourceVersion=0&resourceVersionMatch=Exact", ""),
            ("bad match", "GET apps?resourceVersion=1&resourceVersionMatch=Foo", ""),
            ("field sel unsupported", "GET apps?fieldSelector=spec.image=x", ""),
            ("label sel bad", "GET apps?labelSelector=a+b+c", ""),
            ("sendInitialEvents on list", "GET apps?sendInitialEvents=true", ""),
            ("bad limit", "GET apps?limit=x", ""),
        ]),
    )
    .await;
}
