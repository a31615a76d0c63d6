//! What there is while this process leads, as numbers in `/metrics`: Agents by what they can do, and Tasks that wait by what they wait
//! for. Counted by change.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::objects::is;
use crate::api::Agent;
use crate::api::agent::{DOCKER_READY, READY};
use crate::plan::agent::find;
use crate::registry::{Change, Doc};
use crate::runtime::Index;

/// The numbers. Clones share them; without any while this process does not lead.
#[derive(Clone, Debug, Default)]
pub struct Census {
    agents: Family<[(&'static str, &'static str); 1], Gauge>,
    waiting: Family<[(&'static str, &'static str); 1], Gauge>,
}

/// How many Agents are in which state.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AgentStates(BTreeMap<&'static str, i64>);

/// All states of an Agent; the first that is true of it counts.
const STATES: [&str; 7] =
    ["unreachable", "gone", "journal_not_written", "docker_unavailable", "maintenance", "no_docker", "ready"];

/// What Tasks wait for, as `waiting` has it.
pub(super) const FOR_OFFERS: &str = "offers";
pub(super) const FOR_MASTER: &str = "master";
pub(super) const FOR_SECRETS: &str = "secrets";
pub(super) const FOR_CORRECTION: &str = "correction";

impl Census {
    /// Agents are in these states now.
    pub(super) fn agents(&self, states: &AgentStates) {
        for state in STATES {
            let count = states.0.get(state).copied().unwrap_or_default();
            self.agents.get_or_create(&[("state", state)]).set(count);
        }
    }

    /// So many Tasks wait for each of these.
    pub(super) fn waiting(&self, tasks: [(&'static str, usize); 4]) {
        for (what, count) in tasks {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.waiting.get_or_create(&[("for", what)]).set(count);
        }
    }

    /// This process does not lead any more: another one counts.
    pub(super) fn standby(&self) {
        self.agents.clear();
        self.waiting.clear();
    }
}

impl Collector for Census {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let agents = "Agents by state, as the leader counts them";
        let waiting = "Tasks without a place, by what they wait for, as the leader counts them";
        let gauge = MetricType::Gauge;
        self.agents.encode(encoder.encode_descriptor("tenure_agents", agents, None, gauge)?)?;
        self.waiting.encode(encoder.encode_descriptor("tenure_tasks_waiting", waiting, None, gauge)?)
    }
}

impl Index for AgentStates {
    fn apply(&mut self, change: &Change) {
        if !is::<Agent>(&change.key) {
            return;
        }
        if let Some(before) = change.old.as_ref() {
            let state = state(before);
            let count = self.0.entry(state).or_default();
            *count -= 1;
            if *count == 0 {
                self.0.remove(state);
            }
        }
        if let Some(after) = change.new.as_ref() {
            *self.0.entry(state(after)).or_default() += 1;
        }
    }
}

/// The state of one Agent, of [`STATES`].
fn state(doc: &Doc) -> &'static str {
    let status = doc.typed::<Agent>().ok().and_then(|agent| agent.status.clone()).unwrap_or_default();
    let no = |kind| find(&status.conditions, kind).filter(|it| it.status == "False");
    match no(READY).map(|it| it.reason.as_str()) {
        Some("Unreachable") => "unreachable",
        Some("Gone") => "gone",
        Some("JournalNotWritten") => "journal_not_written",
        Some("DockerUnavailable") => "docker_unavailable",
        _ if status.maintenance.is_some() => "maintenance",
        _ if no(DOCKER_READY).is_some() => "no_docker",
        _ => "ready",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::controllers::objects::key;
    use crate::plan::ObjectName;

    fn doc(conditions: &[(&str, &str)], maintenance: bool) -> Arc<Doc> {
        let condition = |(kind, reason): &(&str, &str)| {
            let (status, since) = (if reason.is_empty() { "True" } else { "False" }, "2026-01-01T00:00:00Z");
            json!({"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": since})
        };
        let mut status = json!({"conditions": conditions.iter().map(condition).collect::<Vec<_>>()});
        if maintenance {
            status["maintenance"] = json!({"from": "2026-01-01T00:00:00.000000Z"});
        }
        let value = json!({"metadata": {"name": "a"}, "status": status}).to_string();
        let key = key::<Agent>(&ObjectName::new("", "a"));
        Arc::new(Doc::from_stored(key, 1, value.as_bytes()).unwrap())
    }

    #[test]
    fn an_agent_counts_once_by_the_worst_that_is_true_of_it() {
        type Row = (&'static [(&'static str, &'static str)], bool, &'static str);
        let rows: [Row; 8] = [
            (&[(READY, "")], false, "ready"),
            (&[(READY, ""), (DOCKER_READY, "NoDocker")], false, "no_docker"),
            (&[(READY, ""), (DOCKER_READY, "NoDocker")], true, "maintenance"),
            (
                &[(READY, "DockerUnavailable"), (DOCKER_READY, "DockerUnavailable")],
                true,
                "docker_unavailable",
            ),
            (&[(READY, "JournalNotWritten")], false, "journal_not_written"),
            (&[(READY, "Unreachable"), (DOCKER_READY, "NoDocker")], true, "unreachable"),
            (&[(READY, "Gone")], false, "gone"),
            (&[], false, "ready"),
        ];
        let (mut states, mut old) = (AgentStates::default(), None);
        for (conditions, maintenance, expected) in rows {
            let new = Some(doc(conditions, maintenance));
            let key = key::<Agent>(&ObjectName::new("", "a"));
            states.apply(&Change { revision: 1, key, old: old.take(), new: new.clone() });
            assert_eq!(states.0, BTreeMap::from([(expected, 1)]), "{conditions:?}");
            assert!(STATES.contains(&expected));
            old = new;
        }
    }

    #[test]
    fn only_the_leader_counts() {
        let census = Census::default();
        census.agents(&AgentStates(BTreeMap::from([("ready", 3)])));
        census.waiting([(FOR_OFFERS, 2), (FOR_MASTER, 0), (FOR_SECRETS, 1), (FOR_CORRECTION, 0)]);
        let mut metrics = prometheus_client::registry::Registry::default();
        metrics.register_collector(Box::new(census.clone()));
        let told = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &metrics).unwrap();
            text
        };
        let lines = ["tenure_agents{state=\"ready\"} 3", "tenure_agents{state=\"gone\"} 0"];
        for line in lines.into_iter().chain(["tenure_tasks_waiting{for=\"offers\"} 2"]) {
            assert!(told().lines().any(|it| it == line), "{line} in {}", told());
        }
        census.standby();
        assert!(!told().contains("tenure_agents{"), "{}", told());
    }
}
