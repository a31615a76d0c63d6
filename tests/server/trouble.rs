//! What cannot work says why, in `status` or an Event, and heals by itself when the cause is gone.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Event, Secret};
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use serde_json::{Value, json};
use tenure::api::App;

use crate::dockerd::{BUSYBOX, Dockerd};
use crate::etcd::Etcd;
use crate::harness::{Server, is_converged, web};

#[tokio::test(flavor = "multi_thread")]
async fn app_that_fits_nowhere_waits_and_says_why() {
    let server = Server::start("fits-not", &[]).await;
    let mut spec = web(1, "big");
    spec["resources"]["memory"] = json!("64Gi");
    server.apply("web", spec).await;
    let app = server.until::<App>("web", "waiting", |app| condition(app, "Waiting", "True").is_some()).await;
    let message = condition(&app, "Waiting", "True").unwrap();
    assert!(message.contains("memory") && message.contains("64Gi"), "{message}");
    server.apply("web", web(1, "small")).await;
    server.converged("web").await;
    server.until::<App>("web", "not waiting", |app| condition(app, "Waiting", "True").is_none()).await;
    server.remove("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn image_that_does_not_exist_is_told_and_backed_off() {
    let server = Server::start("no-image", &[]).await;
    let mut spec = web(1, "x");
    spec["container"] = json!({"image": "127.0.0.1:9/no/such:image", "network": "host"});
    server.apply("web", spec).await;
    let told = event(&server, "web", |event| event.contains("127.0.0.1:9/no/such:image")).await;
    assert!(told.contains("image"), "{told}");
    let backing_off = |app: &App| app.status.as_ref().is_some_and(|status| status.backoff.is_some());
    server.until::<App>("web", "backing off", backing_off).await;
    server.apply("web", web(1, "x")).await;
    server.converged("web").await;
    server.remove("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn task_whose_secret_is_missing_waits_for_it() {
    let server = Server::start("secret", &[]).await;
    let mut spec = web(1, "$WORD");
    spec["env"] = json!([{"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "words", "key": "word"}}}]);
    server.apply("web", spec).await;
    let told = event(&server, "web", |event| event.contains("words")).await;
    assert!(told.to_lowercase().contains("secret"), "{told}");
    let secret: Secret =
        serde_json::from_value(json!({"metadata": {"name": "words"}, "stringData": {"word": "hush"}}))
            .unwrap();
    server.api::<Secret>().create(&PostParams::default(), &secret).await.unwrap();
    server.converged("web").await;
    server.remove("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn port_that_somebody_else_holds_is_told() {
    let taken = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let resources = format!("cpus:1;mem:256;disk:10;ports:[{port}-{port}]");
    let server = Server::start("port", &["--agent-resources", &resources]).await;
    let mut spec = web(1, "x");
    spec["container"] = json!({"image": BUSYBOX, "network": "bridge"});
    spec["ports"] = json!([{"name": "http", "containerPort": 8000, "hostPort": port}]);
    spec["cmd"] = json!("exec httpd -f -p 8000 -h /");
    spec["healthChecks"] = json!([]);
    server.apply("web", spec).await;
    let told = event(&server, "web", |event| event.contains(&port.to_string())).await;
    assert!(told.contains("already") || told.contains("in use"), "{told}");
    drop(taken);
    server.converged("web").await;
    server.remove("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn container_removed_by_hand_is_replaced_and_told() {
    let server = Server::start("by-hand", &[]).await;
    let uid = server.uid().await;
    server.apply("web", web(2, "x")).await;
    let before = server.converged("web").await.status.unwrap().launched;
    let victim = server.containers(&uid).await[0].id.clone().unwrap();
    let force = bollard::query_parameters::RemoveContainerOptionsBuilder::new().force(true).build();
    server.docker().remove_container(&victim, Some(force)).await.unwrap();
    server
        .until::<App>("web", "healed", |app| {
            is_converged(app) && app.status.as_ref().is_some_and(|s| s.launched > before)
        })
        .await;
    server.assert_one_container_per_task("web", &uid).await;
    server.remove("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_dockerd_takes_its_containers_along_and_everything_heals_when_it_is_back() {
    let mut server = Server::start_on(Dockerd::own(), "engine", &[]).await;
    let uid = server.uid().await;
    server.apply("web", web(2, "x")).await;
    let before = server.converged("web").await.status.unwrap().launched;
    server.dockerd().stop();
    // The server answers on, and remembers what is wanted.
    server.apply("web", web(3, "x")).await;
    server.dockerd().start_again();
    server
        .until::<App>("web", "healed", |app| {
            is_converged(app) && app.status.as_ref().is_some_and(|status| status.launched > before)
        })
        .await;
    server.assert_one_container_per_task("web", &uid).await;
    server.remove("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_etcd_stops_decisions_but_no_task_and_everything_goes_on_when_it_is_back() {
    let mut etcd = Etcd::start().await;
    let server = Server::start("etcd", &["--store", &etcd.url()]).await;
    let uid = server.uid().await;
    server.apply("web", web(2, "x")).await;
    server.converged("web").await;
    let before: Vec<_> = server.containers(&uid).await.into_iter().map(|c| c.id).collect();
    etcd.kill();
    let told = server.until_not_ready().await;
    assert!(told.contains("[-]store failed: store unavailable"), "{told}");
    etcd.resume().await;
    let (apps, all) = (server.api::<App>(), ListParams::default());
    server.until_answered(|| apps.list(&all)).await;
    server.apply("web", web(3, "x")).await;
    server.converged("web").await;
    let after: Vec<_> = server.containers(&uid).await.into_iter().map(|c| c.id).collect();
    assert!(before.iter().all(|id| after.contains(id)), "tasks did not run on: {before:?}, then {after:?}");
    server.remove("web").await;
}

/// The message of the condition `kind`, if it has this status.
fn condition(app: &App, kind: &str, status: &str) -> Option<String> {
    let conditions = &app.status.as_ref()?.conditions;
    conditions.iter().find(|c| c.type_ == kind && c.status == status).map(|c| c.message.clone())
}

/// The first Event about App `app` or one of its Tasks whose text satisfies `wanted`.
pub(crate) async fn event(server: &Server, app: &str, wanted: impl Fn(&str) -> bool) -> String {
    let api = server.api::<Event>();
    let told = tokio::time::timeout(std::time::Duration::from_secs(90), async {
        loop {
            let mut events = api.watch(&WatchParams::default(), "0").await.unwrap().boxed();
            while let Ok(Some(event)) = events.try_next().await {
                if let WatchEvent::Added(event) | WatchEvent::Modified(event) = event {
                    let about = event.involved_object.name.clone().unwrap_or_default();
                    let message = event.message.clone().unwrap_or_default();
                    if about.starts_with(app) && wanted(&message) {
                        return message;
                    }
                }
            }
        }
    })
    .await;
    match told {
        Ok(message) => message,
        Err(_) => {
            let all = api.list(&ListParams::default()).await.unwrap().items;
            let all: Vec<Value> = all.iter().map(|e| json!([e.reason, e.message])).collect();
            panic!("no such Event about {app}; there are {all:#?}\n{}", server.log_tail());
        }
    }
}
