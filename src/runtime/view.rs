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

/// What happened since a view was last looked at.
#[derive(Debug)]
pub enum News {
    /// These changes, in order.
    Changes(Vec<Arc<Change>>),
    /// So much that it is not known what: everything must be looked at.
    Everything,
}

/// A scene that moves forward when its reader asks for it.
#[derive(Debug)]
pub struct View<I> {
    subscription: Subscription,
    scene: Scene<I>,
}

impl<I: Index> View<I> {
    /// A view of the present state of `cache`.
    #[must_use]
    pub fn open(cache: &Arc<Cache>) -> View<I> {
        let (subscription, snapshot) = cache.follow();
        let scene = Scene { index: I::of(&snapshot), snapshot };
        View { subscription, scene }
    }

    /// What can be seen now.
    #[must_use]
    pub fn scene(&self) -> &Scene<I> {
        &self.scene
    }

    /// Waits until something changes and moves on to the present. Cancelling loses nothing.
    pub async fn changed(&mut self) -> News {
        match self.subscription.advance().await {
            Ok((changes, snapshot)) => {
                changes.iter().for_each(|change| self.scene.index.apply(change));
                self.scene.snapshot = snapshot;
                debug_assert_eq!(self.scene.index, I::of(&self.scene.snapshot), "the index is level with its snapshot");
                News::Changes(changes)
            }
            Err(_gone) => {
                let snapshot = self.subscription.resync();
                self.scene = Scene { index: I::of(&snapshot), snapshot };
                News::Everything
            }
        }
    }

    /// Whether the view shows `revision`.
    #[must_use]
    pub fn shows(&self, revision: Revision) -> bool {
        self.scene.snapshot.revision >= revision
    }
}
