//! What agent and executor have told each other: which tasks there are, how they stand, and what the agent has not stored
//! yet. It does nothing itself: what is to be done is returned.

use std::collections::BTreeMap;
use std::time::Duration;

use super::updates::Updates;
use crate::env::Env;
use crate::executor::launcher::Serves;
use crate::mesos::launcher::Launch;
use crate::mesos::wire::executor::{Acknowledged, Call, Subscribe, Subscribed};
use crate::mesos::wire::scheduler::Update;
use crate::mesos::wire::{
    AgentId, Capability, ExecutorCallType, ExecutorId, FrameworkId, Reason, Source, TaskId, TaskInfo,
    TaskState, TaskStatus,
};

/// What is to be done with a task.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Act {
    Launch(Box<Launch>),
    Kill(TaskId, Duration),
}

/// One executor's side of it.
#[derive(Debug)]
pub(super) struct Conversation {
    env: Env,
    framework_id: FrameworkId,
    executor_id: ExecutorId,
    serves: Serves,
    /// Between the stop signal and SIGKILL where neither task nor KILL says it.
    default_grace: Duration,
    agent_id: AgentId,
    /// The framework knows the state `TASK_KILLING`.
    tells_killing: bool,
    tasks: BTreeMap<TaskId, Known>,
    updates: Updates,
    /// While everything is being stopped nothing is begun: no task has longer than this to end.
    stopping: Option<Duration>,
}

#[derive(Debug)]
struct Known {
    info: TaskInfo,
    state: TaskState,
    /// The agent has stored an update of it, and so knows that it came here.
    is_stored: bool,
}

impl Conversation {
    pub(super) fn new(
        env: Env,
        framework_id: FrameworkId,
        executor_id: ExecutorId,
        serves: Serves,
        default_grace: Duration,
    ) -> Conversation {
        Conversation {
            env,
            framework_id,
            executor_id,
            serves,
            default_grace,
            agent_id: AgentId::default(),
            tells_killing: false,
            tasks: BTreeMap::new(),
            updates: Updates::default(),
            stopping: None,
        }
    }

    /// A subscription that tells what the agent has not stored.
    pub(super) fn subscribe(&mut self) -> Call {
        let unacknowledged = self.tasks.values().filter(|task| !task.is_stored);
        let subscribe = Subscribe {
            unacknowledged_tasks: unacknowledged.map(|task| task.info.clone()).collect(),
            unacknowledged_updates: self.updates.send_all(),
        };
        Call { subscribe: Some(subscribe), ..self.call(ExecutorCallType::Subscribe) }
    }

    /// The next update that was not sent yet.
    pub(super) fn next_update(&mut self) -> Option<Call> {
        let status = self.updates.send_next()?;
        Some(Call { update: Some(Update { status }), ..self.call(ExecutorCallType::Update) })
    }

    fn call(&self, kind: ExecutorCallType) -> Call {
        Call {
            executor_id: self.executor_id.clone(),
            framework_id: self.framework_id.clone(),
            r#type: kind.wire(),
            ..Call::default()
        }
    }

    pub(super) fn subscribed(&mut self, subscribed: &Subscribed) {
        self.agent_id = subscribed.agent_info.id.clone().unwrap_or_default();
        let mut capabilities = subscribed.framework_info.capabilities.iter();
        self.tells_killing =
            capabilities.any(|capability| capability.r#type() == Capability::TaskKillingState);
    }

    /// A task to run. One that came before is not begun again.
    pub(super) fn launch(&mut self, info: TaskInfo) -> Option<Act> {
        let id = info.task_id.clone();
        if self.tasks.contains_key(&id) {
            tracing::warn!(task = %id, "launched twice: the first one stays");
            return None;
        }
        let other = self.tasks.keys().next().filter(|_| self.serves == Serves::OneTask).cloned();
        self.tasks
            .insert(id.clone(), Known { info: info.clone(), state: TaskState::Staging, is_stored: false });
        if self.stopping.is_some() {
            self.end(&id, TaskState::Killed, Reason::TaskKilledDuringLaunch, "the executor is being stopped");
            return None;
        }
        if let Some(other) = other {
            let words = format!("this executor runs one task, and that is {other}");
            self.end(&id, TaskState::Failed, Reason::TaskInvalid, &words);
            return None;
        }
        let environment = self.environment(&id);
        // What the executor itself is made of says nothing about how the task runs.
        let task = TaskInfo { executor: None, ..info };
        let (framework_id, agent_id) = (self.framework_id.clone(), self.agent_id.clone());
        Some(Act::Launch(Box::new(Launch { framework_id, agent_id, task, environment })))
    }

    /// Tasks that may only run together are not run here.
    pub(super) fn refuse_group(&mut self, tasks: Vec<TaskInfo>) {
        for info in tasks {
            let id = info.task_id.clone();
            let known = Known { info, state: TaskState::Staging, is_stored: false };
            self.tasks.entry(id.clone()).or_insert(known);
            let words = "LAUNCH_GROUP is not supported by this executor: launch the tasks one by one";
            self.end(&id, TaskState::Failed, Reason::TaskGroupInvalid, words);
        }
    }

    /// An order to end a task, with the grace that it names.
    pub(super) fn kill(&mut self, id: &TaskId, grace: Option<Duration>) -> Option<Act> {
        let Some(task) = self.tasks.get(id).filter(|task| !task.state.is_terminal()) else {
            tracing::info!(task = %id, "nothing to kill");
            return None;
        };
        let own = task.info.kill_policy.and_then(|policy| policy.grace_period).map(|grace| grace.duration());
        let grace = grace.or(own).unwrap_or(self.default_grace);
        let grace = self.stopping.map_or(grace, |most| grace.min(most));
        if self.tells_killing && task.state == TaskState::Running {
            self.tell(TaskStatus::of(id.clone(), TaskState::Killing));
        }
        Some(Act::Kill(id.clone(), grace))
    }

    /// Ends everything; no task has longer than `most`.
    pub(super) fn stop_all(&mut self, most: Duration) -> Vec<Act> {
        self.stopping = Some(most);
        let ids: Vec<TaskId> = self.tasks.keys().cloned().collect();
        ids.iter().filter_map(|id| self.kill(id, None)).collect()
    }

    /// What became of a task. After its end nothing more is told of it, and while it is being killed only its end.
    pub(super) fn reported(&mut self, status: TaskStatus) {
        let Some(task) = self.tasks.get(&status.task_id) else { return };
        let late = task.state == TaskState::Killing && !status.state().is_terminal();
        if !task.state.is_terminal() && !late && status.state() != TaskState::Staging {
            self.tell(status);
        }
    }

    fn end(&mut self, id: &TaskId, state: TaskState, reason: Reason, message: &str) {
        let message = Some(message.to_owned());
        self.reported(TaskStatus { reason: reason.wire(), message, ..TaskStatus::of(id.clone(), state) });
    }

    /// Queues a status for the agent, with what an executor fills in.
    fn tell(&mut self, mut status: TaskStatus) {
        status.uuid = Some(self.env.uuid().to_vec());
        status.source = Source::Executor.wire();
        status.executor_id = Some(self.executor_id.clone());
        status.timestamp = Some(self.env.now().as_duration().as_secs_f64());
        // The agent names its own container and process; of another name it would know nothing.
        if let Some(container) = &mut status.container_status {
            container.container_id = None;
            container.executor_pid = None;
        }
        if let Some(task) = self.tasks.get_mut(&status.task_id) {
            task.state = status.state();
        }
        self.updates.push(status);
    }

    /// The agent has stored an update.
    pub(super) fn acknowledged(&mut self, acknowledged: &Acknowledged) {
        self.updates.done(&acknowledged.task_id, &acknowledged.uuid);
        if let Some(task) = self.tasks.get_mut(&acknowledged.task_id) {
            task.is_stored = true;
        }
    }

    /// Tasks that have ended and of whose end the agent knows. An executor of many has no more to do with them.
    pub(super) fn take_ended(&mut self) -> Vec<TaskId> {
        if self.serves == Serves::OneTask {
            return Vec::new();
        }
        let is_over = |id: &TaskId, task: &Known| task.state.is_terminal() && !self.updates.has_of(id);
        let over = self.tasks.iter().filter(|(id, task)| is_over(id, task)).map(|(id, _)| id.clone());
        let over: Vec<TaskId> = over.collect();
        for id in &over {
            self.tasks.remove(id);
        }
        over
    }

    /// Whether there is no task, and nothing to tell. One that never got its only task is idle, too: what the agent sent when nobody
    /// heard it never comes again.
    pub(super) fn is_idle(&self) -> bool {
        self.tasks.is_empty() && self.updates.is_empty()
    }

    /// The agent will never take this update.
    pub(super) fn refused(&mut self, task_id: &TaskId, uuid: &[u8]) {
        self.updates.done(task_id, uuid);
    }

    /// All tasks.
    pub(super) fn tasks(&self) -> Vec<TaskId> {
        self.tasks.keys().cloned().collect()
    }

    /// Whether no task runs, or will, of those that came.
    pub(super) fn has_ended(&self) -> bool {
        self.tasks.values().all(|task| task.state.is_terminal())
    }

    /// Whether its tasks have come, have ended, and the agent has stored all that was told.
    pub(super) fn is_over(&self) -> bool {
        !self.tasks.is_empty() && self.has_ended() && self.updates.is_empty()
    }

    /// Whether the agent has stored all that was told.
    pub(super) fn is_stored(&self) -> bool {
        self.updates.is_empty()
    }

    /// The variables that every task finds.
    fn environment(&self, task: &TaskId) -> BTreeMap<String, String> {
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        [
            variable("MESOS_FRAMEWORK_ID", &self.framework_id.value),
            variable("MESOS_AGENT_ID", &self.agent_id.value),
            variable("MESOS_EXECUTOR_ID", &self.executor_id.value),
            variable("MESOS_TASK_ID", &task.value),
        ]
        .into()
    }
}

#[cfg(test)]
#[path = "conversation_test.rs"]
mod tests;
