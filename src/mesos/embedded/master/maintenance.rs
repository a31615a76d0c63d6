//! Maintenance: the operator's schedule, what frameworks are asked because of it, and machines that are down.
//!
//! As in Mesos, a schedule that changes takes all offers back, of machines that it does not name as well; they are made again with
//! the window of their machine. Whoever has tasks or offers there is asked to give the machine back (an inverse offer); the
//! answer is for the operator to look at, and the question comes again when its filter has run out.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::offering::wire_url;
use super::state::{Agent, Master, Timer};
use super::validation::Validity;
use crate::mesos::embedded::allocator::refuse_for;
use crate::mesos::embedded::protocol::ToAgent;
use crate::mesos::wire::offer::{InverseOffer, Unavailability};
use crate::mesos::wire::scheduler::{Event, InverseOfferAnswer, InverseOffers, RescindInverseOffer};
use crate::mesos::wire::{AgentId, EventType, FrameworkId, OfferId, Reason, TaskState};

/// A machine as operators name it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MachineId {
    /// What its agent calls it.
    pub hostname: String,
    /// Its agent's address.
    pub ip: String,
}

/// When machines are taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Which machines.
    pub machines: Vec<MachineId>,
    /// From when on, and for how long.
    pub unavailability: Unavailability,
}

/// What a framework answered to the question for a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Who.
    pub framework: FrameworkId,
    /// Whether it gives the machine back.
    pub accepted: bool,
    /// When.
    pub at: Timestamp,
}

/// What an operator sees of maintenance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MaintenanceView {
    /// The schedule.
    pub windows: Vec<Window>,
    /// Scheduled machines that are still up, with the latest answers.
    pub draining: Vec<(MachineId, Vec<Answered>)>,
    /// Machines that are down.
    pub down: Vec<MachineId>,
}

/// What the operator has planned: part of the registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Schedule {
    windows: Vec<Window>,
    down: BTreeSet<MachineId>,
}

/// What this master has asked frameworks, and what they answered.
#[derive(Debug, Default)]
pub(super) struct Asked {
    open: BTreeMap<OfferId, (FrameworkId, AgentId)>,
    /// Until when a framework is not asked about an agent again.
    filters: BTreeMap<(FrameworkId, AgentId), Instant>,
    answers: BTreeMap<MachineId, BTreeMap<FrameworkId, Answered>>,
}

impl Schedule {
    fn window(&self, machine: &MachineId) -> Option<&Window> {
        self.windows.iter().find(|window| window.machines.contains(machine))
    }

    fn machines(&self) -> impl Iterator<Item = &MachineId> {
        self.windows.iter().flat_map(|window| &window.machines)
    }

    pub(super) fn is_down(&self, machine: &MachineId) -> bool {
        self.down.contains(machine)
    }

    fn check(&self, windows: &[Window]) -> Validity {
        let mut named = BTreeSet::new();
        for window in windows {
            if window.machines.is_empty() {
                return Err("List of machines in the maintenance window is empty".to_owned());
            }
            if window.unavailability.start.is_none() {
                return Err("Unavailability 'start' is missing".to_owned());
            }
            for machine in &window.machines {
                if machine.hostname.is_empty() && machine.ip.is_empty() {
                    return Err("Both 'hostname' and 'ip' for a machine are empty".to_owned());
                }
                if !named.insert(machine) {
                    return Err(format!("Machine '{machine}' appears more than once in the schedule"));
                }
            }
        }
        match self.down.iter().find(|machine| !named.contains(machine)) {
            Some(machine) => {
                Err(format!("Machine '{machine}' is deactivated and cannot be removed from the schedule"))
            }
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for MachineId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.hostname, self.ip)
    }
}

impl Agent {
    pub(super) fn machine(&self) -> MachineId {
        MachineId { hostname: self.info.hostname.clone(), ip: self.ip.clone() }
    }
}

impl Master {
    /// When the agent's machine is taken away, if it is planned.
    pub(super) fn unavailability(&self, agent: &Agent) -> Option<Unavailability> {
        self.registry.schedule.window(&agent.machine()).map(|window| window.unavailability)
    }

    /// UPDATE_MAINTENANCE_SCHEDULE: replaces the schedule.
    pub(super) fn schedule(&mut self, windows: Vec<Window>) -> Validity {
        self.registry.schedule.check(&windows)?;
        let windows: Vec<Window> = windows.into_iter().filter(|window| !window.machines.is_empty()).collect();
        self.registry.schedule.windows = windows;
        let scheduled: BTreeSet<MachineId> = self.registry.schedule.machines().cloned().collect();
        self.asked.answers.retain(|machine, _| scheduled.contains(machine));
        self.asked.filters.clear();
        let offers: Vec<OfferId> = self.offers.keys().cloned().collect();
        for offer in offers {
            self.rescind(&offer);
        }
        let open: Vec<OfferId> = self.asked.open.keys().cloned().collect();
        for question in open {
            self.rescind_inverse(&question);
        }
        self.allocate();
        Ok(())
    }

    /// START_MAINTENANCE: agents of these machines are shut down and forgotten.
    pub(super) fn machines_down(&mut self, machines: Vec<MachineId>) -> Validity {
        for machine in &machines {
            if self.registry.schedule.window(machine).is_none() {
                return Err(format!("Machine '{machine}' is not part of a maintenance schedule"));
            }
            if self.registry.schedule.is_down(machine) {
                return Err(format!(
                    "Machine '{machine}' is not in DRAINING mode and cannot be brought down"
                ));
            }
        }
        for machine in machines {
            let agents: Vec<(AgentId, String)> = self.agents_of(&machine);
            self.asked.answers.remove(&machine);
            self.registry.schedule.down.insert(machine);
            for (agent, hostname) in agents {
                self.tell_agent(&agent, ToAgent::Shutdown);
                let message = format!("Agent {hostname} removed: Operator initiated 'Machine DOWN'");
                self.remove_agent(&agent, (TaskState::Lost, Reason::AgentRemoved, &message), None);
            }
        }
        Ok(())
    }

    /// STOP_MAINTENANCE: agents of these machines may come back; the machines leave the schedule.
    pub(super) fn machines_up(&mut self, machines: Vec<MachineId>) -> Validity {
        for machine in &machines {
            if !self.registry.schedule.is_down(machine) {
                return Err(format!("Machine '{machine}' is not in DOWN mode and cannot be brought up"));
            }
        }
        let schedule = &mut self.registry.schedule;
        for machine in machines {
            schedule.down.remove(&machine);
            schedule.windows.iter_mut().for_each(|window| window.machines.retain(|it| *it != machine));
        }
        schedule.windows.retain(|window| !window.machines.is_empty());
        Ok(())
    }

    fn agents_of(&self, machine: &MachineId) -> Vec<(AgentId, String)> {
        let there = self.agents.iter().filter(|(_, agent)| agent.machine() == *machine);
        there.map(|(id, agent)| (id.clone(), agent.info.hostname.clone())).collect()
    }

    pub(super) fn maintenance(&self) -> MaintenanceView {
        let schedule = &self.registry.schedule;
        let answers = |machine: &MachineId| {
            self.asked.answers.get(machine).into_iter().flat_map(|it| it.values().cloned()).collect()
        };
        let draining = schedule.machines().filter(|machine| !schedule.is_down(machine));
        MaintenanceView {
            windows: schedule.windows.clone(),
            draining: draining.map(|machine| (machine.clone(), answers(machine))).collect(),
            down: schedule.down.iter().cloned().collect(),
        }
    }

    /// Asks every framework for what it has on machines that are to be taken away, unless it is asked already or has just
    /// answered.
    pub(super) fn ask_back(&mut self) {
        if self.registry.schedule.windows.is_empty() {
            return;
        }
        let now = Instant::now();
        self.asked.filters.retain(|_, until| now < *until);
        let mut asked: BTreeMap<FrameworkId, Vec<InverseOffer>> = BTreeMap::new();
        let agents: Vec<AgentId> = self.agents.keys().cloned().collect();
        for id in agents {
            let Some(agent) = self.agents.get(&id).filter(|agent| agent.link.is_some()) else { continue };
            let Some(unavailability) = self.unavailability(agent) else { continue };
            let url = Some(wire_url(agent));
            for framework_id in self.present_on(&id) {
                let is_asked = self.asked.open.values().any(|it| *it == (framework_id.clone(), id.clone()));
                let key = (framework_id.clone(), id.clone());
                if is_asked || self.asked.filters.contains_key(&key) {
                    continue;
                }
                let question = self.next_offer_id();
                self.asked.open.insert(question.clone(), key);
                asked.entry(framework_id.clone()).or_default().push(InverseOffer {
                    id: question,
                    url: url.clone(),
                    framework_id,
                    agent_id: Some(id.clone()),
                    unavailability: Some(unavailability),
                    ..InverseOffer::default()
                });
            }
        }
        for (framework, inverse_offers) in asked {
            let inverse_offers = Some(InverseOffers { inverse_offers });
            self.tell(&framework, Event { inverse_offers, ..Event::of(EventType::InverseOffers) });
        }
    }

    /// Subscribed frameworks with tasks or offers on an agent.
    fn present_on(&self, agent: &AgentId) -> BTreeSet<FrameworkId> {
        let Some(agent) = self.agents.get(agent) else { return BTreeSet::new() };
        let living = |key: &&(FrameworkId, _)| self.tasks.get(key).is_some_and(|it| !it.latest.is_terminal());
        let tasks = agent.tasks.iter().filter(living).map(|(framework, _)| framework);
        let offers = agent.offers.iter().filter_map(|offer| Some(&self.offers.get(offer)?.framework));
        let is_there = |it: &&FrameworkId| self.frameworks.get(it).is_some_and(|it| it.stream.is_some());
        tasks.chain(offers).filter(is_there).cloned().collect()
    }

    /// ACCEPT_INVERSE_OFFERS and DECLINE_INVERSE_OFFERS. Questions that are not open any more are left out.
    pub(super) fn answer_inverse(
        &mut self,
        framework: &FrameworkId,
        answer: InverseOfferAnswer,
        accepted: bool,
    ) {
        let until = Instant::now() + refuse_for(answer.filters);
        for question in answer.inverse_offer_ids {
            let Some((asked, agent)) = self.asked.open.get(&question).cloned() else { continue };
            if asked != *framework {
                continue;
            }
            self.asked.open.remove(&question);
            if let Some(machine) = self.agents.get(&agent).map(Agent::machine) {
                let answered = Answered { framework: framework.clone(), accepted, at: self.env.now() };
                self.asked.answers.entry(machine).or_default().insert(framework.clone(), answered);
            }
            self.asked.filters.insert((framework.clone(), agent), until);
        }
        self.plan(until, Timer::FilterExpired);
    }

    pub(super) fn rescind_inverse_of(&mut self, agent: &AgentId) {
        let open = self.asked.open.iter().filter(|(_, (_, asked))| asked == agent);
        let open: Vec<OfferId> = open.map(|(id, _)| id.clone()).collect();
        for question in open {
            self.rescind_inverse(&question);
        }
    }

    fn rescind_inverse(&mut self, question: &OfferId) {
        let Some((framework, _)) = self.asked.open.remove(question) else { return };
        let rescind = Some(RescindInverseOffer { inverse_offer_id: question.clone() });
        let event = Event { rescind_inverse_offer: rescind, ..Event::of(EventType::RescindInverseOffer) };
        self.tell(&framework, event);
    }

    /// The framework's stream has ended: what it was asked is void, and it is asked again when it is back.
    pub(super) fn forget_asked(&mut self, framework: &FrameworkId) {
        self.asked.open.retain(|_, (asked, _)| asked != framework);
        self.asked.filters.retain(|(asked, _), _| asked != framework);
    }
}
