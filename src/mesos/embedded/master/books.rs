//! What the master knows of agents, frameworks and tasks, as an operator reads it.

use super::state::Master;
use crate::mesos::embedded::bundle::Bundle;
use crate::mesos::wire::{AgentId, AgentInfo, FrameworkId, FrameworkInfo, TaskId, TaskState, TaskStatus};

/// All of it, of one moment.
#[derive(Debug, Clone)]
pub struct Books {
    pub agents: Vec<AgentEntry>,
    pub frameworks: Vec<FrameworkEntry>,
    /// Those that have not ended, or whose end is not acknowledged.
    pub tasks: Vec<TaskEntry>,
}

/// One agent.
#[derive(Debug, Clone)]
pub struct AgentEntry {
    pub id: AgentId,
    pub info: AgentInfo,
    pub ip: String,
    /// Whether it has a link now.
    pub connected: bool,
    /// Whether its resources may be offered.
    pub active: bool,
    pub total: Bundle,
    pub used: Bundle,
    pub offered: Bundle,
}

/// One framework.
#[derive(Debug, Clone)]
pub struct FrameworkEntry {
    pub id: FrameworkId,
    pub info: FrameworkInfo,
    pub connected: bool,
}

/// One task.
#[derive(Debug, Clone)]
pub struct TaskEntry {
    pub id: TaskId,
    pub framework: FrameworkId,
    pub agent: AgentId,
    /// What its framework was last told, or should have been.
    pub state: TaskState,
    pub resources: Bundle,
    pub status: TaskStatus,
}

impl Master {
    pub(super) fn books(&self) -> Books {
        let agents = self.agents.iter().map(|(id, agent)| {
            let mut used = Bundle::default();
            agent.tasks.iter().filter_map(|it| self.tasks.get(it)).for_each(|it| used.add(&it.resources));
            let mut offered = Bundle::default();
            let records = agent.offers.iter().filter_map(|it| self.offers.get(it));
            records.for_each(|it| offered.add(&it.resources.unallocated()));
            AgentEntry {
                id: id.clone(),
                info: agent.info.clone(),
                ip: agent.ip.clone(),
                connected: agent.link.is_some(),
                active: self.registry.is_active(id),
                total: agent.total.clone(),
                used,
                offered,
            }
        });
        let frameworks = self.frameworks.iter().map(|(id, framework)| FrameworkEntry {
            id: id.clone(),
            info: framework.info.clone(),
            connected: framework.stream.is_some(),
        });
        let tasks = self.tasks.iter().map(|((framework, id), task)| TaskEntry {
            id: id.clone(),
            framework: framework.clone(),
            agent: task.agent.clone(),
            state: task.status.state(),
            resources: task.resources.clone(),
            status: task.status.clone(),
        });
        Books { agents: agents.collect(), frameworks: frameworks.collect(), tasks: tasks.collect() }
    }
}
