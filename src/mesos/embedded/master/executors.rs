//! Executors of frameworks. One holds its resources from its first task on until it has ended; where agents run none, until the last
//! of its tasks has. All tasks of one must describe it alike.

use std::sync::Arc;

use super::state::{Agent, Master};
use super::validation::Validity;
use crate::mesos::embedded::bundle::Bundle;
use crate::mesos::embedded::launcher::ExecutorExit;
use crate::mesos::embedded::protocol::ToAgent;
use crate::mesos::wire::scheduler::{Event, Failure};
use crate::mesos::wire::{AgentId, EventType, ExecutorId, ExecutorInfo, FrameworkId, json};

/// Framework and executor.
pub(super) type Key = (FrameworkId, ExecutorId);

/// An executor on an agent.
#[derive(Debug)]
pub(super) struct Executor {
    info: ExecutorInfo,
    /// Whose share it counts in.
    pub(super) role: Arc<str>,
    pub(super) resources: Bundle,
    /// How many of its tasks have not ended.
    tasks: usize,
}

impl Agent {
    /// The framework's executors that are there.
    pub(super) fn executors_of(&self, framework: &FrameworkId) -> Vec<ExecutorId> {
        let from = (framework.clone(), ExecutorId::default());
        let own = self.executors.range(from..).take_while(|((owner, _), _)| owner == framework);
        own.map(|((_, id), _)| id.clone()).collect()
    }
}

impl Master {
    /// What a task's executor will hold beside the task: nothing if it is there.
    ///
    /// # Errors
    /// When it is described otherwise than the one that is there.
    pub(super) fn executor_needs(
        &self,
        agent: &AgentId,
        framework: &FrameworkId,
        wanted: Option<&ExecutorInfo>,
    ) -> Result<Bundle, String> {
        let Some(wanted) = wanted else { return Ok(Bundle::default()) };
        let key = (framework.clone(), wanted.executor_id.clone());
        match self.agents.get(agent).and_then(|agent| agent.executors.get(&key)) {
            Some(executor) => same(&executor.info, wanted).map(|()| Bundle::default()),
            None => Bundle::of(&wanted.resources).map_err(|error| error.to_string()),
        }
    }

    /// One more task for an executor; whether that begins with it.
    pub(super) fn enter_executor(
        &mut self,
        agent_id: &AgentId,
        framework: &FrameworkId,
        role: &str,
        info: &ExecutorInfo,
    ) -> bool {
        let is_new = self.hold_for_executor(agent_id, framework, role, info);
        let key = (framework.clone(), info.executor_id.clone());
        let executor = self.agents.get_mut(agent_id).and_then(|agent| agent.executors.get_mut(&key));
        if let Some(executor) = executor {
            executor.tasks += 1;
        }
        is_new
    }

    /// Lets an executor that is not known hold what it needs; whether it was not known.
    fn hold_for_executor(
        &mut self,
        agent_id: &AgentId,
        framework: &FrameworkId,
        role: &str,
        info: &ExecutorInfo,
    ) -> bool {
        let key = (framework.clone(), info.executor_id.clone());
        let Some(agent) = self.agents.get_mut(agent_id).filter(|it| !it.executors.contains_key(&key)) else {
            return false;
        };
        let resources = Bundle::of(&info.resources).unwrap_or_default().unallocated();
        agent.hold(&resources);
        let role = self.shares.hold(role, framework, &resources);
        agent.executors.insert(key, Executor { info: info.clone(), role, resources, tasks: 0 });
        true
    }

    /// A task of an executor has ended. Where nobody tells when executors end, one ends with its last task.
    pub(super) fn leave_executor(&mut self, agent_id: &AgentId, key: &Key) {
        let Some(agent) = self.agents.get_mut(agent_id) else { return };
        let tells = agent.tells_executors;
        let Some(executor) = agent.executors.get_mut(key) else { return };
        executor.tasks = executor.tasks.saturating_sub(1);
        if executor.tasks == 0 && !tells {
            self.free_executor(agent_id, key);
        }
    }

    /// Gives back what an executor holds, which is not there any more.
    fn free_executor(&mut self, agent_id: &AgentId, key: &Key) {
        let Some(agent) = self.agents.get_mut(agent_id) else { return };
        let Some(executor) = agent.executors.remove(key) else { return };
        agent.free.add(&executor.resources);
        self.shares.release(&executor.role, &key.0, &executor.resources);
        self.plan_allocation();
    }

    /// Gives back what executors on an agent hold, of frameworks for which `is_over` holds.
    pub(super) fn free_executors(&mut self, agent_id: &AgentId, is_over: impl Fn(&FrameworkId) -> bool) {
        let Some(agent) = self.agents.get(agent_id) else { return };
        let over: Vec<Key> = agent.executors.keys().filter(|key| is_over(&key.0)).cloned().collect();
        for key in over {
            self.free_executor(agent_id, &key);
        }
    }

    /// An agent that is back tells which executors it runs: others have ended meanwhile.
    pub(super) fn executors_reported(
        &mut self,
        agent_id: &AgentId,
        reported: Option<Vec<(FrameworkId, ExecutorInfo)>>,
    ) {
        let Some(reported) = reported else { return };
        let Some(agent) = self.agents.get_mut(agent_id) else { return };
        agent.tells_executors = true;
        let known: Vec<Key> = agent.executors.keys().cloned().collect();
        let is_reported = |(framework, id): &Key| {
            reported.iter().any(|(owner, info)| owner == framework && info.executor_id == *id)
        };
        for key in known.into_iter().filter(|key| !is_reported(key)) {
            self.free_executor(agent_id, &key);
        }
        for (framework_id, info) in reported {
            if self.removed.contains(&framework_id) {
                self.tell_agent(agent_id, ToAgent::FrameworkRemoved { framework_id });
                continue;
            }
            let role = info.resources.iter().find_map(|it| it.allocation_info.as_ref()?.role.as_deref());
            self.hold_for_executor(agent_id, &framework_id, role.unwrap_or("*"), &info);
        }
    }

    /// An agent tells that an executor has ended: its framework is told, too, before it hears of the tasks.
    pub(super) fn executor_exited(&mut self, agent_id: &AgentId, exit: ExecutorExit) {
        let ExecutorExit { framework_id, executor_id, status } = exit;
        self.free_executor(agent_id, &(framework_id.clone(), executor_id.clone()));
        let (agent_id, executor_id) = (Some(agent_id.clone()), Some(executor_id));
        let failure = Some(Failure { agent_id, executor_id, status: Some(status) });
        self.tell(&framework_id, Event { failure, ..Event::of(EventType::Failure) });
    }
}

/// Whether tasks mean the same executor by both. Labels, the grace and a framework that is left out make no difference.
fn same(known: &ExecutorInfo, wanted: &ExecutorInfo) -> Validity {
    let compared = |info: &ExecutorInfo| ExecutorInfo {
        framework_id: None,
        labels: None,
        shutdown_grace_period: None,
        resources: Bundle::of(&info.resources).unwrap_or_default().resources(),
        ..info.clone()
    };
    if compared(known) == compared(wanted) {
        return Ok(());
    }
    let told = |info: &ExecutorInfo| json::to_value(info).unwrap_or_default();
    let line = "-".repeat(60);
    Err(format!(
        "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID.\n{line}\n\
         Existing ExecutorInfo:\n{}\n{line}\nExecutorInfo:\n{}\n{line}\n",
        told(known),
        told(wanted)
    ))
}
