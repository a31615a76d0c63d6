//! What is remembered of a task for operators: what it was launched with, without what is only its executor's, and what was told
//! of it.

use std::sync::Arc;

use crate::mesos::wire::{ExecutorInfo, TaskInfo, TaskState, TaskStatus};

/// One task.
#[derive(Debug)]
pub(super) struct TaskRecord {
    pub(super) info: Arc<TaskInfo>,
    /// The last one of each state.
    pub(super) statuses: Vec<TaskStatus>,
}

impl TaskRecord {
    /// A task of which nothing was told yet.
    pub(super) fn of(info: &TaskInfo) -> TaskRecord {
        let executor = info.executor.clone().map(without_secrets);
        let info = TaskInfo { data: None, command: None, executor, ..info.clone() };
        TaskRecord { info: Arc::new(info), statuses: Vec::new() }
    }

    /// This was told of it.
    pub(super) fn note(&mut self, status: &TaskStatus) {
        self.statuses.pop_if(|last| last.state() == status.state());
        self.statuses.push(TaskStatus { data: None, ..status.clone() });
    }

    /// What was told last, if anything was.
    pub(super) fn state(&self) -> Option<TaskState> {
        self.statuses.last().map(TaskStatus::state)
    }
}

/// An executor as others may see it.
pub(super) fn without_secrets(mut info: ExecutorInfo) -> ExecutorInfo {
    info.data = None;
    if let Some(command) = &mut info.command {
        command.environment = None;
    }
    info
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesos::wire::{CommandInfo, Environment, TaskId};

    #[test]
    fn what_is_only_an_executors_is_not_remembered() {
        let secret = || Some(b"s3cret".to_vec());
        let command = CommandInfo { environment: Some(Environment::default()), ..CommandInfo::default() };
        let executor =
            ExecutorInfo { data: secret(), command: Some(command.clone()), ..ExecutorInfo::default() };
        let info = TaskInfo {
            data: secret(),
            command: Some(command),
            executor: Some(executor),
            ..TaskInfo::default()
        };
        let mut record = TaskRecord::of(&info);
        for state in [TaskState::Running, TaskState::Running, TaskState::Failed] {
            record.note(&TaskStatus { data: secret(), ..TaskStatus::of(TaskId::new("t"), state) });
        }
        assert_eq!((record.statuses.len(), record.state()), (2, Some(TaskState::Failed)));
        let executor = record.info.executor.clone().unwrap();
        assert_eq!((&record.info.data, &record.info.command, &executor.data), (&None, &None, &None));
        assert_eq!(executor.command.unwrap().environment, None);
        assert!(record.statuses.iter().all(|status| status.data.is_none()));
    }
}
