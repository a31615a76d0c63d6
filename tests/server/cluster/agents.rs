//! Agents that end, for a moment or for good.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tenure::api::{App, Task};

use super::{Cluster, Part, as_reported, running, server_with, talker};
use crate::dockerd::BUSYBOX;
use crate::harness::{Server, curl, is_converged, is_live};
use crate::mesos::{names, serving};

/// The host of the agent that runs a task of `web`, with the tasks there and elsewhere.
async fn busiest_host(server: &Server) -> (String, BTreeSet<String>) {
    let mut by_host = BTreeMap::<String, BTreeSet<String>>::new();
    for task in server.tasks("web").await.into_iter().filter(is_live) {
        let host = task.spec.binding.unwrap().host;
        by_host.entry(host).or_default().insert(task.metadata.name.unwrap());
    }
    by_host.into_iter().max_by_key(|(_, tasks)| tasks.len()).unwrap()
}

/// When the agent of this host registered last, if it is connected.
async fn registered(cluster: &Cluster, host: &str) -> Option<f64> {
    let told = curl(&format!("{}/slaves", cluster.masters()), &["--location"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    let agents = told["slaves"].as_array().unwrap();
    let agent = agents.iter().find(|it| it["hostname"] == host && it["active"] == true)?;
    agent["reregistered_time"].as_f64().or(agent["registered_time"].as_f64())
}

/// Waits until it has registered after `before`: all that its executors have told of themselves by then is known.
async fn is_back(cluster: &Cluster, host: &str, before: f64) {
    let began = tokio::time::Instant::now();
    while registered(cluster, host).await.is_none_or(|at| at <= before) {
        assert!(began.elapsed() < Duration::from_secs(60), "agent {host} has not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// With an executor per `task` or per `agent`.
async fn outlived_and_replaced(name: &str, per: &str) {
    let (mut cluster, server, _etcd) = server_with(name, &["--mesos-executor-per", per]).await;
    server.apply("web", talker(4, "one")).await;
    server.apply("boxed", serving(BUSYBOX)).await;
    running(&server, 4).await;
    server.converged("boxed").await;
    let uid = server.uid().await;
    server.assert_one_container_per_task("boxed", &uid).await;
    let boxes = containers(&server, &uid).await;
    let before = names(&server).await;
    let (host, on_it) = busiest_host(&server).await;
    let registered = registered(&cluster, &host).await.expect("it is there");
    cluster.kill9(Part::Agent, &host);
    cluster.start(Part::Agent, &host).await;
    is_back(&cluster, &host, registered).await;
    server.apply("web", talker(5, "one")).await;
    running(&server, 5).await;
    as_reported(&server, &cluster).await;
    assert!(names(&server).await.is_superset(&before));
    server.converged("boxed").await;
    assert_eq!(containers(&server, &uid).await, boxes);

    // Longer than its ping timeouts; then it is back with tasks that nobody wants any more.
    cluster.kill9(Part::Agent, &host);
    let lost = u64::try_from(on_it.len()).unwrap();
    let replaced =
        |app: &App| is_converged(app) && app.status.as_ref().is_some_and(|it| it.launched >= lost + 5);
    server.until::<App>("web", "replaced on the other agent", replaced).await;
    // Those that cannot be reached are kept for a while: they may come back.
    let reached = |task: &Task| task.status.as_ref().is_some_and(|it| it.unreachable_since.is_none());
    let reached = server.tasks("web").await.into_iter().filter(is_live).filter(reached);
    let reached: BTreeSet<String> = reached.filter_map(|task| task.metadata.name).collect();
    assert!(reached.is_disjoint(&on_it), "{reached:?} are on the agent that is gone: {on_it:?}");
    cluster.start(Part::Agent, &host).await;
    as_reported(&server, &cluster).await;
    for app in ["web", "boxed"] {
        server.remove(app).await;
    }
    as_reported(&server, &cluster).await;
    server.without_containers(&uid).await;
}

/// The containers of the installation, by id.
async fn containers(server: &Server, uid: &str) -> BTreeSet<String> {
    server.containers(uid).await.into_iter().filter_map(|container| container.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_outlive_an_agent_that_comes_back_and_are_replaced_when_it_does_not() {
    outlived_and_replaced("cluster-agents", "task").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_do_those_that_have_an_executor_in_common() {
    outlived_and_replaced("cluster-common", "agent").await;
}
