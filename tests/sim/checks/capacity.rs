//! Live tasks never exceed `instances + floor(instances × maximumOverCapacity)`.

use tenure::plan::deployment::Bounds;

use super::kinds::task_changes;
use super::{Blur, Check, Step, app, is_live, of_app};

pub(super) struct Capacity {
    pub(super) blur: Blur,
}

impl Check for Capacity {
    fn committed(&mut self, step: &Step<'_>, broken: &mut Vec<String>) {
        if self.blur.is_on() {
            return;
        }
        let created = task_changes(step.changes).filter(|it| it.old.is_none());
        for change in created {
            let Some(app) = app(step.after, change.namespace, &change.new.spec.app) else { continue };
            let tasks = of_app(step.after, change.namespace, &change.new.spec.app);
            let live = tasks.values().filter(|it| is_live(it)).count();
            let capacity = Bounds::of(&app.spec).capacity;
            // A scale-down leaves tasks that are told to end; nothing is added to them.
            let kept = tasks.values().filter(|it| is_live(it) && it.spec.stop.is_none()).count();
            if live > capacity && kept > capacity {
                broken.push(format!(
                    "{} makes {live} live tasks of {}, {capacity} are allowed",
                    change.name, change.new.spec.app
                ));
            }
        }
    }
}
