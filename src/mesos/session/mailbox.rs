//! What a session has to tell and nobody has taken yet.
//!
//! Bounded by replacing: the latest subscription or disconnection, the latest two updates per task (one to acknowledge
//! and one of the master's own), the latest message per executor, each live offer once, each rescinded offer once, one
//! inverse offer per agent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{EndReason, SessionEvent};
use crate::mesos::leases::Lease;
use crate::mesos::wire::offer::InverseOffer;
use crate::mesos::wire::scheduler::{Failure, Message};
use crate::mesos::wire::{AgentId, ExecutorId, OfferId, TaskId, TaskStatus};

/// Shared by the session (which posts) and one reader.
#[derive(Debug, Clone, Default)]
pub(super) struct Mailbox {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: Mutex<Waiting>,
    posted: Notify,
}

/// Which update of a task: what must be acknowledged and what the master says by itself do not replace each other.
type UpdateKey = (TaskId, bool);

#[derive(Debug, Default)]
struct Waiting {
    disconnected: Option<SessionEvent>,
    subscribed: Option<SessionEvent>,
    /// Counts updates, so that they are told in the order in which they came.
    posted: u64,
    order: BTreeMap<u64, UpdateKey>,
    updates: BTreeMap<UpdateKey, (u64, Box<TaskStatus>)>,
    messages: BTreeMap<(AgentId, ExecutorId), Message>,
    failures: VecDeque<Failure>,
    rescinded: BTreeSet<OfferId>,
    offers: BTreeMap<OfferId, Lease>,
    inverse: BTreeMap<Option<AgentId>, InverseOffer>,
    ended: Option<EndReason>,
    /// The end was taken.
    over: bool,
}

/// Failures are hints: when this many wait, further ones are dropped and reconciliation tells the truth.
const FAILURES: usize = 4096;

impl Mailbox {
    pub(super) fn subscribed(&self, event: SessionEvent) {
        self.post(|waiting| waiting.subscribed = Some(event));
    }

    /// The stream broke: what it offered is void, what it told of tasks remains true.
    pub(super) fn disconnected(&self, event: SessionEvent) {
        self.post(|waiting| {
            waiting.subscribed = None;
            waiting.offers.clear();
            waiting.rescinded.clear();
            waiting.inverse.clear();
            waiting.disconnected = Some(event);
        });
    }

    pub(super) fn offers(&self, leases: Vec<Lease>) {
        self.post(|waiting| {
            waiting.offers.extend(leases.into_iter().map(|lease| (lease.offer.id.clone(), lease)));
        });
    }

    pub(super) fn inverse_offers(&self, offers: Vec<InverseOffer>) {
        self.post(|waiting| {
            waiting.inverse.extend(offers.into_iter().map(|offer| (offer.agent_id.clone(), offer)));
        });
    }

    /// An inverse offer that nobody has taken yet vanishes without a word; one that was is answered in vain.
    pub(super) fn inverse_rescinded(&self, offer: &OfferId) {
        self.lock().inverse.retain(|_, waiting| waiting.id != *offer);
    }

    /// An offer that nobody has taken yet vanishes without a word.
    pub(super) fn rescinded(&self, offers: Vec<OfferId>) {
        self.post(|waiting| {
            for offer in offers {
                if waiting.offers.remove(&offer).is_none() {
                    waiting.rescinded.insert(offer);
                }
            }
        });
    }

    /// These offers were accepted or declined by somebody who saw them among the leases.
    pub(super) fn spent(&self, offers: &[OfferId]) {
        let mut waiting = self.lock();
        for offer in offers {
            waiting.offers.remove(offer);
        }
    }

    pub(super) fn update(&self, status: TaskStatus) {
        let status = Box::new(status);
        self.post(|waiting| {
            let key = (status.task_id.clone(), status.uuid.is_some());
            waiting.posted += 1;
            if let Some((older, _)) = waiting.updates.insert(key.clone(), (waiting.posted, status)) {
                waiting.order.remove(&older);
            }
            waiting.order.insert(waiting.posted, key);
        });
    }

    pub(super) fn message(&self, message: Message) {
        self.post(|waiting| {
            let sender = (message.agent_id.clone(), message.executor_id.clone());
            waiting.messages.insert(sender, message);
        });
    }

    /// An executor that has ended is no news: what became of its tasks is told by updates, and each task that ends ends one.
    pub(super) fn failure(&self, failure: Failure) {
        if failure.executor_id.is_some() {
            return;
        }
        self.post(|waiting| {
            if waiting.failures.len() < FAILURES {
                waiting.failures.push_back(failure);
            }
        });
    }

    /// Ends the events. Only the first reason counts.
    pub(super) fn ended(&self, reason: EndReason) {
        self.post(|waiting| {
            if waiting.ended.is_none() && !waiting.over {
                waiting.ended = Some(reason);
            }
        });
    }

    pub(super) async fn next(&self) -> Option<SessionEvent> {
        loop {
            let posted = self.inner.posted.notified();
            {
                let mut waiting = self.lock();
                if let Some(event) = waiting.take() {
                    return Some(event);
                }
                if waiting.over {
                    return None;
                }
            }
            posted.await;
        }
    }

    fn post(&self, change: impl FnOnce(&mut Waiting)) {
        change(&mut self.lock());
        self.inner.posted.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn take(&mut self) -> Option<SessionEvent> {
        if let Some(event) = self.disconnected.take().or_else(|| self.subscribed.take()) {
            return Some(event);
        }
        if let Some((_, key)) = self.order.pop_first() {
            return self.updates.remove(&key).map(|(_, status)| SessionEvent::Update(status));
        }
        if let Some((_, message)) = self.messages.pop_first() {
            return Some(SessionEvent::Message(message));
        }
        if let Some(failure) = self.failures.pop_front() {
            return Some(SessionEvent::Failure(failure));
        }
        if !self.rescinded.is_empty() {
            return Some(SessionEvent::Rescinded(std::mem::take(&mut self.rescinded).into_iter().collect()));
        }
        if !self.offers.is_empty() {
            return Some(SessionEvent::Offers(std::mem::take(&mut self.offers).into_values().collect()));
        }
        if !self.inverse.is_empty() {
            let inverse = std::mem::take(&mut self.inverse).into_values().collect();
            return Some(SessionEvent::InverseOffers(inverse));
        }
        let reason = self.ended.take()?;
        self.over = true;
        Some(SessionEvent::Ended(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lost_agent_is_told_and_the_end_of_an_executor_is_not() {
        let mailbox = Mailbox::default();
        let lost = Failure { agent_id: Some(AgentId::new("a")), ..Failure::default() };
        let executor_id = Some(ExecutorId::new("e"));
        mailbox.failure(Failure { executor_id, status: Some(0), ..lost.clone() });
        mailbox.failure(lost.clone());
        assert!(matches!(mailbox.next().await, Some(SessionEvent::Failure(told)) if told == lost));
        mailbox.ended(EndReason::Closed);
        assert!(matches!(mailbox.next().await, Some(SessionEvent::Ended(_))));
    }
}
