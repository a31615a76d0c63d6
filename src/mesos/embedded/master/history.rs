//! What only operators ask about: what tasks were launched with and what was told of them, and what is over. It is kept where
//! somebody can ask ([`MasterConfig::history`](super::MasterConfig)).

use std::collections::{BTreeMap, VecDeque};

use super::books::{FrameworkEntry, TaskEntry};
use super::state::{Master, Task};
use crate::mesos::embedded::bundle::Bundle;
use crate::mesos::embedded::record::TaskRecord;
use crate::mesos::wire::{FrameworkId, Reason, TaskId, TaskInfo, TaskState, TaskStatus};

type Key = (FrameworkId, TaskId);

/// How many tasks of a framework are remembered that are over, and how many frameworks. Mesos's own numbers.
const TASKS: usize = 1000;
const FRAMEWORKS: usize = 50;

/// What is over, or out of reach.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) tasks: BTreeMap<FrameworkId, VecDeque<TaskEntry>>,
    pub(super) unreachable: BTreeMap<Key, TaskEntry>,
    pub(super) frameworks: VecDeque<FrameworkEntry>,
}

impl History {
    fn over(&mut self, entry: TaskEntry) {
        let tasks = self.tasks.entry(entry.framework.clone()).or_default();
        tasks.push_back(entry);
        if tasks.len() > TASKS {
            tasks.pop_front();
        }
    }
}

impl Task {
    /// The task as operators see it.
    pub(super) fn entry(&self, (framework, id): &Key) -> TaskEntry {
        let (info, statuses) = match &self.told {
            Some(told) => (Some(told.info.clone()), told.statuses.clone()),
            None => (None, vec![self.status.clone()]),
        };
        let launched_with = info.as_ref().and_then(|info| Bundle::of(&info.resources).ok());
        TaskEntry {
            id: id.clone(),
            framework: framework.clone(),
            agent: self.agent.clone(),
            role: self.role.clone(),
            state: statuses.last().map_or(self.status.state(), TaskStatus::state),
            resources: launched_with.map_or_else(|| self.resources.clone(), |it| it.unallocated()),
            info,
            statuses,
        }
    }
}

impl Master {
    /// Remembers what a task was launched with.
    pub(super) fn remember(&mut self, key: &Key, info: &TaskInfo) {
        if !self.config.history {
            return;
        }
        let Some(task) = self.tasks.get_mut(key) else { return };
        task.told = Some(Box::new(TaskRecord::of(info)));
    }

    /// Remembers what was told of a task before this master knew it.
    pub(super) fn recall(&mut self, key: &Key, status: &TaskStatus) {
        if let Some(told) = self.tasks.get_mut(key).and_then(|task| task.told.as_mut()) {
            told.note(status);
        }
    }

    /// Remembers what is told of a task, and shows it to operators.
    pub(super) fn note(&mut self, key: &Key, status: &TaskStatus) {
        let Some(told) = self.tasks.get_mut(key).and_then(|task| task.told.as_mut()) else { return };
        let is_new = told.state() != Some(status.state());
        told.note(status);
        let is_of_a_check =
            [Reason::TaskCheckStatusUpdated, Reason::TaskHealthCheckStatusUpdated].contains(&status.reason());
        if is_new || is_of_a_check {
            self.show_update(key, status);
        }
    }

    /// A task that was known is not any more.
    pub(super) fn archive(&mut self, key: &Key, task: &Task) {
        if task.told.is_none() {
            return;
        }
        let entry = task.entry(key);
        if entry.state == TaskState::Unreachable {
            self.history.unreachable.insert(key.clone(), entry);
        } else {
            self.history.over(entry);
        }
    }

    /// A task that was out of reach will not come back.
    pub(super) fn archive_unreachable(&mut self, key: &Key, status: &TaskStatus) {
        if let Some(mut entry) = self.history.unreachable.remove(key) {
            entry.state = status.state();
            entry.statuses.push(status.clone());
            self.history.over(entry);
        }
    }

    /// A framework is not there any more.
    pub(super) fn archive_framework(&mut self, entry: FrameworkEntry) {
        if !self.config.history {
            return;
        }
        self.history.unreachable.retain(|(framework, _), _| *framework != entry.id);
        self.history.frameworks.push_back(entry);
        if self.history.frameworks.len() > FRAMEWORKS {
            let oldest = self.history.frameworks.pop_front();
            oldest.and_then(|it| self.history.tasks.remove(&it.id));
        }
    }
}
