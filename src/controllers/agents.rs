//! Keeps an Agent object per machine: the slow facts that its offers tell, and whether it is ready.
//!
//! observe (leased offers, what our Tasks use, what machines and the master say of machines) → `plan::agent` → act (create,
//! merge, remove) → report (an Event per condition that turned).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use imbl::OrdMap;
use jiff::Timestamp;
use serde_json::json;

use super::events::{self, Recorder};
use super::objects::{Stored, create, is, typed_difference};
use super::session::Signals;
use super::sightings::Sightings;
use super::{placement, until};
use crate::api::agent::{DOCKER_READY, JOURNAL_WRITTEN, READY};
use crate::api::{Agent, AgentStatus, Phase, Resources, Task, Totals};
use crate::env::{Env, watch};
use crate::mesos::leases::{self, Lease};
use crate::mesos::session::Session;
use crate::mesos::wire::{self, AgentId, OfferId};
use crate::plan::agent::{self, Sighting};
use crate::plan::{Again, ObjectName};
use crate::registry::{Cache, Change, Write};
use crate::runtime::{Backoff, Index, Setback, View, Writer};

/// The most Agents in one transaction.
const BATCH: usize = 100;
/// How long a machine must look larger than it ever did before that is believed. What the cluster offers again may
/// still be in use by a Task whose end is not stored yet.
const DOUBT: Duration = Duration::from_secs(60);

/// What Tasks use that their agents have reported, per agent and Task; and which machines are lost.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Machines {
    by_agent: BTreeMap<String, BTreeMap<ObjectName, Resources>>,
    lost: BTreeSet<ObjectName>,
}

impl Index for Machines {
    fn apply(&mut self, change: &Change) {
        if is::<Agent>(&change.key) {
            let agent = change.new.as_ref().and_then(|doc| doc.typed::<Agent>().ok());
            let status = agent.and_then(|agent| agent.status.clone()).unwrap_or_default();
            let name = super::objects::name_of(&change.key);
            if agent::is_lost(&status.conditions) {
                self.lost.insert(name)
            } else {
                self.lost.remove(&name)
            };
            return;
        }
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
    parts: Parts,
    view: View<Machines>,
    /// Since when machines look larger than their Agents say, by agent.
    larger: BTreeMap<AgentId, Timestamp>,
    /// The leases that the Agents are level with.
    told: OrdMap<OfferId, Lease>,
    /// The leased offers of each agent.
    offers: BTreeMap<AgentId, BTreeSet<OfferId>>,
}

/// What the loop works with.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) env: Env,
    pub(super) cache: Arc<Cache>,
    pub(super) writer: Writer,
    pub(super) recorder: Recorder,
    pub(super) session: Session,
    pub(super) signals: watch::Receiver<Signals>,
    pub(super) sightings: Sightings,
}

/// A machine as a pass sees it.
struct Seen {
    offers: Vec<Arc<wire::Offer>>,
    sighting: Sighting,
}

impl Agents {
    pub(super) fn new(parts: Parts) -> Agents {
        let view = View::open(&parts.cache);
        Agents { view, parts, larger: BTreeMap::new(), told: OrdMap::new(), offers: BTreeMap::new() }
    }

    /// Runs for ever: looks whenever offers come or go, and whenever something is heard of a machine.
    pub(super) async fn run(mut self) {
        let mut failures = 0;
        loop {
            self.parts.signals.mark_unchanged();
            let wait = match self.pass().await {
                Ok(wait) => {
                    failures = 0;
                    wait
                }
                Err(setback) => {
                    setback.log("agents", &"a pass");
                    failures += 1;
                    self.parts.env.sleep(Backoff::RETRY.after(failures, &self.parts.env)).await;
                    continue;
                }
            };
            self.rest(wait).await;
        }
    }

    async fn rest(&mut self, wait: Option<Duration>) {
        let over = async {
            match wait {
                Some(wait) => self.parts.env.sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // The sender goes only when the whole term does.
            _over = self.parts.signals.changed() => {}
            () = self.parts.sightings.heard_something() => {}
            () = over => {}
        }
    }

    /// Writes down what is known; says when to look again even if nothing is heard.
    async fn pass(&mut self) -> Result<Option<Duration>, Setback> {
        self.view.catch_up();
        let heard = self.parts.sightings.take();
        let result = self.write_down(&heard).await;
        match result {
            Ok(unknown) => self.parts.sightings.give_back(unknown),
            Err(setback) => {
                self.parts.sightings.give_back(heard);
                return Err(setback);
            }
        }
        self.view.catch_up();
        let forget = self.forget().await?;
        let believe =
            self.larger.values().min().map(|since| DOUBT.saturating_sub(until(*since, self.parts.env.now())));
        Ok([forget, believe].into_iter().flatten().min())
    }

    /// Brings the objects level with what is offered and was heard. Words of machines that have no object yet are returned:
    /// their first offer makes one.
    async fn write_down(
        &mut self,
        heard: &BTreeMap<AgentId, Sighting>,
    ) -> Result<BTreeMap<AgentId, Sighting>, Setback> {
        let leases = self.parts.session.leases().snapshot();
        let mut machines = self.offered(&leases);
        machines.extend(heard.keys().cloned());
        machines.extend(self.larger.keys().cloned());
        let mut unknown = BTreeMap::new();
        let mut batch = Vec::new();
        for agent in machines {
            let ids = self.offers.get(&agent).into_iter().flatten();
            let offers: Vec<Arc<wire::Offer>> =
                ids.filter_map(|id| Some(leases.get(id)?.offer.clone())).collect();
            let mut sighting = heard.get(&agent).cloned().unwrap_or_default();
            sighting.offers = !offers.is_empty();
            match self.of_machine(&agent, &Seen { offers, sighting: sighting.clone() })? {
                Some(writes) => batch.extend(writes),
                None if sighting.docker.is_some() || sighting.journal.is_some() => {
                    unknown.insert(agent, Sighting { contact: None, ..sighting });
                }
                None => {}
            }
            if batch.len() >= BATCH {
                self.parts.writer.commit(std::mem::take(&mut batch)).await?;
            }
        }
        self.parts.writer.commit(batch).await?;
        self.told = leases;
        Ok(unknown)
    }

    /// Takes in which offers came and went, and names the agents of those that came: only they have something to tell.
    fn offered(&mut self, leases: &OrdMap<OfferId, Lease>) -> BTreeSet<AgentId> {
        let (gone, come) = leases::changes(&self.told, leases);
        for Lease { offer, .. } in gone {
            if let Some(offers) = self.offers.get_mut(&offer.agent_id) {
                offers.remove(&offer.id);
                if offers.is_empty() {
                    self.offers.remove(&offer.agent_id);
                    self.larger.remove(&offer.agent_id);
                }
            }
        }
        for Lease { offer, .. } in &come {
            self.offers.entry(offer.agent_id.clone()).or_default().insert(offer.id.clone());
        }
        come.into_iter().map(|lease| lease.offer.agent_id.clone()).collect()
    }

    /// What changes of one machine's object; nothing when it has none and offers nothing.
    fn of_machine(&mut self, agent: &AgentId, seen: &Seen) -> Result<Option<Vec<Write>>, Setback> {
        let name = ObjectName::new("", &object_name(&agent.value));
        let present = Stored::<Agent>::find(&self.view.scene().snapshot, &name)?;
        if present.is_none() && seen.offers.is_empty() {
            return Ok(None);
        }
        let before = present.as_ref().and_then(|it| it.object.status.clone()).unwrap_or_default();
        let mut status = self.status(seen, &before);
        if present.is_some() && self.is_doubtful(agent, &status, &before) {
            status.totals = before.totals.clone();
        }
        let Some(present) = present else {
            return create(&Agent { status: Some(status), ..Agent::new(&name.name) })
                .map(|it| Some(vec![it]));
        };
        if before == status {
            return Ok(Some(Vec::new()));
        }
        let Some(patch) = typed_difference(&before, &status)? else { return Ok(Some(Vec::new())) };
        let kinds = [READY, DOCKER_READY, JOURNAL_WRITTEN];
        let happenings = events::of_conditions(&before.conditions, &status.conditions, &kinds);
        let (snapshot, now) = (&self.view.scene().snapshot, self.parts.env.now());
        let mut writes = vec![present.merge(json!({"status": patch}))];
        writes.extend(self.parts.recorder.writes(snapshot, &present, happenings, now));
        Ok(Some(writes))
    }

    /// Whether the machine looks larger than before, and has not done so for long.
    fn is_doubtful(&mut self, agent: &AgentId, status: &AgentStatus, before: &AgentStatus) -> bool {
        let now = self.parts.env.now();
        let grows = status.totals != before.totals;
        let since = self.larger.get(agent).copied().unwrap_or(now);
        let doubtful = grows && until(since, now) < DOUBT;
        if doubtful {
            self.larger.insert(agent.clone(), since);
        } else {
            self.larger.remove(agent);
        }
        doubtful
    }

    fn status(&self, seen: &Seen, before: &AgentStatus) -> AgentStatus {
        let conditions = agent::conditions(&before.conditions, &seen.sighting, self.parts.env.now());
        let Some(offer) = seen.offers.first() else {
            return AgentStatus { conditions, ..before.clone() };
        };
        AgentStatus {
            agent_id: offer.agent_id.value.clone(),
            hostname: offer.hostname.clone(),
            attributes: placement::attributes(&offer.attributes)
                .into_iter()
                .map(|(name, value)| (name, value.to_string()))
                .collect(),
            totals: self.totals(&seen.offers, &before.totals),
            conditions,
            orphans: before.orphans.clone(),
        }
    }

    /// Removes the objects of machines that are gone for good and that no Task refers to; says when the next one is due.
    async fn forget(&self) -> Result<Option<Duration>, Setback> {
        let (scene, now) = (self.view.scene(), self.parts.env.now());
        let mut next: Option<Duration> = None;
        let mut due = Vec::new();
        for name in &scene.index.lost {
            let Some(agent) = Stored::<Agent>::find(&scene.snapshot, name)? else { continue };
            let status = agent.object.status.clone().unwrap_or_default();
            match agent::forget(&status.conditions, now) {
                Some(Again::At(at)) => {
                    let wait = until(now, at);
                    next = Some(next.map_or(wait, |other| other.min(wait)));
                }
                Some(Again::OnChange) if !scene.index.by_agent.contains_key(&status.agent_id) => {
                    due.push(agent.remove());
                }
                // Its last Task ends soon: whatever is heard next brings this up again.
                Some(Again::OnChange) | None => {}
            }
        }
        for batch in due.chunks(BATCH) {
            self.parts.writer.commit(batch.to_vec()).await?;
        }
        Ok(next)
    }

    /// What is offered and what our Tasks use make up the machine, unless others use it, too: then more was seen before.
    fn totals(&self, offers: &[Arc<wire::Offer>], before: &Totals) -> Totals {
        let all = || offers.iter().flat_map(|it| &it.resources);
        let offered = placement::to_api(&placement::scalars(all()));
        let agent = offers.first().map(|it| it.agent_id.value.as_str()).unwrap_or_default();
        let used = self.view.scene().index.by_agent.get(agent);
        let sum = used.into_iter().flat_map(BTreeMap::values).fold(offered, |sum, it| Resources {
            cpus: crate::api::Cpus::from_millis(sum.cpus.millis() + it.cpus.millis()),
            memory: crate::api::Bytes::new(sum.memory.get() + it.memory.get()),
            disk: crate::api::Bytes::new(sum.disk.get() + it.disk.get()),
            gpus: sum.gpus + it.gpus,
        });
        let text = |range: &placement::PortRange| format!("{}-{}", range.begin, range.end);
        let ports = || placement::ports(all()).ranges().iter().map(text).collect();
        Totals {
            cpus: sum.cpus.max(before.cpus),
            memory: sum.memory.max(before.memory),
            disk: sum.disk.max(before.disk),
            gpus: sum.gpus.max(before.gpus),
            // The first offer of an unused machine shows all of its ports.
            ports: if before.ports.is_empty() { ports() } else { before.ports.clone() },
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
