//! What an agent says of a task never goes back, and its end is the last that it says.

use std::collections::{BTreeMap, BTreeSet};

use tenure::mesos::wire::TaskState;
use tenure::mesos::wire::scheduler::Event;

use super::Check;

/// The updates of agents (those of masters have no uuid, and need no acknowledgement) that servers heard.
#[derive(Default)]
pub(super) struct Advances {
    heard: BTreeSet<Vec<u8>>,
    latest: BTreeMap<String, TaskState>,
}

/// How far a task is; nothing for what says where it is.
fn progress(state: TaskState) -> Option<u8> {
    use TaskState::{Killing, Running, Staging, Starting};
    match state {
        Staging => Some(0),
        Starting => Some(1),
        Running => Some(2),
        Killing => Some(3),
        state if state.is_terminal() => Some(4),
        _ => None,
    }
}

impl Check for Advances {
    fn heard(&mut self, server: &str, event: &Event, broken: &mut Vec<String>) {
        let Some(status) = event.update.as_ref().map(|it| &it.status) else { return };
        // An update is sent until it is acknowledged, and the next one only then.
        if !status.uuid.clone().is_some_and(|uuid| self.heard.insert(uuid)) {
            return;
        }
        let (id, state) = (&status.task_id.value, status.state());
        let Some(now) = progress(state) else { return };
        let before = self.latest.insert(id.clone(), state);
        if let Some(before) = before
            && let Some(was) = progress(before)
            && (now < was || before.is_terminal())
        {
            broken.push(format!("{server} hears that {id} is {state}, after its agent has said {before}"));
        }
    }
}
