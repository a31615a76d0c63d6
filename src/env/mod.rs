//! Clock, seeded chance, ids and spawned tasks: everything that the simulation replaces.
//!
//! An [`Env`] is one *node*: a process in production, one of several processes in a simulation. Everything that a
//! Tenure spawns belongs to its node, so that a crash can drop all of it between two polls, as `kill -9` would.
//! Waiting uses tokio's timers, which a simulation pauses; only the wall clock and chance need a seam of their own.

mod node;
pub mod process;
pub(crate) mod readable;
pub mod watch;

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::rngs::{ChaCha20Rng, SysRng};
use rand::{Rng, SeedableRng, TryRng};
use tokio::time::Instant;

pub use node::{Crashed, Spawned};
use node::{Node, OnNode};

/// One node's view of time, chance and tasks. Cloning is cheap and stays on the same node.
#[derive(Clone)]
pub struct Env {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    /// Never held across an await; each use draws and lets go.
    chance: Mutex<ChaCha20Rng>,
    node: Arc<Node>,
}

enum Clock {
    /// The machine's.
    System,
    /// Moves with tokio's (paused) clock from `epoch` at the instant `start`, and by jumps: so many milliseconds ahead by now.
    Simulated { epoch: Timestamp, start: Instant, ahead: AtomicI64 },
}

impl Env {
    /// The real world: this machine's clock, and chance seeded from the operating system.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn system() -> std::io::Result<Env> {
        let mut seed = [0; 32];
        SysRng.try_fill_bytes(&mut seed).map_err(std::io::Error::other)?;
        Ok(Env::new(Clock::System, ChaCha20Rng::from_seed(seed), "system"))
    }

    /// A node of a simulation. Equal seeds give equal draws; time begins at `epoch` and moves with tokio's clock, so
    /// this must be called inside a runtime.
    #[must_use]
    pub fn simulated(name: &str, seed: u64, epoch: Timestamp) -> Env {
        let clock = Clock::Simulated { epoch, start: Instant::now(), ahead: AtomicI64::new(0) };
        Env::new(clock, ChaCha20Rng::seed_from_u64(seed), name)
    }

    fn new(clock: Clock, chance: ChaCha20Rng, name: &str) -> Env {
        let node = Arc::new(Node::new(name));
        Env { inner: Arc::new(Inner { clock, chance: Mutex::new(chance), node }) }
    }

    /// The wall clock. For records and for people; intervals are measured with [`tokio::time::Instant`].
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine's clock")]
    pub fn now(&self) -> Timestamp {
        match &self.inner.clock {
            Clock::System => Timestamp::now(),
            Clock::Simulated { epoch, start, ahead } => {
                *epoch + start.elapsed() + SignedDuration::from_millis(ahead.load(Ordering::Relaxed))
            }
        }
    }

    /// Sets the wall clock of a simulated node to `millis` ahead of where time alone has brought it, or back if negative, as
    /// an operator or NTP may. Timers go on. The machine's own clock is not ours to set: there this does nothing.
    pub fn set_clock_ahead(&self, millis: i64) {
        if let Clock::Simulated { ahead, .. } = &self.inner.clock {
            ahead.store(millis, Ordering::Relaxed);
        }
    }

    /// Sleeps for `duration` of this node's time.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// A number below `bound`, uniformly; 0 when `bound` is 0.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        // Lemire's multiply-shift: the bias is below 2^-64 * bound, far under anything observable here.
        let wide = u128::from(self.draw()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// `duration` times a factor in `[1 - spread, 1 + spread]`: spreads what would otherwise happen in step.
    #[must_use]
    pub fn jitter(&self, duration: Duration, spread: f64) -> Duration {
        let unit = self.below(1 << 32) as f64 / (1_u64 << 31) as f64 - 1.0;
        duration.mul_f64((1.0 + unit * spread.clamp(0.0, 1.0)).max(0.0))
    }

    /// Fills `bytes` with this node's chance.
    pub fn fill(&self, bytes: &mut [u8]) {
        self.inner.chance.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }

    fn draw(&self) -> u64 {
        self.inner.chance.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    /// A fresh version 4 UUID (RFC 9562).
    #[must_use]
    pub fn uuid(&self) -> [u8; 16] {
        let mut b = [0; 16];
        self.fill(&mut b);
        b[6] = (b[6] & 0x0f) | 0x40;
        b[8] = (b[8] & 0x3f) | 0x80;
        b
    }

    /// A fresh version 4 UUID in its usual spelling (RFC 9562).
    #[must_use]
    pub fn uid(&self) -> String {
        let n = u128::from_be_bytes(self.uuid());
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            n >> 96,
            (n >> 80) & 0xffff,
            (n >> 64) & 0xffff,
            (n >> 48) & 0xffff,
            n & 0xffff_ffff_ffff
        )
    }

    /// Runs `future` as a task of this node. `name` is shown in logs of a simulation. The task is detached when the
    /// handle is dropped; it ends with [`Crashed`] when the node crashes.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
    pub fn spawn<F>(&self, name: &'static str, future: F) -> Spawned<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        Spawned::new(name, tokio::spawn(OnNode::new(self.inner.node.clone(), future)))
    }

    /// Like [`Env::spawn`], on a thread of its own: for the little that must go on however busy the others are. (A
    /// simulation stays on its one thread.)
    pub fn spawn_apart<F>(&self, name: &'static str, future: F) -> Spawned<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        if matches!(self.inner.clock, Clock::Simulated { .. }) {
            return self.spawn(name, future);
        }
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::warn!(%error, name, "failed to make a thread of its own: it shares the others'");
                return self.spawn(name, future);
            }
        };
        let (held_by_task, ended) = tokio::sync::oneshot::channel::<()>();
        let task = runtime.spawn(OnNode::new(self.inner.node.clone(), async move {
            let _until_ended = held_by_task;
            future.await
        }));
        std::thread::spawn(move || runtime.block_on(ended));
        Spawned::new(name, task)
    }

    /// Runs `work` where blocking is allowed and waits for it. Only this may leave the async threads.
    ///
    /// # Errors
    /// [`Crashed`] when the node crashed meanwhile or the work panicked.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that blocks")]
    pub async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Crashed> {
        if self.inner.node.is_crashed() {
            return Err(Crashed);
        }
        tokio::task::spawn_blocking(work).await.map_err(|_| Crashed)
    }

    /// From now on no task of this node is polled again: their futures are dropped where they stand.
    pub fn crash(&self) {
        self.inner.node.crash();
    }

    /// Crashes the node at the `polls`-th poll of its tasks from now on; a simulation walks it over every await.
    pub fn crash_after(&self, polls: u64) {
        self.inner.node.crash_after(polls);
    }

    /// From now on no task of this node is polled until [`Env::resume`], as if the process were stopped (SIGSTOP): time
    /// goes on without it.
    pub fn pause(&self) {
        self.inner.node.pause();
    }

    /// Lets the tasks of a paused node go on. They find whatever has happened meanwhile.
    pub fn resume(&self) {
        self.inner.node.resume();
    }

    /// Whether the node has crashed.
    #[must_use]
    pub fn is_crashed(&self) -> bool {
        self.inner.node.is_crashed()
    }

    /// A *write seam*: what was decided is in the store, and the act that follows has not begun. The kill tests end the
    /// process exactly here, at every name; otherwise nothing happens.
    pub fn seam(&self, name: &'static str) {
        if !self.inner.node.reaches(name) {
            return;
        }
        match self.inner.clock {
            Clock::System => std::process::abort(),
            Clock::Simulated { .. } => self.inner.node.crash(),
        }
    }

    /// Ends the node when it reaches the seam `name` for the `nth` time from now (1: the next): a process dies as by
    /// `kill -9`, a simulated node crashes.
    pub fn crash_at_seam(&self, name: &str, nth: u32) {
        self.inner.node.crash_at_seam(name, nth);
    }

    /// How often tasks of this node have been polled so far.
    #[must_use]
    pub fn polls(&self) -> u64 {
        self.inner.node.polls()
    }

    /// The node's name, for logs.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inner.node.name()
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Env").field(&self.name()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(seed: u64) -> Env {
        Env::simulated("test", seed, Timestamp::UNIX_EPOCH)
    }

    #[tokio::test(start_paused = true)]
    async fn equal_seeds_draw_equal_uids() {
        let (a, b) = (node(7), node(7));
        assert_eq!(a.uid(), b.uid());
        assert_ne!(a.uid(), a.uid());
        let uid = node(1).uid();
        assert_eq!((uid.len(), &uid[14..15]), (36, "4"));
    }

    #[tokio::test(start_paused = true)]
    async fn simulated_time_moves_with_the_paused_clock() {
        let env = node(1);
        env.sleep(Duration::from_secs(3600)).await;
        assert_eq!(env.now(), Timestamp::UNIX_EPOCH + Duration::from_secs(3600));
    }

    #[tokio::test(start_paused = true)]
    async fn below_stays_below_and_reaches_everything() {
        let env = node(3);
        let drawn: std::collections::BTreeSet<u64> = (0..200).map(|_| env.below(5)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(env.below(0), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn crash_drops_every_task_of_the_node_and_of_no_other() {
        let (a, b) = (node(1), node(2));
        let guard = Arc::new(());
        let (on_a, on_b) = (guard.clone(), guard.clone());
        let lost = a.spawn("lost", async move {
            let _held = on_a;
            std::future::pending::<()>().await;
        });
        let kept = b.spawn("kept", async move {
            let _held = on_b;
            tokio::time::sleep(Duration::from_secs(1)).await;
            5
        });
        tokio::task::yield_now().await;
        a.crash();
        assert!(lost.join().await.is_err());
        assert_eq!(Arc::strong_count(&guard), 2, "only the task on b still holds it");
        assert_eq!(kept.join().await.ok(), Some(5));
    }

    #[tokio::test(start_paused = true)]
    async fn paused_node_does_nothing_and_goes_on_late() {
        let (env, start) = (node(1), Instant::now());
        let late = env.spawn("late", async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            start.elapsed()
        });
        tokio::task::yield_now().await;
        env.pause();
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(!late.is_finished());
        env.resume();
        assert_eq!(late.join().await, Ok(Duration::from_secs(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn paused_node_can_crash() {
        let env = node(1);
        let lost = env.spawn("lost", std::future::pending::<()>());
        env.pause();
        env.crash();
        assert!(lost.join().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn crash_at_a_seam_happens_at_its_nth_passage() {
        let env = node(1);
        env.crash_at_seam("bound", 2);
        env.seam("bound");
        env.seam("stopped");
        assert!(!env.is_crashed());
        env.seam("bound");
        assert!(env.is_crashed());
    }

    #[tokio::test]
    async fn task_on_its_own_thread_runs_while_all_others_are_blocked() {
        let env = Env::system().unwrap();
        let (done, blocked) = std::sync::mpsc::channel();
        let task = env.spawn_apart("apart", async move { done.send(7).unwrap() });
        assert_eq!(blocked.recv(), Ok(7), "this test holds the only other thread");
        assert!(task.join().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn crash_after_counts_polls() {
        let env = node(1);
        env.crash_after(3);
        let task = env.spawn("loop", async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        });
        assert!(task.join().await.is_err());
        assert!(env.is_crashed());
    }
}
