//! Operators who watch: what changes of tasks, agents and frameworks, as it changes. Of tasks it is told where history is kept
//! ([`MasterConfig::history`](super::MasterConfig)).

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;

use super::books::{AgentEntry, Books, Extent, FrameworkEntry, TaskEntry};
use super::state::Master;
use crate::mesos::wire::{AgentId, FrameworkId, FrameworkInfo, TaskId, TaskState, TaskStatus};

/// How many may watch: one more takes the place of the first. Mesos's own number.
const WATCHERS: usize = 1000;
/// How much may wait for one who does not read; then their stream ends.
const HAPPENINGS: usize = 1 << 12;

/// What changed.
#[derive(Debug, Clone)]
pub enum Happening {
    /// A task was launched, or is there again with its agent.
    TaskAdded(TaskEntry),
    /// A task has a new status; its state may be ahead of that.
    TaskUpdated {
        framework: FrameworkId,
        status: TaskStatus,
        state: TaskState,
    },
    /// An agent is there, for the first time or after it was called unreachable.
    AgentAdded(AgentEntry),
    /// An agent has left. Of one that is unreachable nothing is told, but of its tasks.
    AgentRemoved(AgentId),
    FrameworkAdded(FrameworkEntry),
    /// It has subscribed again, or changed its description.
    FrameworkUpdated(FrameworkEntry),
    FrameworkRemoved(FrameworkInfo),
}

/// What one who watches is given.
#[derive(Debug)]
pub struct Watching {
    /// All there was at the beginning.
    pub books: Books,
    /// What happens from then on, in order; it ends with the master, or when too much was not read.
    pub happenings: mpsc::Receiver<Happening>,
    /// How often they hear something.
    pub heartbeat: Duration,
}

/// Who watches.
#[derive(Debug, Default)]
pub(super) struct Watchers(VecDeque<mpsc::Sender<Happening>>);

impl Watchers {
    fn tell(&mut self, happening: &Happening) {
        self.0.retain(|watcher| watcher.try_send(happening.clone()).is_ok());
    }
}

impl Master {
    /// One more watches from now on.
    pub(super) fn watch(&mut self) -> Watching {
        let (watcher, happenings) = mpsc::channel(HAPPENINGS);
        if self.watchers.0.len() >= WATCHERS {
            self.watchers.0.pop_front();
        }
        self.watchers.0.push_back(watcher);
        Watching { books: self.books(Extent::All), happenings, heartbeat: self.config.heartbeat_interval }
    }

    pub(super) fn show_task(&mut self, key: &(FrameworkId, TaskId)) {
        self.show(|master| Some(Happening::TaskAdded(master.tasks.get(key)?.entry(key))));
    }

    /// Shows what a task's framework is told of it.
    pub(super) fn show_update(&mut self, key: &(FrameworkId, TaskId), status: &TaskStatus) {
        self.show(|master| {
            let latest = master.tasks.get(key)?.latest;
            // What the master itself says of a task is its state.
            let state = if status.uuid.is_some() { latest } else { status.state() };
            Some(Happening::TaskUpdated { framework: key.0.clone(), status: status.clone(), state })
        });
    }

    pub(super) fn show_agent(&mut self, id: &AgentId) {
        self.show(|master| Some(Happening::AgentAdded(master.agent_entry(id, master.agents.get(id)?))));
    }

    pub(super) fn show_agent_gone(&mut self, id: &AgentId) {
        self.show(|_| Some(Happening::AgentRemoved(id.clone())));
    }

    pub(super) fn show_framework(&mut self, id: &FrameworkId, is_new: bool) {
        self.show(|master| {
            let entry = master.frameworks.get(id)?.entry(id, None);
            Some(if is_new { Happening::FrameworkAdded(entry) } else { Happening::FrameworkUpdated(entry) })
        });
    }

    pub(super) fn show_framework_gone(&mut self, info: FrameworkInfo) {
        self.show(|_| Some(Happening::FrameworkRemoved(info)));
    }

    /// Tells who watches, if somebody does.
    fn show(&mut self, happening: impl FnOnce(&Master) -> Option<Happening>) {
        if self.watchers.0.is_empty() {
            return;
        }
        if let Some(happening) = happening(self) {
            self.watchers.tell(&happening);
        }
    }
}
