//! The watch cache over a store that fails: etcd killed and compacted, and every fault of the memory store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tenure::env::Env;
use tenure::registry::cache::{Cache, CacheOptions, Gone, Subscription};
use tenure::registry::key::{Key, Prefix, Resource};
use tenure::registry::snapshot::{Change, Snapshot};
use tenure::store::memory::{Fault, MemoryStore};
use tenure::store::{Op, Revision, Store, StoreError, Txn, TxnOutcome};

use crate::conformance::{commit, put};
use crate::support::Etcd;

fn apps() -> Resource {
    Resource::new("tenure.dev", "apps")
}

fn prefix() -> Prefix {
    Prefix::new("test")
}

fn key(name: &str) -> Key {
    Key::new(&apps(), "shop", name)
}

fn write(name: &str, value: u32) -> Op {
    let document =
        format!(r#"{{"metadata":{{"namespace":"shop","name":"{name}"}},"spec":{{"value":{value}}}}}"#);
    Op::Put { key: key(name).store_key(&prefix()), value: Bytes::from(document), lease: None }
}

fn remove(name: &str) -> Op {
    Op::Delete { key: key(name).store_key(&prefix()) }
}

/// `name=value` of every app.
fn shown(snapshot: &Snapshot) -> Vec<String> {
    let value = |name: &str| snapshot.get(&key(name)).unwrap().value().unwrap()["spec"]["value"].to_string();
    let names = snapshot.list(&apps(), None).map(|doc| doc.key().name.to_string());
    names.map(|name| format!("{name}={}", value(&name))).collect()
}

/// A node with a paused clock, a memory store on a node of its own, and a cache of it.
async fn simulated(options: CacheOptions) -> (Arc<MemoryStore>, Arc<dyn Store>, Arc<Cache>) {
    let store = MemoryStore::new(&Env::simulated("store", 1, Timestamp::UNIX_EPOCH));
    let env = Env::simulated("tenure", 2, Timestamp::UNIX_EPOCH);
    let shared: Arc<dyn Store> = store.clone();
    let cache = Cache::start_with(&env, shared.clone(), &prefix(), options);
    cache.listed().await;
    (store, shared, cache)
}

/// The next `count` changes, as `name@revision`.
async fn told(subscription: &mut Subscription, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < count {
        seen.extend(subscription.next().await.unwrap());
    }
    seen.iter().map(|change: &Arc<Change>| format!("{}@{}", change.key.name, change.revision)).collect()
}

/// Commits, however often the store refuses.
async fn insist(store: &Arc<dyn Store>, op: Op) -> Revision {
    loop {
        let txn = Txn { guards: Vec::new(), ops: vec![op.clone()] };
        match store.txn(txn).await {
            Ok(TxnOutcome::Committed(revision)) => return revision,
            outcome => assert!(outcome.is_err(), "{outcome:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_sees_every_write_answered_before_it() {
    let (_, store, cache) = simulated(CacheOptions::default()).await;
    for n in 0..20 {
        let revision = commit(&store, [write("web", n)]).await;
        let snapshot = cache.most_recent().await.unwrap();
        assert!(snapshot.revision >= revision);
        assert_eq!(shown(&snapshot), [format!("web={n}")]);
    }
    let elsewhere = commit(&store, [put("/not/ours", "")]).await;
    assert!(cache.most_recent().await.unwrap().revision >= elsewhere);
}

#[tokio::test(start_paused = true)]
async fn what_is_served_is_shared_and_carries_its_revision() {
    let (_, store, cache) = simulated(CacheOptions::default()).await;
    let revision = commit(&store, [write("web", 1)]).await;
    let (first, second) = (cache.most_recent().await.unwrap(), cache.snapshot());
    let (first, second) = (first.get(&key("web")).unwrap(), second.get(&key("web")).unwrap());
    assert!(Arc::ptr_eq(first, second));
    assert_eq!(first.value().unwrap()["metadata"]["resourceVersion"], revision.to_string());
    let mut changes = cache.subscribe(Some(apps()), revision - 1).unwrap();
    let change = changes.next().await.unwrap().remove(0);
    assert!(Arc::ptr_eq(change.new.as_ref().unwrap(), first));
}

#[tokio::test(start_paused = true)]
async fn a_follower_misses_nothing_between_its_snapshot_and_its_changes() {
    let (_, store, cache) = simulated(CacheOptions::default()).await;
    let writing = async {
        for n in 0..200_u32 {
            let op =
                if n % 5 == 4 { remove(&format!("a{}", n % 3)) } else { write(&format!("a{}", n % 3), n) };
            commit(&store, [op, write("all", n)]).await;
            tokio::task::yield_now().await;
        }
    };
    let following = async {
        tokio::task::yield_now().await;
        let (mut snapshot, mut changes) = cache.follow(None);
        while snapshot.get(&key("all")).is_none_or(|doc| doc.value().unwrap()["spec"]["value"] != 199) {
            for change in changes.next().await.unwrap() {
                snapshot.apply(&change);
            }
        }
        snapshot
    };
    let ((), followed) = futures::join!(writing, following);
    assert_eq!(shown(&followed), shown(&cache.most_recent().await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn repeats_broken_watches_and_lost_answers_change_nothing_for_a_watcher() {
    let (store, shared, cache) = simulated(CacheOptions::default()).await;
    let mut changes = cache.subscribe(Some(apps()), 0).unwrap();
    let (mut expected, mut last) = (Vec::new(), 0);
    for n in 0..60_u32 {
        match n % 6 {
            1 => store.inject(Fault::RepeatBatches(3)),
            3 => store.inject(Fault::BreakWatches),
            5 => store.inject(Fault::RefuseNext(2)),
            _ => {}
        }
        let op = if n % 4 == 3 { remove("a3") } else { write(&format!("a{}", n % 7), n) };
        let name = op.key().rsplit('/').next().unwrap().to_owned();
        let revision = insist(&shared, op).await;
        if revision > last {
            expected.push(format!("{name}@{revision}"));
        }
        last = revision;
        // Some changes are told one by one, some together.
        if n % 3 == 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    store.heal();
    assert_eq!(told(&mut changes, expected.len()).await, expected);
    assert_eq!(cache.health().healed, 0);
    assert_eq!(cache.health().lists, 1, "no history was lost");
}

#[tokio::test(start_paused = true)]
async fn a_lost_event_heals_and_cuts_those_who_missed_it() {
    let options = CacheOptions { verify_every: Duration::from_secs(60), ..CacheOptions::default() };
    let (store, shared, cache) = simulated(options).await;
    commit(&shared, [write("kept", 1), write("stale", 1), write("ghost", 1)]).await;
    cache.most_recent().await.unwrap();
    let mut changes = cache.subscribe(Some(apps()), cache.snapshot().revision).unwrap();
    store.inject(Fault::LoseEvents(3));
    commit(&shared, [write("stale", 2), remove("ghost"), write("unseen", 1)]).await;
    assert_eq!(shown(&cache.most_recent().await.unwrap()), ["ghost=1", "kept=1", "stale=1"]);
    assert!(changes.next().await.is_err(), "a gap is not hidden");
    assert_eq!(shown(&changes.resync()), ["kept=1", "stale=2", "unseen=1"]);
    assert_eq!(cache.health().healed, 3);
    commit(&shared, [write("kept", 2)]).await;
    assert_eq!(told(&mut changes, 1).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_told_late_is_taken_from_the_store_at_once() {
    let options = CacheOptions { verify_every: Duration::from_secs(36_000), ..CacheOptions::default() };
    let (store, shared, cache) = simulated(options).await;
    store.inject(Fault::DelayEvents(1));
    commit(&shared, [write("late", 1)]).await;
    cache.most_recent().await.unwrap();
    commit(&shared, [write("next", 1)]).await;
    let mut health = cache.watch_health();
    health.wait_for(|health| health.healed == 1).await.unwrap();
    assert_eq!(shown(&cache.snapshot()), ["late=1", "next=1"]);
}

#[tokio::test(start_paused = true)]
async fn a_stuck_watch_is_noticed_and_replaced() {
    let (store, shared, cache) = simulated(CacheOptions::default()).await;
    store.inject(Fault::StallWatches);
    commit(&shared, [write("web", 1)]).await;
    let stuck = cache.most_recent().await;
    assert!(matches!(&stuck, Err(StoreError::Unavailable(why)) if why.contains("behind")), "{stuck:?}");
    let mut health = cache.watch_health();
    health.wait_for(|health| health.trouble.is_some()).await.unwrap();
    store.heal();
    health.wait_for(|health| health.trouble.is_none()).await.unwrap();
    assert_eq!(shown(&cache.most_recent().await.unwrap()), ["web=1"]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_is_told_and_the_last_state_is_kept() {
    let (store, shared, cache) = simulated(CacheOptions::default()).await;
    commit(&shared, [write("web", 1)]).await;
    cache.most_recent().await.unwrap();
    store.inject(Fault::Down);
    let mut health = cache.watch_health();
    let trouble = health.wait_for(|health| health.trouble.is_some()).await.unwrap().trouble.clone().unwrap();
    assert!(trouble.error.contains("store unavailable"), "{}", trouble.error);
    assert!(!cache.health().is_ready());
    assert!(matches!(cache.most_recent().await, Err(StoreError::Unavailable(_))));
    assert_eq!(shown(&cache.snapshot()), ["web=1"]);
    store.heal();
    health.wait_for(|health| health.is_ready()).await.unwrap();
    commit(&shared, [write("web", 2)]).await;
    assert_eq!(shown(&cache.most_recent().await.unwrap()), ["web=2"]);
}

#[tokio::test(start_paused = true)]
async fn history_lost_to_compaction_is_listed_anew_and_watchers_are_cut() {
    let (store, shared, cache) = simulated(CacheOptions::default()).await;
    commit(&shared, [write("web", 1), write("gone", 1)]).await;
    let seen = cache.most_recent().await.unwrap().revision;
    let mut changes = cache.subscribe(Some(apps()), seen).unwrap();
    store.inject(Fault::StallWatches);
    commit(&shared, [write("web", 2), remove("gone")]).await;
    let now = commit(&shared, [write("web", 3)]).await;
    shared.compact(now).await.unwrap();
    store.heal();
    assert_eq!(changes.next().await.unwrap_err(), Gone { oldest: now });
    assert_eq!(shown(&changes.resync()), ["web=3"]);
    assert_eq!(cache.subscribe(Some(apps()), seen).unwrap_err(), Gone { oldest: now });
    assert_eq!(cache.health().lists, 2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_watcher_is_cut_and_memory_stays_bounded() {
    let options = CacheOptions { ring_bytes_max: 4_000, ..CacheOptions::default() };
    let (_, shared, cache) = simulated(options).await;
    let mut slow = cache.subscribe(Some(apps()), 0).unwrap();
    for n in 0..50 {
        commit(&shared, [write("web", n)]).await;
    }
    let now = cache.most_recent().await.unwrap().revision;
    let Gone { oldest } = slow.next().await.unwrap_err();
    assert!(oldest > 20 && oldest < now, "{oldest}");
    assert!(cache.subscribe(Some(apps()), oldest).is_ok());
    let mut future = cache.subscribe(Some(apps()), now + 1).unwrap();
    commit(&shared, [write("web", 50)]).await;
    commit(&shared, [write("web", 51)]).await;
    assert_eq!(told(&mut future, 1).await, [format!("web@{}", now + 2)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_document_is_counted_and_not_shown() {
    let (_, shared, cache) = simulated(CacheOptions::default()).await;
    let garbage = Op::Put { key: key("bad").store_key(&prefix()), value: "no json".into(), lease: None };
    commit(
        &shared,
        [garbage, write("good", 1), put(&prefix().leader(), "me"), put(&prefix().meta("uid"), "u")],
    )
    .await;
    assert_eq!(shown(&cache.most_recent().await.unwrap()), ["good=1"]);
    assert_eq!(cache.health().unreadable, 1);
}

#[tokio::test(start_paused = true)]
async fn bookmarks_move_on_with_changes_of_other_kinds() {
    let (_, shared, cache) = simulated(CacheOptions::default()).await;
    let mut changes = cache.subscribe(Some(Resource::new("", "secrets")), 0).unwrap();
    let revision = commit(&shared, [write("web", 1)]).await;
    cache.most_recent().await.unwrap();
    assert_eq!(changes.progress().unwrap(), revision);
    let mut apps = cache.subscribe(Some(apps()), 0).unwrap();
    assert_eq!(apps.progress().unwrap(), 0, "a change has not been taken yet");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_etcd_nothing_is_lost_by_kill_restart_and_compaction() {
    let mut etcd = Etcd::start().await;
    let store: Arc<dyn Store> = etcd.store();
    let cache = Cache::start(&Env::system().unwrap(), store.clone(), &prefix());
    cache.listed().await;
    let mut changes = cache
        .subscribe(Some(apps()), 0)
        .unwrap_or_else(|gone| cache.subscribe(Some(apps()), gone.oldest).unwrap());
    let mut expected: Vec<String> = Vec::new();
    let mut last: Revision = 0;
    for round in 0..3_u32 {
        for n in 0..10_u32 {
            last = commit(&store, [write(&format!("a{n}"), round)]).await;
            expected.push(format!("a{n}@{last}"));
        }
        cache.most_recent().await.unwrap();
        if round == 1 {
            // Behind the cache, as the leader does it: history that everybody has is forgotten.
            store.compact(last).await.unwrap();
        }
        etcd.kill();
        let mut health = cache.watch_health();
        health.wait_for(|health| health.trouble.is_some()).await.unwrap();
        assert!(cache.most_recent().await.is_err());
        etcd.resume().await;
        health.wait_for(|health| health.trouble.is_none()).await.unwrap();
    }
    assert_eq!(told(&mut changes, expected.len()).await, expected);
    let snapshot = cache.at_least(last, Duration::from_secs(20)).await.unwrap();
    assert_eq!(shown(&snapshot).len(), 10);
    assert_eq!(cache.health().lists, 1);
}
