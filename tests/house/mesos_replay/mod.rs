//! Recorded conversations with a real Mesos, played against the embedded master: the same calls at the same times bring
//! the same events and errors. What may differ: ids, times, and order where Mesos promises none (see [`lanes`]).
//!
//! [`table::ROWS`] has a row for each recorded conversation; what is not played or not compared has its reason there.

mod agent_api;
mod cluster;
mod executor;
mod files;
mod lanes;
mod names;
mod operator;
mod order;
mod recording;
mod replay;
mod table;
mod transport;
mod wire;

use recording::{Recording, What};
use replay::replay;
use serde_json::Value;
use table::{How, ROWS};

/// Plays a recording and returns how what is told differs from it.
fn differences(recording: Recording, except: &[(&str, &str)]) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let mut told = runtime.unwrap().block_on(replay(recording));
    let excepted = |lane: &str| except.iter().any(|(part, _)| lane.contains(part));
    let mut found: Vec<String> = told.missing.into_iter().collect();
    found.extend(told.ours.differences(&mut told.theirs, excepted));
    found
}

#[test]
fn what_mesos_told_the_embedded_master_tells_too() {
    let only = std::env::var("ROW").unwrap_or_default();
    let mut failed = Vec::new();
    for row in ROWS.iter().filter(|row| row.name.contains(&only)) {
        let except = match row.how {
            How::Played { except } | How::PlayedUntil { except, .. } | How::PlayedAs { except, .. } => except,
            How::PlayedOverHttp { .. }
            | How::PlayedByExecutors { .. }
            | How::PlayedByOperators { .. }
            | How::PlayedOfFiles { .. }
            | How::Not(_) => continue,
        };
        let recording = Recording::read(row.name);
        let recording = match row.how {
            How::PlayedUntil { line, .. } => recording.until(line),
            How::PlayedAs { change, .. } => change(recording),
            _ => recording,
        };
        let found = differences(recording, except);
        if !found.is_empty() {
            failed.push(format!("===== {}\n{}", row.name, found.join("\n")));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn what_mesos_answered_over_http_the_embedded_master_answers_too() {
    let only = std::env::var("ROW").unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut failed = Vec::new();
    for row in ROWS.iter().filter(|row| row.name.contains(&only)) {
        let records = || transport::records(row.name);
        let (mut found, except) = match row.how {
            How::PlayedOverHttp { except } => (runtime.block_on(transport::differences(records())), except),
            How::PlayedByExecutors { except } => {
                (runtime.block_on(agent_api::differences(records())), except)
            }
            How::PlayedByOperators { except } => (runtime.block_on(operator::differences(records())), except),
            How::PlayedOfFiles { except } => (runtime.block_on(files::differences(records())), except),
            _ => continue,
        };
        for (subject, _) in except {
            let count = found.len();
            found.retain(|it| it.subject != *subject);
            if found.len() == count {
                failed.push(format!("===== {}\n{subject} is excepted and does not differ", row.name));
            }
        }
        failed.extend(found.iter().map(|it| format!("===== {} {}\n{}", row.name, it.subject, it.text)));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn an_answer_over_http_that_says_something_else_is_noticed() {
    let mut records = transport::records("36-authentication");
    let mut forge = |id: u64, pointer: &str, value: Value| {
        let mut answers = records.iter_mut().filter(|it| it["dir"] == "<" && it["id"] == id);
        *answers.next().unwrap().pointer_mut(pointer).unwrap() = value;
    };
    forge(1, "/status", 403.into());
    forge(2, "/headers/WWW-Authenticate", "Basic realm=\"mesos-master\"".into());
    forge(6, "/body_text", "Failed to validate scheduler::Call: principal".into());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let found = runtime.block_on(transport::differences(records));
    assert_eq!(found.iter().map(|it| it.subject.as_str()).collect::<Vec<_>>(), ["1", "2", "6"]);
}

#[test]
fn every_recording_here_has_a_row_and_every_row_that_is_played_a_recording() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces/mesos");
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        assert!(ROWS.iter().any(|row| row.name == name), "{name} has no row");
    }
    for row in ROWS {
        let (reason, except) = match row.how {
            How::Played { except }
            | How::PlayedAs { except, .. }
            | How::PlayedOverHttp { except }
            | How::PlayedByExecutors { except }
            | How::PlayedByOperators { except }
            | How::PlayedOfFiles { except } => (None, except),
            How::PlayedUntil { why, except, .. } => (Some(why), except),
            How::Not(why) => {
                assert!(!why.is_empty(), "{} is not played, but why?", row.name);
                continue;
            }
        };
        assert!(folder.join(format!("{}.jsonl", row.name)).exists(), "{} is not here", row.name);
        let mut reasons = reason.into_iter().chain(except.iter().map(|(_, why)| *why));
        assert!(reasons.all(|why| !why.is_empty()), "{}: an exception without reason", row.name);
    }
}

/// Changes the first event for which `is` holds.
fn forge(mut recording: Recording, is: impl Fn(&Value) -> bool, change: impl Fn(&mut Value)) -> Recording {
    let mut events = recording.steps.iter_mut().filter_map(|step| match &mut step.what {
        What::Event { event, .. } if is(event) => Some(event),
        _ => None,
    });
    change(events.next().expect("no such event"));
    recording
}

#[test]
fn a_recording_that_says_something_else_is_noticed() {
    let recording = || Recording::read("16-agent-unreachable-and-return");
    assert_eq!(differences(recording(), &[]), Vec::<String>::new(), "unchanged");
    let is_unreachable = |event: &Value| event["update"]["status"]["state"] == "TASK_UNREACHABLE";
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 5] = [
        ("state", |event| event["update"]["status"]["state"] = "TASK_GONE".into()),
        ("reason", |event| event["update"]["status"]["reason"] = "REASON_RECONCILIATION".into()),
        ("source", |event| event["update"]["status"]["source"] = "SOURCE_AGENT".into()),
        ("message", |event| event["update"]["status"]["message"] = "it is away".into()),
        ("time", |event| event["update"]["status"]["unreachable_time"] = Value::Null),
    ];
    for (what, change) in changes {
        let forged = forge(recording(), is_unreachable, change);
        assert_eq!(differences(forged, &[]).len(), 1, "{what} was changed");
    }
    let is_offer = |event: &Value| event["type"] == "OFFERS";
    let forged = forge(recording(), is_offer, |event| {
        event["offers"]["offers"][0]["resources"][0]["scalar"]["value"] = 3.5.into();
    });
    assert_eq!(differences(forged, &[]).len(), 1, "an amount was changed");
}

#[test]
fn an_event_too_many_or_too_few_or_on_the_other_side_of_a_call_is_noticed() {
    let recording = || Recording::read("13-acknowledgements");
    assert_eq!(differences(recording(), &[]), Vec::<String>::new(), "unchanged");
    let reconciled = |what: &What| {
        matches!(what, What::Event { event, .. }
        if event["update"]["status"]["reason"] == "REASON_RECONCILIATION")
    };
    let first = recording().steps.iter().position(|step| reconciled(&step.what)).unwrap();

    let mut fewer = recording();
    fewer.steps.remove(first);
    assert!(!differences(fewer, &[]).is_empty(), "an event too many");

    let mut more = recording();
    let copy = more.steps[first].clone();
    more.steps.insert(first, copy);
    assert!(!differences(more, &[]).is_empty(), "an event too few");

    let mut earlier = recording();
    let call =
        earlier.steps[..first].iter().rposition(|step| matches!(step.what, What::Call { .. })).unwrap();
    let mut event = earlier.steps.remove(first);
    event.at = earlier.steps[call].at;
    earlier.steps.insert(call, event);
    assert!(!differences(earlier, &[]).is_empty(), "an answer before its call");
}
