//! A Task that has ended does not come back.

use tenure::api::Task;

use super::kinds::task_changes;
use super::{Check, Step};

pub(super) struct EndsAreFinal;

impl Check for EndsAreFinal {
    fn committed(&mut self, step: &Step<'_>, broken: &mut Vec<String>) {
        for change in task_changes(step.changes) {
            if change.old.as_deref().is_some_and(Task::is_terminal) && !change.new.is_terminal() {
                broken.push(format!("{} came back from its end", change.name));
            }
        }
    }
}
