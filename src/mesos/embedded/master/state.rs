//! What the master knows: frameworks, agents, tasks and offers, and the small changes that keep them in step.
//!
//! For every agent, free + offered + used = total at each moment; `Master::check` says so in tests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::executors::{self, Executor};
use super::faults::{Network, UnderWay};
use super::history::History;
use super::maintenance::Asked;
use super::metrics::{Counts, FrameworkCounts};
use super::registry::{Noted, Registry};
use super::unreachable::UnreachableTasks;
use super::watchers::Watchers;
use super::{AgentView, MasterConfig};
use crate::env::Env;
use crate::mesos::connection::ConnectionError;
use crate::mesos::embedded::allocator::Filters;
use crate::mesos::embedded::bundle::Bundle;
use crate::mesos::embedded::protocol::ToAgent;
use crate::mesos::embedded::record::TaskRecord;
use crate::mesos::embedded::shares::Shares;
use crate::mesos::wire::scheduler::{Event, Rescind, Update};
use crate::mesos::wire::{
    AgentId, AgentInfo, Capability, EventType, ExecutorId, FrameworkId, FrameworkInfo, OfferId, Reason,
    Source, TaskId, TaskState, TaskStatus,
};

/// The master's state. Everything that happens to it is one call of a method; nothing in it waits.
#[derive(Debug)]
pub(super) struct Master {
    pub(super) env: Env,
    pub(super) config: MasterConfig,
    /// Differs for each master process; every id that it makes begins with it.
    pub(super) id: String,
    pub(super) frameworks: BTreeMap<FrameworkId, Framework>,
    /// The last removed ones, so that they are not taken for unknown ones.
    pub(super) removed: VecDeque<FrameworkId>,
    pub(super) agents: BTreeMap<AgentId, Agent>,
    /// Scalars of all agents.
    pub(super) total: Bundle,
    /// What is held of it.
    pub(super) shares: Shares,
    pub(super) registry: Noted,
    pub(super) unreachable_tasks: UnreachableTasks,
    pub(super) network: Network,
    pub(super) under_way: UnderWay,
    pub(super) offers: BTreeMap<OfferId, OfferRecord>,
    pub(super) tasks: BTreeMap<(FrameworkId, TaskId), Task>,
    pub(super) asked: Asked,
    /// Who asked about all tasks, and the last one that they were told of.
    pub(super) answering: BTreeMap<FrameworkId, TaskId>,
    pub(super) timers: BTreeMap<(Instant, u64), Timer>,
    /// From here the allocation intervals are counted.
    pub(super) intervals_from: Instant,
    /// A tick is planned.
    pub(super) allocation_planned: bool,
    pub(super) counters: Counters,
    pub(super) counts: Counts,
    pub(super) history: History,
    pub(super) watchers: Watchers,
    /// When it began to lead.
    pub(super) started: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    frameworks: u64,
    agents: u64,
    offers: u64,
    timers: u64,
}

/// What is to happen at some time. Those of the past of a framework or agent are recognised by their epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Timer {
    Allocate,
    Heartbeat {
        framework: FrameworkId,
        stream: String,
    },
    FailoverTimeout {
        framework: FrameworkId,
        epoch: u64,
    },
    AgentTimeout {
        agent: AgentId,
        epoch: u64,
    },
    RecoveryTimeout,
    FilterExpired,
    OfferTimeout {
        offer: OfferId,
    },
    /// A message of an agent that the network holds back.
    Deliver {
        number: u64,
    },
}

#[derive(Debug)]
pub(super) struct Framework {
    pub(super) info: FrameworkInfo,
    /// Present while it is subscribed.
    pub(super) stream: Option<Stream>,
    pub(super) suppressed: BTreeSet<String>,
    pub(super) filters: Filters,
    pub(super) offers: BTreeSet<OfferId>,
    /// Counts subscriptions, so that an old failover timer does nothing.
    pub(super) epoch: u64,
    pub(super) registered: Timestamp,
    pub(super) reregistered: Option<Timestamp>,
    pub(super) counts: FrameworkCounts,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: String,
    pub(super) events: mpsc::Sender<Result<Event, ConnectionError>>,
}

#[derive(Debug)]
pub(super) struct Agent {
    pub(super) info: AgentInfo,
    pub(super) ip: String,
    pub(super) total: Bundle,
    /// Neither offered nor used.
    pub(super) free: Bundle,
    pub(super) tasks: BTreeSet<(FrameworkId, TaskId)>,
    pub(super) executors: BTreeMap<executors::Key, Executor>,
    /// It runs executors, and tells when they end.
    pub(super) tells_executors: bool,
    pub(super) offers: BTreeSet<OfferId>,
    /// Present while it is connected.
    pub(super) link: Option<Link>,
    /// Kills that were asked for and whose tasks have not ended: sent again when the agent comes back.
    pub(super) kills: BTreeMap<(FrameworkId, TaskId), Option<Duration>>,
    /// Counts links, so that an old ping timeout does nothing.
    pub(super) epoch: u64,
    pub(super) registered: Timestamp,
    pub(super) reregistered: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct Link {
    /// Which connection it is; messages of an older one are void.
    pub(super) connection: u64,
    pub(super) sender: mpsc::Sender<ToAgent>,
}

#[derive(Debug)]
pub(super) struct OfferRecord {
    pub(super) framework: FrameworkId,
    pub(super) agent: AgentId,
    pub(super) role: String,
    /// As allocated to `role`.
    pub(super) resources: Bundle,
}

#[derive(Debug)]
pub(super) struct Task {
    pub(super) agent: AgentId,
    /// The one that it brought.
    pub(super) executor: Option<ExecutorId>,
    /// Until it has ended at the agent.
    pub(super) holds: bool,
    /// Whose share it counts in.
    pub(super) role: Arc<str>,
    /// As on the agent. Empty once the task has ended there.
    pub(super) resources: Bundle,
    /// The state at the agent.
    pub(super) latest: TaskState,
    /// What the framework was last told, or should have been.
    pub(super) status: TaskStatus,
    /// What only operators ask for, where it is kept.
    pub(super) told: Option<Box<TaskRecord>>,
}

impl Framework {
    pub(super) fn is_partition_aware(&self) -> bool {
        self.info.has(Capability::PartitionAware)
    }

    /// The state that this framework is told instead of one that it has not heard of.
    pub(super) fn state_for(&self, state: TaskState) -> TaskState {
        let newer = matches!(
            state,
            TaskState::Dropped
                | TaskState::Unreachable
                | TaskState::Gone
                | TaskState::GoneByOperator
                | TaskState::Unknown
        );
        if newer && !self.is_partition_aware() { TaskState::Lost } else { state }
    }

    pub(super) fn roles(&self) -> Vec<String> {
        if self.info.has(Capability::MultiRole) {
            return self.info.roles.clone();
        }
        vec![self.info.role.clone().unwrap_or_else(|| "*".to_owned())]
    }
}

impl Master {
    pub(super) fn new(env: &Env, config: MasterConfig, registry: Registry, network: Network) -> Master {
        let mut master = Master {
            env: env.clone(),
            id: env.uid(),
            frameworks: BTreeMap::new(),
            removed: VecDeque::new(),
            agents: BTreeMap::new(),
            total: Bundle::default(),
            shares: Shares::default(),
            unreachable_tasks: UnreachableTasks::default(),
            offers: BTreeMap::new(),
            tasks: BTreeMap::new(),
            asked: Asked::default(),
            answering: BTreeMap::new(),
            timers: BTreeMap::new(),
            intervals_from: Instant::now(),
            allocation_planned: false,
            counters: Counters::default(),
            counts: Counts::default(),
            history: History::default(),
            watchers: Watchers::default(),
            started: env.now(),
            registry: registry.into(),
            network,
            under_way: UnderWay::default(),
            config,
        };
        if !master.registry.recovered.is_empty() {
            master.plan(Instant::now() + master.config.agent_reregister_timeout, Timer::RecoveryTimeout);
        }
        master
    }

    /// What the next master finds: all agents that are registered are awaited by it.
    pub(super) fn leave(&mut self) -> Registry {
        let left = self.legacy();
        self.registry = Noted::default();
        // Who watches hears that by the end of their stream.
        self.watchers = Watchers::default();
        left
    }

    /// The same, while this one goes on.
    pub(super) fn legacy(&self) -> Registry {
        let mut registry = Registry::clone(&self.registry);
        registry.recovered.extend(self.agents.keys().cloned());
        registry
    }

    pub(super) fn views(&self) -> Vec<AgentView> {
        let view = |(id, agent): (&AgentId, &Agent)| AgentView {
            id: id.clone(),
            hostname: agent.info.hostname.clone(),
            connected: agent.link.is_some(),
            active: self.registry.is_active(id),
        };
        self.agents.iter().map(view).collect()
    }

    pub(super) fn plan(&mut self, at: Instant, timer: Timer) {
        self.counters.timers += 1;
        self.timers.insert((at, self.counters.timers), timer);
    }

    pub(super) fn next_framework_id(&mut self) -> FrameworkId {
        let number = self.counters.frameworks;
        self.counters.frameworks += 1;
        FrameworkId::new(format!("{}-{number:04}", self.id))
    }

    pub(super) fn next_agent_id(&mut self) -> AgentId {
        let number = self.counters.agents;
        self.counters.agents += 1;
        AgentId::new(format!("{}-S{number}", self.id))
    }

    pub(super) fn next_offer_id(&mut self) -> OfferId {
        let number = self.counters.offers;
        self.counters.offers += 1;
        OfferId::new(format!("{}-O{number}", self.id))
    }

    /// Tells a framework something. One that does not read is cut off: what was lost on its stream it learns by
    /// subscribing again.
    pub(super) fn tell(&mut self, framework_id: &FrameworkId, event: Event) {
        let Some(stream) = self.frameworks.get(framework_id).and_then(|f| f.stream.as_ref()) else {
            return;
        };
        if stream.events.try_send(Ok(event)).is_err() {
            let stream = stream.id.clone();
            tracing::warn!(framework = %framework_id, "subscriber closed its stream or does not read");
            self.disconnect_framework(framework_id, &stream);
        }
    }

    /// Tells a framework a task's status.
    pub(super) fn tell_status(&mut self, framework_id: &FrameworkId, status: TaskStatus) {
        let event = Event { update: Some(Update { status }), ..Event::of(EventType::Update) };
        self.tell(framework_id, event);
    }

    /// A status that the master makes itself.
    pub(super) fn own_status(
        &self,
        framework: &FrameworkId,
        task_id: &TaskId,
        agent: Option<&AgentId>,
        (state, reason, message): (TaskState, Reason, &str),
    ) -> TaskStatus {
        let state = self.frameworks.get(framework).map_or(state, |f| f.state_for(state));
        TaskStatus {
            agent_id: agent.cloned(),
            source: Source::Master.wire(),
            reason: reason.wire(),
            message: Some(message.to_owned()),
            timestamp: Some(self.env.now().as_duration().as_secs_f64()),
            ..TaskStatus::of(task_id.clone(), state)
        }
    }

    /// Tells an agent something. One that does not take it is disconnected.
    pub(super) fn tell_agent(&mut self, agent_id: &AgentId, message: ToAgent) {
        if self.network.loses_to_agent(agent_id) {
            return;
        }
        let Some(link) = self.agents.get(agent_id).and_then(|agent| agent.link.as_ref()) else { return };
        if link.sender.try_send(message).is_err() {
            let connection = link.connection;
            self.disconnect_agent(agent_id, connection);
        }
    }

    /// Ends an offer and gives its resources back to the agent.
    pub(super) fn end_offer(&mut self, offer_id: &OfferId) -> Option<OfferRecord> {
        let offer = self.offers.remove(offer_id)?;
        if let Some(framework) = self.frameworks.get_mut(&offer.framework) {
            framework.offers.remove(offer_id);
        }
        let resources = offer.resources.unallocated();
        self.shares.release(&offer.role, &offer.framework, &resources);
        if let Some(agent) = self.agents.get_mut(&offer.agent) {
            agent.offers.remove(offer_id);
            agent.free.add(&resources);
        }
        self.plan_allocation();
        Some(offer)
    }

    /// Ends an offer and tells its framework so.
    pub(super) fn rescind(&mut self, offer_id: &OfferId) {
        let Some(offer) = self.end_offer(offer_id) else { return };
        if let Some(framework) = self.frameworks.get_mut(&offer.framework) {
            framework.counts.offers_rescinded += 1;
        }
        let rescind = Some(Rescind { offer_id: offer_id.clone() });
        self.tell(&offer.framework, Event { rescind, ..Event::of(EventType::Rescind) });
    }

    /// The executor that a task brought. Of those that Mesos has for commands it tells nothing by itself.
    pub(super) fn executor_of(&self, key: &(FrameworkId, TaskId)) -> Option<ExecutorId> {
        self.tasks.get(key)?.executor.clone()
    }

    /// Gives back what a task holds; it has ended, or cannot be counted any more.
    pub(super) fn free_task(&mut self, key: &(FrameworkId, TaskId)) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        if !std::mem::take(&mut task.holds) {
            return;
        }
        let resources = std::mem::take(&mut task.resources);
        let (agent_id, executor) = (task.agent.clone(), task.executor.clone());
        self.shares.release(&task.role, &key.0, &resources);
        if let Some(agent) = self.agents.get_mut(&agent_id) {
            agent.free.add(&resources);
            agent.kills.remove(key);
        }
        if let Some(executor) = executor {
            self.leave_executor(&agent_id, &(key.0.clone(), executor));
        }
        self.plan_allocation();
    }

    /// Forgets a task.
    pub(super) fn remove_task(&mut self, key: &(FrameworkId, TaskId)) -> Option<Task> {
        self.free_task(key);
        let task = self.tasks.remove(key)?;
        self.counts.task_moved(&key.0, Some(task.latest), None);
        if let Some(agent) = self.agents.get_mut(&task.agent) {
            agent.tasks.remove(key);
            agent.kills.remove(key);
        }
        self.archive(key, &task);
        Some(task)
    }

    pub(super) fn tasks_of(&self, framework_id: &FrameworkId) -> Vec<(FrameworkId, TaskId)> {
        let from = (framework_id.clone(), TaskId::default());
        let tasks = self.tasks.range(from..).take_while(|((framework, _), _)| framework == framework_id);
        tasks.map(|(key, _)| key.clone()).collect()
    }

    /// Panics unless every agent's resources add up, and all shares: nothing is offered or used twice.
    #[cfg(test)]
    pub(super) fn check(&self) {
        for (agent_id, agent) in &self.agents {
            let mut sum = agent.free.clone();
            let offers = self.offers.values().filter(|offer| offer.agent == *agent_id);
            offers.for_each(|offer| sum.add(&offer.resources.unallocated()));
            let tasks = self.tasks.values().filter(|task| task.agent == *agent_id);
            tasks.for_each(|task| sum.add(&task.resources));
            agent.executors.values().for_each(|executor| sum.add(&executor.resources));
            assert_eq!(sum.to_string(), agent.total.to_string(), "resources of {agent_id}");
        }
        let mut held = Shares::default();
        for (key, task) in self.tasks.iter().filter(|(_, task)| !task.resources.is_empty()) {
            held.hold(&task.role, &key.0, &task.resources);
        }
        for (key, executor) in self.agents.values().flat_map(|agent| &agent.executors) {
            held.hold(&executor.role, &key.0, &executor.resources);
        }
        for offer in self.offers.values() {
            held.hold(&offer.role, &offer.framework, &offer.resources.unallocated());
        }
        assert_eq!(held, self.shares);
        self.counts.check(&self.tasks);
    }
}
