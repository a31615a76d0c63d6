//! Recorded conversations with a real Mesos, against our wire types: every call and event is read, and written again
//! means the same, in both encodings.
//!
//! What may differ: numbers are compared as numbers (Mesos writes `600.0` where a client wrote `600`), and what is null
//! or an empty list may be absent. Calls that were malformed on purpose are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tenure::mesos::wire::{executor, json, scheduler};

struct Record {
    file: String,
    line: usize,
    /// The message as JSON.
    value: Value,
    /// The message as protobuf, where it was sent so.
    bytes: Option<Vec<u8>>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    SchedulerCall,
    SchedulerEvent,
    ExecutorCall,
    ExecutorEvent,
}

fn records() -> Vec<Record> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces/mesos");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().flat_map(|file| records_of(file)).collect()
}

fn records_of(file: &Path) -> Vec<Record> {
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().enumerate().skip(1);
    lines.filter_map(|(index, line)| record(&name, index + 1, serde_json::from_str(line).unwrap())).collect()
}

fn record(file: &str, line: usize, mut record: Value) -> Option<Record> {
    let connection = record["conn"].as_str()?.to_owned();
    let sent = record["dir"] == ">";
    let kind = match (connection.split('-').next()?, sent) {
        ("sched", true) => Kind::SchedulerCall,
        ("sched", false) => Kind::SchedulerEvent,
        ("exec", true) => Kind::ExecutorCall,
        ("exec", false) => Kind::ExecutorEvent,
        _ => return None,
    };
    let (plain, coded) = if sent { ("body", "body_b64") } else { ("event", "event_b64") };
    let bytes = record[coded].as_str().map(|text| STANDARD.decode(text).unwrap());
    let value = if bytes.is_some() { record["decoded"].take() } else { record[plain].take() };
    let is_message = value.get("type").is_some_and(Value::is_string);
    is_message.then(|| Record { file: file.to_owned(), line, value, bytes, kind })
}

/// Reads the record in its own encoding, and checks that both encodings of what was read mean the same.
fn round_trip<T>(record: &Record) -> Value
where
    T: Message + Default + PartialEq + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let place = format!("{}:{}", record.file, record.line);
    let message: T = match &record.bytes {
        Some(bytes) => T::decode(bytes.as_slice()).unwrap_or_else(|e| panic!("{place}: {e}")),
        None => json::from_value(record.value.clone()).unwrap_or_else(|e| panic!("{place}: {e}")),
    };
    let again = T::decode(message.encode_to_vec().as_slice()).unwrap();
    assert_eq!(again, message, "{place}: protobuf");
    let written = json::to_value(&message).unwrap();
    let again: T = json::from_value(written.clone()).unwrap();
    assert_eq!(again, message, "{place}: JSON");
    written
}

/// Whether two numbers are the same but for the last bit, which a reader of JSON text may lose.
fn same(a: &serde_json::Number, b: &serde_json::Number) -> bool {
    let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) else { return a == b };
    a == b || (a - b).abs() <= f64::EPSILON * a.abs()
}

/// Paths at which two trees differ, without list indexes.
fn differences(path: &str, theirs: &Value, ours: &Value, found: &mut BTreeSet<String>) {
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            for name in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                let at =
                    |fields: &serde_json::Map<String, Value>| fields.get(name).cloned().unwrap_or_default();
                differences(&format!("{path}.{name}"), &at(a), &at(b), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).for_each(|(a, b)| differences(path, a, b, found));
        }
        (Value::Array(list), Value::Null) | (Value::Null, Value::Array(list)) if list.is_empty() => {}
        (Value::Number(a), Value::Number(b)) if same(a, b) => {}
        (a, b) if a == b => {}
        (a, b) => {
            found.insert(format!("{path}: {a} became {b}"));
        }
    }
}

/// Malformed on purpose: unknown names of enums, fields of a wrong shape.
fn is_malformed(record: &Record) -> bool {
    record.kind == Kind::SchedulerCall
        && (record.file.starts_with("09-") || record.file.starts_with("03-"))
        && json::from_value::<scheduler::Call>(record.value.clone()).is_err()
}

#[test]
fn every_recorded_message_is_read_and_means_the_same_when_written_again() {
    let mut found = BTreeSet::new();
    let mut seen: BTreeMap<(Kind, bool), usize> = BTreeMap::new();
    for record in records().iter().filter(|record| !is_malformed(record)) {
        let written = match record.kind {
            Kind::SchedulerCall => round_trip::<scheduler::Call>(record),
            Kind::SchedulerEvent => round_trip::<scheduler::Event>(record),
            Kind::ExecutorCall => round_trip::<executor::Call>(record),
            Kind::ExecutorEvent => round_trip::<executor::Event>(record),
        };
        let path = format!("{} {:?}", record.file, record.kind);
        differences(&path, &record.value, &written, &mut found);
        *seen.entry((record.kind, record.bytes.is_some())).or_default() += 1;
    }
    // A name that nobody knows yet vanishes, as it does in Mesos.
    let of_tomorrow = "37b-json-optional-enums.jsonl SchedulerCall.subscribe.framework_info.capabilities.type: \
                       \"NOPE\" became null";
    assert!(found.remove(of_tomorrow), "{found:#?}");
    assert!(found.is_empty(), "{found:#?}");
    for kind in [Kind::SchedulerCall, Kind::SchedulerEvent, Kind::ExecutorCall, Kind::ExecutorEvent] {
        for protobuf in [false, true] {
            let count = seen.get(&(kind, protobuf)).copied().unwrap_or(0);
            assert!(count >= 10, "{kind:?}, protobuf {protobuf}: only {count} records");
        }
    }
}
