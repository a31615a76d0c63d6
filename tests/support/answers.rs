//! The recorded answers of a real apiserver, by section and name of the request.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a failing test ends by a panic; each test uses what it needs"
)]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// An answer: status and body.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: Value,
}

/// A request as it was recorded, without its body, and what came back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorded {
    pub(crate) method: String,
    /// Path and query, not escaped.
    pub(crate) target: String,
    pub(crate) content_type: String,
    /// `None` where no such header was sent.
    pub(crate) accept: String,
    pub(crate) code: u16,
    /// The body; of a watch, a line for each event.
    pub(crate) text: String,
}

impl Recorded {
    /// A JSON body.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_str(self.text.trim()).ok()
    }
}

/// All that was recorded, by section and name.
pub(crate) fn recordings() -> BTreeMap<(String, String), Recorded> {
    let text = include_str!("../traces/kube/apiserver-1.36-answers.txt");
    let (mut section, mut present) = (String::new(), None);
    let mut recordings = BTreeMap::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("######## ") {
            recordings.extend(present.take());
            section = title.trim().to_owned();
        } else if let Some(title) = line.strip_prefix("-- ") {
            recordings.extend(present.take());
            present = Some(titled(&section, title));
        } else if let Some((_, recorded)) = &mut present {
            continued(recorded, line);
        }
    }
    recordings.extend(present);
    recordings
}

/// A title names the request; that of a watch tells its query, and of two of them the beginning of the answer.
fn titled(section: &str, title: &str) -> ((String, String), Recorded) {
    let (name, query) = title.split_once("  ?").map_or((title, None), |(name, query)| (name, Some(query)));
    let name = name.split(": 200 ").next().unwrap_or(name).trim();
    let apps = "/apis/tenure.dev/v1/namespaces/default/apps";
    let watch = query.map(|query| Recorded {
        method: "GET".to_owned(),
        target: format!("{apps}?{query}"),
        ..Recorded::default()
    });
    ((section.to_owned(), name.to_owned()), watch.unwrap_or_default())
}

fn continued(recorded: &mut Recorded, line: &str) {
    if let Some(answer) = line.strip_prefix("   => ").filter(|_| recorded.code == 0) {
        let (code, rest) = answer.split_at(3);
        recorded.code = code.parse().unwrap();
        // Headers stand before it where they tell something.
        let rest = rest.trim_start();
        let body =
            rest.strip_prefix("{'").and_then(|rest| rest.split_once("'}")).map_or(rest, |(_, body)| body);
        recorded.text = body.trim_start().to_owned();
    } else if recorded.code == 0 && recorded.method.is_empty() {
        let (method, rest) = line.trim_start().split_once(' ').unwrap_or_default();
        let mut parts = rest.rsplitn(3, ' ');
        let (accept, type_) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        recorded.method = method.to_owned();
        recorded.target = parts.next().unwrap_or_default().to_owned();
        recorded.accept = accept.trim_start_matches("A=").to_owned();
        recorded.content_type = type_.trim_start_matches("CT=").to_owned();
    } else if recorded.code > 0 {
        recorded.text += "\n";
        recorded.text += line;
    }
}

/// All answers with a JSON body.
pub(crate) fn recorded() -> BTreeMap<(String, String), Answer> {
    let answers = recordings().into_iter();
    answers.filter_map(|(name, it)| Some((name, Answer { code: it.code, body: it.json()? }))).collect()
}

/// What differs from run to run, by a fixed word each, and what only we tell.
static CHANCE: LazyLock<[(Regex, &str); 10]> = LazyLock::new(|| {
    [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
        (r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
        (r#"(resourceVersion\\*":\s*\\*")\d+"#, "${1}VERSION"),
        (r"in record \(\d+\)", "in record (VERSION)"),
        (r"g-[b-z2-9]{5}\b", "g-NAME"),
        (r#""continue": ?"[^"]+""#, r#""continue":"TOKEN""#),
        (r"(Too large resource version: \d+, current: )\d+", "${1}VERSION"),
        // Nothing but OpenAPI is written as protobuf here.
        (r", application/vnd\.kubernetes\.protobuf(;stream=watch)?", ""),
        // What we tell beside the words of Kubernetes.
        (r" \(allowed in [^)]*\)", ""),
        (r" \(the key is [^)]*\)", ""),
    ]
    .map(|(pattern, word)| (Regex::new(pattern).unwrap(), word))
});

/// What a real apiserver says of a number of replicas once more, after its schema has: we do not.
static SAID_AGAIN: LazyLock<Regex> = LazyLock::new(|| {
    let said =
        r"-\d+: should be a non-negative integer|0: \.spec\.replicas accessor error: .*?, expected int64";
    Regex::new(&format!(r"(spec\.replicas in body .*), \.spec\.replicas: Invalid value: ({said})")).unwrap()
});

/// `body` without what differs from run to run, and without what is said twice. Causes are a set.
pub(crate) fn settled(body: &Value) -> Value {
    let mut text = body.to_string();
    for (pattern, word) in CHANCE.iter() {
        text = pattern.replace_all(&text, *word).into_owned();
    }
    let mut body: Value = serde_json::from_str(&text).unwrap();
    if let Some(Value::Array(causes)) = body.pointer_mut("/details/causes") {
        causes.sort_by_key(Value::to_string);
        causes.dedup();
    }
    say_once(&mut body);
    body
}

fn say_once(body: &mut Value) {
    let Some(message) = body["message"].as_str().filter(|it| SAID_AGAIN.is_match(it)) else { return };
    let mut message = SAID_AGAIN.replace(message, "$1").into_owned();
    let causes = body.pointer_mut("/details/causes").and_then(Value::as_array_mut).unwrap();
    causes.retain(|it| it["field"] != ".spec.replicas");
    if causes.len() == 1 {
        message = message.replacen(": [", ": ", 1).trim_end_matches(']').to_owned();
    }
    body["message"] = message.into();
}
