//! Offer: a lease that the leader holds on a part of a machine. Served from its memory; nothing of it is stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bytes, Cpus, Maintenance, Totals};

resource! {
    /// A part of a machine that the leader may place tasks on for a while. Read-only, and not stored: only the leader knows it.
    Offer {
        scope: Cluster,
        plural: "offers",
        singular: "offer",
        short: ["of"],
        status: OfferStatus,
        columns: [
            ("Host", string, ".status.hostname"),
            ("Role", string, ".status.role"),
            ("Cpus", string, ".status.resources.cpus"),
            ("Memory", string, ".status.resources.memory"),
            ("Disk", string, ".status.resources.disk"),
            ("Held", string, ".status.held"),
            ("For", string, ".status.apps[*]"),
            ("Gpus", integer, ".status.resources.gpus", wide),
            ("Ports", string, ".status.resources.ports", wide),
            ("Revocable", string, ".status.revocable.cpus", wide),
            ("Agent", string, ".status.agentId", wide),
            ("Age", date, ".metadata.creationTimestamp"),
        ],
    }
}

/// What is offered, and why it is held.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OfferStatus {
    /// The offer, as Mesos names it.
    pub offer_id: String,
    /// The agent whose resources they are, as Mesos names it.
    pub agent_id: String,
    /// Host name or address of the machine.
    pub hostname: String,
    /// The role that it is offered to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What tasks may take of it.
    pub resources: Totals,
    /// What Apps that ask for it may take besides, until Mesos wants it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocable: Option<Lent>,
    /// Why it is held.
    pub held: Held,
    /// For whom it could be, `NAMESPACE/NAME`: Apps that wait, or may soon want a place, and of which its agent could take a task; ten of
    /// them at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub apps: Vec<String>,
    /// When its operator takes the machine away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
}

/// What is lent until it is wanted back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Lent {
    /// Processor time.
    pub cpus: Cpus,
    /// Memory.
    pub memory: Bytes,
}

/// Why offers are held and not given back: all that are held for one role at a time, for what is wanted of any of them. For whom each could be, its
/// `apps` tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Held {
    /// Their leases have not run out, and nobody wants them.
    #[default]
    Lease,
    /// Tasks wait for a place: those of its `apps` have not had their turn yet, and for others it does not do.
    Waiting,
    /// Instances are about to take the place of others, or to be started again after a failure.
    Imminent,
}
