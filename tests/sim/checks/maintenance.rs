//! No Task gets a place on a machine that is about to be taken away, once the store says that it is.
//!
//! A place that was chosen before somebody heard of it may still be on its way to the store.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tenure::api::{self, Agent, Task};
use tenure::registry::Change;
use tokio::time::Instant;

use super::kinds::{task_changes, typed};
use super::{Blur, Check, Step};

/// The longest that a binding is on its way to the store.
const LATELY: Duration = Duration::from_secs(10);
/// So long before its maintenance a machine is left.
const AHEAD: Duration = Duration::from_secs(30 * 60);

pub(super) struct Maintenance {
    /// Places that are chosen meanwhile are not judged.
    blur: Blur,
    /// The beginning of the world, at which all clocks in it stand at the epoch.
    origin: Instant,
    /// What is planned for each agent, and since when the store says so, after [`Maintenance::origin`].
    planned: BTreeMap<String, (api::Maintenance, Duration)>,
}

impl Maintenance {
    /// In a world that begins now.
    pub(super) fn new(blur: &Blur) -> Maintenance {
        Maintenance { blur: blur.clone(), origin: Instant::now(), planned: BTreeMap::new() }
    }

    fn note_plan(&mut self, change: &Change) {
        let read = |doc: &Option<_>| doc.as_ref().and_then(typed::<Agent>).and_then(|it| it.status.clone());
        let (old, new) = (read(&change.old), read(&change.new));
        let Some(agent) = new.as_ref().or(old.as_ref()).map(|it| it.agent_id.clone()) else { return };
        match new.and_then(|it| it.maintenance) {
            Some(plan) if self.planned.get(&agent).is_some_and(|(known, _)| *known == plan) => {}
            Some(plan) => drop(self.planned.insert(agent, (plan, self.origin.elapsed()))),
            None => drop(self.planned.remove(&agent)),
        }
    }

    /// The plan of the machine on which the place of `task` is, if it was known when that was chosen.
    fn known(&self, task: &Task) -> Option<&api::Maintenance> {
        let binding = task.spec.binding.as_ref()?;
        let (plan, since) = self.planned.get(&binding.agent_id)?;
        let now = self.origin.elapsed();
        let chosen = Duration::try_from(binding.bound_at.0.duration_since(Timestamp::UNIX_EPOCH)).ok()?;
        // By a clock that is ahead it was chosen later than now: when that was nobody knows, but that it was lately.
        let chosen = chosen.min(now.saturating_sub(LATELY));
        (*since + LATELY < chosen).then_some(plan)
    }
}

fn is_leaving(plan: &api::Maintenance, at: Timestamp) -> bool {
    plan.from.0.saturating_sub(AHEAD).is_ok_and(|from| from <= at)
        && plan.until.as_ref().is_none_or(|until| at < until.0)
}

impl Check for Maintenance {
    fn committed(&mut self, step: &Step<'_>, broken: &mut Vec<String>) {
        for change in step.changes.iter().filter(|it| it.key.resource.plural() == "agents") {
            self.note_plan(change);
        }
        if self.blur.is_on() || self.blur.is_stalled() {
            return;
        }
        let newly = task_changes(step.changes).filter(|it| {
            it.new.spec.binding.is_some() && it.old.as_ref().is_some_and(|old| old.spec.binding.is_none())
        });
        for change in newly {
            let (Some(plan), Some(binding)) = (self.known(&change.new), &change.new.spec.binding) else {
                continue;
            };
            if is_leaving(plan, binding.bound_at.0) {
                let host = &binding.host;
                broken.push(format!(
                    "{} is placed on {host}, which is about to be taken away: {plan:?}",
                    change.name
                ));
            }
        }
    }
}
