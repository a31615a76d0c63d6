//! The ordered log of all changes and the state it leads to. Pure: events in, snapshot and rings out.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Gone;
use super::ring::Ring;
use crate::env::watch;
use crate::registry::doc::Doc;
use crate::registry::key::{Key, Resource};
use crate::registry::snapshot::{Change, Snapshot};
use crate::store::Revision;

/// An event of the store about an object: its new version, or none when it was deleted.
#[derive(Debug, Clone)]
pub(super) struct Incoming {
    pub revision: Revision,
    pub key: Key,
    pub doc: Option<Arc<Doc>>,
}

/// A place where the cache and the store disagreed about the state at one revision.
#[derive(Debug, Clone)]
pub(super) struct Difference {
    pub key: Key,
    /// What the cache held.
    pub held: Option<Revision>,
    /// What the store holds.
    pub truth: Option<Arc<Doc>>,
}

/// What a batch did to the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ingested {
    /// Changes taken in.
    pub applied: usize,
    /// Events told before: dropped.
    pub repeats: usize,
    /// Events from the past that were never told: dropped, and a reason to compare with the store.
    pub late: usize,
}

/// A reader's place: everything up to `revision` was taken, and the reader knows of the cuts up to `cut`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub revision: Revision,
    pub cut: u64,
}

#[derive(Debug)]
pub(super) struct Log {
    snapshot: Snapshot,
    rings: BTreeMap<Resource, Ring>,
    /// Where history begins for kinds without a ring.
    floor: Revision,
    /// How often history got a hole. A revision alone would not tell readers that stood at the end of it.
    cuts: u64,
    /// The last cut that concerned every kind.
    cut: u64,
    ring_bytes_max: usize,
}

impl Log {
    pub(super) fn new(ring_bytes_max: usize) -> Log {
        Log {
            snapshot: Snapshot::default(),
            rings: BTreeMap::new(),
            floor: 0,
            cuts: 0,
            cut: 0,
            ring_bytes_max,
        }
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The place of a reader that begins after `revision`.
    pub(super) fn place(&self, revision: Revision) -> Place {
        Place { revision, cut: self.cuts }
    }

    /// Takes in what the watch told: `events` in order, complete up to `revision`. The events of one revision come in
    /// one batch.
    pub(super) fn ingest(&mut self, events: Vec<Incoming>, revision: Revision) -> Ingested {
        let mut done = Ingested::default();
        let told = self.snapshot.revision;
        let mut last = told;
        let mut touched: Vec<Resource> = Vec::new();
        for event in events {
            let in_order = event.revision > told && event.revision >= last;
            let old = self.snapshot.get(&event.key).cloned();
            let is_past = !in_order || old.as_ref().is_some_and(|doc| doc.revision() >= event.revision);
            if (is_past || self.is_gone_already(&event, old.as_ref())) && !planted!("old-events-are-applied")
            {
                if self.is_repeat(&event) {
                    done.repeats += 1;
                } else {
                    done.late += 1;
                }
                continue;
            }
            last = event.revision;
            if old.is_none() && event.doc.is_none() {
                continue;
            }
            let Incoming { revision, key, doc: new } = event;
            let change = Arc::new(Change { revision, key, old, new });
            self.snapshot.apply(&change);
            let resource = change.key.resource.clone();
            let limit = self.ring_bytes_max;
            self.ring(&resource).push(change, limit);
            touched.push(resource);
            done.applied += 1;
        }
        self.snapshot.revision = self.snapshot.revision.max(revision);
        touched.sort();
        touched.dedup();
        touched.iter().filter_map(|resource| self.rings.get(resource)).for_each(Ring::wake);
        done
    }

    /// Whether it tells a deletion again that was just told.
    fn is_gone_already(&mut self, event: &Incoming, present: Option<&Arc<Doc>>) -> bool {
        let is_gone = event.doc.is_none() && present.is_none();
        is_gone && self.ring(&event.key.resource).contains(&event.key, event.revision)
    }

    /// Whether an event from the past is known: the state is newer, or the change is still remembered.
    fn is_repeat(&mut self, event: &Incoming) -> bool {
        match (self.snapshot.get(&event.key), &event.doc) {
            (Some(doc), _) if doc.revision() >= event.revision => true,
            (None, None) => true,
            _ => self.ring(&event.key.resource).contains(&event.key, event.revision),
        }
    }

    /// Starts anew from a list of the store: what happened between is unknown, so every subscriber is cut.
    pub(super) fn reset(&mut self, snapshot: Snapshot) {
        self.floor = snapshot.revision;
        self.snapshot = snapshot;
        self.cuts += 1;
        self.cut = self.cuts;
        self.rings.values_mut().for_each(|ring| ring.reset(self.floor, self.cut));
    }

    /// Takes the store's word where the cache still holds what was compared. The watch skipped an event, so
    /// subscribers of that kind are cut: to them it would look like a step back in time.
    pub(super) fn heal(&mut self, differences: Vec<Difference>) -> usize {
        let mut healed = 0;
        let cut = self.cuts + 1;
        for Difference { key, held, truth } in differences {
            let old = self.snapshot.get(&key).cloned();
            if old.as_ref().map(|doc| doc.revision()) != held || planted!("lost-events-stay-lost") {
                continue;
            }
            let revision = self.snapshot.revision;
            self.cuts = cut;
            self.ring(&key.resource).reset(revision, cut);
            self.snapshot.apply(&Change { revision, key, old, new: truth });
            healed += 1;
        }
        healed
    }

    /// The changes after `place`, of one kind or of all, in order.
    pub(super) fn after(&self, resource: Option<&Resource>, place: Place) -> Result<Vec<Arc<Change>>, Gone> {
        if place.revision < self.floor || place.cut < self.cut {
            return Err(Gone { oldest: self.floor });
        }
        let Some(resource) = resource else { return self.all_after(place) };
        match self.rings.get(resource) {
            Some(ring) => Ok(ring.after(place)?.cloned().collect()),
            None => Ok(Vec::new()),
        }
    }

    fn all_after(&self, place: Place) -> Result<Vec<Arc<Change>>, Gone> {
        let mut changes = Vec::new();
        for ring in self.rings.values() {
            changes.extend(ring.after(place)?.cloned());
        }
        // Stable: within one revision, kinds stay in order.
        changes.sort_by_key(|change| change.revision);
        Ok(changes)
    }

    /// Tells of every change of `resource`, and of a cut.
    pub(super) fn watch(&mut self, resource: &Resource) -> watch::Receiver<Revision> {
        self.ring(resource).watch()
    }

    fn ring(&mut self, resource: &Resource) -> &mut Ring {
        self.rings.entry(resource.clone()).or_insert_with(|| Ring::new(self.floor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apps() -> Resource {
        Resource::new("tenure.dev", "apps")
    }

    fn key(name: &str) -> Key {
        Key::new(&apps(), "ns", name)
    }

    fn doc(name: &str, revision: Revision) -> Arc<Doc> {
        Arc::new(Doc::from_stored(key(name), revision, br#"{"metadata":{}}"#).unwrap())
    }

    fn put(name: &str, revision: Revision) -> Incoming {
        Incoming { revision, key: key(name), doc: Some(doc(name, revision)) }
    }

    fn gone(name: &str, revision: Revision) -> Incoming {
        Incoming { revision, key: key(name), doc: None }
    }

    fn told(log: &Log, position: Revision) -> Result<Vec<(String, Revision)>, Gone> {
        let changes = log.after(Some(&apps()), log.place(position))?;
        Ok(changes.iter().map(|change| (change.key.name.to_string(), change.revision)).collect())
    }

    #[test]
    fn changes_come_in_order_after_any_position() {
        let mut log = Log::new(1 << 20);
        log.ingest(vec![put("a", 1), put("b", 2), put("c", 2)], 2);
        log.ingest(vec![gone("a", 3)], 9);
        assert_eq!(log.snapshot().revision, 9);
        let expected = [("b", 2), ("c", 2), ("a", 3)].map(|(name, at)| (name.to_owned(), at));
        assert_eq!(told(&log, 1).unwrap(), expected);
        assert_eq!(log.after(None, log.place(2)).unwrap().len(), 1);
        assert!(told(&log, 9).unwrap().is_empty());
        assert!(told(&log, 99).unwrap().is_empty(), "the future is silent");
    }

    #[test]
    fn repeats_and_events_back_in_time_are_dropped() {
        let mut log = Log::new(1 << 20);
        log.ingest(vec![put("a", 1), put("b", 2), gone("b", 3)], 3);
        let repeats = log.ingest(vec![put("a", 1), put("b", 2), gone("b", 3), gone("never", 2)], 3);
        assert_eq!(repeats, Ingested { applied: 0, repeats: 4, late: 0 });
        let within = log.ingest(vec![put("a", 5), put("b", 6), put("a", 5), put("b", 6)], 6);
        assert_eq!(within, Ingested { applied: 2, repeats: 2, late: 0 });
        assert_eq!(told(&log, 0).unwrap().len(), 5);
    }

    #[test]
    fn an_event_that_was_skipped_is_late_and_not_applied_out_of_order() {
        let mut log = Log::new(1 << 20);
        log.ingest(vec![put("a", 5)], 5);
        assert_eq!(log.ingest(vec![put("b", 3)], 5), Ingested { applied: 0, repeats: 0, late: 1 });
        assert!(log.snapshot().get(&key("b")).is_none());
    }

    #[test]
    fn healing_takes_the_stores_word_and_cuts_the_kind() {
        let mut log = Log::new(1 << 20);
        log.ingest(vec![put("a", 1), put("b", 2), put("c", 5)], 5);
        let at_the_end = log.place(5);
        let missed = Difference { key: key("b"), held: Some(2), truth: Some(doc("b", 4)) };
        let moved_on = Difference { key: key("c"), held: Some(3), truth: None };
        assert_eq!(log.heal(vec![missed, moved_on]), 1);
        assert_eq!(log.snapshot().get(&key("b")).unwrap().revision(), 4);
        assert!(log.snapshot().get(&key("c")).is_some());
        assert_eq!(log.after(Some(&apps()), at_the_end).err(), Some(Gone { oldest: 5 }));
        assert_eq!(log.after(None, at_the_end).err(), Some(Gone { oldest: 5 }));
        assert_eq!(told(&log, 4), Err(Gone { oldest: 5 }));
        assert_eq!(told(&log, 5), Ok(Vec::new()));
    }

    #[test]
    fn rings_are_bounded_and_cut_whole_revisions() {
        let mut log = Log::new(700);
        log.ingest(vec![put("a", 1), put("b", 2), put("c", 2), put("d", 2), put("e", 3)], 3);
        assert_eq!(told(&log, 1), Err(Gone { oldest: 2 }));
        assert_eq!(told(&log, 2).unwrap().len(), 1);
    }

    #[test]
    fn reset_cuts_every_subscriber() {
        let mut log = Log::new(1 << 20);
        log.ingest(vec![put("a", 1)], 1);
        log.reset(Snapshot::of(7, [doc("a", 6)]));
        assert_eq!(told(&log, 6), Err(Gone { oldest: 7 }));
        assert_eq!(
            log.after(Some(&Resource::new("", "secrets")), log.place(6)).err(),
            Some(Gone { oldest: 7 })
        );
    }
}
