//! Keeps an Agent object per machine: the slow facts that its offers tell, and whether it is ready.
//!
//! observe (leased offers, what our Tasks use, what machines and the master say of machines) → `plan::agent`, `plan::size` → act
//! (create, merge, remove) → report (an Event per condition that turned).
//!
//! A watch may lose the end of a Task, and what it used is offered again: before a machine is called larger, the store itself is
//! asked about each Task that was counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use imbl::OrdMap;
use serde_json::json;

use super::events::{self, Recorder};
use super::machines::Machines;
use super::objects::{Stored, create, key, typed_difference};
use super::session::Signals;
use super::sightings::Sightings;
use super::{placement, questions, until};
use crate::api::agent::{DOCKER_READY, JOURNAL_WRITTEN, READY};
use crate::api::{Agent, AgentStatus, Resources, Task, Totals};
use crate::env::{Env, watch};
use crate::mesos::leases::{self, Lease};
use crate::mesos::session::Session;
use crate::mesos::wire::{self, AgentId, OfferId};
use crate::plan::agent::{self, Sighting};
use crate::plan::size::{self, Doubt, Look, Opinion, Sharing, Side};
use crate::plan::{Again, ObjectName};
use crate::registry::{Cache, Key, Write};
use crate::runtime::{Backoff, Setback, View, Writer};

/// The most Agents in one transaction.
const BATCH: usize = 100;

/// The loop of Agent objects.
#[derive(Debug)]
pub(super) struct Agents {
    parts: Parts,
    view: View<Machines>,
    /// Machines that look otherwise than their Agents say.
    doubts: BTreeMap<AgentId, Doubt>,
    /// The leases that `offers` are.
    leases: OrdMap<OfferId, Lease>,
    /// The leased offers of each agent.
    offers: BTreeMap<AgentId, BTreeSet<OfferId>>,
    /// Agents whose offers came since their objects were level with them.
    due: BTreeSet<AgentId>,
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
    pub(super) sharing: Sharing,
}

/// A machine as a pass sees it.
struct Seen {
    offers: Vec<Arc<wire::Offer>>,
    sighting: Sighting,
}

impl Agents {
    pub(super) fn new(parts: Parts) -> Agents {
        let view = View::open(&parts.cache);
        Agents {
            view,
            parts,
            doubts: BTreeMap::new(),
            leases: OrdMap::new(),
            offers: BTreeMap::new(),
            due: BTreeSet::new(),
        }
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
        let offering = self.doubts.iter().filter(|(agent, _)| self.offers.contains_key(agent));
        let believe = offering.map(|(_, doubt)| until(self.parts.env.now(), doubt.ends)).min();
        Ok([forget, believe].into_iter().flatten().min())
    }

    /// Brings the objects level with what is offered and was heard. Words of machines that have no object yet are returned:
    /// their first offer makes one.
    async fn write_down(
        &mut self,
        heard: &BTreeMap<AgentId, Sighting>,
    ) -> Result<BTreeMap<AgentId, Sighting>, Setback> {
        let leases = self.parts.session.leases().snapshot();
        self.take_in(&leases);
        let mut machines = self.due.clone();
        machines.extend(heard.keys().cloned());
        machines.extend(self.doubts.keys().filter(|it| self.offers.contains_key(it)).cloned());
        let mut unknown = BTreeMap::new();
        let mut batch = Vec::new();
        for agent in machines {
            let ids = self.offers.get(&agent).into_iter().flatten();
            let offers: Vec<Arc<wire::Offer>> =
                ids.filter_map(|id| Some(leases.get(id)?.offer.clone())).collect();
            let mut sighting = heard.get(&agent).cloned().unwrap_or_default();
            sighting.offers = !offers.is_empty();
            match self.of_machine(&agent, &Seen { offers, sighting: sighting.clone() }).await? {
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
        self.due.clear();
        Ok(unknown)
    }

    /// Takes in which offers came and went. The agents of those that came are due: only they have something to tell.
    fn take_in(&mut self, leases: &OrdMap<OfferId, Lease>) {
        let before = std::mem::replace(&mut self.leases, leases.clone());
        let (gone, come) = leases::changes(&before, leases);
        for Lease { offer, .. } in gone {
            if let Some(offers) = self.offers.get_mut(&offer.agent_id) {
                offers.remove(&offer.id);
                if offers.is_empty() {
                    self.offers.remove(&offer.agent_id);
                    let sharing = self.parts.sharing;
                    if self.doubts.get(&offer.agent_id).is_some_and(|it| !it.outlives_its_offers(sharing)) {
                        self.doubts.remove(&offer.agent_id);
                    }
                }
            }
        }
        for Lease { offer, .. } in come {
            self.offers.entry(offer.agent_id.clone()).or_default().insert(offer.id.clone());
            self.due.insert(offer.agent_id.clone());
        }
    }

    /// What changes of one machine's object; nothing when it has none and offers nothing.
    async fn of_machine(&mut self, agent: &AgentId, seen: &Seen) -> Result<Option<Vec<Write>>, Setback> {
        let name = ObjectName::new("", &object_name(&agent.value));
        let present = Stored::<Agent>::find(&self.view.scene().snapshot, &name)?;
        if present.is_none() && seen.offers.is_empty() {
            return Ok(None);
        }
        let before = present.as_ref().and_then(|it| it.object.status.clone()).unwrap_or_default();
        let mut status = self.status(seen, &before);
        if !seen.offers.is_empty() {
            let look = self.look(agent, &seen.offers);
            status.totals = match &present {
                Some(_) => self.size(agent, &look, &before.totals).await?,
                None => look.at_least(),
            };
        }
        let Some(present) = present else {
            self.doubts.remove(agent);
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

    /// How large the machine is, by what is seen and what was thought before.
    async fn size(&mut self, agent: &AgentId, look: &Look, before: &Totals) -> Result<Totals, Setback> {
        let now = self.parts.env.now();
        let doubted = self.doubts.remove(agent);
        let doubt = match size::judge(look, before, doubted, self.parts.sharing, now) {
            Opinion::AsBefore => return Ok(before.clone()),
            Opinion::Smaller(totals) => return Ok(totals),
            Opinion::Larger(totals) if self.is_as_stored(agent).await? => return Ok(totals),
            Opinion::Larger(totals) => Doubt::new(Side::Larger, totals, self.parts.sharing, now),
            Opinion::Doubtful(doubt) => doubt,
        };
        self.doubts.insert(agent.clone(), doubt);
        Ok(before.clone())
    }

    /// Whether what the view shows of the machine's Tasks is what the store itself holds.
    async fn is_as_stored(&self, agent: &AgentId) -> Result<bool, Setback> {
        let scene = self.view.scene();
        let keys: Vec<Key> = scene.index.taken(&agent.value).map(|(task, _)| key::<Task>(task)).collect();
        let registry = self.parts.writer.registry();
        let stored = join_all(keys.iter().map(|key| registry.stored(key))).await;
        for (key, stored) in keys.iter().zip(stored) {
            let stored = stored.map_err(Setback::Store)?.map(|doc| doc.revision());
            if stored != scene.snapshot.get(key).map(|doc| doc.revision()) {
                tracing::debug!(%agent, %key, "the view is behind: the machine is not called larger");
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn look(&self, agent: &AgentId, offers: &[Arc<wire::Offer>]) -> Look {
        let all = || offers.iter().flat_map(|it| &it.resources);
        let Resources { cpus, memory, disk, gpus } = placement::to_api(&placement::scalars(all()));
        let ranges = placement::ports(all());
        let ports = ranges.ranges().iter().map(|it| format!("{}-{}", it.begin, it.end)).collect();
        let taken = |is_reported: bool| {
            let all = self.view.scene().index.taken(&agent.value).map(|(_, taken)| taken);
            size::sum(all.filter(|it| it.is_reported == is_reported).map(|it| &it.resources))
        };
        let offered = Totals { cpus, memory, disk, gpus, ports };
        Look { offered, used: taken(true), bound: taken(false) }
    }

    fn status(&self, seen: &Seen, before: &AgentStatus) -> AgentStatus {
        let conditions = agent::conditions(&before.conditions, &seen.sighting, self.parts.env.now());
        let Some(offer) = seen.offers.first() else {
            let told = seen.sighting.maintenance.clone();
            let maintenance = told.unwrap_or_else(|| before.maintenance.clone());
            return AgentStatus { conditions, maintenance, ..before.clone() };
        };
        AgentStatus {
            agent_id: offer.agent_id.value.clone(),
            hostname: offer.hostname.clone(),
            address: offer.agent_address().or_else(|| before.address.clone()),
            attributes: placement::attributes(&offer.attributes)
                .into_iter()
                .map(|(name, value)| (name, value.to_string()))
                .collect(),
            totals: before.totals.clone(),
            maintenance: offer.unavailability.as_ref().and_then(questions::maintenance),
            conditions,
            orphans: before.orphans.clone(),
        }
    }

    /// Removes the objects of machines that are gone for good and that no Task refers to; says when the next one is due.
    async fn forget(&mut self) -> Result<Option<Duration>, Setback> {
        let (scene, now) = (self.view.scene(), self.parts.env.now());
        let mut next: Option<Duration> = None;
        let (mut due, mut gone) = (Vec::new(), Vec::new());
        for name in &scene.index.lost {
            let Some(agent) = Stored::<Agent>::find(&scene.snapshot, name)? else { continue };
            let status = agent.object.status.clone().unwrap_or_default();
            match agent::forget(&status.conditions, now) {
                Some(Again::At(at)) => {
                    let wait = until(now, at);
                    next = Some(next.map_or(wait, |other| other.min(wait)));
                }
                Some(Again::OnChange) if scene.index.taken(&status.agent_id).next().is_none() => {
                    due.push(agent.remove());
                    gone.push(AgentId::new(status.agent_id));
                }
                // Its last Task ends soon: whatever is heard next brings this up again.
                Some(Again::OnChange) | None => {}
            }
        }
        for batch in due.chunks(BATCH) {
            self.parts.writer.commit(batch.to_vec()).await?;
        }
        for agent in gone {
            self.doubts.remove(&agent);
        }
        Ok(next)
    }
}

/// The name of an agent's object: its id in the letters that names may have.
pub(super) fn object_name(agent_id: &str) -> String {
    let allowed = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c.to_ascii_lowercase() } else { '-' }
    };
    agent_id.chars().map(allowed).collect::<String>().trim_matches(['-', '.']).to_owned()
}
