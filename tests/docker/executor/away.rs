//! dockerd stopped and started again, or not there at all.

use tenure::mesos::embedded::launcher::Launcher;
use tenure::mesos::wire::{Engine, Reason, TaskState};

use crate::agent::{Installation, container, process};
use crate::dockerd::Dockerd;

#[tokio::test]
async fn while_dockerd_is_away_nothing_is_reported_and_then_everything_goes_on() {
    let mut dockerd = Dockerd::own();
    dockerd.busybox().await;
    let installation = Installation::new(dockerd.host());
    let mut agent = installation.agent();
    let before = container("t.before", "trap 'exit 5' TERM; while :; do sleep 0.05; done").launch();
    agent.launcher.launch(before.clone()).await;
    agent.running("t.before").await;

    let operator = agent.env.clone();
    let mut dockerd = operator
        .run_blocking(move || {
            dockerd.stop();
            dockerd
        })
        .await
        .unwrap();
    agent.launcher.launch(container("t.meanwhile", "sleep 600").launch()).await;
    let elsewhere = installation.agent();
    assert!(elsewhere.launcher.adopt(&[before]).await.is_err(), "nothing can be said now");
    assert!(elsewhere.launcher.sweep(&[].into()).await.is_err());
    assert!(agent.is_quiet("t.meanwhile"));
    // dockerd ended the container before it went and may have had the time to say so. If not, the task says why nothing is
    // known of it, and keeps its state.
    let told = agent.matching("t.before", |_| true).await;
    dockerd.start_again();
    let ended = if told.state() == TaskState::Running {
        assert!(told.message().contains("dockerd"), "{}", told.message());
        agent.ended("t.before").await
    } else {
        told
    };
    assert_eq!(ended.state(), TaskState::Failed, "its container ended with dockerd");
    assert!(ended.message().starts_with("exited with status "), "{}", ended.message());
    agent.running("t.meanwhile").await;
    agent.launcher.launch(container("t.after", "exit 0").launch()).await;
    assert_eq!(agent.ended("t.after").await.state(), TaskState::Finished);
}

#[tokio::test]
async fn container_on_a_machine_without_docker_fails_and_says_why_while_processes_run() {
    let folder = tempfile::tempdir().unwrap();
    let host = format!("unix://{}/docker.sock", folder.path().display());
    let installation = Installation::new(&host);
    let mut agent = installation.agent();
    let mut engine = agent.launcher.engine();
    let known = engine.wait_for(|engine| *engine != Engine::Unknown).await.unwrap().clone();
    assert_eq!(known, Engine::Absent { why: format!("nothing listens at {host}") });
    let ended = agent.run(container("t.nowhere", "exit 0").launch()).await;
    assert_eq!((ended.state(), ended.reason()), (TaskState::Failed, Reason::ContainerLaunchFailed));
    assert_eq!(ended.message(), format!("this machine has no Docker engine: nothing listens at {host}"));
    let ended = agent.run(process("t.plain", "exit 0").launch()).await;
    assert_eq!(ended.state(), TaskState::Finished);
}
