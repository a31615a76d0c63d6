//! What the master knows of agents, frameworks, tasks, offers and roles, as an operator reads it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::offering::wire_offer;
use super::registry::Drain;
use super::state::{Agent, Framework, Master};
use crate::mesos::embedded::bundle::Bundle;
use crate::mesos::wire::{
    AgentId, AgentInfo, FrameworkId, FrameworkInfo, MasterInfo, Offer, TaskId, TaskInfo, TaskState,
    TaskStatus,
};

/// How much of it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What costs nothing: who leads, the weights, and of agents those that are not there.
    Head,
    /// That and the agents.
    Agents,
    /// That and the roles, without the agents.
    Roles,
    All,
}

/// What was asked for, of one moment; the rest is empty.
#[derive(Debug, Clone)]
pub struct Books {
    pub master: MasterInfo,
    /// When it began to lead.
    pub started: Timestamp,
    pub agents: Vec<AgentEntry>,
    /// Agents of the last life that are awaited.
    pub recovered: Vec<AgentId>,
    /// How many agents are out of reach.
    pub unreachable_agents: usize,
    pub frameworks: Vec<FrameworkEntry>,
    pub completed_frameworks: Vec<FrameworkEntry>,
    /// Those that have not ended, or whose end is not acknowledged.
    pub tasks: Vec<TaskEntry>,
    pub unreachable_tasks: Vec<TaskEntry>,
    /// The last ones of each framework.
    pub completed_tasks: Vec<TaskEntry>,
    pub offers: Vec<Offer>,
    pub roles: Vec<RoleEntry>,
    /// As they were set; other roles have 1.
    pub weights: BTreeMap<String, f64>,
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
    pub registered: Timestamp,
    pub reregistered: Option<Timestamp>,
    pub total: Bundle,
    /// What tasks and executors hold. Like what is offered, it names the roles that it is allocated to.
    pub used: Bundle,
    pub offered: Bundle,
    /// How it is being drained, if it is.
    pub drain: Option<Drain>,
}

/// One framework.
#[derive(Debug, Clone)]
pub struct FrameworkEntry {
    pub id: FrameworkId,
    pub info: FrameworkInfo,
    pub connected: bool,
    pub registered: Timestamp,
    pub reregistered: Option<Timestamp>,
    /// When it was removed.
    pub unregistered: Option<Timestamp>,
}

/// One task.
#[derive(Debug, Clone)]
pub struct TaskEntry {
    pub id: TaskId,
    pub framework: FrameworkId,
    pub agent: AgentId,
    pub role: Arc<str>,
    /// What its framework was last told, or should have been.
    pub state: TaskState,
    pub resources: Bundle,
    /// What it was launched with, without its command and data; where that is kept.
    pub info: Option<Arc<TaskInfo>>,
    pub statuses: Vec<TaskStatus>,
}

/// One role that a framework is in, or in which something is held.
#[derive(Debug, Clone)]
pub struct RoleEntry {
    pub name: String,
    pub weight: f64,
    pub frameworks: Vec<FrameworkId>,
    /// By tasks and executors.
    pub allocated: Bundle,
    pub offered: Bundle,
}

impl Framework {
    pub(super) fn entry(&self, id: &FrameworkId, unregistered: Option<Timestamp>) -> FrameworkEntry {
        FrameworkEntry {
            id: id.clone(),
            info: self.info.clone(),
            connected: self.stream.is_some(),
            registered: self.registered,
            reregistered: self.reregistered,
            unregistered,
        }
    }
}

impl Master {
    pub(super) fn books(&self, extent: Extent) -> Books {
        let mut books = self.head();
        if matches!(extent, Extent::Agents | Extent::All) {
            books.agents = self.agent_entries();
        }
        if matches!(extent, Extent::Roles | Extent::All) {
            books.roles = self.role_entries();
        }
        if extent == Extent::All {
            self.copy_tasks(&mut books);
        }
        books
    }

    fn head(&self) -> Books {
        Books {
            master: self.introduction(),
            started: self.started,
            agents: Vec::new(),
            recovered: self.registry.recovered.iter().cloned().collect(),
            unreachable_agents: self.registry.unreachable.len(),
            frameworks: Vec::new(),
            completed_frameworks: Vec::new(),
            tasks: Vec::new(),
            unreachable_tasks: Vec::new(),
            completed_tasks: Vec::new(),
            offers: Vec::new(),
            roles: Vec::new(),
            weights: self.registry.weights.0.clone(),
        }
    }

    /// Frameworks and all that is theirs.
    fn copy_tasks(&self, books: &mut Books) {
        let offers = self.offers.iter().filter_map(|(id, offer)| {
            let agent = self.agents.get(&offer.agent)?;
            Some(wire_offer(id, &offer.framework, &offer.role, agent, &offer.resources))
        });
        books.frameworks = self.frameworks.iter().map(|(id, it)| it.entry(id, None)).collect();
        books.completed_frameworks = self.history.frameworks.iter().cloned().collect();
        books.tasks = self.tasks.iter().map(|(key, task)| task.entry(key)).collect();
        books.unreachable_tasks = self.history.unreachable.values().cloned().collect();
        books.completed_tasks = self.history.tasks.values().flatten().cloned().collect();
        books.offers = offers.collect();
    }

    fn agent_entries(&self) -> Vec<AgentEntry> {
        self.agents.iter().map(|(id, agent)| self.agent_entry(id, agent)).collect()
    }

    pub(super) fn agent_entry(&self, id: &AgentId, agent: &Agent) -> AgentEntry {
        let mut used = Bundle::default();
        let tasks = agent.tasks.iter().filter_map(|it| self.tasks.get(it));
        tasks.for_each(|it| used.add(&it.resources.allocated(&it.role)));
        agent.executors.values().for_each(|it| used.add(&it.resources.allocated(&it.role)));
        let mut offered = Bundle::default();
        let records = agent.offers.iter().filter_map(|it| self.offers.get(it));
        records.for_each(|it| offered.add(&it.resources));
        AgentEntry {
            id: id.clone(),
            info: agent.info.clone(),
            ip: agent.ip.clone(),
            connected: agent.link.is_some(),
            active: self.registry.is_active(id),
            registered: agent.registered,
            reregistered: agent.reregistered,
            total: agent.total.clone(),
            used,
            offered,
            drain: self.registry.drain_of(id),
        }
    }

    fn role_entries(&self) -> Vec<RoleEntry> {
        let mut roles: BTreeMap<String, RoleEntry> = BTreeMap::new();
        for (id, framework) in &self.frameworks {
            for role in framework.roles() {
                self.role_entry(&mut roles, &role).frameworks.push(id.clone());
            }
        }
        for task in self.tasks.values().filter(|task| !task.resources.is_empty()) {
            self.role_entry(&mut roles, &task.role).allocated.add(&task.resources.scalars());
        }
        let executors = self.agents.values().flat_map(|agent| agent.executors.values());
        for executor in executors.filter(|executor| !executor.resources.is_empty()) {
            let resources = executor.resources.scalars();
            self.role_entry(&mut roles, &executor.role).allocated.add(&resources);
        }
        for offer in self.offers.values() {
            let resources = offer.resources.unallocated().scalars();
            self.role_entry(&mut roles, &offer.role).offered.add(&resources);
        }
        roles.into_values().collect()
    }

    fn role_entry<'a>(&self, roles: &'a mut BTreeMap<String, RoleEntry>, name: &str) -> &'a mut RoleEntry {
        roles.entry(name.to_owned()).or_insert_with(|| RoleEntry {
            name: name.to_owned(),
            weight: self.registry.weights.of(name),
            frameworks: Vec::new(),
            allocated: Bundle::default(),
            offered: Bundle::default(),
        })
    }
}
