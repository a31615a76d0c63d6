//! The etcd store conforms, over a real etcd.

use std::sync::Arc;
use std::time::Duration;

use tenure::store::etcd::{EtcdConfig, EtcdStore};
use tenure::store::{Store, StoreError, Txn, WatchError};

use crate::conformance::{commit, events, put, state};
use crate::conforms;
use crate::support::Etcd;

async fn open() -> (Arc<dyn Store>, Etcd) {
    let etcd = Etcd::start().await;
    (etcd.store(), etcd)
}

conforms!(open());

#[tokio::test]
async fn nothing_is_lost_when_etcd_is_killed_and_requests_meanwhile_are_unavailable() {
    let mut etcd = Etcd::start().await;
    let store: Arc<dyn Store> = etcd.store();
    let start = commit(&store, [put("/t/a", "1")]).await;
    let mut watch = store.watch("/t/", start).await.unwrap();
    etcd.kill();
    let ended = futures::StreamExt::next(&mut watch).await.unwrap();
    assert!(matches!(ended, Err(WatchError::Interrupted(_))), "{ended:?}");
    assert!(matches!(store.revision().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.txn(Txn::default()).await, Err(StoreError::Unavailable(_))));
    etcd.resume().await;
    let again = async {
        while store.revision().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again).await.unwrap();
    assert_eq!(state(&store, "/t/").await, ["/t/a=1"]);
    let next = commit(&store, [put("/t/b", "1")]).await;
    let mut watch = store.watch("/t/", start).await.unwrap();
    assert_eq!(events(&mut watch, 1).await[0].revision(), next);
}

#[tokio::test]
async fn a_full_quota_is_told_as_no_space() {
    let etcd = Etcd::start_with(&["--quota-backend-bytes", "1000000"]).await;
    let store: Arc<dyn Store> = etcd.store();
    let write =
        async || store.txn(Txn { guards: Vec::new(), ops: vec![put("/t/a", &"x".repeat(100_000))] }).await;
    let mut last = write().await;
    // etcd looks at its size when it writes back, ten times a second.
    for _ in 0..2000 {
        if last.is_err() {
            break;
        }
        last = write().await;
    }
    assert!(matches!(last, Err(StoreError::NoSpace(_))), "{last:?}");
    assert_eq!(state(&store, "/t/").await.len(), 1, "reads go on");
}

#[tokio::test]
async fn one_of_several_endpoints_may_be_down() {
    let etcd = Etcd::start().await;
    let url = etcd.url().replace("etcd://", "etcd://127.0.0.1:1,");
    let store: Arc<dyn Store> = EtcdStore::new(EtcdConfig::new(&url, None).unwrap(), "/");
    for n in 0..20 {
        commit(&store, [put("/t/a", &n.to_string())]).await;
    }
    assert_eq!(state(&store, "/t/").await, ["/t/a=19"]);
}

#[tokio::test]
async fn wrong_credentials_are_told_as_denied() {
    let etcd = Etcd::start().await;
    etcd.require_login("right");
    let folder = tempfile::tempdir().unwrap();
    let as_root = |password: &str| {
        let file = folder.path().join("auth.toml");
        std::fs::write(&file, format!("user = 'root'\npassword = '{password}'")).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        EtcdStore::new(EtcdConfig::new(&etcd.url(), Some(&file)).unwrap(), "/")
    };
    let wrong = as_root("wrong").revision().await;
    assert!(matches!(wrong, Err(StoreError::Denied(_))), "{wrong:?}");
    let store: Arc<dyn Store> = as_root("right");
    commit(&store, [put("/t/a", "1")]).await;
    let nobody = etcd.store().revision().await;
    assert!(matches!(nobody, Err(StoreError::Denied(_))), "{nobody:?}");
}
