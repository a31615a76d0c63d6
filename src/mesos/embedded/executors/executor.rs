//! What an agent knows of one executor, and what it says to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::ExecutorsConfig;
use super::kept::Kept;
use super::overview::Run;
use crate::env::process::ProcessId;
use crate::mesos::launcher::Launch;
use crate::mesos::wire::executor::{Event, Launch as LaunchEvent, Subscribed};
use crate::mesos::wire::{
    AgentInfo, ExecutorEventType, ExecutorInfo, FrameworkInfo, Reason, Source, TaskId, TaskInfo, TaskState,
    TaskStatus,
};

/// How many tasks of an executor are remembered that have ended. Mesos's own number.
pub(super) const COMPLETED: usize = 200;

/// One executor, from the launch of its first task to the end of its process.
#[derive(Debug)]
pub(super) struct Executor {
    pub(super) info: ExecutorInfo,
    pub(super) launch: Launch,
    /// As it is told of it; the id stands in `launch`.
    pub(super) framework: FrameworkInfo,
    /// Its process, once that is to be found again.
    pub(super) process: Option<ProcessId>,
    /// It has subscribed to an earlier process of the agent.
    pub(super) came: bool,
    /// The name of its run.
    pub(super) container: String,
    /// Its sandbox; empty until that is made.
    pub(super) directory: PathBuf,
    pub(super) stream: Option<mpsc::Sender<Event>>,
    pub(super) was_subscribed: bool,
    /// It is to end.
    pub(super) stop: CancellationToken,
    /// Tasks that wait for it to subscribe.
    pub(super) queued: Vec<TaskInfo>,
    /// Tasks that were sent to it and have not ended.
    pub(super) tasks: BTreeMap<TaskId, Run>,
    /// The last ones that have ended, the oldest first.
    pub(super) completed: VecDeque<Run>,
}

impl Executor {
    /// One that begins with the task of `launch`.
    pub(super) fn new(launch: Launch, info: ExecutorInfo, framework: FrameworkInfo) -> Executor {
        Executor {
            info,
            framework,
            process: None,
            came: false,
            queued: vec![launch.task.clone()],
            launch,
            container: String::new(),
            directory: PathBuf::new(),
            stream: None,
            was_subscribed: false,
            stop: CancellationToken::new(),
            tasks: BTreeMap::new(),
            completed: VecDeque::new(),
        }
    }

    /// Takes in a status of a task; whether it counts. What was heard before does not, nor does anything after a task's end.
    pub(super) fn heard(&mut self, status: &TaskStatus) -> bool {
        let Some(run) = self.tasks.get_mut(&status.task_id) else { return false };
        if !run.heard(status) {
            return false;
        }
        if run.has_ended() {
            self.completed.extend(self.tasks.remove(&status.task_id));
            if self.completed.len() > COMPLETED {
                self.completed.pop_front();
            }
        }
        true
    }

    /// Its process is to be found again.
    pub(super) fn keep(&mut self, work_dir: &Path, process: ProcessId) {
        self.process = Some(process);
        self.write(work_dir);
    }

    /// It has subscribed.
    pub(super) fn comes(&mut self, work_dir: &Path) {
        if !std::mem::replace(&mut self.came, true) {
            self.write(work_dir);
        }
    }

    fn write(&self, work_dir: &Path) {
        let Some(process) = self.process.clone() else { return };
        let kept = Kept {
            framework: self.framework.clone(),
            info: self.info.clone(),
            launch: self.launch.clone(),
            container: self.container.clone(),
            directory: self.directory.clone(),
            process,
            came: self.came,
        };
        if let Err(error) = kept.write(work_dir) {
            tracing::warn!(executor = %self.info.executor_id, %error, "executor may not be found again");
        }
    }

    /// Whether an update of it was reported and is not on the disk yet.
    pub(super) fn waits_for_disk(&self, task_id: &TaskId, uuid: &[u8]) -> bool {
        self.runs(task_id).any(|run| run.waits_for_disk(uuid))
    }

    /// An update is on the disk; whether it is one of its own that waited for that.
    pub(super) fn journalled(&mut self, task_id: &TaskId, uuid: &[u8]) -> bool {
        let completed = self.completed.iter_mut().rev().filter(|run| run.is_of(task_id));
        self.tasks.get_mut(task_id).into_iter().chain(completed).any(|run| run.journalled(uuid))
    }

    /// All updates that are not on the disk; they count as if they were.
    pub(super) fn unconfirmed(&mut self) -> Vec<(TaskId, Vec<u8>)> {
        self.tasks.values_mut().chain(&mut self.completed).flat_map(Run::unconfirmed).collect()
    }

    fn runs(&self, task_id: &TaskId) -> impl Iterator<Item = &Run> {
        let completed = self.completed.iter().rev().filter(|run| run.is_of(task_id));
        self.tasks.get(task_id).into_iter().chain(completed)
    }

    /// The ends of tasks that were sent, of which nothing was heard, and which the executor does not know.
    pub(super) fn drop_unknown(&mut self, known: &BTreeSet<TaskId>) -> Vec<TaskStatus> {
        let never_came = self.tasks.iter().filter(|(id, run)| run.is_new() && !known.contains(id));
        let status = |(id, _): (&TaskId, &Run)| TaskStatus {
            reason: Reason::AgentRestarted.wire(),
            ..dropped(id.clone(), "Task launched during agent restart")
        };
        let dropped: Vec<TaskStatus> = never_came.map(status).collect();
        for status in &dropped {
            self.heard(status);
        }
        dropped
    }

    pub(super) fn subscribed(&self, config: &ExecutorsConfig) -> Subscribed {
        let framework_id = Some(self.launch.framework_id.clone());
        Subscribed {
            executor_info: ExecutorInfo { framework_id: framework_id.clone(), ..self.info.clone() },
            framework_info: FrameworkInfo { id: framework_id, ..self.framework.clone() },
            agent_info: AgentInfo { id: Some(self.launch.agent_id.clone()), ..config.agent.clone() },
            container_id: None,
        }
    }
}

pub(super) fn event(kind: ExecutorEventType) -> Event {
    Event { r#type: kind.wire(), ..Event::default() }
}

/// The end of a task that has not reached its executor.
pub(super) fn dropped(task: TaskId, why: &str) -> TaskStatus {
    let message = Some(why.to_owned());
    TaskStatus { source: Source::Agent.wire(), message, ..TaskStatus::of(task, TaskState::Dropped) }
}

pub(super) fn launch_event(task: TaskInfo) -> Event {
    Event { launch: Some(LaunchEvent { task }), ..event(ExecutorEventType::Launch) }
}
