//! Host ports on offer, and the choice among them.
//!
//! A port is chosen at random among all that are free: the one a task has just left is not given out again at once,
//! when connections to it may still linger.

use std::fmt;

/// Ports from `begin` to `end`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRange {
    /// The first.
    pub begin: u16,
    /// The last.
    pub end: u16,
}

/// A set of ports: ranges in order, apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortSet {
    ranges: Vec<PortRange>,
    len: u32,
}

impl PortSet {
    /// Whether no port is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many ports are in it.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// The ranges, in order.
    #[must_use]
    pub fn ranges(&self) -> &[PortRange] {
        &self.ranges
    }

    /// Whether `port` is in it.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.position(port).is_some()
    }

    /// Takes `port` out; whether it was in.
    pub fn take(&mut self, port: u16) -> bool {
        let Some(at) = self.position(port) else { return false };
        let PortRange { begin, end } = self.ranges[at];
        match (begin == port, end == port) {
            (true, true) => {
                self.ranges.remove(at);
            }
            (true, false) => self.ranges[at].begin = port + 1,
            (false, true) => self.ranges[at].end = port - 1,
            (false, false) => {
                self.ranges[at].end = port - 1;
                self.ranges.insert(at + 1, PortRange { begin: port + 1, end });
            }
        }
        self.len -= 1;
        true
    }

    /// The port at `index` in ascending order, `None` from [`len`](Self::len) on.
    #[must_use]
    pub fn nth(&self, index: u32) -> Option<u16> {
        let mut left = index;
        for range in &self.ranges {
            let size = u32::from(range.end - range.begin) + 1;
            if left < size {
                return u16::try_from(u32::from(range.begin) + left).ok();
            }
            left -= size;
        }
        None
    }

    fn position(&self, port: u16) -> Option<usize> {
        let at = self.ranges.partition_point(|it| it.end < port);
        self.ranges.get(at).filter(|it| it.begin <= port).map(|_| at)
    }
}

/// From ranges in any order, overlapping or inverted as they may be: Mesos promises neither. Inverted ones are empty.
impl FromIterator<PortRange> for PortSet {
    fn from_iter<I: IntoIterator<Item = PortRange>>(ranges: I) -> Self {
        let mut sorted: Vec<_> = ranges.into_iter().filter(|it| it.begin <= it.end).collect();
        sorted.sort_unstable();
        let mut merged: Vec<PortRange> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match merged.last_mut() {
                Some(last) if u32::from(range.begin) <= u32::from(last.end) + 1 => {
                    last.end = last.end.max(range.end);
                }
                _ => merged.push(range),
            }
        }
        let len = merged.iter().map(|it| u32::from(it.end - it.begin) + 1).sum();
        Self { ranges: merged, len }
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, PortRange { begin, end }) in self.ranges.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(formatter, "{comma}{begin}-{end}")?;
        }
        Ok(())
    }
}

/// Choices that follow from a seed: the same seed and the same questions give the same answers (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        u32::try_from(((mixed >> 32) * u64::from(bound)) >> 32).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn ports(ranges: &[(u16, u16)]) -> PortSet {
        ranges.iter().map(|&(begin, end)| PortRange { begin, end }).collect()
    }

    #[test]
    fn ranges_of_an_offer_may_come_in_any_order_and_overlap() {
        let set = ports(&[(10, 12), (1, 3), (4, 4), (11, 15), (9, 2), (65_535, 65_535)]);
        assert_eq!(set.to_string(), "1-4,10-15,65535-65535");
        assert_eq!(set.len(), 11);
    }

    #[test]
    fn a_port_is_taken_from_every_place_of_a_range() {
        for (port, left) in [(1, "2-5"), (5, "1-4"), (3, "1-2,4-5"), (6, "1-5"), (0, "1-5")] {
            let mut set = ports(&[(1, 5)]);
            assert_eq!(set.take(port), (1..=5).contains(&port));
            assert_eq!(set.to_string(), left, "{port}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_port_set_is_a_set_of_ports(
            ranges in proptest::collection::vec((0_u16..60, 0_u16..60), 0..6),
            taken in proptest::collection::vec(0_u16..60, 0..40),
        ) {
            let mut oracle: BTreeSet<u16> = ranges.iter().flat_map(|&(begin, end)| begin..=end).collect();
            let mut set = ports(&ranges);
            for port in taken {
                proptest::prop_assert_eq!(set.take(port), oracle.remove(&port));
            }
            let listed: Vec<_> = (0..set.len()).filter_map(|index| set.nth(index)).collect();
            proptest::prop_assert_eq!(listed, oracle.into_iter().collect::<Vec<_>>());
            proptest::prop_assert_eq!(set.nth(set.len()), None);
        }
    }
}
