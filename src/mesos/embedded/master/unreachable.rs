//! The tasks of agents that became unreachable in this master's life.

use std::collections::{BTreeMap, BTreeSet};

use crate::mesos::wire::{AgentId, FrameworkId, TaskId};

type Key = (FrameworkId, TaskId);

/// By agent, and all together: the id of a task that may come back must not be used again.
#[derive(Debug, Default)]
pub(super) struct UnreachableTasks {
    by_agent: BTreeMap<AgentId, BTreeSet<Key>>,
    all: BTreeSet<Key>,
}

impl UnreachableTasks {
    pub(super) fn insert(&mut self, agent: &AgentId, tasks: BTreeSet<Key>) {
        self.all.extend(tasks.iter().cloned());
        self.by_agent.insert(agent.clone(), tasks);
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn contains(&self, task: &Key) -> bool {
        self.all.contains(task)
    }

    /// The agent is back, or will never be. Returns its tasks.
    pub(super) fn remove_agent(&mut self, agent: &AgentId) -> BTreeSet<Key> {
        let tasks = self.by_agent.remove(agent).unwrap_or_default();
        for task in &tasks {
            self.all.remove(task);
        }
        tasks
    }

    pub(super) fn remove_framework(&mut self, framework: &FrameworkId) {
        self.all.retain(|task| task.0 != *framework);
        for tasks in self.by_agent.values_mut() {
            tasks.retain(|task| task.0 != *framework);
        }
    }
}
