//! What the cluster asks back: machines that are to be taken away, one question (an inverse offer) for each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::api::{Maintenance, MicroTime};
use crate::mesos::wire::offer::{InverseOffer, Unavailability};
use crate::mesos::wire::{AgentId, OfferId};

/// Questions that nobody has looked at yet, and whose machine each of the open ones is about. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Questions {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    posts: Mutex<Posts>,
    posted: Notify,
}

/// What happened to questions since somebody looked.
#[derive(Debug, Default)]
pub(super) struct Posts {
    /// The subscription has ended, and with it what was asked on it before the rest.
    pub(super) is_cut: bool,
    /// Questions that were taken back.
    pub(super) withdrawn: BTreeSet<OfferId>,
    pub(super) asked: BTreeMap<OfferId, Question>,
}

/// One machine that is wanted back.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    pub(super) id: OfferId,
    pub(super) agent: AgentId,
    pub(super) plan: Maintenance,
}

impl Question {
    /// What an inverse offer says; nothing for one that names no agent or no time.
    pub(super) fn of(offer: &InverseOffer) -> Option<Question> {
        let plan = maintenance(offer.unavailability.as_ref()?)?;
        Some(Question { id: offer.id.clone(), agent: offer.agent_id.clone()?, plan })
    }
}

impl Questions {
    pub(super) fn ask(&self, question: Question) {
        self.post(|posts| {
            posts.asked.insert(question.id.clone(), question);
        });
    }

    /// These were taken back.
    pub(super) fn withdraw(&self, questions: Vec<OfferId>) {
        self.post(|posts| {
            posts.asked.retain(|id, _| !questions.contains(id));
            posts.withdrawn.extend(questions);
        });
    }

    /// The subscription has ended, and with it what was asked on it.
    pub(super) fn clear(&self) {
        self.post(|posts| *posts = Posts { is_cut: true, ..Posts::default() });
    }

    /// All that happened; it is the caller's now.
    pub(super) fn take(&self) -> Posts {
        std::mem::take(&mut *self.posts())
    }

    /// Returns when something happened since the last call.
    pub(super) async fn heard_something(&self) {
        self.inner.posted.notified().await;
    }

    fn post(&self, change: impl FnOnce(&mut Posts)) {
        change(&mut self.posts());
        self.inner.posted.notify_one();
    }

    fn posts(&self) -> MutexGuard<'_, Posts> {
        self.inner.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a machine is taken away, as objects say it; nothing where its beginning is not told.
pub(super) fn maintenance(unavailability: &Unavailability) -> Option<Maintenance> {
    // Times are stored in microseconds.
    let at = |nanoseconds: i64| Timestamp::from_microsecond(nanoseconds / 1_000).ok().map(MicroTime);
    let from = unavailability.start?.nanoseconds;
    let until = unavailability.duration.map(|it| from.saturating_add(it.nanoseconds));
    Some(Maintenance { from: at(from)?, until: until.and_then(at) })
}
