//! What an agent's operator sees of its executors: those that run, and the last ones that have ended.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Executor, Executors, Key};
use crate::mesos::embedded::bundle::Bundle;
use crate::mesos::embedded::master::TaskEntry;
use crate::mesos::wire::{AgentId, AgentInfo, ExecutorInfo, FrameworkId, TaskInfo, TaskState, TaskStatus};

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
    /// Those that have ended.
    pub completed: Vec<TaskEntry>,
}

/// A task that was given to an executor, and what was heard of it.
#[derive(Debug)]
pub(super) struct Run {
    info: Arc<TaskInfo>,
    /// The last one of each state.
    statuses: Vec<TaskStatus>,
    /// Of all updates: an executor says again what was not acknowledged.
    uuids: BTreeSet<Vec<u8>>,
}

impl Run {
    pub(super) fn new(mut info: TaskInfo) -> Run {
        (info.data, info.command, info.executor) = (None, None, info.executor.map(plain));
        Run { info: Arc::new(info), statuses: Vec::new(), uuids: BTreeSet::new() }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.statuses.last().is_some_and(|status| status.state().is_terminal())
    }

    /// Takes in a status. What was heard before, and anything after the end, is not wanted, which is what is returned.
    pub(super) fn heard(&mut self, status: &TaskStatus) -> bool {
        let is_new = status.uuid.as_ref().is_none_or(|uuid| self.uuids.insert(uuid.clone()));
        if self.has_ended() || !is_new {
            return false;
        }
        self.statuses.pop_if(|last| last.state() == status.state());
        self.statuses.push(TaskStatus { data: None, ..status.clone() });
        true
    }

    fn entry(&self, framework: &FrameworkId, agent: &AgentId) -> TaskEntry {
        let role = self.info.resources.iter().find_map(|it| it.allocation_info.as_ref()?.role.as_deref());
        TaskEntry {
            id: self.info.task_id.clone(),
            framework: framework.clone(),
            agent: agent.clone(),
            role: Arc::from(role.unwrap_or("*")),
            state: self.statuses.last().map_or(TaskState::Staging, TaskStatus::state),
            resources: Bundle::of(&self.info.resources).unwrap_or_default().unallocated(),
            info: Some(self.info.clone()),
            statuses: self.statuses.clone(),
        }
    }
}

/// An executor as others may see it.
fn plain(mut info: ExecutorInfo) -> ExecutorInfo {
    info.data = None;
    if let Some(command) = &mut info.command {
        command.environment = None;
    }
    info
}

impl Executor {
    pub(super) fn entry(&self, (framework, _): &Key) -> ExecutorEntry {
        let entry = |run: &Run| run.entry(framework, &self.launch.agent_id);
        let (ended, alive): (Vec<&Run>, Vec<&Run>) = self.tasks.values().partition(|run| run.has_ended());
        ExecutorEntry {
            framework: framework.clone(),
            info: plain(self.info.clone()),
            container: self.container.clone(),
            directory: self.directory.clone(),
            tasks: alive.into_iter().map(entry).collect(),
            queued: self.queued.iter().map(|task| entry(&Run::new(task.clone()))).collect(),
            completed: ended.into_iter().map(entry).collect(),
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
