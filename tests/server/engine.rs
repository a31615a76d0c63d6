//! A Docker engine that is stopped, hangs, or is not there: told on the Agent, and no reason not to run plain processes.

use std::time::Duration;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::CreateContainerOptionsBuilder;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use serde_json::{Value, json};
use tenure::api::{Agent, App};

use crate::dockerd::{BUSYBOX, Dockerd};
use crate::harness::{Server, is_converged, web};

/// The agent's conditions `Ready` and `DockerReady`, each with its reason, once they satisfy `wanted`.
async fn agent_is(server: &Server, wanted: &str) {
    let api: Api<Agent> = Api::all(server.client());
    let mut last = String::new();
    let reached = tokio::time::timeout(Duration::from_secs(120), async {
        loop {
            let mut agents = api.watch(&WatchParams::default(), "0").await.unwrap().boxed();
            while let Ok(Some(event)) = agents.try_next().await {
                if let WatchEvent::Added(agent) | WatchEvent::Modified(agent) = event {
                    last = words(&agent);
                    if last == wanted {
                        return;
                    }
                }
            }
        }
    })
    .await;
    assert!(reached.is_ok(), "the agent never was {wanted}, at last it is {last}\n{}", server.log_tail());
}

fn words(agent: &Agent) -> String {
    let status = agent.status.clone().unwrap_or_default();
    let word = |kind: &str| {
        let found = status.conditions.iter().find(|it| it.type_ == kind);
        found.map_or_else(|| "absent".to_owned(), |it| format!("{} {}", it.status, it.reason))
    };
    format!("{}, {}", word("Ready"), word("DockerReady"))
}

/// Type, reason and message of the Events about the agent.
async fn told(server: &Server) -> Vec<String> {
    let events = server.api::<Event>().list(&ListParams::default().fields("involvedObject.kind=Agent")).await;
    let text = |event: &Event| {
        let (type_, reason) = (event.type_.clone(), event.reason.clone());
        format!("{} {}: {}", type_.unwrap(), reason.unwrap(), event.message.clone().unwrap())
    };
    events.unwrap().items.iter().map(text).collect()
}

/// A plain process.
fn plain(instances: u32) -> Value {
    json!({
        "instances": instances,
        "cmd": "exec sleep 1000",
        "resources": {"cpus": "10m", "memory": "16Mi"},
        "kill": {"gracePeriod": "1s"},
    })
}

fn waits_for_docker(app: &App) -> bool {
    let conditions = app.status.clone().unwrap_or_default().conditions;
    conditions
        .iter()
        .any(|it| it.type_ == "Waiting" && it.status == "True" && it.message.contains("Docker engine"))
}

const READY: &str = "True AgentReady, True DockerReady";
const AWAY: &str = "False DockerUnavailable, False DockerUnavailable";

#[tokio::test(flavor = "multi_thread")]
async fn stopped_dockerd_is_told_on_the_agent_and_plain_processes_go_on() {
    let mut server = Server::start_on(Dockerd::own(), "stopped", &[]).await;
    let uid = server.uid().await;
    server.apply("web", web(1, "x")).await;
    server.apply("plain", plain(1)).await;
    server.converged("web").await;
    server.converged("plain").await;
    agent_is(&server, READY).await;

    server.dockerd().stop();
    agent_is(&server, AWAY).await;
    let told_first = told(&server).await;
    assert!(
        told_first
            .iter()
            .any(|it| it.starts_with("Warning DockerUnavailable: ") && it.contains("docker.sock")),
        "{told_first:?}"
    );
    server.apply("plain", plain(3)).await;
    server.converged("plain").await;
    server.apply("late", web(1, "y")).await;
    server.until::<App>("late", "waiting for the engine", waits_for_docker).await;

    server.dockerd().start_again();
    server.converged("late").await;
    server.converged("web").await;
    agent_is(&server, READY).await;
    let told_last = told(&server).await;
    assert!(told_last.iter().any(|it| it.starts_with("Normal AgentReady: ")), "{told_last:?}");
    server.remove("late").await;
    server.assert_one_container_per_task("web", &uid).await;
    for app in ["web", "plain"] {
        server.remove(app).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dockerd_that_hangs_counts_as_away() {
    let mut server = Server::start_on(Dockerd::own(), "hangs", &[]).await;
    server.apply("web", web(1, "x")).await;
    server.converged("web").await;
    agent_is(&server, READY).await;
    server.dockerd().hang();
    agent_is(&server, AWAY).await;
    server.dockerd().go_on();
    agent_is(&server, READY).await;
    server.until::<App>("web", "converged", is_converged).await;
    server.remove("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn machine_without_docker_runs_plain_processes_and_uses_docker_once_it_is_there() {
    let mut server = Server::start_on(Dockerd::own(), "no-docker", &[]).await;
    let uid = server.uid().await;
    // Left behind by nobody knows what: to be swept once it can be.
    let stray = stray(&server, &uid).await;
    server.kill9();
    server.dockerd().stop();
    server.up(&[]).await;
    server.apply("plain", plain(2)).await;
    server.converged("plain").await;
    agent_is(&server, "True AgentReady, False NoDocker").await;
    server.apply("web", web(2, "x")).await;
    server.until::<App>("web", "waiting for the engine", waits_for_docker).await;

    server.kill9();
    server.up(&[]).await;
    server.converged("plain").await;
    server.dockerd().start_again();
    server.converged("web").await;
    agent_is(&server, READY).await;
    server.assert_one_container_per_task("web", &uid).await;
    let left = server.containers(&uid).await;
    assert!(left.iter().all(|it| it.id.as_ref() != Some(&stray)), "swept: {left:#?}");
    for app in ["web", "plain"] {
        server.remove(app).await;
    }
}

/// A container of this installation that no Task owns; its id.
async fn stray(server: &Server, uid: &str) -> String {
    let labels = [
        ("tenure.dev/installation".to_owned(), uid.to_owned()),
        ("MESOS_TASK_ID".to_owned(), "default.gone.0a1b2c3d".to_owned()),
        ("tenure.dev/task".to_owned(), "gone".to_owned()),
    ];
    let body = ContainerCreateBody {
        image: Some(BUSYBOX.to_owned()),
        cmd: Some(vec!["sleep".to_owned(), "1000".to_owned()]),
        labels: Some(labels.into()),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::new().name("stray").build();
    server.docker().create_container(Some(options), body).await.unwrap().id
}
