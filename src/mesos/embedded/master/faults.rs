//! What a simulation does to the network between the master and its agents, and to the master itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::state::{Master, Timer};
use crate::mesos::embedded::protocol::ToMaster;
use crate::mesos::wire::{AgentId, OfferId};

/// A bad link between the master and an agent. Registrations pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Disturbance {
    /// How many of the next messages of the agent (status updates) are lost.
    pub lose_from_agent: u32,
    /// How many of the next messages to the agent (launches, kills, acknowledgements) are lost.
    pub lose_to_agent: u32,
    /// How many of the next status updates of the agent come twice.
    pub repeat_from_agent: u32,
    /// How long each message of the agent takes. They stay in order.
    pub delay_from_agent: Duration,
}

/// What comes out of an agent's link.
#[derive(Debug)]
pub(super) enum FromAgent {
    Said(ToMaster),
    /// The link is closed: the last thing that comes.
    Closed,
}

/// A fault.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// Of one agent, or of all.
    Rescind(Option<AgentId>),
    CutOff(AgentId),
    Restore(AgentId),
    MarkUnreachable(AgentId),
    Disturb(AgentId, Disturbance),
}

/// The links as they are now. They are not the master's: a new one finds them as they are.
#[derive(Debug, Clone, Default)]
pub(super) struct Network {
    cut_off: BTreeSet<AgentId>,
    disturbed: BTreeMap<AgentId, Disturbance>,
}

/// Messages of agents that are under way.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    last: u64,
    messages: BTreeMap<u64, (u64, FromAgent)>,
    /// When the last message of each agent arrives.
    arrivals: BTreeMap<AgentId, Instant>,
}

impl Network {
    pub(super) fn is_cut_off(&self, agent: &AgentId) -> bool {
        self.cut_off.contains(agent)
    }

    /// Whether a message to the agent is lost; counts it.
    pub(super) fn loses_to_agent(&mut self, agent: &AgentId) -> bool {
        self.disturbed.get_mut(agent).is_some_and(|it| take_one(&mut it.lose_to_agent))
    }
}

/// A status update once more; of all else agents say nothing twice.
fn copy(message: &FromAgent) -> Option<FromAgent> {
    let FromAgent::Said(ToMaster::Update { framework_id, status, latest }) = message else { return None };
    let (framework_id, status, latest) = (framework_id.clone(), status.clone(), *latest);
    Some(FromAgent::Said(ToMaster::Update { framework_id, status, latest }))
}

fn take_one(count: &mut u32) -> bool {
    let some = *count > 0;
    *count = count.saturating_sub(1);
    some
}

impl Master {
    pub(super) fn suffer(&mut self, fault: Fault) {
        match fault {
            Fault::Rescind(agent) => self.rescind_all(agent.as_ref()),
            Fault::CutOff(agent) => {
                self.network.cut_off.insert(agent.clone());
                self.break_link(&agent);
            }
            Fault::Restore(agent) => {
                self.network.cut_off.remove(&agent);
                self.network.disturbed.remove(&agent);
            }
            Fault::MarkUnreachable(agent) => {
                self.break_link(&agent);
                if let Some(epoch) = self.agents.get(&agent).map(|it| it.epoch) {
                    self.agent_timeout(&agent, epoch);
                }
            }
            Fault::Disturb(agent, disturbance) => {
                self.network.disturbed.insert(agent, disturbance);
            }
        }
    }

    fn rescind_all(&mut self, agent: Option<&AgentId>) {
        let meant = self.offers.iter().filter(|(_, offer)| agent.is_none_or(|agent| offer.agent == *agent));
        let offers: Vec<OfferId> = meant.map(|(id, _)| id.clone()).collect();
        for offer in offers {
            self.rescind(&offer);
        }
    }

    fn break_link(&mut self, agent: &AgentId) {
        let link = self.agents.get(agent).and_then(|it| it.link.as_ref()).map(|link| link.connection);
        if let Some(connection) = link {
            self.disconnect_agent(agent, connection);
        }
    }

    /// A message of an agent as the network lets it through: now, later ([`Timer::Deliver`]) or never.
    pub(super) fn through_network(
        &mut self,
        agent: &AgentId,
        connection: u64,
        message: FromAgent,
    ) -> Option<FromAgent> {
        let Some(disturbance) = self.network.disturbed.get_mut(agent) else { return Some(message) };
        if matches!(message, FromAgent::Said(_)) && take_one(&mut disturbance.lose_from_agent) {
            return None;
        }
        let repeated = copy(&message).filter(|_| take_one(&mut disturbance.repeat_from_agent));
        let arrives = Instant::now() + disturbance.delay_from_agent;
        let last = self.under_way.arrivals.get(agent).copied();
        let arrives = last.map_or(arrives, |last| last.max(arrives));
        let now = if arrives <= Instant::now() {
            Some(message)
        } else {
            self.send(agent, connection, message, arrives);
            None
        };
        if let Some(repeated) = repeated {
            self.send(agent, connection, repeated, arrives);
        }
        now
    }

    /// Puts a message of an agent on its way.
    fn send(&mut self, agent: &AgentId, connection: u64, message: FromAgent, arrives: Instant) {
        self.under_way.last += 1;
        let number = self.under_way.last;
        self.under_way.messages.insert(number, (connection, message));
        self.under_way.arrivals.insert(agent.clone(), arrives);
        self.plan(arrives, Timer::Deliver { number });
    }

    /// The message that arrives now, with its connection.
    pub(super) fn arrived(&mut self, number: u64) -> Option<(u64, FromAgent)> {
        self.under_way.messages.remove(&number)
    }
}
