//! Updates of tasks that nobody has taken yet: the latest of each key, in the order in which they came.

use std::collections::BTreeMap;

use crate::mesos::wire::TaskStatus;

/// A queue with one place per `K`.
#[derive(Debug)]
pub(super) struct Updates<K> {
    posted: u64,
    order: BTreeMap<u64, K>,
    latest: BTreeMap<K, (u64, Box<TaskStatus>)>,
}

impl<K> Default for Updates<K> {
    fn default() -> Self {
        Updates { posted: 0, order: BTreeMap::new(), latest: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Updates<K> {
    /// Takes the last place. What else was there under `key` is dropped.
    pub(super) fn push(&mut self, key: K, status: TaskStatus) {
        self.posted += 1;
        if let Some((older, _)) = self.latest.insert(key.clone(), (self.posted, Box::new(status))) {
            self.order.remove(&older);
        }
        self.order.insert(self.posted, key);
    }

    pub(super) fn pop(&mut self) -> Option<Box<TaskStatus>> {
        let (_, key) = self.order.pop_first()?;
        self.latest.remove(&key).map(|(_, status)| status)
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Some((place, _)) = self.latest.remove(key) {
            self.order.remove(&place);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}
