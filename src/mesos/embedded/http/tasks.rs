//! A task and what was told of it, in both of Mesos's shapes: that of the endpoints of before, and a message of the v1 interface.

use serde_json::{Value, json};

use super::v0::{amounts, wire};
use crate::mesos::embedded::master::TaskEntry;
use crate::mesos::wire::{TaskInfo, TaskStatus};

/// In the shape of the endpoints of before: numbers for resources, ids as text.
pub(super) fn flat(entry: &TaskEntry) -> Value {
    let info = entry.info.as_deref();
    let executor = info.and_then(|info| info.executor.as_ref());
    let mut told = json!({
        "id": entry.id.value,
        "name": name(info),
        "framework_id": entry.framework.value,
        // That of a command is Mesos's own.
        "executor_id": executor.map_or("", |executor| executor.executor_id.value.as_str()),
        "slave_id": entry.agent.value,
        "state": entry.state.as_str(),
        "resources": amounts(&entry.resources),
        "role": entry.role,
        "statuses": entry.statuses.iter().map(status).collect::<Vec<_>>(),
    });
    if let Some(labels) = info.and_then(|info| info.labels.as_ref()) {
        told["labels"] = wire(&labels.labels);
    }
    describe(&mut told, info);
    told
}

/// As a message of the v1 interface.
pub(super) fn message(entry: &TaskEntry) -> Value {
    let info = entry.info.as_deref();
    let mut told = json!({
        "name": name(info),
        "task_id": wire(&entry.id),
        "framework_id": wire(&entry.framework),
        "agent_id": wire(&entry.agent),
        "state": entry.state.as_str(),
        "resources": info.map_or_else(|| wire(&entry.resources.resources()), |info| wire(&info.resources)),
    });
    if !entry.statuses.is_empty() {
        told["statuses"] = wire(&entry.statuses);
    }
    let acknowledged = |status: &&TaskStatus| status.uuid.is_some();
    if let Some(status) = entry.statuses.iter().rfind(acknowledged) {
        let status = wire(status);
        told["status_update_state"] = status["state"].clone();
        told["status_update_uuid"] = status["uuid"].clone();
    }
    if let Some(executor) = info.and_then(|info| info.executor.as_ref()) {
        told["executor_id"] = wire(&executor.executor_id);
    }
    if let Some(labels) = info.and_then(|info| info.labels.as_ref()) {
        told["labels"] = wire(labels);
    }
    describe(&mut told, info);
    told
}

fn name(info: Option<&TaskInfo>) -> &str {
    info.map_or("", |info| info.name.as_str())
}

/// What is the same in both shapes.
fn describe(told: &mut Value, info: Option<&TaskInfo>) {
    let Some(info) = info else { return };
    for (name, value) in [
        ("discovery", info.discovery.as_ref().map(wire)),
        ("container", info.container.as_ref().map(wire)),
        ("health_check", info.health_check.as_ref().map(wire)),
        ("check", info.check.as_ref().map(wire)),
        ("kill_policy", info.kill_policy.as_ref().map(wire)),
    ] {
        if let Some(value) = value {
            told[name] = value;
        }
    }
}

fn status(status: &TaskStatus) -> Value {
    let mut told = json!({"state": status.state().as_str(), "timestamp": status.timestamp()});
    if let Some(labels) = &status.labels {
        told["labels"] = wire(&labels.labels);
    }
    if let Some(container) = &status.container_status {
        told["container_status"] = wire(container);
    }
    if let Some(healthy) = status.healthy {
        told["healthy"] = json!(healthy);
    }
    told
}
