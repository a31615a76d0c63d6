//! A node: the set of tasks that live and die together.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The task's node crashed, or the task itself panicked or was aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node crashed")]
pub struct Crashed;

pub(super) struct Node {
    name: String,
    crashed: CancellationToken,
    polls: AtomicU64,
    /// The poll count at which the node crashes; `u64::MAX` for never.
    crash_at: AtomicU64,
    /// The seam at which the node ends, and how many passages are left until then.
    seam: Mutex<Option<(String, u32)>>,
    paused: AtomicBool,
    /// Tasks that wanted to run while the node was paused.
    sleepers: Mutex<Vec<Waker>>,
}

impl Node {
    pub(super) fn new(name: &str) -> Node {
        Node {
            name: name.to_owned(),
            crashed: CancellationToken::new(),
            polls: AtomicU64::new(0),
            crash_at: AtomicU64::new(u64::MAX),
            seam: Mutex::new(None),
            paused: AtomicBool::new(false),
            sleepers: Mutex::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn crash(&self) {
        self.crashed.cancel();
    }

    pub(super) fn crash_after(&self, polls: u64) {
        self.crash_at.store(self.polls().saturating_add(polls), Ordering::Relaxed);
    }

    pub(super) fn crash_at_seam(&self, name: &str, nth: u32) {
        *self.seam.lock().unwrap_or_else(PoisonError::into_inner) = Some((name.to_owned(), nth.max(1)));
    }

    /// Whether this passage of the seam `name` is the one at which the node ends.
    pub(super) fn reaches(&self, name: &str) -> bool {
        let mut seam = self.seam.lock().unwrap_or_else(PoisonError::into_inner);
        match seam.as_mut() {
            Some((wanted, left)) if wanted == name => {
                *left -= 1;
                let reached = *left == 0;
                if reached {
                    *seam = None;
                }
                reached
            }
            _ => false,
        }
    }

    pub(super) fn is_crashed(&self) -> bool {
        self.crashed.is_cancelled()
    }

    pub(super) fn pause(&self) {
        self.paused.store(true, Ordering::Relaxed);
    }

    pub(super) fn resume(&self) {
        self.paused.store(false, Ordering::Relaxed);
        let sleepers = std::mem::take(&mut *self.sleepers.lock().unwrap_or_else(PoisonError::into_inner));
        sleepers.into_iter().for_each(Waker::wake);
    }

    /// Whether the node is paused; `task` is then woken when it goes on.
    fn sleeps(&self, task: &Context<'_>) -> bool {
        let paused = self.paused.load(Ordering::Relaxed);
        if paused {
            let mut sleepers = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
            if !sleepers.iter().any(|sleeper| sleeper.will_wake(task.waker())) {
                sleepers.push(task.waker().clone());
            }
        }
        paused
    }

    pub(super) fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }

    /// Counts one poll; false when the node is gone and must not be polled.
    fn may_poll(&self) -> bool {
        if self.is_crashed() {
            return false;
        }
        let polled = self.polls.fetch_add(1, Ordering::Relaxed) + 1;
        if polled >= self.crash_at.load(Ordering::Relaxed) {
            self.crash();
            return false;
        }
        true
    }
}

/// A future that is dropped, unfinished, when its node crashes.
pub(super) struct OnNode<F> {
    node: Arc<Node>,
    crashed: Pin<Box<WaitForCancellationFutureOwned>>,
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> OnNode<F> {
    pub(super) fn new(node: Arc<Node>, future: F) -> OnNode<F> {
        let crashed = Box::pin(node.crashed.clone().cancelled_owned());
        OnNode { node, crashed, future: Some(Box::pin(future)) }
    }
}

impl<F: Future> Future for OnNode<F> {
    type Output = Result<F::Output, Crashed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let crashed = this.crashed.as_mut().poll(cx).is_ready();
        if !crashed && this.node.sleeps(cx) {
            return Poll::Pending;
        }
        let gone = crashed || !this.node.may_poll();
        let Some(future) = this.future.as_mut().filter(|_| !gone) else {
            this.future = None;
            return Poll::Ready(Err(Crashed));
        };
        future.as_mut().poll(cx).map(Ok)
    }
}

/// A task of a node.
pub struct Spawned<T> {
    name: &'static str,
    task: JoinHandle<Result<T, Crashed>>,
}

impl<T> Spawned<T> {
    pub(super) fn new(name: &'static str, task: JoinHandle<Result<T, Crashed>>) -> Spawned<T> {
        Spawned { name, task }
    }

    /// Waits for the task.
    ///
    /// # Errors
    /// [`Crashed`] when its node crashed, or it panicked or was aborted.
    pub async fn join(self) -> Result<T, Crashed> {
        self.task.await.map_err(|_| Crashed)?
    }

    /// Drops the task's future at its next await.
    pub fn abort(&self) {
        self.task.abort();
    }

    /// A handle that only aborts.
    #[must_use]
    pub fn abort_handle(&self) -> AbortHandle {
        self.task.abort_handle()
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

impl<T> fmt::Debug for Spawned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spawned").field(&self.name).finish()
    }
}
