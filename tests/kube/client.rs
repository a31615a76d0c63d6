//! kube-rs with our own types, as a plugin author uses them.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::discovery::Discovery;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::finalizer::{Event as Finalizer, finalizer};
use kube::runtime::wait::await_condition;
use kube::runtime::watcher::{self, Event as Seen, watcher};
use kube::{Api, Resource as _, ResourceExt as _};
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

/// What a watcher says next, in a word.
async fn next(stream: &mut (impl futures::Stream<Item = watcher::Result<Seen<App>>> + Unpin)) -> String {
    let event = tokio::time::timeout(Duration::from_secs(20), stream.next()).await.expect("an event comes");
    match event.expect("the watcher goes on").unwrap() {
        Seen::Init => "init".to_owned(),
        Seen::InitApply(app) => format!("init {}", app.name_any()),
        Seen::InitDone => "done".to_owned(),
        Seen::Apply(app) => format!("apply {}", app.name_any()),
        Seen::Delete(app) => format!("delete {}", app.name_any()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_tells_the_present_and_every_change_by_lists_or_by_streams() {
    let server = TestServer::start().await;
    let apps: Api<App> = Api::default_namespaced(server.client.clone());
    for (name, config) in [
        ("lists", watcher::Config::default()),
        ("pages", watcher::Config::default().page_size(1)),
        ("any", watcher::Config::default().any_semantic()),
        ("streams", watcher::Config::default().streaming_lists()),
    ] {
        for app in ["a", "b"] {
            let app = App::new(&format!("{name}-{app}"), web().spec);
            apps.create(&PostParams::default(), &app).await.unwrap();
        }
        let mut seen = std::pin::pin!(watcher(apps.clone(), config));
        let mut told = Vec::new();
        for _ in 0..4 {
            told.push(next(&mut seen).await);
        }
        assert_eq!(told, ["init", &format!("init {name}-a"), &format!("init {name}-b"), "done"]);
        let release = json!({"metadata": {"finalizers": null}});
        for app in ["a", "b"].map(|app| format!("{name}-{app}")) {
            apps.delete(&app, &DeleteParams::default()).await.unwrap();
            assert_eq!(next(&mut seen).await, format!("apply {app}"), "its finalizer holds it");
            apps.patch(&app, &PatchParams::default(), &Patch::Merge(&release)).await.unwrap();
            assert_eq!(next(&mut seen).await, format!("delete {app}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finalizer_of_a_controller_holds_an_app_until_it_has_cleaned_up() {
    let server = TestServer::start().await;
    let apps: Api<App> = Api::default_namespaced(server.client.clone());
    let step = async || {
        let app = std::sync::Arc::new(apps.get("web").await.unwrap());
        let mut did = "nothing";
        let note = |event: Finalizer<App>| {
            did = match event {
                Finalizer::Apply(_) => "apply",
                Finalizer::Cleanup(_) => "clean up",
            };
            async { Ok::<_, kube::Error>(kube::runtime::controller::Action::await_change()) }
        };
        finalizer(&apps, "example.com/hold", app, note).await.unwrap();
        did
    };
    apps.create(&PostParams::default(), &web()).await.unwrap();
    assert_eq!(step().await, "nothing", "first it takes hold");
    assert_eq!(step().await, "apply");
    let release = json!([{"op": "remove", "path": "/metadata/finalizers/0"}]);
    let release: Patch<App> = Patch::Json(serde_json::from_value(release).unwrap());
    apps.delete("web", &DeleteParams::default()).await.unwrap();
    let held = apps.patch("web", &PatchParams::default(), &release).await.unwrap();
    assert_eq!(held.finalizers(), ["example.com/hold"]);
    assert_eq!(step().await, "clean up");
    assert!(apps.get_opt("web").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_counts_up_what_it_tells_again_and_a_condition_can_be_awaited() {
    let server = TestServer::start().await;
    let apps: Api<App> = Api::default_namespaced(server.client.clone());
    let app = apps.create(&PostParams::default(), &web()).await.unwrap();
    let recorder = Recorder::new(server.client.clone(), Reporter::from("test"));
    let event = Event {
        type_: EventType::Warning,
        reason: "Odd".to_owned(),
        note: Some("it is odd".to_owned()),
        action: "Look".to_owned(),
        secondary: None,
    };
    for _ in 0..2 {
        recorder.publish(&event, &app.object_ref(&())).await.unwrap();
    }
    let events: Api<k8s_openapi::api::core::v1::Event> = Api::default_namespaced(server.client.clone());
    let told = events.list(&ListParams::default().fields("involvedObject.name=web")).await.unwrap().items;
    let shown: Vec<_> = told.iter().map(|it| (it.reason.as_deref(), it.message.as_deref())).collect();
    assert_eq!(shown, [(Some("Odd"), Some("it is odd"))]);
    assert_eq!(told[0].series.as_ref().and_then(|series| series.count), Some(2));

    let ready =
        |app: Option<&App>| app.is_some_and(|app| app.status.as_ref().is_some_and(|it| it.running == 2));
    let waiting = tokio::time::timeout(Duration::from_secs(20), await_condition(apps.clone(), "web", ready));
    let report = async {
        let status = Patch::Merge(json!({"status": {"running": 2}}));
        apps.patch_status("web", &PatchParams::default(), &status).await.unwrap();
    };
    let (reached, ()) = tokio::join!(waiting, report);
    assert_eq!(reached.expect("it comes").unwrap().unwrap().status.unwrap().running, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_want_a_lease_one_leads_and_the_other_takes_over_when_it_is_let_go() {
    let server = TestServer::start().await;
    let leases: Api<Lease> = Api::default_namespaced(server.client.clone());
    let lease = |holder: &str| -> Lease {
        serde_json::from_value(json!({
            "metadata": {"name": "plugin"},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 0,
                "acquireTime": "2026-11-20T10:31:42.451899Z", "renewTime": "2026-11-20T10:31:42.451899Z"},
        }))
        .unwrap()
    };
    let params = PostParams::default();
    let held = leases.create(&params, &lease("a")).await.unwrap();
    let renewed = held.spec.as_ref().and_then(|spec| spec.renew_time.clone()).unwrap();
    assert_eq!(serde_json::to_value(renewed).unwrap(), "2026-11-20T10:31:42.451899Z", "to the microsecond");
    assert!(matches!(leases.create(&params, &lease("b")).await.unwrap_err(),
        kube::Error::Api(status) if status.is_already_exists()));
    // Both saw the same; who writes first leads.
    let of = |holder: &str| {
        let mut lease = held.clone();
        lease.spec.as_mut().unwrap().holder_identity = Some(holder.to_owned());
        lease
    };
    leases.replace("plugin", &params, &of("b")).await.unwrap();
    let late = leases.replace("plugin", &params, &of("a")).await.unwrap_err();
    assert!(matches!(&late, kube::Error::Api(status) if status.is_conflict()), "{late}");
    // By server-side apply, as kubert does: the holder's field has an owner, who is asked or forced.
    let apply = |holder: &str| {
        Patch::Apply(json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "plugin"}, "spec": {"holderIdentity": holder}}))
    };
    let (c, d) = (PatchParams::apply("c"), PatchParams::apply("d"));
    leases.patch("plugin", &c.clone().force(), &apply("c")).await.unwrap();
    let refused = leases.patch("plugin", &d, &apply("d")).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.is_conflict()), "{refused}");
    let free = Patch::Apply(json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "plugin"}, "spec": {}}));
    leases.patch("plugin", &c, &free).await.unwrap();
    let taken = leases.patch("plugin", &d, &apply("d")).await.unwrap();
    assert_eq!(taken.spec.unwrap().holder_identity.as_deref(), Some("d"));
}
