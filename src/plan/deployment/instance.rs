//! Each Task of an App gets one standing; everything after matches on it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Snapshot;
use crate::api::{Phase, Task, Template};
use crate::plan::{after, maintenance};

/// What a Task counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// Takes part: as is wanted now or not.
    Kept {
        /// Whether it is of the current Revision, on a machine that stays.
        updated: bool,
    },
    /// Was told to end and has not.
    Stopping,
    /// Cut off for longer than `unreachable.inactiveAfter`: its slot is free. It may come back.
    GivenUp,
    /// Has ended.
    Ended,
}

impl Standing {
    pub(super) fn is_kept(self) -> bool {
        matches!(self, Self::Kept { .. })
    }

    pub(super) fn is_stopping(self) -> bool {
        self == Self::Stopping
    }

    pub(super) fn is_given_up(self) -> bool {
        self == Self::GivenUp
    }
}

/// One Task, as the rest of the plan sees it.
#[derive(Clone, Debug)]
pub(super) struct Instance<'a> {
    pub(super) task: &'a Task,
    pub(super) standing: Standing,
    pub(super) phase: Phase,
    /// Whether its agent is connected.
    pub(super) reachable: bool,
    /// Runs, can be reached, and passes its health checks if it has any.
    pub(super) healthy: bool,
    /// Healthy and may get requests.
    pub(super) ready: bool,
    /// When it was first seen running.
    pub(super) started: Option<Timestamp>,
    /// When it will be given up, if its agent stays away.
    pub(super) inactive_at: Option<Timestamp>,
}

impl Instance<'_> {
    pub(super) fn name(&self) -> &str {
        self.task.metadata.name.as_deref().unwrap_or_default()
    }

    pub(super) fn slot(&self) -> u32 {
        self.task.spec.slot
    }

    pub(super) fn is_updated(&self) -> bool {
        self.standing == Standing::Kept { updated: true }
    }

    pub(super) fn is_old(&self) -> bool {
        self.standing == Standing::Kept { updated: false }
    }

    /// Whether it may be running: it counts against the capacity. Cut-off ones count until they are given up.
    pub(super) fn is_live(&self) -> bool {
        match self.standing {
            Standing::Kept { .. } => true,
            Standing::Stopping => self.reachable && !planted!("capacity-forgets-the-stopping"),
            Standing::GivenUp | Standing::Ended => false,
        }
    }
}

/// All Tasks of the App, by slot and then by name.
pub(super) fn classify<'a>(snapshot: &Snapshot<'a>, current: &str) -> Vec<Instance<'a>> {
    let templates: BTreeMap<&str, &Template> = snapshot
        .revisions
        .iter()
        .filter_map(|it| Some((it.metadata.name.as_deref()?, &it.spec.template)))
        .chain([(current, &snapshot.app.spec.template)])
        .collect();
    let mut instances: Vec<_> = snapshot
        .tasks
        .iter()
        .map(|task| instance(snapshot, task, templates.get(task.spec.revision.as_str()).copied(), current))
        .collect();
    instances.sort_by(|a, b| (a.slot(), a.name()).cmp(&(b.slot(), b.name())));
    instances
}

fn instance<'a>(
    snapshot: &Snapshot<'a>,
    task: &'a Task,
    template: Option<&Template>,
    current: &str,
) -> Instance<'a> {
    let status = task.status.as_ref();
    let phase = task.phase();
    let reachable = status.is_none_or(|it| it.reachable);
    let inactive_after = snapshot.app.spec.unreachable.inactive_after.duration();
    let inactive_at = status
        .filter(|it| !it.reachable)
        .map(|it| after(it.unreachable_since.as_ref().map_or(snapshot.now, |since| since.0), inactive_after));
    let standing = if phase.is_terminal() && !(phase == Phase::Failed && planted!("failed-keeps-its-slot")) {
        Standing::Ended
    } else if task.spec.stop.is_some() || task.metadata.deletion_timestamp.is_some() {
        Standing::Stopping
    } else if inactive_at.is_some_and(|at| at <= snapshot.now) {
        Standing::GivenUp
    } else {
        Standing::Kept { updated: task.spec.revision == current && !is_moved(snapshot, task) }
    };
    let runs = phase == Phase::Running && (reachable || planted!("cut-off-counts-as-serving"));
    // A Revision that is gone was checked once: no verdict against it is enough.
    let checked =
        template.is_some_and(|it| !it.health_checks.is_empty()) && !planted!("unchecked-counts-as-healthy");
    let verdict = status.and_then(|it| it.healthy);
    let healthy = runs && if checked { verdict == Some(true) } else { verdict != Some(false) };
    Instance {
        task,
        standing,
        phase,
        reachable,
        healthy,
        ready: healthy && status.is_some_and(|it| it.ready),
        started: status.and_then(|it| it.started_at.as_ref()).map(|it| it.0),
        inactive_at: inactive_at.filter(|_| standing.is_kept()),
    }
}

/// Whether it must leave its machine, which is to be taken away.
pub(super) fn is_moved(snapshot: &Snapshot<'_>, task: &Task) -> bool {
    let plan = task.spec.binding.as_ref().and_then(|it| snapshot.maintained.get(&it.agent_id));
    plan.is_some_and(|plan| maintenance::is_leaving(plan, snapshot.now))
}
