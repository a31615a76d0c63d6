//! What Mesos runs for us, and what people and other readers of Mesos are told of it.

use serde_json::json;

use crate::dockerd::Dockerd;
use crate::harness::Server;
use crate::mesos::{Mesos, waits_for};

#[tokio::test(flavor = "multi_thread")]
async fn what_mesos_own_executors_leave_undone_is_told_and_not_dropped() {
    let mesos = Mesos::start(&["--agents", "1"]).await;
    let flags = ["--mesos", &mesos.url(), "--mesos-executor", "off"];
    let mut server = Server::prepare(Dockerd::start(), "left-undone", &flags).await;
    server.up(&[]).await;
    let asking = json!({
        "container": {"image": "web"}, "ports": [{}], "readinessChecks": [{"http": {}}],
        "resources": {"cpus": "100m", "memory": "32Mi"},
    });
    server.apply("web", asking).await;
    let (reason, message) = waits_for(&server, "--mesos-executor off").await;
    let words = "1 task waits: spec.readinessChecks: none is run with --mesos-executor off";
    assert_eq!((reason.as_str(), message.as_str()), ("NotSupportedByMesos", words));
    let events = server.get("/api/v1/namespaces/default/events").await;
    assert!(events.contains(words), "{events}");

    let plain = json!({
        "container": {"image": "web"}, "ports": [{}], "resources": {"cpus": "100m", "memory": "32Mi"},
    });
    server.apply("web", plain).await;
    server.converged("web").await;
}
