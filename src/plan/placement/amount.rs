//! What an offer holds and a task takes, in thousandths of Mesos's units and without floating point.

use std::fmt;

use crate::api;
use crate::api::{Bytes, Cpus, Revocable};

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
    /// Thousandths of a cpu, lent and not among `cpus`: whoever takes them may lose them at any time.
    pub lent_cpus: u64,
    /// Thousandths of a MiB of memory, lent and not among `memory`.
    pub lent_memory: u64,
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
    /// Processor time that is lent.
    LentCpus,
    /// Memory that is lent.
    LentMemory,
}

impl Scalar {
    /// All, in the order in which shortages are told.
    pub const ALL: [Self; 6] =
        [Self::Cpus, Self::Memory, Self::Disk, Self::Gpus, Self::LentCpus, Self::LentMemory];

    /// Whether Mesos may want it back at any time.
    #[must_use]
    pub fn is_lent(self) -> bool {
        matches!(self, Self::LentCpus | Self::LentMemory)
    }

    /// `amount` thousandths of this, as people write it: `500m`, `4Gi`, `2`. Rounded down to what has a short form.
    #[must_use]
    pub fn show(self, amount: u64) -> String {
        match self {
            Self::Cpus | Self::LentCpus => Cpus::from_millis(amount).to_string(),
            Self::Memory | Self::Disk | Self::LentMemory => Bytes::from_mebibytes(amount / 1000).to_string(),
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
            Self::LentCpus => "revocable cpus",
            Self::LentMemory => "revocable memory",
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
            Scalar::LentCpus => self.lent_cpus,
            Scalar::LentMemory => self.lent_memory,
        }
    }

    /// The same amounts, these of them lent.
    #[must_use]
    pub fn lending(self, lent: &[Revocable]) -> Self {
        let mut all = self;
        for it in lent {
            let (from, to) = match it {
                Revocable::Cpus => (&mut all.cpus, &mut all.lent_cpus),
                Revocable::Memory => (&mut all.memory, &mut all.lent_memory),
            };
            *to = to.saturating_add(std::mem::take(from));
        }
        all
    }

    /// What is lent counted as if it were not.
    #[must_use]
    pub fn altogether(self) -> Self {
        Self {
            cpus: self.cpus.saturating_add(self.lent_cpus),
            memory: self.memory.saturating_add(self.lent_memory),
            lent_cpus: 0,
            lent_memory: 0,
            ..self
        }
    }

    /// Of which there is something that is lent.
    #[must_use]
    pub fn lent(&self) -> Vec<Revocable> {
        let amounts = [(Revocable::Cpus, self.lent_cpus), (Revocable::Memory, self.lent_memory)];
        amounts.into_iter().filter(|(_, amount)| *amount > 0).map(|(it, _)| it).collect()
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
            lent_cpus: apply(self.lent_cpus, other.lent_cpus),
            lent_memory: apply(self.lent_memory, other.lent_memory),
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
            lent_cpus: 0,
            lent_memory: 0,
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
        let expected = Resources { cpus: 1500, memory: 64_000, disk: 1, gpus: 2000, ..Resources::default() };
        assert_eq!(Resources::from(&wanted), expected);
        let lent = expected.lending(&[Revocable::Cpus]);
        assert_eq!((lent.cpus, lent.lent_cpus, lent.memory), (0, 1500, 64_000));
        assert_eq!((lent.lent(), lent.altogether()), (vec![Revocable::Cpus], expected));
    }

    #[test]
    fn amounts_are_shown_as_people_write_them() {
        let rows = [
            (Scalar::Cpus, 500, "500m"),
            (Scalar::LentMemory, 65_536_999, "64Gi"),
            (Scalar::Gpus, 2000, "2"),
        ];
        for (scalar, amount, shown) in rows {
            assert_eq!(scalar.show(amount), shown);
        }
    }
}
