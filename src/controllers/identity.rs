//! Who this installation is to Mesos, remembered in the store; and that Mesos has removed it, which is final until a person decides.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::contact::Contact;
use super::framework::FRAMEWORK_ID;
use super::objects::{Stored, resource};
use crate::api::Task;
use crate::mesos::session::{Identity, IdentityError};
use crate::mesos::wire::{
    AgentId, FrameworkId, FrameworkInfo, Reason, Source, TaskId, TaskState, TaskStatus,
};
use crate::registry::Cache;
use crate::runtime::{Facts, Term};

/// The fact under which it stands that Mesos has removed the framework of this id. A master that leads anew has forgotten it and
/// would take the id again.
const REMOVED: &str = "framework-removed";

/// Who this installation is to Mesos.
#[derive(Debug)]
pub(super) struct StoredIdentity {
    pub(super) facts: Facts,
    pub(super) term: Term,
    pub(super) cache: Arc<Cache>,
    /// Everything but the id.
    pub(super) framework: FrameworkInfo,
    /// The removed framework in whose place a person wants a new one.
    pub(super) anew: Option<Arc<str>>,
    /// Whoever looks is told there of a removal.
    pub(super) contact: Contact,
    /// To the status writer.
    pub(super) updates: mpsc::Sender<TaskStatus>,
}

#[async_trait]
impl Identity for StoredIdentity {
    async fn framework(&self) -> Result<FrameworkInfo, IdentityError> {
        let deposed = || IdentityError { message: "this process does not lead any more".to_owned() };
        if !self.term.is_held() {
            return Err(deposed());
        }
        let info = self.introduction().await?;
        // A clock that stood still with its machine says nothing, and the master would take the SUBSCRIBE of a deposed leader.
        if !self.is_ours().await? {
            self.term.depose();
            return Err(deposed());
        }
        Ok(info)
    }

    async fn registered(&self, id: &FrameworkId) -> Result<(), IdentityError> {
        let known = self.known().await?;
        let established = match self.removed(known.as_ref()).await? {
            Some(removed) if self.is_given_up(removed) => {
                self.facts.replace(&self.term, FRAMEWORK_ID, &id.value).await
            }
            _ => self.facts.establish(&self.term, FRAMEWORK_ID, &id.value).await,
        };
        established.map_err(|error| IdentityError { message: error.to_string() })
    }

    async fn is_ours(&self) -> Result<bool, IdentityError> {
        let in_force = self.term.is_in_force().await;
        in_force.map_err(|error| IdentityError { message: error.to_string() })
    }

    fn may_act(&self) -> bool {
        self.term.is_held()
    }
}

/// What a person must do about a removed framework.
fn until_told(removed: &FrameworkId) -> String {
    format!(
        "Mesos has removed framework {removed} and ended all its tasks (an operator tore it down, or no server led for a week); \
         nothing is launched until a server is started with --mesos-register-anew {removed}, which registers a new \
         framework and starts all Apps again"
    )
}

/// The end of a task of a removed framework. On an agent that is cut off it may run until that is back.
fn ended_with(removed: &FrameworkId, task: &Task) -> Option<TaskStatus> {
    let binding = task.spec.binding.as_ref()?;
    Some(TaskStatus {
        agent_id: Some(AgentId::new(&*binding.agent_id)),
        source: Source::Master.wire(),
        reason: Reason::FrameworkRemoved.wire(),
        message: Some(format!("Mesos removed framework {removed} with all its tasks")),
        ..TaskStatus::of(TaskId::new(&*binding.mesos_task_id), TaskState::Lost)
    })
}

impl StoredIdentity {
    /// The framework as the store knows it.
    async fn introduction(&self) -> Result<FrameworkInfo, IdentityError> {
        let failed = |message: String| IdentityError { message };
        let id = self.known().await?;
        let removed = self.removed(id.as_ref()).await?;
        self.contact.removed(removed.is_some_and(|removed| !self.is_given_up(removed)));
        if let Some(removed) = removed {
            self.tell_the_end(removed).await?;
            return match self.is_given_up(removed) {
                true => Ok(FrameworkInfo { id: None, ..self.framework.clone() }),
                false => Err(failed(until_told(removed))),
            };
        }
        if id.is_none() && self.has_launched().await? {
            return Err(failed(format!(
                "tasks were launched before, but the framework's id ({FRAMEWORK_ID}) is missing from the store: \
                 registering anew would start them twice"
            )));
        }
        Ok(FrameworkInfo { id, ..self.framework.clone() })
    }

    /// The id that is remembered.
    async fn known(&self) -> Result<Option<FrameworkId>, IdentityError> {
        let known = self.facts.read(FRAMEWORK_ID).await;
        let known = known.map_err(|error| IdentityError { message: error.to_string() })?;
        Ok(known.map(|id| FrameworkId::new(String::from_utf8_lossy(&id))))
    }

    /// `id`, if Mesos has removed it.
    async fn removed<'a>(
        &self,
        id: Option<&'a FrameworkId>,
    ) -> Result<Option<&'a FrameworkId>, IdentityError> {
        let Some(id) = id else { return Ok(None) };
        let removed = self.facts.read(REMOVED).await;
        let removed = removed.map_err(|error| IdentityError { message: error.to_string() })?;
        Ok(removed.filter(|removed| **removed == *id.value.as_bytes()).map(|_| id))
    }

    /// Whether a person has said that a new framework shall take its place.
    fn is_given_up(&self, removed: &FrameworkId) -> bool {
        self.anew.as_deref() == Some(&*removed.value)
    }

    /// The master has removed the framework, which had launched tasks: remembers that it is over with it. Tells what a person
    /// must do.
    pub(super) async fn remember_removal(&self) -> Result<String, IdentityError> {
        let Some(id) = self.known().await? else {
            return Err(IdentityError { message: format!("the fact {FRAMEWORK_ID} has vanished") });
        };
        let remembered = self.facts.replace(&self.term, REMOVED, &id.value).await;
        remembered.map_err(|error| IdentityError { message: error.to_string() })?;
        Ok(until_told(&id))
    }

    /// The master has removed the framework. Forgets its id if nothing was launched as it, so that the next subscription
    /// registers anew: a server that died while it registered leaves such a framework behind. Says whether it did.
    pub(super) async fn forget_unused(&self) -> Result<bool, IdentityError> {
        if self.has_launched().await? {
            return Ok(false);
        }
        let retracted = self.facts.retract(&self.term, FRAMEWORK_ID).await;
        retracted.map(|()| true).map_err(|error| IdentityError { message: error.to_string() })
    }

    /// Tells of the Tasks of a removed framework that they have ended: Mesos tells nobody.
    async fn tell_the_end(&self, removed: &FrameworkId) -> Result<(), IdentityError> {
        let live = self.launched().await?.into_iter().filter(|task| !task.object.is_terminal());
        for status in live.filter_map(|task| ended_with(removed, &task.object)) {
            // The status writer goes only when the whole term does.
            let _over = self.updates.send(status).await;
        }
        Ok(())
    }

    /// Whether any Task that is stored was ever bound.
    async fn has_launched(&self) -> Result<bool, IdentityError> {
        Ok(!self.launched().await?.is_empty())
    }

    /// The Tasks that were ever bound.
    async fn launched(&self) -> Result<Vec<Stored<Task>>, IdentityError> {
        let failed = |error: &dyn std::fmt::Display| IdentityError { message: error.to_string() };
        let snapshot = self.cache.most_recent().await.map_err(|error| failed(&error))?;
        let tasks = snapshot.list(&resource::<Task>(), None).map(Stored::<Task>::read);
        let mut tasks = tasks.collect::<Result<Vec<_>, _>>().map_err(|error| failed(&error))?;
        tasks.retain(|task| task.object.spec.binding.is_some());
        Ok(tasks)
    }
}
