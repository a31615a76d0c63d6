//! Port: what an instance listens at, and at which port of the agent others reach it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A port that an instance listens at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// Name that checks, Endpoints and DNS use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub name: Option<String>,
    /// The port inside the container; 0 or absent means the same number as the host port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_port: Option<u16>,
    /// The port of the agent; 0 means any that is offered. Absent means the same, but for a container on a
    /// named network, which then has no port of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// The port at which load balancers offer this one; published in Endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub service_port: Option<u16>,
    /// Transport protocol.
    #[serde(default)]
    pub protocol: Protocol,
}

impl Port {
    /// The number inside the container, if it is fixed.
    #[must_use]
    pub fn fixed_container_port(&self) -> Option<u16> {
        self.container_port.filter(|&number| number != 0)
    }
}

/// Transport protocol of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

/// What a port asks of the agent's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPort {
    /// None: the port is reached at the container's own address.
    None,
    /// Any of the offered ones.
    Any,
    /// Exactly this one.
    Fixed(u16),
}
