//! RECONCILE, KILL and ACKNOWLEDGE: calls about tasks.

use super::state::Master;
use crate::mesos::embedded::protocol::ToAgent;
use crate::mesos::wire::scheduler::{Acknowledge, Kill, Reconcile, ReconcileTask};
use crate::mesos::wire::{AgentId, FrameworkId, Reason, Source, TaskId, TaskState, TaskStatus};

impl Master {
    /// RECONCILE: of the tasks named, or of all that are known. Nothing is said of a task whose agent is still awaited.
    pub(super) fn reconcile(&mut self, framework_id: &FrameworkId, reconcile: Reconcile) {
        let mut asked = reconcile.tasks;
        if asked.is_empty() {
            let known = self.tasks_of(framework_id).into_iter();
            asked.extend(known.map(|(_, task_id)| ReconcileTask { task_id, agent_id: None }));
        }
        for task in asked {
            if let Some(status) = self.truth(framework_id, &task.task_id, task.agent_id.as_ref()) {
                self.tell_status(framework_id, status);
            }
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
                executor_id: None,
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
