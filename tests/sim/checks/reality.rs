//! Status is never ahead of reality.

use std::collections::BTreeSet;
use std::sync::Arc;

use tenure::mesos::embedded::simulated::Machine;

use super::kinds::task_changes;
use super::{Check, Step};

/// All machines of a world.
#[derive(Clone)]
pub(crate) struct Reality(pub(crate) Arc<Vec<Machine>>);

impl Reality {
    /// Whether a task of this id runs now.
    fn runs(&self, id: &str) -> bool {
        self.alive().contains(id)
    }

    /// The ids of all tasks that run now.
    pub(crate) fn alive(&self) -> BTreeSet<String> {
        self.0.iter().flat_map(|machine| machine.alive()).map(|id| id.value).collect()
    }

    /// Whether a task of this id was ever started.
    fn ran(&self, id: &str) -> bool {
        self.0.iter().any(|machine| machine.has_started(id))
    }
}

pub(super) struct StatusIsReal {
    pub(super) reality: Option<Reality>,
}

impl Check for StatusIsReal {
    fn committed(&mut self, step: &Step<'_>, broken: &mut Vec<String>) {
        let Some(reality) = &self.reality else { return };
        for change in task_changes(step.changes) {
            let state = |task: &tenure::api::Task| task.status.as_ref().and_then(|it| it.state.clone());
            let (Some(id), Some(now)) =
                (change.new.spec.binding.as_ref().map(|it| &it.mesos_task_id), state(&change.new))
            else {
                continue;
            };
            if change.old.as_deref().and_then(state).as_ref() == Some(&now) {
                continue;
            }
            match now.as_str() {
                "TASK_STARTING" | "TASK_RUNNING" | "TASK_KILLING" if !reality.ran(id) => {
                    broken.push(format!("{} is said to be {now}, but was never started", change.name));
                }
                "TASK_FINISHED" | "TASK_FAILED" | "TASK_KILLED" if reality.runs(id) => {
                    broken.push(format!("{} is said to be {now}, but runs", change.name));
                }
                _ => {}
            }
        }
    }
}
