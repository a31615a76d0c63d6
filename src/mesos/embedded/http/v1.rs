//! What a master knows, as the calls of the operator API answer it: messages of the v1 interface.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::tasks::message;
use super::v0::{self, Held, wire};
use crate::mesos::embedded::bundle::Bundle;
use crate::mesos::embedded::master::{
    AgentEntry, Books, Extent, FrameworkEntry, RoleEntry, TaskEntry, VERSION,
};
use crate::mesos::wire::Offer;

/// How much is to be known for the answer to a call that only reads; none for any other call.
pub(super) fn extent(kind: &str) -> Option<Extent> {
    Some(match kind {
        "GET_MASTER" | "GET_OPERATIONS" | "GET_WEIGHTS" | "GET_QUOTA" => Extent::Head,
        "GET_AGENTS" => Extent::Agents,
        "GET_ROLES" => Extent::Roles,
        "GET_FRAMEWORKS" | "GET_TASKS" | "GET_EXECUTORS" | "GET_STATE" => Extent::All,
        _ => return None,
    })
}

/// What a call that only reads is answered with, nothing but its type if that is null; none for any other call.
pub(super) fn answer(kind: &str, books: &Books) -> Option<Value> {
    Some(match kind {
        "GET_AGENTS" => agents(books),
        "GET_FRAMEWORKS" => frameworks(books),
        "GET_TASKS" => tasks(books),
        "GET_EXECUTORS" => executors(books),
        "GET_ROLES" => json!({"roles": books.roles.iter().map(role).collect::<Vec<_>>()}),
        "GET_STATE" => json!({
            "get_tasks": tasks(books),
            "get_executors": executors(books),
            "get_frameworks": frameworks(books),
            "get_agents": agents(books),
        }),
        "GET_MASTER" => {
            let started = v0::seconds(books.started);
            json!({"master_info": wire(&books.master), "start_time": started, "elected_time": started})
        }
        // Reservations and volumes are what operations are about.
        "GET_OPERATIONS" => json!({}),
        "GET_WEIGHTS" if books.weights.is_empty() => Value::Null,
        "GET_WEIGHTS" => json!({"weight_infos": v0::weights(books)}),
        "GET_QUOTA" => json!({"status": {}}),
        _ => return None,
    })
}

fn agents(books: &Books) -> Value {
    let recovered: Vec<Value> = books.recovered.iter().map(|id| json!({"id": wire(id)})).collect();
    json!({"agents": books.agents.iter().map(agent).collect::<Vec<_>>(), "recovered_agents": recovered})
}

/// One agent.
pub(super) fn agent(entry: &AgentEntry) -> Value {
    let port = entry.info.port.unwrap_or(5051);
    let mut told = json!({
        "agent_info": wire(&entry.info),
        "active": entry.active && entry.connected,
        "deactivated": !entry.active,
        "version": VERSION,
        "pid": format!("slave(1)@{}:{port}", entry.ip),
        "registered_time": time(entry.registered),
        "total_resources": wire(&entry.total.resources()),
        "capabilities": v0::AGENT_CAPABILITIES.map(|it| json!({"type": it})),
    });
    put(&mut told, "allocated_resources", &entry.used);
    put(&mut told, "offered_resources", &entry.offered);
    if let Some(at) = entry.reregistered {
        told["reregistered_time"] = time(at);
    }
    if let Some(drain) = &entry.drain {
        told["drain_info"] = v0::drain_info(drain);
    }
    told
}

/// One framework, but for what it holds.
pub(super) fn framework_head(entry: &FrameworkEntry) -> Value {
    let mut told = json!({
        "framework_info": wire(&entry.info),
        "active": entry.connected,
        "connected": entry.connected,
        "recovered": false,
        "registered_time": time(entry.registered),
        "reregistered_time": time(entry.reregistered.unwrap_or(entry.registered)),
    });
    if let Some(at) = entry.unregistered {
        told["unregistered_time"] = time(at);
    }
    told
}

fn frameworks(books: &Books) -> Value {
    let (held, nothing) = (Held::by_framework(books), Held::default());
    let framework = |entry: &FrameworkEntry| {
        let mut told = framework_head(entry);
        let (mut used, mut offered) = (Bundle::default(), Bundle::default());
        let held = held.get(&entry.id).unwrap_or(&nothing);
        let alive = held.tasks.iter().filter(|it| !it.state.is_terminal());
        alive.for_each(|it| used.add(&it.resources.allocated(&it.role)));
        for offer in &held.offers {
            offered.add(&Bundle::of(&offer.resources).unwrap_or_default());
        }
        put(&mut told, "allocated_resources", &used);
        put(&mut told, "offered_resources", &offered);
        if !held.offers.is_empty() {
            told["offers"] = held.offers.iter().map(|it| offer(it)).collect();
        }
        told
    };
    let all = |entries: &[FrameworkEntry]| entries.iter().map(framework).collect::<Vec<_>>();
    json!({"frameworks": all(&books.frameworks), "completed_frameworks": all(&books.completed_frameworks)})
}

/// As the master keeps it: its resources name their role in their reservations alone (recordings 31 and 32).
fn offer(offer: &Offer) -> Value {
    let mut offer = offer.clone();
    offer.resources.iter_mut().for_each(|resource| resource.role = None);
    wire(&offer)
}

fn tasks(books: &Books) -> Value {
    let all = |entries: &[TaskEntry]| entries.iter().map(message).collect::<Vec<_>>();
    json!({
        "tasks": all(&books.tasks),
        "unreachable_tasks": all(&books.unreachable_tasks),
        "completed_tasks": all(&books.completed_tasks),
    })
}

fn executors(books: &Books) -> Value {
    let tasks: Vec<&TaskEntry> = books.tasks.iter().collect();
    let executor = |(agent, executor, entry): (_, &crate::mesos::wire::ExecutorInfo, &TaskEntry)| {
        let mut info = wire(executor);
        info["framework_id"] = wire(&entry.framework);
        json!({"executor_info": info, "agent_id": wire::<crate::mesos::wire::AgentId>(agent)})
    };
    let all: Vec<Value> = v0::own_executors(&tasks).into_iter().map(executor).collect();
    json!({"executors": all})
}

fn role(entry: &RoleEntry) -> Value {
    let mut held = entry.allocated.clone();
    held.add(&entry.offered);
    let mut told = json!({
        "name": entry.name,
        "weight": entry.weight,
        "frameworks": entry.frameworks.iter().map(wire).collect::<Vec<_>>(),
    });
    put(&mut told, "resources", &held);
    told
}

/// Resources, unless there are none: then Mesos leaves the field out.
fn put(told: &mut Value, name: &str, bundle: &Bundle) {
    if !bundle.is_empty() {
        told[name] = wire(&bundle.resources());
    }
}

fn time(at: Timestamp) -> Value {
    json!({"nanoseconds": i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)})
}
