//! What every store must do, told over `Arc<dyn Store>`. Revisions are compared with each other only, for a store may
//! begin at any.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::join_all;
use tenure::store::{
    Event, Guard, LeaseId, Op, Revision, Store, StoreError, Txn, TxnOutcome, Watch, WatchError,
};

type Shared = Arc<dyn Store>;

/// Nothing here takes nearly as long; a test that hangs says where.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn a_transaction_applies_wholly(store: Shared) {
    let first = commit(&store, [put("/t/a", "1"), put("/t/b", "2")]).await;
    let guards = vec![Guard::At("/t/a".into(), first), Guard::Absent("/t/c".into())];
    let ops = vec![put("/t/c", "3"), delete("/t/b"), put("/t/a", "4")];
    let TxnOutcome::Committed(second) = store.txn(Txn { guards, ops }).await.unwrap() else {
        panic!("refused")
    };
    assert_eq!(state(&store, "/t/").await, ["/t/a=4", "/t/c=3"]);
    let (a, c) = (store.get("/t/a").await.unwrap().unwrap(), store.get("/t/c").await.unwrap().unwrap());
    assert_eq!((a.created, a.revision, c.created, c.revision), (first, second, second, second));
    assert_eq!(store.get("/t/b").await.unwrap(), None);
}

pub(crate) async fn a_refusal_names_every_loser_and_changes_nothing(store: Shared) {
    let at = commit(&store, [put("/t/a", "1"), put("/t/b", "2")]).await;
    let (holds, absent) = (Guard::At("/t/a".into(), at), Guard::Absent("/t/z".into()));
    let losers = vec![
        Guard::Absent("/t/a".into()),
        Guard::At("/t/b".into(), at - 1),
        Guard::At("/t/gone".into(), at),
        Guard::CreatedAt("/t/b".into(), at + 1),
    ];
    let mut guards = losers.clone();
    guards.insert(1, holds);
    guards.push(absent);
    let outcome = store.txn(Txn { guards, ops: vec![put("/t/c", "3"), delete("/t/a")] }).await.unwrap();
    let TxnOutcome::Refused { losers: named, revision } = outcome else { panic!("applied") };
    assert_eq!(named, losers);
    assert!(revision >= at);
    assert_eq!(state(&store, "/t/").await, ["/t/a=1", "/t/b=2"]);
}

pub(crate) async fn a_guard_on_creation_holds_over_later_writes(store: Shared) {
    let created = commit(&store, [put("/t/a", "1")]).await;
    commit(&store, [put("/t/a", "2")]).await;
    let guard = || vec![Guard::CreatedAt("/t/a".into(), created)];
    assert!(is_committed(&store, guard(), vec![put("/t/a", "3")]).await);
    commit(&store, [delete("/t/a")]).await;
    let again = commit(&store, [put("/t/a", "4")]).await;
    assert!(!is_committed(&store, guard(), vec![put("/t/a", "5")]).await, "it is another key now");
    assert_eq!(store.get("/t/a").await.unwrap().unwrap().created, again);
}

pub(crate) async fn a_deposed_leader_is_refused(store: Shared) {
    let take = |who: &str, lease| {
        let put = Op::Put { key: "/t/leader".into(), value: Bytes::copy_from_slice(who.as_bytes()), lease };
        Txn { guards: vec![Guard::Absent("/t/leader".into())], ops: vec![put] }
    };
    let lease = store.grant(Duration::from_secs(60)).await.unwrap();
    let TxnOutcome::Committed(first) = store.txn(take("one", Some(lease))).await.unwrap() else { panic!() };
    let other = store.grant(Duration::from_secs(60)).await.unwrap();
    assert!(matches!(store.txn(take("two", Some(other))).await.unwrap(), TxnOutcome::Refused { .. }));
    store.revoke(lease).await.unwrap();
    let TxnOutcome::Committed(second) = store.txn(take("two", Some(other))).await.unwrap() else { panic!() };
    let fence = |term| vec![Guard::CreatedAt("/t/leader".into(), term)];
    assert!(!is_committed(&store, fence(first), vec![put("/t/task", "from the first")]).await);
    assert!(is_committed(&store, fence(second), vec![put("/t/task", "from the second")]).await);
    assert_eq!(state(&store, "/t/task").await, ["/t/task=from the second"]);
}

pub(crate) async fn each_transaction_takes_one_revision(store: Shared) {
    let mut last = commit(&store, [put("/t/a", "1")]).await;
    for ops in [
        vec![put("/t/a", "2"), put("/t/b", "1")],
        vec![delete("/t/a"), delete("/t/b")],
        vec![put("/t/c", "")],
    ] {
        let next = commit(&store, ops).await;
        assert_eq!(next, last + 1);
        assert_eq!(store.revision().await.unwrap(), next);
        last = next;
    }
}

pub(crate) async fn a_transaction_without_effect_takes_none(store: Shared) {
    let at = commit(&store, [put("/t/a", "1")]).await;
    assert_eq!(commit(&store, []).await, at);
    assert_eq!(commit(&store, [delete("/t/none")]).await, at);
    let only_guards = Txn { guards: vec![Guard::At("/t/a".into(), at)], ops: Vec::new() };
    assert_eq!(store.txn(only_guards).await.unwrap(), TxnOutcome::Committed(at));
    assert_eq!(store.revision().await.unwrap(), at);
}

pub(crate) async fn values_and_keys_come_back_exactly(store: Shared) {
    let bytes: Bytes = (0..=255).collect::<Vec<u8>>().into();
    let keys = ["/t/Ä ö:%", "/t/-/x", "/t/a b", "/t/𝄞"];
    let put = |key: &&str| Op::Put { key: (*key).into(), value: bytes.clone(), lease: None };
    commit(&store, keys.iter().map(put)).await;
    for key in keys {
        assert_eq!(store.get(key).await.unwrap().unwrap().value, bytes, "{key}");
    }
    commit(&store, [Op::Put { key: "/t/empty".into(), value: Bytes::new(), lease: None }]).await;
    assert_eq!(store.get("/t/empty").await.unwrap().unwrap().value, Bytes::new());
}

pub(crate) async fn ranges_are_paged_in_key_order_at_one_revision(store: Shared) {
    let names: Vec<String> = (0..25).map(|n| format!("/t/{n:02}")).collect();
    commit(&store, names.iter().rev().map(|name| put(name, "old")).chain([put("/u/x", ""), put("/s/x", "")]))
        .await;
    let first = store.range("/t/", None, 10, None).await.unwrap();
    assert!(first.more);
    commit(&store, [put("/t/10", "new"), put("/t/105", "new"), delete("/t/24")]).await;
    let mut seen: Vec<String> = first.records.iter().map(|record| record.key.to_string()).collect();
    loop {
        let page =
            store.range("/t/", seen.last().map(String::as_str), 10, Some(first.revision)).await.unwrap();
        assert_eq!(page.revision, first.revision);
        assert!(page.records.iter().all(|record| record.value == "old"));
        seen.extend(page.records.iter().map(|record| record.key.to_string()));
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, names, "the change in between is not shown");
    let exactly = store.range("/t/0", None, 10, None).await.unwrap();
    assert_eq!((exactly.records.len(), exactly.more), (10, false));
    let none = store.range("/nothing/", None, 0, None).await.unwrap();
    assert_eq!((none.records.len(), none.more), (0, false));
    let future = store.range("/t/", None, 0, Some(store.revision().await.unwrap() + 1000)).await;
    assert!(matches!(future, Err(StoreError::Unavailable(_))), "{future:?}");
}

pub(crate) async fn a_compacted_revision_is_refused_and_the_present_is_kept(store: Shared) {
    let old = commit(&store, [put("/t/a", "1"), put("/t/b", "1")]).await;
    commit(&store, [put("/t/a", "2"), delete("/t/b")]).await;
    let now = commit(&store, [put("/t/a", "3")]).await;
    store.compact(now).await.unwrap();
    store.compact(old).await.unwrap();
    let past = store.range("/t/", None, 0, Some(old)).await;
    assert!(matches!(past, Err(StoreError::Compacted { asked, .. }) if asked == old), "{past:?}");
    assert_eq!(store.range("/t/", None, 0, Some(now)).await.unwrap().records.len(), 1);
    assert_eq!(state(&store, "/t/").await, ["/t/a=3"]);
    let again = commit(&store, [put("/t/b", "2")]).await;
    assert_eq!(store.get("/t/b").await.unwrap().unwrap().created, again);
}

pub(crate) async fn a_watch_tells_every_change_of_its_prefix_in_order(store: Shared) {
    let start = commit(&store, [put("/t/a", "before")]).await;
    let mut watch = store.watch("/t/", start).await.unwrap();
    commit(&store, [put("/t/a", "1"), put("/t/b", "1"), put("/u/x", "not ours")]).await;
    commit(&store, [put("/u/y", "not ours")]).await;
    commit(&store, [delete("/t/a")]).await;
    commit(&store, [put("/t/a", "2")]).await;
    let told: Vec<String> = events(&mut watch, 4).await.iter().map(|event| told(event, start)).collect();
    assert_eq!(told, ["+1 /t/a=1", "+1 /t/b=1", "+3 /t/a gone", "+4 /t/a=2"]);
}

pub(crate) async fn a_watch_from_the_past_tells_what_happened_since(store: Shared) {
    let start = commit(&store, [put("/t/a", "0")]).await;
    for n in 1..=50 {
        commit(&store, [put("/t/a", &n.to_string())]).await;
    }
    commit(&store, [delete("/t/a")]).await;
    let mut watch = store.watch("/t/", start + 10).await.unwrap();
    let seen = events(&mut watch, 41).await;
    assert_eq!(told(&seen[0], start), "+11 /t/a=11");
    assert_eq!(told(&seen[40], start), "+51 /t/a gone");
    let created = seen.iter().filter_map(|event| match event {
        Event::Put(record) => Some(record.created),
        Event::Deleted { .. } => None,
    });
    assert!(created.into_iter().all(|created| created == start));
}

pub(crate) async fn a_watch_from_before_a_compaction_ends_as_compacted(store: Shared) {
    let old = commit(&store, [put("/t/a", "1")]).await;
    for n in 2..6 {
        commit(&store, [put("/t/a", &n.to_string())]).await;
    }
    let now = store.revision().await.unwrap();
    store.compact(now).await.unwrap();
    match store.watch("/t/", old).await {
        Err(StoreError::Compacted { .. }) => {}
        Err(other) => panic!("{other}"),
        Ok(mut watch) => loop {
            match next(&mut watch).await {
                Ok(batch) => assert!(batch.events.is_empty(), "history has a hole: {batch:?}"),
                Err(WatchError::Compacted { .. }) => break,
                Err(other) => panic!("{other}"),
            }
        },
    }
    let mut watch = store.watch("/t/", now).await.unwrap();
    let next = commit(&store, [put("/t/b", "1")]).await;
    assert_eq!(events(&mut watch, 1).await[0].revision(), next);
}

pub(crate) async fn a_watch_reaches_every_revision_that_was_told(store: Shared) {
    let start = commit(&store, [put("/t/a", "1")]).await;
    let mut watch = store.watch("/t/", start).await.unwrap();
    for n in 0..3 {
        commit(&store, [put("/elsewhere", &n.to_string())]).await;
        let revision = store.revision().await.unwrap();
        loop {
            let batch = next(&mut watch).await.unwrap();
            assert!(batch.events.is_empty(), "{batch:?}");
            if batch.revision >= revision {
                break;
            }
        }
    }
}

pub(crate) async fn concurrent_writers_lose_no_update_and_a_watch_sees_them_all(store: Shared) {
    let start = commit(&store, [put("/t/sum", "0")]).await;
    let watch = store.watch("/t/", start).await.unwrap();
    let writers = (0..8).map(async |_| {
        for _ in 0..10 {
            increment(&store, "/t/sum").await;
        }
    });
    let reader = async {
        let mut watch = watch;
        events(&mut watch, 80).await
    };
    let (_, seen) = futures::join!(join_all(writers), reader);
    let sums: Vec<String> = seen.iter().map(value_of).collect();
    assert_eq!(sums, (1..=80).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(seen.windows(2).all(|pair| pair[0].revision() < pair[1].revision()));
}

pub(crate) async fn an_expired_lease_takes_its_keys_away(store: Shared) {
    let lease = store.grant(Duration::from_secs(1)).await.unwrap();
    let start =
        commit(&store, [put_under("/t/a", lease), put_under("/t/b", lease), put("/t/c", "stays")]).await;
    let mut watch = store.watch("/t/", start).await.unwrap();
    let gone = events(&mut watch, 2).await;
    let mut keys: Vec<&str> = gone.iter().map(|event| &**event.key()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["/t/a", "/t/b"]);
    assert!(gone.iter().all(|event| matches!(event, Event::Deleted { .. })));
    assert_eq!(state(&store, "/t/").await, ["/t/c=stays"]);
    assert!(matches!(store.renew(lease).await, Err(StoreError::LeaseGone(id)) if id == lease));
}

pub(crate) async fn a_revoked_lease_takes_its_keys_away_at_once(store: Shared) {
    let lease = store.grant(Duration::from_secs(600)).await.unwrap();
    let start = commit(&store, [put_under("/t/a", lease)]).await;
    store.revoke(lease).await.unwrap();
    assert_eq!(store.get("/t/a").await.unwrap(), None);
    let mut watch = store.watch("/t/", start).await.unwrap();
    assert_eq!(told(&events(&mut watch, 1).await[0], start), "+1 /t/a gone");
}

pub(crate) async fn a_renewed_lease_keeps_its_keys(store: Shared) {
    let (kept, let_go) =
        (store.grant(Duration::from_secs(2)).await, store.grant(Duration::from_secs(2)).await);
    let (kept, let_go) = (kept.unwrap(), let_go.unwrap());
    let start = commit(&store, [put_under("/t/kept", kept), put_under("/t/gone", let_go)]).await;
    let mut watch = store.watch("/t/", start).await.unwrap();
    let renewing = async {
        loop {
            store.renew(kept).await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::select! {
        biased;
        seen = events(&mut watch, 1) => assert_eq!(told(&seen[0], start), "+1 /t/gone gone"),
        () = renewing => unreachable!(),
    }
    assert_eq!(state(&store, "/t/").await, ["/t/kept="]);
}

pub(crate) async fn a_key_put_again_leaves_its_lease(store: Shared) {
    let lease = store.grant(Duration::from_secs(600)).await.unwrap();
    commit(&store, [put_under("/t/a", lease), put_under("/t/b", lease)]).await;
    commit(&store, [put("/t/a", "free")]).await;
    store.revoke(lease).await.unwrap();
    assert_eq!(state(&store, "/t/").await, ["/t/a=free"]);
}

pub(crate) async fn a_gone_lease_is_refused(store: Shared) {
    let lease = store.grant(Duration::from_secs(600)).await.unwrap();
    store.revoke(lease).await.unwrap();
    let txn = Txn { guards: Vec::new(), ops: vec![put("/t/a", "1"), put_under("/t/b", lease)] };
    assert!(matches!(store.txn(txn).await, Err(StoreError::LeaseGone(id)) if id == lease));
    assert!(matches!(store.renew(lease).await, Err(StoreError::LeaseGone(_))));
    assert!(matches!(store.revoke(lease).await, Err(StoreError::LeaseGone(_))));
    assert_eq!(state(&store, "/t/").await, Vec::<String>::new());
}

pub(crate) async fn what_is_too_large_is_refused_and_what_is_just_small_enough_is_not(store: Shared) {
    let limits = store.limits();
    let value = |bytes: usize| Op::Put { key: "/t/a".into(), value: vec![b'x'; bytes].into(), lease: None };
    let refused = store.txn(Txn { guards: Vec::new(), ops: vec![value(limits.bytes_max)] }).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    let many = |n: usize| (0..n).map(|n| put(&format!("/t/{n}"), "")).collect::<Vec<_>>();
    let refused = store.txn(Txn { guards: Vec::new(), ops: many(limits.ops_max + 1) }).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    assert_eq!(state(&store, "/t/").await, Vec::<String>::new());
    commit(&store, [value(limits.bytes_max - "/t/a".len())]).await;
    let guards = (0..=limits.ops_max).map(|n| Guard::Absent(format!("/t/{n}").into())).collect();
    assert!(is_committed(&store, guards, many(limits.ops_max)).await);
    assert_eq!(state(&store, "/t/").await.len(), limits.ops_max + 1);
}

// --- the words used above ---------------------------------------------------------------------------

pub(crate) fn put(key: &str, value: &str) -> Op {
    Op::Put { key: key.into(), value: Bytes::copy_from_slice(value.as_bytes()), lease: None }
}

fn put_under(key: &str, lease: LeaseId) -> Op {
    Op::Put { key: key.into(), value: Bytes::new(), lease: Some(lease) }
}

pub(crate) fn delete(key: &str) -> Op {
    Op::Delete { key: key.into() }
}

/// Commits without guards, and tells at which revision.
pub(crate) async fn commit(store: &Shared, ops: impl IntoIterator<Item = Op>) -> Revision {
    match store.txn(Txn { guards: Vec::new(), ops: ops.into_iter().collect() }).await.unwrap() {
        TxnOutcome::Committed(revision) => revision,
        refused @ TxnOutcome::Refused { .. } => panic!("without guards, yet {refused:?}"),
    }
}

async fn is_committed(store: &Shared, guards: Vec<Guard>, ops: Vec<Op>) -> bool {
    matches!(store.txn(Txn { guards, ops }).await.unwrap(), TxnOutcome::Committed(_))
}

/// Adds one, however often somebody else is faster.
async fn increment(store: &Shared, key: &str) {
    loop {
        let record = store.get(key).await.unwrap().unwrap();
        let sum: u64 = std::str::from_utf8(&record.value).unwrap().parse().unwrap();
        let guards = vec![Guard::At(key.into(), record.revision)];
        if is_committed(store, guards, vec![put(key, &(sum + 1).to_string())]).await {
            return;
        }
    }
}

/// `key=value` of everything under `prefix`.
pub(crate) async fn state(store: &Shared, prefix: &str) -> Vec<String> {
    let page = store.range(prefix, None, 0, None).await.unwrap();
    let text =
        |record: &tenure::store::Record| format!("{}={}", record.key, String::from_utf8_lossy(&record.value));
    page.records.iter().map(text).collect()
}

async fn next(watch: &mut Watch) -> Result<tenure::store::Batch, WatchError> {
    let batch = tokio::time::timeout(PATIENCE, watch.next()).await;
    batch.expect("the watch told nothing").expect("the watch ended without a word")
}

/// The next events of a watch: at least `count` of them.
pub(crate) async fn events(watch: &mut Watch, count: usize) -> Vec<Event> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let batch = next(watch).await.unwrap();
        assert!(batch.events.iter().all(|event| event.revision() <= batch.revision));
        seen.extend(batch.events);
    }
    seen
}

/// `+3 /t/a=1`, with the revision counted from `start`.
fn told(event: &Event, start: Revision) -> String {
    let after = event.revision() - start;
    match event {
        Event::Put(record) => format!("+{after} {}={}", record.key, String::from_utf8_lossy(&record.value)),
        Event::Deleted { key, .. } => format!("+{after} {key} gone"),
    }
}

fn value_of(event: &Event) -> String {
    match event {
        Event::Put(record) => String::from_utf8_lossy(&record.value).into_owned(),
        Event::Deleted { .. } => String::new(),
    }
}
