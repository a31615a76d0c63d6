//! A loop's view of the registry: a snapshot of all kinds, and an index that pure code keeps level with it.

use std::fmt;
use std::sync::Arc;

use crate::registry::cache::{Cache, Subscription};
use crate::registry::snapshot::{Change, Snapshot};
use crate::store::Revision;

/// What a loop looks things up by, derived from a snapshot and nothing else.
///
/// # Guarantees wanted
/// Applying the changes from one snapshot to the next gives the index of the next one; debug builds check it.
pub trait Index: Default + PartialEq + fmt::Debug + Send + Sync + 'static {
    /// Takes one change in.
    fn apply(&mut self, change: &Change);

    /// The index of `snapshot`, from nothing.
    #[must_use]
    fn of(snapshot: &Snapshot) -> Self {
        let mut index = Self::default();
        for doc in snapshot.iter() {
            let (revision, key) = (doc.revision(), doc.key().clone());
            index.apply(&Change { revision, key, old: None, new: Some(doc.clone()) });
        }
        index
    }
}

impl Index for () {
    fn apply(&mut self, _: &Change) {}
}

/// What a decision looks at: everything at one revision.
#[derive(Debug)]
pub struct Scene<I> {
    pub snapshot: Snapshot,
    pub index: I,
}

/// What happened since a view was last looked at: steps that lead from the scene shown then to the one shown now. What
/// a reader was too slow for comes as one step per object.
pub type News = Vec<Arc<Change>>;

/// A scene that moves forward when its reader asks for it.
#[derive(Debug)]
pub struct View<I> {
    subscription: Subscription,
    scene: Scene<I>,
    /// Changes that the scene shows and nobody was told of yet.
    untold: News,
}

impl<I: Index> View<I> {
    /// A view of the present state of `cache`.
    #[must_use]
    pub fn open(cache: &Arc<Cache>) -> View<I> {
        let (snapshot, subscription) = cache.follow(None);
        let scene = Scene { index: I::of(&snapshot), snapshot };
        View { subscription, scene, untold: News::new() }
    }

    /// What can be seen now.
    #[must_use]
    pub fn scene(&self) -> &Scene<I> {
        &self.scene
    }

    /// Waits until something changes and moves on to the present. Cancelling loses nothing.
    pub async fn changed(&mut self) -> News {
        loop {
            self.advance();
            if !self.untold.is_empty() {
                return std::mem::take(&mut self.untold);
            }
            self.subscription.moved().await;
        }
    }

    /// Moves on to the present at or after `revision`, which is waited for. Cancelling loses nothing.
    pub async fn reach(&mut self, revision: Revision) -> News {
        loop {
            self.advance();
            if self.shows(revision) {
                return std::mem::take(&mut self.untold);
            }
            self.subscription.moved().await;
        }
    }

    /// Moves on to the present, without waiting.
    pub fn catch_up(&mut self) -> News {
        self.advance();
        std::mem::take(&mut self.untold)
    }

    /// Costs as much as there are changes, also for a reader that fell behind the history that is kept: then the two
    /// snapshots are compared, which skips what they share.
    fn advance(&mut self) {
        let (changes, snapshot) = self.subscription.advance().unwrap_or_else(|_gone| {
            let snapshot = self.subscription.resync();
            (self.scene.snapshot.steps_to(&snapshot), snapshot)
        });
        changes.iter().for_each(|change| self.scene.index.apply(change));
        self.scene.snapshot = snapshot;
        debug_assert!(
            changes.is_empty() || self.scene.index == I::of(&self.scene.snapshot),
            "the index is level with its snapshot"
        );
        self.untold.extend(changes);
    }

    /// Whether the view shows `revision`.
    #[must_use]
    pub fn shows(&self, revision: Revision) -> bool {
        self.scene.snapshot.revision >= revision
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::Timestamp;

    use super::*;
    use crate::env::Env;
    use crate::registry::cache::CacheOptions;
    use crate::registry::key::{Key, Prefix, Resource};
    use crate::store::memory::MemoryStore;
    use crate::store::{Op, Store, Txn, TxnOutcome};

    #[derive(Debug, Default, PartialEq)]
    struct Names(BTreeSet<String>);

    impl Index for Names {
        fn apply(&mut self, change: &Change) {
            let name = change.key.name.to_string();
            match change.new {
                Some(_) => self.0.insert(name),
                None => self.0.remove(&name),
            };
        }
    }

    async fn put(store: &MemoryStore, name: &str) -> Revision {
        let key = Key::new(&Resource::new("", "secrets"), "ns", name).store_key(&Prefix::new("demo"));
        let value = br#"{"metadata":{}}"#.as_slice().into();
        let outcome = store.txn(Txn { guards: vec![], ops: vec![Op::Put { key, value, lease: None }] }).await;
        match outcome.unwrap() {
            TxnOutcome::Committed(revision) => revision,
            refused @ TxnOutcome::Refused { .. } => panic!("{refused:?}"),
        }
    }

    fn names(view: &View<Names>) -> Vec<&str> {
        view.scene().index.0.iter().map(String::as_str).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn view_moves_on_with_its_index_and_shows_what_was_written() {
        let env = Env::simulated("test", 1, Timestamp::UNIX_EPOCH);
        let store = MemoryStore::new(&env);
        put(&store, "a").await;
        let cache = Cache::start(&env, store.clone(), &Prefix::new("demo"));
        cache.listed().await;
        let mut view: View<Names> = View::open(&cache);
        assert_eq!(names(&view), ["a"]);
        let revision = put(&store, "b").await;
        assert_eq!((view.reach(revision).await.len(), names(&view)), (1, vec!["a", "b"]));
        put(&store, "c").await;
        assert_eq!(view.changed().await.len(), 1);
        assert_eq!(view.scene().snapshot.iter().count(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn view_that_was_cut_is_told_what_differs_from_what_it_showed() {
        let env = Env::simulated("test", 1, Timestamp::UNIX_EPOCH);
        let store = MemoryStore::new(&env);
        let options = CacheOptions { ring_bytes_max: 1, ..CacheOptions::default() };
        let cache = Cache::start_with(&env, store.clone(), &Prefix::new("demo"), options);
        cache.listed().await;
        let mut view: View<Names> = View::open(&cache);
        put(&store, "a").await;
        let mut last = put(&store, "b").await;
        let told = |news: News| -> Vec<String> { news.iter().map(|it| it.key.name.to_string()).collect() };
        assert_eq!(told(view.reach(last).await), ["a", "b"]);
        for name in ["b", "c", "b"] {
            last = put(&store, name).await;
        }
        assert_eq!(told(view.reach(last).await), ["b", "c"], "one step per object, however often it changed");
        assert_eq!(names(&view), ["a", "b", "c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn news_that_a_wait_was_given_up_over_are_told_later() {
        let env = Env::simulated("test", 1, Timestamp::UNIX_EPOCH);
        let store = MemoryStore::new(&env);
        let cache = Cache::start(&env, store.clone(), &Prefix::new("demo"));
        cache.listed().await;
        let mut view: View<Names> = View::open(&cache);
        let revision = put(&store, "a").await;
        let never = view.reach(revision + 1);
        assert!(tokio::time::timeout(std::time::Duration::from_secs(1), never).await.is_err());
        assert_eq!(view.catch_up().len(), 1);
    }
}
