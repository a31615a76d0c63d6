//! Counts running Tasks as the store tells them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tenure::api::{Phase, Task};
use tenure::registry::cache::Subscription;
use tenure::registry::{Cache, Doc, Snapshot};
use tokio::time::Instant;

use crate::world::{World, tasks_resource};

/// A count of running Tasks that moves with the store.
pub(crate) struct Observer {
    cache: Arc<Cache>,
    subscription: Subscription,
    running: usize,
    /// How many of the agents, the first ones, are gone.
    lost: usize,
    /// Running Tasks of which it is not known yet that their agent is gone.
    unnoticed: usize,
}

impl Observer {
    /// An observer of a world whose first `lost` agents are gone, or soon will be.
    pub(crate) fn new(world: &World, lost: usize) -> Observer {
        let cache = world.cache().clone();
        let (snapshot, subscription) = cache.follow(Some(tasks_resource()));
        let mut observer = Observer { cache, subscription, running: 0, lost, unnoticed: 0 };
        observer.count(&snapshot);
        observer
    }

    fn count(&mut self, snapshot: &Snapshot) {
        let hosts: Vec<usize> = snapshot.list(&tasks_resource(), None).filter_map(runs_on).collect();
        self.running = hosts.len();
        self.unnoticed = hosts.iter().filter(|host| **host < self.lost).count();
    }

    /// Waits until `tasks` run, none of them on an agent that is gone.
    pub(crate) async fn until_running(&mut self, tasks: usize, patience: Duration) -> Result<()> {
        let begun = Instant::now();
        while self.running != tasks || self.unnoticed > 0 {
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
                    if let Some(host) = change.new.as_ref().and_then(runs_on) {
                        self.running += 1;
                        self.unnoticed += usize::from(host < self.lost);
                    }
                    if let Some(host) = change.old.as_ref().and_then(runs_on) {
                        self.running -= 1;
                        self.unnoticed -= usize::from(host < self.lost);
                    }
                }
            }
            Err(_cut) => {
                let snapshot = self.subscription.resync();
                self.count(&snapshot);
            }
        }
        let _alive = &self.cache;
    }
}

/// The number of the machine that the Task runs on, if it can be reached there and is wanted.
fn runs_on(doc: &Arc<Doc>) -> Option<usize> {
    let task = doc.typed::<Task>().ok()?;
    let reachable = task.status.as_ref().is_some_and(|status| status.reachable);
    let runs = task.phase() == Phase::Running && task.spec.stop.is_none() && reachable;
    let host = &task.spec.binding.as_ref().filter(|_| runs)?.host;
    host.rsplit('-').next()?.parse().ok()
}
