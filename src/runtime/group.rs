//! Loops that stop together: when one ends, fails, or is told to stop, none of them acts any more.

use std::future::Future;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use crate::env::{Crashed, Env, Spawned};

/// A loop ended although nothing asked it to.
#[derive(Debug, thiserror::Error)]
pub enum LoopEnded {
    /// It panicked, or the whole node went down.
    #[error("the {name} loop ended abnormally")]
    Crashed { name: &'static str, source: Crashed },
    /// It returned.
    #[error("the {name} loop ended")]
    Returned { name: &'static str },
}

/// Tasks of one node that live and die together. Dropping the group aborts them.
#[derive(Debug)]
pub struct Group {
    env: Env,
    tasks: Vec<(&'static str, Spawned<()>)>,
}

impl Group {
    /// An empty group on this node.
    #[must_use]
    pub fn new(env: Env) -> Group {
        Group { env, tasks: Vec::new() }
    }

    /// Starts a loop in this group.
    pub fn spawn(&mut self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let task = self.env.spawn(name, future);
        self.tasks.push((name, task));
    }

    /// Runs until `stop` fires or a loop ends; then stops all and waits until none can act any more.
    ///
    /// # Errors
    /// [`LoopEnded`] when a loop ended before `stop` fired.
    pub async fn run_until(mut self, stop: CancellationToken) -> Result<(), LoopEnded> {
        let aborts: Vec<_> = self.tasks.iter().map(|(_, task)| task.abort_handle()).collect();
        let mut ends: FuturesUnordered<_> = std::mem::take(&mut self.tasks)
            .into_iter()
            .map(|(name, task)| async move { (name, task.join().await) })
            .collect();
        let _abort_on_drop = AbortAll(&aborts);
        let outcome = tokio::select! {
            biased;
            () = stop.cancelled() => Ok(()),
            Some((name, end)) = ends.next() => Err(match end {
                Ok(()) => LoopEnded::Returned { name },
                Err(source) => LoopEnded::Crashed { name, source },
            }),
        };
        aborts.iter().for_each(tokio::task::AbortHandle::abort);
        while ends.next().await.is_some() {}
        outcome
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.tasks.iter().for_each(|(_, task)| task.abort());
    }
}

/// Aborts when [`Group::run_until`] is itself dropped.
struct AbortAll<'a>(&'a [tokio::task::AbortHandle]);

impl Drop for AbortAll<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn pair(env: &Env) -> (Group, Arc<()>) {
        let (mut group, held) = (Group::new(env.clone()), Arc::new(()));
        let in_loop = held.clone();
        group.spawn("forever", async move {
            let _held = in_loop;
            std::future::pending::<()>().await;
        });
        (group, held)
    }

    fn env() -> Env {
        Env::simulated("test", 1, jiff::Timestamp::UNIX_EPOCH)
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_a_group_waits_until_no_loop_is_left() {
        let (group, held) = pair(&env());
        let stop = CancellationToken::new();
        stop.cancel();
        assert!(group.run_until(stop).await.is_ok());
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn loop_that_ends_takes_the_others_with_it() {
        let (mut group, held) = pair(&env());
        group.spawn("short", tokio::time::sleep(Duration::from_secs(1)));
        let end = group.run_until(CancellationToken::new()).await;
        assert_eq!(end.unwrap_err().to_string(), "the short loop ended");
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_a_running_group_aborts_its_loops() {
        let (group, held) = pair(&env());
        let waited =
            tokio::time::timeout(Duration::from_secs(1), group.run_until(CancellationToken::new())).await;
        assert!(waited.is_err());
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
