//! Keeps an Agent object per machine: the slow facts that its offers tell.
//!
//! observe (leased offers, what our Tasks use) → compare with the Agent → act (create or merge).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::objects::{Stored, create, is, key, typed_difference};
use super::placement;
use super::rest::news_or_time;
use super::session::Signals;
use super::until;
use crate::api::{Agent, AgentStatus, Condition, Phase, Resources, Task, Time, Totals};
use crate::env::{Env, watch};
use crate::mesos::session::Session;
use crate::mesos::wire;
use crate::plan::ObjectName;
use crate::registry::{Cache, Change, Write};
use crate::runtime::{Backoff, Index, Setback, View, Writer};

/// The most Agents in one transaction.
const BATCH: usize = 100;
/// How long a machine must look larger than it ever did before that is believed. What the cluster offers again may
/// still be in use by a Task whose end is not stored yet.
const DOUBT: Duration = Duration::from_secs(60);

/// What Tasks use that their agents have reported, per agent and Task.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Use {
    by_agent: BTreeMap<String, BTreeMap<ObjectName, Resources>>,
}

impl Index for Use {
    fn apply(&mut self, change: &Change) {
        if !is::<Task>(&change.key) {
            return;
        }
        let name = super::objects::name_of(&change.key);
        if let Some((agent, _)) = change.old.as_ref().and_then(|doc| used(doc))
            && let Some(tasks) = self.by_agent.get_mut(&agent)
        {
            tasks.remove(&name);
            if tasks.is_empty() {
                self.by_agent.remove(&agent);
            }
        }
        if let Some((agent, resources)) = change.new.as_ref().and_then(|doc| used(doc)) {
            self.by_agent.entry(agent).or_default().insert(name, resources);
        }
    }
}

fn used(doc: &crate::registry::Doc) -> Option<(String, Resources)> {
    // Of a Task that is merely bound nobody knows whether its offer was accepted.
    let reported =
        |task: &Arc<Task>| matches!(task.phase(), Phase::Launching | Phase::Running | Phase::Stopping);
    let task = doc.typed::<Task>().ok().filter(reported)?;
    let binding = task.spec.binding.as_ref()?;
    Some((binding.agent_id.clone(), binding.resources.clone()))
}

/// The loop of Agent objects.
#[derive(Debug)]
pub(super) struct Agents {
    env: Env,
    view: View<Use>,
    writer: Writer,
    session: Session,
    signals: watch::Receiver<Signals>,
    /// Since when machines look larger than their Agents say, by agent.
    larger: BTreeMap<String, Timestamp>,
}

impl Agents {
    pub(super) fn new(
        env: Env,
        cache: &Arc<Cache>,
        writer: Writer,
        session: Session,
        signals: watch::Receiver<Signals>,
    ) -> Agents {
        Agents { env, view: View::open(cache), writer, session, signals, larger: BTreeMap::new() }
    }

    /// Runs for ever: looks whenever offers come or go.
    pub(super) async fn run(mut self) {
        let mut failures = 0;
        loop {
            self.signals.mark_unchanged();
            let wait = match self.pass().await {
                Ok(wait) => wait,
                Err(setback) => {
                    setback.log("agents", &"a pass");
                    failures += 1;
                    self.env.sleep(Backoff::RETRY.after(failures, &self.env)).await;
                    continue;
                }
            };
            failures = 0;
            news_or_time(&self.env, &mut self.signals, wait).await;
        }
    }

    /// Says when to look again even if nothing changes.
    async fn pass(&mut self) -> Result<Option<Duration>, Setback> {
        self.view.catch_up();
        let now = self.env.now();
        let leases = self.session.leases().snapshot();
        let mut by_agent: BTreeMap<&str, Vec<&wire::Offer>> = BTreeMap::new();
        for lease in leases.values() {
            by_agent.entry(&lease.offer.agent_id.value).or_default().push(&lease.offer);
        }
        self.larger.retain(|agent, _| by_agent.contains_key(agent.as_str()));
        let mut writes = Vec::new();
        for offers in by_agent.values() {
            writes.extend(self.write(offers, now)?);
        }
        while !writes.is_empty() {
            let batch: Vec<Write> = writes.drain(..writes.len().min(BATCH)).collect();
            self.writer.commit(batch).await?;
        }
        let first = self.larger.values().min();
        Ok(first.map(|since| DOUBT.saturating_sub(until(*since, now))))
    }

    /// What an agent's offers change of its object.
    fn write(&mut self, offers: &[&wire::Offer], now: Timestamp) -> Result<Option<Write>, Setback> {
        let Some(offer) = offers.first() else { return Ok(None) };
        let name = ObjectName::new("", &object_name(&offer.agent_id.value));
        let present =
            self.view.scene().snapshot.get(&key::<Agent>(&name)).map(Stored::<Agent>::read).transpose()?;
        let before = present.as_ref().and_then(|it| it.object.status.clone()).unwrap_or_default();
        let mut status = self.status(offers, offer, &before, now);
        if present.is_some() && self.is_doubtful(&status, &before, now) {
            status.totals = before.totals.clone();
        }
        match present {
            Some(present) => {
                let patch = typed_difference(&before, &status)?;
                Ok(patch.map(|status| present.merge(json!({"status": status}))))
            }
            None => create(&Agent { status: Some(status), ..Agent::new(&name.name) }).map(Some),
        }
    }

    /// Whether the machine looks larger than before, and has not done so for long.
    fn is_doubtful(&mut self, status: &AgentStatus, before: &AgentStatus, now: Timestamp) -> bool {
        let since = *self.larger.entry(status.agent_id.clone()).or_insert(now);
        let grows = status.totals != before.totals;
        let doubtful = grows && until(since, now) < DOUBT;
        if !doubtful {
            self.larger.remove(&status.agent_id);
        }
        doubtful
    }

    fn status(
        &self,
        offers: &[&wire::Offer],
        offer: &wire::Offer,
        before: &AgentStatus,
        now: Timestamp,
    ) -> AgentStatus {
        AgentStatus {
            agent_id: offer.agent_id.value.clone(),
            hostname: offer.hostname.clone(),
            attributes: placement::attributes(&offer.attributes)
                .into_iter()
                .map(|(name, value)| (name, value.to_string()))
                .collect(),
            totals: self.totals(offers, &before.totals),
            conditions: ready(&before.conditions, Time(now)),
        }
    }

    /// What is offered and what our Tasks use make up the machine, unless others use it, too: then more was seen before.
    fn totals(&self, offers: &[&wire::Offer], before: &Totals) -> Totals {
        let all: Vec<wire::Resource> = offers.iter().flat_map(|it| it.resources.clone()).collect();
        let offered = placement::to_api(&placement::scalars(&all));
        let agent = offers.first().map(|it| it.agent_id.value.as_str()).unwrap_or_default();
        let used = self.view.scene().index.by_agent.get(agent);
        let sum = used.into_iter().flat_map(BTreeMap::values).fold(offered, |sum, it| Resources {
            cpus: crate::api::Cpus::from_millis(sum.cpus.millis() + it.cpus.millis()),
            memory: crate::api::Bytes::new(sum.memory.get() + it.memory.get()),
            disk: crate::api::Bytes::new(sum.disk.get() + it.disk.get()),
            gpus: sum.gpus + it.gpus,
        });
        let ports: Vec<String> =
            placement::ports(&all).ranges().iter().map(|it| format!("{}-{}", it.begin, it.end)).collect();
        Totals {
            cpus: sum.cpus.max(before.cpus),
            memory: sum.memory.max(before.memory),
            disk: sum.disk.max(before.disk),
            gpus: sum.gpus.max(before.gpus),
            // The first offer of an unused machine shows all of its ports.
            ports: if before.ports.is_empty() { ports } else { before.ports.clone() },
        }
    }
}

/// The name of an agent's object: its id in the letters that names may have.
pub(super) fn object_name(agent_id: &str) -> String {
    let allowed = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c.to_ascii_lowercase() } else { '-' }
    };
    agent_id.chars().map(allowed).collect::<String>().trim_matches(['-', '.']).to_owned()
}

fn ready(before: &[Condition], now: Time) -> Vec<Condition> {
    let held = before.iter().find(|it| it.type_ == "Ready" && it.status == "True");
    let ready = Condition {
        type_: "Ready".to_owned(),
        status: "True".to_owned(),
        reason: "Offers".to_owned(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: held.map_or(now, |it| it.last_transition_time.clone()),
    };
    vec![ready]
}
