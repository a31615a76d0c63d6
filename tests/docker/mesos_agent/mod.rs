//! `tenure-executor` beside the agent's side of its API: real processes and containers, real sockets.

mod agent;
mod authority;
mod leftovers;
mod reach;
mod refusing;
mod secured;
mod shared;

use std::time::Duration;

use bollard::query_parameters::ListContainersOptionsBuilder;
use tenure::executor::docker::{INSTALLATION_LABEL, container_name};
use tenure::mesos::wire::{KillPolicy, Reason, TaskData, TaskId, TaskInfo, TaskState};

use crate::agent::{container, process};
use crate::dockerd::Dockerd;
use agent::Agent;

/// As a scheduler describes it to an executor: the command stands in the data.
fn for_executor(mut task: TaskInfo) -> TaskInfo {
    let command = task.command.take();
    TaskInfo { data: TaskData { command, ..TaskData::default() }.encode(), ..task }
}

fn line(id: &str, line: &str) -> TaskInfo {
    for_executor(process(id, line).launch().task)
}

/// A process that ends when it is asked to.
const POLITE: &str = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";
/// One that does not.
const DEAF: &str = "trap '' TERM; echo ready; while :; do sleep 0.05; done";

#[tokio::test]
async fn a_task_runs_in_the_sandbox_and_the_executor_ends_with_it() {
    let agent = Agent::start("e1").await.with("MESOS_EXECUTOR_AUTHENTICATION_TOKEN", "secret");
    let mut executor = agent.executor();
    let first = agent.subscription(1).await.subscribe.unwrap();
    assert!(first.unacknowledged_tasks.is_empty() && first.unacknowledged_updates.is_empty());
    assert_eq!(agent.authorization().as_deref(), Some("Bearer secret"));

    agent.launch(line("t.1", "echo $MESOS_TASK_ID; echo bad >&2; echo kept > file; env > env; exit 0"));
    let running = agent.update_of(TaskState::Running).await;
    assert_eq!(running.executor_id.unwrap().value, "e1");
    assert!(running.timestamp.unwrap() > 1e9);
    let finished = agent.update().await;
    assert_eq!((finished.state(), finished.message()), (TaskState::Finished, "exited with status 0"));
    assert!(executor.ended().await.success());

    assert_eq!((agent.output("stdout").as_str(), agent.output("stderr").as_str()), ("t.1\n", "bad\n"));
    assert_eq!(agent.output("file"), "kept\n", "it runs in the sandbox");
    assert!(!agent.output("env").contains("secret"), "the executor's own token is not the task's");
    assert!(agent.output("executor.log").contains("subscribed"));
}

#[tokio::test]
async fn a_task_that_fails_is_told_with_its_status_and_the_executor_has_done_its_work() {
    let agent = Agent::start("e1").await;
    let mut executor = agent.executor();
    agent.subscription(1).await;
    agent.launch(line("t.1", "exit 3"));
    let failed = agent.update_of(TaskState::Failed).await;
    assert_eq!((failed.message(), failed.reason()), ("exited with status 3", Reason::CommandExecutorFailed));
    assert!(executor.ended().await.success());
}

#[tokio::test]
async fn while_an_agent_restarts_the_task_runs_on_and_what_was_not_stored_is_told_again() {
    let mut agent = Agent::start("e1").await;
    let mut executor = agent.executor();
    agent.subscription(1).await;
    agent.stores(false);
    agent.launch(line("t.1", POLITE));
    let running = agent.update_of(TaskState::Running).await;

    agent.kill().await;
    // As recorded: nobody listens, then 404, then 503 until the agent has recovered.
    agent.refuse(&[(404, "404 Not Found."), (503, "Agent has not finished recovery")]);
    agent.stores(true);
    agent.listen().await;
    let again = agent.subscription(2).await.subscribe.unwrap();
    assert_eq!(again.unacknowledged_tasks.len(), 1);
    assert_eq!(again.unacknowledged_tasks[0].task_id.value, "t.1");
    let told: Vec<_> = again.unacknowledged_updates.into_iter().map(|update| update.status).collect();
    assert_eq!(told, std::slice::from_ref(&running), "the same update, with the same id");
    assert_eq!(agent.update().await, running);

    agent.kill().await;
    agent.listen().await;
    let third = agent.subscription(3).await.subscribe.unwrap();
    assert!(third.unacknowledged_tasks.is_empty() && third.unacknowledged_updates.is_empty());

    agent.kill_task("t.1", None);
    assert_eq!(agent.update().await.state(), TaskState::Killing);
    let killed = agent.update().await;
    assert_eq!(
        (killed.state(), killed.message()),
        (TaskState::Killed, "killed as asked: exited with status 7")
    );
    assert!(executor.ended().await.success());
}

#[tokio::test]
async fn an_end_that_came_while_the_agent_was_away_is_told_when_it_is_back() {
    let mut agent = Agent::start("e1").await;
    let mut executor = agent.executor();
    agent.subscription(1).await;
    agent.launch(line("t.1", "while [ ! -e go ]; do sleep 0.05; done; exit 5"));
    agent.update_of(TaskState::Running).await;
    agent.kill().await;
    std::fs::write(agent.sandbox.path().join("go"), "").unwrap();
    let ended = agent.sandbox.path().join(".tenure/task-t.1/exit.json");
    while !ended.exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    agent.listen().await;
    assert_eq!(agent.update_of(TaskState::Failed).await.message(), "exited with status 5");
    assert!(executor.ended().await.success());
}

#[tokio::test]
async fn without_its_agent_for_too_long_or_without_recovery_the_task_is_ended() {
    for (name, value) in [("MESOS_RECOVERY_TIMEOUT", "100ms"), ("MESOS_CHECKPOINT", "0")] {
        let mut agent = Agent::start("e1").await.with(name, value);
        let mut executor = agent.executor();
        agent.subscription(1).await;
        agent
            .launch(line("t.1", "trap 'touch asked; exit 0' TERM; echo ready; while :; do sleep 0.05; done"));
        agent.update_of(TaskState::Running).await;
        agent.kill().await;
        assert_eq!(executor.ended().await.code(), Some(1), "{name}={value}");
        assert!(agent.sandbox.path().join("asked").exists(), "it was asked to end");
        assert!(agent.output("stderr").contains("no agent for"), "{}", agent.output("stderr"));
    }
}

#[tokio::test]
async fn a_deaf_task_is_killed_after_the_grace_of_its_kill_or_of_its_own_policy() {
    let policy = |seconds: u64| KillPolicy { grace_period: Some(Duration::from_secs(seconds).into()) };
    // Longer than the test's patience where another grace is to count.
    for (own, order) in [(Some(1000), Some(Duration::ZERO)), (Some(0), None)] {
        let agent = Agent::start("e1").await;
        let mut executor = agent.executor();
        agent.subscription(1).await;
        agent.launch(TaskInfo { kill_policy: own.map(policy), ..line("t.1", DEAF) });
        agent.update_of(TaskState::Running).await;
        agent.kill_task("t.1", order);
        agent.kill_task("t.1", Some(Duration::from_secs(1000)));
        agent.kill_task("t.none", None);
        let killed = agent.update_of(TaskState::Killed).await;
        assert_eq!(killed.message(), "killed as asked: terminated by signal 9 (SIGKILL)");
        assert!(executor.ended().await.success());
    }
}

#[tokio::test]
async fn shutdown_ends_the_task_within_the_agents_grace_and_tells_it() {
    let agent = Agent::start("e1").await.with("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "2secs");
    let mut executor = agent.executor();
    agent.subscription(1).await;
    let policy = KillPolicy { grace_period: Some(Duration::from_secs(1000).into()) };
    agent.launch(TaskInfo { kill_policy: Some(policy), ..line("t.1", DEAF) });
    agent.update_of(TaskState::Running).await;
    agent.shut_down();
    agent.update_of(TaskState::Killed).await;
    assert!(executor.ended().await.success());
}

#[tokio::test]
async fn what_this_executor_does_not_run_is_refused_with_an_update() {
    let agent = Agent::start("e1").await;
    let mut executor = agent.executor();
    agent.subscription(1).await;
    agent.launch_group(vec![line("t.a", "true"), line("t.b", "true")]);
    for id in ["t.a", "t.b"] {
        let failed = agent.update().await;
        assert_eq!((failed.task_id.value.as_str(), failed.state()), (id, TaskState::Failed));
        assert!(failed.message().starts_with("LAUNCH_GROUP is not supported"), "{}", failed.message());
    }
    assert!(executor.ended().await.success());

    let agent = Agent::start("e2").await;
    let mut executor = agent.executor();
    agent.subscription(1).await;
    agent.launch(line("t.1", POLITE));
    agent.update_of(TaskState::Running).await;
    agent.launch(line("t.1", "never started twice"));
    agent.launch(line("t.2", "true"));
    let failed = agent.update().await;
    assert_eq!((failed.task_id.value.as_str(), failed.state()), ("t.2", TaskState::Failed));
    assert_eq!(failed.message(), "this executor runs one task, and that is t.1");
    agent.kill_task("t.1", None);
    agent.update_of(TaskState::Killed).await;
    assert!(executor.ended().await.success());
}

#[tokio::test]
async fn an_agent_that_has_forgotten_the_executor_ends_it_and_its_task() {
    let mut agent = Agent::start("e1").await;
    let mut executor = agent.executor();
    agent.subscription(1).await;
    agent.launch(line("t.1", "trap 'touch asked; exit 0' TERM; echo ready; while :; do sleep 0.05; done"));
    agent.update_of(TaskState::Running).await;
    agent.kill().await;
    agent.refuse(&[(400, "Executor cannot be found")]);
    agent.listen().await;
    assert_eq!(executor.ended().await.code(), Some(1));
    assert!(agent.sandbox.path().join("asked").exists());
    assert!(agent.output("stderr").contains("400: Executor cannot be found"), "{}", agent.output("stderr"));
}

#[tokio::test]
async fn an_environment_that_is_no_agents_is_named() {
    let agent = Agent::start("e1").await.with("MESOS_AGENT_ENDPOINT", "nowhere");
    assert_eq!(agent.executor().ended().await.code(), Some(1));
    assert_eq!(agent.output("stderr"), "tenure-executor: MESOS_AGENT_ENDPOINT=nowhere: wanted HOST:PORT\n");
}

async fn containers(dockerd: &Dockerd, installation: &str) -> usize {
    let filters = [("label", vec![format!("{INSTALLATION_LABEL}={installation}")])].into_iter().collect();
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    dockerd.client().list_containers(Some(options)).await.unwrap().len()
}

#[tokio::test]
async fn a_container_sees_the_sandbox_its_output_is_kept_there_and_nothing_else_is_left_of_it() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let agent = Agent::start("e1").await.with("DOCKER_HOST", dockerd.host());
    let mut executor = agent.executor();
    agent.subscription(1).await;
    let script = "echo out; echo err >&2; echo kept > $MESOS_SANDBOX/file; \
                  while [ ! -e $MESOS_SANDBOX/go ]; do sleep 0.05; done; echo last";
    agent.launch(for_executor(container("t.sandbox", script).launch().task));
    let running = agent.update_of(TaskState::Running).await;
    let told = running.container_status.unwrap();
    assert_eq!((told.container_id, told.executor_pid), (None, None), "the agent fills them in");
    let name = container_name(&TaskId::new("t.sandbox"));
    let found = dockerd.client().inspect_container(&name, None).await.unwrap();
    let labels = found.config.unwrap().labels.unwrap();
    assert_eq!(labels["tenure.dev/installation"], agent.installation);
    assert_eq!(labels["MESOS_TASK_ID"], "t.sandbox");

    let resident = executor.resident_kib();
    println!("resident memory beside a container: {resident} KiB");
    assert!(std::env::var_os("TENURE_TEST_EXECUTOR").is_none() || resident < 5 << 10, "{resident} KiB");

    std::fs::write(agent.sandbox.path().join("go"), "").unwrap();
    assert_eq!(agent.update().await.state(), TaskState::Finished);
    assert!(executor.ended().await.success());
    assert_eq!((agent.output("stdout").as_str(), agent.output("stderr").as_str()), ("out\nlast\n", "err\n"));
    assert_eq!(agent.output("file"), "kept\n");
    assert_eq!(containers(&dockerd, &agent.installation).await, 0);
}

#[tokio::test]
async fn a_container_whose_executor_was_killed_makes_room_for_the_next_executor_of_the_installation() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let dead = Agent::start("e1").await.with("DOCKER_HOST", dockerd.host());
    let mut executor = dead.executor();
    dead.subscription(1).await;
    let port = crate::dockerd::free_port();
    let task = |id: &str| for_executor(container(id, "sleep 600").published(port, 80).launch().task);
    dead.launch(task("t.dead"));
    dead.update_of(TaskState::Running).await;
    let guard = rustix::process::Pid::from_raw(dead.guard()).unwrap();
    rustix::process::kill_process(guard, rustix::process::Signal::KILL).unwrap();
    executor.kill().await;
    assert_eq!(containers(&dockerd, &dead.installation).await, 1, "Docker keeps it");

    // It sees no signs of theirs, as on an agent whose own container was made anew.
    let mut stranger = Agent::start("e2").await.with("DOCKER_HOST", dockerd.host());
    let mut executor = stranger.executor();
    stranger.subscription(1).await;
    stranger.launch(task("t.stranger"));
    let failed = stranger.update_of(TaskState::Failed).await;
    assert!(failed.message().contains("port is already allocated"), "{}", failed.message());
    assert!(executor.ended().await.success());

    stranger.installation.clone_from(&dead.installation);
    let mut executor = stranger.executor();
    stranger.subscription(2).await;
    stranger.launch(task("t.next"));
    stranger.update_of(TaskState::Running).await;
    assert_eq!(containers(&dockerd, &dead.installation).await, 1, "the dead one's is gone");
    stranger.shut_down();
    stranger.update_of(TaskState::Killed).await;
    assert!(executor.ended().await.success());
    assert_eq!(containers(&dockerd, &dead.installation).await, 0);
}
