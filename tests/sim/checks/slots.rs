//! A slot never gets a second live Task, but for the one that replaces the first.

use super::kinds::task_changes;
use super::{Blur, Check, Step, is_live, of_app};

pub(super) struct Slots {
    pub(super) blur: Blur,
}

impl Check for Slots {
    fn committed(&mut self, step: &Step<'_>, broken: &mut Vec<String>) {
        if self.blur.is_on() {
            return;
        }
        let created = task_changes(step.changes).filter(|it| it.old.is_none());
        for change in created {
            for (other, task) in of_app(step.after, change.namespace, &change.new.spec.app) {
                let same = task.spec.slot == change.new.spec.slot && other != change.name;
                let replaced = change.new.spec.replaces.as_deref() == Some(other.as_str());
                if same && is_live(&task) && task.spec.stop.is_none() && !replaced {
                    broken.push(format!(
                        "slot {} of {} has both {other} and {}",
                        task.spec.slot, task.spec.app, change.name
                    ));
                }
            }
        }
    }
}
