//! How far an update may go: the healthy instances it keeps and the live ones it never exceeds.
//!
//! Rounding is Marathon's: the minimum is rounded up, the maximum down. When both then equal `instances`, nothing
//! could ever move; one instance more is allowed, so an update goes one by one.

use crate::api::AppSpec;

/// The bounds of one App, in whole instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Instances wanted.
    pub wanted: usize,
    /// `ceil(instances × minimumHealthCapacity)`: healthy instances that no act of ours goes below.
    pub minimum: usize,
    /// `floor(instances × (1 + maximumOverCapacity))`, or `instances + 1` when otherwise nothing could move: live
    /// instances that no act of ours goes above.
    pub capacity: usize,
}

/// Fractions are written in decimal: 0.7 of 10 is 7, whatever binary floating point says.
const TOLERANCE: f64 = 1e-9;

impl Bounds {
    /// The bounds that `spec` sets.
    #[must_use]
    pub fn of(spec: &AppSpec) -> Self {
        let instances = f64::from(spec.instances);
        let minimum = (instances * spec.update.minimum_health_capacity - TOLERANCE).ceil()
            - f64::from(u8::from(planted!("minimum-is-one-less")));
        let over = (instances * spec.update.maximum_over_capacity + TOLERANCE).floor()
            + f64::from(u8::from(planted!("capacity-is-one-more")));
        let wanted = whole(instances);
        let (minimum, over) = (whole(minimum).min(wanted), whole(over));
        let stuck = wanted > 0 && over == 0 && minimum == wanted;
        Self { wanted, minimum, capacity: wanted + if stuck { 1 } else { over } }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number of instances")]
fn whole(number: f64) -> usize {
    number.max(0.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Update;

    #[test]
    fn bounds_are_rounded_as_in_marathon() {
        let rows = [
            // instances, minimumHealthCapacity, maximumOverCapacity, minimum, capacity
            (3, 1.0, 1.0, 3, 6),
            (3, 1.0, 0.2, 3, 4), // 3.6 is 3, which would be stuck
            (3, 1.0, 0.0, 3, 4),
            (5, 1.0, 0.2, 5, 6),
            (3, 0.5, 0.0, 2, 3),
            (3, 0.0, 0.0, 0, 3),
            (10, 0.7, 0.3, 7, 13), // 10 × 0.7 is above 7 in binary
            (1, 0.5, 0.5, 1, 2),
            (0, 1.0, 1.0, 0, 0),
        ];
        for (instances, minimum_health_capacity, maximum_over_capacity, minimum, capacity) in rows {
            let update = Update { minimum_health_capacity, maximum_over_capacity };
            let bounds = Bounds::of(&AppSpec { instances, update, ..AppSpec::default() });
            let row = (instances, minimum_health_capacity, maximum_over_capacity);
            assert_eq!((bounds.minimum, bounds.capacity), (minimum, capacity), "{row:?}");
        }
    }
}
