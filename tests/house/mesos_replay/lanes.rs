//! What is told on each connection, sorted into lanes: within a lane Mesos promises an order, between lanes it does not.
//!
//! A lane is a task (its updates), an agent (offers, rescinds, failures), the stream (its begin and end, errors), the
//! heartbeats, or the answers to calls. Calls and faults that concern a lane stand in it, too, so that what comes before
//! one of them on one side and after it on the other is a difference.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tenure::mesos::wire::json;
use tenure::mesos::wire::scheduler::Event;

use super::names::Names;

/// What Mesos sends two or three times within milliseconds counts once.
const AT_ONCE: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(crate) struct Lanes {
    lanes: BTreeMap<String, Vec<(Duration, String)>>,
}

impl Lanes {
    pub(crate) fn add(&mut self, lane: &str, at: Duration, entry: String) {
        let entries = self.lanes.entry(lane.to_owned()).or_default();
        let mut recent = entries.iter().rev().take_while(|(then, _)| at.saturating_sub(*then) < AT_ONCE);
        let again = entry.contains("\"uuid\"") && recent.any(|(_, told)| *told == entry);
        if !again {
            entries.push((at, entry));
        }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.lanes.keys().cloned().collect()
    }

    fn entries(&self, lane: &str) -> Vec<&str> {
        self.lanes.get(lane).into_iter().flatten().map(|(_, entry)| entry.as_str()).collect()
    }

    fn times(&self, lane: &str) -> Vec<f64> {
        self.lanes.get(lane).into_iter().flatten().map(|(at, _)| at.as_secs_f64()).collect()
    }

    /// Several offers of an agent are rescinded in no particular order.
    fn sort_rescinds(&mut self) {
        for entries in self.lanes.values_mut() {
            for run in
                entries.chunk_by_mut(|(_, a), (_, b)| a.starts_with("RESCIND") && b.starts_with("RESCIND"))
            {
                run.sort_by(|(_, a), (_, b)| a.cmp(b));
            }
        }
    }

    /// Sorts in an event, with the names of its side.
    pub(crate) fn event(&mut self, names: &mut Names, conn: &str, at: Duration, event: &Value) {
        names.note(conn, event);
        let event = names.tree(&canonical(event));
        let kind = event["type"].as_str().unwrap_or_default();
        let agent = |offer: &Value| {
            offer["value"].as_str().unwrap_or_default().split('/').nth(2).unwrap_or("nobody").to_owned()
        };
        match kind {
            "OFFERS" => {
                for offer in event["offers"]["offers"].as_array().into_iter().flatten() {
                    let lane = format!("{conn} agent {}", agent(&offer["id"]));
                    let resources: Vec<String> =
                        offer["resources"].as_array().into_iter().flatten().map(brief).collect();
                    let mut rest = offer.clone();
                    rest["resources"] = Value::Null;
                    self.add(&lane, at, format!("OFFER {} {rest}", resources.join(";")));
                }
            }
            "INVERSE_OFFERS" => {
                for offer in event["inverse_offers"]["inverse_offers"].as_array().into_iter().flatten() {
                    let lane = format!("{conn} agent {}", agent(&offer["id"]));
                    self.add(&lane, at, format!("INVERSE OFFER {offer}"));
                }
            }
            "RESCIND" => {
                let offer = &event["rescind"]["offer_id"];
                self.add(&format!("{conn} agent {}", agent(offer)), at, format!("RESCIND {offer}"));
            }
            "RESCIND_INVERSE_OFFER" => {
                let offer = &event["rescind_inverse_offer"]["inverse_offer_id"];
                self.add(&format!("{conn} agent {}", agent(offer)), at, format!("RESCIND {offer}"));
            }
            "UPDATE" => {
                let status = &event["update"]["status"];
                let task = status["task_id"]["value"].as_str().unwrap_or_default();
                self.add(&format!("{conn} task {task}"), at, format!("UPDATE {status}"));
            }
            "FAILURE" => {
                let agent = event["failure"]["agent_id"]["value"].as_str().unwrap_or_default();
                self.add(&format!("{conn} agent {agent}"), at, format!("FAILURE {}", event["failure"]));
            }
            "HEARTBEAT" => self.add(&format!("{conn} heartbeats"), at, "HEARTBEAT".to_owned()),
            _ => self.add(&format!("{conn} stream"), at, event.to_string()),
        }
    }

    /// Sorts in what one is told who watches.
    pub(crate) fn happening(&mut self, names: &mut Names, conn: &str, at: Duration, told: &Value) {
        let kind = told["type"].as_str().unwrap_or_default();
        let about = &told[kind.to_ascii_lowercase().as_str()];
        let mut agents: Vec<&Value> = about
            .pointer("/get_state/get_agents/agents")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .collect();
        agents.extend(about.get("agent"));
        for agent in agents {
            let text = |pointer: &str| agent.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            names.agent_is(text("/agent_info/id/value"), text("/agent_info/hostname"));
        }
        let mut tree = names.tree(about);
        of_an_operator(&mut tree);
        simplify(&mut tree);
        let subject = match kind.split('_').next() {
            Some("TASK") => {
                let id = [&about["task"]["task_id"], &about["status"]["task_id"]];
                format!("task {}", id.iter().find_map(|id| id["value"].as_str()).unwrap_or_default())
            }
            Some("AGENT") => format!("agent {}", tree.pointer("/agent/agent_info/hostname").unwrap_or(&tree)),
            Some("FRAMEWORK") => "framework".to_owned(),
            Some("HEARTBEAT") => "heartbeats".to_owned(),
            _ => "stream".to_owned(),
        };
        self.add(&format!("{conn} {subject}").replace('"', ""), at, format!("{kind} {tree}"));
    }

    /// The lanes that differ, each told as a diff, but for those that `excepted` takes out.
    pub(crate) fn differences(&mut self, theirs: &mut Lanes, excepted: impl Fn(&str) -> bool) -> Vec<String> {
        self.sort_rescinds();
        theirs.sort_rescinds();
        let mut names = theirs.names();
        names.extend(self.names());
        names.sort();
        names.dedup();
        let differ = |lane: &&String| !excepted(lane) && self.entries(lane) != theirs.entries(lane);
        names.iter().filter(differ).map(|lane| diff(lane, theirs, self)).collect()
    }
}

/// Takes out what is the run's own, beside what events have of it: times, ids whose names may not be known yet, the build; and what
/// statuses tell, too.
fn of_an_operator(tree: &mut Value) {
    match tree {
        Value::Object(fields) => {
            for name in [
                "uuid",
                "status_update_state",
                "status_update_uuid",
                "framework_id",
                "version",
                "pid",
                "registered_time",
                "reregistered_time",
                "unregistered_time",
                // Of agents: what they can do, and how they are started.
                "capabilities",
                "checkpoint",
            ] {
                fields.remove(name);
            }
            if let Some(Value::Array(agents)) = fields.get_mut("agents") {
                agents.sort_by_key(Value::to_string);
            }
            if let Some(Value::Array(offers)) = fields.get_mut("offers") {
                offers.sort_by_key(|offer| offer["hostname"].to_string());
            }
            if let Some(info) = fields.get_mut("framework_info") {
                info["id"] = Value::Null;
            }
            fields.values_mut().for_each(of_an_operator);
        }
        Value::Array(list) => list.iter_mut().for_each(of_an_operator),
        _ => {}
    }
}

/// A resource on one line: what it is beside its name, role and amount stands behind them.
fn brief(resource: &Value) -> String {
    let mut rest = resource.clone();
    let name = rest["name"].take();
    let amount = [rest["scalar"].take(), rest["ranges"].take(), rest["set"].take()];
    let amount: String = amount.iter().filter(|it| !it.is_null()).map(Value::to_string).collect();
    simplify(&mut rest);
    format!("{name}:{amount} {rest}")
}

fn diff(lane: &str, theirs: &Lanes, ours: &Lanes) -> String {
    let (a, b) = (theirs.entries(lane), ours.entries(lane));
    let mut text = format!("--- {lane} (Mesos -, ours +)\n");
    let (times_a, times_b) = (theirs.times(lane), ours.times(lane));
    for change in similar::capture_diff_slices(similar::Algorithm::Myers, &a, &b)
        .iter()
        .flat_map(|op| op.iter_changes(&a, &b))
    {
        let time = change.old_index().map(|i| times_a[i]).or(change.new_index().map(|i| times_b[i]));
        let same = change.tag() == similar::ChangeTag::Equal;
        let entry: String = change.value().chars().take(if same { 120 } else { 20000 }).collect();
        text += &format!("{}{:8.3} {entry}\n", change.tag(), time.unwrap_or_default());
    }
    text
}

/// An event as our types write it, without what differs by nature: times, ids of containers and processes, who the
/// master is; with resources in one order.
fn canonical(event: &Value) -> Value {
    let event: Event = json::from_value(event.clone()).unwrap();
    let mut value = json::to_value(&event).unwrap();
    simplify(&mut value);
    value
}

/// Sorts the resources that a refusal lists: theirs stand in the order in which they were allocated.
fn sorted(text: &str) -> Option<String> {
    let middle = " required by task and its executor is more than available ";
    let (wanted, free) = text.strip_prefix("Total resources ")?.split_once(middle)?;
    let sort = |list: &str| {
        let mut items: Vec<&str> = list.split("; ").collect();
        items.sort_unstable();
        items.join("; ")
    };
    Some(format!("Total resources {}{middle}{}", sort(wanted), sort(free)))
}

fn simplify(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // A framework knows who it is, and the rest is the run's own.
            for name in ["timestamp", "master_info", "container_id", "executor_pid", "cgroup_info"] {
                fields.remove(name);
            }
            if fields.contains_key("unreachable_time") && !fields["unreachable_time"].is_null() {
                fields.insert("unreachable_time".to_owned(), Value::from("some time"));
            }
            if fields.get("protocol").is_some_and(|it| it == "IPv4") {
                // The default, which one encoding leaves out.
                fields.remove("protocol");
            }
            // What follows are both descriptions, in the form of C++'s protobuf.
            if let Some(Value::String(message)) = fields.get_mut("message")
                && let Some(end) = message.find("\n-----")
            {
                message.truncate(end);
            }
            if let Some(Value::Array(executors)) = fields.get_mut("executor_ids") {
                executors.sort_by_key(Value::to_string);
            }
            if let Some(sorted) = fields.get("message").and_then(Value::as_str).and_then(sorted) {
                fields.insert("message".to_owned(), Value::from(sorted));
            }
            fields.values_mut().for_each(simplify);
            fields.retain(|_, it| !is_nothing(it));
        }
        Value::Array(list) => {
            list.iter_mut().for_each(simplify);
            if list.iter().all(|it| it["name"].is_string() || it["begin"].is_number()) {
                list.sort_by_key(|it| (it["begin"].as_u64(), it.to_string()));
            }
        }
        Value::Number(number) => {
            // Amounts have three decimals.
            let rounded = number.as_f64().filter(|it| number.is_f64() && it.abs() < 1e12);
            if let Some(rounded) = rounded {
                *value = Value::from((rounded * 1000.0).round() / 1000.0);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}
