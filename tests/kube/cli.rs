//! The `tenure` command line against the API server, as a person or a script uses it.

use std::process::Stdio;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::server::{APPS, TestServer, app};

const REVISIONS: &str = "/apis/tenure.dev/v1/namespaces/default/revisions";
const TASKS: &str = "/apis/tenure.dev/v1/namespaces/default/tasks";

/// No command of these tests takes long; one that hangs is a failure.
const COMMAND_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

fn command(server: &TestServer, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
    command
        .args(arguments)
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("KUBECONFIG", &server.kubeconfig)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub(crate) async fn with_input(server: &TestServer, arguments: &[&str], input: &str) -> Outcome {
    let mut child = command(server, arguments).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = tokio::time::timeout(COMMAND_MAX, child.wait_with_output()).await;
    let output = output.unwrap_or_else(|_| panic!("tenure {arguments:?} hangs")).unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Outcome { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

pub(crate) async fn tenure(server: &TestServer, arguments: &[&str]) -> Outcome {
    with_input(server, arguments, "").await
}

/// Standard output of a command that succeeds.
pub(crate) async fn shown(server: &TestServer, arguments: &[&str]) -> String {
    let outcome = tenure(server, arguments).await;
    assert_eq!(outcome.code, 0, "tenure {arguments:?}: {}", outcome.stderr);
    outcome.stdout
}

/// Standard error of a command that fails with 1.
pub(crate) async fn refused(server: &TestServer, arguments: &[&str]) -> String {
    let outcome = tenure(server, arguments).await;
    assert_eq!(outcome.code, 1, "tenure {arguments:?}: {}", outcome.stdout);
    outcome.stderr
}

/// A command that goes on, read line by line.
struct Following {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Following {
    fn start(server: &TestServer, arguments: &[&str]) -> Following {
        let mut child = command(server, arguments).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Following { child, lines }
    }

    /// The next line; none when there will be no other.
    async fn line(&mut self) -> Option<String> {
        let line = tokio::time::timeout(COMMAND_MAX, self.lines.next_line()).await;
        line.unwrap_or_else(|_| panic!("{:?} says nothing", self.child)).unwrap()
    }

    /// Waits until it says exactly this next.
    async fn says(&mut self, expected: &str) {
        assert_eq!(self.line().await.as_deref(), Some(expected));
    }

    /// It has nothing more to say, and succeeds.
    async fn succeeds(mut self) {
        assert_eq!(self.line().await, None);
        let status = self.child.wait().await.unwrap();
        let mut told = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut told).await.unwrap();
        assert!(status.success(), "{status}: {told}");
    }
}

async fn create(server: &TestServer, path: &str, object: Value) {
    let answer = server.json(Method::POST, path, &object).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
}

/// Writes the status of an app, as the deployment controller would.
async fn report(server: &TestServer, name: &str, status: Value) {
    let path = format!("{APPS}/{name}/status");
    let request = http::Request::patch(path).header("content-type", "application/merge-patch+json");
    let answer = server.ask(request.body(json!({"status": status}).to_string().into_bytes()).unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn revision(name: &str, number: u64, template: Value) -> Value {
    json!({
        "apiVersion": "tenure.dev/v1", "kind": "Revision",
        "metadata": {"name": name, "labels": {"tenure.dev/app": "web"}},
        "spec": {"app": "web", "number": number, "hash": format!("hash{number}"), "template": template},
    })
}

fn task(name: &str, bound: bool) -> Value {
    let mut task = json!({
        "apiVersion": "tenure.dev/v1", "kind": "Task",
        "metadata": {"name": name, "labels": {"tenure.dev/app": "web"}},
        "spec": {"app": "web", "revision": "web-1", "slot": 0},
    });
    if bound {
        task["spec"]["binding"] = json!({
            "agentId": "a", "host": "h", "offerId": "o", "resources": {}, "mesosTaskId": "m",
            "boundAt": "2026-01-01T00:00:00.000000Z",
        });
    }
    task
}

const WEB: &str = "apiVersion: tenure.dev/v1
kind: App
metadata: {name: web}
spec:
  instances: 2
  cmd: sleep 1000
";

#[tokio::test]
async fn apply_creates_changes_and_leaves_alone() {
    let server = TestServer::start().await;
    let apply = |text: String| {
        let server = &server;
        async move { with_input(server, &["apply", "-f", "-"], &text).await.stdout }
    };
    assert_eq!(apply(WEB.to_owned()).await, "app.tenure.dev/web created\n");
    assert_eq!(apply(WEB.to_owned()).await, "app.tenure.dev/web unchanged\n");
    assert_eq!(apply(WEB.replace("1000", "2000")).await, "app.tenure.dev/web configured\n");
    let dry = with_input(&server, &["apply", "--dry-run", "-f", "-"], &WEB.replace("web", "dry")).await;
    assert_eq!(dry.stdout, "app.tenure.dev/dry created (server dry run)\n");
    assert_eq!(server.get(&format!("{APPS}/dry")).await.status, 404);
}

#[tokio::test]
async fn the_samples_pass_a_dry_run() {
    let server = TestServer::start().await;
    for folder in ["samples", "quickstart"] {
        let folder = format!("{}/manifests/{folder}", env!("CARGO_MANIFEST_DIR"));
        let text = shown(&server, &["apply", "--dry-run", "-f", &folder]).await;
        assert!(text.lines().all(|line| line.ends_with(" created (server dry run)")), "{text}");
    }
    assert_eq!(server.get(APPS).await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_field_dropped_from_the_manifest_disappears() {
    let server = TestServer::start().await;
    let with_label = WEB.replace("{name: web}", "{name: web, labels: {team: a}}");
    for text in [&with_label, WEB] {
        let outcome = with_input(&server, &["apply", "-f", "-"], text).await;
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    }
    let labels = &server.get(&format!("{APPS}/web")).await.json()["metadata"]["labels"];
    assert!(labels.get("team").is_none(), "{labels}");
}

#[tokio::test]
async fn a_mistake_is_told_with_its_file_and_line_and_does_not_stop_the_others() {
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("apps.yaml");
    let text = format!(
        "{WEB}---\n{}---\nkind: [\n---\n{}",
        WEB.replace("web", "bad").replace("cmd:", "comand:"),
        WEB.replace("web", "two").replace("  cmd: sleep 1000", "  cmd: a\n  args: [b]"),
    );
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let outcome = tenure(&server, &["apply", "-f", file]).await;
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, "app.tenure.dev/web created\n"));
    for words in [
        format!("error: {file}:8: app.tenure.dev/bad: "),
        "spec.comand".to_owned(),
        format!("error: {file}:17: app.tenure.dev/two: "),
        "spec.args: Forbidden: may not be given together with cmd".to_owned(),
        format!("error: {file}:15: invalid YAML: unclosed bracket '['\n"),
    ] {
        assert!(outcome.stderr.contains(&words), "{words} in {}", outcome.stderr);
    }
}

#[tokio::test]
async fn apply_takes_back_what_scale_changed_but_not_what_others_manage() {
    let server = TestServer::start().await;
    with_input(&server, &["apply", "-f", "-"], WEB).await;
    assert_eq!(shown(&server, &["scale", "app/web", "--replicas=5"]).await, "app.tenure.dev/web scaled\n");
    assert_eq!(server.get(&format!("{APPS}/web")).await.json()["spec"]["instances"], 5);
    let error = refused(&server, &["scale", "app/web", "--replicas=7", "--current-replicas=4"]).await;
    assert!(error.contains("has 5 instances, not 4"), "{error}");
    let again = with_input(&server, &["apply", "-f", "-"], WEB).await;
    assert_eq!(
        (again.code, again.stdout.as_str()),
        (0, "app.tenure.dev/web configured\n"),
        "{}",
        again.stderr
    );

    let path = format!("{APPS}/web?fieldManager=somebody");
    let request = http::Request::patch(path).header("content-type", "application/merge-patch+json");
    server.ask(request.body(br#"{"spec":{"instances":9}}"#.to_vec()).unwrap()).await;
    let conflict = with_input(&server, &["apply", "-f", "-"], WEB).await;
    assert_eq!(conflict.code, 1);
    for words in ["somebody", ".spec.instances", "--force-conflicts"] {
        assert!(conflict.stderr.contains(words), "{words} in {}", conflict.stderr);
    }
    let forced = with_input(&server, &["apply", "--force-conflicts", "-f", "-"], WEB).await;
    assert_eq!(forced.code, 0, "{}", forced.stderr);
}

#[tokio::test]
async fn diff_tells_by_its_exit_code() {
    let server = TestServer::start().await;
    let new = with_input(&server, &["diff", "-f", "-"], WEB).await;
    assert_eq!(new.code, 1, "{}", new.stderr);
    assert!(new.stdout.contains("+  cmd: sleep 1000\n"), "{}", new.stdout);
    with_input(&server, &["apply", "-f", "-"], WEB).await;
    let same = with_input(&server, &["diff", "-f", "-"], WEB).await;
    assert_eq!((same.code, same.stdout.as_str()), (0, ""), "{}", same.stderr);
    let changed = with_input(&server, &["diff", "-f", "-"], &WEB.replace("1000", "2000")).await;
    assert_eq!(changed.code, 1);
    assert!(changed.stdout.contains("-  cmd: sleep 1000\n+  cmd: sleep 2000\n"), "{}", changed.stdout);
    let failed = with_input(&server, &["diff", "-f", "-"], &WEB.replace("cmd", "comand")).await;
    assert_eq!(failed.code, 2, "{}", failed.stdout);
}

#[tokio::test]
async fn get_shows_tables_documents_and_names() {
    let server = TestServer::start().await;
    create(&server, APPS, app("web")).await;
    create(&server, APPS, app("db")).await;
    create(&server, TASKS, task("web-1-a", false)).await;

    let table = shown(&server, &["get", "apps"]).await;
    let names: Vec<&str> = table.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["NAME", "db", "web"], "{table}");
    assert!(
        !table.contains("REVISION")
            && shown(&server, &["get", "app", "-o", "wide"]).await.contains("REVISION")
    );
    assert!(shown(&server, &["get", "apps", "-A"]).await.starts_with("NAMESPACE"));
    assert_eq!(
        shown(&server, &["get", "apps", "-o", "name"]).await,
        "app.tenure.dev/db\napp.tenure.dev/web\n"
    );

    let both = shown(&server, &["get", "apps,tasks"]).await;
    assert!(
        both.contains("app.tenure.dev/web")
            && both.contains("\n\n")
            && both.contains("task.tenure.dev/web-1-a")
    );
    assert!(shown(&server, &["get", "all"]).await.contains("task.tenure.dev/web-1-a"));
    assert!(shown(&server, &["get", "tasks", "-l", "tenure.dev/app=web"]).await.contains("web-1-a"));

    let one: Value = serde_json::from_str(&shown(&server, &["get", "app/web", "-o", "json"]).await).unwrap();
    assert_eq!((&one["kind"], &one["metadata"]["name"]), (&json!("App"), &json!("web")));
    let list: Value = serde_json::from_str(&shown(&server, &["get", "apps", "-o", "json"]).await).unwrap();
    assert_eq!((&list["kind"], list["items"].as_array().unwrap().len()), (&json!("List"), 2));
    assert!(
        shown(&server, &["get", "app", "web", "-o", "yaml"])
            .await
            .starts_with("apiVersion: tenure.dev/v1\nkind: App\n")
    );
    assert!(shown(&server, &["get", "--raw", "/readyz"]).await.starts_with("ok"));
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let server = TestServer::start().await;
    let error = refused(&server, &["get", "app", "web"]).await;
    assert_eq!(error, "error: apps.tenure.dev \"web\" not found\n");
    assert_eq!(shown(&server, &["get", "app", "web", "--ignore-not-found"]).await, "");
    let none = tenure(&server, &["get", "apps"]).await;
    assert_eq!((none.code, none.stderr.as_str()), (0, "No resources found in default namespace\n"));
    let error = refused(&server, &["get", "pods"]).await;
    assert_eq!(error, "error: the server doesn't have a resource type \"pods\"\n");
    assert!(refused(&server, &["logs", "app/web"]).await.contains("\"web\" not found"));
    assert!(
        refused(&server, &["rollout", "status", "web"]).await.contains("app.tenure.dev/web does not exist")
    );
}

#[tokio::test]
async fn get_follows_changes() {
    let server = TestServer::start().await;
    create(&server, APPS, app("web")).await;
    let mut names = Following::start(&server, &["get", "apps", "-w", "-o", "name"]);
    names.says("app.tenure.dev/web").await;
    create(&server, APPS, app("db")).await;
    names.says("app.tenure.dev/db").await;

    let mut table = Following::start(&server, &["get", "app", "web", "-w"]);
    let mut row = async || table.line().await.unwrap();
    assert!(row().await.starts_with("NAME"));
    assert!(row().await.starts_with("web "));
    report(&server, "web", json!({"running": 77})).await;
    assert!(row().await.contains(" 77 "));
}

#[tokio::test]
async fn describe_shows_tasks_and_events() {
    let server = TestServer::start().await;
    create(&server, APPS, app("web")).await;
    create(&server, TASKS, task("web-1-a", false)).await;
    let event = |name: &str, message: &str, uid: &Value| {
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": "default"},
            "type": "Warning", "reason": "BackingOff", "message": message, "count": 2,
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:05Z",
            "involvedObject": {"kind": "App", "name": "web", "namespace": "default", "uid": uid},
        })
    };
    let uid = server.get(&format!("{APPS}/web")).await.json()["metadata"]["uid"].clone();
    let events = "/api/v1/namespaces/default/events";
    create(&server, events, event("web.1", "two failures", &uid)).await;
    create(&server, events, event("web.2", "of a former web", &json!("7"))).await;
    let text = shown(&server, &["describe", "app/web"]).await;
    for words in [
        "Name:         web\n",
        "  Cmd: sleep 1000\n",
        "Tasks:\n  NAME",
        "web-1-a",
        "Events:\n  LAST SEEN",
        "BackingOff",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    assert!(!text.contains("of a former web"), "{text}");
    let events = shown(&server, &["events", "--for", "app/web"]).await;
    assert!(events.lines().count() == 3 && events.contains("app/web   two failures"), "{events}");
    let none = tenure(&server, &["events", "--for", "app/db"]).await;
    assert_eq!(none.stderr, "No events found\n");
}

#[tokio::test]
async fn delete_waits_until_the_finalizers_are_gone() {
    let server = TestServer::start().await;
    // An App is born with a finalizer, and no controller runs here that would take it off.
    create(&server, APPS, app("web")).await;
    let at_once = shown(&server, &["delete", "app", "web", "--wait=false"]).await;
    assert_eq!(at_once, "app.tenure.dev/web deleted\n");
    let error = refused(&server, &["wait", "--for=delete", "app/web", "--timeout=100ms"]).await;
    assert!(error.contains("timed out waiting for app.tenure.dev/web to be gone"), "{error}");

    let mut waiting = Following::start(&server, &["delete", "app", "web"]);
    waiting.says("app.tenure.dev/web deleted").await;
    waiting.says("app.tenure.dev/web: stopping").await;
    let request =
        http::Request::patch(format!("{APPS}/web")).header("content-type", "application/merge-patch+json");
    server.ask(request.body(br#"{"metadata":{"finalizers":null}}"#.to_vec()).unwrap()).await;
    waiting.says("app.tenure.dev/web: gone").await;
    waiting.succeeds().await;

    assert!(refused(&server, &["delete", "app", "web"]).await.contains("\"web\" not found"));
    assert_eq!(shown(&server, &["delete", "app", "web", "--ignore-not-found"]).await, "");
    create(&server, REVISIONS, revision("web-1", 1, json!({"cmd": "a"}))).await;
    create(&server, REVISIONS, revision("web-2", 2, json!({"cmd": "b"}))).await;
    shown(&server, &["delete", "revisions", "--all"]).await;
    assert_eq!(server.get(REVISIONS).await.json()["items"], json!([]));
}

#[tokio::test]
async fn rollout_status_follows_until_done() {
    let server = TestServer::start().await;
    create(&server, APPS, app("web")).await;
    let mut following = Following::start(&server, &["rollout", "status", "app/web", "--timeout=60s"]);
    following.says("web: waiting for the controller to see the change").await;
    for (updated, ready, told) in [
        (1, 0, "web: 1 of 2 instances updated"),
        (2, 1, "web: 1 of 2 instances ready"),
        (2, 2, "web: 2 of 2 instances ready, revision web-x"),
    ] {
        let is_ready = if ready == 2 { "True" } else { "False" };
        let condition = json!({"type": "Ready", "status": is_ready, "reason": "X", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let status = json!({"observedGeneration": 1, "instances": 2, "updated": updated, "ready": ready, "revision": "web-x", "conditions": [condition]});
        report(&server, "web", status).await;
        following.says(told).await;
    }
    following.succeeds().await;
    let now = shown(&server, &["rollout", "status", "web", "--no-wait"]).await;
    assert_eq!(now, "web: 2 of 2 instances ready, revision web-x\n");

    create(&server, APPS, app("stuck")).await;
    let error = refused(&server, &["rollout", "status", "app/stuck", "--timeout=200ms"]).await;
    assert_eq!(error, "error: timed out waiting for the rollout of stuck\n");
}

#[tokio::test]
async fn rollouts_have_a_history_and_can_go_back() {
    let server = TestServer::start().await;
    create(&server, APPS, app("web")).await;
    create(
        &server,
        REVISIONS,
        revision("web-1", 1, json!({"args": ["old"], "container": {"image": "web:1"}})),
    )
    .await;
    create(&server, REVISIONS, revision("web-2", 2, json!({"cmd": "sleep 1000"}))).await;
    report(&server, "web", json!({"revision": "web-2"})).await;

    let history = shown(&server, &["rollout", "history", "app/web"]).await;
    let rows: Vec<Vec<&str>> = history.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1][..3], ["1", "hash1", "web:1"], "{history}");
    assert_eq!(rows[2][..3], ["2", "*", "hash2"], "{history}");
    assert!(shown(&server, &["rollout", "history", "web", "--revision=1"]).await.contains("image: web:1"));

    let undone = shown(&server, &["rollout", "undo", "app/web"]).await;
    assert_eq!(undone, "app.tenure.dev/web rolled back to revision 1\n");
    let spec = server.get(&format!("{APPS}/web")).await.json()["spec"].clone();
    assert_eq!((&spec["args"], spec.get("cmd"), &spec["instances"]), (&json!(["old"]), None, &json!(2)));
    let error = refused(&server, &["rollout", "undo", "app/web", "--to-revision=9"]).await;
    assert!(error.contains("no revision 9: there are 1, 2"), "{error}");

    shown(&server, &["rollout", "restart", "app/web"]).await;
    let restarted = server.get(&format!("{APPS}/web")).await.json()["spec"]["restartedAt"].clone();
    assert!(restarted.is_string(), "{restarted}");
}

#[tokio::test]
async fn logs_are_those_of_a_task_or_of_all_tasks_of_an_app() {
    let server = TestServer::start().await;
    create(&server, APPS, app("web")).await;
    let error = refused(&server, &["logs", "app/web"]).await;
    assert!(error.contains("no task of app/web has been launched yet"), "{error}");
    create(&server, TASKS, task("a", true)).await;
    assert_eq!(shown(&server, &["logs", "a"]).await, "one\ntwo\n");
    assert_eq!(shown(&server, &["logs", "task/a", "--tail=1"]).await, "two\n");
    assert_eq!(shown(&server, &["logs", "-f", "app/web"]).await, "one\ntwo\nthree\n");
    create(&server, TASKS, task("b", true)).await;
    assert_eq!(shown(&server, &["logs", "app/web"]).await, "[a] one\n[a] two\n[b] one\n[b] two\n");
    assert!(refused(&server, &["logs", "a", "--stream=stderr"]).await.contains("has written nothing"));

    create(&server, TASKS, task("forgotten", true)).await;
    assert_eq!(
        refused(&server, &["logs", "forgotten"]).await,
        "error: no output is kept of task forgotten\n"
    );
    let outcome = tenure(&server, &["logs", "app/web", "--tail=1"]).await;
    assert_eq!(outcome.stdout, "[a] two\n[b] two\n");
    assert_eq!((outcome.code, &*outcome.stderr), (0, "[forgotten] no output is kept of task forgotten\n"));
}

#[tokio::test]
async fn wait_ends_when_a_condition_or_a_value_is_reached() {
    let server = TestServer::start().await;
    create(&server, APPS, app("web")).await;
    let mut waiting = Following::start(
        &server,
        &["wait", "--for=jsonpath={.status.running}=2", "app/web", "--timeout=60s"],
    );
    waiting.says("app.tenure.dev/web: waiting").await;
    report(&server, "web", json!({"running": 2})).await;
    waiting.says("app.tenure.dev/web: condition met").await;
    waiting.succeeds().await;
    let error = refused(&server, &["wait", "--for=condition=Ready", "app/web", "--timeout=100ms"]).await;
    assert_eq!(error, "error: timed out waiting for the condition on app.tenure.dev/web\n");
    shown(&server, &["wait", "--for=delete", "app/gone"]).await;
}

#[tokio::test]
async fn versions_of_both_sides_are_shown() {
    let server = TestServer::start().await;
    let text = shown(&server, &["version"]).await;
    assert!(text.starts_with("Client: tenure ") && text.contains("\nServer: v1.32"), "{text}");
    let document: Value = serde_json::from_str(&shown(&server, &["version", "-o", "json"]).await).unwrap();
    assert_eq!(document["server"]["minor"], "32");
}
