//! Containers: run, ended, killed, refused.

use std::time::Duration;

use tenure::executor::docker::container_name;
use tenure::mesos::embedded::launcher::Launcher;
use tenure::mesos::wire::{Reason, TaskData, TaskId, TaskState, VolumeMode};

use crate::agent::{Installation, container};
use crate::dockerd::{Dockerd, free_port};

#[tokio::test]
async fn the_end_of_a_container_is_reported_with_its_status() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let installation = Installation::new(dockerd.host());
    let mut agent = installation.agent();

    let greeted = agent.run(container("t.ok", r#"test "$GREETING" = hello"#).launch()).await;
    assert_eq!((greeted.state(), greeted.message()), (TaskState::Finished, "exited with status 0"));

    agent.launcher.launch(container("t.bad", "exit 3").launch()).await;
    let running = agent.running("t.bad").await;
    assert!(!running.container_status.unwrap().container_id.unwrap().value.is_empty());
    let failed = agent.ended("t.bad").await;
    assert_eq!((failed.state(), failed.message()), (TaskState::Failed, "exited with status 3"));
    assert_eq!(failed.reason(), Reason::CommandExecutorFailed);

    let absent = agent
        .run(
            container("t.absent", "")
                .change(|task| {
                    let command = task.command.as_mut().unwrap();
                    (command.shell, command.value) = (Some(false), None);
                    command.arguments = vec!["/no/such/program".to_owned()];
                })
                .launch(),
        )
        .await;
    // Docker's init starts before the program does, so this is an exit and not a failed start.
    assert_eq!(
        (absent.state(), absent.message()),
        (TaskState::Failed, "exited with status 127 (command not found)")
    );

    agent.sweep(&[]).await;
}

#[tokio::test]
async fn a_container_is_asked_to_stop_and_then_made_to() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let installation = Installation::new(dockerd.host());
    let mut agent = installation.agent();

    let polite = "trap 'exit 7' TERM; while :; do sleep 0.05; done";
    agent.launcher.launch(container("t.polite", polite).launch()).await;
    agent.running("t.polite").await;
    agent.launcher.kill(&TaskId::new("t.polite"), Duration::from_secs(30)).await;
    let killed = agent.ended("t.polite").await;
    assert_eq!(killed.state(), TaskState::Killed);
    assert_eq!(killed.message(), "killed as asked: exited with status 7");

    let deaf = "trap '' TERM; while :; do sleep 0.05; done";
    agent.launcher.launch(container("t.deaf", deaf).launch()).await;
    agent.running("t.deaf").await;
    agent.launcher.kill(&TaskId::new("t.deaf"), Duration::from_millis(300)).await;
    let killed = agent.ended("t.deaf").await;
    assert_eq!(killed.message(), "killed as asked: exited with status 137 (signal 9, SIGKILL)");

    agent.launcher.kill(&TaskId::new("t.never"), Duration::ZERO).await;
    assert_eq!(agent.ended("t.never").await.state(), TaskState::Killed);
    agent.sweep(&[]).await;
}

#[tokio::test]
async fn an_image_that_does_not_exist_is_named() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let mut agent = Installation::new(dockerd.host()).agent();

    let never = container("t.never", "true").image("tenure-test/absent:1").change(|task| {
        task.data = TaskData { never_pull: true, ..TaskData::default() }.encode();
    });
    let failed = agent.run(never.launch()).await;
    let words = "image tenure-test/absent:1 is not on this machine and pullPolicy is Never";
    assert_eq!((failed.state(), failed.message()), (TaskState::Failed, words));
    assert_eq!(failed.reason(), Reason::ContainerLaunchFailed);

    // Nothing listens there: the registry cannot be asked, and its name is in the words.
    let absent = container("t.absent", "true").image("127.0.0.1:1/absent:1");
    let failed = agent.run(absent.launch()).await;
    assert_eq!(failed.state(), TaskState::Failed);
    assert!(
        failed.message().starts_with("failed to pull image 127.0.0.1:1/absent:1: "),
        "{}",
        failed.message()
    );
}

#[tokio::test]
async fn a_host_port_that_is_taken_fails_the_second_task() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let mut agent = Installation::new(dockerd.host()).agent();
    let port = free_port();

    agent.launcher.launch(container("t.first", "sleep 600").published(port, 80).launch()).await;
    let first = agent.running("t.first").await;
    assert!(first.container_status.unwrap().ip().is_some(), "a container on the bridge has an address");

    let second = agent.run(container("t.second", "sleep 600").published(port, 80).launch()).await;
    assert_eq!((second.state(), second.reason()), (TaskState::Failed, Reason::ContainerLaunchFailed));
    assert!(
        second.message().contains(&format!("{port} failed: port is already allocated")),
        "{}",
        second.message()
    );
    agent.sweep(&[]).await;
}

#[tokio::test]
async fn a_container_killed_or_removed_by_hand_is_reported() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let mut agent = Installation::new(dockerd.host()).agent();
    for id in ["t.killed", "t.removed"] {
        agent.launcher.launch(container(id, "sleep 600").launch()).await;
        agent.running(id).await;
    }
    let (killed, removed) = (TaskId::new("t.killed"), TaskId::new("t.removed"));
    dockerd.client().kill_container(&container_name(&killed), None).await.unwrap();
    let failed = agent.ended("t.killed").await;
    assert_eq!(failed.state(), TaskState::Failed);
    assert_eq!(failed.message(), "exited with status 137 (signal 9, SIGKILL)");

    let force = bollard::query_parameters::RemoveContainerOptionsBuilder::new().force(true).build();
    dockerd.client().remove_container(&container_name(&removed), Some(force)).await.unwrap();
    assert_eq!(agent.ended("t.removed").await.state(), TaskState::Failed);
    agent.sweep(&[]).await;
}

#[tokio::test]
async fn volumes_are_mounted_and_memory_is_a_limit() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let mut agent = Installation::new(dockerd.host()).agent();
    let folder = tempfile::tempdir().unwrap();
    let volume = tenure::mesos::wire::Volume {
        container_path: "/data".to_owned(),
        host_path: Some(folder.path().to_str().unwrap().to_owned()),
        mode: VolumeMode::Rw.wire(),
        ..Default::default()
    };
    let writes = container("t.writes", "echo kept > /data/file && echo kept > /named/file")
        .parameter("volume", "t-named:/named")
        .change(|task| task.container.as_mut().unwrap().volumes.push(volume));
    let finished = agent.run(writes.launch()).await;
    assert_eq!(finished.state(), TaskState::Finished, "{}", finished.message());
    assert_eq!(std::fs::read_to_string(folder.path().join("file")).unwrap(), "kept\n");

    let reads = container("t.reads", "grep kept /named/file").parameter("volume", "t-named:/named");
    assert_eq!(agent.run(reads.launch()).await.state(), TaskState::Finished);

    let greedy = agent.run(container("t.greedy", "exec tail /dev/zero").launch()).await;
    assert_eq!(greedy.reason(), Reason::ContainerLimitationMemory, "{}", greedy.message());

    let unknown = agent.run(container("t.unknown", "true").parameter("volumes", "x:/y").launch()).await;
    assert_eq!(unknown.message(), "unknown docker parameter volumes; did you mean volume?");
    agent.sweep(&[]).await;
    let now = bollard::query_parameters::RemoveVolumeOptionsBuilder::new().build();
    dockerd.client().remove_volume("t-named", Some(now)).await.unwrap();
}
