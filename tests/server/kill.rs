//! `kill -9` at any moment: nothing is started twice, nothing is left unowned, and what was going on goes on.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use serde_json::json;
use tenure::api::Task;

use crate::harness::{Server, is_running, task_of, web};

/// Every write seam that a rollout of containers passes, in its order.
const SEAMS: [&str; 7] = [
    "planned",
    "bound",
    "agent-journalled",
    "container-created",
    "container-started",
    "status-committed",
    "published",
];

/// Killed between each write and the act that follows it, in the middle of a rollout.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_write_seam_the_server_takes_up_where_it_was() {
    let mut server = Server::start("seams", &[]).await;
    let uid = server.uid().await;
    server.apply("web", web(3, "v0")).await;
    server.converged("web").await;
    for (round, seam) in SEAMS.into_iter().enumerate() {
        for nth in [1, 2] {
            server.kill9();
            server.up(&[("TENURE_CRASH_AT", &format!("{seam}:{nth}"))]).await;
            server.apply_to_the_end("web", web(3, &format!("v{round}-{nth}"))).await;
            let status = server.ended().await;
            assert_eq!(status.signal(), Some(6), "the server passed {seam} {nth} times: {status}");
            server.up(&[]).await;
            server.converged("web").await;
            server.assert_one_container_per_task("web", &uid).await;
        }
    }
    server.remove("web").await;
    server.without_containers(&uid).await;
}

/// Killed at 30 moments of a rollout, each one a little later.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_thirty_moments_of_a_rollout_nothing_runs_twice() {
    let mut server = Server::start("moments", &[]).await;
    let uid = server.uid().await;
    server.apply("web", web(4, "v0")).await;
    server.converged("web").await;
    for moment in 0..30_u64 {
        server.apply("web", web(4, &format!("v{}", moment + 1))).await;
        // Spread over the first three seconds of the rollout; 97 is prime to 1,000.
        tokio::time::sleep(Duration::from_millis(moment * 97 % 1_000 * 3)).await;
        server.kill9();
        server.up(&[]).await;
        assert_no_slot_runs_twice(&server, &uid).await;
    }
    server.converged("web").await;
    server.assert_one_container_per_task("web", &uid).await;
    server.remove("web").await;
    server.without_containers(&uid).await;
}

/// Two containers of one task are never right; two running tasks of one slot only while one replaces the other. (What has
/// ended may still be there: it is swept once dockerd has answered.)
async fn assert_no_slot_runs_twice(server: &Server, uid: &str) {
    let containers = server.containers(uid).await;
    let mut names: Vec<String> = containers.iter().map(task_of).collect();
    names.sort_unstable();
    let mut once = names.clone();
    once.dedup();
    assert_eq!(names, once, "a task has two containers\n{}", server.log_tail());
    let running: Vec<String> = containers.iter().filter(|it| is_running(it)).map(task_of).collect();
    assert!(running.len() <= 4 + 2, "more than instances x 1.5 run: {running:?}\n{}", server.log_tail());
}

/// Plain processes run under a shim that outlives the server.
#[tokio::test(flavor = "multi_thread")]
async fn killed_server_finds_its_plain_processes_again() {
    let mut server = Server::start("plain", &[]).await;
    let spec = |word: &str| {
        json!({
            "instances": 2,
            "cmd": format!("echo {word} $$; exec sleep 100000"),
            "resources": {"cpus": "10m", "memory": "16Mi"},
            "kill": {"gracePeriod": "1s"},
        })
    };
    server.apply("plain", spec("one")).await;
    server.converged("plain").await;
    let before: Vec<Task> = server.tasks("plain").await;
    server.kill9();
    server.up(&[]).await;
    server.converged("plain").await;
    let names = |tasks: &[Task]| tasks.iter().map(|task| task.metadata.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&server.tasks("plain").await), names(&before), "the processes were not adopted");

    server.kill9();
    server.up(&[("TENURE_CRASH_AT", "process-started:1")]).await;
    server.apply_to_the_end("plain", spec("two")).await;
    assert_eq!(server.ended().await.signal(), Some(6));
    server.up(&[]).await;
    server.converged("plain").await;
    server.remove("plain").await;
}
