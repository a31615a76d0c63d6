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

/// What the cluster offers to a framework.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    /// For these Mesos roles; the first one is that of Apps that name none.
    pub(super) roles: Vec<String>,
    /// Whether it also lends what is to be given back when it is wanted.
    pub(super) lends: bool,
}

impl Terms {
    pub(super) fn of(framework: &FrameworkInfo) -> Terms {
        Terms { roles: framework.roles.clone(), lends: framework.has(Capability::RevocableResources) }
    }
}

/// The same framework, to which Mesos also offers what it lends.
#[must_use]
pub fn borrowing(mut framework: FrameworkInfo) -> FrameworkInfo {
    framework.capabilities.push(Capability::RevocableResources.into());
    framework
}

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
