//! Keyed work: each key is queued at most once, worked on by at most one worker at a time, and comes back on change,
//! after a time, or after a backoff that grows with its failures in a row.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Backoff;
use crate::env::Env;

/// When a key wants to be looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requeue {
    /// When something that concerns it changes.
    OnChange,
    /// After this time at the latest, or on change.
    After(Duration),
    /// It failed: after its backoff, or on change once that has passed.
    Retry,
}

/// A queue of keys.
///
/// # Guarantees
/// It holds at most one entry per key, so it is bounded by the number of objects that keys are made of. A key that is
/// added while it is being worked on is handed out once more after that work has ended.
#[derive(Debug)]
pub struct WorkQueue<K> {
    env: Env,
    backoff: Backoff,
    /// Never held across an await.
    state: Mutex<State<K>>,
    /// Told when a key becomes ready or an earlier timer is set.
    changed: Notify,
}

#[derive(Debug)]
struct State<K> {
    /// Keys to hand out, in order of arrival.
    ready: VecDeque<K>,
    /// The same keys, for look-up.
    queued: BTreeSet<K>,
    /// When a key that rests becomes ready.
    due: BTreeMap<K, Instant>,
    /// `due`, by time.
    timers: BTreeSet<(Instant, K)>,
    /// Keys handed out; true when they were added again meanwhile.
    working: BTreeMap<K, bool>,
    /// Failures in a row; absent for none.
    failures: BTreeMap<K, u32>,
    /// Until when a failed key is not handed out, whatever changes.
    held: BTreeMap<K, Instant>,
}

impl<K: Ord + Clone> WorkQueue<K> {
    /// An empty queue.
    #[must_use]
    pub fn new(env: Env, backoff: Backoff) -> WorkQueue<K> {
        let state = State {
            ready: VecDeque::new(),
            queued: BTreeSet::new(),
            due: BTreeMap::new(),
            timers: BTreeSet::new(),
            working: BTreeMap::new(),
            failures: BTreeMap::new(),
            held: BTreeMap::new(),
        };
        WorkQueue { env, backoff, state: Mutex::new(state), changed: Notify::new() }
    }

    /// Something that concerns `key` changed: hands it out soon.
    pub fn add(&self, key: K) {
        self.state().add(key);
        self.changed.notify_one();
    }

    /// Hands `key` out after `delay` at the latest.
    pub fn add_after(&self, key: K, delay: Duration) {
        self.state().rest(key, Instant::now() + delay);
        self.changed.notify_one();
    }

    /// The next key, which from now on is being worked on until [`WorkQueue::done`]. Cancelling loses nothing.
    pub async fn next(&self) -> K {
        loop {
            let (key, wake) = self.state().take(Instant::now());
            if let Some(key) = key {
                self.changed.notify_one();
                return key;
            }
            let changed = self.changed.notified();
            match wake {
                Some(at) => tokio::select! {
                    biased;
                    () = changed => {}
                    () = tokio::time::sleep_until(at) => {}
                },
                None => changed.await,
            }
        }
    }

    /// The next key if one is ready now; as [`WorkQueue::next`].
    pub fn try_next(&self) -> Option<K> {
        self.state().take(Instant::now()).0
    }

    /// Ends the work on `key` and says when it comes back.
    pub fn done(&self, key: K, requeue: Requeue) {
        let mut state = self.state();
        let added = state.working.remove(&key).unwrap_or(false);
        let now = Instant::now();
        match requeue {
            Requeue::Retry => {
                let failures = state.failures.get(&key).map_or(1, |n| n.saturating_add(1));
                let until = now + self.backoff.after(failures, &self.env);
                state.failures.insert(key.clone(), failures);
                state.held.insert(key.clone(), until);
                state.rest(key.clone(), until);
            }
            Requeue::After(delay) => {
                state.failures.remove(&key);
                state.rest(key.clone(), now + delay);
            }
            Requeue::OnChange => {
                state.failures.remove(&key);
            }
        }
        if added {
            state.add(key);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// How many keys are ready to be handed out.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.state().ready.len()
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord + Clone> State<K> {
    fn add(&mut self, key: K) {
        if let Some(again) = self.working.get_mut(&key) {
            *again = true;
            return;
        }
        if let Some(until) = self.held.get(&key) {
            let until = *until;
            return self.rest(key, until);
        }
        self.cancel_timer(&key);
        if self.queued.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    /// Sets the timer of `key` to `at`, or leaves an earlier one.
    fn rest(&mut self, key: K, at: Instant) {
        if self.queued.contains(&key) || self.due.get(&key).is_some_and(|due| *due <= at) {
            return;
        }
        self.cancel_timer(&key);
        self.due.insert(key.clone(), at);
        self.timers.insert((at, key));
    }

    fn cancel_timer(&mut self, key: &K) {
        if let Some(due) = self.due.remove(key) {
            self.timers.remove(&(due, key.clone()));
        }
    }

    /// The next ready key, and when there is none, the next timer.
    fn take(&mut self, now: Instant) -> (Option<K>, Option<Instant>) {
        while let Some((at, _)) = self.timers.first().filter(|(at, _)| *at <= now) {
            debug_assert!(*at <= now, "only timers that are due fire");
            let Some((_, key)) = self.timers.pop_first() else { break };
            self.due.remove(&key);
            self.held.remove(&key);
            self.add(key);
        }
        let Some(key) = self.ready.pop_front() else {
            return (None, self.timers.first().map(|(at, _)| *at));
        };
        self.queued.remove(&key);
        self.working.insert(key.clone(), false);
        (Some(key), None)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn queue() -> WorkQueue<&'static str> {
        let env = Env::simulated("test", 1, jiff::Timestamp::UNIX_EPOCH);
        WorkQueue::new(env, Backoff { spread: 0.0, ..Backoff::RETRY })
    }

    /// The key that is ready now, if any.
    fn ready(queue: &WorkQueue<&'static str>) -> Option<&'static str> {
        match pin!(queue.next()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(key) => Some(key),
            Poll::Pending => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn keys_come_once_and_in_order_however_often_they_are_added() {
        let queue = queue();
        for key in ["a", "b", "a", "b", "c"] {
            queue.add(key);
        }
        assert_eq!(queue.depth(), 3);
        assert_eq!((ready(&queue), ready(&queue), ready(&queue)), (Some("a"), Some("b"), Some("c")));
        assert_eq!(ready(&queue), None);
    }

    #[tokio::test(start_paused = true)]
    async fn key_added_during_its_work_comes_again_only_after_that_work() {
        let queue = queue();
        queue.add("a");
        assert_eq!(ready(&queue), Some("a"));
        queue.add("a");
        assert_eq!(ready(&queue), None, "one worker per key");
        queue.done("a", Requeue::OnChange);
        assert_eq!(ready(&queue), Some("a"));
        queue.done("a", Requeue::OnChange);
        assert_eq!(ready(&queue), None);
    }

    #[tokio::test(start_paused = true)]
    async fn earliest_timer_wins_and_a_change_comes_before_it() {
        let queue = queue();
        queue.add_after("a", Duration::from_secs(60));
        queue.add_after("a", Duration::from_secs(5));
        queue.add_after("a", Duration::from_secs(30));
        let start = Instant::now();
        assert_eq!(queue.next().await, "a");
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        queue.done("a", Requeue::After(Duration::from_secs(60)));
        queue.add("a");
        assert_eq!(ready(&queue), Some("a"));
        queue.done("a", Requeue::OnChange);
        tokio::time::advance(Duration::from_secs(120)).await;
        assert_eq!(ready(&queue), None, "the change used the timer up");
    }

    #[tokio::test(start_paused = true)]
    async fn failing_key_waits_longer_each_time_even_when_it_changes() {
        let queue = queue();
        queue.add("a");
        let mut waits = Vec::new();
        for _ in 0..4 {
            let start = Instant::now();
            assert_eq!(queue.next().await, "a");
            waits.push(start.elapsed().as_millis());
            queue.done("a", Requeue::Retry);
            queue.add("a");
        }
        assert_eq!(waits, [0, 100, 200, 400]);
        assert_eq!(queue.next().await, "a");
        queue.done("a", Requeue::OnChange);
        queue.add("a");
        assert_eq!(ready(&queue), Some("a"), "success forgets the failures");
    }

    #[tokio::test(start_paused = true)]
    async fn two_workers_share_one_queue() {
        let env = Env::simulated("test", 1, jiff::Timestamp::UNIX_EPOCH);
        let queue = std::sync::Arc::new(queue());
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let queue = queue.clone();
                env.spawn("worker", async move { queue.next().await })
            })
            .collect();
        tokio::task::yield_now().await;
        queue.add("a");
        queue.add("b");
        let mut got = Vec::new();
        for worker in workers {
            got.push(worker.join().await.unwrap());
        }
        got.sort_unstable();
        assert_eq!(got, ["a", "b"]);
    }
}
