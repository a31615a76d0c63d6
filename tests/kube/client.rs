//! kube-rs with our own types, as a plugin author uses them.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::discovery::Discovery;
use serde_json::json;
use tenure::api::{App, AppSpec};

use crate::server::TestServer;

fn web() -> App {
    App::new("web", AppSpec { instances: 2, ..serde_json::from_value(json!({"cmd": "sleep 1000"})).unwrap() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typed_app_is_created_listed_watched_and_applied() {
    let server = TestServer::start().await;
    let apps: Api<App> = Api::default_namespaced(server.client.clone());
    let created = apps.create(&PostParams::default(), &web()).await.unwrap();
    assert_eq!((created.spec.instances, created.metadata.generation), (2, Some(1)));

    let list = apps.list(&ListParams::default()).await.unwrap();
    assert_eq!(list.items.len(), 1);
    let metadata = apps.list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(metadata.items[0].metadata.name.as_deref(), Some("web"));

    let since = list.metadata.resource_version.unwrap();
    let mut changes = apps.watch(&WatchParams::default(), &since).await.unwrap().boxed();
    let apply = PatchParams::apply("test");
    let wanted = json!({
        "apiVersion": "tenure.dev/v1", "kind": "App", "metadata": {"labels": {"tier": "front"}},
    });
    let applied = apps.patch("web", &apply, &Patch::Apply(&wanted)).await.unwrap();
    assert_eq!(applied.metadata.labels.unwrap()["tier"], "front");
    let event =
        tokio::time::timeout(Duration::from_secs(20), changes.try_next()).await.unwrap().unwrap().unwrap();
    assert!(matches!(&event, WatchEvent::Modified(app) if app.metadata.labels.is_some()), "{event:?}");

    let merged = json!({"spec": {"instances": 7}});
    apps.patch("web", &PatchParams::default(), &Patch::Merge(&merged)).await.unwrap();
    assert_eq!(apps.get_scale("web").await.unwrap().spec.unwrap().replicas, Some(7));

    let status = json!({"status": {"running": 3}});
    let with_status =
        apps.patch_status("web", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    assert_eq!(with_status.status.unwrap().running, 3);

    let deleted = apps.delete("web", &DeleteParams::default()).await.unwrap();
    assert!(deleted.left().unwrap().metadata.deletion_timestamp.is_some(), "its finalizer holds it");
    let released = json!({"metadata": {"finalizers": null}});
    apps.patch("web", &PatchParams::default(), &Patch::Merge(&released)).await.unwrap();
    assert!(apps.get_opt("web").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_finds_our_kinds() {
    let server = TestServer::start().await;
    for discovery in [
        Discovery::new(server.client.clone()).run().await.unwrap(),
        Discovery::new(server.client.clone()).run_aggregated().await.unwrap(),
    ] {
        let group = discovery.get("tenure.dev").expect("our group is told");
        let (resource, capabilities) = group.recommended_kind("App").expect("and our kind");
        assert_eq!(resource.plural, "apps");
        assert!(capabilities.supports_operation("watch"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_replace_is_a_conflict() {
    let server = TestServer::start().await;
    let apps: Api<App> = Api::default_namespaced(server.client.clone());
    let stale = apps.create(&PostParams::default(), &web()).await.unwrap();
    let mut fresh = stale.clone();
    fresh.spec.instances = 4;
    apps.replace("web", &PostParams::default(), &fresh).await.unwrap();
    let mut other = stale;
    other.spec.instances = 5;
    let refusal = apps.replace("web", &PostParams::default(), &other).await.unwrap_err();
    assert!(
        matches!(&refusal, kube::Error::Api(status) if status.code == 409 && status.is_conflict()),
        "{refusal}"
    );
}
