//! Replays the recorded requests and compares every answer with a real apiserver's.

mod applies;
mod others;
mod writes;

use serde_json::{Value, json};

use super::answers::{Answer, recorded, settled};
use super::bench::Bench;
use crate::registry::{
    At, Body, DeleteOptions, Deleted, Encoding, Failure, Key, KindDef, ListQuery, Patch, Query, Subresource,
    Verb, WriteOptions,
};

/// Namespace of the recordings.
const NAMESPACE: &str = "default";

/// Whose faults stand there in the chance order of a map of Go.
const BY_CHANCE: [&str; 1] = ["null value"];

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
        let (mut ours, mut theirs) = (settled(&answer.body), settled(&expected.body));
        if BY_CHANCE.contains(name) {
            [&mut ours, &mut theirs].into_iter().for_each(told_in_order);
        }
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

/// Gives the faults in a message the order of the causes, which are sorted.
fn told_in_order(body: &mut Value) {
    let told = |cause: &Value| {
        let text = |part: &str| cause[part].as_str();
        Some(format!("{}: {}", text("field")?, text("message")?))
    };
    let causes: Option<Vec<String>> =
        body["details"]["causes"].as_array().unwrap().iter().map(told).collect();
    let (causes, message) = (causes.unwrap(), body["message"].as_str().unwrap());
    let (head, faults) = message.split_once('[').unwrap();
    assert_eq!(faults.len(), causes.join(", ").len() + 1, "{message}");
    assert!(causes.iter().all(|cause| faults.contains(cause)), "{message}");
    body["message"] = format!("{head}[{}]", causes.join(", ")).into();
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

/// A configuration of `s1`.
fn config(metadata: &str, spec: &str) -> String {
    format!(r#"{{"apiVersion":"tenure.dev/v1","kind":"App","metadata":{{{metadata}}},"spec":{spec}}}"#)
}
