//! What a Mesos cluster does to a server and its tasks: on a simulated one, or on the one that `TENURE_TEST_MESOS` names, whose masters
//! and agents are ended and started by `TENURE_TEST_MESOS_CONTROL` (see CONTRIBUTING.md). Agents of both run what they are told.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use kube::api::ListParams;
use serde_json::{Value, json};
use tenure::api::{App, Task};

use crate::dockerd::Dockerd;
use crate::etcd::Etcd;
use crate::harness::{Server, curl, is_converged, is_live};
use simulated::Simulated;

mod agents;
mod containers;
mod life;
mod simulated;
mod standby;

/// A cluster.
enum Cluster {
    Simulated(Simulated),
    /// At these masters; its parts are ended and started by a command.
    Given(String),
}

/// A part of a cluster that can be ended and started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Master,
    /// The one whose host name this is.
    Agent,
}

impl Cluster {
    /// One whose agents run containers with this engine, if it is a simulated one.
    async fn open(dockerd: &Dockerd) -> Cluster {
        match given() {
            Some(masters) => Cluster::Given(masters),
            None => Cluster::Simulated(Simulated::start(dockerd).await),
        }
    }

    fn masters(&self) -> String {
        match self {
            Cluster::Simulated(cluster) => cluster.url(),
            Cluster::Given(masters) => masters.clone(),
        }
    }

    /// What a server is told beside the masters. Executors stand on the machine of simulated agents already: a server that is killed
    /// does not have them fetched.
    fn flags(&self) -> Vec<&'static str> {
        match self {
            Cluster::Simulated(_) => vec!["--mesos-executor", env!("CARGO_BIN_EXE_tenure-executor")],
            Cluster::Given(_) => Vec::new(),
        }
    }

    /// Ends a part as `kill -9` does.
    fn kill9(&mut self, part: Part, host: &str) {
        match self {
            Cluster::Simulated(cluster) => cluster.kill9(part, host),
            Cluster::Given(_) => control("kill", part, host),
        }
    }

    async fn start(&mut self, part: Part, host: &str) {
        match self {
            Cluster::Simulated(cluster) => cluster.up(part, host).await,
            Cluster::Given(_) => control("start", part, host),
        }
    }
}

fn given() -> Option<String> {
    std::env::var("TENURE_TEST_MESOS").ok().filter(|masters| !masters.is_empty())
}

/// `COMMAND kill|start master|agent HOST`.
fn control(act: &str, part: Part, host: &str) {
    let command = std::env::var("TENURE_TEST_MESOS_CONTROL");
    let command = command
        .expect("TENURE_TEST_MESOS_CONTROL must name a command that ends and starts masters and agents");
    let part = if part == Part::Master { "master" } else { "agent" };
    let done = Command::new("sh").args(["-c", &format!("{command} {act} {part} {host}")]).status();
    assert!(done.unwrap().success(), "{command} {act} {part} {host}");
}

/// A cluster, and a server on it with a store that outlives it.
async fn server(name: &str) -> (Cluster, Server, Etcd) {
    server_with(name, &[]).await
}

async fn server_with(name: &str, flags: &[&str]) -> (Cluster, Server, Etcd) {
    let dockerd = Dockerd::start();
    let cluster = Cluster::open(&dockerd).await;
    let etcd = Etcd::start().await;
    let (store, masters) = (etcd.url(), cluster.masters());
    let flags = [&["--store", &store, "--mesos", &masters], &cluster.flags()[..], flags].concat();
    let mut server = Server::prepare(dockerd, name, &flags).await;
    server.up(&[]).await;
    (cluster, server, etcd)
}

/// Says what it is told, and goes on for ever.
fn talker(instances: u32, word: &str) -> Value {
    json!({
        "instances": instances,
        "cmd": "echo said $WORD; while true; do sleep 1; done",
        "env": [{"name": "WORD", "value": word}],
        "resources": {"cpus": "100m", "memory": "32Mi"},
        "kill": {"gracePeriod": "1s"},
    })
}

/// Waits until `web` runs all of so many instances, and what was to end has ended.
async fn running(server: &Server, instances: u32) -> App {
    let is_there = |app: &App| app.spec.instances == instances && is_converged(app);
    let app = server.until::<App>("web", &format!("running {instances} times"), is_there).await;
    let began = tokio::time::Instant::now();
    while server.tasks("web").await.iter().any(is_ending) {
        assert!(began.elapsed() < Duration::from_secs(60), "{:#?}", server.tasks("web").await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    app
}

/// Whether it was told to end, and may be heard of again.
fn is_ending(task: &Task) -> bool {
    let is_reachable = task.status.as_ref().is_none_or(|status| status.reachable);
    is_live(task) && task.spec.stop.is_some() && is_reachable
}

/// The tasks of our framework that the master says are running.
async fn reported(server: &Server, cluster: &Cluster) -> BTreeSet<String> {
    let subscribed = server.logged("subscribed framework=").await;
    let framework = subscribed.split("framework=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let url = format!("{}/tasks?limit=10000", cluster.masters());
    let tasks: Value = serde_json::from_str(&curl(&url, &["--location"]).await).unwrap();
    let ours =
        tasks["tasks"].as_array().unwrap().iter().filter(|task| {
            task["framework_id"] == json!(framework) && task["state"] == json!("TASK_RUNNING")
        });
    ours.map(|task| task["id"].as_str().unwrap().to_owned()).collect()
}

/// Waits until the master's running tasks of ours are those of all Apps.
async fn as_reported(server: &Server, cluster: &Cluster) {
    let began = tokio::time::Instant::now();
    loop {
        let tasks = server.api::<Task>().list(&ListParams::default()).await.unwrap().items;
        let alive = tasks.into_iter().filter(is_live);
        let wanted: BTreeSet<String> =
            alive.filter_map(|task| Some(task.spec.binding?.mesos_task_id)).collect();
        let found = reported(server, cluster).await;
        if found == wanted {
            return;
        }
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "the master runs {found:?}, wanted are {wanted:?}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
