//! What a container can do to its executor through the sandbox that they share, and what its own user can do there.

use std::os::unix::fs::MetadataExt;

use tenure::mesos::wire::{SHARED_EXECUTOR, TaskState};

use super::agent::Agent;
use super::{containers, for_executor};
use crate::agent::container;
use crate::dockerd::Dockerd;

#[tokio::test]
async fn a_container_that_puts_links_in_the_place_of_its_output_does_not_lead_the_executor_out_of_the_sandbox()
 {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let agent = Agent::start("e1").await.with("DOCKER_HOST", dockerd.host());
    let mut executor = agent.executor();
    agent.subscription(1).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("written-by-root");
    // More than a file holds, so that it is rotated.
    let script = format!(
        "cd $MESOS_SANDBOX; for name in stdout stderr executor.log; do rm -f $name; ln -s {} $name; done; \
         echo begun >&2; line=$(head -c 10000 /dev/zero | tr '\\0' x); \
         for number in $(seq 1200); do echo $line; done; echo last",
        target.display()
    );
    agent.launch(for_executor(container("t.links", &script).launch().task));
    agent.update_of(TaskState::Finished).await;
    assert!(executor.ended().await.success());
    assert!(!target.exists(), "{} bytes are there", target.metadata().map_or(0, |it| it.len()));
    assert!(agent.output("stdout").ends_with("xxx\nlast\n"), "after a rotation it is a file again");
    assert_eq!(containers(&dockerd, &agent.installation).await, 0);
}

#[tokio::test]
async fn a_log_driver_that_cannot_be_read_is_told_where_the_output_would_be() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let agent = Agent::start("e1").await.with("DOCKER_HOST", dockerd.host());
    let mut executor = agent.executor();
    agent.subscription(1).await;
    let task = container("t.none", "echo out").parameter("log-driver", "none").launch().task;
    agent.launch(for_executor(task));
    agent.update_of(TaskState::Finished).await;
    assert!(executor.ended().await.success());
    let told = agent.output("stderr");
    assert!(told.contains("no output is kept") && told.contains("does not support reading"), "{told}");
}

#[tokio::test]
async fn a_user_of_the_image_reads_what_was_fetched_and_writes_into_the_sandbox_in_both_modes() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    for share in ["", "1"] {
        let agent = Agent::start("e1").await.with("DOCKER_HOST", dockerd.host());
        let agent = agent.with(SHARED_EXECUTOR, share);
        // As agents make it.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o750);
        std::fs::set_permissions(agent.sandbox.path(), mode).unwrap();
        std::fs::write(agent.sandbox.path().join("fetched"), "fetched\n").unwrap();
        let mut executor = agent.executor();
        agent.subscription(1).await;
        let read = if share.is_empty() { "cat fetched" } else { "echo fetched" };
        let script = format!("cd $MESOS_SANDBOX && {read} && echo kept > file && id -u");
        let task = container("t.user", &script).parameter("user", "1000").launch().task;
        agent.launch(for_executor(task));
        agent.update_of(TaskState::Finished).await;
        let folder = if share.is_empty() { "" } else { "tasks/task-t.user/" };
        assert_eq!(agent.output(&format!("{folder}stdout")), "fetched\n1000\n");
        let file = if share.is_empty() { "file".to_owned() } else { format!("{folder}sandbox/file") };
        assert_eq!(agent.output(&file), "kept\n");
        let found = agent.sandbox.path().metadata().unwrap();
        let owner = if share.is_empty() { 1000 } else { 0 };
        assert_eq!((found.mode() & 0o7777, found.uid()), (0o750, owner), "it is nobody else's");
        agent.shut_down();
        assert!(executor.ended().await.success());
    }
}
