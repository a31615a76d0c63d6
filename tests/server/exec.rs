//! `tenure exec` into real containers and processes: of this machine, and on a Mesos whose agents run our executor.

use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use kube::api::DeleteParams;
use serde_json::{Value, json};
use tenure::api::{App, Task};
use tenure::executor::exec::frames::Size;
use tenure::executor::exec::terminal::Terminal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::dockerd::Dockerd;
use crate::harness::{Server, curl, is_live, port_block};
use crate::mesos::{Mesos, log_of};

/// No command here takes long; one that hangs is a failure.
const COMMAND_MAX: Duration = Duration::from_secs(60);

pub(crate) fn app(image: Option<&str>) -> Value {
    let mut spec = json!({
        "instances": 1, "cmd": "echo started; exec sleep 1000", "resources": {"cpus": "100m", "memory": "32Mi"},
        "env": [{"name": "WORD", "value": "from the task"}], "kill": {"gracePeriod": "1s"},
    });
    if let Some(image) = image {
        spec["container"] = json!({"image": image, "network": "bridge"});
    }
    spec
}

pub(crate) fn tenure(server: &Server, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
    command.args(arguments).env("KUBECONFIG", server.kubeconfig()).kill_on_drop(true);
    command
}

/// Runs `exec` without a terminal, with this typed.
pub(crate) async fn exec(
    server: &Server,
    flags: &[&str],
    task: &str,
    command: &[&str],
    typed: &str,
) -> Output {
    let arguments = [&["exec"], flags, &[task, "--"], command].concat();
    let mut child = tenure(server, &arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(typed.as_bytes()).await.unwrap();
    drop(stdin);
    let ended = tokio::time::timeout(COMMAND_MAX, child.wait_with_output()).await;
    ended.unwrap_or_else(|_| panic!("tenure {arguments:?} hangs\n{}", server.log_tail())).unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The one live task of an App.
pub(crate) async fn task_of(server: &Server, app: &str) -> Task {
    server.converged(app).await;
    server.tasks(app).await.into_iter().find(is_live).unwrap()
}

/// All that can be done without a terminal.
pub(crate) async fn pipes(server: &Server, task: &str) {
    let both = exec(server, &[], task, &["sh", "-c", "echo $WORD; echo oops >&2; exit 3"], "").await;
    assert_eq!((text(&both.stdout), text(&both.stderr)), ("from the task\n", "oops\n"), "{both:?}");
    assert_eq!(both.status.code(), Some(3));
    // It ends because what is typed does.
    let cat = exec(server, &["-i"], &format!("task/{task}"), &["cat"], "one\ntwo\n").await;
    assert_eq!((text(&cat.stdout), cat.status.code()), ("one\ntwo\n", Some(0)), "{cat:?}");
    let much = exec(
        server,
        &[],
        task,
        &["sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done"],
        "",
    )
    .await;
    let lines: Vec<&str> = text(&much.stdout).lines().collect();
    assert_eq!((lines.len(), lines.last().copied()), (20_000, Some("19999")), "{}", text(&much.stderr));
    let missing = exec(server, &[], task, &["no-such-program"], "").await;
    // Of a container it is said by its runtime, as output of the command.
    let said = [&missing.stdout[..], &missing.stderr].concat();
    assert!(!missing.status.success() && text(&said).contains("no-such-program"), "{missing:?}");
}

/// A shell at a terminal, which changes its size.
pub(crate) async fn at_a_terminal(server: &Server, task: &str) {
    let mut terminal = Terminal::open().unwrap();
    terminal.resize(Size { width: 100, height: 30 }).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_tenure"));
    // The verb by which executors give commands a terminal gives one to `tenure exec` here.
    let mut child = Command::new(program)
        .arg("terminal")
        .arg(terminal.path())
        .arg(program)
        .args(["exec", "-it", task, "--", "sh"])
        .env("KUBECONFIG", server.kubeconfig())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut seen = String::new();
    ask_until(&mut terminal, &mut seen, "stty size", "30 100").await;
    terminal.resize(Size { width: 90, height: 20 }).unwrap();
    ask_until(&mut terminal, &mut seen, "stty size", "20 90").await;
    terminal.write_all(b"exit 7\n").await.unwrap();
    // Nobody else reads what is echoed.
    let drain = async { while terminal.read(&mut [0; 1024]).await.is_ok_and(|length| length > 0) {} };
    let ended: ExitStatus = tokio::time::timeout(COMMAND_MAX, async {
        let ((), ended) = tokio::join!(drain, child.wait());
        ended.unwrap()
    })
    .await
    .unwrap_or_else(|_| panic!("the shell does not end: {seen}\n{}", server.log_tail()));
    assert_eq!(ended.code(), Some(7), "{seen}");
}

/// Types `line` until the terminal shows `wanted`.
async fn ask_until(terminal: &mut Terminal, seen: &mut String, line: &str, wanted: &str) {
    let asked = tokio::time::timeout(COMMAND_MAX, async {
        loop {
            terminal.write_all(format!("{line}\n").as_bytes()).await.unwrap();
            let more = tokio::time::timeout(Duration::from_secs(2), async {
                while !seen.contains(wanted) {
                    let mut piece = [0; 1024];
                    let length = terminal.read(&mut piece).await.unwrap();
                    assert_ne!(length, 0, "the terminal is closed: {seen}");
                    seen.push_str(&String::from_utf8_lossy(&piece[..length]));
                }
            });
            if more.await.is_ok() {
                return;
            }
        }
    });
    assert!(asked.await.is_ok(), "{wanted:?} never comes: {seen}");
}

/// What cannot be run, and why.
async fn refusals(server: &Server, app: &str, task: &str) {
    let path = format!("/apis/tenure.dev/v1/namespaces/default/tasks/{task}/exec");
    let token = std::fs::read_to_string(server.data().join("token")).unwrap();
    let header = format!("Authorization: Bearer {}", token.trim());
    let url = format!("{}{path}?command=true", server.url());
    let plain = curl(&url, &["--request", "POST", "--header", &header]).await;
    assert!(plain.contains("exec is a stream: ask with the headers"), "{plain}");
    let unknown = exec(server, &[], "nobody", &["true"], "").await;
    assert!(text(&unknown.stderr).contains("\"nobody\" not found"), "{unknown:?}");

    server.api::<App>().delete(app, &DeleteParams::default()).await.unwrap();
    server.gone::<App>(app).await;
    let gone = exec(server, &[], task, &["true"], "").await;
    let why = text(&gone.stderr);
    assert!(why.contains("has ended") || why.contains("not found"), "{why}");
}

/// All of it, in a task of each sort.
pub(crate) async fn in_a_container_and_beside_a_process(server: &Server, image: &str) {
    server.apply("boxed", app(Some(image))).await;
    server.apply("plain", app(None)).await;
    for app in ["boxed", "plain"] {
        let task = task_of(server, app).await.metadata.name.unwrap();
        pipes(server, &task).await;
        at_a_terminal(server, &task).await;
        refusals(server, app, &task).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_in_containers_and_beside_processes_of_this_machine() {
    let dockerd = Dockerd::start();
    let image = dockerd.busybox().await;
    let server = Server::start_on(dockerd, "exec-here", &[]).await;
    in_a_container_and_beside_a_process(&server, image).await;
}

/// A Mesos with one agent, which runs our executor, and a server on it.
async fn on_mesos(name: &str, work: &Path) -> (Mesos, Server, &'static str) {
    let dockerd = Dockerd::start();
    let image = dockerd.busybox().await;
    let first = port_block();
    let ports = format!("ports:[{first}-{}]", first + 99);
    let flags = ["--agents", "1", "--work-dir", work.to_str().unwrap(), "--agent-resources", &ports];
    let mesos = Mesos::start_with(&flags, &[("DOCKER_HOST", dockerd.host())]).await;
    let mut server = Server::prepare(dockerd, name, &["--mesos", &mesos.url()]).await;
    server.up(&[]).await;
    server.uid().await;
    (mesos, server, image)
}

/// An App that shows what was fetched for it.
fn fetching(image: Option<&str>, files: &Value) -> Value {
    let mut spec = app(image);
    spec["cmd"] = json!("cat $MESOS_SANDBOX/hello; $MESOS_SANDBOX/bin/say; exec sleep 1000");
    spec["fetch"] = files.clone();
    spec
}

/// Waits until each App shows what it was to find.
async fn shown(server: &Server, apps: [&str; 2]) {
    for app in apps {
        let task = task_of(server, app).await;
        let began = tokio::time::Instant::now();
        let mut said = String::new();
        // RUNNING comes before the first word.
        while said.lines().count() < 2 {
            assert!(began.elapsed() < COMMAND_MAX, "{app} says {said:?}\n{}", server.log_tail());
            said = server.client().request_text(log_of(&task, "stream=stdout")).await.unwrap_or_default();
        }
        assert_eq!(said, "hello from afar\nsaid\n", "{app}");
    }
}

/// An archive with one file and a program, as URIs.
fn files(folder: &Path) -> Value {
    let at = |name: &str| folder.join(name).display().to_string();
    std::fs::write(at("hello"), "hello from afar\n").unwrap();
    let packed =
        std::process::Command::new("tar").args(["-C", &at(""), "-czf", &at("all.tgz"), "hello"]).status();
    assert!(packed.unwrap().success());
    std::fs::write(at("program"), "#!/bin/sh\necho said\n").unwrap();
    json!([
        {"uri": format!("file://{}", at("all.tgz"))},
        {"uri": at("program"), "executable": true, "outputFile": "bin/say"},
    ])
}

/// Waits until nothing is left of what was fetched for tasks that ended well.
async fn emptied(server: &Server) {
    let began = tokio::time::Instant::now();
    loop {
        let folders = std::fs::read_dir(server.data().join("processes")).unwrap();
        let names = folders.map(|it| it.unwrap().file_name().into_string().unwrap());
        let left: Vec<String> =
            names.filter(|name| name.contains("boxed") || name.contains("plain")).collect();
        if left.is_empty() {
            return;
        }
        assert!(began.elapsed() < COMMAND_MAX, "what was fetched stays: {left:?}\n{}", server.log_tail());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_fetched_before_a_task_starts_here_and_on_mesos() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let dockerd = Dockerd::start();
    let image = dockerd.busybox().await;
    let server = Server::start_on(dockerd, "fetch-here", &[]).await;
    server.apply("boxed", fetching(Some(image), &files)).await;
    server.apply("plain", fetching(None, &files)).await;
    shown(&server, ["boxed", "plain"]).await;
    server.apply("lost", fetching(None, &json!([{"uri": "/no/such/file"}]))).await;
    let failing = |app: &App| app.status.as_ref().is_some_and(|status| status.backoff.is_some());
    server.until::<App>("lost", "failing", failing).await;
    let tasks = server.tasks("lost").await;
    let why: Vec<_> = tasks.into_iter().filter_map(|task| task.status?.message).collect();
    assert!(why.iter().any(|why| why.contains("failed to fetch /no/such/file: No such file")), "{why:?}");
    for app in ["boxed", "plain", "lost"] {
        server.remove(app).await;
    }
    emptied(&server).await;

    let work = tempfile::tempdir().unwrap();
    let (_mesos, server, image) = on_mesos("fetch-on-mesos", work.path()).await;
    server.apply("boxed", fetching(Some(image), &files)).await;
    server.apply("plain", fetching(None, &files)).await;
    shown(&server, ["boxed", "plain"]).await;
}
