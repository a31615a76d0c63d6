//! Resources, attributes and their values.

use serde::{Deserialize, Serialize};

use super::container::Volume;
use super::enums::{DiskSourceType, ReservationType, ValueType};
use super::ids::ResourceProviderId;
use super::json::{Double, Name};
use super::task::Labels;

/// A number. On the wire a double, worth three decimals.
#[derive(Clone, Copy, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Scalar {
    #[prost(double, required, tag = "1")]
    #[serde(with = "Double")]
    pub value: f64,
}

/// Numbers from `begin` to `end`, both included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Range {
    #[prost(uint64, required, tag = "1")]
    pub begin: u64,
    #[prost(uint64, required, tag = "2")]
    pub end: u64,
}

/// Several ranges, in no order.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Ranges {
    #[prost(message, repeated, tag = "1")]
    pub range: Vec<Range>,
}

/// Several words.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Set {
    #[prost(string, repeated, tag = "1")]
    pub item: Vec<String>,
}

/// A text value of an attribute.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Text {
    #[prost(string, required, tag = "1")]
    pub value: String,
}

/// A fact about an agent, told by its operator.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Attribute {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(enumeration = "ValueType", optional, tag = "2")]
    #[serde(with = "Name::<ValueType>")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "3")]
    pub scalar: Option<Scalar>,
    #[prost(message, optional, tag = "4")]
    pub ranges: Option<Ranges>,
    #[prost(message, optional, tag = "5")]
    pub text: Option<Text>,
    #[prost(message, optional, tag = "6")]
    pub set: Option<Set>,
}

/// An amount of something that an agent has: offered, or used by a task.
///
/// Copy what is used from the offer and cut it down: role, reservation, allocation and disk must match the offer's.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Resource {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(enumeration = "ValueType", optional, tag = "2")]
    #[serde(with = "Name::<ValueType>")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "3")]
    pub scalar: Option<Scalar>,
    #[prost(message, optional, tag = "4")]
    pub ranges: Option<Ranges>,
    #[prost(message, optional, tag = "5")]
    pub set: Option<Set>,
    #[prost(string, optional, tag = "6")]
    pub role: Option<String>,
    // Large and rare: boxed, for there are five resources in every offer.
    #[prost(message, optional, boxed, tag = "7")]
    pub disk: Option<Box<DiskInfo>>,
    #[prost(message, optional, boxed, tag = "8")]
    pub reservation: Option<Box<ReservationInfo>>,
    #[prost(message, optional, tag = "9")]
    pub revocable: Option<Marker>,
    #[prost(message, optional, tag = "10")]
    pub shared: Option<Marker>,
    #[prost(message, optional, tag = "11")]
    pub allocation_info: Option<AllocationInfo>,
    #[prost(message, optional, tag = "12")]
    pub provider_id: Option<ResourceProviderId>,
    #[prost(message, repeated, tag = "13")]
    pub reservations: Vec<ReservationInfo>,
}

/// A message without fields whose presence says something.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Marker {}

/// The role that a resource was offered to.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct AllocationInfo {
    #[prost(string, optional, tag = "1")]
    pub role: Option<String>,
}

/// For whom a resource is kept.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ReservationInfo {
    #[prost(string, optional, tag = "1")]
    pub principal: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub labels: Option<Labels>,
    #[prost(string, optional, tag = "3")]
    pub role: Option<String>,
    #[prost(enumeration = "ReservationType", optional, tag = "4")]
    #[serde(with = "Name::<ReservationType>")]
    pub r#type: Option<i32>,
}

/// What kind of disk a disk resource is.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskInfo {
    #[prost(message, optional, tag = "1")]
    pub persistence: Option<Persistence>,
    #[prost(message, optional, tag = "2")]
    pub volume: Option<Volume>,
    #[prost(message, optional, tag = "3")]
    pub source: Option<DiskSource>,
}

/// The name of a persistent volume.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Persistence {
    #[prost(string, required, tag = "1")]
    pub id: String,
    #[prost(string, optional, tag = "2")]
    pub principal: Option<String>,
}

/// The device or directory behind a disk resource.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskSource {
    #[prost(enumeration = "DiskSourceType", optional, tag = "1")]
    #[serde(with = "Name::<DiskSourceType>")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub path: Option<DiskRoot>,
    #[prost(message, optional, tag = "3")]
    pub mount: Option<DiskRoot>,
    #[prost(string, optional, tag = "4")]
    pub id: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub metadata: Option<Labels>,
    #[prost(string, optional, tag = "6")]
    pub profile: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub vendor: Option<String>,
}

/// The directory of a disk source.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskRoot {
    #[prost(string, optional, tag = "1")]
    pub root: Option<String>,
}
