//! How far an update may go, worked out from an App's spec in whole thousandths: not by what is checked.

use tenure::api::AppSpec;

/// Whole instances.
pub(super) struct Bounds {
    pub(super) minimum: usize,
    pub(super) capacity: usize,
}

impl Bounds {
    pub(super) fn of(spec: &AppSpec) -> Bounds {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
        let thousandths = |share: f64| (share * 1000.0).round() as usize;
        let wanted = spec.instances as usize;
        let minimum = (wanted * thousandths(spec.update.minimum_health_capacity)).div_ceil(1000);
        let over = wanted * thousandths(spec.update.maximum_over_capacity) / 1000;
        // One more where nothing could move.
        let over = if wanted > 0 && over == 0 && minimum == wanted { 1 } else { over };
        Bounds { minimum, capacity: wanted + over }
    }
}
