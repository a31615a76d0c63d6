//! Whether this process, while it leads, is in contact with the cluster's master: for `/readyz`, `/metrics` and the reasons
//! why Tasks wait.

use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::time::Instant;

use crate::env::watch;
use crate::mesos::session::{Cause, Tally};

/// What is known of the contact. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Contact {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: watch::Sender<State>,
    /// The region of the master, as the last subscription told it.
    region: Mutex<Option<Arc<str>>>,
    subscriptions: AtomicU64,
    failures: AtomicU64,
    /// Subscriptions that were of use.
    useful: AtomicU64,
    given_up: AtomicU64,
    usurped: AtomicU64,
    /// Whether Mesos has removed the framework, and no person has decided yet.
    removed: AtomicBool,
    tally: Tally,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Somebody else leads, or nobody yet.
    Standby,
    /// The first answer is awaited.
    Subscribing,
    Subscribed {
        /// The trouble that goes on if this subscription turns out to be of no use.
        before: Option<Trouble>,
    },
    Lost(Trouble),
    /// It led without contact for too long: others go first.
    GaveUp(Trouble),
}

/// Why there is no contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// A sentence: what the last attempt came to.
    pub reason: Arc<str>,
    /// What kind of trouble it is.
    pub cause: Cause,
    /// Since when.
    pub since: Timestamp,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (since {:.0})", self.reason, self.since)
    }
}

impl Default for Shared {
    fn default() -> Shared {
        Shared {
            state: watch::Sender::new(State::Standby),
            region: Mutex::default(),
            removed: AtomicBool::new(false),
            tally: Tally::default(),
            subscriptions: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            useful: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            usurped: AtomicU64::new(0),
        }
    }
}

impl Contact {
    /// Why there is no contact, if there should be; while others go first because of it, why there was none.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        match &*self.shared.state.borrow() {
            State::Lost(trouble) => Some(trouble.clone()),
            State::GaveUp(trouble) => {
                let reason = format!("the leadership was given up, for others to try: {}", trouble.reason);
                Some(Trouble { reason: Arc::from(reason), ..trouble.clone() })
            }
            State::Standby | State::Subscribing | State::Subscribed { .. } => None,
        }
    }

    /// The region of the master that let us in last.
    pub(super) fn region(&self) -> Option<Arc<str>> {
        self.shared.region.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where sessions count what they do.
    pub(super) fn tally(&self) -> Tally {
        self.shared.tally.clone()
    }

    /// Whether Mesos has removed the framework for good, as the store tells.
    pub(super) fn removed(&self, is_removed: bool) {
        self.shared.removed.store(is_removed, Ordering::Relaxed);
    }

    pub(super) fn standby(&self) {
        self.removed(false);
        let was = self.shared.state.send_replace(State::Standby);
        // Nothing has shown that the last one was of none.
        self.shared.useful.fetch_add(u64::from(matches!(was, State::Subscribed { .. })), Ordering::Relaxed);
    }

    /// The leadership is given up over `trouble`, which is told until this process [stands by](Contact::stands_by), or leads again and
    /// has an answer.
    pub(super) fn gave_up(&self, trouble: Trouble) {
        self.shared.given_up.fetch_add(1, Ordering::Relaxed);
        self.shared.state.send_replace(State::GaveUp(trouble));
    }

    /// Somebody else leads: over what this process gave the leadership up is no news any more.
    pub(super) fn stands_by(&self) {
        self.shared.state.send_if_modified(|state| {
            let gave_up = matches!(state, State::GaveUp(_));
            if gave_up {
                *state = State::Standby;
            }
            gave_up
        });
    }

    /// How many subscriptions of this process were of use, the present one left out.
    pub(super) fn useful(&self) -> u64 {
        self.shared.useful.load(Ordering::Relaxed)
    }

    /// A session begins. What the last one ran into holds until this one has an answer.
    pub(super) fn subscribing(&self) {
        self.shared.state.send_modify(|state| {
            *state = match std::mem::replace(state, State::Subscribing) {
                State::Lost(trouble) | State::GaveUp(trouble) => State::Lost(trouble),
                State::Standby | State::Subscribing | State::Subscribed { .. } => State::Subscribing,
            };
        });
    }

    /// Waits until there has been trouble for as long as `patience` gives its kind, without a subscription of use in between; the
    /// trouble. What was before this call does not count.
    pub(super) async fn locked_out(&self, patience: impl Fn(Cause) -> Option<Duration>) -> Trouble {
        let mut states = self.shared.state.subscribe();
        // The trouble goes on for as long as it tells the same beginning.
        let mut first_seen: Option<(Timestamp, Instant)> = None;
        loop {
            let trouble = match &*states.borrow_and_update() {
                State::Lost(trouble) => Some(trouble.clone()),
                State::Standby | State::Subscribing | State::Subscribed { .. } | State::GaveUp(_) => None,
            };
            let Some(trouble) = trouble else {
                if states.changed().await.is_err() {
                    return pending().await;
                }
                continue;
            };
            let Some(patience) = patience(trouble.cause) else {
                first_seen = None;
                if states.changed().await.is_err() {
                    return pending().await;
                }
                continue;
            };
            let (_, began) = *match &mut first_seen {
                Some(seen) if seen.0 == trouble.since => seen,
                other => other.insert((trouble.since, Instant::now())),
            };
            let deadline = began + patience;
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(deadline) => return trouble,
                changed = states.changed() => match changed {
                    Ok(()) => {}
                    Err(_closed) => return pending().await,
                },
            }
        }
    }

    /// A master has let us in, which is in `region` if it has one.
    pub(super) fn subscribed(&self, region: Option<Arc<str>>) {
        *self.shared.region.lock().unwrap_or_else(PoisonError::into_inner) = region;
        self.shared.subscriptions.fetch_add(1, Ordering::Relaxed);
        self.shared.state.send_modify(|state| {
            let before = match std::mem::replace(state, State::Subscribing) {
                State::Lost(trouble) => Some(trouble),
                State::Subscribed { before } => before,
                State::Standby | State::Subscribing | State::GaveUp(_) => None,
            };
            *state = State::Subscribed { before };
        });
    }

    /// The stream broke at `now`, or another attempt to subscribe failed. A subscription that was `useless` ends no trouble.
    pub(super) fn lost(&self, reason: &str, cause: Cause, useless: bool, now: Timestamp) {
        self.shared.failures.fetch_add(1, Ordering::Relaxed);
        self.shared.usurped.fetch_add(u64::from(cause == Cause::Usurped), Ordering::Relaxed);
        self.shared.state.send_modify(|state| {
            if matches!(state, State::Subscribed { .. }) && !useless {
                self.shared.useful.fetch_add(1, Ordering::Relaxed);
            }
            let since = match state {
                State::Lost(trouble) | State::GaveUp(trouble) => trouble.since,
                State::Subscribed { before: Some(trouble) } if useless => trouble.since,
                State::Standby | State::Subscribing | State::Subscribed { .. } => now,
            };
            *state = State::Lost(Trouble { reason: Arc::from(reason), cause, since });
        });
    }
}

/// What `/metrics` tells of it.
impl Collector for Contact {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let state = self.shared.state.borrow().clone();
        let is_subscribed = matches!(state, State::Subscribed { .. });
        let leads = is_subscribed || matches!(state, State::Subscribing | State::Lost(_));
        let gauges = [
            ("tenure_leader", "Whether this process leads: 1 or 0", leads),
            (
                "tenure_mesos_subscribed",
                "Whether this process leads and is subscribed to the Mesos master: 1 or 0",
                is_subscribed,
            ),
            (
                "tenure_mesos_framework_removed",
                "Whether this process leads and Mesos has removed its framework, until a person decides: 1 or 0",
                self.shared.removed.load(Ordering::Relaxed),
            ),
        ];
        for (name, help, holds) in gauges {
            let descriptor = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(i64::from(holds)).encode(descriptor)?;
        }
        self.shared.tally.encode(&mut encoder)?;
        let counts = [
            ("tenure_mesos_subscriptions", "Subscriptions to a Mesos master", &self.shared.subscriptions),
            (
                "tenure_mesos_subscription_failures",
                "Attempts to subscribe that failed, and streams that broke",
                &self.shared.failures,
            ),
            (
                "tenure_mesos_failed_over",
                "Times that Mesos said \"Framework failed over\" though no other server of this installation led: \
                 somebody else uses our framework id",
                &self.shared.usurped,
            ),
            (
                "tenure_leadership_given_up",
                "Times that this process led, had no contact to Mesos for too long, and let others go first",
                &self.shared.given_up,
            ),
        ];
        for (name, help, count) in counts {
            ConstCounter::new(count.load(Ordering::Relaxed)).encode(encoder.encode_descriptor(
                name,
                help,
                None,
                MetricType::Counter,
            )?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Contact {
        fn broken(&self, reason: &str, now: Timestamp) {
            self.lost(reason, Cause::Broken, false, now);
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn trouble_is_told_from_its_first_moment_until_there_is_an_answer() {
        let contact = Contact::default();
        contact.subscribing();
        assert_eq!(contact.trouble(), None, "nothing is known yet");
        contact.broken("refused", at(1));
        contact.broken("no route", at(5));
        contact.subscribing();
        let trouble = contact.trouble().unwrap();
        assert_eq!((&*trouble.reason, trouble.since), ("no route", at(1)));
        contact.subscribed(None);
        assert_eq!(contact.trouble(), None);
        contact.broken("the master closed the stream", at(9));
        assert_eq!(contact.trouble().unwrap().since, at(9));
        contact.standby();
        assert_eq!(contact.trouble(), None, "it is another process's affair");
    }

    #[test]
    fn who_gave_the_leadership_up_says_why_until_somebody_else_leads_or_it_does_and_is_answered() {
        let contact = Contact::default();
        contact.broken("refused", at(1));
        contact.gave_up(contact.trouble().unwrap());
        let told = contact.trouble().unwrap().to_string();
        assert!(
            told.starts_with("the leadership was given up, for others to try: refused (since 1970"),
            "{told}"
        );
        contact.subscribing();
        assert_eq!(&*contact.trouble().unwrap().reason, "refused", "it leads again");
        contact.broken("no route", at(9));
        assert_eq!(contact.trouble().unwrap().since, at(1));
        contact.subscribed(None);
        assert_eq!(contact.trouble(), None);
        contact.stands_by();
        contact.broken("no route", at(20));
        contact.stands_by();
        assert!(contact.trouble().is_some(), "it leads");
        contact.gave_up(contact.trouble().unwrap());
        contact.stands_by();
        contact.subscribing();
        assert_eq!(contact.trouble(), None, "another one led meanwhile: nothing is known yet");
    }

    #[test]
    fn a_subscription_of_no_use_ends_no_trouble() {
        let contact = Contact::default();
        contact.broken("no route", at(1));
        for second in 2..5 {
            contact.subscribed(None);
            assert_eq!(contact.trouble(), None);
            contact.lost("a call failed", Cause::Broken, true, at(second));
            assert_eq!(contact.trouble().unwrap().since, at(1));
        }
        assert_eq!(contact.useful(), 0);
        contact.subscribed(None);
        contact.broken("the stream broke", at(9));
        assert_eq!((contact.useful(), contact.trouble().unwrap().since), (1, at(9)));
        contact.subscribed(None);
        contact.standby();
        assert_eq!(contact.useful(), 2, "it stood to the end");
    }

    #[tokio::test(start_paused = true)]
    async fn subscriptions_of_no_use_do_not_save_a_leadership() {
        let contact = Contact::default();
        let watched = contact.clone();
        let began = Instant::now();
        let told = async {
            contact.broken("no route", at(1));
            for second in 1..100 {
                tokio::time::sleep(Duration::from_secs(7)).await;
                contact.subscribed(None);
                tokio::time::sleep(Duration::from_secs(9)).await;
                contact.lost("a call failed", Cause::Broken, true, at(second));
            }
        };
        let trouble = tokio::select! {
            trouble = watched.locked_out(|_| Some(Duration::from_secs(60))) => trouble,
            () = told => panic!("it is never given up"),
        };
        assert_eq!((&*trouble.reason, trouble.since), ("a call failed", at(1)));
        assert_eq!(began.elapsed().as_secs(), 64, "while it is subscribed it may be of use");
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_that_a_subscription_interrupts_is_measured_anew() {
        let contact = Contact::default();
        let began = Instant::now();
        let watched = contact.clone();
        let patience = |cause| (cause == Cause::Broken).then_some(Duration::from_secs(60));
        let told = async {
            contact.broken("no route", at(0));
            for second in [40, 41] {
                tokio::time::sleep_until(began + Duration::from_secs(second)).await;
                contact.broken("still no route", at(0));
            }
            contact.subscribed(None);
            contact.lost("no such role", Cause::Refused, false, at(41));
            tokio::time::sleep_until(began + Duration::from_secs(500)).await;
            contact.broken("the stream broke", at(500));
        };
        let (trouble, ()) = tokio::join!(watched.locked_out(patience), told);
        assert_eq!(&*trouble.reason, "the stream broke");
        assert_eq!(began.elapsed().as_secs(), 560);
    }

    #[test]
    fn who_leads_and_what_sessions_did_is_told() {
        let contact = Contact::default();
        let mut metrics = prometheus_client::registry::Registry::default();
        metrics.register_collector(Box::new(contact.clone()));
        let told = |line: &str| {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &metrics).unwrap();
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        };
        told("tenure_leader 0");
        contact.subscribing();
        contact.removed(true);
        told("tenure_leader 1");
        told("tenure_mesos_framework_removed 1");
        contact.broken("no route", at(1));
        told("tenure_leader 1");
        contact.standby();
        told("tenure_leader 0");
        told("tenure_mesos_framework_removed 0");
        contact.gave_up(Trouble { reason: "no route".into(), cause: Cause::Broken, since: at(1) });
        told("tenure_leader 0");
    }

    #[test]
    fn subscriptions_and_failures_are_counted() {
        let contact = Contact::default();
        contact.broken("refused", at(1));
        contact.broken("refused", at(2));
        contact.lost("somebody else has our id", Cause::Usurped, false, at(3));
        contact.subscribed(None);
        let mut metrics = prometheus_client::registry::Registry::default();
        metrics.register_collector(Box::new(contact));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &metrics).unwrap();
        for line in [
            "tenure_mesos_subscribed 1",
            "tenure_mesos_subscriptions_total 1",
            "tenure_mesos_subscription_failures_total 3",
            "tenure_mesos_failed_over_total 1",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
    }
}
