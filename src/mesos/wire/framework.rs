//! The parties: frameworks, executors, agents and masters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::command::CommandInfo;
use super::container::ContainerInfo;
use super::enums::{Capability, ExecutorType, MasterCapabilityType, PseudoAttribute};
use super::ids::{AgentId, ExecutorId, FrameworkId};
use super::json::{Base64, Name};
use super::offer::{Address, DomainInfo};
use super::resource::{Attribute, Marker, Resource, Scalar};
use super::task::{DiscoveryInfo, DurationInfo, Labels};

/// A framework as it introduces itself.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct FrameworkInfo {
    #[prost(string, required, tag = "1")]
    pub user: String,
    #[prost(string, required, tag = "2")]
    pub name: String,
    /// Absent only in the very first SUBSCRIBE: each one without makes a new framework.
    #[prost(message, optional, tag = "3")]
    pub id: Option<FrameworkId>,
    /// Seconds after a broken stream until the master kills all tasks. The default, 0, means at once.
    #[prost(double, optional, tag = "4", default = "0.0")]
    pub failover_timeout: Option<f64>,
    #[prost(bool, optional, tag = "5", default = "false")]
    pub checkpoint: Option<bool>,
    #[prost(string, optional, tag = "6")]
    pub role: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub hostname: Option<String>,
    #[prost(string, optional, tag = "8")]
    pub principal: Option<String>,
    #[prost(string, optional, tag = "9")]
    pub webui_url: Option<String>,
    #[prost(message, repeated, tag = "10")]
    pub capabilities: Vec<FrameworkCapability>,
    #[prost(message, optional, tag = "11")]
    pub labels: Option<Labels>,
    #[prost(string, repeated, tag = "12")]
    pub roles: Vec<String>,
    #[prost(btree_map = "string, message", tag = "13")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub offer_filters: BTreeMap<String, OfferFilters>,
}

impl FrameworkInfo {
    /// Whether the framework declared this capability.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        self.capabilities.iter().any(|c| c.r#type == capability.wire())
    }
}

/// A capability of a framework.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct FrameworkCapability {
    #[prost(enumeration = "Capability", optional, tag = "1")]
    #[serde(with = "Name::<Capability>")]
    pub r#type: Option<i32>,
}

impl From<Capability> for FrameworkCapability {
    fn from(capability: Capability) -> FrameworkCapability {
        FrameworkCapability { r#type: capability.wire() }
    }
}

/// The smallest offers that a role of a framework wants to see.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct OfferFilters {
    #[prost(message, optional, tag = "1")]
    pub min_allocatable_resources: Option<MinAllocatableResources>,
}

/// Alternatives: an offer passes when it holds all of one of them.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct MinAllocatableResources {
    #[prost(message, repeated, tag = "1")]
    pub quantities: Vec<ResourceQuantities>,
}

/// Amounts by resource name.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceQuantities {
    #[prost(btree_map = "string, message", tag = "1")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub quantities: BTreeMap<String, Scalar>,
}

/// Which agents a framework wants offers of, by role.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct OfferConstraints {
    #[prost(btree_map = "string, message", tag = "1")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub role_constraints: BTreeMap<String, RoleConstraints>,
}

/// Alternatives: an agent passes when it meets one group.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct RoleConstraints {
    #[prost(message, repeated, tag = "1")]
    pub groups: Vec<ConstraintGroup>,
}

/// Constraints that must all hold.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ConstraintGroup {
    #[prost(message, repeated, tag = "1")]
    pub attribute_constraints: Vec<AttributeConstraint>,
}

/// A predicate over one attribute.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct AttributeConstraint {
    #[prost(message, optional, tag = "1")]
    pub selector: Option<AttributeSelector>,
    #[prost(message, optional, tag = "2")]
    pub predicate: Option<AttributePredicate>,
}

/// Which attribute a constraint looks at.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct AttributeSelector {
    #[prost(enumeration = "PseudoAttribute", optional, tag = "1")]
    #[serde(with = "Name::<PseudoAttribute>")]
    pub pseudoattribute_type: Option<i32>,
    #[prost(string, optional, tag = "2")]
    pub attribute_name: Option<String>,
}

/// What must be true of the attribute; one field is set.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct AttributePredicate {
    #[prost(message, optional, tag = "1")]
    pub exists: Option<Marker>,
    #[prost(message, optional, tag = "2")]
    pub not_exists: Option<Marker>,
    #[prost(message, optional, tag = "3")]
    pub text_equals: Option<TextPredicate>,
    #[prost(message, optional, tag = "4")]
    pub text_not_equals: Option<TextPredicate>,
    #[prost(message, optional, tag = "5")]
    pub text_matches: Option<RegexPredicate>,
    #[prost(message, optional, tag = "6")]
    pub text_not_matches: Option<RegexPredicate>,
}

/// A text to compare with.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct TextPredicate {
    #[prost(string, optional, tag = "1")]
    pub value: Option<String>,
}

/// A regular expression (RE2) to match with.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct RegexPredicate {
    #[prost(string, optional, tag = "1")]
    pub regex: Option<String>,
}

/// An executor. All tasks that share one on an agent must describe it identically.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecutorInfo {
    #[prost(message, required, tag = "1")]
    pub executor_id: ExecutorId,
    #[prost(bytes = "vec", optional, tag = "4")]
    #[serde(with = "Base64")]
    pub data: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "5")]
    pub resources: Vec<Resource>,
    #[prost(message, optional, tag = "7")]
    pub command: Option<CommandInfo>,
    #[prost(message, optional, tag = "8")]
    pub framework_id: Option<FrameworkId>,
    #[prost(string, optional, tag = "9")]
    pub name: Option<String>,
    #[prost(string, optional, tag = "10")]
    pub source: Option<String>,
    #[prost(message, optional, tag = "11")]
    pub container: Option<ContainerInfo>,
    #[prost(message, optional, tag = "12")]
    pub discovery: Option<DiscoveryInfo>,
    #[prost(message, optional, tag = "13")]
    pub shutdown_grace_period: Option<DurationInfo>,
    #[prost(message, optional, tag = "14")]
    pub labels: Option<Labels>,
    #[prost(enumeration = "ExecutorType", optional, tag = "15")]
    #[serde(with = "Name::<ExecutorType>")]
    pub r#type: Option<i32>,
}

/// An agent as it introduces itself.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentInfo {
    #[prost(string, required, tag = "1")]
    pub hostname: String,
    #[prost(message, repeated, tag = "3")]
    pub resources: Vec<Resource>,
    #[prost(message, repeated, tag = "5")]
    pub attributes: Vec<Attribute>,
    #[prost(message, optional, tag = "6")]
    pub id: Option<AgentId>,
    #[prost(int32, optional, tag = "8", default = "5051")]
    pub port: Option<i32>,
    #[prost(message, optional, tag = "10")]
    pub domain: Option<DomainInfo>,
}

/// The leading master.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct MasterInfo {
    #[prost(string, required, tag = "1")]
    pub id: String,
    /// The IPv4 address, its first octet in the lowest byte.
    #[prost(uint32, required, tag = "2")]
    pub ip: u32,
    #[prost(uint32, required, tag = "3")]
    pub port: u32,
    #[prost(string, optional, tag = "4")]
    pub pid: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub hostname: Option<String>,
    #[prost(string, optional, tag = "6")]
    pub version: Option<String>,
    #[prost(message, optional, tag = "7")]
    pub address: Option<Address>,
    #[prost(message, optional, tag = "8")]
    pub domain: Option<DomainInfo>,
    #[prost(message, repeated, tag = "9")]
    pub capabilities: Vec<MasterCapability>,
}

impl MasterInfo {
    /// The region of its fault domain.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.domain.as_ref()?.region()
    }
}

/// A capability of a master.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct MasterCapability {
    #[prost(enumeration = "MasterCapabilityType", optional, tag = "1")]
    #[serde(with = "Name::<MasterCapabilityType>")]
    pub r#type: Option<i32>,
}
