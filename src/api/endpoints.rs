//! Endpoints: where one port of an App is reached now. A port with many addresses is cut into slices.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Protocol;

/// The most addresses that one object holds.
pub const MAX_ADDRESSES: usize = 250;

resource! {
    /// The addresses at which one port of an App is reached now: one slice of at most 250.
    Endpoints {
        scope: Namespaced,
        plural: "endpoints",
        singular: "endpoints",
        short: ["ep"],
        spec: EndpointsSpec,
        columns: [
            ("App", string, ".spec.app"),
            ("Port", string, ".spec.port.name"),
            ("Protocol", string, ".spec.port.protocol", wide),
            ("Addresses", string, ".spec.ready[*].address"),
            ("Ports", string, ".spec.ready[*].port"),
            ("Age", date, ".metadata.creationTimestamp"),
        ],
    }
}

/// One slice of the addresses of one port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointsSpec {
    /// Name of the App.
    pub app: String,
    /// Which of its ports.
    pub port: EndpointPort,
    /// Addresses that may get requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ready: Vec<Address>,
    /// Addresses of instances that run but are not ready, or whose agent is cut off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_ready: Vec<Address>,
}

/// A port of an App.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointPort {
    /// Name, if the App gives it one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Place among the App's ports, from 0.
    pub index: u32,
    /// Transport protocol.
    #[serde(default)]
    pub protocol: Protocol,
    /// The port at which load balancers offer it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_port: Option<u16>,
}

/// Where one instance is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// IP address or host name.
    pub address: String,
    /// Port number at that address.
    pub port: u16,
    /// Name of the Task.
    pub task: String,
    /// Host name or address of the agent, where `address` is the container's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}
