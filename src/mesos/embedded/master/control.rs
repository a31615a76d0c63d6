//! What stands behind a [`MasterHandle`] besides the scheduler API: the operator's wishes, and the faults of a simulation.
//!
//! Everything takes effect before the call returns, in the order of the calls, like everything else that the master does.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot;

use super::books::{Books, Extent};
use super::faults::{Disturbance, Fault};
use super::maintenance::{MachineId, MaintenanceView, Window};
use super::operator::Wish;
use super::watchers::Watching;
use super::{Input, MasterHandle};
use crate::mesos::wire::{AgentId, FrameworkId, MasterInfo};

/// An operator's wish was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("refused by the master: {message}")]
pub struct OperatorError {
    /// The master's text.
    pub message: String,
}

/// An agent as the master sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentView {
    /// Its id.
    pub id: AgentId,
    /// What it calls its host.
    pub hostname: String,
    /// Whether it has a link now.
    pub connected: bool,
    /// Whether its resources may be offered.
    pub active: bool,
}

/// What reaches the master besides calls and agents.
#[derive(Debug)]
pub(super) enum Control {
    Wish(Wish, oneshot::Sender<Result<(), String>>),
    Fault(Fault, oneshot::Sender<()>),
    FailOver(Duration, oneshot::Sender<()>),
    BeginInterval(oneshot::Sender<()>),
    Agents(oneshot::Sender<Vec<AgentView>>),
    Introduce(oneshot::Sender<MasterInfo>),
    Maintenance(oneshot::Sender<MaintenanceView>),
    Books(Extent, oneshot::Sender<Box<Books>>),
    Watch(oneshot::Sender<Box<Watching>>),
    Metrics(oneshot::Sender<BTreeMap<String, f64>>),
}

impl MasterHandle {
    /// The agents that are registered now, with or without a link. Empty while the master is away.
    pub async fn agents(&self) -> Vec<AgentView> {
        self.ask(Control::Agents).await.unwrap_or_default()
    }

    /// Who the master is; nothing while it is away.
    pub async fn introduction(&self) -> Option<MasterInfo> {
        self.ask(Control::Introduce).await
    }

    /// SUBSCRIBE of an operator; nothing while the master is away.
    pub async fn watch(&self) -> Option<Box<Watching>> {
        self.ask(Control::Watch).await
    }

    /// DEACTIVATE_AGENT: its offers are rescinded and nothing of it is offered; its tasks go on.
    ///
    /// # Errors
    /// When the agent is unknown.
    pub async fn deactivate_agent(&self, agent: &AgentId) -> Result<(), OperatorError> {
        self.wish(Wish::Deactivate(agent.clone())).await
    }

    /// DRAIN_AGENT: as deactivated, and its tasks are killed with at most `max_grace`. With `mark_gone` it is gone as soon
    /// as their ends are acknowledged.
    ///
    /// # Errors
    /// When the agent is unknown.
    pub async fn drain_agent(
        &self,
        agent: &AgentId,
        max_grace: Option<Duration>,
        mark_gone: bool,
    ) -> Result<(), OperatorError> {
        self.wish(Wish::Drain { agent: agent.clone(), max_grace, mark_gone }).await
    }

    /// REACTIVATE_AGENT: undoes deactivation and draining.
    ///
    /// # Errors
    /// When the agent is not deactivated.
    pub async fn reactivate_agent(&self, agent: &AgentId) -> Result<(), OperatorError> {
        self.wish(Wish::Reactivate(agent.clone())).await
    }

    /// MARK_AGENT_GONE: its tasks are gone for good, and it is shut down now or when it shows up.
    ///
    /// # Errors
    /// When the agent is unknown.
    pub async fn mark_agent_gone(&self, agent: &AgentId) -> Result<(), OperatorError> {
        self.wish(Wish::MarkGone(agent.clone())).await
    }

    /// TEARDOWN by the operator: the framework is removed with all its tasks, and its stream ends.
    ///
    /// # Errors
    /// When the framework is unknown.
    pub async fn teardown(&self, framework: &FrameworkId) -> Result<(), OperatorError> {
        self.wish(Wish::Teardown(framework.clone())).await
    }

    /// UPDATE_WEIGHTS: gives these roles so much more than others, who have 1. Others keep theirs; offers are taken back.
    ///
    /// # Errors
    /// When a role has no proper name or its weight is not above zero.
    pub async fn update_weights(&self, weights: BTreeMap<String, f64>) -> Result<(), OperatorError> {
        self.wish(Wish::Weigh(weights)).await
    }

    /// UPDATE_MAINTENANCE_SCHEDULE: replaces the schedule. All offers are taken back, and made again with the windows.
    ///
    /// # Errors
    /// When a window is malformed, a machine is named twice, or one that is down is left out.
    pub async fn update_maintenance_schedule(&self, windows: Vec<Window>) -> Result<(), OperatorError> {
        self.wish(Wish::Schedule(windows)).await
    }

    /// START_MAINTENANCE: the agents of scheduled machines are shut down, their tasks are lost, and they cannot come back.
    ///
    /// # Errors
    /// When a machine is not in the schedule, or is down already.
    pub async fn start_maintenance(&self, machines: Vec<MachineId>) -> Result<(), OperatorError> {
        self.wish(Wish::Down(machines)).await
    }

    /// STOP_MAINTENANCE: the machines leave the schedule, and their agents may come back.
    ///
    /// # Errors
    /// When a machine is not down.
    pub async fn stop_maintenance(&self, machines: Vec<MachineId>) -> Result<(), OperatorError> {
        self.wish(Wish::Up(machines)).await
    }

    /// The schedule and what frameworks answered; nothing while the master is away.
    pub async fn maintenance(&self) -> Option<MaintenanceView> {
        self.ask(Control::Maintenance).await
    }

    /// So much of what the master knows; nothing while it is away. It does nothing else while it writes that down.
    pub async fn books(&self, extent: Extent) -> Option<Box<Books>> {
        self.ask(|answer| Control::Books(extent, answer)).await
    }

    /// The figures of `/metrics/snapshot`, by name; nothing while the master is away.
    pub async fn metrics(&self) -> Option<BTreeMap<String, f64>> {
        self.ask(Control::Metrics).await
    }

    /// Fault: rescinds the offers of an agent, or all. What was offered comes again at the next allocation.
    pub async fn rescind_offers(&self, agent: Option<&AgentId>) {
        self.fault(Fault::Rescind(agent.cloned())).await;
    }

    /// Fault: a partition. The agent's link breaks, and it cannot register until [`MasterHandle::restore_agent`]; after
    /// `agent_ping_timeout` it is unreachable. Its tasks go on.
    pub async fn cut_off_agent(&self, agent: &AgentId) {
        self.fault(Fault::CutOff(agent.clone())).await;
    }

    /// Ends a partition and every disturbance of the agent's link. The agent registers at its next attempt.
    pub async fn restore_agent(&self, agent: &AgentId) {
        self.fault(Fault::Restore(agent.clone())).await;
    }

    /// Fault: the agent's health check times out now. It registers again at its next attempt, unless it is cut off.
    pub async fn mark_agent_unreachable(&self, agent: &AgentId) {
        self.fault(Fault::MarkUnreachable(agent.clone())).await;
    }

    /// Fault: loses or delays messages between the master and an agent; replaces an earlier disturbance.
    pub async fn disturb_link(&self, agent: &AgentId, disturbance: Disturbance) {
        self.fault(Fault::Disturb(agent.clone(), disturbance)).await;
    }

    /// Fault: the master dies, and after `away` another one leads. The new one has another id, an empty memory and the
    /// registry of the old one (agents that are awaited, unreachable, gone, deactivated): streams and links end, agents and
    /// frameworks come back by themselves. Meanwhile nobody reaches a master.
    pub async fn fail_over(&self, away: Duration) {
        self.ask(|done| Control::FailOver(away, done)).await;
    }

    /// Counts the allocation intervals from now: if something waits to be offered it is offered at once.
    pub async fn begin_interval(&self) {
        self.ask(Control::BeginInterval).await;
    }

    async fn wish(&self, wish: Wish) -> Result<(), OperatorError> {
        let answer = self.ask(|answer| Control::Wish(wish, answer)).await;
        let answer = answer.unwrap_or_else(|| Err("No leading master".to_owned()));
        answer.map_err(|message| OperatorError { message })
    }

    async fn fault(&self, fault: Fault) {
        self.ask(|done| Control::Fault(fault, done)).await;
    }

    /// Nothing when there is no master.
    async fn ask<T>(&self, control: impl FnOnce(oneshot::Sender<T>) -> Control) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.inbox.send(Input::Control(control(answer))).await.ok()?;
        answered.await.ok()
    }
}
