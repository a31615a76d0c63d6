//! What a master knows, in the shapes of the endpoints of before: numbers for resources, ids as text.

mod frameworks;
mod summary;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::mesos::embedded::bundle::Bundle;
use crate::mesos::embedded::master::{AgentEntry, Books, Drain, RoleEntry, VERSION};
use crate::mesos::wire::{AgentInfo, Resource, json as mesos_json};
use frameworks::frameworks;
pub(super) use frameworks::{Held, all_frameworks, own_executors};
pub(super) use summary::summary;

/// What an agent here can do of what Mesos's agents can.
pub(super) const AGENT_CAPABILITIES: [&str; 3] = ["MULTI_ROLE", "HIERARCHICAL_ROLE", "AGENT_DRAINING"];

/// `/state`.
pub(super) fn state(books: &Books) -> Value {
    let info = &books.master;
    let active = books.agents.iter().filter(|agent| agent.connected && agent.active).count();
    let started = seconds(books.started);
    json!({
        "version": VERSION,
        "id": info.id,
        "pid": info.pid,
        "hostname": info.hostname,
        "leader": info.pid,
        "leader_info": {"id": info.id, "pid": info.pid, "port": info.port, "hostname": info.hostname},
        "start_time": started,
        "elected_time": started,
        "capabilities": names(&wire(&info.capabilities)),
        "flags": {"port": info.port.to_string(), "hostname": info.hostname},
        "activated_slaves": active as f64,
        "deactivated_slaves": (books.agents.len() - active) as f64,
        "unreachable_slaves": books.unreachable_agents as f64,
        "slaves": books.agents.iter().map(agent).collect::<Vec<_>>(),
        "recovered_slaves": recovered(books),
        "frameworks": frameworks(books, &books.frameworks),
        "completed_frameworks": frameworks(books, &books.completed_frameworks),
        "unregistered_frameworks": [],
        "orphan_tasks": [],
    })
}

/// `/slaves`: all agents, with each resource in full as well.
pub(super) fn agents(books: &Books, only: Option<&str>) -> Value {
    let asked = books.agents.iter().filter(|entry| only.is_none_or(|id| entry.id.value == id));
    let told = asked.map(|entry| {
        let full = [
            ("reserved_resources_full", json!({})),
            ("unreserved_resources_full", wire(&entry.total.resources())),
            ("used_resources_full", wire(&entry.used.resources())),
            ("offered_resources_full", wire(&entry.offered.resources())),
        ];
        with(agent(entry), full)
    });
    json!({"slaves": told.collect::<Vec<_>>(), "recovered_slaves": recovered(books)})
}

fn recovered(books: &Books) -> Vec<Value> {
    books.recovered.iter().map(|id| json!({"id": id.value})).collect()
}

fn agent(entry: &AgentEntry) -> Value {
    let port = entry.info.port.unwrap_or(5051);
    let mut told = json!({
        "id": entry.id.value,
        "hostname": entry.info.hostname,
        "port": port,
        "pid": format!("slave(1)@{}:{port}", entry.ip),
        "version": VERSION,
        "capabilities": AGENT_CAPABILITIES,
        "registered_time": seconds(entry.registered),
        "attributes": attributes(&entry.info),
        "resources": amounts(&entry.total),
        "used_resources": amounts(&entry.used),
        "offered_resources": amounts(&entry.offered),
        "reserved_resources": {},
        "unreserved_resources": amounts(&entry.total),
        "active": entry.active && entry.connected,
        "deactivated": !entry.active,
    });
    if let Some(at) = entry.reregistered {
        told["reregistered_time"] = json!(seconds(at));
    }
    if let Some(drain) = &entry.drain {
        told["drain_info"] = drain_info(drain);
    }
    if let Some(domain) = &entry.info.domain {
        told["domain"] = wire(domain);
    }
    told
}

pub(super) fn drain_info(drain: &Drain) -> Value {
    json!({"state": "DRAINING", "config": {"mark_gone": drain.mark_gone}})
}

pub(super) fn attributes(info: &AgentInfo) -> Map<String, Value> {
    let value = |it: &crate::mesos::wire::Attribute| match (&it.scalar, &it.text) {
        (Some(scalar), _) => json!(scalar.value),
        (None, Some(text)) => json!(text.value),
        (None, None) => wire(it),
    };
    info.attributes.iter().map(|it| (it.name.clone(), value(it))).collect()
}

/// `/roles`.
pub(super) fn roles(books: &Books) -> Value {
    let role = |entry: &RoleEntry| {
        let mut all = entry.allocated.clone();
        all.add(&entry.offered);
        let ids: Vec<&str> = entry.frameworks.iter().map(|id| id.value.as_str()).collect();
        json!({
            "name": entry.name,
            "weight": entry.weight,
            "quota":
                {"role": entry.name, "guarantee": {}, "limit": {}, "consumed": quantities(&entry.allocated)},
            "resources": quantities(&all),
            "allocated": quantities(&entry.allocated),
            "offered": quantities(&entry.offered),
            "reserved": {},
            "frameworks": ids,
        })
    };
    json!({"roles": books.roles.iter().map(role).collect::<Vec<_>>()})
}

/// `/weights`.
pub(super) fn weights(books: &Books) -> Value {
    books.weights.iter().map(|(role, weight)| json!({"role": role, "weight": weight})).collect()
}

/// Resources as Mesos sums them up: numbers, and ports as text.
pub(super) fn amounts(bundle: &Bundle) -> Value {
    let mut amounts = Map::new();
    for name in ["cpus", "mem", "disk", "gpus"] {
        amounts.insert(name.to_owned(), json!(bundle.scalar(name) as f64 / 1000.0));
    }
    let resources = bundle.resources();
    let ranges = resources.iter().filter(|it| it.name == "ports").filter_map(|it| it.ranges.as_ref());
    let ranges = ranges.flat_map(|it| &it.range).map(|it| format!("{}-{}", it.begin, it.end));
    let ports = ranges.collect::<Vec<_>>().join(", ");
    if !ports.is_empty() {
        amounts.insert("ports".to_owned(), json!(format!("[{ports}]")));
    }
    Value::Object(amounts)
}

/// Numbers of what there is any of.
fn quantities(bundle: &Bundle) -> Value {
    let scalars = bundle.resources().into_iter().filter_map(|it| Some((it.name, json!(it.scalar?.value))));
    Value::Object(scalars.collect())
}

pub(super) fn bundle(resources: &[Resource]) -> Bundle {
    Bundle::of(resources).unwrap_or_default().unallocated()
}

pub(super) fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

/// A message as Mesos writes it. Ours can all be written.
pub(super) fn wire<T: Serialize>(message: &T) -> Value {
    mesos_json::to_value(message).unwrap_or_default()
}

/// The types of a list of capabilities.
fn names(capabilities: &Value) -> Vec<Value> {
    capabilities.as_array().into_iter().flatten().map(|it| it["type"].clone()).collect()
}

/// An object with more fields.
fn with<'a>(mut object: Value, more: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    for (name, value) in more {
        object[name] = value;
    }
    object
}
