//! Planned maintenance: when a machine is left, and what its operator is answered.
//!
//! Tasks are moved before their machine is taken away as old ones are replaced in a rolling update: within
//! `minimumHealthCapacity` and `maximumOverCapacity`, and a new one is there first where these allow it.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::Maintenance;

/// How long before its maintenance a machine gets no new tasks, and those that it has are moved.
pub const AHEAD: Duration = Duration::from_secs(30 * 60);
/// How soon the question for a machine may come again that was answered for long.
pub const LATER: Duration = Duration::from_secs(10 * 60);
/// How long a question may wait for its answer while tasks are being moved. The cluster asks only for machines with tasks: one that
/// is answered just before the last of them is gone is not asked again.
pub const WAITS: Duration = Duration::from_secs(5 * 60);
/// How soon it may come again after it has waited in vain.
pub const AGAIN: Duration = Duration::from_secs(1);
/// So long before a machine is left its question is open.
const NEAR: Duration = Duration::from_secs(60);
/// A plan of which nothing was heard for so long, although there are tasks on the machine, does not exist any more: the question
/// comes again and again.
pub const LAPSES: Duration = Duration::from_secs(20 * 60);

/// One whose question was taken back, or is to come again at once, does not exist any more when it has not come for so long: the
/// cluster asks whenever it makes offers.
pub const RENEWS: Duration = Duration::from_secs(10);

/// What to answer to the question for a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may be taken away.
    Free,
    /// Not yet; it may be asked again after so long.
    NotYet(Duration),
    /// Nothing, for it is being left.
    Wait,
}

/// Whether the machine gets no tasks now and those on it are moved.
#[must_use]
pub fn is_leaving(plan: &Maintenance, now: Timestamp) -> bool {
    !planted!("machines-are-never-left")
        && left_from(plan) <= now
        && plan.until.as_ref().is_none_or(|until| now < until.0)
}

/// When that changes next.
#[must_use]
pub fn turns_at(plan: &Maintenance, now: Timestamp) -> Option<Timestamp> {
    let times = [Some(left_from(plan)), plan.until.as_ref().map(|until| until.0)];
    times.into_iter().flatten().filter(|at| now < *at).min()
}

/// What its operator is answered, with so many tasks of ours on the machine.
#[must_use]
pub fn answer(plan: &Maintenance, tasks: usize, now: Timestamp) -> Answer {
    if tasks == 0 {
        return Answer::Free;
    }
    let ahead = Duration::try_from(left_from(plan).duration_since(now)).unwrap_or_default();
    match ahead {
        Duration::ZERO if !is_leaving(plan, now) => Answer::NotYet(LATER),
        ahead if ahead <= NEAR => Answer::Wait,
        ahead => Answer::NotYet(LATER.min(ahead.saturating_sub(NEAR / 2))),
    }
}

fn left_from(plan: &Maintenance) -> Timestamp {
    plan.from.0.saturating_sub(AHEAD).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::micro_time;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn plan(from: i64, until: Option<i64>) -> Maintenance {
        Maintenance { from: micro_time(at(from)), until: until.map(|it| micro_time(at(it))) }
    }

    #[test]
    fn a_machine_is_left_half_an_hour_before_and_until_the_end() {
        let rows = [
            (None, 8_199, false, Some(8_200)),
            (None, 8_200, true, None),
            (None, 99_999, true, None),
            (Some(13_600), 8_199, false, Some(8_200)),
            (Some(13_600), 13_599, true, Some(13_600)),
            (Some(13_600), 13_600, false, None),
        ];
        for (until, second, leaving, turns) in rows {
            let plan = plan(10_000, until);
            assert_eq!(is_leaving(&plan, at(second)), leaving, "{until:?} at {second}");
            assert_eq!(turns_at(&plan, at(second)), turns.map(at), "{until:?} at {second}");
        }
    }

    #[test]
    fn a_machine_is_given_back_when_nothing_is_on_it_and_the_question_is_open_when_it_is_left() {
        let not_yet = |seconds| Answer::NotYet(Duration::from_secs(seconds));
        for (tasks, second, answered) in [
            (0, 0, Answer::Free),
            (0, 9_000, Answer::Free),
            (3, 0, not_yet(600)),
            (3, 8_000, not_yet(170)),
            (3, 8_139, not_yet(31)),
            (3, 8_140, Answer::Wait),
            (3, 9_000, Answer::Wait),
            (3, 20_000, not_yet(600)),
        ] {
            assert_eq!(
                answer(&plan(10_000, Some(13_600)), tasks, at(second)),
                answered,
                "{tasks} at {second}"
            );
        }
    }
}
