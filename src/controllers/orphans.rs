//! Ends what runs in the name of this installation without being owned by a stored Task.
//!
//! observe (updates about tasks that the store does not know, handed on by the status writer; confirmations on Agents) →
//! `plan::orphans`, against a read of the store made after they were reported → act (KILL, or ask: condition `Orphans` and
//! `status.orphans` of the Agent) → report (an Event). The view may have missed an event, so the store itself is asked about
//! each task before it is ended. Nor is one ended that Endpoints still name.
//!
//! A person answers by the annotation `tenure.dev/confirm-orphans` with the digest of what is asked about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::agents::object_name;
use super::events::{self, Recorder};
use super::objects::{Stored, create, is, key, resource};
use super::session::Signals;
use super::status::{find, is_alive, is_bound_as, name_of};
use super::teardown::named_by;
use crate::api::agent::ORPHANS;
use crate::api::{Agent, AgentStatus, Condition, Endpoints, Orphans as Question, Task, labels};
use crate::env::{Env, watch};
use crate::mesos::session::Session;
use crate::mesos::wire::{AgentId, TaskId, TaskStatus};
use crate::plan::ObjectName;
use crate::plan::agent::{Fact, find as condition};
use crate::plan::orphans::{self, Reported, Standing, Verdict};
use crate::registry::{Snapshot, Write};
use crate::runtime::{News, Setback, View, Writer};

/// How long reports are gathered before they are judged together: many at once are another matter than one.
const GATHER: Duration = Duration::from_secs(2);
/// The most reports that are judged together.
const BATCH: usize = 10_000;
/// How soon a judgement that could not be written down is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// After a subscription all agents have reported by then, or are lost: orphans that were not reported are gone.
const ALL_HEARD: Duration = Duration::from_secs(15 * 60);

/// The loop of orphans.
#[derive(Debug)]
pub(super) struct Orphans {
    parts: Parts,
    view: View<()>,
    /// Reported, not owned when it was looked at last, and not heard to have ended.
    pending: BTreeMap<TaskId, TaskStatus>,
    /// Agents whose orphans were reported in this term: with none left, none are left.
    reported_of: BTreeSet<String>,
    all_heard_at: Option<Instant>,
    generation: u64,
}

/// What a judgement came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// All that is to be done is done.
    Settled,
    /// Endpoints still name some that shall end: a Task that was given up, and came back before its address was taken out.
    Published,
}

/// What the loop works with.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) env: Env,
    pub(super) writer: Writer,
    pub(super) recorder: Recorder,
    pub(super) session: Session,
    pub(super) signals: watch::Receiver<Signals>,
    /// The installation's uid.
    pub(super) installation: Arc<str>,
    pub(super) strangers: mpsc::Receiver<TaskStatus>,
}

impl Orphans {
    pub(super) fn new(parts: Parts) -> Orphans {
        Orphans {
            view: View::open(parts.writer.registry().cache()),
            parts,
            pending: BTreeMap::new(),
            reported_of: BTreeSet::new(),
            all_heard_at: None,
            generation: 0,
        }
    }

    /// Runs for ever.
    pub(super) async fn run(mut self) {
        let mut again = None;
        loop {
            self.wait(again).await;
            self.note_subscription();
            again = match self.judge().await {
                Ok(Outcome::Settled) => None,
                Ok(Outcome::Published) => Some(Instant::now() + AGAIN),
                Err(setback) => {
                    setback.log("orphans", &self.pending.len());
                    Some(Instant::now() + AGAIN)
                }
            };
        }
    }

    /// Waits until there is something to judge, or until `again`.
    async fn wait(&mut self, again: Option<Instant>) {
        loop {
            let due = again.into_iter().chain(self.all_heard_at).min();
            let over = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let first = tokio::select! {
                biased;
                Some(first) = self.parts.strangers.recv() => first,
                news = self.view.changed() => if concerns_agents(&news) { return } else { continue },
                // The sender goes only when the whole term does.
                _over = self.parts.signals.changed() => { self.note_subscription(); continue },
                () = over => return,
            };
            return self.gather(first).await;
        }
    }

    async fn gather(&mut self, first: TaskStatus) {
        self.take(first);
        let until = Instant::now() + GATHER;
        while let Ok(Some(next)) = tokio::time::timeout_at(until, self.parts.strangers.recv()).await {
            self.take(next);
            if self.pending.len() >= BATCH {
                break;
            }
        }
    }

    fn take(&mut self, report: TaskStatus) {
        if let Some(agent) = &report.agent_id {
            self.reported_of.insert(agent.value.clone());
        }
        // What the cluster does not know or cannot reach is not ended by telling it to; it is reported again when it is back.
        if !is_alive(&report) {
            self.pending.remove(&report.task_id);
        } else {
            self.pending.insert(report.task_id.clone(), report);
        }
    }

    fn note_subscription(&mut self) {
        let signals = self.parts.signals.borrow_and_update().clone();
        if signals.generation != self.generation {
            self.generation = signals.generation;
            self.all_heard_at = Some(Instant::now() + ALL_HEARD);
        }
    }

    /// Judges what was reported. What cannot be read or written now is judged again.
    async fn judge(&mut self) -> Result<Outcome, Setback> {
        let snapshot = self.parts.writer.registry().cache().most_recent().await.map_err(Setback::Store)?;
        let is_owned =
            |id: &str| find(&TaskId::new(id), &snapshot).is_some_and(|task| !task.object.is_terminal());
        self.pending.retain(|id, _| !is_owned(&id.value));
        let all_heard = self.all_heard_at.is_some_and(|at| at <= Instant::now());
        if all_heard {
            self.all_heard_at = None;
        }
        let machines = machines(&snapshot)?;
        if self.pending.is_empty() && machines.values().all(|it| !asks(&it.object)) {
            return Ok(Outcome::Settled);
        }
        let reported: Vec<Reported> = self.pending.values().map(|status| self.reported(status)).collect();
        let orphans = orphans::among(&reported, &self.parts.installation, is_owned);
        let standing = machines.iter().map(|(agent, machine)| (agent.clone(), standing(machine))).collect();
        let mut verdict = orphans::judge(orphans, snapshot.count(&resource::<Task>()), &standing);
        let published = published(&snapshot);
        let in_use = |it: &Reported| name_of(&it.mesos_task_id).is_some_and(|it| published.contains(&it));
        let waits = verdict.kill.iter().any(in_use);
        verdict.kill.retain(|it| !in_use(it));
        if verdict.nowhere > 0 {
            tracing::error!(
                orphans = verdict.nowhere,
                "too many tasks run without being owned, on unknown agents"
            );
        }
        self.kill(&verdict.kill).await;
        let settled: Vec<&String> =
            machines.keys().filter(|it| all_heard || self.reported_of.contains(*it)).collect();
        let writes = self.questions(&verdict, &machines, &settled, &snapshot)?;
        self.parts.writer.commit(writes).await?;
        for killed in verdict.kill {
            self.pending.remove(&TaskId::new(killed.mesos_task_id));
        }
        Ok(if waits { Outcome::Published } else { Outcome::Settled })
    }

    /// A master reports the tasks of our own framework only, and its own reports carry no labels: without labels a task is
    /// ours, with labels they say whose it is.
    fn reported(&self, status: &TaskStatus) -> Reported {
        let installation = match status.labels.as_ref().filter(|labels| !labels.labels.is_empty()) {
            Some(given) => given.get(labels::INSTALLATION).map(ToOwned::to_owned),
            None => Some(self.parts.installation.to_string()),
        };
        Reported {
            mesos_task_id: status.task_id.value.clone(),
            agent_id: status.agent_id.as_ref().map(|id| id.value.clone()),
            installation,
        }
    }

    /// Whether the store has a Task that is bound under this id and has not ended. While it does not answer, that may be.
    async fn is_owned(&self, mesos_task_id: &str) -> bool {
        let Some(key) = name_of(mesos_task_id).map(|name| key::<Task>(&name)) else { return false };
        match self.parts.writer.registry().stored(&key).await {
            Ok(doc) => doc.is_some_and(|doc| match doc.typed::<Task>() {
                Ok(task) => !task.is_terminal() && is_bound_as(&task, mesos_task_id),
                Err(_unreadable) => true,
            }),
            Err(error) => {
                tracing::debug!(%error, task = mesos_task_id, "not known whether it is owned: it will be reported again");
                true
            }
        }
    }

    async fn kill(&self, orphans: &[Reported]) {
        for orphan in orphans {
            if !self.parts.writer.term().is_held() || planted!("orphans-run-on") {
                return;
            }
            if self.is_owned(&orphan.mesos_task_id).await {
                tracing::warn!(
                    task = orphan.mesos_task_id,
                    "the view has missed that a stored Task owns this"
                );
                continue;
            }
            tracing::warn!(task = orphan.mesos_task_id, "ending a task that no stored Task owns");
            let agent = orphan.agent_id.clone().map(AgentId::new);
            let asked = self.parts.session.kill(TaskId::new(&orphan.mesos_task_id), agent, None).await;
            if let Err(error) = asked {
                tracing::debug!(%error, "orphan not killed: it will be reported again");
            }
        }
    }

    /// What must be written so that the machines ask what the verdict asks, and the `settled` ones nothing else.
    fn questions(
        &self,
        verdict: &Verdict,
        machines: &BTreeMap<String, Stored<Agent>>,
        settled: &[&String],
        snapshot: &Snapshot,
    ) -> Result<Vec<Write>, Setback> {
        let mut writes = Vec::new();
        for (agent, question) in &verdict.ask {
            let message = message(agent, question, verdict.limit);
            match machines.get(agent) {
                Some(machine) => writes.extend(self.ask(machine, question, &message, snapshot)),
                None => writes.push(self.first(agent, question, &message)?),
            }
        }
        let answered = settled.iter().filter(|it| !verdict.ask.contains_key(**it));
        for machine in answered.filter_map(|it| machines.get(*it)).filter(|it| asks(&it.object)) {
            writes.push(self.withdraw(machine));
        }
        Ok(writes)
    }

    /// Lets a machine's object ask; nothing when it does already.
    fn ask(
        &self,
        machine: &Stored<Agent>,
        question: &Question,
        message: &str,
        snapshot: &Snapshot,
    ) -> Vec<Write> {
        let now = self.parts.env.now();
        let before = machine.object.status.clone().unwrap_or_default();
        if before.orphans.as_ref() == Some(question) {
            return Vec::new();
        }
        let fact = Fact::yes("TooManyOrphans", message).condition(ORPHANS, &before.conditions, now);
        let conditions = with(&before.conditions, fact);
        let mut writes =
            vec![machine.merge(json!({"status": {"orphans": question, "conditions": conditions}}))];
        let happening = events::Happening::warning("TooManyOrphans", message);
        writes.extend(self.parts.recorder.writes(snapshot, machine, vec![happening], now));
        writes
    }

    /// A machine may be so full of orphans that it has offered nothing, so that it has no object yet.
    fn first(&self, agent: &str, question: &Question, message: &str) -> Result<Write, Setback> {
        let fact = Fact::yes("TooManyOrphans", message).condition(ORPHANS, &[], self.parts.env.now());
        let status = AgentStatus {
            agent_id: agent.to_owned(),
            orphans: Some(question.clone()),
            conditions: vec![fact],
            ..AgentStatus::default()
        };
        create(&Agent { status: Some(status), ..Agent::new(&object_name(agent)) })
    }

    /// Takes a question back, and the answer with it: it holds once.
    fn withdraw(&self, machine: &Stored<Agent>) -> Write {
        let before = machine.object.status.clone().unwrap_or_default().conditions;
        let fact = Fact::no("NoOrphans", "").condition(ORPHANS, &before, self.parts.env.now());
        machine.merge(json!({
            "metadata": {"annotations": {labels::CONFIRM_ORPHANS: Value::Null}},
            "status": {"orphans": Value::Null, "conditions": with(&before, fact)},
        }))
    }
}

/// The Tasks that Endpoints name: requests may be on their way to them.
fn published(snapshot: &Snapshot) -> BTreeSet<ObjectName> {
    snapshot.list(&resource::<Endpoints>(), None).flat_map(|doc| named_by(doc)).collect()
}

/// All machines that have an object, by agent id.
fn machines(snapshot: &Snapshot) -> Result<BTreeMap<String, Stored<Agent>>, Setback> {
    let all = snapshot.list(&resource::<Agent>(), None).map(Stored::<Agent>::read);
    let keyed = all.map(|machine| {
        let machine = machine?;
        let agent = machine.object.status.as_ref().map(|it| it.agent_id.clone());
        Ok((agent.unwrap_or_default(), machine))
    });
    keyed.collect()
}

fn asks(agent: &Agent) -> bool {
    let conditions = agent.status.as_ref().map(|it| it.conditions.as_slice()).unwrap_or_default();
    condition(conditions, ORPHANS).is_some_and(|it| it.status == "True")
}

fn standing(machine: &Stored<Agent>) -> Standing {
    let annotations = machine.object.metadata.annotations.as_ref();
    let confirmed = annotations.and_then(|it| it.get(labels::CONFIRM_ORPHANS)).cloned();
    Standing { asks: asks(&machine.object), confirmed }
}

fn message(agent: &str, question: &Question, limit: usize) -> String {
    let Question { count, digest } = question;
    let name = object_name(agent);
    format!(
        "{count} tasks run here that no stored Task owns, more in all than the {limit} that are ended without asking: is this \
         the right store? `tenure confirm orphans {name}` ends exactly these ({digest})"
    )
}

/// The conditions with this one in the place of the older of its type.
fn with(before: &[Condition], new: Condition) -> Vec<Condition> {
    let others = before.iter().filter(|it| it.type_ != new.type_).cloned();
    others.chain([new.clone()]).collect()
}

fn concerns_agents(news: &News) -> bool {
    news.iter().any(|change| is::<Agent>(&change.key))
}
