//! GROUP_BY once a class is on every value that it can be on: the smallest groups grow, in order of values.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::asks::{Asks, Verdict};
use crate::plan::placement::order::Rank;
use crate::plan::placement::room::Room;

/// The search in the smallest groups.
pub(super) struct Groups {
    rule: usize,
    /// The size of the smallest groups.
    size: u32,
    /// The last value of that size that was looked at; those up to it have grown, or have no agent left.
    last: Option<Arc<str>>,
    /// Per value: no agent before this rank takes a Task.
    fronts: BTreeMap<Arc<str>, Rank>,
}

impl Groups {
    pub(super) fn new(rule: usize) -> Self {
        Self { rule, size: 0, last: None, fronts: BTreeMap::new() }
    }

    pub(super) fn next(&mut self, asks: &Asks<'_>, room: &Room<'_>) -> Option<Rank> {
        let (rule, counts) = (asks.rules()[self.rule], asks.counts(self.rule));
        if rule.has_enough_groups(counts) != Some(true) {
            return None;
        }
        if counts.smallest() != self.size {
            self.size = counts.smallest();
            self.last = None;
        }
        let values = room.by_value(&rule.field)?;
        // A group that has no agent left stays the smallest, and none must grow beyond it.
        while let Some(value) = counts.next_of_size(self.size, self.last.as_ref()) {
            self.last = Some(value.clone());
            let from = self.fronts.get(value).copied().unwrap_or(Rank::FIRST);
            let takes = |rank: &&Rank| asks.judge_any(room, **rank) == Verdict::Takes;
            let found = values.order(Some(value)).and_then(|order| order.range(from..).find(takes));
            if let Some(&found) = found {
                self.fronts.insert(value.clone(), found);
                return Some(found);
            }
        }
        None
    }
}
