//! The agents of several values of a field, walked side by side in order of use.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use super::asks::{Asks, Verdict};
use super::patterns::Patterns;
use super::{Patience, Step};
use crate::plan::placement::order::Rank;
use crate::plan::placement::room::Room;
use crate::plan::placement::values::{FieldIx, ValueIx};

/// Where the walk stands for each value that may be accepted.
#[derive(Clone)]
pub(super) struct Fronts {
    field: FieldIx,
    /// No agent of the value before this rank takes a Task. Others may have moved the agent that was at it.
    fronts: BinaryHeap<Reverse<(Rank, Option<ValueIx>)>>,
}

impl Fronts {
    /// From this rank on, by the values of this field.
    pub(super) fn new<'a>(
        field: FieldIx,
        from: Rank,
        asks: &Asks<'a>,
        room: &Room<'_>,
        patterns: &mut Patterns<'a>,
    ) -> Self {
        let Some(values) = room.by_value(field) else { return Self { field, fronts: BinaryHeap::new() } };
        let fronts = asks
            .acceptable(field, values.values(), patterns)
            .into_iter()
            .filter_map(|value| Some(Reverse((values.sharers(value)?.first_from(from)?, value))));
        Self { field, fronts: fronts.collect() }
    }

    pub(super) fn next(&mut self, asks: &Asks<'_>, room: &Room<'_>, patience: &mut [Patience]) -> Step {
        let Some(values) = room.by_value(self.field) else { return Step::End };
        while let Some(front) = self.fronts.peek_mut() {
            let Reverse((rank, value)) = *front;
            if !asks.still_accepts(self.field, values.values(), value) {
                PeekMut::pop(front);
                continue;
            }
            let behind = |rank: Rank| values.sharers(value).and_then(|it| it.first_from(rank));
            if room.rank_of(rank.agent) != Some(rank) {
                let next = behind(rank);
                advance(front, next);
                continue;
            }
            match asks.judge_rest(room, rank, self.field) {
                Verdict::Takes => return Step::Found(rank),
                Verdict::Refused(rule) if patience[rule].is_over() => return Step::GoBy(rule, rank),
                Verdict::Refused(_) | Verdict::NoRoom => {
                    let next = behind(rank.next());
                    advance(front, next);
                }
            }
        }
        Step::End
    }
}

/// Moves the front of a value on; a value without one is done with.
fn advance(mut front: PeekMut<'_, Reverse<(Rank, Option<ValueIx>)>>, next: Option<Rank>) {
    match next {
        Some(next) => front.0.0 = next,
        None => {
            PeekMut::pop(front);
        }
    }
}
