//! What is kept at hand of machines: what our Tasks use of them, and which are lost.

use std::collections::{BTreeMap, BTreeSet};

use super::objects::{is, name_of};
use crate::api::{Agent, Phase, Resources, Task};
use crate::plan::{ObjectName, agent};
use crate::registry::{Change, Doc};
use crate::runtime::Index;

/// What our Tasks take, per agent and Task; and which machines are lost.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Machines {
    by_agent: BTreeMap<String, BTreeMap<ObjectName, Taken>>,
    pub(super) lost: BTreeSet<ObjectName>,
}

/// What a Task takes of its machine. What is lent to it is none of that: no total knows of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Taken {
    pub(super) resources: Resources,
    /// Whether its agent has reported it. Of a Task that is merely bound nobody knows whether its offer was accepted.
    pub(super) is_reported: bool,
}

impl Machines {
    /// What our Tasks take of one machine.
    pub(super) fn taken(&self, agent_id: &str) -> impl Iterator<Item = (&ObjectName, &Taken)> {
        self.by_agent.get(agent_id).into_iter().flatten()
    }
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
        if let Some((agent, _)) = change.old.as_ref().and_then(|doc| taken(doc))
            && let Some(tasks) = self.by_agent.get_mut(&agent)
        {
            tasks.remove(&name);
            if tasks.is_empty() {
                self.by_agent.remove(&agent);
            }
        }
        if let Some((agent, taken)) = change.new.as_ref().and_then(|doc| taken(doc)) {
            self.by_agent.entry(agent).or_default().insert(name, taken);
        }
    }
}

fn taken(doc: &Doc) -> Option<(String, Taken)> {
    let task = doc.typed::<Task>().ok().filter(|task| !task.is_terminal())?;
    let binding = task.spec.binding.as_ref()?;
    let is_reported = matches!(task.phase(), Phase::Launching | Phase::Running | Phase::Stopping);
    Some((
        binding.agent_id.clone(),
        Taken { resources: binding.resources.without(&binding.revocable), is_reported },
    ))
}
