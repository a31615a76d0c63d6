//! Checks: how the executor finds out whether an instance works and whether it may get requests.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::Span;

/// One way to find out that an instance no longer works: exactly one of `http`, `tcp`, `exec`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheck {
    /// A GET that must be answered with 200 to 399.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// A connection that must be accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpCheck>,
    /// A command that must exit with 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecCheck>,
    /// Failures this soon after the start do not count, until the first success.
    pub grace_period: Span,
    /// The time from one check to the next.
    pub interval: Span,
    /// The time after which an unanswered check has failed.
    pub timeout: Span,
    /// So many failures in a row replace the instance; 0 shows them and replaces nothing.
    #[schemars(range(max = 1000))]
    pub max_consecutive_failures: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            http: None,
            tcp: None,
            exec: None,
            grace_period: Span::from_secs(300),
            interval: Span::from_secs(10),
            timeout: Span::from_secs(5),
            max_consecutive_failures: 3,
        }
    }
}

/// How to find out that an instance may get requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadinessCheck {
    /// A GET that must be answered with one of `statusCodes`.
    pub http: HttpCheck,
    /// The time from one check to the next.
    #[serde(default = "ReadinessCheck::default_interval")]
    pub interval: Span,
    /// The time after which an unanswered check has failed.
    #[serde(default = "ReadinessCheck::default_timeout")]
    pub timeout: Span,
    /// The statuses that mean ready.
    #[serde(default = "ReadinessCheck::default_status_codes")]
    #[schemars(length(min = 1), inner(range(min = 100, max = 999)))]
    pub status_codes: Vec<u16>,
}

impl ReadinessCheck {
    fn default_interval() -> Span {
        Span::from_secs(5)
    }
    fn default_timeout() -> Span {
        Span::from_secs(5)
    }
    fn default_status_codes() -> Vec<u16> {
        vec![200]
    }
}

impl Default for ReadinessCheck {
    fn default() -> Self {
        Self {
            http: HttpCheck::default(),
            interval: Self::default_interval(),
            timeout: Self::default_timeout(),
            status_codes: Self::default_status_codes(),
        }
    }
}

/// A GET to an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpCheck {
    /// Name of one of the ports, or a number that the instance listens at, among the ports or not; absent, the first port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<CheckPort>,
    /// Path and query.
    pub path: String,
}

impl Default for HttpCheck {
    fn default() -> Self {
        Self { port: None, path: "/".to_owned() }
    }
}

/// A connection to an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpCheck {
    /// Name of one of the ports, or a number that the instance listens at, among the ports or not; absent, the first port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<CheckPort>,
}

/// A command inside the container, or beside a plain process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecCheck {
    /// Program and arguments; there is no shell but the one named here.
    #[schemars(length(min = 1))]
    pub command: Vec<String>,
}

/// The port that a check goes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CheckPort {
    /// This number, inside the container.
    Number(u16),
    /// The port of this name.
    Name(String),
}

impl JsonSchema for CheckPort {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "CheckPort".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"x-kubernetes-int-or-string": true})
    }
}
