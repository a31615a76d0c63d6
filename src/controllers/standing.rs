//! A leader that Mesos does not let in gives its leadership up, so that another server can try.

use std::time::Duration;

use super::contact::{Contact, Trouble};
use crate::env::Env;
use crate::mesos::session::Cause;
use crate::runtime::{Backoff, Election, Term};

/// How long a leader tries to be let in.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it stays when it is refused for the first time: where Apps wait, it is said by then.
const REFUSED: Duration = Duration::from_secs(5);
/// For how long everybody else goes first, after the n-th term in a row without being let in.
const STAND_BACK: Backoff =
    Backoff { initial: Duration::from_secs(60), max: Duration::from_secs(15 * 60), factor: 2.0, spread: 0.2 };

/// How this process stands for leadership.
#[derive(Debug)]
pub(super) struct Standing<'a> {
    pub(super) env: &'a Env,
    pub(super) contact: &'a Contact,
    pub(super) election: &'a Election,
    /// Terms in a row that ended because Mesos did not let us in.
    given_up: u32,
    subscriptions: u64,
}

impl<'a> Standing<'a> {
    pub(super) fn new(env: &'a Env, contact: &'a Contact, election: &'a Election) -> Standing<'a> {
        Standing { env, contact, election, given_up: 0, subscriptions: 0 }
    }

    /// Waits until this process leads. One that was not let in lets others go first.
    pub(super) async fn elected(&mut self) -> Term {
        if self.given_up > 0 {
            self.election.stand_back(STAND_BACK.after(self.given_up, self.env)).await;
        }
        let term = self.election.campaign().await;
        self.subscriptions = self.contact.subscriptions();
        term
    }

    /// When a term that begins now is to be given up.
    pub(super) fn patience(&self) -> Patience {
        let first = self.given_up == 0;
        Patience { rivals: self.election.rivals, refused: if first { REFUSED } else { PATIENCE } }
    }

    /// A term is over.
    pub(super) fn over(&mut self) {
        if self.contact.subscriptions() != self.subscriptions {
            self.given_up = 0;
        }
    }

    /// The term was given up over `trouble`.
    pub(super) fn locked_out(&mut self, trouble: Trouble) {
        self.given_up = self.given_up.saturating_add(1);
        let times = self.given_up;
        let reason = &trouble.reason;
        tracing::warn!(%reason, times, "leadership given up: Mesos does not let this server in, others go first");
        self.contact.gave_up(trouble);
    }
}

/// How long a term lasts without contact to the cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Where nobody else can lead, for ever.
    rivals: bool,
    refused: Duration,
}

impl Patience {
    /// Waits until it is at its end; what was the matter.
    pub(super) async fn ends(self, contact: Contact) -> Trouble {
        let patience = |cause| match cause {
            Cause::Refused => Some(self.refused),
            Cause::Broken => Some(PATIENCE),
            // Whoever leads, the stranger is there.
            Cause::Usurped => None,
        };
        contact.locked_out(|cause| patience(cause).filter(|_| self.rivals)).await
    }
}
