//! What operators and their tools ask `tenure mesos`, and what they tell it to do.

use serde_json::{Value, json};

use crate::dockerd::Dockerd;
use crate::harness::{Server, curl};
use crate::mesos::Mesos;

async fn call(mesos: &Mesos, call: Value) -> String {
    let head = ["--header", "Content-Type: application/json", "--data", &call.to_string()];
    curl(&format!("{}/api/v1", mesos.url()), &head).await
}

async fn tree(mesos: &Mesos, path: &str) -> Value {
    let text = curl(&format!("{}{path}", mesos.url()), &[]).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_the_cluster_and_act_on_it_over_http() {
    let mesos = Mesos::start(&["--agents", "2"]).await;
    let flags = ["--mesos", &mesos.url(), "--mesos-role", "web"];
    let mut server = Server::prepare(Dockerd::start(), "operators", &flags).await;
    server.up(&[]).await;
    let app = json!({"instances": 2, "cmd": "sleep 1000", "resources": {"cpus": "3", "memory": "32Mi"}});
    server.apply("web", app).await;
    server.converged("web").await;

    let state = tree(&mesos, "/state").await;
    let framework = &state["frameworks"][0];
    assert_eq!(framework["roles"], json!(["web"]));
    assert_eq!(framework["used_resources"]["cpus"], json!(6.0));
    let tasks = framework["tasks"].as_array().unwrap();
    assert!(tasks.len() == 2 && tasks.iter().all(|task| task["state"] == "TASK_RUNNING"), "{tasks:?}");
    let one = tree(&mesos, &format!("/tasks?task_id={}", tasks[0]["id"].as_str().unwrap())).await;
    assert_eq!(one["tasks"], json!([tasks[0]]));
    let roles = tree(&mesos, "/roles").await;
    assert_eq!((&roles["roles"][0]["name"], &roles["roles"][0]["weight"]), (&json!("web"), &json!(1.0)));
    let summary = tree(&mesos, "/state-summary").await;
    assert_eq!(summary["frameworks"][0]["TASK_RUNNING"], json!(2));
    let agents: Value = serde_json::from_str(&call(&mesos, json!({"type": "GET_AGENTS"})).await).unwrap();
    assert_eq!(agents["get_agents"]["agents"].as_array().unwrap().len(), 2);

    // Weights are kept, refused ones are not, and quotas are said not to be there.
    let put =
        async |body: &str| curl(&format!("{}/weights", mesos.url()), &["-X", "PUT", "--data", body]).await;
    assert_eq!(put(r#"[{"role": "web", "weight": 2.5}]"#).await, "");
    assert_eq!(tree(&mesos, "/weights").await, json!([{"role": "web", "weight": 2.5}]));
    let refused = put(r#"[{"role": "web", "weight": 0}]"#).await;
    assert!(refused.contains("Invalid weight '0' for role 'web'"), "{refused}");
    assert!(put("[{}]").await.contains("expecting 'role'"));
    assert_eq!(tree(&mesos, "/weights").await[0]["weight"], json!(2.5));
    assert_eq!(tree(&mesos, "/quota").await, json!({}));
    let quota = curl(&format!("{}/quota", mesos.url()), &["--data", "{}"]).await;
    assert!(quota.contains("quotas are not built"), "{quota}");
    for kind in ["UPDATE_QUOTA", "GET_FLAGS", "RESERVE_RESOURCES"] {
        let told = call(&mesos, json!({"type": kind})).await;
        assert_eq!(told, format!("{kind} is not built in this embedded master"));
    }
    let protobuf = ["--header", "Content-Type: application/x-protobuf", "--data", "x"];
    let told = curl(&format!("{}/api/v1", mesos.url()), &protobuf).await;
    assert!(told.contains("application/x-protobuf in the operator API is not built"), "{told}");

    // Drained, an agent is left by its task, and gone when it was to be.
    let agent = tasks[0]["slave_id"].clone();
    let drain = json!({"agent_id": {"value": agent}, "max_grace_period": {"seconds": 1}, "mark_gone": true});
    assert!(call(&mesos, json!({"type": "DRAIN_AGENT", "drain_agent": drain})).await.is_empty());
    let bad = json!({"agent_id": {"value": agent}, "max_grace_period": "10mins"});
    assert!(
        call(&mesos, json!({"type": "DRAIN_AGENT", "drain_agent": bad})).await.contains("max_grace_period")
    );
    let began = tokio::time::Instant::now();
    loop {
        let slaves = tree(&mesos, "/slaves").await;
        let slaves = slaves["slaves"].as_array().unwrap();
        if slaves.len() == 1 && slaves[0]["id"] != agent {
            break;
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "{slaves:?}\n{}", server.log_tail());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let metrics = tree(&mesos, "/metrics/snapshot").await;
    assert_eq!(metrics["master/tasks_gone_by_operator"], json!(1.0));
}
