//! Tasks and what was told of them.

use serde_json::{Value, json};

use super::{amounts, wire};
use crate::mesos::embedded::master::TaskEntry;
use crate::mesos::wire::TaskStatus;

/// One task.
pub(in super::super) fn task(entry: &TaskEntry) -> Value {
    let info = entry.info.as_deref();
    let executor = info.and_then(|info| info.executor.as_ref());
    let mut told = json!({
        "id": entry.id.value,
        "name": info.map_or("", |info| info.name.as_str()),
        "framework_id": entry.framework.value,
        // That of a command is Mesos's own.
        "executor_id": executor.map_or("", |executor| executor.executor_id.value.as_str()),
        "slave_id": entry.agent.value,
        "state": entry.state.as_str(),
        "resources": amounts(&entry.resources),
        "role": entry.role,
        "statuses": entry.statuses.iter().map(status).collect::<Vec<_>>(),
    });
    let Some(info) = info else { return told };
    if let Some(labels) = &info.labels {
        told["labels"] = wire(&labels.labels);
    }
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
    told
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
