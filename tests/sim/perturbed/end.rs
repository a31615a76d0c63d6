//! What a run ends in, without what may differ: ids, times, versions, and what is history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use tenure::registry::{Doc, Snapshot};

use crate::checks::Reality;

/// What a run ends in, a line per fact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct End(BTreeSet<String>);

/// What is determined of the end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// All but where tasks run.
    Whole,
    /// Also how many tasks each machine has.
    Spread,
    /// What is now, however it came to be: past Revisions, and how often something changed, are left out.
    Present,
}

/// Kinds that tell of the way and not of the end.
const HISTORY: [&str; 2] = ["events", "namespaces"];
/// Fields that hold ids, times, versions, or what was observed on the way.
const DIFFERENT: [&str; 20] = [
    "agentId",
    "boundAt",
    "containerId",
    "containerIp",
    "creationTimestamp",
    "finishedAt",
    "lastTransitionTime",
    "launched",
    "managedFields",
    "mesosTaskId",
    // Of a Revision: how many there were before it. One that was wanted for a moment may not have been seen.
    "number",
    "offerId",
    "ownerReferences",
    "replaces",
    "resourceVersion",
    "startedAt",
    "uid",
    // Which ports of a machine, and which machine: placement chooses anew.
    "host",
    "ports",
    "address",
];

impl End {
    /// What `objects` and the machines come to.
    pub(crate) fn of(objects: &Snapshot, reality: &Reality, of: Of) -> End {
        let names = Names::of(objects, of);
        let mut lines = BTreeSet::new();
        for doc in objects.iter().filter(|doc| !HISTORY.contains(&doc.key().resource.plural())) {
            let Some(mut value) = essence(doc, &names) else { continue };
            if of == Of::Present {
                if doc.key().resource.plural() == "revisions" && !names.current.contains(&*doc.key().name) {
                    continue;
                }
                forget_the_way(&mut value);
            }
            lines.insert(format!("{} {}: {value}", doc.key().resource.plural(), names.of_object(doc)));
        }
        for (id, slot) in reality.alive().iter().map(|id| (id, names.of_running(id))) {
            lines.insert(format!("runs: {}", slot.unwrap_or(id)));
        }
        if of == Of::Spread {
            let mut counts: Vec<usize> = reality.0.iter().map(|machine| machine.alive().len()).collect();
            counts.sort_unstable();
            lines.insert(format!("tasks per machine: {counts:?}"));
        }
        End(lines)
    }

    /// Where this end is another than `expected`.
    pub(crate) fn differences(&self, expected: &End) -> Vec<String> {
        let surplus = self.0.difference(&expected.0).map(|line| format!("ends with    {line}"));
        let missing = expected.0.difference(&self.0).map(|line| format!("ends without {line}"));
        surplus.chain(missing).collect()
    }
}

/// What Tasks are called by the place that they fill.
struct Names {
    by_task: BTreeMap<String, String>,
    by_mesos_id: BTreeMap<String, String>,
    /// The Revisions that Apps have now.
    current: BTreeSet<String>,
}

impl Names {
    fn of(objects: &Snapshot, of: Of) -> Names {
        let (mut by_task, mut by_mesos_id) = (BTreeMap::new(), BTreeMap::new());
        let mut tasks: Vec<(u64, Arc<Doc>, Value)> = objects
            .iter()
            .filter(|doc| doc.key().resource.plural() == "tasks")
            .filter_map(|doc| Some((doc.clone(), doc.value().ok()?)))
            .filter(|(_, value)| !is_ended(value))
            .map(|(doc, value)| (value["spec"]["slot"].as_u64().unwrap_or_default(), doc, value))
            .collect();
        tasks.sort_by_key(|(slot, ..)| *slot);
        let mut before: BTreeMap<String, u64> = BTreeMap::new();
        for (slot, doc, value) in tasks {
            let text = |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default();
            let rank = before.entry(text("/spec/app").to_owned()).or_default();
            // Which slots stay when an App shrinks is decided by which instances went.
            let place = if of == Of::Present { *rank } else { slot };
            *rank += 1;
            let name = format!("{} in slot {place}", text("/spec/revision"));
            by_mesos_id.insert(text("/spec/binding/mesosTaskId").to_owned(), name.clone());
            by_task.insert(doc.key().name.to_string(), name);
        }
        let apps = objects.iter().filter(|doc| doc.key().resource.plural() == "apps");
        let revision =
            |doc: &Arc<Doc>| doc.value().ok()?.pointer("/status/revision")?.as_str().map(str::to_owned);
        Names { by_task, by_mesos_id, current: apps.filter_map(revision).collect() }
    }

    fn of_object<'a>(&'a self, doc: &'a Doc) -> &'a str {
        match doc.key().resource.plural() {
            "agents" => "one",
            _ => self.of_task(&doc.key().name),
        }
    }

    fn of_task<'a>(&'a self, name: &'a str) -> &'a str {
        self.by_task.get(name).map_or(name, String::as_str)
    }

    fn of_running(&self, id: &str) -> Option<&String> {
        self.by_mesos_id.get(id)
    }
}

/// Whether a Task has ended: it is history.
fn is_ended(task: &Value) -> bool {
    let phase = task.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default();
    matches!(phase, "Finished" | "Failed" | "Lost")
}

/// An object without what may differ; none for one that is history.
fn essence(doc: &Doc, names: &Names) -> Option<Value> {
    let mut value = doc.value().ok()?;
    match doc.key().resource.plural() {
        "tasks" => {
            if is_ended(&value) {
                return None;
            }
            value["metadata"]["name"] = json!(names.of_object(doc));
            // How often it was written, and what was told of it on the way.
            remove(&mut value["metadata"], &["generation"]);
            remove(&mut value["status"], &["message", "reason"]);
        }
        "endpoints" => {
            remove(&mut value["metadata"], &["generation"]);
            for list in ["ready", "notReady"] {
                let addresses = value["spec"].get_mut(list).and_then(Value::as_array_mut);
                for address in addresses.into_iter().flatten() {
                    let task = address["task"].as_str().unwrap_or_default();
                    *address = json!(names.of_task(task));
                }
                if let Some(addresses) = value["spec"].get_mut(list).and_then(Value::as_array_mut) {
                    addresses.sort_by_key(Value::to_string);
                }
            }
        }
        "agents" => remove(&mut value["metadata"], &["name", "generation"]),
        "apps" => {
            let conditions = value.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
            // That nothing waits is told once something has.
            conditions
                .into_iter()
                .for_each(|all| all.retain(|it| it["type"] != "Waiting" || it["status"] == "True"));
        }
        _ => {}
    }
    strip(&mut value);
    Some(value)
}

/// How often something was changed or numbered, and what of it is still remembered.
fn forget_the_way(value: &mut Value) {
    remove(&mut value["metadata"], &["generation"]);
    if let Some(spec) = value.get_mut("spec") {
        remove(spec, &["number", "slot"]);
    }
    if let Some(status) = value.get_mut("status") {
        remove(status, &["observedGeneration", "backoff"]);
        let conditions = status.get_mut("conditions").and_then(Value::as_array_mut);
        conditions.into_iter().flatten().for_each(|it| remove(it, &["observedGeneration"]));
    }
}

fn remove(value: &mut Value, fields: &[&str]) {
    if let Some(map) = value.as_object_mut() {
        fields.iter().for_each(|field| drop(map.remove(*field)));
    }
}

/// Takes the fields that differ away, everywhere but in what people and templates say.
fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|name, _| !DIFFERENT.contains(&name.as_str()));
            map.iter_mut().filter(|(name, _)| *name != "template").for_each(|(_, value)| strip(value));
        }
        Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}
