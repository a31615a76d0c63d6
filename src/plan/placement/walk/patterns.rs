//! What LIKE and UNLIKE were found to accept during a pass, for all classes that have the same constraint.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::plan::placement::constraint::{Counts, Rule, Test};
use crate::plan::placement::order::Rank;
use crate::plan::placement::values::{ValueIx, Values};

/// All LIKE and UNLIKE of a pass, by their text.
#[derive(Default)]
pub(in crate::plan::placement) struct Patterns<'a> {
    patterns: BTreeMap<&'a str, Pattern<'a>>,
}

struct Pattern<'a> {
    /// The first of those with this text. A regular expression is slow until it has been used for a while.
    rule: &'a Rule,
    verdicts: Rc<Verdicts>,
    /// The values that it accepts, once they were asked for.
    matching: Option<Vec<Option<ValueIx>>>,
    /// It refuses every agent before this rank.
    floor: Rank,
}

/// What a rule says of each value of its field, as far as it was asked.
pub(super) struct Verdicts(Vec<Cell<Option<bool>>>);

impl Verdicts {
    pub(super) fn get_or_judge(&self, value: ValueIx, judge: impl FnOnce() -> bool) -> bool {
        let Some(known) = self.0.get(value.at()) else { return judge() };
        known.get().unwrap_or_else(|| {
            let verdict = judge();
            known.set(Some(verdict));
            verdict
        })
    }
}

fn is_pattern(rule: &Rule) -> bool {
    matches!(rule.test, Test::Matches(_) | Test::Differs(_))
}

impl<'a> Patterns<'a> {
    /// The rule by which all that say the same are judged, and what it said.
    pub(super) fn shared(&mut self, rule: &'a Rule, values: &Values) -> (&'a Rule, Option<Rc<Verdicts>>) {
        if !is_pattern(rule) {
            return (rule, None);
        }
        let pattern = self.patterns.entry(rule.text()).or_insert_with(|| {
            let verdicts = Rc::new(Verdicts(vec![Cell::new(None); values.numbers()]));
            Pattern { rule, verdicts, matching: None, floor: Rank::FIRST }
        });
        (pattern.rule, Some(pattern.verdicts.clone()))
    }

    /// The values that the rule accepts, in order.
    pub(super) fn matching(&mut self, rule: &Rule, values: &Values) -> &[Option<ValueIx>] {
        let Some(pattern) = self.patterns.get_mut(rule.text()) else { return &[] };
        pattern.matching.get_or_insert_with(|| {
            let all = values.all().map(Some).chain([None]);
            let nowhere = Counts::default();
            all.filter(|it| rule.accepts(*it, &nowhere)).map(|it| it.map(|it| it.number)).collect()
        })
    }

    /// How many values the rule accepts, if that is known.
    pub(super) fn known(&self, rule: &Rule) -> Option<usize> {
        self.patterns.get(rule.text())?.matching.as_ref().map(Vec::len)
    }

    /// The rank before which the rule refuses every agent.
    pub(super) fn floor(&self, rule: &Rule) -> Rank {
        self.patterns.get(rule.text()).map_or(Rank::FIRST, |it| it.floor)
    }

    /// The rule refuses every agent from its floor up to `rank`, that one included.
    pub(super) fn raise(&mut self, rule: &Rule, rank: Rank) {
        if let Some(pattern) = self.patterns.get_mut(rule.text()) {
            pattern.floor = pattern.floor.max(rank.next());
        }
    }
}
