//! After a crash: what runs is found again, nothing is started twice, and only what is ours is swept.

use std::time::Duration;

use tenure::executor::docker::container_name;
use tenure::executor::logs::Stream;
use tenure::mesos::embedded::launcher::{Adopted, Launch, Launcher};
use tenure::mesos::wire::{TaskId, TaskState};

use crate::agent::{Installation, container};
use crate::dockerd::Dockerd;

fn state(adopted: &Adopted) -> Option<TaskState> {
    match adopted {
        Adopted::Running(status) | Adopted::Ended(status) => Some(status.state()),
        Adopted::Missing => None,
    }
}

#[tokio::test]
async fn containers_are_found_again_running_ended_or_missing() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let installation = Installation::new(dockerd.host());
    let launches: Vec<Launch> = [("t.runs", "sleep 600"), ("t.ends", "exit 4"), ("t.gone", "sleep 600")]
        .map(|(id, line)| container(id, line).bridge().launch())
        .into();
    let mut first = installation.agent();
    for launch in &launches[..2] {
        first.launcher.launch(launch.clone()).await;
    }
    let before = first.running("t.runs").await;
    first.ended("t.ends").await;
    first.env.crash();

    let mut second = installation.agent();
    let adopted = second.adopt(&launches).await;
    assert_eq!(
        adopted.iter().map(state).collect::<Vec<_>>(),
        [Some(TaskState::Running), Some(TaskState::Failed), None]
    );
    let Adopted::Running(after) = &adopted[0] else { panic!("{adopted:?}") };
    assert_eq!(after.container_status, before.container_status, "the same container at the same address");

    second.launcher.launch(launches[0].clone()).await;
    assert_eq!(second.running("t.runs").await.container_status, before.container_status);
    second.launcher.kill(&TaskId::new("t.runs"), Duration::ZERO).await;
    assert_eq!(second.ended("t.runs").await.state(), TaskState::Killed);
    second.sweep(&[]).await;
}

/// Crashes at a seam of the launch, then launches the same task again.
async fn crash_at(seam: &str) {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let installation = Installation::new(dockerd.host());
    let id = format!("t.{seam}");
    let launch = container(&id, "sleep 600").launch();
    let first = installation.agent();
    first.env.crash_at_seam(seam, 1);
    first.launcher.launch(launch.clone()).await;
    // Passed when the node is gone; polled because nothing of a crashed node can tell.
    while !first.env.is_crashed() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut second = installation.agent();
    if second.adopt(std::slice::from_ref(&launch)).await == [Adopted::Missing] {
        second.launcher.launch(launch).await;
        second.running(&id).await;
    }
    let list = bollard::query_parameters::ListContainersOptionsBuilder::new().all(true).build();
    let containers = dockerd.client().list_containers(Some(list)).await.unwrap();
    let name = format!("/{}", container_name(&TaskId::new(&id)));
    let ours = containers.iter().filter(|container| container.names.as_ref().unwrap().contains(&name));
    assert_eq!(ours.count(), 1);
    second.sweep(&[]).await;
}

#[tokio::test]
async fn a_crash_between_create_and_start_starts_the_container_once() {
    crash_at("container-created").await;
}

#[tokio::test]
async fn a_crash_after_the_start_finds_the_container() {
    crash_at("container-started").await;
}

#[tokio::test]
async fn a_sweep_removes_what_nobody_owns_and_nothing_of_others() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let (ours, theirs) = (Installation::new(dockerd.host()), Installation::new(dockerd.host()));
    let (mut mine, mut other) = (ours.agent(), theirs.agent());
    for (agent, id) in [(&mut mine, "t.owned"), (&mut other, "t.theirs")] {
        agent.launcher.launch(container(id, "sleep 600").launch()).await;
        agent.running(id).await;
    }
    mine.launcher.launch(container("t.forgotten", "sleep 600").launch()).await;
    mine.running("t.forgotten").await;

    let again = ours.agent();
    assert_eq!(again.sweep(&["t.owned"]).await, [container_name(&TaskId::new("t.forgotten"))]);
    assert!(again.sweep(&["t.owned"]).await.is_empty(), "a second sweep finds nothing");
    for id in ["t.owned", "t.theirs"] {
        let name = container_name(&TaskId::new(id));
        let found = dockerd.client().inspect_container(&name, None).await.unwrap();
        assert_eq!(found.state.unwrap().running, Some(true), "{id}");
    }

    let stranger = other.run(container("t.owned", "true").launch()).await;
    assert!(
        stranger.message().contains("is taken by a container that is not this task's"),
        "{}",
        stranger.message()
    );
    again.sweep(&[]).await;
    other.sweep(&[]).await;
}

#[tokio::test]
async fn what_is_left_of_a_task_goes_when_its_end_is_recorded() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let mut agent = Installation::new(dockerd.host()).agent();
    let exists = async |id: &str| {
        let name = container_name(&TaskId::new(id));
        dockerd.client().inspect_container(&name, None).await.is_ok()
    };
    agent.run(container("t.done", "true").launch()).await;
    assert!(exists("t.done").await, "kept until then");
    agent.launcher.remove(&TaskId::new("t.done")).await;
    while exists("t.done").await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    agent.run(container("t.failed", "echo why; false").launch()).await;
    agent.launcher.remove(&TaskId::new("t.failed")).await;
    assert_eq!(agent.output("t.failed", Stream::Stdout, None).await, "why\n", "failures can be looked into");
    agent.sweep(&[]).await;
    assert!(!exists("t.failed").await, "until the next start");
}
