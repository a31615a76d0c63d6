//! All agents, in order of use.

use super::asks::{Asks, Verdict};
use super::patterns::Patterns;
use super::{Patience, Step};
use crate::plan::placement::order::Rank;
use crate::plan::placement::room::Room;

/// Where the walk stands.
#[derive(Clone)]
pub(super) struct InOrder {
    from: Rank,
    /// Whether all agents before that were refused by one LIKE or UNLIKE, if by any.
    leading: bool,
}

impl InOrder {
    /// From the first agent that a LIKE or UNLIKE may accept.
    pub(super) fn new(asks: &Asks<'_>, patterns: &Patterns<'_>) -> Self {
        let from = asks.rules().iter().map(|rule| patterns.floor(rule)).max();
        Self { from: from.unwrap_or(Rank::FIRST), leading: true }
    }

    pub(super) fn next(
        &mut self,
        asks: &Asks<'_>,
        room: &Room<'_>,
        patience: &mut [Patience],
        patterns: &mut Patterns<'_>,
    ) -> Step {
        let mut leader = None;
        for &rank in room.order().range(self.from..) {
            match asks.judge(room, rank) {
                Verdict::Takes => {
                    (self.from, self.leading) = (rank, false);
                    return Step::Found(rank);
                }
                Verdict::Refused(at) => {
                    let rule = asks.rules()[at];
                    self.leading &= *leader.get_or_insert(at) == at && patterns.floor(rule) >= self.from;
                    if self.leading {
                        patterns.raise(rule, rank);
                    }
                    if patience[at].is_over() {
                        return Step::GoBy(at, rank);
                    }
                }
                Verdict::NoRoom => self.leading = false,
            }
        }
        Step::End
    }
}
