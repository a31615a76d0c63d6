//! Frameworks with all that is theirs: tasks, offers, executors.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::tasks::flat;
use super::{amounts, bundle, names, seconds, wire, with};
use crate::mesos::embedded::bundle::Bundle;
use crate::mesos::embedded::master::{Books, FrameworkEntry, TaskEntry};
use crate::mesos::wire::{AgentId, Capability, ExecutorInfo, FrameworkId, Offer};

/// `/frameworks`.
pub(in super::super) fn all_frameworks(books: &Books, only: Option<&str>) -> Value {
    let asked = |entries: &[FrameworkEntry]| -> Vec<FrameworkEntry> {
        entries.iter().filter(|entry| only.is_none_or(|id| entry.id.value == id)).cloned().collect()
    };
    json!({
        "frameworks": frameworks(books, &asked(&books.frameworks)),
        "completed_frameworks": frameworks(books, &asked(&books.completed_frameworks)),
        "unregistered_frameworks": [],
    })
}

/// What a framework has.
#[derive(Default)]
pub(in super::super) struct Held<'a> {
    pub(in super::super) tasks: Vec<&'a TaskEntry>,
    unreachable: Vec<&'a TaskEntry>,
    completed: Vec<&'a TaskEntry>,
    pub(in super::super) offers: Vec<&'a Offer>,
}

impl<'a> Held<'a> {
    /// Of each framework that has anything.
    pub(in super::super) fn by_framework(books: &'a Books) -> BTreeMap<&'a FrameworkId, Held<'a>> {
        let mut all: BTreeMap<&FrameworkId, Held<'_>> = BTreeMap::new();
        books.tasks.iter().for_each(|it| all.entry(&it.framework).or_default().tasks.push(it));
        books
            .unreachable_tasks
            .iter()
            .for_each(|it| all.entry(&it.framework).or_default().unreachable.push(it));
        books.completed_tasks.iter().for_each(|it| all.entry(&it.framework).or_default().completed.push(it));
        books.offers.iter().for_each(|it| all.entry(&it.framework_id).or_default().offers.push(it));
        all
    }

    fn used(&self) -> Bundle {
        let mut used = Bundle::default();
        self.tasks.iter().filter(|it| !it.state.is_terminal()).for_each(|it| used.add(&it.resources));
        used
    }

    fn offered(&self) -> Bundle {
        let mut offered = Bundle::default();
        self.offers.iter().for_each(|it| offered.add(&bundle(&it.resources)));
        offered
    }
}

pub(super) fn frameworks(books: &Books, entries: &[FrameworkEntry]) -> Vec<Value> {
    let held = Held::by_framework(books);
    let nothing = Held::default();
    entries.iter().map(|entry| framework(entry, held.get(&entry.id).unwrap_or(&nothing))).collect()
}

/// What is told of a framework wherever it is told of.
pub(super) fn framework_head(entry: &FrameworkEntry, held: &Held<'_>) -> Value {
    let info = &entry.info;
    let mut told = json!({
        "id": entry.id.value,
        "name": info.name,
        "used_resources": amounts(&held.used()),
        "offered_resources": amounts(&held.offered()),
        "capabilities": names(&wire(&info.capabilities)),
        "active": entry.connected,
        "connected": entry.connected,
        "recovered": false,
    });
    for (name, value) in [("hostname", &info.hostname), ("webui_url", &info.webui_url)] {
        if let Some(value) = value {
            told[name] = json!(value);
        }
    }
    told
}

fn framework(entry: &FrameworkEntry, held: &Held<'_>) -> Value {
    let info = &entry.info;
    let mut all = held.used();
    all.add(&held.offered());
    let tasks = |entries: &[&TaskEntry]| entries.iter().map(|it| flat(it)).collect::<Vec<_>>();
    let rest = [
        ("user", json!(info.user)),
        ("failover_timeout", json!(info.failover_timeout())),
        ("checkpoint", json!(info.checkpoint())),
        ("registered_time", json!(seconds(entry.registered))),
        ("unregistered_time", json!(entry.unregistered.map_or(0.0, seconds))),
        ("resources", amounts(&all)),
        ("tasks", json!(tasks(&held.tasks))),
        ("unreachable_tasks", json!(tasks(&held.unreachable))),
        ("completed_tasks", json!(tasks(&held.completed))),
        ("offers", held.offers.iter().map(|it| offer(it)).collect()),
        ("executors", json!(executors(&held.tasks))),
    ];
    let mut told = with(framework_head(entry, held), rest);
    if info.has(Capability::MultiRole) {
        told["roles"] = json!(info.roles);
    } else {
        told["role"] = json!(info.role.as_deref().unwrap_or("*"));
    }
    if let Some(principal) = &info.principal {
        told["principal"] = json!(principal);
    }
    if let Some(at) = entry.reregistered {
        told["reregistered_time"] = json!(seconds(at));
    }
    if let Some(labels) = &info.labels {
        told["labels"] = wire(&labels.labels);
    }
    told
}

fn offer(offer: &Offer) -> Value {
    json!({
        "id": offer.id.value,
        "framework_id": offer.framework_id.value,
        "allocation_info": wire(&offer.allocation_info),
        "slave_id": offer.agent_id.value,
        "resources": amounts(&bundle(&offer.resources)),
    })
}

/// The executors that tasks brought, once each.
fn executors(tasks: &[&TaskEntry]) -> Vec<Value> {
    own_executors(tasks)
        .into_iter()
        .map(|(agent, executor, entry)| {
            let command = executor.command.clone().unwrap_or_default();
            json!({
                "executor_id": executor.executor_id.value,
                "name": executor.name(),
                "framework_id": entry.framework.value,
                "command": {
                    "shell": command.shell(), "value": command.value, "argv": command.arguments,
                    "uris": wire(&command.uris),
                },
                "resources": amounts(&bundle(&executor.resources)),
                "role": entry.role,
                "type": "CUSTOM",
                "slave_id": agent.value,
            })
        })
        .collect()
}

/// Each executor of a framework's own, with its agent and a task of it.
pub(in super::super) fn own_executors<'a>(
    tasks: &[&'a TaskEntry],
) -> Vec<(&'a AgentId, &'a ExecutorInfo, &'a TaskEntry)> {
    let mut found = BTreeMap::new();
    for entry in tasks.iter().filter(|task| !task.state.is_terminal()) {
        let executor = entry.info.as_ref().and_then(|info| info.executor.as_ref());
        if let Some(executor) = executor {
            let key = (&entry.framework, &entry.agent, &executor.executor_id);
            found.entry(key).or_insert((&entry.agent, executor, *entry));
        }
    }
    found.into_values().collect()
}
