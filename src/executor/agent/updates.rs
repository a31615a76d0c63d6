//! The updates that the agent has not stored yet: in order, each with its id, until it says that it has.

use std::collections::VecDeque;

use crate::mesos::wire::scheduler::Update;
use crate::mesos::wire::{TaskId, TaskState, TaskStatus};

/// What waits for the agent.
#[derive(Debug, Default)]
pub(super) struct Updates {
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    status: TaskStatus,
    /// The agent may have seen it.
    sent: bool,
}

impl Updates {
    /// One more. What the task has said before of running and was not sent yet is out of date: so however long the agent is
    /// away, what waits does not grow with the time.
    pub(super) fn push(&mut self, status: TaskStatus) {
        let of_task = self.waiting.iter().rposition(|waiting| waiting.status.task_id == status.task_id);
        let stale = of_task.filter(|at| {
            let last = &self.waiting[*at];
            !last.sent && last.status.state() == status.state() && status.state() == TaskState::Running
        });
        if let Some(at) = stale {
            self.waiting.remove(at);
        }
        self.waiting.push_back(Waiting { status, sent: false });
    }

    /// The next one to send. It counts as sent from now on.
    pub(super) fn send_next(&mut self) -> Option<TaskStatus> {
        let next = self.waiting.iter_mut().find(|waiting| !waiting.sent)?;
        next.sent = true;
        Some(next.status.clone())
    }

    /// All of them, as a new subscription tells them. They count as sent.
    pub(super) fn send_all(&mut self) -> Vec<Update> {
        self.waiting.iter_mut().for_each(|waiting| waiting.sent = true);
        self.waiting.iter().map(|waiting| Update { status: waiting.status.clone() }).collect()
    }

    /// The agent has stored this one, or will never take it.
    pub(super) fn done(&mut self, task_id: &TaskId, uuid: &[u8]) {
        self.waiting.retain(|Waiting { status, .. }| {
            status.task_id != *task_id || status.uuid.as_deref() != Some(uuid)
        });
    }

    /// Whether one of this task waits.
    pub(super) fn has_of(&self, task_id: &TaskId) -> bool {
        self.waiting.iter().any(|waiting| waiting.status.task_id == *task_id)
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(task: &str, state: TaskState, uuid: u8) -> TaskStatus {
        TaskStatus { uuid: Some(vec![uuid; 16]), ..TaskStatus::of(TaskId::new(task), state) }
    }

    fn ids(updates: &mut Updates) -> Vec<u8> {
        updates.send_all().into_iter().map(|update| update.status.uuid.unwrap()[0]).collect()
    }

    #[test]
    fn updates_are_sent_once_in_order_and_told_again_until_they_are_stored() {
        let mut updates = Updates::default();
        updates.push(status("t", TaskState::Starting, 1));
        updates.push(status("t", TaskState::Running, 2));
        assert_eq!(updates.send_next().unwrap().state(), TaskState::Starting);
        assert_eq!(updates.send_next().unwrap().state(), TaskState::Running);
        assert_eq!(updates.send_next(), None);
        updates.done(&TaskId::new("t"), &[9; 16]);
        updates.done(&TaskId::new("other"), &[1; 16]);
        updates.done(&TaskId::new("t"), &[1; 16]);
        assert_eq!(ids(&mut updates), [2]);
        updates.done(&TaskId::new("t"), &[2; 16]);
        assert!(updates.is_empty());
    }

    #[test]
    fn only_the_latest_of_what_was_not_sent_waits() {
        let mut updates = Updates::default();
        updates.push(status("t", TaskState::Running, 1));
        let _sent = updates.send_next();
        for uuid in 2..9 {
            updates.push(status("t", TaskState::Running, uuid));
        }
        updates.push(status("u", TaskState::Running, 20));
        updates.push(status("t", TaskState::Killed, 30));
        assert_eq!(ids(&mut updates), [1, 8, 20, 30], "what was sent keeps its id");
    }
}
