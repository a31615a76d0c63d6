//! What a Mesos cluster does to a server and its tasks: on the simulated one, or on the one that `TENURE_TEST_MESOS` names, whose agents
//! run what they are told. Masters and agents of that are ended and started by `TENURE_TEST_MESOS_CONTROL` (see CONTRIBUTING.md).

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use kube::api::DeleteParams;
use serde_json::{Value, json};
use tenure::api::{App, Task};

use crate::dockerd::Dockerd;
use crate::etcd::Etcd;
use crate::harness::{Server, curl, is_converged, is_live};
use crate::mesos::{Mesos, log_of, names};

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
    async fn open() -> Cluster {
        match std::env::var("TENURE_TEST_MESOS") {
            Ok(masters) if !masters.is_empty() => Cluster::Given(masters),
            _ => Cluster::Simulated(Mesos::start(&["--agents", "2"]).await),
        }
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
    let etcd = Etcd::start().await;
    let flags = ["--store", &etcd.url(), "--mesos", &cluster.masters()];
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
async fn running(server: &Server, instances: u32) {
    let is_there = |app: &App| app.spec.instances == instances && is_converged(app);
    server.until::<App>("web", &format!("running {instances} times"), is_there).await;
    let began = tokio::time::Instant::now();
    while server.tasks("web").await.iter().any(is_ending) {
        assert!(began.elapsed() < Duration::from_secs(60), "{:#?}", server.tasks("web").await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
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
    if !cluster.is_real() {
        return;
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_launched_scaled_rolled_out_repaired_and_removed() {
    let cluster = Cluster::open().await;
    let (server, _etcd) = server(&cluster, "cluster-life").await;
    server.apply("web", talker(1, "one")).await;
    running(&server, 1).await;
    if cluster.is_real() {
        let task = server.tasks("web").await.remove(0);
        let mut said = String::new();
        while said.is_empty() {
            // STARTING comes before the first word.
            said = server.client().request_text(log_of(&task, "stream=stdout&tailLines=1")).await.unwrap();
        }
        assert_eq!(said, "said one\n");
    }
    server.apply("web", talker(4, "one")).await;
    running(&server, 4).await;
    let before = names(&server).await;
    as_reported(&server, &cluster).await;

    server.apply("web", talker(4, "two")).await;
    server.until::<App>("web", "rolling", |app| app.status.as_ref().is_some_and(|it| it.launched > 4)).await;
    running(&server, 4).await;
    let after = names(&server).await;
    assert!(after.is_disjoint(&before), "{before:?} became {after:?}");
    as_reported(&server, &cluster).await;

    let victim = after.first().unwrap();
    server.api::<Task>().delete(victim, &DeleteParams::default()).await.unwrap();
    server.gone::<Task>(victim).await;
    running(&server, 4).await;
    server.apply("web", talker(2, "two")).await;
    running(&server, 2).await;
    as_reported(&server, &cluster).await;
    server.remove("web").await;
    server.none_left::<Task>().await;
    as_reported(&server, &cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_outlive_the_server_that_is_killed_the_store_that_is_away_and_the_master() {
    let mut cluster = Cluster::open().await;
    let (mut server, mut etcd) = server(&cluster, "cluster-kill").await;
    server.apply("web", talker(3, "one")).await;
    running(&server, 3).await;
    let before = names(&server).await;
    server.kill9();
    server.up(&[]).await;
    server.apply("web", talker(4, "one")).await;
    running(&server, 4).await;
    let after = names(&server).await;
    assert!(after.is_superset(&before), "{before:?} became {after:?}");

    // Without a store nobody leads; the tasks go on.
    etcd.kill();
    server.until_not_ready().await;
    etcd.resume().await;
    server.until::<App>("web", "seen again", is_converged).await;
    as_reported(&server, &cluster).await;
    assert_eq!(names(&server).await, after);

    cluster.kill9(Part::Master, "");
    cluster.start(Part::Master, "").await;
    server.apply("web", talker(5, "one")).await;
    running(&server, 5).await;
    let last = names(&server).await;
    if cluster.is_real() {
        assert!(last.is_superset(&after), "{after:?} became {last:?}");
        as_reported(&server, &cluster).await;
        server.remove("web").await;
    }
}

/// The host of the agent that runs a task of `web`, with the tasks there and elsewhere.
async fn busiest_host(server: &Server) -> (String, BTreeSet<String>) {
    let mut by_host = std::collections::BTreeMap::<String, BTreeSet<String>>::new();
    for task in server.tasks("web").await.into_iter().filter(is_live) {
        let host = task.spec.binding.unwrap().host;
        by_host.entry(host).or_default().insert(task.metadata.name.unwrap());
    }
    by_host.into_iter().max_by_key(|(_, tasks)| tasks.len()).unwrap()
}

/// What needs agents that can be ended, and tasks that are reported by those who run them. The simulated agents live in the master's
/// process: `tests/sim` loses and restores them.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Mesos: TENURE_TEST_MESOS=... hack/test mesos runs it"]
async fn tasks_outlive_an_agent_that_comes_back_and_are_replaced_when_it_does_not() {
    let mut cluster = Cluster::open().await;
    assert!(cluster.is_real(), "TENURE_TEST_MESOS names no Mesos");
    let (server, _etcd) = server(&cluster, "cluster-agents").await;
    server.apply("web", talker(4, "one")).await;
    running(&server, 4).await;
    let before = names(&server).await;
    let (host, on_it) = busiest_host(&server).await;
    cluster.kill9(Part::Agent, &host);
    cluster.start(Part::Agent, &host).await;
    server.apply("web", talker(5, "one")).await;
    running(&server, 5).await;
    as_reported(&server, &cluster).await;
    assert!(names(&server).await.is_superset(&before));

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
    server.remove("web").await;
    as_reported(&server, &cluster).await;
}
