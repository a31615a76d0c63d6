//! Counts running Tasks as the store tells them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tenure::api::{Phase, Task};
use tenure::registry::cache::Subscription;
use tenure::registry::{Cache, Doc};
use tokio::time::Instant;

use crate::world::{World, tasks_resource};

/// A count of running Tasks that moves with the store.
pub(crate) struct Observer {
    cache: Arc<Cache>,
    subscription: Subscription,
    running: usize,
}

impl Observer {
    pub(crate) fn new(world: &World) -> Observer {
        let cache = world.cache().clone();
        let (snapshot, subscription) = cache.follow(Some(tasks_resource()));
        let running = snapshot.list(&tasks_resource(), None).filter(|doc| runs(doc)).count();
        Observer { cache, subscription, running }
    }

    /// Waits until `tasks` run.
    pub(crate) async fn until_running(&mut self, tasks: usize, patience: Duration) -> Result<()> {
        let begun = Instant::now();
        while self.running != tasks {
            let left = patience.saturating_sub(begun.elapsed());
            let moved = tokio::time::timeout(left, self.advance()).await;
            moved.with_context(|| format!("only {} of {tasks} tasks run", self.running))?;
        }
        Ok(())
    }

    /// Waits until less than `tasks` run, and tells how long that took.
    pub(crate) async fn until_fewer_run(&mut self, tasks: usize, patience: Duration) -> Result<Duration> {
        let begun = Instant::now();
        while self.running >= tasks {
            let left = patience.saturating_sub(begun.elapsed());
            tokio::time::timeout(left, self.advance()).await.context("no loss is noticed")?;
        }
        Ok(begun.elapsed())
    }

    async fn advance(&mut self) {
        match self.subscription.next().await {
            Ok(changes) => {
                for change in changes {
                    self.running += usize::from(change.new.as_ref().is_some_and(runs));
                    self.running -= usize::from(change.old.as_ref().is_some_and(runs));
                }
            }
            Err(_cut) => {
                let snapshot = self.subscription.resync();
                self.running = snapshot.list(&tasks_resource(), None).filter(|doc| runs(doc)).count();
            }
        }
        let _alive = &self.cache;
    }
}

/// Whether the Task runs where it can be reached, and is wanted.
fn runs(doc: &Arc<Doc>) -> bool {
    doc.typed::<Task>().is_ok_and(|task| {
        task.phase() == Phase::Running
            && task.spec.stop.is_none()
            && task.status.as_ref().is_some_and(|status| status.reachable)
    })
}
