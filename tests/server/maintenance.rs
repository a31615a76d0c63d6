//! Planned maintenance on a Mesos over HTTP, as its operator does it.

use std::time::Duration;

use serde_json::{Value, json};
use tenure::api::App;
use tenure::cli::age::now;

use crate::dockerd::Dockerd;
use crate::harness::{Server, curl, is_converged, is_live};
use crate::mesos::Mesos;

async fn post(mesos: &Mesos, path: &str, body: &Value) -> String {
    let body = body.to_string();
    let head = ["--header", "Content-Type: application/json", "--data", &body];
    curl(&format!("{}{path}", mesos.url()), &head).await
}

async fn hosts(server: &Server) -> Vec<String> {
    let tasks = server.tasks("web").await.into_iter().filter(is_live);
    let mut hosts: Vec<String> = tasks.map(|task| task.spec.binding.unwrap().host).collect();
    hosts.sort();
    hosts
}

/// Waits until the operator is shown this answer about the machine.
async fn answered(mesos: &Mesos, server: &Server, answer: &str) {
    let began = tokio::time::Instant::now();
    loop {
        let status = curl(&format!("{}/maintenance/status", mesos.url()), &[]).await;
        let status: Value = serde_json::from_str(&status).unwrap();
        if status["draining_machines"][0]["statuses"][0]["status"] == answer {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{status:#}\n{}", server.log_tail());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_leave_a_machine_whose_maintenance_is_near_and_it_may_then_be_taken_away() {
    let mesos = Mesos::start(&["--agents", "2"]).await;
    let mut server = Server::prepare(Dockerd::start(), "maintenance", &["--mesos", &mesos.url()]).await;
    server.up(&[]).await;
    let web = json!({"instances": 2, "cmd": "sleep 1000", "resources": {"cpus": "100m", "memory": "32Mi"}});
    server.apply("web", web).await;
    server.converged("web").await;
    assert_eq!(hosts(&server).await, ["agent1", "agent2"]);

    let machines = json!([{"hostname": "agent1", "ip": "127.0.0.1"}]);
    let down = post(&mesos, "/machine/down", &machines).await;
    assert!(down.contains("is not part of a maintenance schedule"), "{down}");
    let start = now() + Duration::from_secs(20 * 60);
    let start = i64::try_from(start.as_nanosecond()).unwrap();
    let window = json!({"machine_ids": machines, "unavailability": {"start": {"nanoseconds": start}}});
    let schedule = json!({"windows": [window]});
    assert_eq!(post(&mesos, "/maintenance/schedule", &schedule).await, "");
    let told = curl(&format!("{}/maintenance/schedule", mesos.url()), &[]).await;
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), schedule);

    server
        .until::<App>("web", "moved", |app| {
            is_converged(app) && app.status.as_ref().is_some_and(|status| status.launched >= 3)
        })
        .await;
    // The old one is told to end when the new one runs.
    let began = tokio::time::Instant::now();
    while hosts(&server).await != ["agent2", "agent2"] {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{:?}\n{}",
            hosts(&server).await,
            server.log_tail()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    answered(&mesos, &server, "ACCEPT").await;
    assert_eq!(post(&mesos, "/machine/down", &machines).await, "");
    // Whoever looks again finds nothing to do.
    server.converged("web").await;
    assert_eq!(hosts(&server).await, ["agent2", "agent2"]);
    server.remove("web").await;
}
