//! What Mesos runs for us, and what people and other readers of Mesos are told of it.

use std::collections::BTreeSet;

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tenure::api::{App, Task};

use crate::dockerd::Dockerd;
use crate::exec::exec;
use crate::harness::{Server, curl, is_live, port_block, task_of};
use crate::mesos::{Mesos, serving, waits_for};
use crate::mesos_dns::{address_of_agent, records};

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

/// A Mesos with one agent that runs executors, below `work`.
async fn with_executors(work: &std::path::Path, dockerd: &Dockerd) -> Mesos {
    let first = port_block();
    let ports = format!("ports:[{first}-{}]", first + 99);
    let flags = ["--agents", "1", "--work-dir", work.to_str().unwrap(), "--agent-resources", &ports];
    Mesos::start_with(&flags, &[("DOCKER_HOST", dockerd.host())]).await
}

async fn state(mesos: &Mesos) -> Value {
    serde_json::from_str(&curl(&format!("{}/state", mesos.url()), &[]).await).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn mesos_dns_finds_what_runs_at_addresses_that_lead_there() {
    let dockerd = Dockerd::start();
    let image = dockerd.busybox().await;
    let network = format!("backend-{}", std::process::id());
    let request = bollard::models::NetworkCreateRequest { name: network.clone(), ..Default::default() };
    dockerd.client().create_network(request).await.unwrap();
    let work = tempfile::tempdir().unwrap();
    let mesos = with_executors(work.path(), &dockerd).await;
    let mut server = Server::prepare(dockerd, "dns-names", &["--mesos", &mesos.url()]).await;
    server.up(&[]).await;
    let mut web = serving(image);
    (web["instances"], web["ports"]) = (json!(1), json!([{"name": "http", "containerPort": 8080}]));
    let mut inner = web.clone();
    inner["container"]["network"] = json!(network);
    let metadata = json!({"name": "web", "labels": {"HAPROXY_GROUP": "external"}});
    let web = json!({"apiVersion": "tenure.dev/v1", "kind": "App", "metadata": metadata, "spec": web});
    let params = PatchParams::apply("test");
    server.api::<App>().patch("web", &params, &Patch::Apply(web)).await.unwrap();
    server.apply("inner", inner).await;
    server.converged("web").await;
    server.converged("inner").await;

    let state_now = state(&mesos).await;
    let told = records(&state_now);
    let task = server.tasks("web").await.into_iter().find(is_live).unwrap();
    let is_web = |it: &&Value| it["name"] == "web.default";
    let tasks = state_now["frameworks"][0]["tasks"].as_array().unwrap();
    let entry = tasks.iter().find(is_web).unwrap();
    let agent = BTreeSet::from([address_of_agent(entry, &state_now)]);
    let labels = entry["labels"].as_array().unwrap();
    assert!(labels.contains(&json!({"key": "HAPROXY_GROUP", "value": "external"})), "{entry:#}");
    let port = BTreeSet::from([u64::from(task.spec.binding.as_ref().unwrap().ports[0])]);
    for name in ["web-default", "web.default"] {
        assert_eq!(told.addresses[&format!("{name}.dns-names.mesos")], agent, "{entry:#}");
        assert_eq!(told.ports[&format!("_{name}._tcp.dns-names.mesos")], port);
        assert_eq!(told.ports[&format!("_http._{name}._tcp.dns-names.mesos")], port);
    }
    assert_eq!(task.status.unwrap().container_ip, None, "nobody else reaches the address on the bridge");

    let task: Task = server.tasks("inner").await.into_iter().find(is_live).unwrap();
    let status = task.status.unwrap();
    let containers = server.containers(&server.uid().await).await;
    let name = task.metadata.name.unwrap();
    let found = containers.into_iter().find(|it| task_of(it) == name).unwrap();
    let networks = found.network_settings.unwrap().networks.unwrap();
    let inside = networks[&network].ip_address.clone().unwrap();
    assert_eq!(status.container_ip.as_ref(), Some(&inside));
    assert_eq!(told.addresses["inner-default.dns-names.mesos"], BTreeSet::from([inside]));
    assert_eq!(told.ports["_inner-default._tcp.dns-names.mesos"], BTreeSet::from([8080]));

    server.remove("web").await;
    server.remove("inner").await;
    server.docker().remove_network(&network).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_way_into_what_mesos_runs_and_it_is_said_at_once() {
    let mesos = Mesos::start(&["--agents", "1"]).await;
    let mut server = Server::prepare(Dockerd::start(), "no-way", &["--mesos", &mesos.url()]).await;
    server.up(&[]).await;
    let container = json!({"image": "web", "network": "host", "containerizer": "Docker"});
    let resources = json!({"cpus": "100m", "memory": "32Mi"});
    server.apply("web", json!({"container": container, "resources": resources})).await;
    server.converged("web").await;
    let task = server.tasks("web").await.into_iter().find(is_live).unwrap().metadata.name.unwrap();
    let told = exec(&server, &[], &task, &["true"], "").await;
    let why = String::from_utf8_lossy(&told.stderr);
    assert!(
        !told.status.success() && why.contains("(containerizer: Docker), into which there is no line"),
        "{why}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_agents_cannot_fetch_is_no_fault_of_the_app_and_is_told() {
    let dockerd = Dockerd::start();
    let work = tempfile::tempdir().unwrap();
    let mesos = with_executors(work.path(), &dockerd).await;
    let mut server = Server::prepare(dockerd, "unfetched", &["--mesos", &mesos.url()]).await;
    // Nobody listens there.
    server.up(&[("TENURE_ARTIFACT_URL", "http://127.0.0.1:1/")]).await;
    // What a build of a test makes is linked to the machine's libraries.
    server.logged("the executor is not static").await;
    let plain = json!({"instances": 1, "cmd": "sleep 1000", "resources": {"cpus": "100m", "memory": "32Mi"}});
    server.apply("web", plain).await;
    let degraded = |app: &App| {
        let status = app.status.clone().unwrap_or_default();
        let degraded = status.conditions.into_iter().find(|it| it.type_ == "Degraded" && it.status == "True");
        degraded.map(|it| (it.reason, it.message))
    };
    let app = server.until::<App>("web", "degraded", |app| degraded(app).is_some()).await;
    let (reason, message) = degraded(&app).unwrap();
    assert_eq!(reason, "LaunchFailing");
    assert!(
        message.starts_with("launches fail by no fault of the app: Failed to launch container"),
        "{message}"
    );
    assert_eq!(app.status.unwrap().backoff, None);

    // From the next leader it can be fetched.
    server.kill9();
    server.up(&[]).await;
    server.converged("web").await;
    server.remove("web").await;
}
