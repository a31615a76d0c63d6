//! The embedded store conforms, keeps what it answered, and survives a full disk.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tenure::env::Env;
use tenure::store::embedded::{EmbeddedOptions, EmbeddedStore, OpenError};
use tenure::store::{Guard, Op, Store, StoreError, Txn, TxnOutcome};

use crate::conformance::{commit, delete, events, put, state};
use crate::conforms;

async fn open() -> (Arc<dyn Store>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (open_at(folder.path()).await, folder)
}

async fn open_at(folder: &Path) -> Arc<EmbeddedStore> {
    EmbeddedStore::open(&Env::system().unwrap(), folder, EmbeddedOptions::default()).await.unwrap()
}

conforms!(open());

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart_and_watches_resume() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_at(folder.path()).await;
    let dynamic: Arc<dyn Store> = store.clone();
    let first = commit(&dynamic, [put("/t/a", "1"), put("/t/b", "1")]).await;
    let second = commit(&dynamic, [put("/t/a", "2"), delete("/t/b")]).await;
    store.close().await.unwrap();
    assert!(matches!(dynamic.txn(Txn::default()).await, Err(StoreError::Unavailable(_))));

    let store: Arc<dyn Store> = open_at(folder.path()).await;
    assert_eq!(store.revision().await.unwrap(), second);
    let a = store.get("/t/a").await.unwrap().unwrap();
    assert_eq!((a.created, a.revision, &*a.value), (first, second, b"2".as_slice()));
    let seen = events(&mut store.watch("/t/", first).await.unwrap(), 2).await;
    assert_eq!(seen.iter().map(|event| &**event.key()).collect::<Vec<_>>(), ["/t/a", "/t/b"]);
    let past = store.range("/t/", None, 0, Some(first)).await.unwrap();
    assert_eq!(past.records.len(), 2, "history is kept too");
    assert_eq!(commit(&store, [put("/t/c", "1")]).await, second + 1);
}

#[tokio::test]
async fn the_folder_is_closed_to_others_even_if_it_was_open_before() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("store");
    let mode = || std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777;
    open_at(&folder).await.close().await.unwrap();
    assert_eq!(mode(), 0o700);
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    open_at(&folder).await.close().await.unwrap();
    assert_eq!(mode(), 0o700);
}

#[tokio::test]
async fn compaction_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_at(folder.path()).await;
    let dynamic: Arc<dyn Store> = store.clone();
    for n in 0..20 {
        commit(&dynamic, [put("/t/a", &n.to_string()), put(&format!("/t/{n}"), ""), delete("/t/gone")]).await;
        commit(&dynamic, [put("/t/gone", "")]).await;
    }
    let before = state(&dynamic, "/t/").await;
    let compacted = dynamic.revision().await.unwrap() - 3;
    dynamic.compact(compacted).await.unwrap();
    store.close().await.unwrap();

    let store: Arc<dyn Store> = open_at(folder.path()).await;
    assert_eq!(state(&store, "/t/").await, before);
    let past = store.range("/t/", None, 0, Some(compacted - 1)).await;
    assert!(matches!(past, Err(StoreError::Compacted { oldest, .. }) if oldest == compacted), "{past:?}");
    assert!(store.range("/t/", None, 0, Some(compacted)).await.is_ok());
    assert!(matches!(store.watch("/t/", compacted - 1).await, Err(StoreError::Compacted { .. })));
}

#[tokio::test]
async fn short_leases_end_with_the_process_and_what_is_kept_for_a_while_outlives_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_at(folder.path()).await;
    let leased = async |key: &str, seconds| {
        let lease = store.grant(Duration::from_secs(seconds)).await.unwrap();
        Op::Put { key: key.into(), value: "one".into(), lease: Some(lease) }
    };
    let (leader, event) = (leased("/t/leader", 10).await, leased("/t/event", 600).await);
    let dynamic: Arc<dyn Store> = store.clone();
    let term = commit(&dynamic, [leader, event, put("/t/stays", "")]).await;
    store.close().await.unwrap();

    let store: Arc<dyn Store> = open_at(folder.path()).await;
    assert_eq!(state(&store, "/t/").await, ["/t/event=one", "/t/stays="]);
    let late =
        Txn { guards: vec![Guard::CreatedAt("/t/leader".into(), term)], ops: vec![put("/t/task", "")] };
    assert!(matches!(store.txn(late).await.unwrap(), TxnOutcome::Refused { .. }));
}

#[tokio::test]
async fn a_second_server_is_refused_with_the_first_ones_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_at(folder.path()).await;
    let second =
        EmbeddedStore::open(&Env::system().unwrap(), folder.path(), EmbeddedOptions::default()).await;
    let error = second.err().unwrap();
    let text = error.to_string();
    assert!(
        matches!(error, OpenError::InUse { .. }) && text.contains(&std::process::id().to_string()),
        "{text}"
    );
    store.close().await.unwrap();
    open_at(folder.path()).await;
}

#[tokio::test]
async fn a_file_that_is_no_store_is_told_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("store.redb"), "not a database").unwrap();
    let opened =
        EmbeddedStore::open(&Env::system().unwrap(), folder.path(), EmbeddedOptions::default()).await;
    let text = opened.err().unwrap().to_string();
    assert!(text.contains("store.redb"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_keeps_reads_and_heals() {
    let mount = Tmpfs::mount("8m");
    let store: Arc<dyn Store> = open_at(&mount.path().join("store")).await;
    let filler = mount.path().join("filler");
    commit(&store, [put("/t/first", "kept")]).await;
    let fill = |bytes: usize| std::fs::write(&filler, vec![0; bytes]);
    let mut bytes = 8 << 20;
    while fill(bytes).is_err() {
        bytes -= 16 << 10;
    }
    let (mut written, mut refused) = (0, None);
    for n in 0..4000 {
        let op = put(&format!("/t/{n:04}"), &"x".repeat(4096));
        match store.txn(Txn { guards: Vec::new(), ops: vec![op] }).await {
            Ok(_) => written += 1,
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    assert!(matches!(refused, Some(StoreError::NoSpace(_))), "{refused:?}");
    let is_kept = async || state(&store, "/t/").await.len() == written + 1;
    assert!(is_kept().await, "what was answered is there, and nothing else");

    std::fs::remove_file(&filler).unwrap();
    let healed = async {
        while store.txn(Txn { guards: Vec::new(), ops: vec![put("/t/last", "1")] }).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), healed).await.unwrap();
    assert_eq!(state(&store, "/t/").await.len(), written + 2);
    assert_eq!(state(&store, "/t/first").await, ["/t/first=kept"]);
}

/// A small file system of its own, gone when dropped. Needs root, as the container tests do.
struct Tmpfs(TempDir);

impl Tmpfs {
    fn mount(size: &str) -> Tmpfs {
        let folder = tempfile::tempdir().unwrap();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tenure-test"])
            .arg(folder.path())
            .status();
        assert!(mount.unwrap().success(), "mounting a tmpfs needs root");
        Tmpfs(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazy: the store's file may still be open; the mount goes when it closes.
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
