//! The values written last, so that watches, which read what was just written, do not go to disk.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::disk::Slot;

/// A bounded piece of the end of the log.
#[derive(Debug)]
pub(super) struct Tail {
    values: BTreeMap<Slot, Bytes>,
    bytes: usize,
    bytes_max: usize,
}

impl Tail {
    pub(super) fn new(bytes_max: usize) -> Tail {
        Tail { values: BTreeMap::new(), bytes: 0, bytes_max }
    }

    pub(super) fn push(&mut self, slot: Slot, value: Bytes) {
        self.bytes += value.len();
        self.values.insert(slot, value);
        while self.bytes > self.bytes_max {
            let Some((_, dropped)) = self.values.pop_first() else { break };
            self.bytes -= dropped.len();
        }
    }

    pub(super) fn get(&self, slot: Slot) -> Option<Bytes> {
        self.values.get(&slot).cloned()
    }
}
