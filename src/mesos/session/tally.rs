//! What sessions did, in numbers: calls by their type, those that failed and how, and what became of offers.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::CallError;
use crate::mesos::connection::ConnectionError;
use crate::mesos::wire::CallType;
use crate::mesos::wire::scheduler::Call;

/// Counts of all sessions that share it. Clones do.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    sent: Family<[(&'static str, &'static str); 1], Counter>,
    failed: Family<[(&'static str, &'static str); 2], Counter>,
    offers: Family<[(&'static str, &'static str); 1], Counter>,
}

/// What became of offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Received,
    Rescinded,
}

impl Tally {
    /// So many offers came, or were taken back.
    pub(super) fn offers(&self, fate: Fate, count: usize) {
        let fate = match fate {
            Fate::Received => "received",
            Fate::Rescinded => "rescinded",
        };
        self.count_offers(fate, count);
    }

    /// A call came to this.
    pub(super) fn called(&self, called: Called, error: Option<&CallError>) {
        let Called { r#type, offers } = called;
        match error {
            None => {
                self.sent.get_or_create(&[("call", r#type.as_str())]).inc();
                match r#type {
                    CallType::Accept => self.count_offers("accepted", offers),
                    CallType::Decline => self.count_offers("declined", offers),
                    _ => {}
                }
            }
            Some(error) => {
                let labels = [("call", r#type.as_str()), ("reason", kind(error))];
                self.failed.get_or_create(&labels).inc();
            }
        }
    }

    fn count_offers(&self, fate: &'static str, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.offers.get_or_create(&[("fate", fate)]).inc_by(count);
    }

    /// Shows the counts.
    ///
    /// # Errors
    /// When `encoder` fails.
    pub fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let sent = "Calls that the Mesos master took, by their type";
        let failed = "Calls that were not sent or that failed, by their type and how";
        let offers = "Offers that came, and what became of them";
        let Tally { sent: calls, failed: failures, offers: fates } = self;
        let counter = MetricType::Counter;
        calls.encode(encoder.encode_descriptor("tenure_mesos_calls", sent, None, counter)?)?;
        failures.encode(encoder.encode_descriptor("tenure_mesos_calls_failed", failed, None, counter)?)?;
        fates.encode(encoder.encode_descriptor("tenure_mesos_offers", offers, None, counter)?)
    }
}

/// What is counted of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Called {
    pub(super) r#type: CallType,
    /// How many offers it spends.
    offers: usize,
}

impl From<&Call> for Called {
    fn from(call: &Call) -> Called {
        let accepted = call.accept.as_ref().map(|it| it.offer_ids.len());
        let declined = call.decline.as_ref().map(|it| it.offer_ids.len());
        Called { r#type: call.r#type(), offers: accepted.or(declined).unwrap_or_default() }
    }
}

/// How it failed, in a word.
fn kind(error: &CallError) -> &'static str {
    match error {
        CallError::NotLeased { .. } => "not_leased",
        CallError::NotSubscribed => "not_subscribed",
        CallError::Ended => "ended",
        CallError::Failed(error) => match error {
            ConnectionError::NotSent { .. } => "not_sent",
            ConnectionError::Unreachable { .. } => "unreachable",
            ConnectionError::Lost { .. } => "lost",
            ConnectionError::Unsubscribed { .. } => "unsubscribed",
            ConnectionError::Refused { .. } => "refused",
            ConnectionError::Malformed { .. } => "malformed",
        },
    }
}

#[cfg(test)]
impl Tally {
    /// How many calls of a type the master took.
    pub(super) fn taken(&self, call: &'static str) -> u64 {
        self.sent.get_or_create(&[("call", call)]).get()
    }

    /// How many of a type were not sent, or failed, by the word for how.
    pub(super) fn failures(&self, call: &'static str) -> Vec<(&'static str, u64)> {
        let words = ["not_leased", "not_subscribed", "ended", "not_sent", "unreachable", "lost", "refused"];
        let counts =
            words.map(|word| (word, self.failed.get_or_create(&[("call", call), ("reason", word)]).get()));
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesos::wire::OfferId;
    use crate::mesos::wire::scheduler::Decline;

    #[test]
    fn calls_are_counted_by_what_came_of_them_and_offers_with_them() {
        let tally = Tally::default();
        let offer_ids = vec![OfferId::new("a"), OfferId::new("b")];
        let decline = Some(Decline { offer_ids, filters: None });
        let decline = Called::from(&Call { decline, ..super::super::of(CallType::Decline) });
        let revive = Called::from(&super::super::of(CallType::Revive));
        tally.offers(Fate::Received, 3);
        tally.offers(Fate::Rescinded, 1);
        tally.called(decline, None);
        tally.called(revive, None);
        tally.called(revive, Some(&CallError::NotSubscribed));
        let refused = ConnectionError::Refused { message: "no".to_owned() };
        tally.called(decline, Some(&CallError::Failed(refused)));

        let offers = |fate| tally.offers.get_or_create(&[("fate", fate)]).get();
        assert_eq!(
            [offers("received"), offers("rescinded"), offers("declined"), offers("accepted")],
            [3, 1, 2, 0]
        );
        assert_eq!(["DECLINE", "REVIVE", "SUPPRESS"].map(|call| tally.taken(call)), [1, 1, 0]);
        assert_eq!(tally.failures("REVIVE"), [("not_subscribed", 1)]);
        assert_eq!(tally.failures("DECLINE"), [("refused", 1)]);
    }
}
