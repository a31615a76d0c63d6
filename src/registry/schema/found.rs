//! What a walk over a value finds wrong, beside what it would find wrong with the value that this one replaces.

use std::collections::BTreeSet;

use crate::registry::field::{FAULTS_MAX, FieldError, FieldReason};

/// The faults of a value.
#[derive(Debug, Default)]
pub struct Found {
    /// Those that are new, the first hundred: the value that is replaced, if there is one, does not have them at the same places.
    pub new: Vec<FieldError>,
    /// Whether there are others: faults that were there before.
    pub has_old: bool,
}

impl Found {
    /// Whether nothing at all is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && !self.has_old
    }

    /// Whether there is enough to tell.
    pub(super) fn is_full(&self) -> bool {
        self.new.len() >= FAULTS_MAX
    }

    /// Takes in the `faults` of one place; `old` are those of what stood there before, and only asked for if there are faults.
    pub(super) fn take(&mut self, faults: Vec<FieldError>, old: impl FnOnce() -> Vec<FieldError>) {
        if faults.is_empty() {
            return;
        }
        let count = faults.len();
        let new = without(faults, &old());
        self.has_old |= new.len() < count;
        self.new.extend(new);
        self.new.truncate(FAULTS_MAX);
    }

    /// Adds what another walk found.
    pub(super) fn append(&mut self, mut other: Found) {
        self.new.append(&mut other.new);
        self.has_old |= other.has_old;
    }
}

/// Those of `faults` that are not among `known`.
#[must_use]
pub fn without(mut faults: Vec<FieldError>, known: &[FieldError]) -> Vec<FieldError> {
    if !known.is_empty() {
        let known: BTreeSet<_> = known.iter().map(identity).collect();
        faults.retain(|fault| !known.contains(&identity(fault)));
    }
    faults
}

/// All that a fault says, in an order.
fn identity(fault: &FieldError) -> (&str, FieldReason, &str, String) {
    (&fault.path, fault.reason, &fault.message, fault.value.to_string())
}
