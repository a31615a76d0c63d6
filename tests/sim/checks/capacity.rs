//! Live tasks never exceed `instances + floor(instances × maximumOverCapacity)`.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::bounds::Bounds;
use super::kinds::task_changes;
use super::{Blur, Check, Step, app, is_live, of_app};

/// For so long a Task that was cut off and came back may not have been seen by who had given it up.
const UNSEEN: Duration = Duration::from_secs(90);

pub(super) struct Capacity {
    blur: Blur,
    /// When each Task that was cut off came back.
    back: BTreeMap<String, Instant>,
}

impl Capacity {
    pub(super) fn new(blur: &Blur) -> Capacity {
        Capacity { blur: blur.clone(), back: BTreeMap::new() }
    }

    fn was_seen(&self, name: &str) -> bool {
        self.back.get(name).is_none_or(|at| at.elapsed() > UNSEEN)
    }
}

impl Check for Capacity {
    fn committed(&mut self, step: &Step<'_>, broken: &mut Vec<String>) {
        if self.blur.is_on() {
            return;
        }
        for change in task_changes(step.changes) {
            if change.old.as_deref().is_some_and(|old| !is_live(old)) && is_live(&change.new) {
                self.back.insert(change.name.to_owned(), Instant::now());
            }
        }
        let created = task_changes(step.changes).filter(|it| it.old.is_none());
        for change in created {
            let Some(app) = app(step.after, change.namespace, &change.new.spec.app) else { continue };
            let tasks = of_app(step.after, change.namespace, &change.new.spec.app);
            let live = tasks.iter().filter(|(name, task)| is_live(task) && self.was_seen(name)).count();
            let capacity = Bounds::of(&app.spec).capacity;
            if live > capacity {
                broken.push(format!(
                    "{} makes {live} live tasks of {}, {capacity} are allowed",
                    change.name, change.new.spec.app
                ));
            }
        }
    }
}
