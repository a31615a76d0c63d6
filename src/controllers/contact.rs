//! Whether this process, while it leads, is in contact with the cluster's master: for `/readyz`, `/metrics` and the reasons
//! why Tasks wait.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::env::watch;
use crate::mesos::session::Tally;

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
    Subscribed,
    Lost(Trouble),
}

/// Why there is no contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// A sentence: what the last attempt came to.
    pub reason: Arc<str>,
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
        let (subscriptions, failures) = (AtomicU64::new(0), AtomicU64::new(0));
        Shared {
            state: watch::Sender::new(State::Standby),
            region: Mutex::default(),
            removed: AtomicBool::new(false),
            tally: Tally::default(),
            subscriptions,
            failures,
        }
    }
}

impl Contact {
    /// Why there is no contact, if there should be.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        match &*self.shared.state.borrow() {
            State::Lost(trouble) => Some(trouble.clone()),
            State::Standby | State::Subscribing | State::Subscribed => None,
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
        self.shared.state.send_replace(State::Standby);
    }

    /// A session begins. What the last one ran into holds until this one has an answer.
    pub(super) fn subscribing(&self) {
        self.shared.state.send_if_modified(|state| {
            let is_news = !matches!(state, State::Lost(_));
            if is_news {
                *state = State::Subscribing;
            }
            is_news
        });
    }

    /// A master has let us in, which is in `region` if it has one.
    pub(super) fn subscribed(&self, region: Option<Arc<str>>) {
        *self.shared.region.lock().unwrap_or_else(PoisonError::into_inner) = region;
        self.shared.subscriptions.fetch_add(1, Ordering::Relaxed);
        self.shared.state.send_replace(State::Subscribed);
    }

    /// The stream broke at `now`, or another attempt to subscribe failed.
    pub(super) fn lost(&self, reason: &str, now: Timestamp) {
        self.shared.failures.fetch_add(1, Ordering::Relaxed);
        self.shared.state.send_modify(|state| {
            let since = match state {
                State::Lost(trouble) => trouble.since,
                State::Standby | State::Subscribing | State::Subscribed => now,
            };
            *state = State::Lost(Trouble { reason: Arc::from(reason), since });
        });
    }
}

/// What `/metrics` tells of it.
impl Collector for Contact {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let state = self.shared.state.borrow().clone();
        let gauges = [
            ("tenure_leader", "Whether this process leads: 1 or 0", state != State::Standby),
            (
                "tenure_mesos_subscribed",
                "Whether this process leads and is subscribed to the Mesos master: 1 or 0",
                state == State::Subscribed,
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

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn trouble_is_told_from_its_first_moment_until_there_is_an_answer() {
        let contact = Contact::default();
        contact.subscribing();
        assert_eq!(contact.trouble(), None, "nothing is known yet");
        contact.lost("refused", at(1));
        contact.lost("no route", at(5));
        contact.subscribing();
        let trouble = contact.trouble().unwrap();
        assert_eq!((&*trouble.reason, trouble.since), ("no route", at(1)));
        contact.subscribed(None);
        assert_eq!(contact.trouble(), None);
        contact.lost("the master closed the stream", at(9));
        assert_eq!(contact.trouble().unwrap().since, at(9));
        contact.standby();
        assert_eq!(contact.trouble(), None, "it is another process's affair");
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
        contact.standby();
        told("tenure_leader 0");
        told("tenure_mesos_framework_removed 0");
    }

    #[test]
    fn subscriptions_and_failures_are_counted() {
        let contact = Contact::default();
        contact.lost("refused", at(1));
        contact.lost("refused", at(2));
        contact.subscribed(None);
        let mut metrics = prometheus_client::registry::Registry::default();
        metrics.register_collector(Box::new(contact));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &metrics).unwrap();
        for line in [
            "tenure_mesos_subscribed 1",
            "tenure_mesos_subscriptions_total 1",
            "tenure_mesos_subscription_failures_total 2",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
    }
}
