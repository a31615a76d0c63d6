//! Probe results to verdicts. Pure.
//!
//! The first success makes a task healthy; `max_failures` failures in a row make it unhealthy, whether or not it was
//! ever healthy. Failures within the grace period count only after a first success, as Mesos and Marathon have it.

/// When a row of failures becomes a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// From the task's start.
    pub grace: std::time::Duration,
    /// At least 1; 1 reports every change.
    pub max_failures: u32,
}

/// What is known of one check so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Nothing until the first success, or until the failures are enough.
    pub healthy: Option<bool>,
    /// Failures in a row that count.
    pub failures: u32,
}

impl Verdict {
    /// Takes one result into account; the verdict if it has changed by it.
    pub fn observe(&mut self, passed: bool, in_grace: bool, max_failures: u32) -> Option<bool> {
        if passed {
            self.failures = 0;
            return self.change(true);
        }
        if in_grace && self.healthy.is_none() {
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures < max_failures.max(1) { None } else { self.change(false) }
    }

    fn change(&mut self, healthy: bool) -> Option<bool> {
        (self.healthy.replace(healthy) != Some(healthy)).then_some(healthy)
    }
}

/// Several checks of one task: good when all are, bad when one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Together {
    verdicts: Vec<Option<bool>>,
    told: Option<bool>,
}

impl Together {
    /// Nothing is known of any of `checks` checks.
    #[must_use]
    pub fn of(checks: usize) -> Together {
        Together { verdicts: vec![None; checks], told: None }
    }

    /// Takes the verdict of the check `index` into account; the verdict of all if it has changed by it.
    pub fn observe(&mut self, index: usize, healthy: bool) -> Option<bool> {
        if let Some(verdict) = self.verdicts.get_mut(index) {
            *verdict = Some(healthy);
        }
        let all = if self.verdicts.contains(&Some(false)) {
            false
        } else if self.verdicts.contains(&None) {
            return None;
        } else {
            true
        };
        (self.told.replace(all) != Some(all)).then_some(all)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `+` and `-` are results after the grace period, `a` and `b` the same within it; a row gives the reports as `H`
    /// and `U`, `.` for none.
    fn reports(results: &str, max_failures: u32) -> String {
        let mut verdict = Verdict::default();
        let report = |result| {
            let (passed, in_grace) = match result {
                '+' => (true, false),
                '-' => (false, false),
                'a' => (true, true),
                _ => (false, true),
            };
            match verdict.observe(passed, in_grace, max_failures) {
                Some(true) => 'H',
                Some(false) => 'U',
                None => '.',
            }
        };
        results.chars().map(report).collect()
    }

    #[test]
    fn only_changes_of_the_verdict_are_reported() {
        let rows = [
            ("first success", "+++", 3, "H.."),
            ("never healthy", "-----", 3, "..U.."),
            ("a success starts the count again", "+--+---", 3, "H.....U"),
            ("recovery", "---+", 3, "..UH"),
            ("failures in grace do not count", "bbbb--", 2, ".....U"),
            ("nor do they count later", "bbb-+", 2, "....H"),
            ("a success in grace ends the grace", "abb", 2, "H.U"),
            ("one failure is enough", "+-+-", 1, "HUHU"),
            ("zero is read as one", "-", 0, "U"),
        ];
        for (name, results, max_failures, expected) in rows {
            assert_eq!(reports(results, max_failures), expected, "{name}");
        }
    }

    #[test]
    fn checks_together_are_good_when_all_are_and_bad_when_one_is() {
        let mut both = Together::of(2);
        let verdicts = [(0, true), (1, true), (0, false), (1, false), (0, true), (1, true)];
        let told: Vec<Option<bool>> = verdicts.map(|(index, healthy)| both.observe(index, healthy)).into();
        assert_eq!(told, [None, Some(true), Some(false), None, None, Some(true)]);
    }

    proptest! {
        /// Reports alternate, and the last one agrees with what the oracle reads off the tail of the results.
        #[test]
        fn the_last_report_is_what_the_tail_of_results_says(
            results in "[+-]{1,30}", max_failures in 1_u32..5,
        ) {
            let reports = reports(&results, max_failures);
            let told: Vec<char> = reports.chars().filter(|r| *r != '.').collect();
            prop_assert!(told.windows(2).all(|pair| pair[0] != pair[1]));

            let failing = results.len() - results.rfind('+').map_or(0, |last| last + 1);
            if failing >= max_failures as usize {
                prop_assert_eq!(told.last(), Some(&'U'));
            } else if results.ends_with('+') {
                prop_assert_eq!(told.last(), Some(&'H'));
            }
        }
    }
}
