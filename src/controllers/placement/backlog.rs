//! Tasks that placement can do nothing for now: those that cannot be launched, and those that the cluster is to end.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::plan::ObjectName;

/// Why Tasks are withheld: what the template refers to is not there.
pub(super) const SECRET_MISSING: &str = "SecretMissing";
/// Why Tasks are withheld: the installation is not in their Mesos role.
pub(super) const ROLE_MISSING: &str = "RoleMissing";
/// Why Tasks are withheld: the installation takes nothing that is lent.
pub(super) const NOTHING_LENT: &str = "RevocableNotOffered";
/// Why Tasks are withheld: those who would run them leave undone what they ask for.
pub(super) const LEFT_UNDONE: &str = "NotSupportedByMesos";
/// Why Tasks are withheld: they cannot be told to an agent as they are.
pub(super) const NOT_LAUNCHABLE: &str = "NotLaunchable";

/// Those Tasks, kept change by change.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Tasks that are not offered to placement, by Revision.
    withheld: BTreeMap<ObjectName, Withheld>,
    /// The Revisions of these.
    revisions: BTreeMap<ObjectName, ObjectName>,
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
        self.stopping.remove(task);
        let Some(class) = self.revisions.remove(task) else { return };
        if let Some(withheld) = self.withheld.get_mut(&class) {
            withheld.tasks.remove(task);
            if withheld.tasks.is_empty() {
                self.withheld.remove(&class);
            }
        }
    }

    /// A Task is not to be offered to placement. The cause is that of all Tasks of its Revision: what was said of others is out of date.
    pub(super) fn withhold(&mut self, task: &ObjectName, class: ObjectName, cause: Cause) {
        self.revisions.insert(task.clone(), class.clone());
        let Cause { since, word, reason } = cause;
        let before = self.withheld.remove(&class);
        let since = before.as_ref().map_or(since, |it| it.since.min(since));
        let mut tasks = before.map(|it| it.tasks).unwrap_or_default();
        tasks.insert(task.clone());
        self.withheld.insert(class, Withheld { tasks, since, word, reason });
    }

    /// A Task of this App is to end, since then.
    pub(super) fn stop(&mut self, task: &ObjectName, app: ObjectName, since: Timestamp) {
        self.stopping.insert(task.clone(), (app, since));
    }

    /// Tasks that cannot be launched, by Revision.
    pub(super) fn withheld(&self) -> impl Iterator<Item = (&ObjectName, &Withheld)> {
        self.withheld.iter()
    }

    /// Why Tasks of this Revision cannot be launched, if that is so.
    pub(super) fn withheld_of(&self, class: &ObjectName) -> Option<&Withheld> {
        self.withheld.get(class)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_task_is_counted_for_as_long_as_it_is_so() {
        let (one, two) = (ObjectName::new("shop", "web-1"), ObjectName::new("shop", "web-2"));
        let [class, other] = ["web.v1", "web.v2"].map(|it| ObjectName::new("shop", it));
        let app = ObjectName::new("shop", "web");
        let cause = |word| Cause { since: at(1), word, reason: "because".to_owned() };
        let mut backlog = Backlog::default();
        backlog.withhold(&one, class.clone(), cause(SECRET_MISSING));
        backlog.withhold(&two, other.clone(), cause(NOT_LAUNCHABLE));
        backlog.stop(&one, app.clone(), at(5));
        backlog.stop(&two, app.clone(), at(3));
        assert_eq!((backlog.count(), backlog.stopping()[&app]), ((1, 1), (2, at(3))));
        backlog.forget(&one);
        assert_eq!((backlog.count(), backlog.stopping()[&app]), ((0, 1), (1, at(3))));
        let word = |class| backlog.withheld_of(class).map(|it| it.word);
        assert_eq!((word(&class), word(&other)), (None, Some(NOT_LAUNCHABLE)));
        backlog.forget(&two);
        assert!(backlog.withheld().next().is_none() && backlog.stopping().is_empty());
    }
}
