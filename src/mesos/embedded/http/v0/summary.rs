//! `/state-summary`: agents and frameworks with how many tasks they have, and with whom.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::frameworks::{Held, framework_head};
use super::{agent, with};
use crate::mesos::embedded::master::{AgentEntry, Books, FrameworkEntry};
use crate::mesos::wire::{AgentId, FrameworkId, TaskState};

/// What a summary counts.
const COUNTED: [TaskState; 10] = [
    TaskState::Staging,
    TaskState::Starting,
    TaskState::Running,
    TaskState::Killing,
    TaskState::Finished,
    TaskState::Killed,
    TaskState::Failed,
    TaskState::Lost,
    TaskState::Error,
    TaskState::Unreachable,
];

/// The tasks of one agent or framework.
#[derive(Default)]
struct Tally<'a> {
    counts: BTreeMap<TaskState, usize>,
    /// The frameworks that have tasks on the agent, or the agents that the framework has tasks on.
    others: BTreeSet<&'a str>,
}

impl<'a> Tally<'a> {
    fn add(&mut self, state: TaskState, other: &'a str) {
        *self.counts.entry(state).or_default() += 1;
        self.others.insert(other);
    }

    fn told(&self, others: &'static str) -> impl Iterator<Item = (&'static str, Value)> {
        let count = |state: TaskState| json!(self.counts.get(&state).copied().unwrap_or_default());
        let counts = COUNTED.map(|state| (state.as_str(), count(state)));
        counts.into_iter().chain([(others, json!(self.others))])
    }
}

/// `/state-summary`.
pub(in super::super) fn summary(books: &Books) -> Value {
    let mut by_agent: BTreeMap<&AgentId, Tally<'_>> = BTreeMap::new();
    let mut by_framework: BTreeMap<&FrameworkId, Tally<'_>> = BTreeMap::new();
    for task in books.tasks.iter().chain(&books.unreachable_tasks).chain(&books.completed_tasks) {
        by_agent.entry(&task.agent).or_default().add(task.state, &task.framework.value);
        by_framework.entry(&task.framework).or_default().add(task.state, &task.agent.value);
    }
    let (none, held, nothing) = (Tally::default(), Held::by_framework(books), Held::default());
    let of_agent = |entry: &AgentEntry| {
        with(agent(entry), by_agent.get(&entry.id).unwrap_or(&none).told("framework_ids"))
    };
    let of_framework = |entry: &FrameworkEntry| {
        let brief = framework_head(entry, held.get(&entry.id).unwrap_or(&nothing));
        with(brief, by_framework.get(&entry.id).unwrap_or(&none).told("slave_ids"))
    };
    json!({
        "hostname": books.master.hostname,
        "slaves": books.agents.iter().map(of_agent).collect::<Vec<_>>(),
        "frameworks": books.frameworks.iter().map(of_framework).collect::<Vec<_>>(),
    })
}
