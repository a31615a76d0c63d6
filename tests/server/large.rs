//! A server on a Mesos of a thousand simulated agents, in a process of its own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tenure::api::{App, Task};

use crate::dockerd::Dockerd;
use crate::harness::{Server, curl, is_converged, is_live};
use crate::mesos::Mesos;
use crate::second;

const AGENTS: u32 = 1000;
const TASKS: u32 = 2000;

fn by_agent(tasks: &[Task]) -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::<String, BTreeSet<String>>::new();
    for task in tasks.iter().filter(|task| is_live(task)) {
        let agent = task.spec.binding.as_ref().unwrap().agent_id.clone();
        all.entry(agent).or_default().insert(task.metadata.name.clone().unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_of_two_thousand_tasks_runs_on_a_thousand_agents_and_outlives_the_end_of_one() {
    let mesos = Mesos::start(&["--agents", &AGENTS.to_string()]).await;
    let mut server = Server::prepare(Dockerd::start(), "large", &["--mesos", &mesos.url()]).await;
    server.up(&[]).await;
    let spec = json!({
        "instances": TASKS, "cmd": "sleep 1000", "resources": {"cpus": "1", "memory": "1Gi"},
    });
    server.apply("web", spec).await;
    server.converged("web").await;
    let before = by_agent(&server.tasks("web").await);
    assert!(before.len() >= 500, "four fit on an agent");

    // An operator says that a machine has gone.
    let (victim, lost) = before.first_key_value().unwrap();
    let call = json!({"type": "MARK_AGENT_GONE", "mark_agent_gone": {"agent_id": {"value": victim}}});
    let head = ["--header", "Content-Type: application/json", "--data", &call.to_string()];
    assert_eq!(curl(&format!("{}/api/v1", mesos.url()), &head).await, "");
    let launched = u64::from(TASKS) + u64::try_from(lost.len()).unwrap();
    let replaced =
        |app: &App| is_converged(app) && app.status.as_ref().is_some_and(|it| it.launched >= launched);
    server.until::<App>("web", "made good", replaced).await;
    let after = by_agent(&server.tasks("web").await);
    let names = |all: &BTreeMap<String, BTreeSet<String>>| -> BTreeSet<String> {
        all.values().flatten().cloned().collect()
    };
    assert!(!after.contains_key(victim));
    let kept: BTreeSet<String> = names(&before).intersection(&names(&after)).cloned().collect();
    assert_eq!(kept.len(), TASKS as usize - lost.len(), "nothing else is touched");

    // What the App leaves over another framework gets.
    let told = second::run(&mesos, 20, false).await;
    assert_eq!((told.tasks("TASK_RUNNING"), told.tasks("TASK_KILLED")), (20, 20));
    let metrics: Value =
        serde_json::from_str(&curl(&format!("{}/metrics/snapshot", mesos.url()), &[]).await).unwrap();
    for (name, value) in [
        ("tasks_running", f64::from(TASKS)),
        ("slaves_active", f64::from(AGENTS - 1)),
        ("cpus_total", f64::from(4 * (AGENTS - 1))),
        ("cpus_used", f64::from(TASKS)),
        ("tasks_killed", 20.0),
    ] {
        assert_eq!(metrics[format!("master/{name}")], json!(value), "{name}");
    }
    assert_eq!(by_agent(&server.tasks("web").await), after);
}
