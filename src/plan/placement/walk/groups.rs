//! GROUP_BY once a class is on every value that it can be on: the smallest groups grow, in order of values.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::asks::{Asks, Verdict};
use crate::plan::placement::order::{Rank, Sharers};
use crate::plan::placement::room::Room;
use crate::plan::placement::values::ValueIx;

/// The search in the smallest groups.
#[derive(Clone)]
pub(super) struct Groups {
    rule: usize,
    /// The size of the smallest groups.
    size: u32,
    /// Those of that size that were not looked at yet, the first one last. The others have grown, or have no agent left.
    ahead: Vec<ValueIx>,
    /// Per value: no agent before this rank takes a Task.
    fronts: BTreeMap<ValueIx, Rank>,
}

impl Groups {
    pub(super) fn new(rule: usize) -> Self {
        Self { rule, size: 0, ahead: Vec::new(), fronts: BTreeMap::new() }
    }

    pub(super) fn next(&mut self, asks: &Asks<'_>, room: &Room<'_>) -> Option<Rank> {
        let (rule, counts) = (asks.rules()[self.rule], asks.counts(self.rule));
        if rule.has_enough_groups(counts) != Some(true) {
            return None;
        }
        let by_value = room.by_value(asks.field(self.rule))?;
        if counts.smallest() != self.size {
            self.size = counts.smallest();
            self.ahead = counts.of_size(self.size).collect();
            self.ahead.sort_by_key(|it| Reverse(by_value.values().numbered(*it).text));
        }
        // A group that has no agent left stays the smallest, and none must grow beyond it.
        while let Some(value) = self.ahead.pop() {
            let from = self.fronts.get(&value).copied().unwrap_or(Rank::FIRST);
            let found = by_value.sharers(Some(value)).and_then(|it| first(it, from, asks, room));
            if let Some(found) = found {
                self.fronts.insert(value, found);
                return Some(found);
            }
        }
        None
    }
}

/// The first agent from `from` on that takes a Task.
fn first(sharers: &Sharers, from: Rank, asks: &Asks<'_>, room: &Room<'_>) -> Option<Rank> {
    let mut ranks = std::iter::successors(sharers.first_from(from), |it| sharers.first_from(it.next()));
    ranks.find(|it| asks.judge_any(room, *it) == Verdict::Takes)
}
