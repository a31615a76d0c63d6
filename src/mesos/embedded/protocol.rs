//! What master and agents say to each other, inside this process or between two ([`remote`](super::remote)).
//!
//! A link is a pair of bounded channels. The master never waits for an agent: a link that is full is cut, like a
//! connection that does not drain, and the agent registers again.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::launcher::{ExecutorExit, ExecutorMessage};
use crate::mesos::wire::{
    AgentId, AgentInfo, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, TaskId, TaskInfo, TaskState,
    TaskStatus,
};

/// From an agent to the master.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToMaster {
    /// The agent is there (again). First on every link.
    Register {
        /// The agent; `id` is set if it ever registered before.
        info: Box<AgentInfo>,
        /// The address that it and tasks without one of their own are reached at.
        ip: String,
        /// All tasks that are not over and acknowledged.
        tasks: Vec<AgentTask>,
        /// The executors of frameworks that it runs. None from an agent that runs none: those that its tasks bring end with
        /// the last of them.
        executors: Option<Vec<(FrameworkId, ExecutorInfo)>>,
        /// Where the master answers. Between processes each end has its own.
        #[serde(skip, default = "nobody")]
        link: mpsc::Sender<ToAgent>,
    },
    /// A task's next status, sent until it is acknowledged.
    Update {
        /// Whose task.
        framework_id: FrameworkId,
        /// The status, with a uuid.
        status: Box<TaskStatus>,
        /// The task's state at the agent now, which may be ahead of `status`.
        #[serde(with = "by_number")]
        latest: TaskState,
    },
    /// What the machine tells all frameworks beside the states of their tasks.
    Message {
        /// Opaque to the master.
        data: Vec<u8>,
    },
    /// What an executor tells its framework.
    ExecutorMessage(ExecutorMessage),
    /// An executor is over.
    ExecutorExited(ExecutorExit),
    /// The agent leaves for good; its tasks are stopped.
    Unregister,
}

/// A task as an agent knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentTask {
    /// Whose task.
    pub framework_id: FrameworkId,
    /// The task itself.
    pub task: TaskInfo,
    /// Its state at the agent.
    #[serde(with = "by_number")]
    pub latest: TaskState,
    /// The status that the framework last heard, or should have.
    pub status: TaskStatus,
}

/// From the master to an agent.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToAgent {
    /// Registered under this id.
    Registered {
        /// The agent's id from now on.
        agent_id: AgentId,
    },
    /// Run a task.
    Launch {
        /// Whose task.
        framework_id: FrameworkId,
        /// The task itself.
        task: Box<TaskInfo>,
        /// Whether the task outlives the agent's process.
        checkpoint: bool,
        /// The framework, if the task's executor is to be started for it: resources are held for that then. Otherwise the
        /// executor is there already, or the agent runs none.
        starts_executor: Option<Box<FrameworkInfo>>,
    },
    /// The master counts on a task that the agent did not report: the agent says what became of it.
    Missing {
        /// Whose task.
        framework_id: FrameworkId,
        /// Which task.
        task_id: TaskId,
    },
    /// End a task.
    Kill {
        /// Whose task.
        framework_id: FrameworkId,
        /// Which task.
        task_id: TaskId,
        /// The grace of this kill, if it names one.
        grace: Option<Duration>,
        /// Whether the framework wants to see TASK_KILLING.
        tell_killing: bool,
    },
    /// The framework has stored the status with this uuid.
    Acknowledge {
        /// Whose task.
        framework_id: FrameworkId,
        /// Which task.
        task_id: TaskId,
        /// Of the status.
        uuid: Vec<u8>,
    },
    /// Pass a message on to an executor.
    Message {
        /// Whose executor.
        framework_id: FrameworkId,
        /// Which one.
        executor_id: ExecutorId,
        /// Opaque to the agent.
        data: Vec<u8>,
    },
    /// An executor is to end its tasks and itself.
    ShutdownExecutor {
        /// Whose executor.
        framework_id: FrameworkId,
        /// Which one.
        executor_id: ExecutorId,
    },
    /// The framework subscribed again: updates that wait are sent at once.
    Resubscribed {
        /// Which framework.
        framework_id: FrameworkId,
    },
    /// The framework was removed: end and forget its tasks.
    FrameworkRemoved {
        /// Which framework.
        framework_id: FrameworkId,
    },
    /// The agent is being drained: kills follow.
    Drain {
        /// The longest grace of those kills.
        max_grace: Option<Duration>,
        /// What ends is gone by the operator's word.
        mark_gone: bool,
    },
    /// The agent is not drained any more.
    Reactivated,
    /// The agent does not belong to the cluster (any more): end all tasks and leave.
    Shutdown,
}

/// How many messages may wait on a link in each direction.
pub const LINK: usize = 16_384;

/// A link that leads nowhere, until it is replaced.
fn nobody() -> mpsc::Sender<ToAgent> {
    mpsc::channel(1).0
}

/// A state of a task as protobuf has it.
mod by_number {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::mesos::wire::TaskState;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    pub(super) fn serialize<S: Serializer>(state: &TaskState, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i32(*state as i32)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TaskState, D::Error> {
        let number = i32::deserialize(deserializer)?;
        TaskState::try_from(number).map_err(D::Error::custom)
    }
}
