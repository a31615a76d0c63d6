//! Random transactions against a model that is too simple to be wrong: the same answers, the same state, the same
//! history. Memory and embedded get the same seed, so they must also agree with each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use proptest::prelude::*;
use tenure::env::Env;
use tenure::store::embedded::{EmbeddedOptions, EmbeddedStore};
use tenure::store::memory::MemoryStore;
use tenure::store::{Event, Guard, Op, Record, Revision, Store, Txn, TxnOutcome};

use crate::conformance::events;

/// Every state there ever was, by revision.
#[derive(Default)]
struct Model {
    states: Vec<BTreeMap<Arc<str>, Record>>,
}

impl Model {
    fn revision(&self) -> Revision {
        self.states.len() as Revision - 1
    }

    fn now(&self) -> &BTreeMap<Arc<str>, Record> {
        &self.states[self.states.len() - 1]
    }

    fn holds(&self, guard: &Guard) -> bool {
        match (guard, self.now().get(guard.key())) {
            (Guard::Absent(_), found) => found.is_none(),
            (Guard::At(_, revision), found) => found.is_some_and(|record| record.revision == *revision),
            (Guard::CreatedAt(_, revision), found) => found.is_some_and(|record| record.created == *revision),
        }
    }

    fn txn(&mut self, txn: &Txn) -> TxnOutcome {
        let losers: Vec<Guard> = txn.guards.iter().filter(|guard| !self.holds(guard)).cloned().collect();
        if !losers.is_empty() {
            return TxnOutcome::Refused { losers, revision: self.revision() };
        }
        let (mut state, revision) = (self.now().clone(), self.revision() + 1);
        let mut changed = false;
        for op in &txn.ops {
            changed |= match op {
                Op::Put { key, value, .. } => {
                    let created = state.get(key).map_or(revision, |record| record.created);
                    let record = Record { key: key.clone(), value: value.clone(), revision, created };
                    state.insert(key.clone(), record);
                    true
                }
                Op::Delete { key } => state.remove(key).is_some(),
            };
        }
        if changed {
            self.states.push(state);
        }
        TxnOutcome::Committed(self.revision())
    }

    /// The changes above `after`, sorted by revision and key.
    fn events(&self, after: Revision) -> Vec<Event> {
        let mut events = Vec::new();
        for (revision, pair) in (1..).zip(self.states.windows(2)).filter(|(revision, _)| *revision > after) {
            let keys: std::collections::BTreeSet<_> = pair[0].keys().chain(pair[1].keys()).collect();
            for key in keys {
                match (pair[0].get(key), pair[1].get(key)) {
                    (before, Some(now)) if before != Some(now) => events.push(Event::Put(now.clone())),
                    (Some(_), None) => events.push(Event::Deleted { key: key.clone(), revision }),
                    _ => {}
                }
            }
        }
        events
    }
}

/// A transaction in small numbers: guards as key, kind, and steps back from the present revision (so that they hold now
/// and then); changes by key.
type Step = (Vec<(u8, u8, u64)>, BTreeMap<u8, Option<u8>>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let guards = prop::collection::vec((0..6_u8, 0..3_u8, 0..5_u64), 0..3);
    let ops = prop::collection::btree_map(0..6_u8, prop::option::of(any::<u8>()), 0..4);
    prop::collection::vec((guards, ops), 1..40)
}

fn name(key: u8) -> Arc<str> {
    format!("/t/{key}").into()
}

fn txn(model: &Model, (guards, ops): &Step) -> Txn {
    let guard = |(key, kind, back): &(u8, u8, u64)| match kind {
        0 => Guard::Absent(name(*key)),
        1 => Guard::At(name(*key), model.revision().saturating_sub(*back)),
        _ => Guard::CreatedAt(name(*key), model.revision().saturating_sub(*back)),
    };
    let op = |(key, value): (&u8, &Option<u8>)| match value {
        Some(value) => Op::Put { key: name(*key), value: Bytes::from(vec![*value]), lease: None },
        None => Op::Delete { key: name(*key) },
    };
    Txn { guards: guards.iter().map(guard).collect(), ops: ops.iter().map(op).collect() }
}

async fn agrees(store: Arc<dyn Store>, steps: &[Step]) -> Model {
    let mut model = Model { states: vec![BTreeMap::new()] };
    for step in steps {
        let txn = txn(&model, step);
        assert_eq!(store.txn(txn.clone()).await.unwrap(), model.txn(&txn), "{txn:?}");
    }
    for (revision, state) in (0..).zip(&model.states) {
        let page = store.range("/t/", None, 0, Some(revision)).await.unwrap();
        assert_eq!(page.records, state.values().cloned().collect::<Vec<_>>(), "at {revision}");
    }
    for after in [0, model.revision() / 2] {
        let expected = model.events(after);
        let mut watch = store.watch("/t/", after).await.unwrap();
        let mut seen = events(&mut watch, expected.len()).await;
        seen.sort_by(|a, b| (a.revision(), a.key()).cmp(&(b.revision(), b.key())));
        assert_eq!(seen, expected, "after {after}");
    }
    model
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_memory_store_is_the_model(steps in steps()) {
        runtime().block_on(async {
            let env = Env::simulated("store", 1, Timestamp::UNIX_EPOCH);
            agrees(MemoryStore::new(&env), &steps).await;
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_embedded_store_is_the_model_also_after_compaction_and_restart(steps in steps(), at in any::<prop::sample::Index>()) {
        runtime().block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let env = Env::system().unwrap();
            let open = async || EmbeddedStore::open(&env, folder.path(), EmbeddedOptions::default()).await.unwrap();
            let store = open().await;
            let model = agrees(store.clone(), &steps).await;
            let compacted = at.index(model.states.len()) as Revision;
            store.compact(compacted).await.unwrap();
            store.close().await.unwrap();
            let store = open().await;
            for revision in compacted..=model.revision() {
                let page = store.range("/t/", None, 0, Some(revision)).await.unwrap();
                let index = usize::try_from(revision).unwrap();
                assert_eq!(page.records, model.states[index].values().cloned().collect::<Vec<_>>());
            }
            store.close().await.unwrap();
        });
    }
}
