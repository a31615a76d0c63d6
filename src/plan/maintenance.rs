//! Planned maintenance: when a machine is left, and what its operator is answered.
//!
//! Tasks are moved before their machine is taken away as old ones are replaced in a rolling update: within
//! `minimumHealthCapacity` and `maximumOverCapacity`, and a new one is there first where these allow it.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::Maintenance;

/// How long before its maintenance a machine gets no new tasks, and those that it has are moved.
pub const AHEAD: Duration = Duration::from_secs(30 * 60);
/// How soon the question for a machine may come again that was answered for the time being.
const LATER: Duration = Duration::from_secs(10 * 60);
/// How soon it may come again while tasks are being moved.
const SOON: Duration = Duration::from_secs(15);
/// A plan of which nothing was heard for so long, although there are tasks on the machine, does not exist any more: the question
/// comes again and again.
pub const LAPSES: Duration = Duration::from_secs(20 * 60);

/// What to answer to the question for a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether the machine may be taken away.
    pub is_free: bool,
    /// How soon it may be asked again.
    pub again: Duration,
}

/// Whether the machine gets no tasks now and those on it are moved.
#[must_use]
pub fn is_leaving(plan: &Maintenance, now: Timestamp) -> bool {
    left_from(plan) <= now && plan.until.as_ref().is_none_or(|until| now < until.0)
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
    let is_free = tasks == 0;
    let again = if is_free || !is_leaving(plan, now) { LATER } else { SOON };
    Answer { is_free, again }
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
    fn a_machine_is_given_back_when_nothing_is_on_it() {
        let plan = plan(10_000, None);
        for (tasks, second, is_free, again) in
            [(0, 0, true, LATER), (3, 0, false, LATER), (3, 9_000, false, SOON), (0, 9_000, true, LATER)]
        {
            assert_eq!(answer(&plan, tasks, at(second)), Answer { is_free, again }, "{tasks} at {second}");
        }
    }
}
