//! A Task's document stays until its end was seen: only one that never had a place, or is cut off, may go before.

use tenure::api::Task;

use super::{Check, Step, is_live, typed};

pub(super) struct NoneIsForgotten;

impl Check for NoneIsForgotten {
    fn committed(&mut self, step: &Step<'_>, broken: &mut Vec<String>) {
        let gone = step.changes.iter().filter(|it| it.key.resource.plural() == "tasks" && it.new.is_none());
        for change in gone {
            let Some(task) = change.old.as_ref().and_then(typed::<Task>) else { continue };
            if is_live(&task) && task.spec.binding.is_some() {
                broken.push(format!("{} is gone, and its end was not seen", change.key.name));
            }
        }
    }
}
