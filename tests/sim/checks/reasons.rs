//! Every stop has a recorded reason, and it stays.

use tenure::api::Task;
use tenure::registry::Change;

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
        for change in step.changes.iter().filter(|it| it.key.resource.plural() == "tasks" && it.new.is_none())
        {
            let Some(old) = change.old.as_ref().and_then(super::typed::<Task>) else { continue };
            // One whose end was reported needs none; one that never began went because somebody deleted it.
            let needs_none = old.is_terminal() || old.spec.binding.is_none();
            // One that is given up for good goes with the transaction that tells of it.
            let told = || step.changes.iter().any(|it| is_event_about(it, &change.key.name));
            if old.spec.stop.is_none() && !needs_none && !told() {
                broken.push(format!("{} is gone without a reason", change.key.name));
            }
        }
    }
}

/// Events are named after what they tell of.
fn is_event_about(change: &Change, name: &str) -> bool {
    change.key.resource.plural() == "events" && change.key.name.starts_with(name)
}
