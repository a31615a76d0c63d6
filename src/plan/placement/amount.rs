//! What an offer holds and a task takes, in thousandths of Mesos's units and without floating point.

use std::fmt;

use crate::api;
use crate::api::{Bytes, Cpus};

/// Scalars in thousandths, the precision that Mesos keeps: of a cpu, a MiB of memory, a MiB of disk, a gpu.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Thousandths of a cpu.
    pub cpus: u64,
    /// Thousandths of a MiB.
    pub memory: u64,
    /// Thousandths of a MiB.
    pub disk: u64,
    /// Thousandths of a gpu; whole in practice.
    pub gpus: u64,
}

/// One of the scalars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scalar {
    /// Processor time.
    Cpus,
    /// Memory.
    Memory,
    /// Disk.
    Disk,
    /// Graphics processors.
    Gpus,
}

impl Scalar {
    /// All, in the order in which shortages are told.
    pub const ALL: [Self; 4] = [Self::Cpus, Self::Memory, Self::Disk, Self::Gpus];

    /// `amount` thousandths of this, as people write it: `500m`, `4Gi`, `2`. Rounded down to what has a short form.
    #[must_use]
    pub fn show(self, amount: u64) -> String {
        match self {
            Self::Cpus => Cpus::from_millis(amount).to_string(),
            Self::Memory | Self::Disk => Bytes::from_mebibytes(amount / 1000).to_string(),
            Self::Gpus => (amount / 1000).to_string(),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Cpus => "cpus",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Gpus => "gpus",
        })
    }
}

impl Resources {
    /// The amount of one scalar.
    #[must_use]
    pub fn of(&self, scalar: Scalar) -> u64 {
        match scalar {
            Scalar::Cpus => self.cpus,
            Scalar::Memory => self.memory,
            Scalar::Disk => self.disk,
            Scalar::Gpus => self.gpus,
        }
    }

    /// The first scalar of which `free` has too little, if any.
    #[must_use]
    pub fn lacks_in(&self, free: &Self) -> Option<Scalar> {
        Scalar::ALL.into_iter().find(|&it| self.of(it) > free.of(it))
    }

    /// The sum.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.each(other, u64::saturating_add)
    }

    /// The difference; nothing is below zero.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.each(other, u64::saturating_sub)
    }

    fn each(&self, other: &Self, apply: fn(u64, u64) -> u64) -> Self {
        Self {
            cpus: apply(self.cpus, other.cpus),
            memory: apply(self.memory, other.memory),
            disk: apply(self.disk, other.disk),
            gpus: apply(self.gpus, other.gpus),
        }
    }
}

/// Bytes are rounded up to thousandths of a MiB, so a task never gets less than it asked for.
impl From<&api::Resources> for Resources {
    fn from(wanted: &api::Resources) -> Self {
        Self {
            cpus: wanted.cpus.millis(),
            memory: mebibytes(wanted.memory),
            disk: mebibytes(wanted.disk),
            gpus: u64::from(wanted.gpus) * 1000,
        }
    }
}

fn mebibytes(bytes: Bytes) -> u64 {
    let thousandths = (u128::from(bytes.get()) * 1000).div_ceil(1 << 20);
    u64::try_from(thousandths).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_app_asks_for_is_rounded_up_to_what_mesos_can_say() {
        let wanted = api::Resources {
            cpus: Cpus::from_millis(1500),
            memory: Bytes::from_mebibytes(64),
            disk: Bytes::new(1),
            gpus: 2,
        };
        let expected = Resources { cpus: 1500, memory: 64_000, disk: 1, gpus: 2000 };
        assert_eq!(Resources::from(&wanted), expected);
    }

    #[test]
    fn amounts_are_shown_as_people_write_them() {
        let rows =
            [(Scalar::Cpus, 500, "500m"), (Scalar::Memory, 65_536_999, "64Gi"), (Scalar::Gpus, 2000, "2")];
        for (scalar, amount, shown) in rows {
            assert_eq!(scalar.show(amount), shown);
        }
    }
}
