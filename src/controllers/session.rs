//! One session per term: each kind of its news goes to the loop that handles it.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::contact::Contact;
use super::questions::{Question, Questions};
use super::sightings::Sightings;
use crate::env::{Env, watch};
use crate::mesos::session::{EndReason, SessionEvent, SessionEvents};
use crate::mesos::wire::TaskStatus;

/// What loops want to know of the session besides updates of tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Signals {
    /// Counts subscriptions; 0 before the first.
    pub(super) generation: u64,
    /// When the present subscription began: whatever was bound on it was bound no earlier.
    pub(super) since: Timestamp,
    /// Whether the session is subscribed now.
    pub(super) subscribed: bool,
    /// The roles for which the present subscription began without offers wanted.
    pub(super) suppressed: Arc<[String]>,
    /// Counts arrivals and departures of offers.
    pub(super) offers: u64,
    /// Counts hints that agents are gone.
    pub(super) failures: u64,
}

/// Updates that wait for the status writer. Behind them wait the session's own, one per task.
pub(super) const UPDATES: usize = 256;

/// Where news of a session goes.
#[derive(Debug)]
pub(super) struct Dispatch {
    env: Env,
    events: SessionEvents,
    contact: Contact,
    signals: watch::Sender<Signals>,
    updates: mpsc::Sender<TaskStatus>,
    sightings: Sightings,
    questions: Questions,
}

/// The receiving ends.
#[derive(Debug)]
pub(super) struct News {
    pub(super) signals: watch::Receiver<Signals>,
    pub(super) updates: mpsc::Receiver<TaskStatus>,
    pub(super) sightings: Sightings,
    pub(super) questions: Questions,
}

impl Dispatch {
    /// Passes updates of tasks on to `updates`, which are received as `told`; with where the rest goes.
    pub(super) fn new(
        env: Env,
        events: SessionEvents,
        contact: Contact,
        (updates, told): (mpsc::Sender<TaskStatus>, mpsc::Receiver<TaskStatus>),
    ) -> (Dispatch, News) {
        let (signals, seen) = watch::channel(Signals::default());
        let (sightings, questions) = (Sightings::default(), Questions::default());
        let news =
            News { signals: seen, updates: told, sightings: sightings.clone(), questions: questions.clone() };
        (Dispatch { env, events, contact, signals, updates, sightings, questions }, news)
    }

    /// Passes news on until the session ends, and tells why it did.
    pub(super) async fn run(mut self) -> EndReason {
        while let Some(event) = self.events.next().await {
            match event {
                SessionEvent::Subscribed { generation, suppressed, region, .. } => {
                    self.contact.subscribed(region.map(Arc::from));
                    self.signals.send_modify(|signals| {
                        signals.generation = generation;
                        signals.since = self.env.now();
                        signals.subscribed = true;
                        signals.suppressed = suppressed.into();
                    });
                }
                SessionEvent::Disconnected { reason, cause, useless } => {
                    self.contact.lost(&reason, cause, useless, self.env.now());
                    self.questions.clear();
                    self.signals.send_modify(|signals| {
                        signals.subscribed = false;
                        signals.offers += 1;
                    });
                }
                SessionEvent::Offers(_) | SessionEvent::Rescinded(_) => {
                    self.signals.send_modify(|signals| signals.offers += 1);
                }
                SessionEvent::InverseOffers(offers) => {
                    offers.iter().filter_map(Question::of).for_each(|it| self.questions.ask(it));
                }
                SessionEvent::InverseRescinded(offers) => self.questions.withdraw(offers),
                SessionEvent::Message(message) => self.sightings.told(message),
                SessionEvent::Failure(agent) => {
                    self.sightings.suspect(agent);
                    self.signals.send_modify(|signals| signals.failures += 1);
                }
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
