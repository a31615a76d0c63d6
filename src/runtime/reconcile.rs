//! Drives one keyed loop: changes name keys, keys are looked at one by one, writes are seen before their key is looked at
//! again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;

use super::view::{Index, News, Scene, View};
use super::{Backoff, Requeue, Setback, WorkQueue};
use crate::env::Env;
use crate::registry::cache::Cache;
use crate::registry::snapshot::Change;
use crate::store::Revision;

/// What looking at one key came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// When to look again.
    pub requeue: Requeue,
    /// The revision of the last write; the key is not looked at again before the view shows it. 0 for none.
    pub written: Revision,
}

impl Done {
    /// Nothing was written; look again on change.
    pub const IDLE: Done = Done { requeue: Requeue::OnChange, written: 0 };

    /// `revision` was written; look again on change, of which it is one.
    #[must_use]
    pub fn wrote(revision: Revision) -> Done {
        Done { requeue: Requeue::OnChange, written: revision }
    }

    /// The same, but look again after `delay` at the latest.
    #[must_use]
    pub fn again_after(self, delay: Duration) -> Done {
        Done { requeue: Requeue::After(delay), ..self }
    }
}

/// One loop over objects of one sort.
#[async_trait]
pub trait Reconciler: Send + Sync + 'static {
    /// What work is named by.
    type Key: Ord + Clone + fmt::Debug + Send + Sync;
    /// What its decisions look things up by.
    type Index: Index;

    /// For logs and metrics.
    const NAME: &'static str;

    /// The keys that `change` concerns. The scene shows it already.
    fn concerned(&self, change: &Change, scene: &Scene<Self::Index>) -> Vec<Self::Key>;

    /// Every key that may have something to do.
    fn all(&self, scene: &Scene<Self::Index>) -> Vec<Self::Key>;

    /// Compares wanted with observed for one key, and acts on the difference. Level-triggered: it does not know what
    /// woke it, and running it twice changes nothing the second time.
    async fn reconcile(&self, key: &Self::Key, scene: &Scene<Self::Index>) -> Result<Done, Setback>;
}

/// Keys that are looked at against one scene before the view moves on.
const BATCH: usize = 64;
/// Keys whose writes are under way at once.
const CONCURRENCY: usize = 16;
/// Conflicts are ordinary and pass quickly; an outage of the store is waited out with the later steps.
const RETRY: Backoff =
    Backoff { initial: Duration::from_millis(20), max: Duration::from_secs(30), factor: 2.0, spread: 0.3 };

/// How long the view may take to show what was just written.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs `reconciler` for ever.
pub async fn drive<R: Reconciler>(env: Env, cache: Arc<Cache>, reconciler: R) {
    let queue = WorkQueue::new(env, RETRY);
    let mut view = View::open(&cache);
    let waiting = if planted!("successor-waits-for-changes") { vec![] } else { reconciler.all(view.scene()) };
    waiting.into_iter().for_each(|key| queue.add(key));
    loop {
        tokio::select! {
            biased;
            news = view.changed() => enqueue(&reconciler, &queue, news, view.scene()),
            key = queue.next() => {
                let looked = look(&reconciler, &queue, key, view.scene()).await;
                // A view that does not get there is no danger, only waste: every write is guarded by versions.
                let news = tokio::time::timeout(PATIENCE, view.reach(looked.revision)).await;
                let news = news.unwrap_or_else(|_| view.catch_up());
                enqueue(&reconciler, &queue, news, view.scene());
                looked.ends.into_iter().for_each(|(key, requeue)| queue.done(key, requeue));
                // A loop that always has something to do, and waits for nothing over it, would let no other run.
                tokio::task::consume_budget().await;
            }
        }
    }
}

fn enqueue<R: Reconciler>(reconciler: &R, queue: &WorkQueue<R::Key>, news: News, scene: &Scene<R::Index>) {
    let concerned = news.iter().flat_map(|change| reconciler.concerned(change, scene));
    concerned.for_each(|key| queue.add(key));
}

/// How a batch of keys ended.
struct Looked<K> {
    ends: Vec<(K, Requeue)>,
    revision: Revision,
}

/// Looks at `first` and whatever else is ready, all against one scene.
async fn look<R: Reconciler>(
    reconciler: &R,
    queue: &WorkQueue<R::Key>,
    first: R::Key,
    scene: &Scene<R::Index>,
) -> Looked<R::Key> {
    let mut keys = vec![first];
    keys.extend(std::iter::from_fn(|| queue.try_next()).take(BATCH - 1));
    let mut looks = futures::stream::iter(keys)
        .map(|key| async move {
            let result = reconciler.reconcile(&key, scene).await;
            (key, result)
        })
        .buffer_unordered(CONCURRENCY);
    let mut looked = Looked { ends: Vec::new(), revision: 0 };
    while let Some((key, result)) = looks.next().await {
        let done = result.unwrap_or_else(|setback| {
            setback.log(R::NAME, &key);
            Done { requeue: Requeue::Retry, written: 0 }
        });
        looked.revision = looked.revision.max(done.written);
        looked.ends.push((key, done.requeue));
    }
    looked
}
