//! Agent: the slow facts of a machine, as its offers tell them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bytes, Condition, Cpus, MicroTime};

resource! {
    /// A machine that runs tasks: its attributes, totals and condition.
    Agent {
        scope: Cluster,
        plural: "agents",
        singular: "agent",
        short: ["ag"],
        status: AgentStatus,
        columns: [
            ("Host", string, ".status.hostname"),
            ("Cpus", string, ".status.totals.cpus"),
            ("Memory", string, ".status.totals.memory"),
            ("Disk", string, ".status.totals.disk"),
            ("Ready", string, ".status.conditions[?(@.type==\"Ready\")].status"),
            ("Gpus", integer, ".status.totals.gpus", wide),
            ("Ports", string, ".status.totals.ports", wide),
            ("Maintenance", string, ".status.maintenance.from", wide),
            ("Id", string, ".status.agentId", wide),
            ("Age", date, ".metadata.creationTimestamp"),
        ],
    }
}

/// Condition: the machine is in contact, and what it is known to have works.
pub const READY: &str = "Ready";
/// Condition: containers can be started on the machine. Absent where nothing is known of its Docker engine.
pub const DOCKER_READY: &str = "DockerReady";
/// Condition: the agent can write down what it does. Absent while it always could.
pub const JOURNAL_WRITTEN: &str = "JournalWritten";

/// Condition: so many tasks run on the machine without being owned that a person must confirm their end.
pub const ORPHANS: &str = "Orphans";

/// What is known of a machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentStatus {
    /// The agent, as Mesos names it.
    pub agent_id: String,
    /// Host name or address of the machine.
    pub hostname: String,
    /// Where the agent listens, `IP:PORT`, as its offers tell it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Attributes, as constraints compare them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// All that the machine has, used or not.
    pub totals: Totals,
    /// When its operator takes the machine away. It gets no new tasks in the half hour before, and those on it are moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// `Ready`; `DockerReady` where something is known of the Docker engine; `Orphans` when a person is asked about some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Tasks that run here without being owned, while a person must confirm their end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphans: Option<Orphans>,
}

/// A time for which a machine is taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Maintenance {
    /// Its beginning.
    pub from: MicroTime,
    /// Its end, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<MicroTime>,
}

/// Tasks that no stored Task owns and whose end must be confirmed: by the annotation `tenure.dev/confirm-orphans` with the
/// digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Orphans {
    /// How many.
    pub count: u32,
    /// Differs when others come or some of them go.
    pub digest: String,
}

/// All that a machine has, used or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Totals {
    /// Processors.
    pub cpus: Cpus,
    /// Memory.
    pub memory: Bytes,
    /// Disk.
    pub disk: Bytes,
    /// Graphics processors.
    pub gpus: u32,
    /// Ranges of host ports: `31000-32000`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
}
