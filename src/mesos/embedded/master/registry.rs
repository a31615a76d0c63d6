//! What a master process leaves to the next one. All else frameworks and agents bring back themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::maintenance::Schedule;
use crate::mesos::embedded::shares::Weights;
use crate::mesos::wire::{AgentId, TimeInfo};

/// The agents as the next master knows them before it has heard of anybody.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Registry {
    /// Known from the last life, not back yet: nothing can be said about their tasks.
    pub(super) recovered: BTreeSet<AgentId>,
    pub(super) unreachable: BTreeMap<AgentId, TimeInfo>,
    /// Marked gone by the operator: they are shut down when they show up.
    pub(super) gone: BTreeSet<AgentId>,
    /// Nothing of these is offered; some are being drained as well.
    pub(super) deactivated: BTreeMap<AgentId, Option<Drain>>,
    pub(super) schedule: Schedule,
    pub(super) weights: Weights,
}

/// The registry of a master that leads. It notes whether it may have changed, so that what keeps it need not compare.
#[derive(Debug, Default)]
pub(super) struct Noted {
    registry: Registry,
    touched: bool,
}

impl Noted {
    /// Something has changed that belongs to it and stands elsewhere: the agents that are registered.
    pub(super) fn touch(&mut self) {
        self.touched = true;
    }

    /// Whether something may have changed since the last time that this was asked.
    pub(super) fn take_touched(&mut self) -> bool {
        std::mem::take(&mut self.touched)
    }
}

impl From<Registry> for Noted {
    /// Counts as a change.
    fn from(registry: Registry) -> Noted {
        Noted { registry, touched: true }
    }
}

impl Deref for Noted {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.registry
    }
}

impl DerefMut for Noted {
    fn deref_mut(&mut self) -> &mut Registry {
        self.touched = true;
        &mut self.registry
    }
}

/// How an agent is being drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// No task has longer to end.
    pub max_grace: Option<Duration>,
    /// The agent is gone once it is drained.
    pub mark_gone: bool,
}

impl Registry {
    /// After a start that knows these agents only.
    pub(super) fn of(recovered: BTreeSet<AgentId>) -> Registry {
        Registry { recovered, ..Registry::default() }
    }

    pub(super) fn is_active(&self, agent: &AgentId) -> bool {
        !self.deactivated.contains_key(agent)
    }

    pub(super) fn drain_of(&self, agent: &AgentId) -> Option<Drain> {
        self.deactivated.get(agent).copied().flatten()
    }
}
