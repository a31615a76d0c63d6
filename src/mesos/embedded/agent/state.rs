//! What an agent knows, and how each fact changes it. No I/O: the same changes are applied live and from the journal.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::mesos::embedded::launcher::{Launch, Recalled};
use crate::mesos::embedded::protocol;
use crate::mesos::wire::{AgentId, FrameworkId, TaskId, TaskState, TaskStatus};

/// One fact, as it stands in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Entry {
    /// A master gave us this id.
    Registered(AgentId),
    /// A task is about to be started.
    Launched(Box<Launch>),
    /// A task's next status, to be delivered until it is acknowledged.
    Updated(Box<Updated>),
    /// The framework has stored a status.
    Acknowledged(Acknowledged),
    /// The uuids of earlier statuses of a task, for a journal that starts anew.
    Heard(Heard),
    /// A framework is gone with all its tasks.
    FrameworkRemoved(FrameworkId),
}

/// See [`Entry::Updated`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Updated {
    /// Whose task.
    pub framework_id: FrameworkId,
    /// With a uuid.
    pub status: TaskStatus,
}

/// See [`Entry::Acknowledged`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Acknowledged {
    /// Whose task.
    pub framework_id: FrameworkId,
    /// Which task.
    pub task_id: TaskId,
    /// Of the status.
    pub uuid: Vec<u8>,
}

/// See [`Entry::Heard`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heard {
    /// Whose task.
    pub framework_id: FrameworkId,
    /// Which task.
    pub task_id: TaskId,
    /// The oldest first.
    pub uuids: Vec<Vec<u8>>,
}

/// Of how many of a task's last statuses the uuids are kept.
const HEARD: usize = 100;

/// All that an agent must not forget.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AgentState {
    /// Absent until the first registration.
    pub agent_id: Option<AgentId>,
    /// Every task that is not both over and acknowledged. A task id is used once per machine, whatever the framework.
    pub tasks: BTreeMap<TaskId, Task>,
}

/// A task of an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// What was asked for.
    pub launch: Launch,
    /// The newest status; STAGING until there is one.
    pub latest: TaskStatus,
    /// Statuses that the framework has not acknowledged, the oldest first. Only the first is under way.
    pub pending: VecDeque<TaskStatus>,
    /// The last status that the framework acknowledged.
    pub acknowledged: Option<TaskStatus>,
    /// The uuids of the last statuses of its executor, which says again what it does not know to have come.
    pub heard: VecDeque<Vec<u8>>,
}

impl AgentState {
    /// Applies one fact. Facts about what is not (any longer) known change nothing.
    pub fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Registered(agent_id) => self.agent_id = Some(agent_id),
            Entry::Launched(launch) => {
                self.tasks.entry(launch.task_id().clone()).or_insert_with(|| Task::new(*launch));
            }
            Entry::Updated(updated) => {
                if let Some(task) = self.task_mut(&updated.framework_id, &updated.status.task_id) {
                    task.latest = updated.status.clone();
                    task.note_uuid(updated.status.uuid.as_ref());
                    task.pending.push_back(updated.status);
                }
            }
            Entry::Acknowledged(acknowledged) => self.acknowledge(&acknowledged),
            Entry::Heard(Heard { framework_id, task_id, uuids }) => {
                if let Some(task) = self.task_mut(&framework_id, &task_id) {
                    uuids.iter().for_each(|uuid| task.note_uuid(Some(uuid)));
                }
            }
            Entry::FrameworkRemoved(id) => self.tasks.retain(|_, task| task.launch.framework_id != id),
        }
    }

    /// The framework's task of this id.
    #[must_use]
    pub fn task(&self, framework_id: &FrameworkId, task_id: &TaskId) -> Option<&Task> {
        self.tasks.get(task_id).filter(|task| task.launch.framework_id == *framework_id)
    }

    fn task_mut(&mut self, framework_id: &FrameworkId, task_id: &TaskId) -> Option<&mut Task> {
        self.tasks.get_mut(task_id).filter(|task| task.launch.framework_id == *framework_id)
    }

    fn acknowledge(&mut self, acknowledged: &Acknowledged) {
        let Some(task) = self.task_mut(&acknowledged.framework_id, &acknowledged.task_id) else {
            return;
        };
        if task.in_flight().and_then(|status| status.uuid.as_ref()) != Some(&acknowledged.uuid) {
            return;
        }
        task.acknowledged = task.pending.pop_front();
        if task.is_over() {
            self.tasks.remove(&acknowledged.task_id);
        }
    }

    /// The facts that lead to this state, for a journal that starts anew.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.agent_id.iter().cloned().map(Entry::Registered).collect();
        for task in self.tasks.values() {
            entries.push(Entry::Launched(Box::new(task.launch.clone())));
            let framework_id = &task.launch.framework_id;
            if !task.heard.is_empty() {
                entries.push(Entry::Heard(Heard {
                    framework_id: framework_id.clone(),
                    task_id: task.launch.task_id().clone(),
                    uuids: task.heard.iter().cloned().collect(),
                }));
            }
            for status in task.acknowledged.iter().chain(&task.pending) {
                let updated = Updated { framework_id: framework_id.clone(), status: status.clone() };
                entries.push(Entry::Updated(Box::new(updated)));
            }
            if let Some(status) = &task.acknowledged {
                entries.push(Entry::Acknowledged(Acknowledged {
                    framework_id: framework_id.clone(),
                    task_id: status.task_id.clone(),
                    uuid: status.uuid.clone().unwrap_or_default(),
                }));
            }
        }
        entries
    }

    /// The tasks as a launcher is reminded of them.
    #[must_use]
    pub fn recalled(&self) -> Vec<Recalled> {
        let recalled = |task: &Task| Recalled {
            launch: task.launch.clone(),
            latest: task.latest.clone(),
            heard: task.heard.iter().cloned().collect(),
        };
        self.tasks.values().map(recalled).collect()
    }

    /// The tasks as a master is told of them.
    #[must_use]
    pub fn report(&self) -> Vec<protocol::AgentTask> {
        self.tasks.values().map(Task::report).collect()
    }
}

impl Task {
    fn new(launch: Launch) -> Task {
        let latest = TaskStatus::of(launch.task_id().clone(), TaskState::Staging);
        Task { launch, latest, pending: VecDeque::new(), acknowledged: None, heard: VecDeque::new() }
    }

    /// Only executors say anything twice.
    fn note_uuid(&mut self, uuid: Option<&Vec<u8>>) {
        let Some(uuid) =
            uuid.filter(|uuid| self.launch.task.executor.is_some() && !self.heard.contains(uuid))
        else {
            return;
        };
        self.heard.push_back(uuid.clone());
        if self.heard.len() > HEARD {
            self.heard.pop_front();
        }
    }

    /// The status that is under way to the framework.
    #[must_use]
    pub fn in_flight(&self) -> Option<&TaskStatus> {
        self.pending.front()
    }

    /// Whether it has ended at this agent.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.latest.state().is_terminal()
    }

    /// Whether it has ended and the framework knows.
    fn is_over(&self) -> bool {
        self.has_ended() && self.pending.is_empty()
    }

    fn report(&self) -> protocol::AgentTask {
        let staging = TaskStatus::of(self.launch.task_id().clone(), TaskState::Staging);
        let mut status = self.in_flight().or(self.acknowledged.as_ref()).cloned().unwrap_or(staging);
        if status.container_status.is_none() {
            // What the agent says by itself is about no container; the last one is repeated.
            status.container_status = self.acknowledged.as_ref().and_then(|it| it.container_status.clone());
        }
        protocol::AgentTask {
            framework_id: self.launch.framework_id.clone(),
            task: self.launch.task.clone(),
            latest: self.latest.state(),
            status,
        }
    }
}
