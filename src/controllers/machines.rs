//! What is kept at hand of machines: what our Tasks use of them, and which are lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::objects::{is, name_of};
use crate::api::{Agent, Phase, Resources, Task};
use crate::plan::{ObjectName, agent};
use crate::registry::{Change, Doc};
use crate::runtime::Index;

/// What Tasks use that their agents have reported, per agent and Task; and which machines are lost.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Machines {
    pub(super) by_agent: BTreeMap<String, BTreeMap<ObjectName, Resources>>,
    pub(super) lost: BTreeSet<ObjectName>,
}

impl Index for Machines {
    fn apply(&mut self, change: &Change) {
        if is::<Agent>(&change.key) {
            let agent = change.new.as_ref().and_then(|doc| doc.typed::<Agent>().ok());
            let status = agent.and_then(|agent| agent.status.clone()).unwrap_or_default();
            let name = name_of(&change.key);
            if agent::is_lost(&status.conditions) {
                self.lost.insert(name)
            } else {
                self.lost.remove(&name)
            };
            return;
        }
        if !is::<Task>(&change.key) {
            return;
        }
        let name = name_of(&change.key);
        if let Some((agent, _)) = change.old.as_ref().and_then(|doc| used(doc))
            && let Some(tasks) = self.by_agent.get_mut(&agent)
        {
            tasks.remove(&name);
            if tasks.is_empty() {
                self.by_agent.remove(&agent);
            }
        }
        if let Some((agent, resources)) = change.new.as_ref().and_then(|doc| used(doc)) {
            self.by_agent.entry(agent).or_default().insert(name, resources);
        }
    }
}

fn used(doc: &Doc) -> Option<(String, Resources)> {
    // Of a Task that is merely bound nobody knows whether its offer was accepted.
    let reported =
        |task: &Arc<Task>| matches!(task.phase(), Phase::Launching | Phase::Running | Phase::Stopping);
    let task = doc.typed::<Task>().ok().filter(reported)?;
    let binding = task.spec.binding.as_ref()?;
    Some((binding.agent_id.clone(), binding.resources.clone()))
}
