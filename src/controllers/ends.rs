//! How tasks ended by the cluster's word, as a number in `/metrics`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::api::Phase;

/// The ends that were stored while this process led. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    counts: Family<Ending, Counter>,
}

/// How tasks ended, and by what of Mesos's reasons.
type Ending = [(&'static str, String); 2];

impl Ends {
    /// The end of a task was stored.
    pub(super) fn count(&self, phase: Phase, reason: Option<&str>) {
        let ending = [("phase", format!("{phase:?}")), ("reason", reason.unwrap_or_default().to_owned())];
        self.counts.get_or_create(&ending).inc();
    }
}

impl Collector for Ends {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Ends of tasks that were stored while this process led, by Mesos's reason";
        let kind = MetricType::Counter;
        self.counts.encode(encoder.encode_descriptor("tenure_tasks_ended", help, None, kind)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_counted_by_phase_and_reason() {
        let ends = Ends::default();
        for _ in 0..2 {
            ends.count(Phase::Failed, Some("REASON_CONTAINER_LAUNCH_FAILED"));
        }
        let mut metrics = prometheus_client::registry::Registry::default();
        metrics.register_collector(Box::new(ends));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &metrics).unwrap();
        let line = "tenure_tasks_ended_total{phase=\"Failed\",reason=\"REASON_CONTAINER_LAUNCH_FAILED\"} 2";
        assert!(text.lines().any(|it| it == line), "{text}");
    }
}
