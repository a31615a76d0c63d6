//! Agents come, report, disconnect, come back and go.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::maintenance::MachineId;
use super::state::{Agent, Link, Master, Task, Timer};
use crate::mesos::embedded::bundle::Bundle;
use crate::mesos::embedded::launcher::ExecutorMessage;
use crate::mesos::embedded::protocol::{AgentTask, ToAgent};
use crate::mesos::wire::scheduler::{Event, Failure, Message, Shutdown};
use crate::mesos::wire::{
    AgentId, AgentInfo, Capability, EventType, ExecutorId, ExecutorInfo, FrameworkId, MACHINE_EXECUTOR,
    OfferId, Reason, Source, TaskId, TaskInfo, TaskState, TaskStatus, TimeInfo,
};

/// What a registration brings.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) connection: u64,
    pub(super) info: AgentInfo,
    pub(super) ip: String,
    pub(super) tasks: Vec<AgentTask>,
    pub(super) executors: Option<Vec<(FrameworkId, ExecutorInfo)>>,
    pub(super) link: mpsc::Sender<ToAgent>,
}

impl Master {
    /// An agent is there, for the first time or again.
    pub(super) fn register_agent(&mut self, registration: Registration) -> Option<AgentId> {
        let Registration { connection, mut info, ip, tasks, executors, link } = registration;
        let total = match Bundle::of(&info.resources) {
            Ok(total) => total,
            Err(error) => {
                tracing::error!(%error, hostname = info.hostname, "agent refused");
                return None;
            }
        };
        let is_back = info.id.is_some();
        let id = info.id.clone().unwrap_or_else(|| self.next_agent_id());
        if self.network.is_cut_off(&id) {
            return None;
        }
        let machine = MachineId { hostname: info.hostname.clone(), ip: ip.clone() };
        if self.registry.gone.contains(&id) || self.registry.schedule.is_down(&machine) {
            // The link is new: there is room for one message.
            let _ended = link.try_send(ToAgent::Shutdown);
            return None;
        }
        // Registrations pass a disturbed network.
        if link.try_send(ToAgent::Registered { agent_id: id.clone() }).is_err() {
            return None;
        }
        info.id = Some(id.clone());
        let was_away = !self.registry.recovered.remove(&id) && !self.agents.contains_key(&id);
        if is_back {
            self.counts.agents_reregistered += 1;
        } else {
            self.counts.agents_registered += 1;
        }
        self.registry.unreachable.remove(&id);
        let mut statuses = BTreeMap::new();
        for key in self.unreachable_tasks.remove_agent(&id) {
            let back = self.history.unreachable.remove(&key);
            statuses.extend(back.map(|entry| (key, entry.statuses)));
        }
        let is_new = !self.agents.contains_key(&id);
        let now = self.env.now();
        let mut agent = Agent::new(info, ip, total, Link { connection, sender: link });
        (agent.registered, agent.reregistered) = (now, is_back.then_some(now));
        self.replace_agent(&id, agent);
        self.executors_reported(&id, executors);
        let reported: BTreeSet<(FrameworkId, TaskId)> =
            tasks.iter().map(|task| (task.framework_id.clone(), task.task.task_id.clone())).collect();
        for task in tasks {
            let key = (task.framework_id.clone(), task.task.task_id.clone());
            let told = statuses.remove(&key).unwrap_or_default();
            self.task_reported(&id, task, &told, was_away);
        }
        if is_new {
            self.show_agent(&id);
        }
        self.drop_unreported(&id, &reported);
        self.repeat_kills(&id);
        self.drain(&id);
        self.finish_drain(&id);
        if self.registry.is_active(&id) {
            self.allocate_on(vec![id.clone()]);
        }
        Some(id)
    }

    /// Puts a new connection of an agent in the place of an older one. Its tasks stay, its offers do not.
    fn replace_agent(&mut self, id: &AgentId, mut agent: Agent) {
        if let Some(old) = self.agents.get(id) {
            let offers: Vec<OfferId> = old.offers.iter().cloned().collect();
            for offer in offers {
                self.rescind(&offer);
            }
        }
        if let Some(old) = self.agents.remove(id) {
            agent.epoch = old.epoch + 1;
            agent.kills = old.kills;
            agent.registered = old.registered;
            agent.tasks = old.tasks;
            agent.executors = old.executors;
            let changed = old.info.attributes != agent.info.attributes;
            if changed {
                self.frameworks.values_mut().for_each(|framework| framework.filters.clear_agent(id));
            }
            self.total_shrinks(&old.total);
        }
        let of_tasks = agent.tasks.iter().filter_map(|key| self.tasks.get(key)).map(|task| &task.resources);
        let of_executors = agent.executors.values().map(|executor| &executor.resources);
        let held: Vec<Bundle> = of_tasks.chain(of_executors).cloned().collect();
        held.iter().for_each(|resources| agent.hold(resources));
        self.total.add(&agent.total.scalars());
        self.agents.insert(id.clone(), agent);
        self.registry.touch();
    }

    fn total_shrinks(&mut self, by: &Bundle) {
        let whole = self.total.take(&by.scalars());
        debug_assert!(whole, "the total is the sum of all agents");
    }

    /// Enters a task that an agent reports, or what is newer of it. `told` was told of it before it was out of reach.
    fn task_reported(
        &mut self,
        agent_id: &AgentId,
        reported: AgentTask,
        told: &[TaskStatus],
        was_away: bool,
    ) {
        let AgentTask { framework_id, task, latest, status } = reported;
        if self.removed.contains(&framework_id) {
            self.tell_agent(agent_id, ToAgent::FrameworkRemoved { framework_id });
            return;
        }
        let key = (framework_id, task.task_id.clone());
        let is_unknown = !self.tasks.contains_key(&key);
        if is_unknown {
            let held =
                if planted!("returned-tasks-hold-nothing") { Vec::new() } else { task.resources.clone() };
            let role = held.iter().find_map(|it| it.allocation_info.as_ref()?.role.clone());
            let resources = Bundle::of(&held).unwrap_or_default().unallocated();
            let role = role.unwrap_or_else(|| "*".to_owned());
            // What has ended holds nothing, and its executor is there only if the agent has said so.
            let resources = (!latest.is_terminal()).then_some(resources);
            self.enter_task(&key, (agent_id, &role), &task, resources, status.clone());
            self.remember(&key, &task);
            // Not that it was out of reach, which the master said itself.
            told.iter().filter(|status| status.uuid.is_some()).for_each(|status| self.recall(&key, status));
            self.recall(&key, &status);
        }
        self.task_advanced(&key, latest);
        if is_unknown {
            self.show_task(&key);
        }
        if was_away {
            let back = TaskStatus {
                uuid: None,
                data: None,
                executor_id: self.executor_of(&key),
                source: Source::Master.wire(),
                reason: Reason::AgentReregistered.wire(),
                message: Some("Unreachable agent re-reregistered".to_owned()),
                agent_id: Some(agent_id.clone()),
                state: latest.wire(),
                ..status
            };
            self.tell_status(&key.0, back);
        }
    }

    /// Enters a task and lets it hold `resources` of its agent for its framework in its role, and its executor what that needs if
    /// it is the first: whether it is. Without resources the task has ended, and is no reason for an executor.
    pub(super) fn enter_task(
        &mut self,
        key: &(FrameworkId, TaskId),
        (agent_id, role): (&AgentId, &str),
        info: &TaskInfo,
        resources: Option<Bundle>,
        status: TaskStatus,
    ) -> bool {
        let holds = resources.is_some();
        let resources = resources.unwrap_or_default();
        let starts_executor = info
            .executor
            .as_ref()
            .filter(|_| holds)
            .is_some_and(|executor| self.enter_executor(agent_id, &key.0, role, executor));
        let executor = info.executor.as_ref().map(|executor| executor.executor_id.clone());
        let role = self.shares.hold(role, &key.0, &resources);
        if let Some(agent) = self.agents.get_mut(agent_id) {
            agent.hold(&resources);
            agent.tasks.insert(key.clone());
        }
        let (agent, latest) = (agent_id.clone(), TaskState::Staging);
        let task = Task { agent, executor, holds, role, resources, latest, status, told: None };
        let before = self.tasks.insert(key.clone(), task).map(|task| task.latest);
        self.counts.task_moved(&key.0, before, Some(latest));
        starts_executor
    }

    /// Notes a task's state at its agent. What has ended holds nothing any more, acknowledged or not.
    fn task_advanced(&mut self, key: &(FrameworkId, TaskId), latest: TaskState) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        if task.latest.is_terminal() {
            return;
        }
        self.counts.task_moved(&key.0, Some(task.latest), Some(latest));
        task.latest = latest;
        if latest.is_terminal() {
            self.free_task(key);
            self.count_end(&key.0, latest);
        }
    }

    /// Tasks that were on their way when the link broke never reached the agent; it is asked to say so. The ends of
    /// others were acknowledged, but not here.
    fn drop_unreported(&mut self, id: &AgentId, reported: &BTreeSet<(FrameworkId, TaskId)>) {
        let Some(agent) = self.agents.get(id) else { return };
        let missing: Vec<_> = agent.tasks.iter().filter(|key| !reported.contains(key)).cloned().collect();
        for key in missing {
            if self.tasks.get(&key).is_some_and(|task| task.latest.is_terminal()) {
                self.remove_task(&key);
                continue;
            }
            let (framework_id, task_id) = key;
            self.tell_agent(id, ToAgent::Missing { framework_id, task_id });
        }
    }

    fn repeat_kills(&mut self, id: &AgentId) {
        let Some(agent) = self.agents.get(id) else { return };
        let kills: Vec<_> = agent.kills.iter().map(|(key, grace)| (key.clone(), *grace)).collect();
        for ((framework_id, task_id), grace) in kills {
            self.send_kill(id, framework_id, task_id, grace);
        }
    }

    pub(super) fn send_kill(
        &mut self,
        agent: &AgentId,
        framework_id: FrameworkId,
        task_id: TaskId,
        grace: Option<std::time::Duration>,
    ) {
        let framework = self.frameworks.get(&framework_id);
        let tell_killing = framework.is_some_and(|f| f.info.has(Capability::TaskKillingState));
        self.tell_agent(agent, ToAgent::Kill { framework_id, task_id, grace, tell_killing });
    }

    /// An agent's update. Only a connected framework gets it; the agent sends it until it is acknowledged.
    pub(super) fn update(
        &mut self,
        agent_id: &AgentId,
        connection: u64,
        framework_id: FrameworkId,
        mut status: TaskStatus,
        latest: TaskState,
    ) {
        let link = self.agents.get(agent_id).and_then(|agent| agent.link.as_ref());
        if link.is_none_or(|link| link.connection != connection) {
            tracing::debug!(task = %status.task_id, "update of an agent that is not connected");
            return;
        }
        if self.removed.contains(&framework_id) {
            self.tell_agent(agent_id, ToAgent::FrameworkRemoved { framework_id });
            return;
        }
        if let Some(framework) = self.frameworks.get(&framework_id) {
            status.state = framework.state_for(status.state()).wire();
        }
        let key = (framework_id, status.task_id.clone());
        self.task_advanced(&key, latest);
        // What nobody is there to hear is not told: reconciliation answers with what was.
        let is_heard = self.frameworks.get(&key.0).is_some_and(|framework| framework.stream.is_some());
        if let Some(task) = self.tasks.get_mut(&key).filter(|_| is_heard) {
            task.status = status.clone();
            self.note(&key, &status);
        }
        self.tell_status(&key.0, status);
    }

    /// Passes on what a machine tells of itself, to every framework that is there.
    pub(super) fn message(&mut self, agent_id: &AgentId, data: Vec<u8>) {
        let executor_id = ExecutorId::new(MACHINE_EXECUTOR);
        let message = Some(Message { agent_id: agent_id.clone(), executor_id, data });
        let frameworks: Vec<FrameworkId> = self.frameworks.keys().cloned().collect();
        for framework in frameworks {
            self.tell(&framework, Event { message: message.clone(), ..Event::of(EventType::Message) });
        }
    }

    /// Passes on what an executor tells its framework, if that is there.
    pub(super) fn message_of_executor(&mut self, agent_id: &AgentId, message: ExecutorMessage) {
        let ExecutorMessage { framework_id, executor_id, data } = message;
        let message = Some(Message { agent_id: agent_id.clone(), executor_id, data });
        self.tell(&framework_id, Event { message, ..Event::of(EventType::Message) });
    }

    /// MESSAGE: to an executor, if its agent is there.
    pub(super) fn pass_on(&mut self, framework: &FrameworkId, message: Message) {
        let Message { agent_id, executor_id, data } = message;
        self.tell_agent(&agent_id, ToAgent::Message { framework_id: framework.clone(), executor_id, data });
    }

    /// SHUTDOWN: of an executor, if its agent is there.
    pub(super) fn shutdown_executor(&mut self, framework: &FrameworkId, shutdown: Shutdown) {
        let Shutdown { executor_id, agent_id } = shutdown;
        let framework_id = framework.clone();
        self.tell_agent(&agent_id, ToAgent::ShutdownExecutor { framework_id, executor_id });
    }

    /// The link broke. The agent has the ping timeout to come back; nobody is told of its tasks meanwhile.
    pub(super) fn disconnect_agent(&mut self, id: &AgentId, connection: u64) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        if agent.link.as_ref().is_none_or(|link| link.connection != connection) {
            return;
        }
        agent.link = None;
        let epoch = agent.epoch;
        let offers: Vec<OfferId> = agent.offers.iter().cloned().collect();
        for offer in offers {
            self.rescind(&offer);
        }
        self.rescind_inverse_of(id);
        self.lose_unsaved_tasks(id);
        let at = Instant::now() + self.config.agent_ping_timeout;
        self.plan(at, Timer::AgentTimeout { agent: id.clone(), epoch });
    }

    /// Tasks of frameworks that do not checkpoint die with the connection of their agent.
    fn lose_unsaved_tasks(&mut self, id: &AgentId) {
        let Some(agent) = self.agents.get(id) else { return };
        let message = format!("Agent {} disconnected", agent.info.hostname);
        let unsaved = |key: &&(FrameworkId, TaskId)| {
            self.frameworks.get(&key.0).is_some_and(|framework| !framework.info.checkpoint())
        };
        let keys: Vec<_> = agent.tasks.iter().filter(unsaved).cloned().collect();
        for key in keys {
            let lost = (TaskState::Lost, Reason::AgentDisconnected, message.as_str());
            let status = self.own_status(&key.0, &key.1, Some(id), lost);
            let status = TaskStatus { executor_id: self.executor_of(&key), ..status };
            self.note(&key, &status);
            self.count_end(&key.0, TaskState::Lost);
            self.remove_task(&key);
            self.tell_status(&key.0, status);
        }
        let unsaved: BTreeSet<FrameworkId> = self
            .frameworks
            .iter()
            .filter(|(_, framework)| !framework.info.checkpoint())
            .map(|(id, _)| id.clone())
            .collect();
        self.free_executors(id, |framework| unsaved.contains(framework));
    }

    pub(super) fn agent_timeout(&mut self, id: &AgentId, epoch: u64) {
        let timed_out = self.agents.get(id).is_some_and(|agent| agent.link.is_none() && agent.epoch == epoch);
        if timed_out {
            let at =
                TimeInfo { nanoseconds: i64::try_from(self.env.now().as_nanosecond()).unwrap_or(i64::MAX) };
            self.registry.unreachable.insert(id.clone(), at);
            let tasks = self.agents.get(id).map(|agent| agent.tasks.clone()).unwrap_or_default();
            let alive = |key: &(FrameworkId, TaskId)| {
                self.tasks.get(key).is_some_and(|task| !task.latest.is_terminal())
            };
            self.unreachable_tasks.insert(id, tasks.into_iter().filter(alive).collect());
            let unreachable = (TaskState::Unreachable, Reason::AgentRemoved, "health check timed out");
            self.remove_agent(id, unreachable, Some(at));
        }
    }

    /// An agent leaves for good.
    pub(super) fn unregister_agent(&mut self, id: &AgentId, connection: u64) {
        let Some(agent) = self.agents.get(id) else { return };
        if agent.link.as_ref().is_none_or(|link| link.connection != connection) {
            return;
        }
        let message = format!("Agent {} removed: the agent unregistered", agent.info.hostname);
        self.remove_agent(id, (TaskState::Lost, Reason::AgentRemoved, &message), None);
    }

    /// Agents of the last life that did not come back in time. Of their tasks nothing is known here.
    pub(super) fn recovery_timeout(&mut self) {
        let at = TimeInfo { nanoseconds: i64::try_from(self.env.now().as_nanosecond()).unwrap_or(i64::MAX) };
        for id in std::mem::take(&mut self.registry.recovered) {
            self.registry.unreachable.insert(id.clone(), at);
            self.tell_failure(&id);
        }
    }

    /// Removes an agent: its tasks are told first, then its offers, then that it is gone.
    pub(super) fn remove_agent(
        &mut self,
        id: &AgentId,
        why: (TaskState, Reason, &str),
        at: Option<TimeInfo>,
    ) {
        let Some(agent) = self.agents.get(id) else { return };
        let keys: Vec<_> = agent.tasks.iter().cloned().collect();
        let offers: Vec<OfferId> = agent.offers.iter().cloned().collect();
        for key in keys {
            if self.tasks.get(&key).is_none_or(|task| task.latest.is_terminal()) {
                self.remove_task(&key);
                continue;
            }
            let status = self.own_status(&key.0, &key.1, Some(id), why);
            let executor_id = self.executor_of(&key);
            let status = TaskStatus { executor_id, unreachable_time: at, ..status };
            self.note(&key, &status);
            self.remove_task(&key);
            if why.0 != TaskState::Unreachable {
                self.count_end(&key.0, status.state());
            }
            self.tell_status(&key.0, status);
        }
        for offer in offers {
            self.rescind(&offer);
        }
        self.rescind_inverse_of(id);
        self.free_executors(id, |_| true);
        if let Some(agent) = self.agents.remove(id) {
            self.registry.touch();
            self.counts.agents_removed += 1;
            self.total_shrinks(&agent.total);
        }
        // As in Mesos, whose operators are not told of agents that are unreachable, or gone by an operator's word.
        if why.0 == TaskState::Lost {
            self.show_agent_gone(id);
        }
        self.frameworks.values_mut().for_each(|framework| framework.filters.clear_agent(id));
        self.tell_failure(id);
    }

    fn tell_failure(&mut self, id: &AgentId) {
        let failure = Failure { agent_id: Some(id.clone()), ..Failure::default() };
        let frameworks: Vec<FrameworkId> = self.frameworks.keys().cloned().collect();
        for framework in frameworks {
            let failure = Some(failure.clone());
            self.tell(&framework, Event { failure, ..Event::of(EventType::Failure) });
        }
    }
}

impl Agent {
    fn new(info: AgentInfo, ip: String, total: Bundle, link: Link) -> Agent {
        Agent {
            info,
            ip,
            free: total.clone(),
            total,
            tasks: BTreeSet::new(),
            offers: BTreeSet::new(),
            link: Some(link),
            executors: BTreeMap::new(),
            tells_executors: false,
            kills: BTreeMap::new(),
            epoch: 1,
            registered: Timestamp::UNIX_EPOCH,
            reregistered: None,
        }
    }

    /// Takes out of what is free what a task holds. An agent that came back smaller than its tasks counts as large as
    /// they need: they run, whatever its operator says now.
    pub(super) fn hold(&mut self, resources: &Bundle) {
        if !self.free.take(resources) {
            tracing::warn!(agent = ?self.info.id, %resources, "tasks hold more than the agent has");
            self.total.add(resources);
        }
    }
}
