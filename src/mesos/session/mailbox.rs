//! What a session has to tell and nobody has taken yet.
//!
//! Bounded by replacing: the latest subscription or disconnection, the latest three updates per task (one to acknowledge,
//! one of the master's own and one answer), the latest message per executor, each agent that is said to be gone, each live offer and each
//! rescinded offer once, one inverse offer per agent.
//!
//! A reconciliation may be answered by a million updates: everything else overtakes answers, so that no news waits behind
//! them. Of one task they keep their order: news makes an older answer void.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::updates::Updates;
use super::{EndReason, SessionEvent};
use crate::mesos::leases::Lease;
use crate::mesos::wire::offer::InverseOffer;
use crate::mesos::wire::scheduler::{Failure, Message};
use crate::mesos::wire::{AgentId, ExecutorId, OfferId, Reason, TaskId, TaskStatus};

/// Shared by the session (which posts) and one reader.
#[derive(Debug, Clone, Default)]
pub(super) struct Mailbox {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: Mutex<Waiting>,
    posted: Notify,
    taken: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    disconnected: Option<SessionEvent>,
    subscribed: Option<SessionEvent>,
    /// What must be acknowledged and what the master says by itself do not replace each other.
    news: Updates<(TaskId, bool)>,
    /// Of a reconciliation.
    answers: Updates<TaskId>,
    messages: BTreeMap<(AgentId, ExecutorId), Message>,
    /// Agents that are said to be gone.
    failures: BTreeSet<AgentId>,
    rescinded: BTreeSet<OfferId>,
    offers: BTreeMap<OfferId, Lease>,
    inverse_rescinded: BTreeSet<OfferId>,
    inverse: BTreeMap<Option<AgentId>, InverseOffer>,
    ended: Option<EndReason>,
    /// The end was taken.
    over: bool,
}

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
            waiting.inverse_rescinded.clear();
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

    /// Told even if nobody has taken the inverse offer yet: it may have taken the place of one that was.
    pub(super) fn inverse_rescinded(&self, offer: OfferId) {
        self.post(|waiting| {
            waiting.inverse.retain(|_, waiting| waiting.id != offer);
            waiting.inverse_rescinded.insert(offer);
        });
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
        self.post(|waiting| {
            let (task, is_acknowledged) = (status.task_id.clone(), status.uuid.is_some());
            if !is_acknowledged && status.reason() == Reason::Reconciliation {
                return waiting.answers.push(task, status);
            }
            waiting.answers.remove(&task);
            waiting.news.push((task, is_acknowledged), status);
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
        if let Failure { agent_id: Some(agent), executor_id: None, .. } = failure {
            self.post(|waiting| {
                waiting.failures.insert(agent);
            });
        }
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
                    self.inner.taken.notify_one();
                    return Some(event);
                }
                if waiting.over {
                    return None;
                }
            }
            posted.await;
        }
    }

    /// Returns when fewer than `limit` answers wait, or when nobody will take them any more. For one caller at a time.
    pub(super) async fn room_for_answers(&self, limit: usize) {
        loop {
            let taken = self.inner.taken.notified();
            {
                let waiting = self.lock();
                if waiting.answers.len() < limit || waiting.over {
                    return;
                }
            }
            taken.await;
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
        if let Some(status) = self.news.pop() {
            return Some(SessionEvent::Update(status));
        }
        if let Some((_, message)) = self.messages.pop_first() {
            return Some(SessionEvent::Message(message));
        }
        if let Some(agent) = self.failures.pop_first() {
            return Some(SessionEvent::Failure(agent));
        }
        if !self.rescinded.is_empty() {
            return Some(SessionEvent::Rescinded(std::mem::take(&mut self.rescinded).into_iter().collect()));
        }
        if !self.offers.is_empty() {
            return Some(SessionEvent::Offers(std::mem::take(&mut self.offers).into_values().collect()));
        }
        if !self.inverse_rescinded.is_empty() {
            let rescinded = std::mem::take(&mut self.inverse_rescinded).into_iter().collect();
            return Some(SessionEvent::InverseRescinded(rescinded));
        }
        if !self.inverse.is_empty() {
            let inverse = std::mem::take(&mut self.inverse).into_values().collect();
            return Some(SessionEvent::InverseOffers(inverse));
        }
        if let Some(status) = self.answers.pop() {
            return Some(SessionEvent::Update(status));
        }
        let reason = self.ended.take()?;
        self.over = true;
        Some(SessionEvent::Ended(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesos::wire::TaskState;

    #[tokio::test]
    async fn a_lost_agent_is_told_and_the_end_of_an_executor_is_not() {
        let mailbox = Mailbox::default();
        let agent = AgentId::new("a");
        let lost = Failure { agent_id: Some(agent.clone()), ..Failure::default() };
        let executor_id = Some(ExecutorId::new("e"));
        mailbox.failure(Failure { executor_id, status: Some(0), ..lost.clone() });
        mailbox.failure(lost.clone());
        mailbox.failure(lost);
        assert!(matches!(mailbox.next().await, Some(SessionEvent::Failure(told)) if told == agent));
        mailbox.ended(EndReason::Closed);
        assert!(matches!(mailbox.next().await, Some(SessionEvent::Ended(_))));
    }

    #[tokio::test]
    async fn a_question_that_was_taken_back_is_told_before_the_one_in_its_place() {
        let mailbox = Mailbox::default();
        let asked = |id: &str| {
            let agent_id = Some(AgentId::new("a"));
            mailbox.inverse_offers(vec![InverseOffer {
                id: OfferId::new(id),
                agent_id,
                ..Default::default()
            }]);
        };
        asked("1");
        mailbox.inverse_rescinded(OfferId::new("1"));
        asked("2");
        let first = mailbox.next().await;
        let Some(SessionEvent::InverseRescinded(gone)) = first else { panic!("{first:?}") };
        assert_eq!(gone, [OfferId::new("1")]);
        let second = mailbox.next().await;
        let Some(SessionEvent::InverseOffers(open)) = second else { panic!("{second:?}") };
        assert_eq!(open.iter().map(|it| it.id.value.as_str()).collect::<Vec<_>>(), ["2"]);
    }

    fn update(task: &str, state: TaskState, uuid: Option<&[u8]>) -> TaskStatus {
        let reason = uuid.is_none().then(|| Reason::Reconciliation.wire()).flatten();
        TaskStatus { uuid: uuid.map(<[u8]>::to_vec), reason, ..TaskStatus::of(TaskId::new(task), state) }
    }

    async fn next(mailbox: &Mailbox) -> (String, TaskState) {
        match mailbox.next().await {
            Some(SessionEvent::Update(status)) => (status.task_id.value.clone(), status.state()),
            other => panic!("no update: {other:?}"),
        }
    }

    #[tokio::test]
    async fn news_overtakes_answers_and_makes_an_older_one_of_its_task_void() {
        let mailbox = Mailbox::default();
        mailbox.update(update("a", TaskState::Unreachable, None));
        mailbox.update(update("b", TaskState::Running, None));
        mailbox.update(update("a", TaskState::Running, Some(b"1")));
        mailbox.failure(Failure { agent_id: Some(AgentId::new("gone")), ..Failure::default() });
        assert_eq!(next(&mailbox).await, ("a".to_owned(), TaskState::Running));
        assert!(matches!(mailbox.next().await, Some(SessionEvent::Failure(_))));
        assert_eq!(next(&mailbox).await, ("b".to_owned(), TaskState::Running));
        mailbox.ended(EndReason::Closed);
        assert!(matches!(mailbox.next().await, Some(SessionEvent::Ended(_))));
    }

    #[tokio::test]
    async fn who_asks_waits_until_answers_were_taken() {
        let mailbox = Mailbox::default();
        for task in ["a", "b"] {
            mailbox.update(update(task, TaskState::Running, None));
        }
        let mut room = std::pin::pin!(mailbox.room_for_answers(2));
        assert!(futures::poll!(&mut room).is_pending());
        next(&mailbox).await;
        room.await;
    }
}
