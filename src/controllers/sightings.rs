//! What was heard of machines and is not written down yet: the latest of each sort per agent. And of which machines it is
//! said that they are gone, until they were asked about.
//!
//! Two sources: what a machine says of itself (a MESSAGE, sent again after every subscription), and what the master answers
//! when it is asked about a task that never was ([`probe`]): whether it knows the agent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::api::Maintenance;
use crate::mesos::wire::scheduler::Message;
use crate::mesos::wire::{AgentData, AgentId, Engine, MACHINE_EXECUTOR, TaskId, TaskState, TaskStatus};
use crate::plan::agent::{Contact, Docker, Journal, Sighting};

/// Begins the id of a task that never was. No namespace begins like that, so no task of ours has such an id.
const PROBE: &str = "_probe.";

/// Sightings by agent id. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Sightings {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    heard: Mutex<BTreeMap<AgentId, Sighting>>,
    suspects: Mutex<BTreeSet<AgentId>>,
    posted: Notify,
}

/// A question about an agent, as one about a task: an explicit reconciliation of an unknown task tells whether its agent is known.
pub(super) fn probe(agent: &AgentId) -> (TaskId, Option<AgentId>) {
    (TaskId::new(format!("{PROBE}{agent}")), Some(agent.clone()))
}

impl Sightings {
    /// Takes in an update if it answers a [`probe`]; false if it speaks of a real task.
    pub(super) fn answered(&self, status: &TaskStatus) -> bool {
        let Some(agent) = status.task_id.value.strip_prefix(PROBE) else { return false };
        let contact = match status.state() {
            TaskState::Gone => Some(Contact::Registered),
            TaskState::Unreachable => Some(Contact::Unreachable),
            TaskState::Unknown | TaskState::GoneByOperator => Some(Contact::Gone),
            _ => None,
        };
        if contact.is_some() {
            self.post(AgentId::new(agent), Sighting { contact, ..Sighting::default() });
        }
        true
    }

    /// Takes in what a machine says of itself.
    pub(super) fn told(&self, message: Message) {
        if message.executor_id.value != MACHINE_EXECUTOR {
            return tracing::debug!(executor = %message.executor_id, "message of an executor ignored");
        }
        let data = match AgentData::decode(&message.data) {
            Ok(data) => data,
            Err(error) => {
                return tracing::warn!(agent = %message.agent_id, %error, "message of a machine not understood");
            }
        };
        let docker = match data.engine {
            Engine::Ready => Some(Docker::Ready),
            Engine::Absent { why } => Some(Docker::Absent(why)),
            Engine::Away { why } => Some(Docker::Away(why)),
            Engine::Unknown => None,
        };
        let journal = Some(data.journal_trouble.map_or(Journal::Written, Journal::NotWritten));
        self.post(message.agent_id, Sighting { docker, journal, ..Sighting::default() });
    }

    /// Takes in when a machine is to be taken away, or that it is not.
    pub(super) fn planned(&self, agent: AgentId, maintenance: Option<Maintenance>) {
        self.post(agent, Sighting { maintenance: Some(maintenance), ..Sighting::default() });
    }

    /// All that was heard; it is the caller's now.
    pub(super) fn take(&self) -> BTreeMap<AgentId, Sighting> {
        std::mem::take(&mut *self.heard())
    }

    /// Gives back what could not be written down. What was heard meanwhile is newer and stays.
    pub(super) fn give_back(&self, sightings: BTreeMap<AgentId, Sighting>) {
        let mut heard = self.heard();
        for (agent, older) in sightings {
            let newer = heard.remove(&agent).unwrap_or_default();
            heard.insert(agent, merged(older, newer));
        }
    }

    /// Takes in a hint that `agent` is gone.
    pub(super) fn suspect(&self, agent: AgentId) {
        self.suspects().insert(agent);
    }

    /// The agents that were hinted at; they are the caller's to ask about now.
    pub(super) fn take_suspects(&self) -> BTreeSet<AgentId> {
        std::mem::take(&mut *self.suspects())
    }

    /// Returns when something was heard since the last call.
    pub(super) async fn heard_something(&self) {
        self.inner.posted.notified().await;
    }

    fn post(&self, agent: AgentId, newer: Sighting) {
        let mut heard = self.heard();
        let older = heard.remove(&agent).unwrap_or_default();
        heard.insert(agent, merged(older, newer));
        drop(heard);
        self.inner.posted.notify_one();
    }

    fn suspects(&self) -> MutexGuard<'_, BTreeSet<AgentId>> {
        self.inner.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) -> MutexGuard<'_, BTreeMap<AgentId, Sighting>> {
        self.inner.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn merged(older: Sighting, newer: Sighting) -> Sighting {
    Sighting {
        offers: newer.offers,
        contact: newer.contact.or(older.contact),
        docker: newer.docker.or(older.docker),
        journal: newer.journal.or(older.journal),
        maintenance: newer.maintenance.or(older.maintenance),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesos::wire::ExecutorId;

    fn answer(id: &TaskId, state: TaskState) -> TaskStatus {
        TaskStatus::of(id.clone(), state)
    }

    #[test]
    fn the_answer_to_a_probe_tells_whether_the_agent_is_known() {
        let agent = AgentId::new("5f-S1");
        let (id, _) = probe(&agent);
        for (state, expected) in [
            (TaskState::Gone, Some(Contact::Registered)),
            (TaskState::Unreachable, Some(Contact::Unreachable)),
            (TaskState::GoneByOperator, Some(Contact::Gone)),
            (TaskState::Unknown, Some(Contact::Gone)),
            (TaskState::Lost, None),
        ] {
            let sightings = Sightings::default();
            assert!(sightings.answered(&answer(&id, state)));
            assert_eq!(sightings.take().get(&agent).and_then(|it| it.contact), expected, "{state:?}");
        }
        assert!(!Sightings::default().answered(&answer(&TaskId::new("shop.web-1.0a1b"), TaskState::Gone)));
    }

    #[test]
    fn what_a_machine_says_of_its_journal_is_heard_even_if_it_knows_nothing_of_its_engine() {
        let agent = AgentId::new("a");
        let sightings = Sightings::default();
        let data = AgentData { engine: Engine::Unknown, journal_trouble: Some("full".to_owned()) };
        sightings.told(Message {
            agent_id: agent.clone(),
            executor_id: ExecutorId::new(MACHINE_EXECUTOR),
            data: data.encode(),
        });
        let heard = sightings.take().remove(&agent).unwrap();
        assert_eq!((heard.docker, heard.journal), (None, Some(Journal::NotWritten("full".to_owned()))));
    }

    #[test]
    fn what_is_given_back_does_not_replace_what_was_heard_meanwhile() {
        let agent = AgentId::new("a");
        let say = |engine: Engine| Message {
            agent_id: agent.clone(),
            executor_id: ExecutorId::new(MACHINE_EXECUTOR),
            data: AgentData { engine, journal_trouble: None }.encode(),
        };
        let sightings = Sightings::default();
        sightings.told(say(Engine::Away { why: "x".to_owned() }));
        sightings.answered(&answer(&probe(&agent).0, TaskState::Gone));
        let taken = sightings.take();
        sightings.told(say(Engine::Ready));
        sightings.give_back(taken);
        let heard = sightings.take().remove(&agent).unwrap();
        assert_eq!((heard.docker, heard.contact), (Some(Docker::Ready), Some(Contact::Registered)));
    }
}
