//! The latest value of something, for readers who are told when it changes.
//!
//! What `tokio::sync::watch` is, but for one thing: that one wakes its readers in an order drawn from the operating
//! system's randomness, and a simulation could not repeat it. Here they are woken in the order in which they wait.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::Notify;
use tokio::task::coop::cooperative;

/// The writing end. Dropping it tells the readers that nothing will change any more.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// A reading end, which knows what it has seen.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

/// The value, which cannot change while this is held. Never held across an await.
pub struct Ref<'a, T>(RwLockReadGuard<'a, T>);

/// The writing end is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value will not change any more")]
pub struct Closed;

struct Shared<T> {
    value: RwLock<T>,
    /// Counts changes; written under the lock of the value.
    version: AtomicU64,
    closed: AtomicBool,
    changed: Notify,
}

/// A value with one reader, who has seen it.
#[must_use]
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(value);
    let receiver = sender.subscribe();
    (sender, receiver)
}

impl<T> Shared<T> {
    fn read(&self) -> Ref<'_, T> {
        Ref(self.value.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    async fn changed(&self, seen: &mut u64) -> Result<(), Closed> {
        loop {
            // Made before the look, so that a change after the look wakes it.
            let changed = self.changed.notified();
            let closed = self.closed.load(Ordering::Acquire);
            let version = self.version();
            if version != *seen {
                *seen = version;
                return Ok(());
            }
            if closed {
                return Err(Closed);
            }
            changed.await;
        }
    }
}

impl<T> Sender<T> {
    /// A value without readers.
    #[must_use]
    pub fn new(value: T) -> Sender<T> {
        let (version, closed) = (AtomicU64::new(0), AtomicBool::new(false));
        Sender {
            shared: Arc::new(Shared { value: RwLock::new(value), version, closed, changed: Notify::new() }),
        }
    }

    /// A reader, who has seen the present value.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        let shared = self.shared.clone();
        Receiver { seen: shared.version(), shared }
    }

    /// The present value.
    #[must_use]
    pub fn borrow(&self) -> Ref<'_, T> {
        self.shared.read()
    }

    /// Sets the value, tells the readers, and returns what it was.
    pub fn send_replace(&self, value: T) -> T {
        let mut value = value;
        self.send_modify(|present| std::mem::swap(present, &mut value));
        value
    }

    /// Changes the value and tells the readers.
    pub fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            modify(value);
            true
        });
    }

    /// Tells the readers if `modify` says that it changed the value; returns what it says.
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let mut value = self.shared.value.write().unwrap_or_else(PoisonError::into_inner);
        let modified = modify(&mut value);
        if modified {
            self.shared.version.fetch_add(1, Ordering::Release);
        }
        drop(value);
        if modified {
            self.shared.changed.notify_waiters();
        }
        modified
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.changed.notify_waiters();
    }
}

impl<T> Receiver<T> {
    /// The present value; it does not count as seen.
    #[must_use]
    pub fn borrow(&self) -> Ref<'_, T> {
        self.shared.read()
    }

    /// The present value, which from now on counts as seen.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let value = self.shared.read();
        self.seen = self.shared.version();
        value
    }

    /// Whatever the value is now counts as seen.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.shared.version();
    }

    /// Waits for a value that was not seen; it then counts as seen. Cancelling loses nothing.
    ///
    /// # Errors
    /// [`Closed`] when the present value was seen and is the last one.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        // A reader in a loop lets others run, too.
        cooperative(self.shared.changed(&mut self.seen)).await
    }

    /// Waits for a value of which `wanted` holds, beginning with the present one. Cancelling loses nothing.
    ///
    /// # Errors
    /// [`Closed`] when it does not hold of the last value.
    pub async fn wait_for(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Result<Ref<'_, T>, Closed> {
        let Receiver { shared, seen } = self;
        loop {
            {
                let value = shared.read();
                *seen = shared.version();
                if wanted(&value) {
                    return Ok(value);
                }
            }
            cooperative(shared.changed(seen)).await?;
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        Receiver { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&*self.borrow()).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receiver").field(&*self.borrow()).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use jiff::Timestamp;

    use super::*;
    use crate::env::Env;

    #[tokio::test(start_paused = true)]
    async fn readers_are_woken_in_the_order_in_which_they_wait() {
        let env = Env::simulated("test", 1, Timestamp::UNIX_EPOCH);
        let (sender, first) = channel(0);
        let woken: Arc<Mutex<Vec<usize>>> = Arc::default();
        let readers: Vec<_> = (0..40)
            .map(|number| {
                let (mut reader, woken) = (first.clone(), woken.clone());
                env.spawn("reader", async move {
                    reader.changed().await.unwrap();
                    woken.lock().unwrap().push(number);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        sender.send_replace(1);
        for reader in readers {
            reader.join().await.unwrap();
        }
        assert_eq!(*woken.lock().unwrap(), (0..40).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn change_before_the_wait_is_not_missed_and_is_told_once() {
        let (sender, mut reader) = channel(1);
        assert_eq!(sender.send_replace(2), 1);
        sender.send_modify(|value| *value += 1);
        assert_eq!((reader.changed().await, *reader.borrow()), (Ok(()), 3));
        sender.send_replace(4);
        assert_eq!(*reader.borrow_and_update(), 4);
        assert!(!sender.send_if_modified(|_| false));
        drop(sender);
        assert_eq!(reader.changed().await, Err(Closed), "nothing was left to see");
    }

    #[tokio::test(start_paused = true)]
    async fn reader_that_does_not_care_about_the_end_still_lets_others_run() {
        let env = Env::simulated("test", 1, Timestamp::UNIX_EPOCH);
        let (sender, mut reader) = channel(1);
        drop(sender);
        let careless = env.spawn("careless", async move {
            loop {
                let _over = reader.changed().await;
            }
        });
        tokio::task::yield_now().await;
        env.crash();
        assert!(careless.join().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn wait_for_begins_with_the_present_and_ends_with_the_last_value() {
        let env = Env::simulated("test", 1, Timestamp::UNIX_EPOCH);
        let (sender, mut reader) = channel(1);
        assert_eq!(reader.wait_for(|value| *value == 1).await.map(|it| *it), Ok(1));
        let mut other = reader.clone();
        let waiting =
            env.spawn("waiting", async move { other.wait_for(|value| *value > 2).await.map(|it| *it) });
        tokio::task::yield_now().await;
        sender.send_replace(2);
        tokio::task::yield_now().await;
        sender.send_replace(3);
        assert_eq!(waiting.join().await.unwrap(), Ok(3));
        drop(sender);
        assert_eq!(reader.wait_for(|value| *value == 3).await.map(|it| *it), Ok(3));
        assert_eq!(reader.wait_for(|value| *value == 4).await.map(|it| *it), Err(Closed));
    }
}
