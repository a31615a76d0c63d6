//! Serving instances never fall below `ceil(instances × minimumHealthCapacity)` by an act of Tenure's own.

use tenure::api::{Phase, Task};
use tenure::plan::deployment::Bounds;

use super::kinds::{Tasks, task_changes};
use super::{Check, Step, app, is_live, of_app};

pub(super) struct MinimumHealth {
    /// See [`super::Terms::blurred`].
    pub(super) blurred: bool,
}

impl Check for MinimumHealth {
    fn committed(&mut self, step: &Step<'_>, broken: &mut Vec<String>) {
        if self.blurred {
            return;
        }
        for change in task_changes(step.changes).filter(|it| stopped_by_rollout(it.old.as_deref(), &it.new)) {
            let Some(app) = app(step.after, change.namespace, &change.new.spec.app) else { continue };
            let serving = |tasks: &Tasks| tasks.values().filter(|it| serves(it)).count();
            let was = serving(&of_app(step.before, change.namespace, &change.new.spec.app));
            let is = serving(&of_app(step.after, change.namespace, &change.new.spec.app));
            let minimum = Bounds::of(&app.spec).minimum;
            if is < was && is < minimum {
                broken.push(format!(
                    "stopping {} leaves {is} of {} serving (there were {was}), {minimum} must",
                    change.name, change.new.spec.app
                ));
            }
        }
    }
}

fn serves(task: &Task) -> bool {
    let status = task.status.clone().unwrap_or_default();
    is_live(task)
        && task.phase() == Phase::Running
        && task.spec.stop.is_none()
        && status.ready
        && status.healthy != Some(false)
}

/// Whether this change stops a Task for a reason of Tenure's own making.
fn stopped_by_rollout(old: Option<&Task>, new: &Task) -> bool {
    let newly = old.is_some_and(|old| old.spec.stop.is_none());
    let reason = new.spec.stop.as_ref().map(|stop| stop.reason.as_str());
    newly && matches!(reason, Some("Replaced" | "Surplus" | "ScaledDown"))
}
