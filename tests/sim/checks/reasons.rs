//! Every stop has a recorded reason, and it stays.

use super::kinds::task_changes;
use super::{Check, Step};

pub(super) struct StopsHaveReasons;

impl Check for StopsHaveReasons {
    fn committed(&mut self, step: &Step<'_>, broken: &mut Vec<String>) {
        for change in task_changes(step.changes) {
            let Some(old) = &change.old else { continue };
            if old.spec.stop.is_some() && change.new.spec.stop != old.spec.stop {
                broken.push(format!("the reason of {}'s stop was changed", change.name));
            }
        }
        // One whose end was reported needs none.
        let gone = step.changes.iter().filter(|it| it.key.resource.plural() == "tasks" && it.new.is_none());
        for change in gone {
            let old = change.old.as_ref().and_then(super::typed::<tenure::api::Task>);
            if old.is_some_and(|old| old.spec.stop.is_none() && !old.is_terminal()) {
                broken.push(format!("{} is gone without a reason", change.key.name));
            }
        }
    }
}
