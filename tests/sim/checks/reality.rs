//! Status is never ahead of reality.

use std::collections::BTreeSet;
use std::sync::Arc;

use tenure::api::{Phase, Task};
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

    /// Whether a task of this id is on its way to run.
    fn starts(&self, id: &str) -> bool {
        self.0.iter().any(|machine| machine.is_starting(id))
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
            let told = |task: &Task| (task.phase(), task.status.as_ref().and_then(|it| it.state.clone()));
            let Some(id) = change.new.spec.binding.as_ref().map(|it| &it.mesos_task_id) else { continue };
            let (phase, state) = told(&change.new);
            if change.old.as_deref().map(told) == Some((phase, state.clone())) {
                continue;
            }
            let state = state.unwrap_or_default();
            match (phase, state.as_str()) {
                (Phase::Running | Phase::Stopping, _) | (_, "TASK_STARTING") if !reality.ran(id) => {
                    broken.push(format!("{} is {phase:?} ({state}), but was never started", change.name));
                }
                (Phase::Running, _) if reality.starts(id) => {
                    broken.push(format!("{} is {phase:?} ({state}), but only starts", change.name));
                }
                (Phase::Finished | Phase::Failed, _) if reality.runs(id) => {
                    broken.push(format!("{} is {phase:?} ({state}), but runs", change.name));
                }
                _ => {}
            }
        }
    }
}
