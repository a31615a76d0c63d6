//! What the front door counts, and `/metrics`. The registry is the caller's: nothing here is global.

use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::ReadyCheck;

type Labels = Vec<(&'static str, String)>;

/// Requests by verb, resource and status; how long they took; watches open now.
#[derive(Clone, Debug)]
pub struct RequestMetrics {
    requests: Family<Labels, Counter>,
    durations: Family<Labels, Histogram>,
    watches: Gauge,
}

impl RequestMetrics {
    /// Registers the metrics of the front door.
    #[must_use]
    pub fn register(registry: &mut Registry) -> RequestMetrics {
        // 0.5 ms to 8 s.
        let histogram = || Histogram::new(exponential_buckets(0.000_5, 2.0, 15));
        let metrics = RequestMetrics {
            requests: Family::default(),
            durations: Family::new_with_constructor(histogram),
            watches: Gauge::default(),
        };
        registry.register("tenure_api_requests", "Requests answered", metrics.requests.clone());
        registry.register(
            "tenure_api_request_duration_seconds",
            "Time to the head of the answer; watches are not counted",
            metrics.durations.clone(),
        );
        registry.register("tenure_api_watches", "Watches open now", metrics.watches.clone());
        metrics
    }

    /// `resource` must come from a bounded set: a plural that is served, or a fixed word.
    pub(crate) fn answered(&self, verb: &'static str, resource: &str, status: StatusCode, took: Duration) {
        let mut labels = vec![("verb", verb.to_owned()), ("resource", resource.to_owned())];
        if verb != "watch" {
            self.durations.get_or_create(&labels).observe(took.as_secs_f64());
        }
        labels.push(("code", status.as_u16().to_string()));
        self.requests.get_or_create(&labels).inc();
    }

    /// Counts a watch as open until the guard is dropped.
    pub(crate) fn watching(&self) -> Watching {
        self.watches.inc();
        Watching(self.watches.clone())
    }
}

/// `tenure_ready`: what `/readyz` says, per check.
#[derive(Debug)]
pub struct ReadyMetrics {
    checks: Arc<[ReadyCheck]>,
}

impl ReadyMetrics {
    /// Asks `checks` at each scrape.
    #[must_use]
    pub fn of(checks: Arc<[ReadyCheck]>) -> ReadyMetrics {
        ReadyMetrics { checks }
    }
}

impl Collector for ReadyMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "Whether a check of /readyz passes: 1 or 0";
        let mut family = encoder.encode_descriptor("tenure_ready", help, None, MetricType::Gauge)?;
        for check in self.checks.iter() {
            let passes = ConstGauge::new(i64::from(check.probe().is_ok()));
            passes.encode(family.encode_family(&[("check", check.name)])?)?;
        }
        Ok(())
    }
}

/// An open watch.
pub(crate) struct Watching(Gauge);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The registry in the OpenMetrics text format.
pub(crate) fn render(registry: &Registry) -> Response {
    let mut text = String::new();
    match encode(&mut text, registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
