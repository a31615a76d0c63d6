//! The main job: applied, placed, launched, checked, published, updated, scaled, healed, removed.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use tenure::api::{App, Endpoints, Revision, Task};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Server, is_converged, web};

#[tokio::test(flavor = "multi_thread")]
async fn app_is_launched_published_updated_scaled_healed_and_removed() {
    let server = Server::start("life", &[]).await;
    let uid = server.uid().await;
    server.apply("web", web(3, "one")).await;
    server.converged("web").await;
    server.assert_one_container_per_task("web", &uid).await;
    assert_eq!(pages(&server, 3).await, BTreeSet::from(["one".to_owned()]));

    server.apply("web", web(3, "two")).await;
    server.converged("web").await;
    assert_eq!(pages(&server, 3).await, BTreeSet::from(["two".to_owned()]));
    let revisions = server.api::<Revision>().list(&ListParams::default()).await.unwrap().items;
    assert_eq!(revisions.len(), 2, "history is kept: {revisions:#?}");

    let scale = Patch::Merge(json!({"spec": {"replicas": 5}}));
    server.api::<App>().patch_scale("web", &PatchParams::default(), &scale).await.unwrap();
    server.converged("web").await;
    pages(&server, 5).await;
    server.assert_one_container_per_task("web", &uid).await;

    let victim = server.containers(&uid).await[0].id.clone().unwrap();
    let before = server.api::<App>().get("web").await.unwrap().status.unwrap().launched;
    server.docker().kill_container(&victim, None).await.unwrap();
    server
        .until::<App>("web", "healed", |app| {
            is_converged(app) && app.status.as_ref().is_some_and(|status| status.launched > before)
        })
        .await;
    server.assert_one_container_per_task("web", &uid).await;

    server.remove("web").await;
    server.without_containers(&uid).await;
    // What it owned follows it.
    server.none_left::<Task>().await;
    server.none_left::<Endpoints>().await;
    server.none_left::<Revision>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_spec_redirects_a_rollout_that_is_under_way() {
    let server = Server::start("redirect", &[]).await;
    let uid = server.uid().await;
    server.apply("web", web(4, "one")).await;
    server.converged("web").await;
    // Never healthy: the rollout cannot end by itself.
    let mut stuck = web(4, "stuck");
    stuck["healthChecks"][0]["http"]["path"] = json!("/nothing-here");
    stuck["healthChecks"][0]["gracePeriod"] = json!("300s");
    server.apply("web", stuck).await;
    server.until::<App>("web", "under way", |app| app.status.as_ref().is_some_and(|s| s.updated > 0)).await;
    server.apply("web", web(4, "three")).await;
    server.converged("web").await;
    assert_eq!(pages(&server, 4).await, BTreeSet::from(["three".to_owned()]));
    server.assert_one_container_per_task("web", &uid).await;
    server.remove("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_installations_on_one_machine_leave_each_other_alone() {
    let one = Server::start("same-name", &[]).await;
    let mut two = Server::start("same-name", &[]).await;
    let (uid_one, uid_two) = (one.uid().await, two.uid().await);
    assert_ne!(uid_one, uid_two);
    one.apply("web", web(2, "one")).await;
    two.apply("web", web(2, "two")).await;
    one.converged("web").await;
    two.converged("web").await;
    let before: BTreeSet<_> = one.containers(&uid_one).await.into_iter().map(|c| c.id).collect();
    two.kill9();
    two.up(&[]).await;
    two.converged("web").await;
    two.remove("web").await;
    let after: BTreeSet<_> = one.containers(&uid_one).await.into_iter().map(|c| c.id).collect();
    assert_eq!(before, after);
    one.assert_one_container_per_task("web", &uid_one).await;
    one.remove("web").await;
}

/// What each of the `count` published instances answers.
async fn pages(server: &Server, count: usize) -> BTreeSet<String> {
    let listed =
        |endpoints: &Endpoints| endpoints.spec.ready.len() == count && endpoints.spec.not_ready.is_empty();
    let name = endpoints_name(server).await;
    let endpoints = server.until::<Endpoints>(&name, "complete", listed).await;
    let mut pages = BTreeSet::new();
    for at in &endpoints.spec.ready {
        pages.insert(get(&at.address, at.port).await);
    }
    pages
}

/// The one slice of the one port of `web`.
async fn endpoints_name(server: &Server) -> String {
    for _ in 0..100 {
        let all = server.api::<Endpoints>().list(&ListParams::default()).await.unwrap().items;
        if let Some(found) = all.into_iter().find(|endpoints| endpoints.spec.app == "web") {
            return found.metadata.name.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("web is not published\n{}", server.log_tail());
}

async fn get(address: &str, port: u16) -> String {
    let mut stream = tokio::net::TcpStream::connect((address, port)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{answer}");
    body.trim().to_owned()
}
