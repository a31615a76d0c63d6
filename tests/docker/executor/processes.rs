//! Plain processes under their shims.

use std::time::Duration;

use tenure::executor::logs::{LogLimits, Stream};
use tenure::executor::process::{ProcessId, TaskDir};
use tenure::mesos::embedded::launcher::{Adopted, Launcher};
use tenure::mesos::wire::{Reason, TaskId, TaskState};

use crate::agent::{Installation, process};

/// No dockerd is needed for any of this.
fn installation() -> Installation {
    Installation::new("unix:///nonexistent/docker.sock")
}

fn dir(installation: &Installation, id: &str) -> TaskDir {
    TaskDir::of(&installation.dir.path().join("tasks"), &TaskId::new(id))
}

fn lives(id: &ProcessId) -> bool {
    id.open().unwrap().is_some()
}

#[tokio::test]
async fn the_end_of_a_process_is_reported_with_its_status_and_output() {
    let installation = installation();
    let mut agent = installation.agent();
    let ended =
        agent.run(process("t.ok", r#"echo "$GREETING from $PWD"; echo oops >&2; exit 3"#).launch()).await;
    assert_eq!((ended.state(), ended.message()), (TaskState::Failed, "exited with status 3"));
    let sandbox = dir(&installation, "t.ok").sandbox();
    let said = format!("hello from {}\n", sandbox.display());
    assert_eq!(agent.output("t.ok", Stream::Stdout, None).await, said);
    assert_eq!(agent.output("t.ok", Stream::Stderr, None).await, "oops\n");

    let signalled = agent.run(process("t.signal", "kill -SEGV $$").launch()).await;
    assert_eq!(signalled.message(), "terminated by signal 11 (SIGSEGV)");

    let absent = agent
        .run(
            process("t.absent", "")
                .change(|task| {
                    let command = task.command.as_mut().unwrap();
                    (command.shell, command.value) = (Some(false), Some("/no/such/program".to_owned()));
                })
                .launch(),
        )
        .await;
    assert_eq!((absent.state(), absent.reason()), (TaskState::Failed, Reason::ContainerLaunchFailed));
    assert_eq!(absent.message(), "failed to start /no/such/program: No such file or directory (os error 2)");

    agent.run(process("t.done", "true").launch()).await;
    agent.launcher.remove(&TaskId::new("t.done")).await;
    while dir(&installation, "t.done").path().exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_process_that_closes_its_output_early_still_ends_with_its_own_status() {
    let installation = installation();
    let mut agent = installation.agent();
    let line = "echo first; exec >/dev/null 2>&1; sleep 0.2; exit 3";
    let ended = agent.run(process("t.quiet", line).launch()).await;
    assert_eq!((ended.state(), ended.message()), (TaskState::Failed, "exited with status 3"));
    assert_eq!(agent.output("t.quiet", Stream::Stdout, None).await, "first\n");
}

#[tokio::test]
async fn a_process_is_stopped_with_everything_that_it_started() {
    let installation = installation();
    let mut agent = installation.agent();
    // One child ignores SIGTERM, another has left the group and the session.
    let line = "trap 'exit 0' TERM; (trap '' TERM; sleep 600) & setsid sleep 600 & echo $! > escaped; \
                echo ready; while :; do sleep 0.05; done";
    agent.launcher.launch(process("t.tree", line).launch()).await;
    agent.running("t.tree").await;
    let escaped = dir(&installation, "t.tree").sandbox().join("escaped");
    while std::fs::read_to_string(&escaped).is_ok_and(|pid| pid.is_empty()) || !escaped.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let pid = std::fs::read_to_string(escaped).unwrap().trim().parse().unwrap();
    let escaped = ProcessId::of(pid).unwrap();
    agent.launcher.kill(&TaskId::new("t.tree"), Duration::from_secs(30)).await;
    let killed = agent.ended("t.tree").await;
    assert_eq!(killed.state(), TaskState::Killed, "{}", killed.message());
    assert!(!lives(&escaped), "descendants end with the process");

    agent.launcher.launch(process("t.deaf", "trap '' TERM; while :; do sleep 0.05; done").launch()).await;
    agent.running("t.deaf").await;
    agent.launcher.kill(&TaskId::new("t.deaf"), Duration::from_millis(200)).await;
    assert_eq!(agent.ended("t.deaf").await.message(), "killed as asked: terminated by signal 9 (SIGKILL)");
}

#[tokio::test]
async fn processes_outlive_the_agent_and_are_found_again() {
    let installation = installation();
    let launches = [
        process("t.runs", "sleep 600").launch(),
        process("t.ends", "sleep 0.2; exit 4").launch(),
        process("t.never", "sleep 600").launch(),
    ];
    let mut first = installation.agent();
    for launch in &launches[..2] {
        first.launcher.launch(launch.clone()).await;
        first.running(&launch.task_id().value).await;
    }
    let pids = dir(&installation, "t.runs").pids().unwrap().unwrap();
    first.env.crash();
    drop(first);

    let exit = dir(&installation, "t.ends").exit_file();
    while !exit.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(lives(&pids.process));
    let mut second = installation.agent();
    let adopted = second.adopt(&launches).await;
    let Adopted::Running(running) = &adopted[0] else { panic!("{adopted:?}") };
    assert_eq!(running.state(), TaskState::Running);
    let Adopted::Ended(ended) = &adopted[1] else { panic!("{adopted:?}") };
    assert_eq!(ended.message(), "exited with status 4");
    assert_eq!(adopted[2], Adopted::Missing);

    second.launcher.launch(launches[0].clone()).await;
    second.running("t.runs").await;
    assert_eq!(dir(&installation, "t.runs").pids().unwrap().unwrap(), pids, "not started twice");
    second.launcher.kill(&TaskId::new("t.runs"), Duration::ZERO).await;
    assert_eq!(second.ended("t.runs").await.state(), TaskState::Killed);
    assert!(!lives(&pids.process));
}

#[tokio::test]
async fn a_shim_that_is_killed_takes_its_process_with_it() {
    let installation = installation();
    let mut agent = installation.agent();
    agent.launcher.launch(process("t.orphan", "sleep 600").launch()).await;
    agent.running("t.orphan").await;
    let pids = dir(&installation, "t.orphan").pids().unwrap().unwrap();
    pids.shim.open().unwrap().unwrap().signal(rustix::process::Signal::KILL).unwrap();
    let failed = agent.ended("t.orphan").await;
    assert_eq!(failed.state(), TaskState::Failed);
    assert!(
        failed.message().starts_with("its shim was killed, so its exit status is not known"),
        "{}",
        failed.message()
    );
    while lives(&pids.process) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn output_is_rotated_and_a_sweep_ends_what_nobody_owns() {
    let mut installation = installation();
    installation.logs = LogLimits { file_bytes: 100, files: 2 };
    let mut agent = installation.agent();
    let line = "for i in $(seq 100 199); do echo line $i; sleep 0.002; done; sleep 600";
    agent.launcher.launch(process("t.talks", line).launch()).await;
    agent.running("t.talks").await;
    while !agent.output("t.talks", Stream::Stdout, Some(1)).await.starts_with("line 199") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let kept = agent.output("t.talks", Stream::Stdout, None).await;
    assert!(kept.len() <= 200 && kept.ends_with("line 198\nline 199\n"), "{kept}");

    let pids = dir(&installation, "t.talks").pids().unwrap().unwrap();
    // There is no dockerd, so the sweep cannot be complete; processes come first, once in the life of an agent.
    let again = installation.agent();
    assert!(again.launcher.sweep(&[TaskId::new("t.talks")].into()).await.is_err());
    assert!(lives(&pids.process), "it is owned");
    assert!(again.launcher.sweep(&[].into()).await.is_err());
    assert!(lives(&pids.process), "by now it could be a newer one, of which that sweep knew nothing");
    let once_more = installation.agent();
    assert!(once_more.launcher.sweep(&[].into()).await.is_err());
    assert!(!lives(&pids.process) && !dir(&installation, "t.talks").path().exists());
}
