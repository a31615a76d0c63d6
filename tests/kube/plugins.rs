//! The samples in `manifests/plugins`, each as the account that its manifest makes; and what the official Python client does.

use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt, future};
use http::{Method, Request};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::Child;

use crate::cli::shown;
use crate::kubectl::Kubectl;
use crate::python;
use crate::server::{APPS, TestServer, app};

#[allow(
    dead_code,
    unreachable_pub,
    reason = "the sample is a whole program; its entry point reads the environment"
)]
#[path = "../../manifests/plugins/reload.rs"]
mod reload;

const PLUGINS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/plugins");
/// Nothing here takes long; what does not come is a failure.
const PATIENCE: Duration = Duration::from_secs(120);

/// A kubeconfig of the ServiceAccount `name` of `default`.
async fn config_of(server: &TestServer, name: &str) -> String {
    let path = format!("/api/v1/namespaces/default/serviceaccounts/{name}/token");
    let token = server.json(Method::POST, &path, &json!({})).await.json();
    let config = std::fs::read_to_string(&server.kubeconfig).unwrap();
    let admin = std::fs::read_to_string(server.folder.path().join("token")).unwrap();
    config.replace(admin.trim(), token["status"]["token"].as_str().unwrap())
}

/// The same, in a file.
async fn config_file(server: &TestServer, name: &str) -> String {
    shown(server, &["apply", "-f", &format!("{PLUGINS}/{name}.yaml")]).await;
    let path = server.folder.path().join(format!("{name}.kubeconfig"));
    std::fs::write(&path, config_of(server, name).await).unwrap();
    path.display().to_string()
}

async fn create(server: &TestServer, path: &str, object: &Value) -> Value {
    let answer = server.json(Method::POST, path, object).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

async fn patch(server: &TestServer, path: &str, media_type: &str, patch: &Value) {
    let request = Request::patch(path).header("content-type", media_type);
    let answer = server.ask(request.body(patch.to_string().into_bytes()).unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn merge(server: &TestServer, path: &str, value: &Value) {
    patch(server, path, "application/merge-patch+json", value).await;
}

/// The first object that a watch shows and that fits; the changes before it are skipped.
async fn until(lines: &mut BoxStream<'static, Value>, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let fitting = lines.filter(|event| future::ready(fits(event)));
    let mut fitting = std::pin::pin!(fitting);
    let found = tokio::time::timeout(PATIENCE, fitting.next()).await;
    found.unwrap_or_else(|_| panic!("{what}: it does not come")).expect("the watch is open")
}

#[test]
fn each_sample_has_at_most_forty_lines() {
    for sample in ["nightly.sh", "autoscale.py", "reload.rs"] {
        let text = std::fs::read_to_string(format!("{PLUGINS}/{sample}")).unwrap();
        assert!(text.lines().all(|line| line.len() <= 140), "{sample}: long lines are no short program");
        assert!(text.lines().count() <= 40, "{sample}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nightly_scales_down_at_night_and_back_by_day_with_no_more_rights_than_its_manifest_gives() {
    for (server, kubectl) in Kubectl::all().await {
        let mut web = app("web");
        web["metadata"]["labels"] = json!({"night": "1"});
        web["spec"]["instances"] = json!(3);
        create(&server, APPS, &web).await;
        create(&server, APPS, &app("other")).await;
        kubectl.ok(&["apply", "-f", &format!("{PLUGINS}/nightly.yaml")]).await;
        let config = kubectl.file("nightly.kubeconfig", &config_of(&server, "nightly").await);
        let instances = async |name: &str| {
            server.get(&format!("{APPS}/{name}")).await.json()["spec"]["instances"].clone()
        };
        // Twice: what is as it should be is left alone.
        for (hour, expected) in [("23", 1), ("05", 1), ("08", 3), ("21", 3)] {
            let outcome = kubectl.script(&format!("{PLUGINS}/nightly.sh"), &config, ("HOUR", hour)).await;
            assert!(outcome.success, "{} at {hour}: {outcome:?}", kubectl.version);
            assert_eq!(instances("web").await, json!(expected), "{} at {hour}", kubectl.version);
            assert_eq!(instances("other").await, json!(2));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reload_restarts_an_app_when_a_secret_of_its_environment_changes() {
    let server = TestServer::start().await;
    let config = config_file(&server, "reload").await;
    let secrets = "/api/v1/namespaces/default/secrets";
    for name in ["login", "other"] {
        let secret = json!({"metadata": {"name": name}, "stringData": {"password": "a"}});
        create(&server, secrets, &secret).await;
    }
    let mut web = app("web");
    web["metadata"]["labels"] = json!({"reload": "yes"});
    let from = json!({"secretKeyRef": {"name": "login", "key": "password"}});
    web["spec"]["env"] = json!([{"name": "PASSWORD", "valueFrom": from}]);
    create(&server, APPS, &web).await;

    let config = kube::config::Kubeconfig::read_from(config).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &Default::default()).await.unwrap();
    let plugin = reload::run(kube::Client::try_from(config).unwrap());
    let story = async {
        let mut lines = server.lines(&format!("{APPS}?watch=true")).await;
        let seen = |event: &Value| event["object"]["metadata"]["annotations"]["reload/secrets"].is_string();
        let first = until(&mut lines, "what it sees", seen).await;
        assert!(first["object"]["spec"]["restartedAt"].is_null(), "an App that is new is not restarted");
        // One that the App does not name, and then one that it does.
        for name in ["other", "login"] {
            merge(&server, &format!("{secrets}/{name}"), &json!({"stringData": {"password": "b"}})).await;
        }
        let restarted = |event: &Value| event["object"]["spec"]["restartedAt"].is_string();
        let after = until(&mut lines, "a restart", restarted).await;
        let after = after["object"].clone();
        assert_eq!(after["metadata"]["annotations"]["reload/secrets"], after["spec"]["restartedAt"]);
        assert_eq!(after["metadata"]["generation"], 2, "restarted once");
        let owners: Vec<&Value> =
            after["metadata"]["managedFields"].as_array().unwrap().iter().map(|it| &it["manager"]).collect();
        assert!(owners.contains(&&json!("reload")), "{owners:?}");
        assert_eq!(after["spec"]["env"], web["spec"]["env"], "what others own is left alone");
    };
    tokio::select! {
        () = plugin => panic!("the plugin ended"),
        () = story => {}
    }
}

/// Answers every request with the number that it holds.
async fn metric(listener: TcpListener, value: std::sync::Arc<std::sync::Mutex<&'static str>>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4_096];
        // One packet holds the request of a test; what it asks for does not matter.
        if stream.read(&mut request).await.unwrap() > 0 {
            let value = *value.lock().unwrap();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{value}",
                value.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }
}

/// What a program said that a test ends.
async fn told(mut child: Child) -> String {
    child.start_kill().unwrap();
    let output = child.wait_with_output().await.unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn autoscale_follows_a_metric_tells_it_in_events_and_lets_go_of_what_is_deleted() {
    let server = TestServer::start().await;
    let config = config_file(&server, "autoscale").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let value = std::sync::Arc::new(std::sync::Mutex::new("950"));
    let mut web = app("web");
    web["metadata"]["annotations"] = json!({
        "autoscale/metric": format!("http://{address}/"), "autoscale/per-instance": "100", "autoscale/max": "12",
    });
    create(&server, APPS, &web).await;
    create(&server, APPS, &app("other")).await;
    let script = format!("{PLUGINS}/autoscale.py");
    let arguments = ["-m", "kopf", "run", "--all-namespaces", "--verbose", &script];
    let child = python::command(&config, &arguments).await.env("EVERY", "0.5").spawn().unwrap();
    let story = async {
        let mut lines = server.lines(&format!("{APPS}?watch=true")).await;
        let has = |instances: u64| {
            move |event: &Value| {
                event["object"]["metadata"]["name"] == "web"
                    && event["object"]["spec"]["instances"] == instances
            }
        };
        until(&mut lines, "ten instances for 950", has(10)).await;
        *value.lock().unwrap() = "1e9";
        until(&mut lines, "no more than twelve", has(12)).await;
        let events = "/api/v1/namespaces/default/events?watch=true&fieldSelector=reason=Scaled";
        let mut events = server.lines(events).await;
        let scaled = |event: &Value| event["object"]["message"] == "from 2 to 10 for a metric of 950";
        let told = until(&mut events, "an Event", scaled).await;
        assert_eq!(told["object"]["involvedObject"]["name"], "web");
        // kopf's finalizer goes as soon as the App shall go; Tenure's own loop does not run here.
        let deleted = server.json(Method::DELETE, &format!("{APPS}/web"), &json!({})).await.json();
        let finalizers = deleted["metadata"]["finalizers"].to_string();
        assert!(finalizers.contains("kopf") && finalizers.contains("tenure.dev/tasks"), "{finalizers}");
        until(&mut lines, "kopf lets go", |event| {
            event["object"]["metadata"]["finalizers"] == json!(["tenure.dev/tasks"])
                && event["object"]["metadata"]["deletionTimestamp"].is_string()
        })
        .await;
    };
    let ended = tokio::select! {
        () = metric(listener, value.clone()) => unreachable!("it serves for ever"),
        ended = tokio::time::timeout(PATIENCE, std::panic::AssertUnwindSafe(story).catch_unwind()) => ended,
    };
    let log = told(child).await;
    assert!(matches!(ended, Ok(Ok(()))), "{log}");
    let other = server.get(&format!("{APPS}/other")).await.json();
    assert_eq!((&other["spec"]["instances"], &other["metadata"]["generation"]), (&json!(2), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_python_client_finds_watches_patches_and_applies() {
    let server = TestServer::start().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kube/official.py");
    let mut command = python::command(&server.kubeconfig.display().to_string(), &[script]).await;
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "all of it\n");
}
