//! Compares a snapshot with the store, page by page, holding one page at a time.

use std::sync::Arc;

use super::feed::PAGE_RECORDS;
use super::log::Difference;
use crate::registry::doc::Doc;
use crate::registry::key::{Key, Prefix};
use crate::registry::snapshot::Snapshot;
use crate::store::{Record, Store, StoreError};

/// Where `held` is not what the store was at the same revision. Both are in key order, so this is a merge.
///
/// # Errors
/// What the store answers; [`StoreError::Compacted`] when the revision is gone meanwhile.
pub(super) async fn differences(
    store: Arc<dyn Store>,
    prefix: Prefix,
    held: Snapshot,
) -> Result<Vec<Difference>, StoreError> {
    let mut differences = Vec::new();
    let mut last: Option<Key> = None;
    let mut after: Option<Arc<str>> = None;
    loop {
        let at = Some(held.revision);
        let page = store.range(prefix.as_str(), after.as_deref(), PAGE_RECORDS, at).await?;
        after = page.records.last().map(|record| record.key.clone());
        for record in &page.records {
            let Some(key) = Key::parse(&prefix, &record.key) else { continue };
            surplus(&held, last.as_ref(), Some(&key), &mut differences);
            differences.extend(differing(&held, &key, record));
            last = Some(key);
        }
        if !page.more {
            surplus(&held, last.as_ref(), None, &mut differences);
            return Ok(differences);
        }
    }
}

/// The objects held between two that the store has.
fn surplus(held: &Snapshot, after: Option<&Key>, before: Option<&Key>, differences: &mut Vec<Difference>) {
    let between = held.between(after, before);
    differences.extend(between.map(|doc| Difference {
        key: doc.key().clone(),
        held: Some(doc.revision()),
        truth: None,
    }));
}

/// A record that is held in another version, or not at all. One that cannot be read is no difference: it is not held.
fn differing(held: &Snapshot, key: &Key, record: &Record) -> Option<Difference> {
    let revision = held.get(key).map(|doc| doc.revision());
    if revision == Some(record.revision) {
        return None;
    }
    let truth = Doc::from_stored(key.clone(), record.revision, &record.value).ok()?;
    Some(Difference { key: key.clone(), held: revision, truth: Some(Arc::new(truth)) })
}
