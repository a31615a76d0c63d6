//! A constraint that held at placement was true of the state that placement saw.
//!
//! A cut-off Task that came back while a binding was on its way to the store was not there when the place was chosen, and
//! the binding is not guarded by it: the update is the agent's, and a binding that lost against it would lose its offer for nothing.
//! It is left out, by the times at which the place was chosen and at which the Task was told to be back. Nor was one there that came
//! back while the watch stood still.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use regex::Regex;
use tenure::api::{Constraint, Operator, Revision, Task};
use tenure::registry::{Key, Snapshot};
use tokio::time::Instant;

use super::kinds::{resource, task_changes};
use super::{Blur, Check, Step, is_live, of_app, typed};

/// The longest that a binding is on its way to the store.
const LATELY: Duration = Duration::from_secs(10);

pub(super) struct Constraints {
    /// Counts are then not judged.
    blur: Blur,
    /// The beginning of the world, at which all clocks in it stand at the epoch.
    origin: Instant,
    /// When each Task that was cut off came back, after [`Constraints::origin`]; never, for all that placement knows, while the
    /// watch stands still.
    back: BTreeMap<String, Duration>,
}

impl Constraints {
    /// In a world that begins now.
    pub(super) fn new(blur: &Blur) -> Constraints {
        Constraints { blur: blur.clone(), origin: Instant::now(), back: BTreeMap::new() }
    }

    fn note_returns(&mut self, step: &Step<'_>) {
        for change in task_changes(step.changes) {
            if change.old.as_deref().is_some_and(|old| !is_reachable(old)) && is_reachable(&change.new) {
                let at = if self.blur.is_stalled() { Duration::MAX } else { self.origin.elapsed() };
                self.back.insert(change.name.to_owned(), at);
            }
        }
    }

    /// Whether the Task `name` had come back when the place of `task` was chosen, if it ever was away.
    fn was_seen(&self, name: &str, task: &Task) -> bool {
        let chosen = task.spec.binding.as_ref().map(|it| it.bound_at.0.duration_since(Timestamp::UNIX_EPOCH));
        let chosen = chosen.and_then(|it| Duration::try_from(it).ok()).unwrap_or_default();
        let now = self.origin.elapsed();
        // By a clock that is ahead it was chosen later than now: when that was nobody knows, but that it was lately.
        let chosen = if chosen > now { now.saturating_sub(LATELY) } else { chosen };
        self.back.get(name).is_none_or(|back| *back < chosen)
    }
}

fn is_reachable(task: &Task) -> bool {
    task.status.as_ref().is_none_or(|status| status.reachable)
}

impl Check for Constraints {
    fn committed(&mut self, step: &Step<'_>, broken: &mut Vec<String>) {
        self.note_returns(step);
        let newly = task_changes(step.changes).filter(|it| {
            it.new.spec.binding.is_some() && it.old.as_ref().is_some_and(|old| old.spec.binding.is_none())
        });
        for change in newly {
            let Some(host) = host(&change.new) else { continue };
            let constraints = constraints(step.after, change.namespace, &change.new.spec.revision);
            for constraint in constraints.iter().filter(|it| it.attribute == "hostname") {
                let placed = of_app(step.after, change.namespace, &change.new.spec.app);
                let beside = placed.iter().filter(|(name, task)| {
                    name.as_str() != change.name
                        && task.spec.revision == change.new.spec.revision
                        && is_live(task)
                        && self.was_seen(name, &change.new)
                        && self::host(task) == Some(host)
                });
                let beside = if self.blur.is_on() { 0 } else { beside.count() };
                if !holds(constraint, host, beside) {
                    broken.push(format!(
                        "{} is placed on {host}, beside {beside} others, against {constraint:?}",
                        change.name
                    ));
                }
            }
        }
    }
}

fn host(task: &Task) -> Option<&str> {
    task.spec.binding.as_ref().map(|it| it.host.as_str())
}

fn constraints(snapshot: &Snapshot, namespace: &str, revision: &str) -> Vec<Constraint> {
    let doc = snapshot.get(&Key::new(&resource("revisions"), namespace, revision));
    let revision = doc.and_then(typed::<Revision>);
    revision.map(|it| it.spec.template.constraints.clone()).unwrap_or_default()
}

fn matches_whole(pattern: &str, text: &str) -> bool {
    Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|pattern| pattern.is_match(text))
}

/// Spread (`GROUP_BY`) and attraction (`CLUSTER`) depend on what was offered, which the store does not show.
fn holds(constraint: &Constraint, host: &str, beside: usize) -> bool {
    let value = constraint.value.as_deref().unwrap_or_default();
    match constraint.operator {
        Operator::Is => host == value,
        Operator::Like => matches_whole(value, host),
        Operator::Unlike => !matches_whole(value, host),
        Operator::Unique => beside == 0,
        Operator::MaxPer => value.parse().is_ok_and(|most: usize| beside < most),
        Operator::Cluster | Operator::GroupBy => true,
    }
}
