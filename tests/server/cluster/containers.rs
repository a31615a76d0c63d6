//! Containers and processes that agents run: looked into, read, judged by their checks, replaced.

use kube::api::DeleteParams;
use serde_json::json;
use tenure::api::{App, Task};

use super::Cluster;
use crate::dockerd::Dockerd;
use crate::exec::{exec, in_a_container_and_beside_a_process};
use crate::harness::{Server, is_converged, is_live};
use crate::mesos::{log_of, names, serving};

/// Waits until `web` has launched this many in all, and two of them serve.
async fn replaced(server: &Server, launched: u64) {
    let done = |app: &App| is_converged(app) && app.status.as_ref().is_some_and(|it| it.launched >= launched);
    server.until::<App>("web", &format!("launched {launched} times"), done).await;
}

/// Everything that can befall containers, with an executor per `task` or per `agent`.
async fn all_of_it(name: &str, per: &str) {
    let dockerd = Dockerd::start();
    let image = dockerd.busybox().await;
    let cluster = Cluster::open(&dockerd).await;
    let masters = cluster.masters();
    let flags = [&["--mesos", &masters, "--mesos-executor-per", per], &cluster.flags()[..]].concat();
    let mut server = Server::prepare(dockerd, name, &flags).await;
    server.up(&[]).await;
    let uid = server.uid().await;
    in_a_container_and_beside_a_process(&server, image).await;

    let mut web = serving(image);
    web["cmd"] = json!(format!("echo said; {}", web["cmd"].as_str().unwrap()));
    server.apply("web", web).await;
    server.converged("web").await;
    server.assert_one_container_per_task("web", &uid).await;
    let task = server.tasks("web").await.into_iter().find(is_live).unwrap();
    let shared = task.spec.binding.as_ref().unwrap().executor_id.as_ref();
    assert_eq!(shared.is_some(), per == "agent", "{shared:?}");
    let said = server.client().request_text(log_of(&task, "stream=stdout")).await.unwrap();
    assert!(said.ends_with("said\n"), "{said}");

    // It runs, and does not answer as it should.
    let sick = task.metadata.name.unwrap();
    let done = exec(&server, &[], &sick, &["rm", "/www/health"], "").await;
    assert!(done.status.success(), "{done:?}");
    replaced(&server, 3).await;
    assert!(!names(&server).await.contains(&sick));
    server.assert_one_container_per_task("web", &uid).await;

    // It is killed behind everyone's back.
    let containers = server.containers(&uid).await;
    server.docker().kill_container(containers[0].id.as_deref().unwrap(), None).await.unwrap();
    replaced(&server, 4).await;
    server
        .api::<Task>()
        .delete(names(&server).await.first().unwrap(), &DeleteParams::default())
        .await
        .unwrap();
    replaced(&server, 5).await;
    server.assert_one_container_per_task("web", &uid).await;
    let failed = "tenure_tasks_ended_total{phase=\"Failed\",reason=\"REASON_";
    assert!(server.metrics().await.contains(failed), "{}", server.metrics().await);
    server.remove("web").await;
    server.without_containers(&uid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_are_entered_and_read_and_those_that_fail_are_replaced() {
    all_of_it("cluster-boxed", "task").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_are_those_that_have_an_executor_in_common() {
    all_of_it("cluster-shared", "agent").await;
}
