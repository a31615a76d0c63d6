//! Nothing is acknowledged before what it says is stored: the agent will not say it again.

use std::collections::BTreeMap;

use tenure::api::Phase;
use tenure::mesos::wire::TaskState;
use tenure::mesos::wire::scheduler::{Call, Event};

use super::deposed::by_mesos_id;
use super::{Check, Scene};

/// The states that servers heard, by the update's uuid.
#[derive(Default)]
pub(super) struct Acknowledgements {
    told: BTreeMap<Vec<u8>, TaskState>,
}

/// The phase that a Task is in at least once this is stored; nothing where that depends on what was before.
fn phase(state: TaskState) -> Option<Phase> {
    use TaskState::{Error, Failed, Finished, Killed, Killing, Running, Staging, Starting};
    match state {
        Staging | Starting => Some(Phase::Launching),
        Running => Some(Phase::Running),
        Killing => Some(Phase::Stopping),
        Finished | Failed | Killed | Error => Some(Phase::Finished),
        _ => None,
    }
}

impl Check for Acknowledgements {
    fn heard(&mut self, _server: &str, event: &Event, _broken: &mut Vec<String>) {
        let Some(status) = event.update.as_ref().map(|it| &it.status) else { return };
        self.told.extend(status.uuid.clone().map(|uuid| (uuid, status.state())));
    }

    fn called(&mut self, server: &str, call: &Call, scene: &Scene, broken: &mut Vec<String>) {
        let Some(acknowledge) = &call.acknowledge else { return };
        let Some(state) = self.told.get(&acknowledge.uuid) else {
            let task = &acknowledge.task_id;
            return broken.push(format!("{server} acknowledges what it was never told of {task}"));
        };
        // Of what the store does not know nothing can be stored.
        let Some(task) = by_mesos_id(&acknowledge.task_id.value, scene) else { return };
        if phase(*state).is_some_and(|least| task.phase() < least) {
            let (id, phase) = (&acknowledge.task_id, task.phase());
            broken.push(format!("{server} acknowledges that {id} is {state}, and {phase:?} is stored"));
        }
    }
}
