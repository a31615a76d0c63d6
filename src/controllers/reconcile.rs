//! Asks the cluster what became of the Tasks, after every subscription and then now and then; and ends what runs without
//! being owned.
//!
//! Explicit reconciliation (with agent ids) finds Tasks that the cluster lost; implicit reconciliation finds tasks that the
//! store does not know. Answers come as ordinary updates to the status writer, which hands strangers on to `orphans`. Agents of
//! which no offer is held are asked about as well: nothing else tells that an idle machine is gone.
//!
//! A hint that some agents are gone, and the wait for lost ones to return, ask about these agents and what runs on them only:
//! in a large cluster some machine is always gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::objects::{Stored, resource};
use super::session::Signals;
use super::sightings::{Sightings, probe};
use crate::api::{Agent, Task};
use crate::env::{Env, watch};
use crate::mesos::session::Session;
use crate::mesos::wire::{AgentId, TaskId};
use crate::plan::agent::is_lost;
use crate::registry::{Cache, Snapshot};
use crate::runtime::{Backoff, Setback};

/// Waits between the rounds after a subscription; agents that the master waits for are asked about again. The last one
/// repeats for ever.
const ROUNDS: [Duration; 4] =
    [Duration::from_secs(15), Duration::from_secs(60), Duration::from_secs(300), Duration::from_secs(600)];
/// How often agents with which contact is lost are asked about.
const LOST: Duration = Duration::from_secs(60);
/// The least time between two rounds that hints cause.
const HINTS: Duration = Duration::from_secs(5);
/// A Task bound on this subscription and more recently than this may not have reached the master yet: asked about, it
/// would be called unknown. Placement sends no ACCEPT for a binding that is nearly as old.
pub(super) const IN_FLIGHT: Duration = Duration::from_secs(30);

/// Asks about Tasks.
#[derive(Debug)]
pub(super) struct Reconcile {
    pub(super) env: Env,
    pub(super) cache: Arc<Cache>,
    pub(super) session: Session,
    pub(super) signals: watch::Receiver<Signals>,
    pub(super) sightings: Sightings,
}

/// What a round asks about.
#[derive(Debug)]
enum Scope {
    /// All Tasks and agents, and what else there is.
    Everything,
    /// These agents and their Tasks.
    Of(BTreeSet<AgentId>),
}

impl Scope {
    fn is_empty(&self) -> bool {
        matches!(self, Scope::Of(agents) if agents.is_empty())
    }
}

impl Reconcile {
    /// Runs for ever.
    pub(super) async fn run(mut self) {
        let (mut heard, mut round, mut failures) = (Signals::default(), 0, 0);
        let mut scope = Scope::Everything;
        let mut next = Instant::now();
        loop {
            let signals = self.signals.borrow_and_update().clone();
            if signals.generation != heard.generation {
                (scope, round) = (Scope::Everything, 0);
            }
            heard = signals;
            if heard.subscribed
                && !scope.is_empty()
                && !planted!("never-reconciles")
                && let Err(setback) = self.ask(&scope, heard.since).await
            {
                // What made this round due has been taken note of: the round is not over before it was asked.
                setback.log("reconcile", &"a round");
                failures += 1;
                self.env.sleep(Backoff::RETRY.after(failures, &self.env)).await;
                continue;
            }
            failures = 0;
            if matches!(scope, Scope::Everything) {
                next = Instant::now() + self.env.jitter(ROUNDS[round.min(ROUNDS.len() - 1)], 0.1);
                round += 1;
            }
            self.rest(next, &heard).await;
            scope = self.due(next);
        }
    }

    /// What the round that is due now asks about.
    fn due(&self, next: Instant) -> Scope {
        let mut suspects = self.sightings.take_suspects();
        if Instant::now() >= next {
            return Scope::Everything;
        }
        suspects.append(&mut lost(&self.cache.snapshot()));
        Scope::Of(suspects)
    }

    /// Waits until a round is due: at `next`, or before: a new subscription makes one due at once, hints soon. A machine may be
    /// found to be lost at any time, and one that came back may have nothing to offer that would show it: so look now and then.
    async fn rest(&mut self, next: Instant, heard: &Signals) {
        let patience = next.min(Instant::now() + LOST);
        let over = tokio::time::sleep_until(patience);
        let urgent = self.signals.wait_for(|now| {
            now.generation != heard.generation
                || now.subscribed != heard.subscribed
                || now.failures != heard.failures
        });
        let hinted = async {
            let now = urgent.await.map(|now| now.clone()).ok();
            if now.is_some_and(|now| now.failures != heard.failures) {
                tokio::time::sleep(HINTS).await;
            }
        };
        tokio::select! {
            biased;
            () = hinted => {}
            () = over => {}
        }
    }

    /// One round. What cannot be sent now is asked after the next subscription.
    ///
    /// # Errors
    /// When nobody knows what to ask about; nothing was asked.
    async fn ask(&self, scope: &Scope, subscribed_at: Timestamp) -> Result<(), Setback> {
        let snapshot = self.cache.most_recent().await.map_err(Setback::Store)?;
        let old = self.env.now().saturating_sub(IN_FLIGHT).unwrap_or(subscribed_at);
        let tasks = launched_before(&snapshot, scope, old.max(subscribed_at));
        let probes = match scope {
            Scope::Everything => self.probes(&snapshot),
            Scope::Of(agents) => agents.iter().map(probe).collect(),
        };
        tracing::debug!(tasks = tasks.len(), agents = probes.len(), "reconciling");
        let asked = async {
            let own = [tasks, probes];
            for asked in own.iter().filter(|it| !it.is_empty() && !planted!("own-tasks-are-not-asked-about"))
            {
                self.session.reconcile(asked).await?;
            }
            if matches!(scope, Scope::Of(_)) || planted!("unknown-tasks-are-not-asked-about") {
                return Ok(());
            }
            self.session.reconcile(&[]).await
        };
        if let Err(error) = asked.await {
            tracing::debug!(%error, "not reconciled: the next subscription will ask");
        }
        Ok(())
    }

    /// Questions about every known agent that offers nothing now.
    fn probes(&self, snapshot: &Snapshot) -> Vec<(TaskId, Option<AgentId>)> {
        let leases = self.session.leases().snapshot();
        let offering: BTreeSet<&AgentId> = leases.values().map(|lease| &lease.offer.agent_id).collect();
        let agents = snapshot.list(&resource::<Agent>(), None).filter_map(|doc| doc.typed::<Agent>().ok());
        let ids = agents.filter_map(|it| Some(AgentId::new(it.status.as_ref()?.agent_id.clone())));
        ids.filter(|id| !id.value.is_empty() && !offering.contains(id)).map(|id| probe(&id)).collect()
    }
}

/// The agents with which contact is lost.
fn lost(snapshot: &Snapshot) -> BTreeSet<AgentId> {
    let agents = snapshot.list(&resource::<Agent>(), None).filter_map(|doc| doc.typed::<Agent>().ok());
    let lost = |agent: &Agent| {
        let status = agent.status.as_ref().filter(|it| is_lost(&it.conditions) && !it.agent_id.is_empty())?;
        Some(AgentId::new(&status.agent_id))
    };
    agents.filter_map(|agent| lost(&agent)).collect()
}

/// Every Task in `scope` that was launched before `before` and has not ended, with its agent.
fn launched_before(snapshot: &Snapshot, scope: &Scope, before: Timestamp) -> Vec<(TaskId, Option<AgentId>)> {
    let tasks = snapshot.list(&resource::<Task>(), None).filter_map(|doc| Stored::<Task>::read(doc).ok());
    let live = tasks.filter(|task| !task.object.is_terminal());
    live.filter_map(|task| {
        let binding = task.object.spec.binding.as_ref().filter(|it| it.bound_at.0 < before)?;
        let agent = AgentId::new(&binding.agent_id);
        let is_meant = match scope {
            Scope::Everything => true,
            Scope::Of(agents) => agents.contains(&agent),
        };
        is_meant.then(|| (TaskId::new(&binding.mesos_task_id), Some(agent)))
    })
    .collect()
}
