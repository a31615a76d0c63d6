//! What the tests of sessions share, whichever way their calls go.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::{Identity, IdentityError};
use crate::mesos::leases::Lease;
use crate::mesos::wire::{
    Capability, CommandInfo, FrameworkId, FrameworkInfo, Operation, Resource, TaskId, TaskInfo,
};

/// Remembers the framework's id, unless the store is down.
#[derive(Debug, Default)]
pub(in crate::mesos) struct Remembered {
    pub(in crate::mesos) id: Mutex<Option<FrameworkId>>,
    pub(in crate::mesos) principal: Option<String>,
    pub(in crate::mesos) store_down: AtomicBool,
    pub(in crate::mesos) deposed: AtomicBool,
    /// Whether the store does not tell who this is.
    pub(in crate::mesos) unknown: AtomicBool,
    /// Whether the store names nobody else.
    pub(in crate::mesos) is_ours: AtomicBool,
}

#[async_trait]
impl Identity for Remembered {
    async fn framework(&self) -> Result<FrameworkInfo, IdentityError> {
        if self.unknown.load(Ordering::Relaxed) {
            return Err(IdentityError { message: "the id is missing".to_owned() });
        }
        let capabilities = [Capability::PartitionAware, Capability::MultiRole, Capability::TaskKillingState];
        Ok(FrameworkInfo {
            user: "root".to_owned(),
            name: "test".to_owned(),
            id: self.id.lock().unwrap().clone(),
            failover_timeout: Some(600.0),
            checkpoint: Some(true),
            principal: self.principal.clone(),
            roles: vec!["web".to_owned()],
            capabilities: capabilities.map(Into::into).into(),
            ..FrameworkInfo::default()
        })
    }

    async fn registered(&self, id: &FrameworkId) -> Result<(), IdentityError> {
        if self.store_down.load(Ordering::Relaxed) {
            return Err(IdentityError { message: "the store is down".to_owned() });
        }
        *self.id.lock().unwrap() = Some(id.clone());
        Ok(())
    }

    async fn is_ours(&self) -> Result<bool, IdentityError> {
        if self.store_down.load(Ordering::Relaxed) {
            return Err(IdentityError { message: "the store is down".to_owned() });
        }
        Ok(self.is_ours.load(Ordering::Relaxed))
    }

    fn may_act(&self) -> bool {
        !self.deposed.load(Ordering::Relaxed)
    }
}

/// One task of these resources, on the agent of `lease`.
pub(in crate::mesos) fn launch(lease: &Lease, id: &str, resources: Vec<Resource>) -> Vec<Operation> {
    let task = TaskInfo {
        name: id.to_owned(),
        task_id: TaskId::new(id),
        agent_id: lease.offer.agent_id.clone(),
        resources,
        command: Some(CommandInfo { value: Some("sleep 1000".to_owned()), ..CommandInfo::default() }),
        ..TaskInfo::default()
    };
    vec![Operation::launch(vec![task])]
}
