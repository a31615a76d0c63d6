//! A constraint that held at placement was true of the state that placement saw.

use tenure::api::{Constraint, Operator, Revision, Task};
use tenure::registry::{Key, Snapshot};

use super::kinds::{resource, task_changes};
use super::{Check, Step, is_live, of_app, typed};

pub(super) struct Constraints {
    /// See [`super::Terms::blurred`]: counts are then not judged.
    pub(super) blurred: bool,
}

impl Check for Constraints {
    fn committed(&mut self, step: &Step<'_>, broken: &mut Vec<String>) {
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
                        && self::host(task) == Some(host)
                });
                let beside = if self.blurred { 0 } else { beside.count() };
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

/// Spread (`GROUP_BY`) and attraction (`CLUSTER`) depend on what was offered, which the store does not show.
fn holds(constraint: &Constraint, host: &str, beside: usize) -> bool {
    let value = constraint.value.as_deref().unwrap_or_default();
    match constraint.operator {
        Operator::Is | Operator::Like => host == value,
        Operator::Unlike => host != value,
        Operator::Unique => beside == 0,
        Operator::MaxPer => value.parse().is_ok_and(|most: usize| beside < most),
        Operator::Cluster | Operator::GroupBy => true,
    }
}
