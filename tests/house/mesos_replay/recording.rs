//! A recorded conversation as a list of steps.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tenure::mesos::wire::{TaskStatus, json};

use super::order;

/// One conversation.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    pub(crate) started_unix: f64,
    pub(crate) steps: Vec<Step>,
}

/// One record.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Since the start of the recording.
    pub(crate) at: Duration,
    pub(crate) line: usize,
    pub(crate) what: What,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    StartMaster {
        ip: String,
        flags: Flags,
    },
    KillMaster,
    StartAgent {
        agent: u64,
        flags: Flags,
    },
    KillAgent {
        agent: u64,
        signal: String,
    },
    CloseStream {
        conn: String,
    },
    /// A call of a scheduler; the answer stands in [`What::Answer`] under the same id.
    Call {
        conn: String,
        id: u64,
        call: Value,
    },
    Answer {
        conn: String,
        id: u64,
        answer: String,
    },
    Event {
        conn: String,
        event: Value,
    },
    End {
        conn: String,
    },
    /// An operator begins to watch.
    Watch {
        conn: String,
    },
    /// What one who watches is told.
    Happening {
        conn: String,
        told: Value,
    },
    Operator {
        id: u64,
        call: Value,
    },
    /// The answer to an operator's call.
    Answered {
        id: u64,
        answer: String,
    },
}

/// Command-line flags by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags(BTreeMap<String, String>);

impl Flags {
    fn of(record: &Value) -> Flags {
        let flags = record["flags"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let pairs = flags.filter_map(|flag| flag.trim_start_matches("--").split_once('='));
        Flags(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A duration as Mesos spells it.
    pub(crate) fn duration(&self, name: &str) -> Option<Duration> {
        let text = self.get(name)?;
        let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap();
        let seconds = match &text[unit..] {
            "ms" => 0.001,
            "secs" => 1.0,
            "mins" => 60.0,
            "hrs" => 3600.0,
            "weeks" => 7.0 * 24.0 * 3600.0,
            other => panic!("{other} is no unit that is known here"),
        };
        Some(Duration::from_secs_f64(text[..unit].parse::<f64>().unwrap() * seconds))
    }
}

impl Recording {
    pub(crate) fn read(name: &str) -> Recording {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces/mesos");
        let text = std::fs::read_to_string(folder.join(format!("{name}.jsonl"))).unwrap();
        let mut lines = text.lines().enumerate();
        let header: Value = serde_json::from_str(lines.next().unwrap().1).unwrap();
        let steps = lines.filter_map(|(index, line)| {
            let record: Value = serde_json::from_str(line).unwrap();
            let at = Duration::from_secs_f64(record["t"].as_f64().unwrap());
            what(record).map(|what| Step { at, line: index + 1, what })
        });
        let mut steps = order::in_order_of_mesos(steps.collect());
        // Who only watches is cut off by the end of the recording, unless the master ended before.
        if !steps.iter().any(|step| matches!(step.what, What::KillMaster)) {
            let is_end =
                |what: &What| matches!(what, What::End { conn } if conn.starts_with("operator-stream"));
            steps.retain(|step| !is_end(&step.what));
        }
        Recording { started_unix: header["started_unix"].as_f64().unwrap(), steps }
    }

    /// The part before a line.
    pub(crate) fn until(mut self, line: usize) -> Recording {
        self.steps.retain(|step| step.line < line);
        self
    }

    /// The same without what executors said of tasks that had ended, acknowledged, or that were never launched: Mesos passes it on.
    pub(crate) fn without_afterlife(mut self) -> Recording {
        let (mut launched, mut ends, mut over) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let (mut late, mut calls) = (BTreeSet::new(), BTreeSet::new());
        self.steps.retain_mut(|step| match &mut step.what {
            What::Call { id, call, .. } => {
                launched.extend(tasks_of(call).map(|task| task["task_id"]["value"].to_string()));
                let acknowledge = &call["acknowledge"];
                let uuid = acknowledge["uuid"].to_string();
                if ends.contains(&uuid) {
                    over.insert(acknowledge["task_id"]["value"].to_string());
                }
                let is_late = late.contains(&uuid);
                if is_late {
                    calls.insert(*id);
                }
                !is_late
            }
            What::Answer { id, .. } => !calls.contains(id),
            What::Event { event, .. } => {
                let status = &event["update"]["status"];
                let (task, uuid) = (status["task_id"]["value"].to_string(), status["uuid"].to_string());
                let is_new = status["uuid"].is_string() && !ends.contains(&uuid);
                let is_late = is_new && (over.contains(&task) || !launched.contains(&task));
                if is_late {
                    late.insert(uuid);
                } else if is_new
                    && json::from_value::<TaskStatus>(status.clone()).unwrap().state().is_terminal()
                {
                    ends.insert(uuid);
                }
                !is_late
            }
            _ => true,
        });
        self
    }

    /// The same with agents that die right after a ping, so that they are given up later: at which moment between two pings they die is
    /// chance, and by default they die before one.
    pub(crate) fn with_agents_given_up_late(mut self) -> Recording {
        for step in &mut self.steps {
            if let What::StartMaster { flags, .. } = &mut step.what {
                let ping = flags.duration("agent_ping_timeout").unwrap().as_millis();
                let pings: u128 = flags.get("max_agent_ping_timeouts").unwrap().parse().unwrap();
                let late = ping + ping / 2 / pings;
                flags.0.insert("agent_ping_timeout".to_owned(), format!("{late}ms"));
            }
        }
        self
    }

    /// The same with the first two agents started in the place of each other: in which order a master takes
    /// agents is chance in Mesos, and theirs here.
    pub(crate) fn with_agents_the_other_way_round(mut self) -> Recording {
        let mut started = self.steps.iter_mut().filter(|step| matches!(step.what, What::StartAgent { .. }));
        let (first, second) = (started.next().unwrap(), started.next().unwrap());
        std::mem::swap(&mut first.what, &mut second.what);
        self
    }

    /// When something happens at or after `from`.
    pub(crate) fn next_at(&self, from: usize, is: impl Fn(&What) -> bool) -> Option<Duration> {
        self.steps[from..].iter().find(|step| is(&step.what)).map(|step| step.at)
    }
}

/// The tasks that a call launches.
pub(crate) fn tasks_of(call: &mut Value) -> impl Iterator<Item = &mut Value> {
    let operations =
        call.pointer_mut("/accept/operations").and_then(Value::as_array_mut).into_iter().flatten();
    operations.flat_map(|it| {
        it.pointer_mut("/launch/task_infos").and_then(Value::as_array_mut).into_iter().flatten()
    })
}

fn what(mut record: Value) -> Option<What> {
    let conn = record["conn"].as_str()?.to_owned();
    if conn == "cluster" {
        return cluster(&record);
    }
    let id = record["id"].as_u64().unwrap_or_default();
    let sent = record["dir"] == ">";
    let part = |record: &mut Value, plain: &str| {
        if record["decoded"].is_object() { record["decoded"].take() } else { record[plain].take() }
    };
    if conn == "operator" {
        if sent {
            let call = part(&mut record, "body");
            return call["type"].is_string().then_some(What::Operator { id, call });
        }
        return answer(&record).map(|answer| What::Answered { id, answer });
    }
    if conn.starts_with("operator-stream") {
        if sent {
            return Some(What::Watch { conn });
        }
        if record["eof"] == true {
            return Some(What::End { conn });
        }
        let told = part(&mut record, "event");
        return told["type"].is_string().then_some(What::Happening { conn, told });
    }
    if !conn.starts_with("sched-") {
        return None;
    }
    let conn = conn.trim_end_matches(".calls").to_owned();
    if record["action"] == "close-stream" {
        return Some(What::CloseStream { conn });
    }
    if sent {
        let call = part(&mut record, "body");
        return call["type"].is_string().then_some(What::Call { conn, id, call });
    }
    if record["eof"] == true {
        return Some(What::End { conn });
    }
    if let Some(answer) = answer(&record) {
        return Some(What::Answer { conn, id, answer });
    }
    let event = part(&mut record, "event");
    event["type"].is_string().then_some(What::Event { conn, event })
}

/// Status and text of an HTTP answer; what shows that no leading master is there is all the same.
fn answer(record: &Value) -> Option<String> {
    if record["error"].is_string() || record["status"] == 503 {
        return Some("unreachable".to_owned());
    }
    let status = record["status"].as_u64()?;
    let text = record["body_text"].as_str().unwrap_or_default();
    Some(format!("{status} {text}").trim_end().to_owned())
}

fn cluster(record: &Value) -> Option<What> {
    let agent = record["agent"].as_u64().unwrap_or_default();
    match record["action"].as_str()? {
        "start-master" => {
            let address = record["address"].as_str().unwrap();
            let ip = address.split(':').next().unwrap().to_owned();
            Some(What::StartMaster { ip, flags: Flags::of(record) })
        }
        "kill-master" => Some(What::KillMaster),
        "start-agent" => Some(What::StartAgent { agent, flags: Flags::of(record) }),
        "kill-agent" => {
            let signal = record["signal"].as_str().unwrap().to_owned();
            Some(What::KillAgent { agent, signal })
        }
        _ => None,
    }
}
