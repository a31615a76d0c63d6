//! Whether this process, while it leads, is in contact with the cluster's master: for `/readyz`, `/metrics` and the reasons
//! why Tasks wait.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::env::watch;

/// What is known of the contact. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Contact {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: watch::Sender<State>,
    subscriptions: AtomicU64,
    failures: AtomicU64,
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
        Shared { state: watch::Sender::new(State::Standby), subscriptions, failures }
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

    pub(super) fn standby(&self) {
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

    pub(super) fn subscribed(&self) {
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
        let subscribed = i64::from(*self.shared.state.borrow() == State::Subscribed);
        let help = "Whether this process leads and is subscribed to the Mesos master: 1 or 0";
        ConstGauge::new(subscribed).encode(encoder.encode_descriptor(
            "tenure_mesos_subscribed",
            help,
            None,
            MetricType::Gauge,
        )?)?;
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
        contact.subscribed();
        assert_eq!(contact.trouble(), None);
        contact.lost("the master closed the stream", at(9));
        assert_eq!(contact.trouble().unwrap().since, at(9));
        contact.standby();
        assert_eq!(contact.trouble(), None, "it is another process's affair");
    }

    #[test]
    fn subscriptions_and_failures_are_counted() {
        let contact = Contact::default();
        contact.lost("refused", at(1));
        contact.lost("refused", at(2));
        contact.subscribed();
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
