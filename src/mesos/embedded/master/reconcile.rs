//! RECONCILE, KILL and ACKNOWLEDGE: calls about tasks.

use std::future::Future;
use std::ops::Bound;

use super::state::Master;
use crate::mesos::embedded::protocol::ToAgent;
use crate::mesos::wire::scheduler::{Acknowledge, Kill, Reconcile, ReconcileTask};
use crate::mesos::wire::{AgentId, FrameworkId, Reason, Source, TaskId, TaskState, TaskStatus};

/// How many tasks are told of at a time to who asked about all: far fewer than events may wait for a subscriber.
const ANSWERS: usize = if cfg!(test) { 3 } else { super::EVENTS / 8 };

impl Master {
    /// RECONCILE: of the tasks named, or of all that are known. Nothing is said of a task whose agent is still awaited.
    pub(super) fn reconcile(&mut self, framework_id: &FrameworkId, reconcile: Reconcile) {
        if reconcile.tasks.is_empty() {
            self.answering.insert(framework_id.clone(), TaskId::default());
            return self.answer_more();
        }
        for ReconcileTask { task_id, agent_id } in reconcile.tasks {
            if let Some(status) = self.truth(framework_id, &task_id, agent_id.as_ref()) {
                self.tell_status(framework_id, status);
            }
        }
    }

    /// Goes on answering those who asked about all tasks: as many at a time as leave room on the stream for other news.
    pub(super) fn answer_more(&mut self) {
        let Some((framework_id, after)) = self.answering.pop_first() else { return };
        let from = Bound::Excluded((framework_id.clone(), after));
        let known =
            self.tasks.range((from, Bound::Unbounded)).map(|((framework, task), _)| (framework, task));
        let known =
            known.take_while(|(framework, _)| **framework == framework_id).map(|(_, task)| task.clone());
        let asked: Vec<TaskId> = known.take(ANSWERS).collect();
        if let Some(last) = asked.last().filter(|_| asked.len() == ANSWERS) {
            self.answering.insert(framework_id.clone(), last.clone());
        }
        for task_id in asked {
            if let Some(status) = self.truth(&framework_id, &task_id, None) {
                self.tell_status(&framework_id, status);
            }
        }
    }

    /// Becomes ready when there is room for [`Master::answer_more`] on the stream that is next; nothing when nobody
    /// waits for answers, or who did is gone.
    pub(super) fn room_for_answers(&mut self) -> Option<impl Future<Output = ()> + use<>> {
        loop {
            let (framework_id, _) = self.answering.first_key_value()?;
            let framework = self.frameworks.get(framework_id);
            if let Some(stream) = framework.and_then(|framework| framework.stream.as_ref()) {
                let events = stream.events.clone();
                // A stream that closed is found out by the next event.
                return Some(async move { drop(events.reserve_many(ANSWERS * 2).await) });
            }
            self.answering.pop_first();
        }
    }

    /// What this master can say of a task.
    fn truth(
        &self,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        agent_id: Option<&AgentId>,
    ) -> Option<TaskStatus> {
        if let Some(task) = self.tasks.get(&(framework_id.clone(), task_id.clone())) {
            let known = TaskStatus {
                uuid: None,
                data: None,
                executor_id: task.executor.clone(),
                source: Source::Master.wire(),
                reason: Reason::Reconciliation.wire(),
                message: Some("Reconciliation: Latest task state".to_owned()),
                agent_id: Some(task.agent.clone()),
                timestamp: Some(self.env.now().as_duration().as_secs_f64()),
                ..task.status.clone()
            };
            return Some(known);
        }
        let awaited = match agent_id {
            Some(agent_id) => self.registry.recovered.contains(agent_id),
            None => !self.registry.recovered.is_empty(),
        };
        if awaited {
            return None;
        }
        let unreachable_time = agent_id.and_then(|id| self.registry.unreachable.get(id)).copied();
        let (state, message) = if agent_id.is_some_and(|id| self.registry.gone.contains(id)) {
            (TaskState::GoneByOperator, "Reconciliation: Task is gone")
        } else if unreachable_time.is_some() {
            (TaskState::Unreachable, "Reconciliation: Task is unreachable")
        } else if agent_id.is_some_and(|id| self.agents.contains_key(id)) {
            (TaskState::Gone, "Reconciliation: Task is unknown to the agent")
        } else {
            (TaskState::Unknown, "Reconciliation: Task is unknown")
        };
        let status =
            self.own_status(framework_id, task_id, agent_id, (state, Reason::Reconciliation, message));
        Some(TaskStatus { unreachable_time, ..status })
    }

    /// KILL. Of an unknown task the truth is told; a wrong agent id is passed over in silence, as in Mesos. A kill is
    /// remembered until the task has ended and sent again when the agent comes back.
    pub(super) fn kill(&mut self, framework_id: &FrameworkId, kill: Kill) {
        let key = (framework_id.clone(), kill.task_id);
        let Some(task) = self.tasks.get(&key) else {
            if let Some(status) = self.truth(framework_id, &key.1, kill.agent_id.as_ref()) {
                self.tell_status(framework_id, status);
            }
            return;
        };
        let agent_id = task.agent.clone();
        if task.latest.is_terminal() || kill.agent_id.is_some_and(|id| id != agent_id) {
            return;
        }
        let grace = kill.kill_policy.and_then(|policy| policy.grace_period).map(|grace| grace.duration());
        if let Some(agent) = self.agents.get_mut(&agent_id) {
            agent.kills.insert(key.clone(), grace);
        }
        self.send_kill(&agent_id, key.0, key.1, grace);
    }

    /// ACKNOWLEDGE: passed on to the agent. A task whose end is acknowledged is forgotten.
    pub(super) fn acknowledge(&mut self, framework_id: &FrameworkId, acknowledge: Acknowledge) {
        let Acknowledge { agent_id, task_id, uuid } = acknowledge;
        let connected = self.agents.get(&agent_id).is_some_and(|agent| agent.link.is_some());
        if !connected {
            return;
        }
        let key = (framework_id.clone(), task_id.clone());
        let ended = self.tasks.get(&key).is_some_and(|task| {
            task.agent == agent_id
                && task.status.state().is_terminal()
                && task.status.uuid.as_ref() == Some(&uuid)
        });
        if ended {
            self.remove_task(&key);
        }
        let framework_id = framework_id.clone();
        self.tell_agent(&agent_id, ToAgent::Acknowledge { framework_id, task_id, uuid });
        self.finish_drain(&agent_id);
    }
}
