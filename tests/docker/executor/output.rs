//! What containers wrote.

use futures::StreamExt;
use tenure::executor::docker::container_name;
use tenure::executor::logs::{LogLimits, LogQuery, Stream, TaskLogs};
use tenure::mesos::embedded::launcher::Launcher;
use tenure::mesos::wire::TaskId;

use crate::agent::{Installation, container};
use crate::dockerd::Dockerd;

#[tokio::test]
async fn output_of_a_container_is_read_followed_and_limited() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let mut installation = Installation::new(dockerd.host());
    installation.logs = LogLimits { file_bytes: 2000, files: 2 };
    let mut agent = installation.agent();

    agent.run(container("t.said", "echo out; echo err >&2; echo more").launch()).await;
    assert_eq!(agent.output("t.said", Stream::Stdout, None).await, "out\nmore\n");
    assert_eq!(agent.output("t.said", Stream::Stderr, None).await, "err\n");
    assert_eq!(agent.output("t.said", Stream::Stdout, Some(1)).await, "more\n");

    let talks = "for i in $(seq 1000 1999); do echo line $i; done";
    agent.run(container("t.talks", talks).launch()).await;
    let kept = agent.output("t.talks", Stream::Stdout, None).await;
    assert!(kept.ends_with("line 1999\n") && kept.len() < 4000, "{} bytes", kept.len());

    agent.launcher.launch(container("t.follow", "echo first; sleep 0.3; echo last").launch()).await;
    agent.running("t.follow").await;
    let query = LogQuery { stream: Stream::Stdout, tail_lines: None, follow: true };
    let output = TaskLogs::new(agent.launcher.clone()).read(&TaskId::new("t.follow"), query).await.unwrap();
    let pieces: Vec<_> = output.map(|piece| piece.unwrap()).collect().await;
    assert_eq!(pieces.concat(), b"first\nlast\n");

    agent.launcher.containers().engine.remove(&container_name(&TaskId::new("t.follow"))).await.unwrap();
    let gone =
        TaskLogs::new(agent.launcher.clone()).read(&TaskId::new("t.follow"), query).await.err().unwrap();
    assert_eq!(gone.to_string(), "no output is kept of task t.follow");
    agent.sweep(&[]).await;
}
