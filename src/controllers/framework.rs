//! How Tenure introduces itself to a Mesos cluster.

use std::time::Duration;

use crate::mesos::wire::{Capability, FrameworkInfo};

/// The fact under which the framework's id is remembered.
pub const FRAMEWORK_ID: &str = "framework-id";
/// How long the cluster keeps our tasks running without a scheduler.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3600);

/// What Tenure can deal with.
const CAPABILITIES: [Capability; 6] = [
    Capability::PartitionAware,
    Capability::ReservationRefinement,
    Capability::MultiRole,
    Capability::TaskKillingState,
    Capability::GpuResources,
    Capability::RegionAware,
];

/// The framework of the installation called `name`, whose tasks run as `user` in one of `roles`, from the machine `hostname`.
#[must_use]
pub fn framework(name: &str, user: &str, roles: &[String], hostname: &str) -> FrameworkInfo {
    FrameworkInfo {
        user: user.to_owned(),
        name: name.to_owned(),
        failover_timeout: Some(FAILOVER_TIMEOUT.as_secs_f64()),
        checkpoint: Some(true),
        hostname: Some(hostname.to_owned()),
        capabilities: CAPABILITIES.into_iter().map(Into::into).collect(),
        roles: roles.to_vec(),
        ..FrameworkInfo::default()
    }
}
