//! A leader without contact to Mesos gives its leadership up, so that another server can try.

use std::pin::pin;
use std::time::Duration;

use super::contact::{Contact, Trouble};
use crate::env::Env;
use crate::mesos::connection::SUBSCRIBE_MAX;
use crate::mesos::session::Cause;
use crate::runtime::{Backoff, Election, Term};

/// How long a leader tries to be let in: an attempt that began in the first half minute, in which masters may have elected one of
/// them, has the time that it may take. A master that is slow is not asked by the next server as well.
const PATIENCE: Duration = Duration::from_secs(SUBSCRIBE_MAX.as_secs() + 30);
/// How long one stays whose own store does not let it ask. There is nothing that others could do better, unless one was started to
/// register anew.
const UNIDENTIFIED: Duration = Duration::from_secs(10 * 60);
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
    /// Terms in a row that were given up, without a subscription of use in between.
    given_up: u32,
    /// The last term was.
    stands_back: bool,
    useful: u64,
}

impl<'a> Standing<'a> {
    pub(super) fn new(env: &'a Env, contact: &'a Contact, election: &'a Election) -> Standing<'a> {
        Standing { env, contact, election, given_up: 0, stands_back: false, useful: 0 }
    }

    /// Waits until this process leads. One that has just given the leadership up lets others go first.
    pub(super) async fn elected(&mut self) -> Term {
        if std::mem::take(&mut self.stands_back) {
            self.election.stand_back(STAND_BACK.after(self.given_up, self.env)).await;
        }
        let mut campaign = pin!(self.election.campaign());
        let term = tokio::select! {
            biased;
            term = &mut campaign => term,
            () = self.env.sleep(self.election.ttl * 2) => {
                self.contact.stands_by();
                campaign.await
            }
        };
        self.useful = self.contact.useful();
        term
    }

    /// When a term that begins now is to be given up.
    pub(super) fn patience(&self) -> Patience {
        let first = self.given_up == 0;
        Patience { rivals: self.election.rivals, refused: if first { REFUSED } else { PATIENCE } }
    }

    /// A term is over.
    pub(super) fn over(&mut self) {
        if self.contact.useful() != self.useful {
            self.given_up = 0;
        }
    }

    /// The term was given up over `trouble`.
    pub(super) fn locked_out(&mut self, trouble: Trouble) {
        self.given_up = self.given_up.saturating_add(1);
        self.stands_back = true;
        let times = self.given_up;
        let reason = &trouble.reason;
        tracing::warn!(%reason, times, "leadership given up: no contact to Mesos for too long, others go first");
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
            Cause::Unidentified => Some(UNIDENTIFIED),
            // Whoever leads, the stranger is there.
            Cause::Usurped => None,
        };
        contact.locked_out(|cause| patience(cause).filter(|_| self.rivals)).await
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tokio::time::Instant;

    use super::*;
    use crate::runtime::LEADER_TTL;
    use crate::runtime::support::candidates;

    fn trouble() -> Trouble {
        Trouble { reason: "no route".into(), cause: Cause::Broken, since: Timestamp::UNIX_EPOCH }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_term_that_was_given_up_lets_others_go_first() {
        let ([election], contact) = (candidates(["a"]), Contact::default());
        let mut standing = Standing::new(&election.env, &contact, &election);
        standing.locked_out(trouble());
        let began = Instant::now();
        let term = standing.elected().await;
        assert!(began.elapsed() > LEADER_TTL, "{:?}", began.elapsed());
        assert!(contact.trouble().is_some(), "nobody else has led: it goes on");
        term.resign().await.unwrap();
        standing.over();
        let began = Instant::now();
        standing.elected().await;
        assert!(began.elapsed() < LEADER_TTL, "deposed before it asked: {:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_the_matter_is_no_news_once_somebody_else_leads() {
        let ([election, other], contact) = (candidates(["a", "b"]), Contact::default());
        let other = other.campaign().await;
        let mut standing = Standing::new(&election.env, &contact, &election);
        standing.locked_out(trouble());
        let watched = contact.clone();
        let resigned = async move {
            tokio::time::sleep(Duration::from_secs(30)).await;
            assert!(watched.trouble().is_some(), "others go first");
            tokio::time::sleep(Duration::from_secs(270)).await;
            assert_eq!(watched.trouble(), None);
            other.resign().await.unwrap();
        };
        let (term, ()) = tokio::join!(standing.elected(), resigned);
        assert!(term.is_held());
        assert_eq!(contact.trouble(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn how_long_a_leader_stays_depends_on_whether_another_one_could_do_better() {
        let rows = [
            (Cause::Refused, Some(REFUSED)),
            (Cause::Broken, Some(PATIENCE)),
            (Cause::Unidentified, Some(UNIDENTIFIED)),
            (Cause::Usurped, None),
        ];
        for (cause, wanted) in rows {
            let contact = Contact::default();
            contact.lost("so it is", cause, false, Timestamp::UNIX_EPOCH);
            let began = Instant::now();
            let patience = Patience { rivals: true, refused: REFUSED };
            let given_up = tokio::time::timeout(Duration::from_secs(86_400), patience.ends(contact)).await;
            assert_eq!(given_up.ok().map(|_| began.elapsed()), wanted, "{cause:?}");
        }
    }
}
