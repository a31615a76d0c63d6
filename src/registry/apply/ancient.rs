//! Keeps the account small: of more than ten updaters, the oldest become one.

use super::managed::{Entries, Manager, Operation};

/// How many updaters are told apart.
const UPDATERS_MAX: usize = 10;
/// Under which name the oldest are kept.
const ANCIENT: &str = "ancient-changes";

/// Merges the oldest updaters until no more than ten are left.
pub(super) fn cap(entries: &mut Entries) {
    loop {
        let updaters: Vec<(&Manager, &Option<String>)> = entries
            .iter()
            .filter(|(manager, _)| manager.operation == Operation::Update)
            .map(|(manager, owned)| (manager, &owned.time))
            .collect();
        if updaters.len() <= UPDATERS_MAX {
            return;
        }
        let oldest =
            updaters.iter().filter(|(manager, _)| manager.name != ANCIENT).min_by_key(|(_, time)| *time);
        let Some(oldest) = oldest.map(|(manager, _)| (*manager).clone()) else { return };
        let Some(owned) = entries.remove(&oldest) else { return };
        let ancient = Manager { name: ANCIENT.to_owned(), ..oldest };
        let known = entries.remove(&ancient).unwrap_or_default();
        entries.insert(ancient, known.fields.union(&owned.fields), owned.time.max(known.time));
    }
}
