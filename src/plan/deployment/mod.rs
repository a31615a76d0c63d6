//! What an App wants next.
//!
//! [`plan`] compares what the App asks for with the Revisions and Tasks that exist:
//!
//! 1. the Revision of the present template is found, made, or raised to the highest number (`revision`);
//! 2. each Task gets one standing (`instance`), and ends that nobody asked for feed the backoff (`backoff`);
//! 3. Tasks to create and to stop follow from slots and bounds (`rollout`);
//! 4. the status and its conditions say what is observed (`report`).
//!
//! There is no deployment lock and no memory of a rollout: the newest spec wins at every look, and planning again
//! after the actions were done gives nothing new.
//!
//! A slot is one place of `instances`. New tasks take the lowest free slots; which slots a scale-down frees follows
//! from `kill.selection`, so slots need not be contiguous.

mod backoff;
mod bounds;
mod instance;
mod kill_order;
mod launch_faults;
mod reason;
mod report;
mod revision;
mod rollout;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Again, maintenance, micro_time};
use crate::api::{App, AppStatus, Maintenance, Revision, Stop, Task, labels};
use crate::plan::deployment::backoff::Failures;
use crate::plan::deployment::instance::Instance;
use crate::plan::deployment::revision::Current;
use crate::plan::deployment::rollout::{Gate, Steps};

pub use bounds::Bounds;
pub use launch_faults::is_of_executor;
pub use reason::Reason;

/// Object changes in one plan, beside the App itself: a plan is one transaction, and the smallest limit of a store is
/// 127 operations. What is left over follows at the next look, which the commit itself causes.
pub const MAX_ACTIONS: usize = 100;

/// What a plan for one App may look at.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// The present.
    pub now: Timestamp,
    /// The App.
    pub app: &'a App,
    /// Its Revisions.
    pub revisions: &'a [Arc<Revision>],
    /// Its Tasks, ended ones too.
    pub tasks: &'a [Arc<Task>],
    /// The state of each App in `spec.dependsOn`; one that is not named here counts as missing.
    pub dependencies: &'a BTreeMap<String, Dependency>,
    /// Plans to take machines away that its Tasks are on, by the agent as Mesos names it.
    pub maintained: &'a BTreeMap<String, Maintenance>,
}

/// How an App that another one depends on is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependency {
    /// There is no such App.
    Missing,
    /// It exists and is not ready.
    NotReady,
    /// Its condition `Ready` is true and speaks of its present spec.
    Ready,
}

impl Dependency {
    /// Reads it off the App.
    #[must_use]
    pub fn of(app: Option<&App>) -> Self {
        let Some(app) = app else { return Self::Missing };
        let Some(status) = &app.status else { return Self::NotReady };
        let current = status.observed_generation == app.metadata.generation;
        let ready = status.conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True");
        if current && ready { Self::Ready } else { Self::NotReady }
    }
}

/// What to do for one App, as one transaction guarded by the App's version.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a plan that nobody carries out changes nothing"]
pub struct Plan {
    /// Object changes, at most [`MAX_ACTIONS`].
    pub actions: Vec<Action>,
    /// Tasks that the plan counts on being as they were seen: where one that serves is stopped, those that go on serving,
    /// `minimumHealthCapacity` of them, for one that has ceased to would leave too few; and those that were given up whose
    /// places are filled, for one that is back needs no other.
    pub relies_on: Vec<String>,
    /// The App's whole status; `launched` already counts the tasks that this plan creates. Conditions of other
    /// writers are kept as they are.
    pub status: AppStatus,
    /// Why not more is done.
    pub reasons: Vec<Reason>,
    /// When to look again.
    pub again: Again,
}

/// One change of one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Create this Revision.
    CreateRevision(Box<Revision>),
    /// Make an older Revision the current one: set `spec.number`.
    RenumberRevision {
        /// Name of the Revision.
        name: String,
        /// Its new number.
        number: u64,
    },
    /// Delete a Revision that history no longer keeps.
    RemoveRevision {
        /// Name of the Revision.
        name: String,
    },
    /// Create this Task.
    CreateTask(Box<Task>),
    /// Set `spec.stop`, and `metadata.deletionTimestamp` if it is not set; a finalizer holds the Task until it is gone.
    StopTask {
        /// Name of the Task.
        name: String,
        /// Why.
        stop: Stop,
    },
    /// Set `spec.stop` of a Task that ended by itself: its end has been counted. It stays as history until gc takes it.
    RecordEnd {
        /// Name of the Task.
        name: String,
        /// What kind of end it was.
        stop: Stop,
    },
    /// Add the finalizer that holds the App until its last Task is gone.
    HoldApp,
    /// Remove that finalizer.
    ReleaseApp,
}

/// What this App wants next.
pub fn plan(snapshot: &Snapshot<'_>) -> Plan {
    if snapshot.app.metadata.deletion_timestamp.is_some() {
        return plan_removal(snapshot);
    }
    let current = Current::of(snapshot);
    let instances = instance::classify(snapshot, &current.name);
    let failures = Failures::count(snapshot, &instances, &current.name);
    let gate = Gate::of(snapshot, &failures);
    let bounds = Bounds::of(&snapshot.app.spec);
    let steps = rollout::steps(snapshot.app, (&instances, &current.name), bounds, &gate);

    let mut actions = Vec::new();
    if !holds_app(snapshot.app) {
        actions.push(Action::HoldApp);
    }
    actions.extend(current.action.clone());
    actions.extend(current.outdated(snapshot).map(|name| Action::RemoveRevision { name }));
    actions.extend(stops_without_reason(snapshot, &instances));
    actions.extend(failures.records(snapshot.now));
    actions.extend(steps.stops(snapshot.now));
    let launched = launch(snapshot, &current, &steps, &mut actions);

    let again = instances
        .iter()
        .filter_map(|instance| instance.inactive_at)
        .map(Again::At)
        .chain(
            snapshot
                .maintained
                .values()
                .filter_map(|it| maintenance::turns_at(it, snapshot.now))
                .map(Again::At),
        )
        .fold(failures.again.sooner(gate.again), Again::sooner);
    let mut status = report::status(snapshot, &current, &instances, &failures, &steps);
    status.launched = launched;
    let reasons = [gate.reasons, steps.reasons].concat();
    Plan { actions, relies_on: steps.relies_on, status, reasons, again }
}

/// An App that was deleted: all its Tasks end, then it may go. Orphaned Tasks run on without it.
fn plan_removal(snapshot: &Snapshot<'_>) -> Plan {
    let current = Current::of(snapshot);
    let instances = instance::classify(snapshot, &current.name);
    let orphan = finalizers(snapshot.app).any(|it| it == "orphan");
    let mut actions = Vec::new();
    let mut reasons = Vec::new();
    if !orphan {
        let stop = Stop {
            reason: "AppDeleted".into(),
            message: "the app was deleted".into(),
            at: micro_time(snapshot.now),
        };
        actions.extend(stops_without_reason(snapshot, &instances));
        let kept = instances.iter().filter(|it| {
            it.standing.is_kept() && !(it.is_old() && planted!("deletion-leaves-old-revisions"))
                || it.standing.is_given_up()
        });
        actions.extend(kept.map(|it| Action::StopTask { name: it.name().into(), stop: stop.clone() }));
        actions.truncate(MAX_ACTIONS);
    }
    let left = instances.iter().filter(|it| !it.task.is_terminal()).count();
    if orphan || left == 0 {
        actions.extend(holds_app(snapshot.app).then_some(Action::ReleaseApp));
    } else {
        reasons.push(Reason::WaitsForTasksToEnd { tasks: left });
    }
    let status = report::removal(snapshot, &instances);
    Plan { actions, relies_on: Vec::new(), status, reasons, again: Again::OnChange }
}

/// Tasks that people deleted: every stop has a recorded reason.
fn stops_without_reason<'a>(
    snapshot: &Snapshot<'_>,
    instances: &'a [Instance<'a>],
) -> impl Iterator<Item = Action> + use<'a> {
    let at = micro_time(snapshot.now);
    instances
        .iter()
        .filter(|it| {
            it.standing.is_stopping() && (it.task.spec.stop.is_none() || planted!("stop-is-explained-anew"))
        })
        .map(move |it| {
            let stop =
                Stop { reason: "Deleted".into(), message: "the task was deleted".into(), at: at.clone() };
            Action::StopTask { name: it.name().into(), stop }
        })
}

/// Adds a `CreateTask` per start that fits in the plan; returns the App's counter after them.
fn launch(snapshot: &Snapshot<'_>, current: &Current, steps: &Steps, actions: &mut Vec<Action>) -> u64 {
    let mut launched = snapshot.app.status.as_ref().map_or(0, |status| status.launched);
    actions.truncate(MAX_ACTIONS);
    let room = MAX_ACTIONS - actions.len();
    for start in steps.starts.iter().take(room) {
        actions.push(Action::CreateTask(Box::new(current.task(snapshot, start, launched))));
        launched += u64::from(!planted!("names-are-used-again"));
    }
    launched
}

fn finalizers(app: &App) -> impl Iterator<Item = &str> {
    app.metadata.finalizers.iter().flatten().map(String::as_str)
}

fn holds_app(app: &App) -> bool {
    finalizers(app).any(|it| it == labels::TASKS_FINALIZER)
}
