//! What an operator does to agents, frameworks and roles: deactivate, drain, mark gone, tear down, maintain, weigh. Answers are in
//! the words of Mesos.

use std::collections::BTreeMap;
use std::time::Duration;

use super::maintenance::{MachineId, Window};
use super::registry::Drain;
use super::state::Master;
use super::validation::{self, Validity};
use crate::mesos::embedded::protocol::ToAgent;
use crate::mesos::wire::{AgentId, FrameworkId, OfferId, Reason, TaskState, TaskStatus};

/// An operator's wish.
#[derive(Debug, Clone)]
pub(super) enum Wish {
    Deactivate(AgentId),
    Drain { agent: AgentId, max_grace: Option<Duration>, mark_gone: bool },
    Reactivate(AgentId),
    MarkGone(AgentId),
    Teardown(FrameworkId),
    Schedule(Vec<Window>),
    Down(Vec<MachineId>),
    Up(Vec<MachineId>),
    Weigh(BTreeMap<String, f64>),
}

impl Master {
    pub(super) fn operate(&mut self, wish: Wish) -> Validity {
        match wish {
            Wish::Deactivate(agent) => self.deactivate(&agent, None),
            Wish::Drain { agent, max_grace, mark_gone } => {
                self.deactivate(&agent, Some(Drain { max_grace, mark_gone }))?;
                self.drain(&agent);
                self.finish_drain(&agent);
                Ok(())
            }
            Wish::Reactivate(agent) => self.reactivate(&agent),
            Wish::MarkGone(agent) => self.mark_gone(&agent),
            Wish::Schedule(windows) => self.schedule(windows),
            Wish::Down(machines) => self.machines_down(machines),
            Wish::Up(machines) => self.machines_up(machines),
            Wish::Weigh(weights) => self.weigh(weights),
            Wish::Teardown(framework) => {
                if !self.frameworks.contains_key(&framework) {
                    return Err("No framework found with specified ID".to_owned());
                }
                self.remove_framework(&framework);
                Ok(())
            }
        }
    }

    /// Changes the weights of these roles. If a framework is in one of them all offers are taken back, as in Mesos.
    fn weigh(&mut self, weights: BTreeMap<String, f64>) -> Validity {
        for (role, weight) in &weights {
            validation::role_name(role).map_err(|why| format!("Invalid role '{role}': {why}"))?;
            if !(*weight > 0.0 && weight.is_finite()) {
                return Err(format!("Invalid weight '{weight}' for role '{role}': Weights must be positive"));
            }
        }
        let is_used = self.frameworks.values().flat_map(|it| it.roles()).any(|it| weights.contains_key(&it));
        self.registry.weights.0.extend(weights);
        let offers: Vec<OfferId> = self.offers.keys().filter(|_| is_used).cloned().collect();
        for offer in offers {
            self.rescind(&offer);
        }
        Ok(())
    }

    /// Whether the agent is, or may be, part of the cluster.
    fn is_admitted(&self, agent: &AgentId) -> bool {
        let registry = &self.registry;
        self.agents.contains_key(agent)
            || registry.recovered.contains(agent)
            || registry.unreachable.contains_key(agent)
    }

    fn deactivate(&mut self, agent: &AgentId, drain: Option<Drain>) -> Validity {
        if !self.is_admitted(agent) {
            return Err("Unknown agent".to_owned());
        }
        let drain = drain.or(self.registry.drain_of(agent));
        self.registry.deactivated.insert(agent.clone(), drain);
        self.rescind_agent(agent);
        Ok(())
    }

    pub(super) fn rescind_agent(&mut self, agent: &AgentId) {
        let offers: Vec<OfferId> =
            self.agents.get(agent).into_iter().flat_map(|it| it.offers.iter().cloned()).collect();
        for offer in offers {
            self.rescind(&offer);
        }
    }

    fn reactivate(&mut self, agent: &AgentId) -> Validity {
        if self.registry.deactivated.remove(agent).is_none() {
            return Err("Agent is not deactivated".to_owned());
        }
        self.tell_agent(agent, ToAgent::Reactivated);
        self.plan_allocation();
        Ok(())
    }

    /// Tells a draining agent so, and to end what it runs. Also when it is back.
    pub(super) fn drain(&mut self, agent: &AgentId) {
        let Some(drain) = self.registry.drain_of(agent) else { return };
        let Drain { max_grace, mark_gone } = drain;
        self.tell_agent(agent, ToAgent::Drain { max_grace, mark_gone });
        let Some(known) = self.agents.get(agent) else { return };
        let alive = |key: &&(FrameworkId, _)| self.tasks.get(key).is_some_and(|it| !it.latest.is_terminal());
        let tasks: Vec<_> = known.tasks.iter().filter(alive).cloned().collect();
        for (framework_id, task_id) in tasks {
            self.send_kill(agent, framework_id, task_id, None);
        }
    }

    /// An agent that is to be gone once it is drained is gone when the last end of a task is acknowledged.
    pub(super) fn finish_drain(&mut self, agent: &AgentId) {
        let mark_gone = self.registry.drain_of(agent).is_some_and(|drain| drain.mark_gone);
        if mark_gone && self.agents.get(agent).is_some_and(|it| it.tasks.is_empty()) {
            self.gone(agent);
        }
    }

    fn mark_gone(&mut self, agent: &AgentId) -> Validity {
        if self.registry.gone.contains(agent) {
            return Ok(());
        }
        if !self.is_admitted(agent) {
            return Err("Unknown agent".to_owned());
        }
        self.gone(agent);
        Ok(())
    }

    /// The operator vouches that nothing of the agent runs any more.
    fn gone(&mut self, agent: &AgentId) {
        self.registry.gone.insert(agent.clone());
        self.registry.recovered.remove(agent);
        self.registry.unreachable.remove(agent);
        self.registry.deactivated.remove(agent);
        self.tell_agent(agent, ToAgent::Shutdown);
        let why = (TaskState::GoneByOperator, Reason::AgentRemovedByOperator, "Agent has been marked gone");
        for key in self.unreachable_tasks.remove_agent(agent) {
            let status = self.own_status(&key.0, &key.1, Some(agent), why);
            let status = TaskStatus { executor_id: self.executor_of(&key), ..status };
            self.archive_unreachable(&key, &status);
            self.count_end(&key.0, status.state());
            self.tell_status(&key.0, status);
        }
        self.remove_agent(agent, why, None);
    }
}
