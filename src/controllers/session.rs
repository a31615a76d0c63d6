//! One session per term: who we are to Mesos is remembered in the store, and each kind of news goes to the loop that
//! handles it.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::contact::Contact;
use super::framework::FRAMEWORK_ID;
use super::objects::{Stored, resource};
use super::sightings::Sightings;
use crate::api::Task;
use crate::env::{Env, watch};
use crate::mesos::session::{EndReason, Identity, IdentityError, SessionEvent, SessionEvents};
use crate::mesos::wire::{FrameworkId, FrameworkInfo, TaskStatus};
use crate::registry::Cache;
use crate::runtime::{Facts, Term};

/// The fact under which it stands that Mesos has removed the framework of this id. A master that leads anew has forgotten it and
/// would take the id again.
const REMOVED: &str = "framework-removed";

/// Who this installation is to Mesos.
#[derive(Debug)]
pub(super) struct StoredIdentity {
    pub(super) facts: Facts,
    pub(super) term: Term,
    pub(super) cache: Arc<Cache>,
    /// Everything but the id.
    pub(super) framework: FrameworkInfo,
    /// The removed framework in whose place a person wants a new one.
    pub(super) anew: Option<Arc<str>>,
}

#[async_trait]
impl Identity for StoredIdentity {
    async fn framework(&self) -> Result<FrameworkInfo, IdentityError> {
        let failed = |message: String| IdentityError { message };
        if !self.term.is_held() {
            return Err(failed("this process does not lead any more".to_owned()));
        }
        let id = self.known().await?;
        if let Some(removed) = self.removed(id.as_ref()).await? {
            return match self.is_given_up(removed) {
                true => Ok(FrameworkInfo { id: None, ..self.framework.clone() }),
                false => Err(failed(until_told(removed))),
            };
        }
        if id.is_none() && self.has_launched().await? {
            return Err(failed(format!(
                "tasks were launched before, but the framework's id ({FRAMEWORK_ID}) is missing from the store: \
                 registering anew would start them twice"
            )));
        }
        Ok(FrameworkInfo { id, ..self.framework.clone() })
    }

    async fn registered(&self, id: &FrameworkId) -> Result<(), IdentityError> {
        let known = self.known().await?;
        let established = match self.removed(known.as_ref()).await? {
            Some(removed) if self.is_given_up(removed) => {
                self.facts.replace(&self.term, FRAMEWORK_ID, &id.value).await
            }
            _ => self.facts.establish(&self.term, FRAMEWORK_ID, &id.value).await,
        };
        established.map_err(|error| IdentityError { message: error.to_string() })
    }

    fn may_act(&self) -> bool {
        self.term.is_held()
    }
}

/// What a person must do about a removed framework.
fn until_told(removed: &FrameworkId) -> String {
    format!(
        "Mesos has removed framework {removed} and ended all its tasks (an operator tore it down, or no server led for a week); \
         nothing is launched until a server is started with --mesos-register-anew {removed}, which registers a new \
         framework and starts all Apps again"
    )
}

impl StoredIdentity {
    /// The id that is remembered.
    async fn known(&self) -> Result<Option<FrameworkId>, IdentityError> {
        let known = self.facts.read(FRAMEWORK_ID).await;
        let known = known.map_err(|error| IdentityError { message: error.to_string() })?;
        Ok(known.map(|id| FrameworkId::new(String::from_utf8_lossy(&id))))
    }

    /// `id`, if Mesos has removed it.
    async fn removed<'a>(
        &self,
        id: Option<&'a FrameworkId>,
    ) -> Result<Option<&'a FrameworkId>, IdentityError> {
        let Some(id) = id else { return Ok(None) };
        let removed = self.facts.read(REMOVED).await;
        let removed = removed.map_err(|error| IdentityError { message: error.to_string() })?;
        Ok(removed.filter(|removed| **removed == *id.value.as_bytes()).map(|_| id))
    }

    /// Whether a person has said that a new framework shall take its place.
    fn is_given_up(&self, removed: &FrameworkId) -> bool {
        self.anew.as_deref() == Some(&*removed.value)
    }

    /// The master has removed the framework, which had launched tasks: remembers that it is over with it. Tells what a person
    /// must do.
    pub(super) async fn remember_removal(&self) -> Result<String, IdentityError> {
        let Some(id) = self.known().await? else {
            return Err(IdentityError { message: format!("the fact {FRAMEWORK_ID} has vanished") });
        };
        let remembered = self.facts.replace(&self.term, REMOVED, &id.value).await;
        remembered.map_err(|error| IdentityError { message: error.to_string() })?;
        Ok(until_told(&id))
    }

    /// The master has removed the framework. Forgets its id if nothing was launched as it, so that the next subscription
    /// registers anew: a server that died while it registered leaves such a framework behind. Says whether it did.
    pub(super) async fn forget_unused(&self) -> Result<bool, IdentityError> {
        if self.has_launched().await? {
            return Ok(false);
        }
        let retracted = self.facts.retract(&self.term, FRAMEWORK_ID).await;
        retracted.map(|()| true).map_err(|error| IdentityError { message: error.to_string() })
    }

    /// Whether any Task that is stored was ever bound.
    async fn has_launched(&self) -> Result<bool, IdentityError> {
        let failed = |error: &dyn std::fmt::Display| IdentityError { message: error.to_string() };
        let snapshot = self.cache.most_recent().await.map_err(|error| failed(&error))?;
        for doc in snapshot.list(&resource::<Task>(), None) {
            let task = Stored::<Task>::read(doc).map_err(|error| failed(&error))?;
            if task.object.spec.binding.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What loops want to know of the session besides updates of tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Signals {
    /// Counts subscriptions; 0 before the first.
    pub(super) generation: u64,
    /// When the present subscription began: whatever was bound on it was bound no earlier.
    pub(super) since: Timestamp,
    /// Whether the session is subscribed now.
    pub(super) subscribed: bool,
    /// Counts arrivals and departures of offers.
    pub(super) offers: u64,
    /// Counts hints that agents are gone.
    pub(super) failures: u64,
}

/// Updates that wait for the status writer. Behind them wait the session's own, one per task.
const UPDATES: usize = 256;

/// Where news of a session goes.
#[derive(Debug)]
pub(super) struct Dispatch {
    env: Env,
    events: SessionEvents,
    contact: Contact,
    signals: watch::Sender<Signals>,
    updates: mpsc::Sender<TaskStatus>,
    sightings: Sightings,
}

/// The receiving ends.
#[derive(Debug)]
pub(super) struct News {
    pub(super) signals: watch::Receiver<Signals>,
    pub(super) updates: mpsc::Receiver<TaskStatus>,
    pub(super) sightings: Sightings,
}

impl Dispatch {
    pub(super) fn new(env: Env, events: SessionEvents, contact: Contact) -> (Dispatch, News) {
        let (signals, seen) = watch::channel(Signals::default());
        let (updates, taken) = mpsc::channel(UPDATES);
        let sightings = Sightings::default();
        let news = News { signals: seen, updates: taken, sightings: sightings.clone() };
        (Dispatch { env, events, contact, signals, updates, sightings }, news)
    }

    /// Passes news on until the session ends, and tells why it did.
    pub(super) async fn run(mut self) -> EndReason {
        while let Some(event) = self.events.next().await {
            match event {
                SessionEvent::Subscribed { generation, .. } => {
                    self.contact.subscribed();
                    self.signals.send_modify(|signals| {
                        signals.generation = generation;
                        signals.since = self.env.now();
                        signals.subscribed = true;
                    });
                }
                SessionEvent::Disconnected { reason } => {
                    self.contact.lost(&reason, self.env.now());
                    self.signals.send_modify(|signals| {
                        signals.subscribed = false;
                        signals.offers += 1;
                    });
                }
                SessionEvent::Offers(_) | SessionEvent::Rescinded(_) => {
                    self.signals.send_modify(|signals| signals.offers += 1);
                }
                SessionEvent::Message(message) => self.sightings.told(message),
                SessionEvent::Failure(_) => self.signals.send_modify(|signals| signals.failures += 1),
                SessionEvent::Update(status) if self.sightings.answered(&status) => {}
                SessionEvent::Update(status) => {
                    // The status writer goes only when the whole term does.
                    let _over = self.updates.send(*status).await;
                }
                SessionEvent::Ended(reason) => return reason,
            }
        }
        EndReason::Closed
    }
}
