//! Where the Tasks of Apps are, and which machines are to be taken away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::objects::is;
use crate::api::{Agent, Maintenance, Task};
use crate::plan::ObjectName;
use crate::registry::{Change, Doc};
use crate::runtime::Index;

/// Tasks per App on each machine, and planned maintenance, by the agent as Mesos names it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Places {
    /// No empty map stands in here, and no 0.
    by_agent: BTreeMap<Arc<str>, BTreeMap<ObjectName, usize>>,
    maintained: BTreeMap<String, Maintenance>,
}

impl Places {
    /// Apps whose Tasks are on a machine of which another plan is known than before.
    pub(super) fn concerned(&self, change: &Change) -> Vec<ObjectName> {
        if !is::<Agent>(&change.key) {
            return Vec::new();
        }
        let (before, after) = (change.old.as_ref().and_then(planned), change.new.as_ref().and_then(planned));
        if before == after {
            return Vec::new();
        }
        let agents: BTreeSet<String> = before.into_iter().chain(after).map(|(agent, _)| agent).collect();
        let apps = agents.iter().filter_map(|agent| self.by_agent.get(agent.as_str()));
        apps.flat_map(|apps| apps.keys().cloned()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The plans for the machines that `tasks` are on.
    pub(super) fn maintained<'t>(
        &self,
        tasks: impl Iterator<Item = &'t Task>,
    ) -> BTreeMap<String, Maintenance> {
        if self.maintained.is_empty() {
            return BTreeMap::new();
        }
        let agents = tasks.filter_map(|task| Some(&task.spec.binding.as_ref()?.agent_id));
        agents.filter_map(|agent| Some((agent.clone(), self.maintained.get(agent)?.clone()))).collect()
    }

    fn leave(&mut self, agent: &str, app: &ObjectName) {
        let Some(apps) = self.by_agent.get_mut(agent) else { return };
        if let Some(count) = apps.get_mut(app) {
            *count -= 1;
            if *count == 0 {
                apps.remove(app);
            }
        }
        if apps.is_empty() {
            self.by_agent.remove(agent);
        }
    }

    fn join(&mut self, agent: &str, app: ObjectName) {
        let apps = match self.by_agent.get_mut(agent) {
            Some(apps) => apps,
            None => self.by_agent.entry(Arc::from(agent)).or_default(),
        };
        *apps.entry(app).or_default() += 1;
    }
}

impl Index for Places {
    fn apply(&mut self, change: &Change) {
        if is::<Agent>(&change.key) {
            if let Some((agent, _)) = change.old.as_ref().and_then(planned) {
                self.maintained.remove(&agent);
            }
            self.maintained.extend(change.new.as_ref().and_then(planned));
        } else if is::<Task>(&change.key) {
            let (before, after) = (change.old.as_ref().and_then(place), change.new.as_ref().and_then(place));
            if before == after {
                return;
            }
            if let Some((agent, app)) = before {
                self.leave(&agent, &app);
            }
            if let Some((agent, app)) = after {
                self.join(&agent, app);
            }
        }
    }
}

/// The machine that a living Task is on, and its App.
fn place(doc: &Arc<Doc>) -> Option<(String, ObjectName)> {
    let task = doc.typed::<Task>().ok().filter(|task| !task.is_terminal())?;
    let agent = task.spec.binding.as_ref()?.agent_id.clone();
    Some((agent, ObjectName::new(&doc.key().namespace, &task.spec.app)))
}

/// A machine and the plan to take it away.
fn planned(doc: &Arc<Doc>) -> Option<(String, Maintenance)> {
    let status = doc.typed::<Agent>().ok()?.status.clone()?;
    Some((status.agent_id, status.maintenance?))
}
