//! What goes wrong on a Mesos cluster is told where people look: in status, an Event, `tenure describe` and a number.

use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use tenure::api::{App, Task};

use crate::dockerd::{BUSYBOX, Dockerd};
use crate::harness::{Server, curl};
use crate::mesos::{Mesos, names};
use crate::trouble::event;

fn sleeper(instances: u32) -> Value {
    json!({"instances": instances, "cmd": "sleep 1000", "resources": {"cpus": "100m", "memory": "32Mi"}})
}

/// One thing that goes wrong for each task that is launched.
struct Fault {
    /// What the server is told besides.
    flags: &'static [&'static str],
    app: Value,
    /// The engine that executors find, if they are to find none.
    engine: Option<&'static str>,
    /// The disk of the agent has only so much room, as `mount` has it.
    disk: Option<&'static str>,
    /// Mesos's reason.
    reason: &'static str,
    /// What is told, besides that.
    words: &'static [&'static str],
}

/// An agent's work folder; on a disk of its own where that is to be small.
struct Disk {
    folder: TempDir,
    is_mounted: bool,
}

impl Disk {
    fn new(size: Option<&str>) -> Disk {
        let folder = tempfile::tempdir().unwrap();
        if let Some(size) = size {
            let options = format!("size={size}");
            let mount = Command::new("mount")
                .args(["-t", "tmpfs", "-o", &options, "none"])
                .arg(folder.path())
                .status();
            assert!(mount.unwrap().success(), "a small disk needs root");
        }
        Disk { folder, is_mounted: size.is_some() }
    }

    fn path(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_mounted {
            // One that is still in use goes with its last user.
            let _unmounted = Command::new("umount").args(["-l", self.path()]).status();
        }
    }
}

/// What `tenure describe` says.
fn described(server: &Server, what: &str) -> String {
    let described = Command::new(env!("CARGO_BIN_EXE_tenure"))
        .args(["describe", what])
        .env("KUBECONFIG", server.kubeconfig())
        .output()
        .unwrap();
    assert!(described.status.success(), "{}", String::from_utf8_lossy(&described.stderr));
    String::from_utf8(described.stdout).unwrap()
}

/// The number of this name and with these labels.
async fn number(server: &Server, name: &str) -> Option<i64> {
    let metrics = server.metrics().await;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

/// Waits until the number satisfies `wanted`.
async fn number_is(server: &Server, name: &str, wanted: impl Fn(i64) -> bool) {
    let began = tokio::time::Instant::now();
    while !number(server, name).await.is_some_and(&wanted) {
        assert!(began.elapsed().as_secs() < 60, "{name}: {}", server.metrics().await);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_an_agent_cannot_begin_with_says_why() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let boxed = json!({
        "instances": 1, "cmd": "sleep 1000", "container": {"image": BUSYBOX}, "resources": {"cpus": "100m", "memory": "32Mi"},
    });
    let faults = [
        Fault {
            flags: &["--mesos-executor", "http://127.0.0.1:1/tenure-executor"],
            app: sleeper(1),
            engine: None,
            disk: None,
            reason: "REASON_CONTAINER_LAUNCH_FAILED",
            words: &[
                "Failed to fetch all URIs",
                "fetches the executor from http://127.0.0.1:1/tenure-executor",
            ],
        },
        Fault {
            flags: &["--mesos-executor", "/nowhere/tenure-executor"],
            app: sleeper(1),
            engine: None,
            disk: None,
            reason: "REASON_EXECUTOR_TERMINATED",
            words: &["Executor terminated", "its executor is /nowhere/tenure-executor on the agent"],
        },
        Fault {
            flags: &[],
            app: sleeper(1),
            engine: None,
            disk: Some("64k"),
            reason: "REASON_CONTAINER_LAUNCH_FAILED",
            words: &["Failed to fetch all URIs", "as a full disk, stands in stderr of the sandbox"],
        },
        Fault {
            flags: &["--mesos-executor", "off"],
            app: sleeper(1),
            engine: None,
            disk: None,
            reason: "REASON_TASK_INVALID",
            words: &["this agent has no executor for commands"],
        },
        Fault {
            flags: &[],
            app: boxed,
            engine: Some("unix:///nowhere/docker.sock"),
            disk: None,
            reason: "REASON_CONTAINER_LAUNCH_FAILED",
            words: &["/nowhere/docker.sock"],
        },
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let disk = Disk::new(fault.disk);
        let engine = fault.engine.unwrap_or(dockerd.host());
        let flags = ["--agents", "1", "--work-dir", disk.path()];
        let mesos = Mesos::start_with(&flags, &[("DOCKER_HOST", engine)]).await;
        let masters = mesos.url();
        let flags = [&["--mesos", &masters], fault.flags].concat();
        let mut server = Server::prepare(Dockerd::start(), &format!("fault-{number}"), &flags).await;
        server.up(&[]).await;
        server.apply("web", fault.app.clone()).await;
        is_told(&server, &fault).await;
        server.kill9();
    }
}

async fn is_told(server: &Server, fault: &Fault) {
    let all = |text: &str| fault.words.iter().all(|words| text.contains(words));
    event(server, "web", all).await;
    let failed = |task: &Task| {
        let status = task.status.clone().unwrap_or_default();
        status.reason.as_deref() == Some(fault.reason) && status.message.as_deref().is_some_and(all)
    };
    let tasks = server.tasks("web").await;
    let task = tasks.iter().find(|task| failed(task));
    let task = task.unwrap_or_else(|| panic!("{:?}: {tasks:#?}", fault.words));
    let text = described(server, &format!("task/{}", task.metadata.name.as_deref().unwrap()));
    assert!(all(&text) && text.contains(fault.reason) && text.contains("TaskFailed"), "{text}");
    let name = format!("tenure_tasks_ended_total{{phase=\"Failed\",reason=\"{}\"}}", fault.reason);
    number_is(server, &name, |count| count > 0).await;
}

/// Waits until App `web` says that it waits, and for what.
async fn waits(server: &Server, reason: &str, words: &str) {
    let says = |app: &App| {
        let conditions = app.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
        conditions.iter().any(|it| {
            it.type_ == "Waiting" && it.status == "True" && it.reason == reason && it.message.contains(words)
        })
    };
    server.until::<App>("web", &format!("waiting, {words}"), says).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_lost_says_how_and_one_that_nobody_can_end_says_why() {
    let mut mesos = Mesos::start(&["--agents", "2"]).await;
    let flags = ["--mesos", &mesos.url()];
    let mut server = Server::prepare(Dockerd::start(), "lost", &flags).await;
    server.up(&[]).await;
    server.apply("web", sleeper(1)).await;
    server.converged("web").await;
    let before = names(&server).await;
    let task = server.tasks("web").await.remove(0);
    let agent = task.spec.binding.unwrap().agent_id;
    number_is(&server, "tenure_leader", |it| it == 1).await;
    number_is(&server, "tenure_agents{state=\"ready\"}", |it| it == 2).await;

    let gone =
        json!({"type": "MARK_AGENT_GONE", "mark_agent_gone": {"agent_id": {"value": agent}}}).to_string();
    let head = ["--header", "Content-Type: application/json", "--data", &gone];
    assert_eq!(curl(&format!("{}/api/v1", mesos.url()), &head).await, "");
    let told = event(&server, "web", |text| text.contains("REASON_")).await;
    let name = before.first().unwrap();
    let text = described(&server, &format!("task/{name}"));
    assert!(text.contains("TaskLost") && text.contains(&told), "{told} in {text}");
    let lost = server.metrics().await;
    let is_lost = |line: &str| line.starts_with("tenure_tasks_ended_total{phase=\"Lost\",reason=\"REASON_");
    assert!(lost.lines().any(is_lost), "{lost}");
    server.converged("web").await;
    assert!(names(&server).await.is_disjoint(&before));
    number_is(&server, "tenure_agents{state=\"gone\"}", |it| it == 1).await;
    number_is(&server, "tenure_mesos_calls_total{call=\"ACCEPT\"}", |it| it >= 2).await;
    number_is(&server, "tenure_mesos_offers_total{fate=\"received\"}", |it| it >= 2).await;
    number_is(&server, "tenure_tasks_waiting{for=\"offers\"}", |it| it == 0).await;

    mesos.kill9();
    server.apply("web", sleeper(0)).await;
    let words = "1 task is to end: not subscribed to the Mesos master: no leading master reached: ";
    waits(&server, "NotSubscribed", words).await;
    event(&server, "web", |text| text.starts_with(words)).await;
    let text = described(&server, "app/web");
    assert!(text.contains(words) && text.contains("NotSubscribed"), "{text}");
    number_is(&server, "tenure_mesos_subscribed", |it| it == 0).await;
    server.kill9();
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_stay_in_the_masters_region_unless_a_constraint_says_where() {
    let mesos = Mesos::start(&["--agents", "4", "--regions", "eu,us"]).await;
    let flags = ["--mesos", &mesos.url()];
    let mut server = Server::prepare(Dockerd::start(), "regions", &flags).await;
    server.up(&[]).await;
    server.apply("near", sleeper(6)).await;
    let mut far = sleeper(3);
    far["constraints"] = json!([{"attribute": "@region", "operator": "UNLIKE", "value": "eu"}]);
    server.apply("far", far).await;
    for (app, hosts) in [("near", ["agent1", "agent3"]), ("far", ["agent2", "agent4"])] {
        server.converged(app).await;
        for task in server.tasks(app).await {
            let host = task.spec.binding.unwrap().host;
            assert!(hosts.contains(&host.as_str()), "{app} on {host}");
        }
    }
    // What no machine of the region has room for says that there are others.
    server.apply("web", json!({"instances": 1, "cmd": "sleep 1000", "resources": {"cpus": "3900m"}})).await;
    waits(&server, "NoOfferFits", "2 outside eu, the master's region, and no constraint names @region").await;
    server.kill9();
}
