//! What an agent's operator sees of its executors: those that run, and the last ones that have ended.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::executor::Executor;
use super::{Executors, Key};
use crate::mesos::embedded::bundle::Bundle;
use crate::mesos::embedded::master::TaskEntry;
use crate::mesos::embedded::record::{TaskRecord, without_secrets};
use crate::mesos::launcher::Recalled;
use crate::mesos::wire::{
    AgentId, AgentInfo, ExecutorInfo, FrameworkId, TaskId, TaskInfo, TaskState, TaskStatus,
};

/// Of how many of a task's last updates it is known that they came.
const UPDATES: usize = 100;
/// How many executors are remembered that have ended. Mesos: 150 of each framework.
const ENDED: usize = 150;

/// An agent and its executors, of one moment.
#[derive(Debug, Clone)]
pub struct Overview {
    /// With its id, once it has registered.
    pub info: AgentInfo,
    pub ip: String,
    pub started: Timestamp,
    pub work_dir: PathBuf,
    pub executors: Vec<ExecutorEntry>,
    /// The last ones that have ended.
    pub completed: Vec<ExecutorEntry>,
}

/// One executor.
#[derive(Debug, Clone)]
pub struct ExecutorEntry {
    pub framework: FrameworkId,
    /// Without its data and environment.
    pub info: ExecutorInfo,
    /// The name of its run.
    pub container: String,
    /// Its sandbox; empty until that is made.
    pub directory: PathBuf,
    pub tasks: Vec<TaskEntry>,
    /// Those that wait for it to subscribe.
    pub queued: Vec<TaskEntry>,
    /// The last ones that have ended.
    pub completed: Vec<TaskEntry>,
}

/// A task that was given to an executor, and what was heard of it.
#[derive(Debug)]
pub(super) struct Run {
    record: TaskRecord,
    /// Of the last updates: an executor says again what was not acknowledged.
    uuids: VecDeque<Vec<u8>>,
    /// Those of them that are not on the agent's disk yet.
    open: BTreeSet<Vec<u8>>,
}

impl Run {
    pub(super) fn new(info: &TaskInfo) -> Run {
        Run { record: TaskRecord::of(info), uuids: VecDeque::new(), open: BTreeSet::new() }
    }

    /// One of the journal.
    pub(super) fn recalled(task: &Recalled) -> Run {
        let mut run = Run { uuids: task.heard.iter().cloned().collect(), ..Run::new(&task.launch.task) };
        if task.latest.state() != TaskState::Staging {
            run.record.note(&task.latest);
        }
        run
    }

    pub(super) fn is_of(&self, task_id: &TaskId) -> bool {
        self.record.info.task_id == *task_id
    }

    pub(super) fn waits_for_disk(&self, uuid: &[u8]) -> bool {
        self.open.contains(uuid)
    }

    /// The update is on the disk; whether it waited for that.
    pub(super) fn journalled(&mut self, uuid: &[u8]) -> bool {
        self.open.remove(uuid)
    }

    /// The updates that wait, which do not any more.
    pub(super) fn unconfirmed(&mut self) -> Vec<(TaskId, Vec<u8>)> {
        std::mem::take(&mut self.open)
            .into_iter()
            .map(|uuid| (self.record.info.task_id.clone(), uuid))
            .collect()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.record.state().is_some_and(TaskState::is_terminal)
    }

    /// Whether nothing was heard of it.
    pub(super) fn is_new(&self) -> bool {
        self.record.state().is_none()
    }

    /// Takes in a status; whether it counts. What was heard before does not.
    pub(super) fn heard(&mut self, status: &TaskStatus) -> bool {
        if let Some(uuid) = &status.uuid {
            if self.uuids.contains(uuid) {
                return false;
            }
            self.uuids.push_back(uuid.clone());
            self.open.insert(uuid.clone());
            if self.uuids.len() > UPDATES {
                self.uuids.pop_front();
            }
        }
        self.record.note(status);
        true
    }

    fn entry(&self, framework: &FrameworkId, agent: &AgentId) -> TaskEntry {
        let TaskRecord { info, statuses } = &self.record;
        let role = info.resources.iter().find_map(|it| it.allocation_info.as_ref()?.role.as_deref());
        TaskEntry {
            id: info.task_id.clone(),
            framework: framework.clone(),
            agent: agent.clone(),
            role: Arc::from(role.unwrap_or("*")),
            state: self.record.state().unwrap_or(TaskState::Staging),
            resources: Bundle::of(&info.resources).unwrap_or_default().unallocated(),
            info: Some(info.clone()),
            statuses: statuses.clone(),
        }
    }
}

impl Executor {
    pub(super) fn entry(&self, (framework, _): &Key) -> ExecutorEntry {
        let entry = |run: &Run| run.entry(framework, &self.launch.agent_id);
        ExecutorEntry {
            framework: framework.clone(),
            info: without_secrets(self.info.clone()),
            container: self.container.clone(),
            directory: self.directory.clone(),
            tasks: self.tasks.values().map(entry).collect(),
            queued: self.queued.iter().map(|task| entry(&Run::new(task))).collect(),
            completed: self.completed.iter().map(entry).collect(),
        }
    }
}

/// The last executors that have ended.
#[derive(Debug, Default)]
pub(super) struct Ended(VecDeque<ExecutorEntry>);

impl Ended {
    pub(super) fn push(&mut self, entry: ExecutorEntry) {
        self.0.push_back(entry);
        if self.0.len() > ENDED {
            self.0.pop_front();
        }
    }
}

impl Overview {
    /// The agent's id; empty until it has registered.
    #[must_use]
    pub fn id(&self) -> AgentId {
        self.info.id.clone().unwrap_or_default()
    }
}

impl Executors {
    /// What there is now.
    #[must_use]
    pub fn overview(&self) -> Overview {
        let state = self.state();
        let config = &self.inner.config;
        Overview {
            info: AgentInfo { id: state.agent_id.clone(), ..config.agent.clone() },
            ip: config.address.ip().to_string(),
            started: self.inner.started,
            work_dir: config.work_dir.clone(),
            executors: state.executors.iter().map(|(key, it)| it.entry(key)).collect(),
            completed: state.ended.0.iter().cloned().collect(),
        }
    }
}
