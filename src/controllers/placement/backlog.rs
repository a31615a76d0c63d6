//! Tasks that placement can do nothing for now: those that cannot be launched, and those that the cluster is to end.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::plan::ObjectName;

/// Why Tasks are withheld: what the template refers to is not there.
pub(super) const SECRET_MISSING: &str = "SecretMissing";
/// Why Tasks are withheld: the installation is not in their Mesos role.
pub(super) const ROLE_MISSING: &str = "RoleMissing";
/// Why Tasks are withheld: those who would run them leave undone what they ask for.
pub(super) const LEFT_UNDONE: &str = "NotSupportedByMesos";
/// Why Tasks are withheld, or were left behind: they cannot be told to an agent as they are.
pub(super) const NOT_LAUNCHABLE: &str = "NotLaunchable";

/// Those Tasks, kept change by change.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Tasks that are not offered to placement, by Revision.
    withheld: BTreeMap<ObjectName, Withheld>,
    /// Tasks that could not be launched when they had a place, by Revision. They are tried again.
    left: BTreeMap<ObjectName, Withheld>,
    /// Tasks that the cluster is to end, of these Apps and since then.
    stopping: BTreeMap<ObjectName, (ObjectName, Timestamp)>,
}

/// Tasks of one Revision that cannot be launched.
#[derive(Debug, Clone)]
pub(super) struct Withheld {
    pub(super) tasks: BTreeSet<ObjectName>,
    pub(super) since: Timestamp,
    /// Why, in a word and in a sentence.
    pub(super) word: &'static str,
    pub(super) reason: String,
}

/// Why Tasks of one Revision cannot be launched, and since when one of them waits.
#[derive(Debug, Clone)]
pub(super) struct Cause {
    pub(super) since: Timestamp,
    pub(super) word: &'static str,
    pub(super) reason: String,
}

impl Backlog {
    /// Forgets all that was said of a Task.
    pub(super) fn forget(&mut self, task: &ObjectName) {
        for withheld in [&mut self.withheld, &mut self.left] {
            withheld.retain(|_, withheld| {
                withheld.tasks.remove(task);
                !withheld.tasks.is_empty()
            });
        }
        self.stopping.remove(task);
    }

    /// A Task is not to be offered to placement.
    pub(super) fn withhold(&mut self, task: &ObjectName, class: ObjectName, cause: Cause) {
        enter(&mut self.withheld, task.clone(), class, cause);
    }

    /// A Task had a place and could not be launched.
    pub(super) fn leave(&mut self, task: ObjectName, class: ObjectName, cause: Cause) {
        enter(&mut self.left, task, class, cause);
    }

    /// A Task of this App is to end, since then.
    pub(super) fn stop(&mut self, task: &ObjectName, app: ObjectName, since: Timestamp) {
        self.stopping.insert(task.clone(), (app, since));
    }

    /// Tasks that cannot be launched or could not be, by Revision.
    pub(super) fn withheld(&self) -> impl Iterator<Item = (&ObjectName, &Withheld)> {
        self.withheld.iter().chain(&self.left)
    }

    /// Why Tasks of this Revision cannot be launched or could not be, if that is so.
    pub(super) fn withheld_of(&self, class: &ObjectName) -> Option<&Withheld> {
        self.withheld.get(class).or_else(|| self.left.get(class))
    }

    /// How many Tasks cannot be launched: for want of a Secret, and as they are.
    pub(super) fn count(&self) -> (usize, usize) {
        self.withheld().fold((0, 0), |(secrets, others), (_, it)| {
            let tasks = it.tasks.len();
            if it.word == SECRET_MISSING { (secrets + tasks, others) } else { (secrets, others + tasks) }
        })
    }

    /// How many Tasks of each App the cluster is to end, and since when the first of them.
    pub(super) fn stopping(&self) -> BTreeMap<&ObjectName, (usize, Timestamp)> {
        let mut stopping = BTreeMap::new();
        for (app, since) in self.stopping.values() {
            let (count, first) = stopping.entry(app).or_insert((0, *since));
            *count += 1;
            *first = (*first).min(*since);
        }
        stopping
    }
}

fn enter(
    all: &mut BTreeMap<ObjectName, Withheld>,
    task: ObjectName,
    class: ObjectName,
    Cause { since, word, reason }: Cause,
) {
    let withheld = all.entry(class).or_insert(Withheld { tasks: BTreeSet::new(), since, word, reason });
    withheld.tasks.insert(task);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_task_is_counted_for_as_long_as_it_is_so() {
        let (one, two) = (ObjectName::new("shop", "web-1"), ObjectName::new("shop", "web-2"));
        let (class, app) = (ObjectName::new("shop", "web.v1"), ObjectName::new("shop", "web"));
        let cause = |word| Cause { since: at(1), word, reason: "because".to_owned() };
        let mut backlog = Backlog::default();
        backlog.withhold(&one, class.clone(), cause(SECRET_MISSING));
        backlog.leave(two.clone(), class.clone(), cause(NOT_LAUNCHABLE));
        backlog.stop(&one, app.clone(), at(5));
        backlog.stop(&two, app.clone(), at(3));
        assert_eq!((backlog.count(), backlog.stopping()[&app]), ((1, 1), (2, at(3))));
        backlog.forget(&one);
        assert_eq!((backlog.count(), backlog.stopping()[&app]), ((0, 1), (1, at(3))));
        assert_eq!(backlog.withheld_of(&class).map(|it| it.word), Some(NOT_LAUNCHABLE));
        backlog.forget(&two);
        assert!(backlog.withheld().next().is_none() && backlog.stopping().is_empty());
    }
}
