//! How large a machine is: what it offers and what our Tasks use of it.
//!
//! Nobody tells a scheduler. A look at a machine shows at least what is offered and what Tasks use by their agents' word, and at
//! most that and what is bound there besides: what a Task just took may be offered still. Either may be wrong for a while: what
//! the cluster offers again may be in use by a Task whose end is not stored yet, or whose end a watch has lost. So a machine that
//! looks otherwise than it was thought to be is doubted first.

use std::time::Duration;

use jiff::Timestamp;

use super::after;
use crate::api::{Bytes, Cpus, Resources, Totals};

/// How long a machine of our own must look larger, its offers being the same, before that is believed.
const LARGER: Duration = Duration::from_secs(60);
/// How long a machine that others use, too, must look larger, whenever it is looked at, before the least that it showed is
/// believed: no offer of it is held for as long as a minute.
const LARGER_SHARED: Duration = Duration::from_secs(15 * 60);
/// How long a machine must look smaller, whenever it is looked at, before that is believed: longer than until an event that a
/// watch has lost is found.
const SMALLER: Duration = Duration::from_secs(15 * 60);

/// Who uses the machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// We alone.
    Sole,
    /// Other frameworks as well. What they use nobody tells us: a machine is as large as it looked at most.
    Shared,
}

/// What is seen of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// What it offers now.
    pub offered: Totals,
    /// What Tasks use by their agents' word.
    pub used: Resources,
    /// What is bound there to Tasks of which nothing was heard yet.
    pub bound: Resources,
}

/// Why a machine's size is doubted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// How it looks.
    pub side: Side,
    /// How large that would make it: if it looks larger, by the look that showed least.
    pub shown: Totals,
    /// When what is seen is believed.
    pub ends: Timestamp,
}

/// How a machine looks, compared with what it was thought to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It shows more of something.
    Larger,
    /// It shows less of something, and more of nothing.
    Smaller,
}

/// What a look leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It is as large as it was thought to be.
    AsBefore,
    /// That may be so still.
    Doubtful(Doubt),
    /// It is that large, provided that what its Tasks are thought to use is true by the store's own word.
    Larger(Totals),
    /// It is that small.
    Smaller(Totals),
}

impl Doubt {
    /// A doubt that begins now.
    #[must_use]
    pub fn new(side: Side, shown: Totals, sharing: Sharing, now: Timestamp) -> Self {
        let patience = match (side, sharing) {
            (Side::Larger, Sharing::Sole) => LARGER,
            (Side::Larger, Sharing::Shared) => LARGER_SHARED,
            (Side::Smaller, _) => SMALLER,
        };
        Self { side, shown, ends: after(now, patience) }
    }

    /// Whether it goes on although the offers that were looked at are gone. What comes next is another look; a machine of our own
    /// must look larger in one and the same.
    #[must_use]
    pub fn outlives_its_offers(&self, sharing: Sharing) -> bool {
        self.side == Side::Smaller || sharing == Sharing::Shared
    }
}

impl Look {
    /// The least that the machine has by this look. The first offer of an unused machine shows all of its ports.
    #[must_use]
    pub fn at_least(&self) -> Totals {
        totals(&sum([&scalars(&self.offered), &self.used]), &self.offered.ports)
    }

    fn at_most(&self, ports: &[String]) -> Totals {
        totals(&sum([&scalars(&self.offered), &self.used, &self.bound]), ports)
    }
}

/// What a look says of a machine that was thought to be as large as `before`, and was doubted already or not.
#[must_use]
pub fn judge(
    look: &Look,
    before: &Totals,
    doubted: Option<Doubt>,
    sharing: Sharing,
    now: Timestamp,
) -> Opinion {
    let ports = if before.ports.is_empty() { &look.offered.ports } else { &before.ports };
    let (least, most) = (look.at_least(), look.at_most(ports));
    let grown = totals(&greatest(&scalars(&least), &scalars(before)), ports);
    let (side, totals) = if grown != *before {
        (Side::Larger, grown)
    } else if sharing == Sharing::Sole && greatest(&scalars(&most), &scalars(before)) != scalars(&most) {
        (Side::Smaller, most)
    } else {
        return Opinion::AsBefore;
    };
    let doubt = doubted.filter(|it| it.side == side).and_then(|it| confirmed(it, &totals, before));
    let doubt = doubt.unwrap_or_else(|| Doubt::new(side, totals, sharing, now));
    match side {
        _ if now < doubt.ends => Opinion::Doubtful(doubt),
        Side::Larger => Opinion::Larger(doubt.shown),
        Side::Smaller => Opinion::Smaller(doubt.shown),
    }
}

/// What is left of a doubt when a look has shown `now_shown`; nothing if they have nothing in common.
fn confirmed(doubt: Doubt, now_shown: &Totals, before: &Totals) -> Option<Doubt> {
    let shown = match doubt.side {
        Side::Larger => totals(&least(&scalars(&doubt.shown), &scalars(now_shown)), &now_shown.ports),
        Side::Smaller => now_shown.clone(),
    };
    (shown != *before).then_some(Doubt { shown, ..doubt })
}

/// All of `parts` together.
#[must_use]
pub fn sum<'a>(parts: impl IntoIterator<Item = &'a Resources>) -> Resources {
    let nothing =
        Resources { cpus: Cpus::default(), memory: Bytes::default(), disk: Bytes::default(), gpus: 0 };
    parts.into_iter().fold(nothing, |sum, it| Resources {
        cpus: Cpus::from_millis(sum.cpus.millis() + it.cpus.millis()),
        memory: Bytes::new(sum.memory.get() + it.memory.get()),
        disk: Bytes::new(sum.disk.get() + it.disk.get()),
        gpus: sum.gpus + it.gpus,
    })
}

/// Of each sort the greater amount.
fn greatest(a: &Resources, b: &Resources) -> Resources {
    Resources {
        cpus: a.cpus.max(b.cpus),
        memory: a.memory.max(b.memory),
        disk: a.disk.max(b.disk),
        gpus: a.gpus.max(b.gpus),
    }
}

/// Of each sort the lesser amount.
fn least(a: &Resources, b: &Resources) -> Resources {
    Resources {
        cpus: a.cpus.min(b.cpus),
        memory: a.memory.min(b.memory),
        disk: a.disk.min(b.disk),
        gpus: a.gpus.min(b.gpus),
    }
}

fn scalars(totals: &Totals) -> Resources {
    let Totals { cpus, memory, disk, gpus, ports: _ } = totals;
    Resources { cpus: *cpus, memory: *memory, disk: *disk, gpus: *gpus }
}

fn totals(scalars: &Resources, ports: &[String]) -> Totals {
    let Resources { cpus, memory, disk, gpus } = scalars;
    Totals { cpus: *cpus, memory: *memory, disk: *disk, gpus: *gpus, ports: ports.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn resources(cpus: u64, mebibytes: u64) -> Resources {
        Resources {
            cpus: Cpus::from_millis(cpus * 1000),
            memory: Bytes::from_mebibytes(mebibytes),
            ..sum([])
        }
    }

    fn sized(cpus: u64, mebibytes: u64) -> Totals {
        totals(&resources(cpus, mebibytes), &["31000-32000".to_owned()])
    }

    /// Processors offered, used and bound, of a machine with 64 MiB of memory free.
    fn look(offered: u64, used: u64, bound: u64) -> Look {
        Look { offered: sized(offered, 64), used: resources(used, 0), bound: resources(bound, 0) }
    }

    /// What looks of a machine that was thought to have 8 processors come to: the time, what is seen, what is thought then
    /// (`L`arger, `S`maller, doubtful `?`, as before `=`).
    fn check(sharing: Sharing, looks: &[(i64, Look)]) -> String {
        let (before, mut doubted) = (sized(8, 64), None);
        let mut told = String::new();
        for (second, look) in looks {
            let opinion = judge(look, &before, doubted, sharing, at(*second));
            doubted = None;
            told += &match opinion {
                Opinion::AsBefore => "= ".to_owned(),
                Opinion::Doubtful(doubt) => {
                    doubted = Some(doubt);
                    "? ".to_owned()
                }
                Opinion::Larger(totals) => format!("L{} ", totals.cpus),
                Opinion::Smaller(totals) => format!("S{} ", totals.cpus),
            };
        }
        told.trim_end().to_owned()
    }

    #[test]
    fn machine_that_looks_larger_is_believed_after_a_minute_in_which_it_always_did() {
        let larger = || look(6, 4, 0);
        assert_eq!(check(Sharing::Sole, &[(0, larger()), (59, larger()), (60, larger())]), "? ? L10");
        let right = || look(4, 4, 0);
        let looks = [(0, larger()), (30, right()), (60, larger()), (119, larger()), (120, larger())];
        assert_eq!(check(Sharing::Sole, &looks), "? = ? ? L10");
    }

    #[test]
    fn machine_that_others_use_is_as_much_larger_as_each_look_in_a_quarter_of_an_hour_showed() {
        let shared = |looks: &[(i64, Look)]| check(Sharing::Shared, looks);
        let looks = [(0, look(6, 6, 0)), (60, look(1, 9, 0)), (899, look(7, 4, 0)), (900, look(5, 6, 0))];
        assert_eq!(shared(&looks), "? ? ? L10");
        let looks = [(0, look(6, 4, 0)), (800, look(2, 4, 0)), (900, look(6, 4, 0)), (1800, look(6, 4, 0))];
        assert_eq!(shared(&looks), "? = ? L10", "others held nothing that would hide it");
        let other = Look { offered: sized(1, 128), used: resources(2, 0), bound: resources(0, 0) };
        let looks = [(0, look(6, 4, 0)), (900, other.clone()), (1000, other)];
        assert_eq!(shared(&looks), "? ? ?", "larger in another way is another doubt");

        let doubt = |sharing| Doubt::new(Side::Larger, sized(9, 64), sharing, at(0));
        assert!(!doubt(Sharing::Sole).outlives_its_offers(Sharing::Sole));
        assert!(doubt(Sharing::Shared).outlives_its_offers(Sharing::Shared));
    }

    #[test]
    fn machine_of_our_own_that_looks_smaller_is_believed_after_a_quarter_of_an_hour() {
        let smaller = || look(2, 4, 0);
        assert_eq!(check(Sharing::Sole, &[(0, smaller()), (899, smaller()), (900, smaller())]), "? ? S6");
        let looks = [(0, smaller()), (800, look(4, 4, 0)), (900, smaller()), (1800, smaller())];
        assert_eq!(check(Sharing::Sole, &looks), "? = ? S6");
        assert_eq!(check(Sharing::Shared, &[(0, smaller()), (900, smaller())]), "= =", "others use the rest");
    }

    #[test]
    fn what_was_just_bound_makes_a_machine_neither_larger_nor_smaller() {
        assert_eq!(check(Sharing::Sole, &[(0, look(8, 0, 3)), (900, look(5, 0, 3))]), "= =");
        assert_eq!(check(Sharing::Sole, &[(0, look(3, 0, 3)), (900, look(3, 0, 3))]), "? S6");
    }

    #[test]
    fn larger_in_one_and_smaller_in_another_is_larger_first_and_nothing_shrinks_with_it() {
        let mixed = Look { offered: sized(9, 32), used: resources(0, 0), bound: resources(0, 0) };
        let doubt = Doubt::new(Side::Larger, sized(9, 64), Sharing::Sole, at(0));
        let opinion = judge(&mixed, &sized(8, 64), Some(doubt.clone()), Sharing::Sole, at(60));
        assert_eq!(opinion, Opinion::Larger(sized(9, 64)));
        let opinion = judge(&mixed, &sized(9, 64), Some(doubt), Sharing::Sole, at(60));
        let smaller = Doubt::new(Side::Smaller, sized(9, 32), Sharing::Sole, at(60));
        assert_eq!(opinion, Opinion::Doubtful(smaller));
    }
}
