//! An executor of many tasks.

use std::time::Duration;

use http::{Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tenure::env::Env;
use tenure::mesos::wire::{SHARED_EXECUTOR, TaskState};
use tokio::net::UnixListener;

use super::agent::Agent;
use super::{POLITE, for_executor, line};
use crate::agent::container;

/// Of so many tasks that have ended the output is kept.
const KEPT: usize = 20;

/// A dockerd that has no container of any name.
async fn empty_dockerd(env: &Env, listener: UnixListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = service_fn(|_| async {
            Response::builder().status(StatusCode::NOT_FOUND).body(Empty::<Bytes>::new())
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        env.spawn("dockerd connection", async move {
            // Whoever asked may go.
            let _over = connection.await;
        });
    }
}

#[tokio::test]
async fn while_dockerd_is_away_a_shared_executor_goes_on_and_afterwards_it_removes_what_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    // There is one, and nobody listens.
    drop(UnixListener::bind(&socket).unwrap());
    let agent = Agent::start("all").await.with(SHARED_EXECUTOR, "1");
    let agent = agent.with("DOCKER_HOST", &format!("unix://{}", socket.display()));
    let mut executor = agent.executor();
    agent.subscription(1).await;
    for number in 0..KEPT + 2 {
        let id = format!("t.{number}");
        agent.launch(for_executor(container(&id, "sleep 600").launch().task));
        agent.kill_task(&id, None);
        agent.update_of(TaskState::Killed).await;
    }
    agent.launch(line("t.process", POLITE));
    assert_eq!(agent.update_of(TaskState::Running).await.task_id.value, "t.process");

    let folders = || std::fs::read_dir(agent.sandbox.path().join("tasks")).unwrap().count();
    assert_eq!(folders(), KEPT + 3);
    std::fs::remove_file(&socket).unwrap();
    let (env, listener) = (Env::system().unwrap(), UnixListener::bind(&socket).unwrap());
    let node = env.clone();
    env.spawn("dockerd", async move { empty_dockerd(&node, listener).await });
    while folders() > KEPT + 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    agent.kill_task("t.process", None);
    agent.update_of(TaskState::Killed).await;
    agent.shut_down();
    assert!(executor.ended().await.success());
}

#[tokio::test]
async fn an_executor_whose_only_launch_was_lost_ends_after_a_while() {
    let mut agent = Agent::start("e1").await.with("TENURE_EXECUTOR_IDLE_MAX", "2secs");
    // For about five seconds: while the agent is away nothing can come, and nothing ends.
    agent.refuse(&[(503, "Agent has not finished recovery"); 20]);
    let mut executor = agent.executor();
    agent.subscription(1).await;
    agent.kill().await;
    agent.launch(line("t.lost", POLITE));
    agent.listen().await;
    let again = agent.subscription(2).await.subscribe.unwrap();
    assert!(again.unacknowledged_tasks.is_empty());
    assert!(executor.ended().await.success());
    assert!(agent.output("executor.log").contains("the agent has no task for it"));
}

#[tokio::test]
async fn a_shared_executor_is_not_idle_while_it_removes_what_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    drop(UnixListener::bind(&socket).unwrap());
    let agent =
        Agent::start("all").await.with(SHARED_EXECUTOR, "1").with("TENURE_EXECUTOR_IDLE_MAX", "2secs");
    let agent = agent.with("DOCKER_HOST", &format!("unix://{}", socket.display()));
    let mut executor = agent.executor();
    agent.subscription(1).await;
    agent.launch(for_executor(container("t.ended", "sleep 600").launch().task));
    agent.kill_task("t.ended", None);
    agent.update_of(TaskState::Killed).await;
    // Longer than it would be idle: there is no sign by which one sees that it does not go.
    tokio::time::sleep(Duration::from_secs(4)).await;
    agent.launch(line("t.next", POLITE));
    assert_eq!(agent.update_of(TaskState::Running).await.task_id.value, "t.next");
    agent.shut_down();
    agent.update_of(TaskState::Killed).await;
    assert!(executor.ended().await.success());
}
