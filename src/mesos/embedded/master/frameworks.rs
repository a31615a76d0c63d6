//! Frameworks come, change, disconnect, come back and go.

use std::net::IpAddr;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::metrics::FrameworkCounts;
use super::state::{Framework, Master, Stream, Timer};
use super::validation;
use crate::mesos::connection::ConnectionError;
use crate::mesos::embedded::allocator::Filters;
use crate::mesos::embedded::protocol::ToAgent;
use crate::mesos::wire::framework::{MasterCapability, MasterInfo};
use crate::mesos::wire::offer::Address;
use crate::mesos::wire::scheduler::{Call, Error, Event, Subscribe, Subscribed};
use crate::mesos::wire::{
    AgentId, EventType, FrameworkId, MasterCapabilityType, OfferId, Reason, TaskId, TaskState,
};

/// Where a subscriber's events go.
pub(super) type EventSender = mpsc::Sender<Result<Event, ConnectionError>>;

/// The Mesos that is imitated.
pub(in crate::mesos::embedded) const VERSION: &str = "1.12.0";

/// How many removed frameworks are remembered.
const REMOVED: usize = 50;

impl Master {
    /// SUBSCRIBE. Returns the id of the new stream, or tells the refusal on it.
    pub(super) fn subscribe(&mut self, call: Call, events: EventSender) -> Option<(FrameworkId, String)> {
        let subscribe = call.subscribe.unwrap_or_default();
        if let Err(message) = self.may_subscribe(&subscribe) {
            // The stream is new: there is room for one event.
            let _ended = events.try_send(Ok(error_event(message)));
            return None;
        }
        let id = subscribe.framework_info.id.clone().unwrap_or_else(|| self.next_framework_id());
        self.end_stream(&id, Some("Framework failed over"));
        let is_new = !self.frameworks.contains_key(&id);
        let stream = self.install(&id, subscribe, events);
        self.greet(&id);
        self.show_framework(&id, is_new);
        let agents: Vec<AgentId> = self.agents.keys().cloned().collect();
        for agent in agents {
            self.tell_agent(&agent, ToAgent::Resubscribed { framework_id: id.clone() });
        }
        self.allocate();
        Some((id, stream))
    }

    fn may_subscribe(&self, subscribe: &Subscribe) -> validation::Validity {
        validation::framework(&subscribe.framework_info)?;
        validation::suppressed(subscribe)?;
        let Some(id) = &subscribe.framework_info.id else { return Ok(()) };
        if self.removed.contains(id) {
            return Err("Framework has been removed".to_owned());
        }
        match self.frameworks.get(id) {
            Some(known) => validation::same_framework(&known.info, &subscribe.framework_info),
            None => Ok(()),
        }
    }

    /// Enters the framework, or what changed of it, with its new stream.
    fn install(&mut self, id: &FrameworkId, subscribe: Subscribe, events: EventSender) -> String {
        let mut info = subscribe.framework_info;
        info.id = Some(id.clone());
        let stream = Stream { id: self.env.uid(), events };
        let stream_id = stream.id.clone();
        self.plan_heartbeat(id, &stream_id);
        let suppressed = subscribe.suppressed_roles.into_iter().collect();
        match self.frameworks.get_mut(id) {
            Some(framework) => {
                // Not to be changed by subscribing again.
                info.user = framework.info.user.clone();
                info.checkpoint = framework.info.checkpoint;
                framework.info = info;
                framework.stream = Some(stream);
                framework.reregistered = Some(self.env.now());
                framework.epoch += 1;
                framework.set_suppressed(suppressed);
            }
            None => {
                let framework = Framework {
                    info,
                    stream: Some(stream),
                    suppressed,
                    filters: Filters::default(),
                    offers: std::collections::BTreeSet::new(),
                    epoch: 1,
                    registered: self.env.now(),
                    reregistered: None,
                    counts: FrameworkCounts::default(),
                };
                self.frameworks.insert(id.clone(), framework);
            }
        }
        stream_id
    }

    fn greet(&mut self, id: &FrameworkId) {
        let subscribed = Subscribed {
            framework_id: id.clone(),
            heartbeat_interval_seconds: Some(self.config.heartbeat_interval.as_secs_f64()),
            master_info: Some(self.introduction()),
        };
        self.tell(id, Event { subscribed: Some(subscribed), ..Event::of(EventType::Subscribed) });
        self.tell(id, Event::of(EventType::Heartbeat));
    }

    pub(super) fn introduction(&self) -> MasterInfo {
        let (ip, port) = (self.config.address.ip(), self.config.address.port());
        let host = ip.to_string();
        let packed = match ip {
            IpAddr::V4(ip) => u32::from_le_bytes(ip.octets()),
            IpAddr::V6(_) => 0,
        };
        let address = Address { hostname: Some(host.clone()), ip: Some(host.clone()), port: i32::from(port) };
        let capabilities = [MasterCapabilityType::AgentUpdate, MasterCapabilityType::AgentDraining];
        MasterInfo {
            id: self.id.clone(),
            ip: packed,
            port: u32::from(port),
            pid: Some(format!("master@{}", self.config.address)),
            hostname: Some(host),
            version: Some(VERSION.to_owned()),
            address: Some(address),
            domain: self.config.domain.clone(),
            capabilities: capabilities.map(|c| MasterCapability { r#type: c.wire() }).into(),
        }
    }

    fn plan_heartbeat(&mut self, framework: &FrameworkId, stream: &str) {
        let at = Instant::now() + self.config.heartbeat_interval;
        self.plan(at, Timer::Heartbeat { framework: framework.clone(), stream: stream.to_owned() });
    }

    pub(super) fn heartbeat(&mut self, framework: &FrameworkId, stream: &str) {
        if self.is_current(framework, stream) {
            self.tell(framework, Event::of(EventType::Heartbeat));
            self.plan_heartbeat(framework, stream);
        }
    }

    pub(super) fn is_current(&self, framework: &FrameworkId, stream: &str) -> bool {
        self.frameworks.get(framework).and_then(|f| f.stream.as_ref()).is_some_and(|s| s.id == stream)
    }

    /// Closes the framework's stream, if there is one, and ends its offers without a word.
    fn end_stream(&mut self, id: &FrameworkId, error: Option<&str>) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        if let (Some(stream), Some(message)) = (framework.stream.take(), error) {
            // If it is full its reader learns of the end by the end.
            let _full = stream.events.try_send(Ok(error_event(message.to_owned())));
        }
        let offers: Vec<OfferId> = framework.offers.iter().cloned().collect();
        for offer in offers {
            self.end_offer(&offer);
        }
        self.forget_asked(id);
    }

    /// The stream broke. The framework has its failover timeout to come back.
    pub(super) fn disconnect_framework(&mut self, id: &FrameworkId, stream: &str) {
        if !self.is_current(id, stream) {
            return;
        }
        self.end_stream(id, None);
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        framework.filters.clear_all();
        let epoch = framework.epoch;
        let timeout = framework.info.failover_timeout().max(0.0);
        let timeout = std::time::Duration::try_from_secs_f64(timeout).unwrap_or(std::time::Duration::MAX);
        match Instant::now().checked_add(timeout) {
            Some(at) => self.plan(at, Timer::FailoverTimeout { framework: id.clone(), epoch }),
            None => tracing::debug!(framework = %id, "failover timeout beyond all times"),
        }
    }

    pub(super) fn failover_timeout(&mut self, id: &FrameworkId, epoch: u64) {
        let expired = self.frameworks.get(id).is_some_and(|f| f.stream.is_none() && f.epoch == epoch);
        if expired {
            self.remove_framework(id);
        }
    }

    /// Removes a framework with all its tasks. Nothing tells it so but the end of its stream.
    pub(super) fn remove_framework(&mut self, id: &FrameworkId) {
        self.end_stream(id, None);
        for key in self.tasks_of(id) {
            self.end_with_framework(&key);
        }
        if let Some(framework) = self.frameworks.remove(id) {
            let entry = framework.entry(id, Some(self.env.now()));
            self.archive_framework(entry);
            self.show_framework_gone(framework.info);
        }
        self.unreachable_tasks.remove_framework(id);
        let agents: Vec<AgentId> = self.agents.keys().cloned().collect();
        for agent in agents {
            self.free_executors(&agent, |framework| framework == id);
            self.tell_agent(&agent, ToAgent::FrameworkRemoved { framework_id: id.clone() });
        }
        self.removed.push_back(id.clone());
        if self.removed.len() > REMOVED {
            self.removed.pop_front();
        }
    }

    /// A task whose framework is removed counts as killed.
    fn end_with_framework(&mut self, key: &(FrameworkId, TaskId)) {
        let Some(task) = self.tasks.get(key) else { return };
        if !task.latest.is_terminal() {
            let agent = task.agent.clone();
            let why = (TaskState::Killed, Reason::FrameworkRemoved, "Framework was removed");
            let status = self.own_status(&key.0, &key.1, Some(&agent), why);
            self.note(key, &status);
            self.count_end(&key.0, TaskState::Killed);
        }
        self.remove_task(key);
    }

    /// UPDATE_FRAMEWORK.
    pub(super) fn update_framework(&mut self, id: &FrameworkId, update: Subscribe) -> validation::Validity {
        let Some(framework) = self.frameworks.get_mut(id) else {
            return Err("Framework cannot be found".to_owned());
        };
        validation::framework(&update.framework_info)
            .map_err(|e| format!("Supplied FrameworkInfo is not valid: {e}"))?;
        validation::suppressed(&update).map_err(|e| format!("'UpdateFramework' call is not valid: {e}"))?;
        validation::framework_update(&framework.info, &update.framework_info)?;
        framework.info = update.framework_info;
        framework.set_suppressed(update.suppressed_roles.into_iter().collect());
        let roles = framework.roles();
        let offers = framework
            .offers
            .iter()
            .filter(|offer| self.offers.get(offer).is_some_and(|offer| !roles.contains(&offer.role)));
        let foreign: Vec<OfferId> = offers.cloned().collect();
        for offer in foreign {
            self.rescind(&offer);
        }
        self.show_framework(id, false);
        self.plan_allocation();
        Ok(())
    }

    /// SUPPRESS. A role that is not the framework's makes it do nothing, as in Mesos.
    pub(super) fn suppress(&mut self, id: &FrameworkId, roles: &[String]) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        match framework.chosen(roles) {
            Some(roles) => framework.suppressed.extend(roles),
            None => tracing::warn!(framework = %id, ?roles, "SUPPRESS names a foreign role: ignored"),
        }
    }

    /// REVIVE. A role that is not the framework's makes it do nothing, as in Mesos.
    pub(super) fn revive(&mut self, id: &FrameworkId, roles: &[String]) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        match framework.chosen(roles) {
            Some(roles) => {
                framework.suppressed.retain(|role| !roles.contains(role));
                framework.filters.clear(&roles);
                self.allocate();
            }
            None => tracing::warn!(framework = %id, ?roles, "REVIVE names a foreign role: ignored"),
        }
    }
}

impl Framework {
    /// The roles that a call means: all when it names none; nothing when it names a foreign one.
    fn chosen(&self, named: &[String]) -> Option<Vec<String>> {
        let own = self.roles();
        if named.is_empty() {
            return Some(own);
        }
        named.iter().all(|role| own.contains(role)).then(|| named.to_vec())
    }

    /// Replaces the suppressed roles; those that are not suppressed any more see everything again.
    fn set_suppressed(&mut self, suppressed: std::collections::BTreeSet<String>) {
        let revived: Vec<String> = self.suppressed.difference(&suppressed).cloned().collect();
        self.filters.clear(&revived);
        self.suppressed = suppressed;
    }
}

fn error_event(message: String) -> Event {
    Event { error: Some(Error { message }), ..Event::of(EventType::Error) }
}
