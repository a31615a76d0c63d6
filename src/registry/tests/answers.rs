//! The recorded answers of a real apiserver, by section and name of the request.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// An answer: status and body.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub code: u16,
    pub body: Value,
}

/// All answers with a JSON body.
pub(super) fn recorded() -> BTreeMap<(String, String), Answer> {
    let text = include_str!("../../../tests/traces/kube/apiserver-1.36-answers.txt");
    let (mut section, mut name) = (String::new(), String::new());
    let mut answers = BTreeMap::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("######## ") {
            section = title.trim().to_owned();
        } else if let Some(title) = line.strip_prefix("-- ") {
            name = title.trim().to_owned();
        } else if let Some(answer) = line.strip_prefix("   => ") {
            let code = answer[..3].parse().unwrap();
            let json = answer.find("{\"").and_then(|at| serde_json::from_str(&answer[at..]).ok());
            if let Some(body) = json {
                answers.insert((section.clone(), name.clone()), Answer { code, body });
            }
        }
    }
    answers
}

/// What differs from run to run, by a fixed word each, and what only we tell.
static CHANCE: LazyLock<[(Regex, &str); 8]> = LazyLock::new(|| {
    [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
        (r"2026-11-20T\d\d:\d\d:\d\dZ", "TIME"),
        (r#"(resourceVersion\\*":\s*\\*")\d+"#, "${1}VERSION"),
        (r"in record \(\d+\)", "in record (VERSION)"),
        (r"g-[b-z2-9]{5}\b", "g-NAME"),
        (r#""continue": ?"[^"]+""#, r#""continue":"TOKEN""#),
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
pub(super) fn settled(body: &Value) -> Value {
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
