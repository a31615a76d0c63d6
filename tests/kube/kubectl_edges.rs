//! The rest of the reference's table of kubectl's verbs: flags and forms beside those of `kubectl_verbs`, with both kubectls.
//! What the old one does not have is left out for it.

use std::process::Stdio;
use std::time::Duration;

use futures::future::join;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::kubectl::Kubectl;
use crate::server::{APPS, TestServer, app};

const PATIENCE: Duration = Duration::from_secs(60);

const WEB: &str = "apiVersion: tenure.dev/v1
kind: App
metadata: {name: web, labels: {team: shop}}
spec: {instances: 2, cmd: sleep 1000}
";

/// A child that prints lines, read until one that fits; it is ended then.
async fn until(
    kubectl: &Kubectl,
    arguments: &[&str],
    act: impl AsyncFnOnce(),
    fits: impl Fn(&str) -> bool,
) -> String {
    let mut child = kubectl.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let read = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if fits(&line) {
                return line;
            }
        }
        panic!("kubectl {} {arguments:?} ended", kubectl.version)
    };
    let read = tokio::time::timeout(PATIENCE, read);
    let (line, ()) = join(read, act()).await;
    child.kill().await.unwrap();
    line.unwrap_or_else(|_| panic!("kubectl {} {arguments:?}: it does not come", kubectl.version))
}

/// Lets an App go that its finalizer holds, as its loop would.
async fn release(server: &TestServer, name: &str) {
    let request =
        http::Request::patch(format!("{APPS}/{name}")).header("content-type", "application/merge-patch+json");
    server.ask(request.body(br#"{"metadata":{"finalizers":null}}"#.to_vec()).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_a_manifest_is_told_whoever_finds_it() {
    for (server, kubectl) in Kubectl::all().await {
        let create = ["create", "-f", "-"];
        let unknown = WEB.replace("instances: 2", "instances: 2, bogus: 1");
        let told = kubectl.fails(&create, &unknown).await;
        // The old one reads the schema by itself.
        assert!(told.contains("bogus"), "{}: {told}", kubectl.version);
        let wrong =
            kubectl.fails(&["create", "--validate=false", "-f", "-"], &WEB.replace("2", "many")).await;
        assert!(wrong.contains("spec.instances in body must be of type integer"), "{wrong}");
        let missing = "apiVersion: tenure.dev/v1\nkind: Task\nmetadata: {name: t}\nspec: {app: web}\n";
        let told = kubectl.fails(&["create", "--validate=false", "-f", "-"], missing).await;
        assert!(told.contains("spec.revision: Required value"), "{told}");
        let ignored = kubectl.ok_with(&["create", "--validate=false", "-f", "-"], &unknown).await;
        assert_eq!(ignored, "app.tenure.dev/web created\n");
        if !kubectl.is_old() {
            let other = unknown.replace("name: web", "name: warned");
            let outcome = kubectl.run_with(&["create", "--validate=warn", "-f", "-"], &other).await;
            assert!(
                outcome.success && outcome.stderr.contains("Warning: unknown field \"spec.bogus\""),
                "{outcome:?}"
            );
        }
        let nowhere = kubectl.fails(&["apply", "-n", "nowhere", "-f", "-"], WEB).await;
        assert!(nowhere.contains("namespaces \"nowhere\" not found"), "{nowhere}");
        drop(server);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_takes_folders_of_kustomize_and_moves_between_its_two_ways() {
    for (_server, kubectl) in Kubectl::all().await {
        if !kubectl.is_old() {
            let folder = kubectl.file("web.yaml", WEB).replace("/web.yaml", "");
            kubectl.file(
                "kustomization.yaml",
                "resources: [web.yaml]\nnamePrefix: k-\nlabels: [{pairs: {by: kustomize}}]\n",
            );
            assert_eq!(kubectl.ok(&["apply", "-k", &folder]).await, "app.tenure.dev/k-web created\n");
            assert_eq!(
                kubectl.ok(&["get", "apps", "-l", "by=kustomize", "-o", "name"]).await,
                "app.tenure.dev/k-web\n"
            );
        }
        kubectl.ok_with(&["apply", "-f", "-"], WEB).await;
        // To the server's side, with a change, and back.
        let more = WEB.replace("instances: 2", "instances: 3");
        kubectl.ok_with(&["apply", "--server-side", "-f", "-"], &more).await;
        let instances = ["get", "app", "web", "-o", "jsonpath={.spec.instances}"];
        assert_eq!(kubectl.ok(&instances).await, "3", "{}", kubectl.version);
        kubectl.ok_with(&["apply", "-f", "-"], WEB).await;
        assert_eq!(kubectl.ok(&instances).await, "2");
        // What was applied can be set by hand.
        let file = kubectl.file("last.yaml", &WEB.replace("sleep 1000", "sleep 7"));
        kubectl.ok(&["apply", "set-last-applied", "-f", &file]).await;
        let last = kubectl.ok(&["apply", "view-last-applied", "app/web"]).await;
        assert!(last.contains("sleep 7"), "{last}");
        let dry = kubectl.ok_with(&["apply", "-f", "-", "--dry-run=client"], WEB).await;
        assert!(dry.contains("(dry run)"), "{dry}");
        let dry = kubectl
            .ok_with(&["apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f", "-"], &more)
            .await;
        assert!(dry.contains("serverside-applied (server dry run)"), "{dry}");
        assert_eq!(kubectl.ok(&instances).await, "2");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn get_shows_columns_parts_and_events_of_watches() {
    for (server, kubectl) in Kubectl::all().await {
        kubectl.ok_with(&["create", "-f", "-"], WEB).await;
        let columns = "custom-columns=APP:.metadata.name,WANTED:.spec.instances";
        let table = kubectl.ok(&["get", "apps", "-o", columns]).await;
        assert_eq!(table.split_whitespace().collect::<Vec<_>>(), ["APP", "WANTED", "web", "2"]);
        let labelled = kubectl.ok(&["get", "apps", "-L", "team"]).await;
        assert!(labelled.contains("TEAM") && labelled.contains("shop"), "{labelled}");
        assert_eq!(kubectl.ok(&["get", "app", "nope", "--ignore-not-found"]).await, "");
        assert!(kubectl.ok(&["get", "agents,leases"]).await.is_empty(), "there are none");
        assert_eq!(kubectl.ok(&["get", "ns", "default", "-o", "jsonpath={.status.phase}"]).await, "Active");
        if !kubectl.is_old() {
            let scale = kubectl
                .ok(&["get", "app", "web", "--subresource=scale", "-o", "jsonpath={.kind} {.spec.replicas}"])
                .await;
            assert_eq!(scale, "Scale 2");
            let patch = r#"{"status":{"running":2}}"#;
            kubectl.ok(&["patch", "app", "web", "--subresource=status", "--type=merge", "-p", patch]).await;
            let status = kubectl
                .ok(&["get", "app", "web", "--subresource=status", "-o", "jsonpath={.status.running}"])
                .await;
            assert_eq!(status, "2");
        }
        let late = async || {
            let answer = server.json(Method::POST, APPS, &app("late")).await;
            assert_eq!(answer.status, 201, "{}", answer.text());
        };
        let with_events = ["get", "apps", "-w", "--output-watch-events", "-o", "json"];
        until(&kubectl, &with_events, late, |line| {
            line.contains("\"type\":\"ADDED\"") || line.contains("\"type\": \"ADDED\"")
        })
        .await;
        // Only what comes: never what is there.
        let later = async || {
            for number in 0.. {
                let answer = server.json(Method::POST, APPS, &app(&format!("later{number}"))).await;
                assert_eq!(answer.status, 201, "{}", answer.text());
            }
        };
        let seen = until_first(&kubectl, &["get", "apps", "--watch-only", "-o", "name"], later).await;
        assert!(seen.starts_with("app.tenure.dev/later"), "{seen}");
        if !kubectl.is_old() {
            let event = json!({"metadata": {"name": "e1"}, "reason": "Odd", "type": "Warning", "message": "it is odd",
                "involvedObject": {"apiVersion": "tenure.dev/v1", "kind": "App", "name": "web", "namespace": "default"},
                "lastTimestamp": "2026-01-01T00:00:00Z"});
            let tell = async || {
                server.json(Method::POST, "/api/v1/namespaces/default/events", &event).await;
            };
            until(&kubectl, &["events", "--watch"], tell, |line| line.contains("it is odd")).await;
        }
    }
}

/// The first line of a command that goes on, while something goes on beside it.
async fn until_first(kubectl: &Kubectl, arguments: &[&str], beside: impl AsyncFnOnce()) -> String {
    tokio::select! {
        line = until(kubectl, arguments, async || {}, |_| true) => line,
        () = beside() => unreachable!("it goes on"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_notes_scales_and_replacements_have_their_other_forms() {
    for (server, kubectl) in Kubectl::all().await {
        kubectl.ok_with(&["create", "-f", "-"], WEB).await;
        kubectl.ok(&["label", "apps", "--all", "stage=test"]).await;
        let refused = kubectl.fails(&["label", "app", "web", "stage=live"], "").await;
        assert!(refused.contains("--overwrite is false"), "{refused}");
        kubectl.ok(&["annotate", "app", "web", "note=a"]).await;
        kubectl.ok(&["annotate", "app", "web", "note=b", "--overwrite"]).await;
        kubectl.ok(&["annotate", "app", "web", "note-"]).await;
        assert_eq!(
            kubectl.ok(&["get", "app", "web", "-o", "jsonpath={.metadata.annotations.note}"]).await,
            ""
        );
        let file = kubectl.file("web.yaml", WEB);
        kubectl.ok(&["scale", "-f", &file, "--replicas=5"]).await;
        let instances = ["get", "app", "web", "-o", "jsonpath={.spec.instances}"];
        assert_eq!(kubectl.ok(&instances).await, "5");
        let patch =
            ["patch", "app", "web", "--type=merge", "-p", r#"{"spec":{"instances":6}}"#, "--dry-run=server"];
        kubectl.ok(&patch).await;
        assert_eq!(kubectl.ok(&instances).await, "5");
        let uid = ["get", "app", "web", "-o", "jsonpath={.metadata.uid}"];
        let before = kubectl.ok(&uid).await;
        // Deleted and created anew: the App's finalizer is taken off as its loop does it.
        let gone = async {
            loop {
                let object = server.get(&format!("{APPS}/web")).await.json();
                if object["metadata"]["deletionTimestamp"].is_string() {
                    return release(&server, "web").await;
                }
                tokio::task::yield_now().await;
            }
        };
        join(kubectl.ok(&["replace", "--force", "-f", &file]), gone).await;
        assert_ne!(kubectl.ok(&uid).await, before);
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
        kubectl.ok_with(&["create", "-f", "-"], map).await;
        assert!(kubectl.ok_with(&["delete", "-f", "-"], map).await.contains("\"c\" deleted"));
        let explained = kubectl.ok(&["explain", "app.spec.instances", "--api-version=tenure.dev/v1"]).await;
        assert!(explained.contains("integer"), "{explained}");
        if !kubectl.is_old() {
            let old_form = kubectl.ok(&["explain", "app.spec", "--output=plaintext-openapiv2"]).await;
            assert!(old_form.contains("instances"), "{old_form}");
        }
        let may = kubectl.ok(&["auth", "can-i", "update", "apps.tenure.dev", "--subresource=scale"]).await;
        assert_eq!(may.trim(), "yes");
        assert!(kubectl.ok(&["completion", "bash"]).await.contains("kubectl"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_in_the_foreground_and_orphaning_hold_by_their_finalizers() {
    for (server, kubectl) in Kubectl::all().await {
        for (cascade, finalizer) in [("foreground", "foregroundDeletion"), ("orphan", "orphan")] {
            kubectl
                .ok_with(&["create", "-f", "-"], &WEB.replace("name: web", &format!("name: {cascade}")))
                .await;
            kubectl.ok(&["delete", "app", cascade, &format!("--cascade={cascade}"), "--wait=false"]).await;
            let object = server.get(&format!("{APPS}/{cascade}")).await.json();
            let finalizers = object["metadata"]["finalizers"].as_array().unwrap();
            assert!(finalizers.contains(&json!(finalizer)), "{finalizers:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_takes_what_is_yet_to_be_created() {
    for (server, kubectl) in Kubectl::all().await {
        if !kubectl.is_at_least(31) {
            continue;
        }
        let create = async {
            server.json(Method::POST, APPS, &app("late")).await;
        };
        let (waited, ()) =
            join(kubectl.ok(&["wait", "app/late", "--for=create", "--timeout=30s"]), create).await;
        assert_eq!(waited, "app.tenure.dev/late condition met\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_passes_requests_on() {
    for (_server, kubectl) in Kubectl::all().await {
        let mut child = kubectl.command(&["proxy", "--port=0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        let address = first.rsplit(' ').next().unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {APPS} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let body: Value =
            serde_json::from_str(&answer[answer.find('{').unwrap()..=answer.rfind('}').unwrap()]).unwrap();
        assert_eq!(body["kind"], "AppList");
        child.kill().await.unwrap();
    }
}
