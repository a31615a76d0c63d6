//! What nobody needs any more: dependants without an owner, finalizers that are fulfilled, ended Tasks and events past
//! their limits, what is left in a namespace that is being deleted.
//!
//! Old Revisions are not here: which ones history keeps is a matter of the App (`deployment`). Every function looks at
//! one object and what refers to it, never at all objects. `K` is how the caller names an object.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::{Again, after, micro_time};
use crate::api::{Stop, labels};

/// Finalizer: dependants that block go first.
pub const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer: dependants are kept and forget their owner.
pub const ORPHAN: &str = "orphan";

/// What garbage collection needs to know of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object<K> {
    /// The object.
    pub key: K,
    /// Its uid.
    pub uid: String,
    /// Whom it belongs to.
    pub owners: Vec<Owner>,
    /// Whether it has a deletion timestamp.
    pub deleting: bool,
    /// Its finalizers.
    pub finalizers: Vec<String>,
}

impl<K> Object<K> {
    fn has(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|it| it == finalizer)
    }

    /// Whether what it owns is left to it: an App ends its Tasks itself, each with its reason and the time that its
    /// Revision grants, and lets go when the last one has ended.
    fn ends_its_own(&self) -> bool {
        self.has(labels::TASKS_FINALIZER)
    }

    /// How it is doing as an owner.
    #[must_use]
    pub fn state(&self) -> OwnerState {
        if self.deleting && self.has(FOREGROUND) && !self.ends_its_own() {
            OwnerState::WaitsForDependants
        } else {
            OwnerState::Lives
        }
    }
}

/// An owner reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Uid of the owner.
    pub uid: String,
    /// `blockOwnerDeletion`.
    pub blocks: bool,
    /// Whether it would be seen here: its kind is served. Nobody can tell of another whether it is gone.
    pub visible: bool,
}

/// How an owner is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// It exists.
    Lives,
    /// It exists, and its deletion waits for its dependants (`foregroundDeletion`).
    WaitsForDependants,
    /// There is no object with this uid.
    Gone,
}

/// One change of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<K> {
    /// Delete it, with background propagation; its own finalizers hold.
    Delete {
        /// The object.
        key: K,
    },
    /// Remove one finalizer.
    RemoveFinalizer {
        /// The object.
        key: K,
        /// Which one.
        finalizer: String,
    },
    /// Remove the owner references with this uid.
    RemoveOwner {
        /// The object.
        key: K,
        /// Uid of the owner.
        owner: String,
    },
}

/// A dependant goes when none of its owners lives; an owner that is gone beside one that lives is forgotten.
#[must_use]
pub fn dependant<K: Clone>(object: &Object<K>, state: impl Fn(&str) -> OwnerState) -> Vec<Action<K>> {
    if object.owners.is_empty() || object.deleting || planted!("dependants-stay") {
        return Vec::new();
    }
    let states: Vec<_> = object
        .owners
        .iter()
        .map(|it| (it, if it.visible { state(&it.uid) } else { OwnerState::Lives }))
        .collect();
    if !states.iter().any(|(_, state)| *state == OwnerState::Lives) {
        return vec![Action::Delete { key: object.key.clone() }];
    }
    states
        .into_iter()
        .filter(|(_, state)| *state == OwnerState::Gone)
        .map(|(owner, _)| Action::RemoveOwner { key: object.key.clone(), owner: owner.uid.clone() })
        .collect()
}

/// An owner that is being deleted: what its finalizers ask of its dependants, and the finalizers that are fulfilled.
#[must_use]
pub fn owner<K: Clone>(owner: &Object<K>, dependants: &[Object<K>]) -> Vec<Action<K>> {
    if !owner.deleting {
        return Vec::new();
    }
    let mine = || dependants.iter().filter(|it| it.owners.iter().any(|o| o.uid == owner.uid));
    let fulfilled = |finalizer: &str| {
        vec![Action::RemoveFinalizer { key: owner.key.clone(), finalizer: finalizer.to_owned() }]
    };
    if owner.has(ORPHAN) {
        let forget = |it: &Object<K>| Action::RemoveOwner { key: it.key.clone(), owner: owner.uid.clone() };
        let actions: Vec<_> = mine().map(forget).collect();
        return if actions.is_empty() { fulfilled(ORPHAN) } else { actions };
    }
    if owner.has(FOREGROUND) && !owner.ends_its_own() {
        let blocks = |it: &&Object<K>| it.owners.iter().any(|o| o.uid == owner.uid && o.blocks);
        if mine().filter(blocks).count() == 0 {
            return fulfilled(FOREGROUND);
        }
        let left = mine().filter(|it| !it.deleting);
        return left.map(|it| Action::Delete { key: it.key.clone() }).collect();
    }
    Vec::new()
}

/// What is to be done about a namespace, or the definition of a kind, that is being deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentStep<K> {
    /// Delete these; the others in it are being deleted already, or are left to an owner that is.
    Empty(Vec<Action<K>>),
    /// Everything in it is on its way out; these finalizers hold it.
    Wait(BTreeSet<String>),
    /// Nothing is left: finish it.
    Finish,
}

/// Looks at all objects in a namespace, or of a kind, that is being deleted.
#[must_use]
pub fn content<K: Clone>(contents: &[Object<K>]) -> ContentStep<K> {
    if contents.is_empty() {
        return ContentStep::Finish;
    }
    let enders: BTreeSet<&str> =
        contents.iter().filter(|it| it.ends_its_own()).map(|it| it.uid.as_str()).collect();
    let is_left_to_its_owner = |it: &Object<K>| {
        !it.ends_its_own() && it.owners.iter().any(|owner| enders.contains(owner.uid.as_str()))
    };
    let due = contents.iter().filter(|it| !it.deleting && !is_left_to_its_owner(it));
    let actions: Vec<_> = due.map(|it| Action::Delete { key: it.key.clone() }).collect();
    if !actions.is_empty() {
        return ContentStep::Empty(actions);
    }
    ContentStep::Wait(contents.iter().flat_map(|it| it.finalizers.iter().cloned()).collect())
}

/// Why a Task ends that nobody owns any more.
#[must_use]
pub fn ownerless(now: Timestamp) -> Stop {
    Stop { reason: "OwnerGone".into(), message: "nothing owns the task any more".into(), at: micro_time(now) }
}

/// How much of the past is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Ended Tasks per App.
    pub ended_tasks: usize,
    /// How long an ended Task is kept.
    pub ended_task_age: Duration,
    /// How long an event is kept after it last happened.
    pub event_age: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let hour = Duration::from_secs(3600);
        Self { ended_tasks: 5, ended_task_age: hour, event_age: hour }
    }
}

/// A Task that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended<K> {
    /// The Task.
    pub key: K,
    /// When it ended.
    pub finished: Timestamp,
    /// Whether its end was counted (`spec.stop` is set). Others stay, or a failure would go unseen.
    pub counted: bool,
}

/// Ended Tasks of one App past their limits, oldest first, and when the next one will be.
#[must_use]
pub fn history<K: Clone + Ord>(
    ended: &[Ended<K>],
    retention: &Retention,
    now: Timestamp,
) -> (Vec<Action<K>>, Again) {
    let mut past: Vec<_> = ended.iter().filter(|it| it.counted).collect();
    past.sort_by(|a, b| (a.finished, &a.key).cmp(&(b.finished, &b.key)));
    let many = past.len().saturating_sub(retention.ended_tasks);
    let old = past.partition_point(|it| after(it.finished, retention.ended_task_age) <= now);
    let gone = many.max(old);
    let next = past.get(gone).map(|it| Again::At(after(it.finished, retention.ended_task_age)));
    let delete = |it: &&Ended<K>| Action::Delete { key: it.key.clone() };
    (past[..gone].iter().map(delete).collect(), next.unwrap_or_default())
}

/// Events past their age, and when the next one will be. `by_time` is in order of when each last happened.
#[must_use]
pub fn events<'a, K: Clone + 'a>(
    by_time: impl IntoIterator<Item = (Timestamp, &'a K)>,
    retention: &Retention,
    now: Timestamp,
) -> (Vec<Action<K>>, Again) {
    let mut actions = Vec::new();
    for (last, key) in by_time {
        let ends = after(last, retention.event_age);
        if ends > now {
            return (actions, Again::At(ends));
        }
        actions.push(Action::Delete { key: key.clone() });
    }
    (actions, Again::OnChange)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(
        key: &'static str,
        owners: &[(&str, bool)],
        deleting: bool,
        finalizers: &[&str],
    ) -> Object<&'static str> {
        Object {
            key,
            uid: key.into(),
            owners: owners
                .iter()
                .map(|&(uid, blocks)| Owner { uid: uid.into(), blocks, visible: uid != "unseen" })
                .collect(),
            deleting,
            finalizers: finalizers.iter().map(|&it| it.to_owned()).collect(),
        }
    }

    fn show(actions: Vec<Action<&str>>) -> Vec<String> {
        let one = |it| match it {
            Action::Delete { key } => format!("delete {key}"),
            Action::RemoveFinalizer { key, finalizer } => format!("{key} without {finalizer}"),
            Action::RemoveOwner { key, owner } => format!("{key} forgets {owner}"),
        };
        actions.into_iter().map(one).collect()
    }

    #[test]
    fn a_dependant_goes_with_its_last_owner() {
        let state = |uid: &str| match uid {
            "lives" => OwnerState::Lives,
            "waits" => OwnerState::WaitsForDependants,
            _ => OwnerState::Gone,
        };
        let rows: [(&[&str], &[&str]); 8] = [
            (&[], &[]),
            (&["lives"], &[]),
            (&["gone"], &["delete it"]),
            (&["waits"], &["delete it"]),
            (&["gone", "waits"], &["delete it"]),
            (&["gone", "lives"], &["it forgets gone"]),
            (&["unseen"], &[]),
            (&["gone", "unseen"], &["it forgets gone"]),
        ];
        for (owners, expected) in rows {
            let owners: Vec<_> = owners.iter().map(|&it| (it, true)).collect();
            assert_eq!(show(dependant(&object("it", &owners, false, &[]), state)), expected, "{owners:?}");
            assert_eq!(dependant(&object("it", &owners, true, &[]), state), [], "it is going already");
        }
    }

    #[test]
    fn an_owner_waits_for_what_its_finalizers_ask() {
        let free = object("free", &[("app", false)], false, &[]);
        let blocking = object("blocking", &[("app", true)], false, &[]);
        let going = object("going", &[("app", true)], true, &[]);
        let other = object("other", &[("else", true)], false, &[]);
        let app = |finalizers| object("app", &[], true, finalizers);
        let ends_its_own: &[&str] = &[labels::TASKS_FINALIZER, FOREGROUND];
        let rows: [(&[&str], Vec<Object<_>>, &[&str]); 8] = [
            (&[], vec![blocking.clone()], &[]), // background: they go after it
            (&[FOREGROUND], vec![blocking.clone(), free.clone()], &["delete blocking", "delete free"]),
            (&[FOREGROUND], vec![going.clone(), other.clone()], &[]),
            (ends_its_own, vec![blocking.clone()], &[]), // they are left to it
            (&[FOREGROUND], vec![free.clone()], &["app without foregroundDeletion"]),
            (&[FOREGROUND], vec![other.clone()], &["app without foregroundDeletion"]),
            (&[ORPHAN], vec![blocking, going], &["blocking forgets app", "going forgets app"]),
            (&[ORPHAN], vec![other], &["app without orphan"]),
        ];
        for (finalizers, dependants, expected) in rows {
            assert_eq!(show(owner(&app(finalizers), &dependants)), expected, "{finalizers:?}");
        }
        assert_eq!(owner(&object("app", &[], false, &[ORPHAN]), &[free]), [], "it lives");
    }

    #[test]
    fn a_namespace_is_emptied_and_then_finished() {
        let contents = [object("a", &[], false, &[]), object("b", &[], true, &["held"])];
        let ContentStep::Empty(actions) = content(&contents) else { panic!("it is not empty") };
        assert_eq!(show(actions), ["delete a"]);
        assert_eq!(content(&contents[1..]), ContentStep::Wait(BTreeSet::from(["held".to_owned()])));
        assert_eq!(content::<&str>(&[]), ContentStep::Finish);
    }

    #[test]
    fn what_an_app_ends_itself_is_left_to_it_in_a_namespace_too() {
        let own = labels::TASKS_FINALIZER;
        let contents = |app_goes| {
            [
                object("app", &[], app_goes, &[own]),
                object("task", &[("app", true)], false, &["cluster"]),
                object("nested", &[("app", true)], app_goes, &[own]),
            ]
        };
        let ContentStep::Empty(actions) = content(&contents(false)) else { panic!("it is not empty") };
        assert_eq!(show(actions), ["delete app", "delete nested"]);
        let holds = BTreeSet::from([own.to_owned(), "cluster".to_owned()]);
        assert_eq!(content(&contents(true)), ContentStep::Wait(holds));
        let [app, ..] = contents(true);
        assert_eq!(
            Object { finalizers: vec![own.into(), FOREGROUND.into()], ..app.clone() }.state(),
            OwnerState::Lives
        );
        let waits = Object { finalizers: vec![FOREGROUND.into()], ..app };
        assert_eq!(waits.state(), OwnerState::WaitsForDependants);
    }

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn history_keeps_the_newest_few_for_a_while() {
        let retention = Retention {
            ended_tasks: 2,
            ended_task_age: Duration::from_secs(100),
            event_age: Duration::from_secs(100),
        };
        let ended = |key, second, counted| Ended { key, finished: time(second), counted };
        let tasks = [
            ended("d", 40, true),
            ended("a", 10, true),
            ended("c", 30, true),
            ended("b", 10, true),
            ended("uncounted", 1, false),
        ];
        let (actions, again) = history(&tasks, &retention, time(50));
        assert_eq!(show(actions), ["delete a", "delete b"], "two too many");
        assert_eq!(again, Again::At(time(130)));
        let (actions, again) = history(&tasks, &retention, time(130));
        assert_eq!(show(actions), ["delete a", "delete b", "delete c"], "and one too old");
        assert_eq!(again, Again::At(time(140)));
        assert_eq!(history(&tasks[4..], &retention, time(999)), (Vec::new(), Again::OnChange));
    }

    #[test]
    fn events_end_in_the_order_of_time() {
        let retention = Retention::default();
        let all = [(time(0), &"a"), (time(10), &"b"), (time(20), &"c")];
        let (actions, again) = events(all, &retention, time(3610));
        assert_eq!(show(actions), ["delete a", "delete b"]);
        assert_eq!(again, Again::At(time(3620)));
    }
}
