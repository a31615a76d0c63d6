//! Executors that are killed, and what becomes of what they ran.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tenure::mesos::wire::{TaskInfo, TaskState};

use super::agent::{Agent, Executor};
use super::{DEAF, POLITE, containers, for_executor, line};
use crate::agent::container;
use crate::dockerd::Dockerd;

fn sleeper(id: &str) -> TaskInfo {
    for_executor(container(id, "sleep 600").launch().task)
}

/// An executor beside its running container.
async fn begun(id: &str, dockerd: &Dockerd) -> (Agent, Executor) {
    let agent = Agent::start(id).await.with("DOCKER_HOST", dockerd.host());
    let executor = agent.executor();
    agent.subscription(1).await;
    agent.launch(sleeper(&format!("t.{id}")));
    agent.update_of(TaskState::Running).await;
    (agent, executor)
}

async fn until_none_is_left(dockerd: &Dockerd, installation: &str) {
    let gone = async {
        while containers(dockerd, installation).await > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("the container is ended");
}

/// Waits until no sign of an executor of `agent` is left.
async fn until_no_sign_is_left(agent: &Agent) {
    let gone = async {
        while !agent.signs().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("the lock goes");
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_container_whose_executor_was_killed_is_ended_though_nobody_else_is_there() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let (agent, mut executor) = begun("alone", &dockerd).await;
    executor.kill().await;
    until_none_is_left(&dockerd, &agent.installation).await;
    until_no_sign_is_left(&agent).await;
    assert!(agent.output("stderr").contains("its executor is dead"), "{}", agent.output("stderr"));
}

#[tokio::test]
async fn it_is_ended_also_when_everything_in_the_executors_cgroup_and_sandbox_goes_with_it() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let agent = Agent::start("caged").await.with("DOCKER_HOST", dockerd.host());
    let cgroup = Cgroup::make(&agent.installation);
    let executor = agent.executor();
    agent.subscription(1).await;
    cgroup.take(executor.pid());
    agent.launch(sleeper("t.caged"));
    agent.update_of(TaskState::Running).await;
    std::fs::remove_dir_all(agent.sandbox.path()).unwrap();
    // As the launcher `linux` does it.
    for pid in cgroup.processes() {
        kill(pid);
    }
    until_none_is_left(&dockerd, &agent.installation).await;
}

#[tokio::test]
async fn with_its_guard_and_its_lock_gone_any_other_executor_of_the_installation_ends_it() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let (dead, mut executor) = begun("dead", &dockerd).await;
    kill(dead.guard());
    executor.kill().await;
    std::fs::remove_dir_all(dead.locks.path()).unwrap();
    std::fs::remove_dir_all(dead.sandbox.path()).unwrap();
    assert_eq!(containers(&dockerd, &dead.installation).await, 1, "Docker keeps it");

    let mut other = Agent::start("other").await.with("DOCKER_HOST", dockerd.host());
    other = other.with("TENURE_EXECUTOR_SWEEP", "100ms");
    other.installation.clone_from(&dead.installation);
    let (live, mut its) = begun("live", &dockerd).await;
    let mut executor = other.executor();
    other.subscription(1).await;
    other.launch(line("t.process", POLITE));
    other.update_of(TaskState::Running).await;
    until_none_is_left(&dockerd, &dead.installation).await;
    assert_eq!(
        containers(&dockerd, &live.installation).await,
        1,
        "another installation's is none of its business"
    );
    other.shut_down();
    live.shut_down();
    assert!(executor.ended().await.success() && its.ended().await.success());
    assert_eq!(live.signs(), [] as [PathBuf; 0], "who leaves nothing takes its lock along");
}

#[tokio::test]
async fn the_sign_of_a_dead_executor_goes_with_its_last_container_also_when_its_guard_is_dead() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let (dead, mut executor) = begun("dead", &dockerd).await;
    kill(dead.guard());
    executor.kill().await;
    assert_eq!(dead.signs().len(), 1);
    let mut other = Agent::start("other").await.with("DOCKER_HOST", dockerd.host());
    other = other.with("TENURE_EXECUTOR_SWEEP", "100ms");
    other = other.with("TENURE_EXECUTOR_LOCKS", dead.locks.path().to_str().unwrap());
    other.installation.clone_from(&dead.installation);
    let mut executor = other.executor();
    other.subscription(1).await;
    other.launch(line("t.process", POLITE));
    other.update_of(TaskState::Running).await;
    until_none_is_left(&dockerd, &dead.installation).await;
    until_no_sign_is_left(&dead).await;
    other.shut_down();
    assert!(executor.ended().await.success());
}

#[tokio::test]
async fn it_is_ended_also_where_nobody_may_write_the_folder_for_locks() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let agent = Agent::start("nowhere").await.with("DOCKER_HOST", dockerd.host());
    let agent = agent.with("TENURE_EXECUTOR_LOCKS", "/proc/nowhere");
    let mut executor = agent.executor();
    agent.subscription(1).await;
    agent.launch(sleeper("t.nowhere"));
    agent.update_of(TaskState::Running).await;
    executor.kill().await;
    until_none_is_left(&dockerd, &agent.installation).await;
    assert!(agent.output("executor.log").contains("the lock is kept in the sandbox"));
}

#[tokio::test]
async fn a_process_ends_with_its_executor() {
    for script in [POLITE, DEAF] {
        let agent = Agent::start("e1").await;
        let mut executor = agent.executor();
        agent.subscription(1).await;
        agent.launch(line("t.1", &format!("sleep 600 & echo $! > pid; {script}")));
        agent.update_of(TaskState::Running).await;
        let written = agent.sandbox.path().join("pid");
        while std::fs::read_to_string(&written).unwrap_or_default().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let child = PathBuf::from("/proc").join(agent.output("pid").trim());
        executor.kill().await;
        let over = async {
            while child.exists() || !agent.sandbox.path().join(".tenure/task-t.1/exit.json").exists() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), over).await.expect("it ends");
        assert_eq!(agent.signs(), [] as [PathBuf; 0], "nothing of it is left in the machine's folder");
    }
}

/// A group of processes that is frozen and killed as one: of the first version with Mesos's launcher, else of the second.
struct Cgroup(PathBuf);

impl Cgroup {
    fn make(name: &str) -> Cgroup {
        let freezer = Path::new("/sys/fs/cgroup/freezer");
        let root = if freezer.exists() { freezer } else { Path::new("/sys/fs/cgroup") };
        let path = root.join(format!("tenure-test-{name}"));
        std::fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}: run as root", path.display()));
        Cgroup(path)
    }

    fn take(&self, pid: i32) {
        std::fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
    }

    fn processes(&self) -> Vec<i32> {
        let pids = std::fs::read_to_string(self.0.join("cgroup.procs")).unwrap();
        pids.lines().map(|pid| pid.parse().unwrap()).collect()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A test that failed may have left processes in it.
        let _busy = std::fs::remove_dir(&self.0);
    }
}
