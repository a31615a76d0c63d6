//! What a Mesos cluster does to a server and its tasks: on the simulated one, or on the one that `TENURE_TEST_MESOS` names, whose agents
//! run what they are told. Masters and agents of that are ended and started by `TENURE_TEST_MESOS_CONTROL` (see CONTRIBUTING.md).

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tenure::api::{App, Task};

use crate::dockerd::Dockerd;
use crate::etcd::Etcd;
use crate::harness::{Server, curl, is_converged, is_live, port_block};
use crate::mesos::Mesos;

mod agents;
mod containers;
mod life;
mod standby;

/// A cluster.
enum Cluster {
    Simulated(Mesos),
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
    /// One whose agents need not run what they are told.
    async fn open() -> Cluster {
        match given() {
            Some(masters) => Cluster::Given(masters),
            None => Cluster::Simulated(Mesos::start(&["--agents", "2"]).await),
        }
    }

    /// One whose agents run what they are told, below `work` if it is a simulated one, and with this engine.
    async fn with_executors(work: &Path, dockerd: &Dockerd) -> Cluster {
        if let Some(masters) = given() {
            return Cluster::Given(masters);
        }
        let first = port_block();
        let ports = format!("ports:[{first}-{}]", first + 99);
        // One agent: two of one machine would offer the same ports.
        let flags = ["--agents", "1", "--work-dir", work.to_str().unwrap(), "--agent-resources", &ports];
        Cluster::Simulated(Mesos::start_with(&flags, &[("DOCKER_HOST", dockerd.host())]).await)
    }

    fn masters(&self) -> String {
        match self {
            Cluster::Simulated(mesos) => mesos.url(),
            Cluster::Given(masters) => masters.clone(),
        }
    }

    /// Whether tasks run, and are reported by those who run them.
    fn is_real(&self) -> bool {
        matches!(self, Cluster::Given(_))
    }

    /// Ends a part as `kill -9` does.
    fn kill9(&mut self, part: Part, host: &str) {
        match self {
            Cluster::Simulated(mesos) => {
                assert_eq!(part, Part::Master, "agents of a simulated Mesos live in its process");
                mesos.kill9();
            }
            Cluster::Given(_) => control("kill", part, host),
        }
    }

    async fn start(&mut self, part: Part, host: &str) {
        match self {
            Cluster::Simulated(mesos) => mesos.up().await,
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

/// A server on the cluster, with a store that outlives it.
async fn server(cluster: &Cluster, name: &str) -> (Server, Etcd) {
    server_with(cluster, name, &[]).await
}

async fn server_with(cluster: &Cluster, name: &str, flags: &[&str]) -> (Server, Etcd) {
    let etcd = Etcd::start().await;
    let (store, masters) = (etcd.url(), cluster.masters());
    let flags = [&["--store", &store, "--mesos", &masters], flags].concat();
    let mut server = Server::prepare(Dockerd::start(), name, &flags).await;
    server.up(&[]).await;
    (server, etcd)
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

/// Waits until the master's running tasks of ours are those of the App.
async fn as_reported(server: &Server, cluster: &Cluster) {
    let began = tokio::time::Instant::now();
    loop {
        let tasks = server.tasks("web").await.into_iter().filter(is_live);
        let wanted: BTreeSet<String> =
            tasks.filter_map(|task| Some(task.spec.binding?.mesos_task_id)).collect();
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
