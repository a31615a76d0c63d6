//! The figures of `/metrics/snapshot`, by the names that Mesos gives them.

use std::collections::BTreeMap;

#[cfg(test)]
use super::state::Task;
use super::state::{Framework, Master};
use crate::mesos::embedded::bundle::Bundle;
#[cfg(test)]
use crate::mesos::wire::TaskId;
use crate::mesos::wire::{CallType, FrameworkId, TaskState};

/// What has happened since this master leads.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) allocations: u64,
    pub(super) agents_registered: u64,
    pub(super) agents_reregistered: u64,
    pub(super) agents_removed: u64,
    /// Tasks by the state in which they ended.
    ended: ByState,
    /// Tasks that have not ended, by framework.
    alive: BTreeMap<FrameworkId, ByState>,
}

/// How many tasks are in which state.
type ByState = BTreeMap<TaskState, u64>;

/// What has happened to one framework.
#[derive(Debug, Default)]
pub(super) struct FrameworkCounts {
    pub(super) calls: BTreeMap<CallType, u64>,
    pub(super) offers_sent: u64,
    pub(super) offers_accepted: u64,
    pub(super) offers_declined: u64,
    pub(super) offers_rescinded: u64,
    ended: ByState,
}

/// States in which a task may be, and those in which it may have ended.
const ALIVE: [TaskState; 4] =
    [TaskState::Staging, TaskState::Starting, TaskState::Running, TaskState::Killing];
const ENDED: [TaskState; 8] = [
    TaskState::Finished,
    TaskState::Failed,
    TaskState::Killed,
    TaskState::Error,
    TaskState::Lost,
    TaskState::Dropped,
    TaskState::Gone,
    TaskState::GoneByOperator,
];

/// Name and value of each figure.
type Figures = BTreeMap<String, f64>;

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn figure(count: u64) -> f64 {
    count as f64
}

fn number(count: usize) -> f64 {
    figure(count as u64)
}

fn lower(state: TaskState) -> String {
    state.as_str().to_ascii_lowercase()
}

impl Counts {
    /// A task of `framework` was in the state `from`, if it was there, and is in `to`, if it still is.
    pub(super) fn task_moved(
        &mut self,
        framework: &FrameworkId,
        from: Option<TaskState>,
        to: Option<TaskState>,
    ) {
        let [from, to] = [from, to].map(|state| state.filter(|state| !state.is_terminal()));
        if from == to {
            return;
        }
        let alive = self.alive.entry(framework.clone()).or_default();
        if let Some(to) = to {
            *alive.entry(to).or_default() += 1;
        }
        if let Some(count) = from.and_then(|from| alive.get_mut(&from)) {
            *count -= 1;
        }
        alive.retain(|_, count| *count > 0);
        if alive.is_empty() {
            self.alive.remove(framework);
        }
    }

    /// Panics unless these are the tasks that were counted, one by one.
    #[cfg(test)]
    pub(super) fn check(&self, tasks: &BTreeMap<(FrameworkId, TaskId), Task>) {
        let mut counted = Counts::default();
        for ((framework, _), task) in tasks {
            counted.task_moved(framework, None, Some(task.latest));
        }
        assert_eq!(counted.alive, self.alive);
    }
}

impl Master {
    /// Counts the end of a task.
    pub(super) fn count_end(&mut self, framework: &FrameworkId, state: TaskState) {
        *self.counts.ended.entry(state).or_default() += 1;
        if let Some(framework) = self.frameworks.get_mut(framework) {
            *framework.counts.ended.entry(state).or_default() += 1;
        }
    }

    /// Counts a call.
    pub(super) fn count_call(&mut self, framework: &FrameworkId, call: CallType) {
        if let Some(framework) = self.frameworks.get_mut(framework) {
            *framework.counts.calls.entry(call).or_default() += 1;
        }
    }

    pub(super) fn metrics(&self) -> Figures {
        let mut told = Figures::new();
        let mut tell = |name: &str, value: f64| {
            told.insert(name.to_owned(), value);
        };
        let since = self.env.now().duration_since(self.started);
        tell("master/elected", 1.0);
        tell("master/uptime_secs", since.as_secs_f64());
        tell("master/outstanding_offers", number(self.offers.len()));
        tell("master/slave_registrations", figure(self.counts.agents_registered));
        tell("master/slave_reregistrations", figure(self.counts.agents_reregistered));
        tell("master/slave_removals", figure(self.counts.agents_removed));
        tell("allocator/mesos/allocation_runs", figure(self.counts.allocations));
        self.agent_metrics(&mut tell);
        self.resource_metrics(&mut tell);
        self.task_metrics(&mut tell);
        let connected = self.frameworks.values().filter(|it| it.stream.is_some()).count();
        let away = self.frameworks.len() - connected;
        tell("master/frameworks_connected", number(connected));
        tell("master/frameworks_active", number(connected));
        tell("master/frameworks_disconnected", number(away));
        tell("master/frameworks_inactive", number(away));
        for (id, framework) in &self.frameworks {
            self.framework_metrics(id, framework, &mut tell);
        }
        told
    }

    fn agent_metrics(&self, tell: &mut impl FnMut(&str, f64)) {
        let connected = self.agents.values().filter(|agent| agent.link.is_some()).count();
        let active = self.agents.iter().filter(|(id, it)| it.link.is_some() && self.registry.is_active(id));
        let active = active.count();
        tell("master/slaves_connected", number(connected));
        tell("master/slaves_disconnected", number(self.agents.len() - connected));
        tell("master/slaves_active", number(active));
        tell("master/slaves_inactive", number(self.agents.len() - active));
        tell("master/slaves_unreachable", number(self.registry.unreachable.len()));
    }

    fn resource_metrics(&self, tell: &mut impl FnMut(&str, f64)) {
        let mut offered = Bundle::default();
        self.offers.values().for_each(|it| offered.add(&it.resources.unallocated().scalars()));
        for name in ["cpus", "mem", "disk", "gpus"] {
            let amount = |thousandths: i64| figure(thousandths.unsigned_abs()) / 1000.0;
            // What is held and not offered is used.
            let (held, offered) = (self.shares.held(name), offered.scalar(name));
            let (total, used) = (amount(self.total.scalar(name)), amount(held - offered));
            tell(&format!("master/{name}_total"), total);
            tell(&format!("master/{name}_used"), used);
            tell(&format!("master/{name}_percent"), if total > 0.0 { used / total } else { 0.0 });
            if name == "gpus" && total == 0.0 {
                continue;
            }
            tell(&format!("allocator/mesos/resources/{name}/total"), total);
            tell(&format!("allocator/mesos/resources/{name}/offered_or_allocated"), amount(held));
        }
    }

    fn task_metrics(&self, tell: &mut impl FnMut(&str, f64)) {
        let mut alive = ByState::new();
        for (state, count) in self.counts.alive.values().flatten() {
            *alive.entry(*state).or_default() += count;
        }
        for (states, counts) in [(&ALIVE[..], &alive), (&ENDED[..], &self.counts.ended)] {
            for state in states {
                let name = lower(*state).replacen("task_", "tasks_", 1);
                tell(&format!("master/{name}"), figure(counts.get(state).copied().unwrap_or(0)));
            }
        }
        tell("master/tasks_unreachable", number(self.unreachable_tasks.len()));
    }

    fn framework_metrics(&self, id: &FrameworkId, framework: &Framework, tell: &mut impl FnMut(&str, f64)) {
        let base = format!("master/frameworks/{}/{id}", percent_encoded(&framework.info.name));
        let counts = &framework.counts;
        let mut told = |name: &str, value: f64| tell(&format!("{base}/{name}"), value);
        told("subscribed", f64::from(u8::from(framework.stream.is_some())));
        told("calls", figure(counts.calls.values().sum()));
        for (call, count) in &counts.calls {
            told(&format!("calls/{}", call.as_str().to_ascii_lowercase()), figure(*count));
        }
        told("offers/sent", figure(counts.offers_sent));
        told("offers/accepted", figure(counts.offers_accepted));
        told("offers/declined", figure(counts.offers_declined));
        told("offers/rescinded", figure(counts.offers_rescinded));
        for role in framework.roles() {
            let is = framework.suppressed.contains(&role);
            told(&format!("roles/{}/suppressed", percent_encoded(&role)), f64::from(u8::from(is)));
        }
        let none = ByState::new();
        let alive = self.counts.alive.get(id).unwrap_or(&none);
        for (kind, states, counts) in [("active", &ALIVE[..], alive), ("terminal", &ENDED[..], &counts.ended)]
        {
            for state in states {
                let count = counts.get(state).copied().unwrap_or(0);
                told(&format!("tasks/{kind}/{}", lower(*state)), figure(count));
            }
        }
    }
}

/// As part of a name: what is not a letter, a digit or one of `-_.~` by its code.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
