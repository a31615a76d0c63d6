//! `tenure exec` on a server that does not lead: it passes the line on to the one that does.

use std::process::Stdio;

use serde_json::{Value, json};
use tenure::api::App;
use tokio::io::AsyncReadExt as _;

use crate::dockerd::Dockerd;
use crate::etcd::Etcd;
use crate::exec::{app, at_a_terminal, exec, pipes, task_of, tenure};
use crate::harness::{Server, curl, port_block};
use crate::mesos::Mesos;
use crate::replicas::second;

/// Who had a command run beside what, as the audit log of `server` tells it.
fn audited(server: &Server) -> Vec<String> {
    let text = std::fs::read_to_string(server.data().join("audit/audit.log")).unwrap_or_default();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let execs = events.filter(|it| it["objectRef"]["subresource"] == "exec");
    execs
        .map(|it| {
            format!("{} {} {}", it["user"]["username"], it["objectRef"]["name"], it["responseStatus"]["code"])
        })
        .collect()
}

async fn leads(server: &Server) -> bool {
    server.metrics().await.contains("tenure_leader 1\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_lead_passes_commands_on_to_the_one_that_does() {
    let (etcd, work) = (Etcd::start().await, tempfile::tempdir().unwrap());
    let ports = port_block();
    let ports = format!("ports:[{ports}-{}]", ports + 99);
    let place = work.path().to_str().unwrap();
    let mesos = Mesos::start(&["--agents", "1", "--work-dir", place, "--agent-resources", &ports]).await;
    let (store, masters) = (etcd.url(), mesos.url());
    let flags = ["--store", &store, "--mesos", &masters];
    let mut first = Server::prepare(Dockerd::start(), "standby", &flags).await;
    first.up(&[]).await;
    first.logged("leading").await;
    let mut standby = second(&first, "standby", &flags).await;
    first.apply("plain", app(None)).await;
    let task = task_of(&first, "plain").await.metadata.name.unwrap();
    assert!(leads(&first).await && !leads(&standby).await);

    pipes(&standby, &task).await;
    at_a_terminal(&standby, &task).await;
    let told = audited(&standby);
    assert!(told.len() >= 5 && told.contains(&format!("\"admin\" \"{task}\" 101")), "{told:?}");
    assert_eq!(audited(&first), [""; 0], "they came in elsewhere");
    // Whoever is no server of the installation is not let in by that door.
    let told = curl(&format!("{}/peers/exec", first.url()), &["--request", "POST"]).await;
    assert!(told.contains("Unauthorized"), "{told}");
    // What the leader refuses is refused in its words.
    let mut huge = app(None);
    huge["resources"]["cpus"] = json!(4000);
    first.apply("stuck", huge).await;
    let begun = |app: &App| app.status.as_ref().is_some_and(|status| status.launched >= 1);
    first.until::<App>("stuck", "begun", begun).await;
    let stuck = first.tasks("stuck").await[0].metadata.name.clone().unwrap();
    let refused = exec(&standby, &[], &stuck, &["true"], "").await;
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("the task has not been placed yet"), "{why}");

    // A line ends with the leader, and there is none until somebody leads.
    let mut child = tenure(&standby, &["exec", &task, "--", "sh", "-c", "echo there; exec sleep 1000"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut there = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut there).await.unwrap();
    first.kill9();
    let ended = child.wait_with_output().await.unwrap();
    let why = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success() && why.contains("the line to the command broke"), "{why}");
    let refused = exec(&standby, &[], &task, &["true"], "").await;
    let why = String::from_utf8(refused.stderr).unwrap();
    let through = "executors are reached through the leader, ";
    assert!(
        why.contains(through) && why.contains(&first.url()) && why.contains("Connection refused"),
        "{why}"
    );
    standby.kill9();
}
