//! Which versions of which keys exist: the multi-version index below the memory and the embedded store.
//!
//! `V` is a version's value, or where it is kept. Everything above the compacted revision is here, so a range at any
//! such revision and a watch from any such revision can be answered.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::decision::{Effect, Head};
use super::{LeaseId, Revision, StoreError};

/// One version of one key; without a value it is the key's deletion.
#[derive(Debug, Clone)]
pub(super) struct Version<V> {
    pub revision: Revision,
    /// Its place among what its revision wrote.
    pub ordinal: u32,
    pub created: Revision,
    pub lease: Option<LeaseId>,
    pub value: Option<V>,
}

/// A version and its key.
pub(super) type Keyed<V> = (Arc<str>, Version<V>);

/// The versions that `effects` are when they become `revision`; `value` tells what to keep of a value.
pub(super) fn versions<V>(
    revision: Revision,
    effects: Vec<Effect>,
    value: impl Fn(Bytes) -> V,
) -> Vec<Keyed<V>> {
    let version = |(ordinal, effect): (u32, Effect)| {
        let Effect { key, created, value: written, lease } = effect;
        (key, Version { revision, ordinal, created, lease, value: written.map(&value) })
    };
    (0..).zip(effects).map(version).collect()
}

#[derive(Debug)]
pub(super) struct Index<V> {
    revision: Revision,
    compacted: Revision,
    /// Versions in order. Never empty, and the last one is no deletion unless it is above `compacted`.
    keys: BTreeMap<Arc<str>, Vec<Version<V>>>,
    /// The keys that each revision above `compacted` touched, in the order of its operations.
    touched: BTreeMap<Revision, Vec<Arc<str>>>,
}

impl<V: Clone> Index<V> {
    pub(super) fn new() -> Index<V> {
        Index { revision: 0, compacted: 0, keys: BTreeMap::new(), touched: BTreeMap::new() }
    }

    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    pub(super) fn compacted(&self) -> Revision {
        self.compacted
    }

    /// The present version of `key`.
    pub(super) fn get(&self, key: &str) -> Option<&Version<V>> {
        self.keys.get(key)?.last().filter(|version| version.value.is_some())
    }

    pub(super) fn head(&self, key: &str) -> Option<Head> {
        let Version { revision, created, lease, .. } = self.get(key)?;
        Some(Head { revision: *revision, created: *created, lease: *lease })
    }

    /// Adds what one transaction wrote, as `revision`, which is above all before it.
    pub(super) fn commit(&mut self, revision: Revision, versions: Vec<Keyed<V>>) {
        debug_assert!(revision > self.revision, "revisions only grow");
        let keys = versions.iter().map(|(key, _)| key.clone()).collect();
        for (key, version) in versions {
            self.keys.entry(key).or_default().push(version);
        }
        self.touched.insert(revision, keys);
        self.revision = revision;
    }

    /// At most `limit` keys (0: no limit) under `prefix` after the key `after`, as they were at `at`, and whether more
    /// follow.
    pub(super) fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<(Vec<Keyed<V>>, bool), StoreError> {
        let at = at.unwrap_or(self.revision);
        self.check_kept(at)?;
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut found = self
            .keys
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter_map(|(key, versions)| Some((key.clone(), version_at(versions, at)?.clone())));
        let limit = if limit == 0 { usize::MAX } else { limit };
        let records = found.by_ref().take(limit).collect();
        Ok((records, found.next().is_some()))
    }

    /// Whether the state at `at` can still be told, and can be told already.
    pub(super) fn check_kept(&self, at: Revision) -> Result<(), StoreError> {
        if at < self.compacted {
            return Err(StoreError::Compacted { asked: at, oldest: self.compacted });
        }
        if at > self.revision {
            return Err(StoreError::Unavailable(format!("revision {at} is in the future")));
        }
        Ok(())
    }

    /// The versions under `prefix` that revisions above `after` wrote, in order, up to about `limit` of them: whole
    /// revisions, and the last revision looked at.
    pub(super) fn changes_after(
        &self,
        prefix: &str,
        after: Revision,
        limit: usize,
    ) -> Result<(Vec<Keyed<V>>, Revision), StoreError> {
        if after < self.compacted {
            return Err(StoreError::Compacted { asked: after, oldest: self.compacted });
        }
        let mut changes = Vec::new();
        for (revision, keys) in self.touched.range((Bound::Excluded(after), Bound::Unbounded)) {
            if changes.len() >= limit {
                return Ok((changes, revision - 1));
            }
            let keys = keys.iter().filter(|key| key.starts_with(prefix));
            changes.extend(keys.filter_map(|key| Some((key.clone(), self.version(key, *revision)?.clone()))));
        }
        Ok((changes, self.revision.max(after)))
    }

    fn version(&self, key: &str, revision: Revision) -> Option<&Version<V>> {
        let versions = self.keys.get(key)?;
        let at = versions.binary_search_by_key(&revision, |version| version.revision).ok()?;
        versions.get(at)
    }

    /// Forgets what was replaced at or before `revision` (at most the present one), and returns it.
    pub(super) fn compact(&mut self, revision: Revision) -> Vec<Keyed<V>> {
        let revision = revision.min(self.revision);
        if revision <= self.compacted {
            return Vec::new();
        }
        let kept = self.touched.split_off(&(revision + 1));
        let touched = std::mem::replace(&mut self.touched, kept);
        self.compacted = revision;
        touched.into_values().flatten().flat_map(|key| self.prune(&key)).collect()
    }

    /// Forgets the versions of `key` that nobody can ask for any more.
    fn prune(&mut self, key: &Arc<str>) -> Vec<Keyed<V>> {
        let Some(versions) = self.keys.get_mut(key) else { return Vec::new() };
        let old = versions.partition_point(|version| version.revision <= self.compacted);
        let shown = old > 0 && versions[old - 1].value.is_some();
        let forgotten = versions.drain(..if shown { old - 1 } else { old });
        let forgotten = forgotten.map(|version| (key.clone(), version)).collect();
        if versions.is_empty() {
            self.keys.remove(key);
        }
        forgotten
    }

    /// The keys that exist now and were put under a lease.
    pub(super) fn leased(&self) -> impl Iterator<Item = (&Arc<str>, LeaseId)> {
        self.keys.keys().filter_map(|key| Some((key, self.head(key)?.lease?)))
    }

    /// Takes the revisions from what was kept before a restart.
    pub(super) fn restore(&mut self, revision: Revision, compacted: Revision) {
        self.revision = self.revision.max(revision);
        self.compacted = compacted;
        let above = self.touched.split_off(&(compacted + 1));
        self.touched = above;
    }
}

/// The version shown at `at`.
fn version_at<V>(versions: &[Version<V>], at: Revision) -> Option<&Version<V>> {
    let shown = versions.partition_point(|version| version.revision <= at);
    versions[..shown].last().filter(|version| version.value.is_some())
}
