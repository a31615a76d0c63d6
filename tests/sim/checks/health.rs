//! Healthy instances never fall below `ceil(instances × minimumHealthCapacity)` by an act of Tenure's own. As in Marathon, an old one that
//! is healthy counts whether or not its readiness checks have passed; Tenure counts new ones only then, which is stricter.

use tenure::api::{Phase, Revision, Task};
use tenure::registry::{Key, Snapshot};

use super::bounds::Bounds;
use super::kinds::{resource, task_changes};
use super::{Check, Step, app, is_live, of_app, typed};

/// Also of what is decided on a view that misses events: a stop holds only while those that it counts on are as they were seen.
pub(super) struct MinimumHealth;

impl Check for MinimumHealth {
    fn committed(&mut self, step: &Step<'_>, broken: &mut Vec<String>) {
        for change in task_changes(step.changes).filter(|it| stopped_by_rollout(it.old.as_deref(), &it.new)) {
            let Some(app) = app(step.after, change.namespace, &change.new.spec.app) else { continue };
            let was = serving(step.before, change.namespace, &change.new.spec.app);
            let is = serving(step.after, change.namespace, &change.new.spec.app);
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

/// How many serve. One with health checks does so once they have called it healthy.
fn serving(snapshot: &Snapshot, namespace: &str, app: &str) -> usize {
    let tasks = of_app(snapshot, namespace, app);
    tasks.values().filter(|task| serves(task, is_checked(snapshot, namespace, &task.spec.revision))).count()
}

fn is_checked(snapshot: &Snapshot, namespace: &str, revision: &str) -> bool {
    let doc = snapshot.get(&Key::new(&resource("revisions"), namespace, revision));
    doc.and_then(typed::<Revision>).is_some_and(|it| !it.spec.template.health_checks.is_empty())
}

fn serves(task: &Task, checked: bool) -> bool {
    let status = task.status.clone().unwrap_or_default();
    let healthy = if checked { status.healthy == Some(true) } else { status.healthy != Some(false) };
    is_live(task)
        && task.phase() == Phase::Running
        && task.spec.stop.is_none()
        && task.metadata.deletion_timestamp.is_none()
        && healthy
}

/// Whether this change stops a Task for a reason of Tenure's own making.
fn stopped_by_rollout(old: Option<&Task>, new: &Task) -> bool {
    let newly = old.is_some_and(|old| old.spec.stop.is_none());
    let reason = new.spec.stop.as_ref().map(|stop| stop.reason.as_str());
    newly && matches!(reason, Some("Replaced" | "Surplus" | "ScaledDown"))
}
