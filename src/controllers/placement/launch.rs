//! Carries bindings out: commits them in batches, then accepts the offers, one ACCEPT per agent and role.
//!
//! # Guarantees
//! - No ACCEPT names a Task whose binding is not committed in this term.
//! - A Task whose ACCEPT was certainly never sent waits again; one whose ACCEPT may have been sent stays bound, and
//!   reconciliation finds out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::json;

use super::convert;
use super::market;
use crate::api::{self, MicroTime, ObjectMeta, Revision, Task, TaskSpec, names};
use crate::controllers::objects::Stored;
use crate::controllers::reconcile::IN_FLIGHT;
use crate::controllers::runner::Runner;
use crate::controllers::task_info::{self, task_info};
use crate::env::Env;
use crate::mesos::session::Session;
use crate::mesos::wire;
use crate::plan::ObjectName;
use crate::plan::placement::{Binding, OfferId};
use crate::registry::{Doc, Key, Snapshot, Write};
use crate::runtime::{Setback, Writer};

/// The most bindings in one transaction.
const BATCH: usize = 100;
/// What an ACCEPT leaves of its offers comes back at once: a Task that is on its way up may soon want its neighbour placed (the
/// next step of an update, a retry), and a filter could only be lifted by a REVIVE, which is rationed. Whether it is kept
/// is decided by its lease.
const KEEP_REST: Duration = Duration::ZERO;
/// About how many bindings are committed before their offers are accepted.
const AT_ONCE: usize = 400;

/// Carries bindings out.
#[derive(Debug)]
pub(super) struct Launcher {
    pub(super) env: Env,
    pub(super) writer: Writer,
    pub(super) session: Session,
    pub(super) installation: Arc<str>,
    pub(super) runner: Runner,
}

/// Everything for one ACCEPT.
struct Group {
    offers: Vec<wire::OfferId>,
    launches: Vec<Launch>,
}

/// One Task, ready to be bound and launched.
struct Launch {
    task: Stored<Task>,
    binding: api::Binding,
    info: wire::TaskInfo,
    /// The Task as the binding's commit left it.
    bound: Option<Arc<Doc>>,
}

impl Launcher {
    /// Commits and launches; `written` gets each Task as its last write left it, even if others fail. What cannot be launched is left
    /// out: the Task still waits, and offers that do not hold what they seemed to are given back.
    pub(super) async fn launch(
        &self,
        bindings: Vec<Binding>,
        snapshot: &Snapshot,
        now: Timestamp,
        written: &mut Vec<Arc<Doc>>,
    ) -> Result<(), Setback> {
        let (mut groups, of_no_use) = self.prepare(bindings, snapshot, now);
        if !of_no_use.is_empty()
            && let Err(error) = self.session.decline(of_no_use, Duration::ZERO).await
        {
            tracing::debug!(%error, "offers of no use not declined: they end with their leases");
        }
        while !groups.is_empty() {
            let mut batch = next_batch(&mut groups);
            let bound = self.bind(&mut batch).await;
            written.extend(batch.iter().flat_map(|it| &it.launches).filter_map(|it| it.bound.clone()));
            bound?;
            self.env.seam("bound");
            // All are sent before the first is answered.
            let accepted = join_all(batch.into_iter().map(|group| self.accept(group))).await;
            for unbound in accepted {
                written.extend(unbound?);
            }
        }
        Ok(())
    }

    /// One group per agent and role, whose bindings name the same offers, in the order of the bindings; and offers of others with which
    /// nothing can be launched.
    fn prepare(
        &self,
        bindings: Vec<Binding>,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> (Vec<Group>, Vec<wire::OfferId>) {
        let leases = self.session.leases().snapshot();
        let mut pools: BTreeMap<Option<OfferId>, Vec<wire::Resource>> = BTreeMap::new();
        let mut groups: Vec<Group> = Vec::new();
        let mut of_offers: BTreeMap<Option<OfferId>, usize> = BTreeMap::new();
        let mut of_no_use: BTreeMap<Option<OfferId>, Vec<wire::OfferId>> = BTreeMap::new();
        for binding in bindings {
            let offers: Vec<_> = binding.offers.iter().map(|it| wire::OfferId::new(&*it.0)).collect();
            let first = binding.offers.first().cloned();
            let pool = pools.entry(first.clone()).or_insert_with(|| {
                let leased = offers.iter().filter_map(|id| leases.get(id));
                leased.flat_map(|lease| lease.offer.resources.clone()).collect()
            });
            let launch = match self.prepare_one(&binding, pool, snapshot, now) {
                Ok(launch) => launch,
                Err(None) => continue,
                Err(Some(reason)) => {
                    // An offer that went meanwhile is no reason: the next pass does without it.
                    if offers.iter().all(|offer| leases.contains_key(offer)) {
                        tracing::warn!(task = %binding.task, reason, "task cannot be launched: its offers are asked for anew");
                        of_no_use.insert(first, offers);
                    }
                    continue;
                }
            };
            match of_offers.get(&first) {
                Some(group) => groups[*group].launches.push(launch),
                None => {
                    of_offers.insert(first, groups.len());
                    groups.push(Group { offers, launches: vec![launch] });
                }
            }
        }
        // An ACCEPT spends its offers, and what it leaves comes back at once.
        of_no_use.retain(|first, _| !of_offers.contains_key(first));
        (groups, of_no_use.into_values().flatten().collect())
    }

    /// A Task made ready; why that cannot be, or nothing if it is not there any more.
    fn prepare_one(
        &self,
        binding: &Binding,
        pool: &mut Vec<wire::Resource>,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Launch, Option<String>> {
        let task = market::task(&binding.task, snapshot).ok_or(None)?;
        let revision = Stored::<Revision>::find(snapshot, &binding.class).ok().flatten().ok_or(None)?;
        let resources = convert::cut(pool, &binding.resources, &binding.ports)
            .ok_or_else(|| format!("the offers of {} do not hold what they seemed to", binding.hostname))?;
        let binding = bound(binding, &task, now);
        let with_binding = with_binding(&task, binding.clone());
        let secrets = market::secrets(&revision.object.spec.template, &task.doc.key().namespace, snapshot);
        let info = task_info(task_info::Launch {
            installation: &self.installation,
            runner: &self.runner,
            task: &with_binding,
            revision: &revision.object,
            secrets: &secrets,
            resources: &resources,
        });
        match info {
            Ok(info) => {
                let binding = api::Binding { executor_id: shared_executor(&info), ..binding };
                Ok(Launch { task, binding, info, bound: None })
            }
            Err(error) => Err(Some(format!("it cannot be described to an agent: {error}"))),
        }
    }

    /// Commits the bindings of `groups`; Tasks that changed meanwhile are left out of them.
    async fn bind(&self, groups: &mut [Group]) -> Result<(), Setback> {
        let mut launches: Vec<&mut Launch> = groups.iter_mut().flat_map(|it| &mut it.launches).collect();
        // The store commits together what waits together.
        let bound = join_all(launches.chunks_mut(BATCH).map(|chunk| self.bind_chunk(chunk))).await;
        bound.into_iter().collect::<Result<(), Setback>>()?;
        for group in groups {
            group
                .launches
                .retain(|launch| launch.bound.is_some() || planted!("launched-without-its-binding"));
        }
        Ok(())
    }

    async fn bind_chunk(&self, chunk: &mut [&mut Launch]) -> Result<(), Setback> {
        let mut lost: BTreeSet<Key> = BTreeSet::new();
        loop {
            let mut left: Vec<_> = chunk.iter_mut().filter(|it| !lost.contains(it.task.doc.key())).collect();
            let writes: Vec<Write> =
                left.iter().map(|it| it.task.merge(json!({"spec": {"binding": it.binding}}))).collect();
            if writes.is_empty() {
                return Ok(());
            }
            match self.writer.commit(writes).await {
                Ok(committed) => {
                    for (launch, doc) in left.iter_mut().zip(committed.docs) {
                        launch.bound = doc;
                    }
                    return Ok(());
                }
                Err(Setback::Stale { losers }) if !losers.is_empty() => lost.extend(losers),
                Err(setback) => return Err(setback),
            }
        }
    }

    /// Sends the ACCEPT of one agent and role; returns the Tasks that were certainly not launched, and wait again.
    async fn accept(&self, mut group: Group) -> Result<Vec<Arc<Doc>>, Setback> {
        if group.launches.is_empty() {
            return Ok(Vec::new());
        }
        if !self.writer.term().is_held() {
            return Err(Setback::Deposed);
        }
        if group.launches.iter().any(|launch| self.is_late(launch)) {
            tracing::warn!("bindings took too long to commit: their tasks wait again");
            return self.unbind(group.launches).await;
        }
        let tasks = group.launches.iter_mut().map(|launch| {
            let revision = &launch.task.object.spec.revision;
            let revision = ObjectName::new(&launch.task.doc.key().namespace, revision);
            (revision, std::mem::take(&mut launch.info))
        });
        let operations = operations(tasks);
        match self.session.accept(group.offers, operations, KEEP_REST).await {
            Ok(()) => Ok(Vec::new()),
            Err(error) if error.never_done() || planted!("launched-again-when-nobody-knows") => {
                tracing::debug!(%error, "offers were not accepted: their tasks wait again");
                self.unbind(group.launches).await
            }
            Err(error) => {
                tracing::warn!(%error, "nobody knows whether offers were accepted: reconciliation will tell");
                Ok(Vec::new())
            }
        }
    }

    /// Whether so much time has passed since the binding was made that reconciliation may have asked about it.
    fn is_late(&self, launch: &Launch) -> bool {
        let age = self.env.now().duration_since(launch.binding.bound_at.0);
        Duration::try_from(age).is_ok_and(|age| age > IN_FLIGHT / 2)
    }

    /// These Tasks were certainly not launched. One that changed meanwhile stays bound until it is reconciled.
    async fn unbind(&self, launches: Vec<Launch>) -> Result<Vec<Arc<Doc>>, Setback> {
        let mut docs: Vec<Arc<Doc>> = launches.into_iter().filter_map(|it| it.bound).collect();
        let mut written = Vec::new();
        while !docs.is_empty() {
            let batch: Vec<_> = docs.drain(..docs.len().min(BATCH)).collect();
            let writes = batch
                .iter()
                .map(|base| Write::Merge { base: base.clone(), patch: json!({"spec": {"binding": null}}) });
            match self.writer.commit(writes.collect()).await {
                Ok(committed) => written.extend(committed.docs.into_iter().flatten()),
                Err(Setback::Stale { losers }) if !losers.is_empty() => {
                    docs.extend(batch.into_iter().filter(|doc| !losers.contains(doc.key())));
                }
                Err(setback) => return Err(setback),
            }
        }
        Ok(written)
    }
}

/// Tasks of different Revisions go into operations of their own: one malformed resource fails all Tasks of its operation.
fn operations(tasks: impl Iterator<Item = (ObjectName, wire::TaskInfo)>) -> Vec<wire::Operation> {
    let mut by_revision: BTreeMap<ObjectName, Vec<wire::TaskInfo>> = BTreeMap::new();
    for (revision, task) in tasks {
        by_revision.entry(revision).or_default().push(task);
    }
    by_revision.into_values().map(wire::Operation::launch).collect()
}

/// Groups of about [`AT_ONCE`] Tasks, at least one.
fn next_batch(groups: &mut Vec<Group>) -> Vec<Group> {
    let mut tasks = 0;
    let fits = |group: &Group| {
        let first = tasks == 0;
        tasks += group.launches.len();
        first || tasks <= AT_ONCE
    };
    let end = groups.iter().map(fits).position(|fits| !fits).unwrap_or(groups.len());
    groups.drain(..end).collect()
}

/// The Task as it will be, without what says nothing to the machine that runs it.
fn with_binding(task: &Stored<Task>, binding: api::Binding) -> Task {
    let ObjectMeta { name, namespace, labels, .. } = task.object.metadata.clone();
    let metadata = ObjectMeta { name, namespace, labels, ..ObjectMeta::default() };
    let spec = TaskSpec { binding: Some(binding), ..task.object.spec.clone() };
    Task { metadata, spec, status: None }
}

/// The executor that the task has in common with others.
fn shared_executor(info: &wire::TaskInfo) -> Option<String> {
    let id = &info.executor.as_ref()?.executor_id.value;
    (*id != info.task_id.value).then(|| id.clone())
}

fn bound(binding: &Binding, task: &Stored<Task>, now: Timestamp) -> api::Binding {
    let key = task.doc.key();
    api::Binding {
        agent_id: binding.agent.0.to_string(),
        host: binding.hostname.to_string(),
        offer_id: binding.offers.first().map(|it| it.0.to_string()).unwrap_or_default(),
        resources: convert::to_api(&binding.resources.altogether()),
        revocable: binding.resources.lent(),
        ports: binding.ports.clone(),
        bound_at: MicroTime(now),
        mesos_task_id: names::mesos_task_id(&key.namespace, &key.name, &task.doc.meta().uid),
        executor_id: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_of_two_revisions_of_an_app_are_launched_by_two_operations() {
        let task = |revision: &str, id: &str| {
            let info = wire::TaskInfo { task_id: wire::TaskId::new(id), ..wire::TaskInfo::default() };
            (ObjectName::new("shop", revision), info)
        };
        let tasks = [task("web-2", "c"), task("web-1", "a"), task("web-1", "b")];
        let launched: Vec<Vec<String>> = operations(tasks.into_iter())
            .into_iter()
            .map(|it| it.launch.unwrap().task_infos.into_iter().map(|task| task.task_id.value).collect())
            .collect();
        assert_eq!(launched, [vec!["a", "b"], vec!["c"]]);
    }
}
