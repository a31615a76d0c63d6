//! The verbs of kubectl, with both kubectls.

use std::process::Stdio;

use futures::future::join;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::cli::shown;
use crate::kubectl::Kubectl;
use crate::server::{APPS, app};

const WEB: &str = "apiVersion: tenure.dev/v1
kind: App
metadata:
  name: web
  labels: {team: shop}
spec:
  instances: 2
  cmd: sleep 1000
  env:
  - {name: MODE, value: live}
";

const CONFIG: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {a: '1'}
";

#[tokio::test(flavor = "multi_thread")]
async fn discovery_tells_our_kinds() {
    for (_server, kubectl) in Kubectl::all().await {
        let version = kubectl.ok(&["version", "-o", "json"]).await;
        let version: Value = serde_json::from_str(&version).unwrap();
        assert_eq!(version["serverVersion"]["minor"], "32");
        let resources = kubectl.ok(&["api-resources", "--api-group=tenure.dev"]).await;
        let apps = resources.lines().find(|line| line.starts_with("apps")).unwrap();
        assert!(apps.contains("app") && apps.contains("true") && apps.ends_with("App"), "{resources}");
        let wide = kubectl.ok(&["api-resources", "-o", "wide"]).await;
        assert!(wide.contains("deletecollection") && wide.contains("configmaps"), "{wide}");
        let versions = kubectl.ok(&["api-versions"]).await;
        assert!(
            versions.contains("tenure.dev/v1") && versions.lines().any(|line| line == "v1"),
            "{versions}"
        );
        let raw = kubectl.ok(&["get", "--raw", "/readyz"]).await;
        assert_eq!(raw, "ok");
        let info = kubectl.ok(&["cluster-info"]).await;
        assert!(info.contains("is running at"), "{info}");
        assert_eq!(kubectl.ok(&["get", "services", "-o", "name"]).await, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_describes_fields() {
    for (_server, kubectl) in Kubectl::all().await {
        let app = kubectl.ok(&["explain", "app"]).await;
        assert!(app.contains("KIND:") && app.contains("App") && app.contains("metadata"), "{app}");
        let field = kubectl.ok(&["explain", "apps.spec.instances"]).await;
        assert!(field.contains("integer"), "{field}");
        kubectl.ok(&["explain", "app.spec", "--recursive"]).await;
        let meta = kubectl.ok(&["explain", "app.metadata.labels"]).await;
        assert!(meta.contains("Map of string keys and values"), "{meta}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn client_side_apply_creates_then_changes_then_leaves_alone() {
    for (_server, kubectl) in Kubectl::all().await {
        let file = kubectl.file("web.yaml", WEB);
        let apply = ["apply", "-f", &file];
        assert_eq!(kubectl.ok(&apply).await, "app.tenure.dev/web created\n");
        assert_eq!(kubectl.ok(&apply).await, "app.tenure.dev/web unchanged\n");
        kubectl.file("web.yaml", &WEB.replace("instances: 2", "instances: 3"));
        let dry = kubectl.ok(&["apply", "-f", &file, "--dry-run=server"]).await;
        assert_eq!(dry, "app.tenure.dev/web configured (server dry run)\n");
        assert_eq!(kubectl.ok(&["get", "app", "web", "-o", "jsonpath={.spec.instances}"]).await, "2");
        assert_eq!(kubectl.ok(&apply).await, "app.tenure.dev/web configured\n");
        assert_eq!(kubectl.ok(&["get", "app", "web", "-o", "jsonpath={.spec.instances}"]).await, "3");
        kubectl.file("web.yaml", &WEB.replace("  env:\n  - {name: MODE, value: live}\n", ""));
        kubectl.ok(&apply).await;
        assert_eq!(kubectl.ok(&["get", "app", "web", "-o", "jsonpath={.spec.env}"]).await, "");
        let applied = kubectl.ok(&["apply", "view-last-applied", "app", "web"]).await;
        assert!(applied.contains("cmd: sleep 1000"), "{applied}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn server_side_apply_owns_fields_and_drops_what_the_manifest_drops() {
    for (_server, kubectl) in Kubectl::all().await {
        let apply = ["apply", "--server-side", "-f", "-"];
        assert_eq!(kubectl.ok_with(&apply, WEB).await, "app.tenure.dev/web serverside-applied\n");
        let revision = ["get", "app", "web", "-o", "jsonpath={.metadata.resourceVersion}"];
        let first = kubectl.ok(&revision).await;
        kubectl.ok_with(&apply, WEB).await;
        assert_eq!(kubectl.ok(&revision).await, first, "an apply that changes nothing writes nothing");
        let without_env = WEB.replace("  env:\n  - {name: MODE, value: live}\n", "");
        kubectl.ok_with(&apply, &without_env).await;
        assert_eq!(kubectl.ok(&["get", "app", "web", "-o", "jsonpath={.spec.env}"]).await, "");
        let other = WEB.replace("instances: 2", "instances: 9");
        let as_other = ["apply", "--server-side", "--field-manager=other", "-f", "-"];
        let conflict = kubectl.fails(&as_other, &other).await;
        assert!(
            conflict.contains("conflict with \"kubectl\"") && conflict.contains(".spec.instances"),
            "{conflict}"
        );
        let forced = ["apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-"];
        kubectl.ok_with(&forced, &other).await;
        assert_eq!(kubectl.ok(&["get", "app", "web", "-o", "jsonpath={.spec.instances}"]).await, "9");
        let managers = kubectl.ok(&["get", "--raw", &format!("{APPS}/web")]).await;
        assert!(managers.contains("\"manager\":\"other\""), "{managers}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_manifest_from_another_applier_is_no_conflict() {
    // The list is owned as one value, and the store has the default of `protocol` in it.
    let with_ports = format!("{WEB}  ports: [{{name: http, hostPort: 31080}}]\n");
    for (_server, kubectl) in Kubectl::all().await {
        kubectl.ok_with(&["apply", "-f", "-"], &with_ports).await;
        let manager = |name| ["apply", "--server-side", name, "-f", "-"];
        kubectl.ok_with(&manager("--field-manager=other"), &with_ports).await;
        let other_port = with_ports.replace("31080", "31081");
        let changed = kubectl.fails(&manager("--field-manager=third"), &other_port).await;
        assert!(changed.contains(".spec.ports"), "{changed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn get_prints_every_form() {
    for (_server, kubectl) in Kubectl::all().await {
        kubectl.ok_with(&["create", "-f", "-"], WEB).await;
        kubectl.ok_with(&["create", "-f", "-"], &WEB.replace("web", "api").replace("shop", "core")).await;
        let table = kubectl.ok(&["get", "apps"]).await;
        let lines: Vec<&str> = table.lines().collect();
        assert!(
            lines[0].starts_with("NAME") && lines[0].contains("INSTANCES") && lines[0].ends_with("AGE"),
            "{table}"
        );
        assert!(
            !lines[0].contains("IMAGE") && lines[1].starts_with("api") && lines[2].starts_with("web"),
            "{table}"
        );
        assert!(lines[2].ends_with('s'), "an age in seconds: {table}");
        let wide = kubectl.ok(&["get", "apps", "-o", "wide"]).await;
        assert!(wide.lines().next().unwrap().contains("IMAGE"), "{wide}");
        assert_eq!(
            kubectl.ok(&["get", "app", "-o", "name"]).await,
            "app.tenure.dev/api\napp.tenure.dev/web\n"
        );
        let yaml = kubectl.ok(&["get", "app/web", "-o", "yaml"]).await;
        assert!(yaml.contains("kind: App\n") && yaml.contains("  cmd: sleep 1000\n"), "{yaml}");
        let list: Value = serde_json::from_str(&kubectl.ok(&["get", "apps", "-o", "json"]).await).unwrap();
        assert_eq!(list["items"].as_array().unwrap().len(), 2);
        let selected = kubectl.ok(&["get", "apps", "-l", "team in (shop),team!=x", "-o", "name"]).await;
        assert_eq!(selected, "app.tenure.dev/web\n");
        let by_field = ["get", "apps", "--field-selector", "metadata.name=api", "-o", "name"];
        assert_eq!(kubectl.ok(&by_field).await, "app.tenure.dev/api\n");
        let everywhere = kubectl.ok(&["get", "apps", "-A", "--show-labels"]).await;
        assert!(everywhere.contains("NAMESPACE") && everywhere.contains("team=shop"), "{everywhere}");
        let all = kubectl.ok(&["get", "all"]).await;
        assert!(all.contains("app.tenure.dev/web"), "{all}");
        let chunked = kubectl.ok(&["get", "apps", "--chunk-size=1", "-o", "name"]).await;
        assert_eq!(chunked.lines().count(), 2);
        let sorted = kubectl.ok(&["get", "apps", "--sort-by=.metadata.name", "--no-headers"]).await;
        assert!(sorted.starts_with("api"), "{sorted}");
        let missing = kubectl.fails(&["get", "app", "nope"], "").await;
        assert_eq!(missing, "Error from server (NotFound): apps.tenure.dev \"nope\" not found\n");
        let bad = kubectl.fails(&["get", "apps", "--field-selector", "spec.cmd=x"], "").await;
        assert!(bad.contains("field label not supported: spec.cmd"), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn create_takes_generated_names_and_dry_runs() {
    for (_server, kubectl) in Kubectl::all().await {
        let created = kubectl.ok_with(&["create", "-f", "-", "--dry-run=server"], WEB).await;
        assert_eq!(created, "app.tenure.dev/web created (server dry run)\n");
        assert_eq!(kubectl.ok(&["get", "apps", "-o", "name"]).await, "");
        let generated = WEB.replace("  name: web\n", "  generateName: web-\n");
        let created = kubectl.ok_with(&["create", "-f", "-", "-o", "name"], &generated).await;
        assert!(
            created.starts_with("app.tenure.dev/web-") && created.len() > "app.tenure.dev/web-".len() + 4,
            "{created}"
        );
        kubectl.ok_with(&["create", "-f", "-"], WEB).await;
        let twice = kubectl.fails(&["create", "-f", "-"], WEB).await;
        assert!(twice.contains("apps.tenure.dev \"web\" already exists"), "{twice}");
        let nowhere = kubectl.fails(&["create", "-n", "nowhere", "-f", "-"], WEB).await;
        assert!(nowhere.contains("namespaces \"nowhere\" not found"), "{nowhere}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn describe_shows_the_object_and_its_events() {
    for (server, kubectl) in Kubectl::all().await {
        kubectl.ok_with(&["create", "-f", "-"], WEB).await;
        let uid = kubectl.ok(&["get", "app", "web", "-o", "jsonpath={.metadata.uid}"]).await;
        let event = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "web.1", "namespace": "default"},
            "involvedObject": {
                "apiVersion": "tenure.dev/v1", "kind": "App", "name": "web", "namespace": "default", "uid": uid,
            },
            "reason": "RolloutStarted", "message": "Revision web-1 is rolled out", "type": "Normal",
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1,
            "source": {"component": "deployment"},
        });
        let answer = server.json(http::Method::POST, "/api/v1/namespaces/default/events", &event).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let described = kubectl.ok(&["describe", "app", "web"]).await;
        assert!(described.contains("Name:         web"), "{described}");
        assert!(described.contains("RolloutStarted") && described.contains("Revision web-1"), "{described}");
        let events = kubectl.ok(&["get", "events"]).await;
        assert!(events.contains("RolloutStarted"), "{events}");
        if !kubectl.is_old() {
            let events = kubectl.ok(&["events", "--for", "app/web"]).await;
            assert!(events.contains("RolloutStarted"), "{events}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn edit_writes_what_the_editor_leaves() {
    for (_server, kubectl) in Kubectl::all().await {
        kubectl.ok_with(&["apply", "-f", "-"], WEB).await;
        let editor = kubectl.file("editor", "#!/bin/sh\nsed -i 's/instances: 2/instances: 5/' \"$1\"\n");
        let mut command = kubectl.command(&["edit", "app", "web"]);
        let output = command.env("EDITOR", format!("sh {editor}")).output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(kubectl.ok(&["get", "app", "web", "-o", "jsonpath={.spec.instances}"]).await, "5");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scale_changes_the_number_of_instances() {
    for (_server, kubectl) in Kubectl::all().await {
        kubectl.ok_with(&["create", "-f", "-"], WEB).await;
        assert_eq!(kubectl.ok(&["scale", "app/web", "--replicas=4"]).await, "app.tenure.dev/web scaled\n");
        kubectl.ok(&["scale", "app", "web", "--current-replicas=4", "--replicas=1"]).await;
        assert_eq!(kubectl.ok(&["get", "app", "web", "-o", "jsonpath={.spec.instances}"]).await, "1");
        assert_eq!(kubectl.ok(&["get", "app", "web", "-o", "jsonpath={.metadata.generation}"]).await, "3");
        kubectl.fails(&["scale", "app/web", "--current-replicas=9", "--replicas=2"], "").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_and_annotations_are_set_and_removed() {
    for (_server, kubectl) in Kubectl::all().await {
        kubectl.ok_with(&["create", "-f", "-"], WEB).await;
        assert_eq!(kubectl.ok(&["label", "app", "web", "tier=front"]).await, "app.tenure.dev/web labeled\n");
        kubectl.ok(&["label", "app", "web", "team=other", "--overwrite"]).await;
        kubectl.ok(&["label", "app", "web", "tier-"]).await;
        assert_eq!(
            kubectl.ok(&["get", "app", "web", "-o", "jsonpath={.metadata.labels}"]).await,
            "{\"team\":\"other\"}"
        );
        kubectl.ok(&["annotate", "app", "web", "note=a b"]).await;
        assert_eq!(
            kubectl.ok(&["get", "app", "web", "-o", "jsonpath={.metadata.annotations.note}"]).await,
            "a b"
        );
        kubectl.ok(&["label", "namespace", "default", "x=y"]).await;
        assert_eq!(kubectl.ok(&["get", "ns", "-l", "x=y", "-o", "name"]).await, "namespace/default\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_of_each_kind_are_applied_or_refused() {
    for (_server, kubectl) in Kubectl::all().await {
        kubectl.ok_with(&["create", "-f", "-"], WEB).await;
        kubectl.ok(&["patch", "app", "web", "--type=merge", "-p", r#"{"spec":{"instances":7}}"#]).await;
        let json = r#"[{"op":"test","path":"/spec/instances","value":7},{"op":"replace","path":"/spec/instances","value":8}]"#;
        kubectl.ok(&["patch", "app", "web", "--type=json", "-p", json]).await;
        assert_eq!(kubectl.ok(&["get", "app", "web", "-o", "jsonpath={.spec.instances}"]).await, "8");
        let unchanged =
            kubectl.ok(&["patch", "app", "web", "--type=merge", "-p", r#"{"spec":{"instances":8}}"#]).await;
        assert_eq!(unchanged, "app.tenure.dev/web patched (no change)\n");
        let strategic =
            kubectl.fails(&["patch", "app", "web", "-p", r#"{"spec":{"instances":1}}"#], "").await;
        assert!(strategic.contains("application/merge-patch+json"), "{strategic}");
        kubectl.ok_with(&["apply", "-f", "-"], CONFIG).await;
        kubectl.ok(&["patch", "configmap", "conf", "-p", r#"{"data":{"b":"2"}}"#]).await;
        let data = kubectl.ok(&["get", "cm", "conf", "-o", "jsonpath={.data}"]).await;
        assert_eq!(data, r#"{"a":"1","b":"2"}"#);
        let changed = kubectl.ok_with(&["apply", "-f", "-"], &CONFIG.replace("'1'", "'3'")).await;
        assert_eq!(changed, "configmap/conf configured\n");
        assert_eq!(kubectl.ok(&["get", "cm", "conf", "-o", "jsonpath={.data.a}"]).await, "3");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_replace_is_refused() {
    for (_server, kubectl) in Kubectl::all().await {
        kubectl.ok_with(&["create", "-f", "-"], WEB).await;
        let stale = kubectl.ok(&["get", "app", "web", "-o", "json"]).await;
        let fresh = stale.replace("\"instances\": 2", "\"instances\": 6");
        assert_eq!(kubectl.ok_with(&["replace", "-f", "-"], &fresh).await, "app.tenure.dev/web replaced\n");
        let conflict = kubectl.fails(&["replace", "-f", "-"], &stale).await;
        assert!(conflict.contains("the object has been modified"), "{conflict}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn diff_shows_what_apply_would_change() {
    for (_server, kubectl) in Kubectl::all().await {
        kubectl.ok_with(&["apply", "-f", "-"], WEB).await;
        assert_eq!(kubectl.ok_with(&["diff", "-f", "-"], WEB).await, "");
        let outcome =
            kubectl.run_with(&["diff", "-f", "-"], &WEB.replace("instances: 2", "instances: 3")).await;
        assert!(!outcome.success && outcome.stdout.contains("+  instances: 3"), "{outcome:?}");
        assert_eq!(kubectl.ok(&["get", "app", "web", "-o", "jsonpath={.spec.instances}"]).await, "2");
        let outcome = kubectl.run_with(&["diff", "--server-side", "--force-conflicts", "-f", "-"], WEB).await;
        assert!(outcome.stderr.is_empty(), "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_waits_for_finalizers_and_takes_selections() {
    for (server, kubectl) in Kubectl::all().await {
        kubectl.ok_with(&["create", "-f", "-"], WEB).await;
        // A controller would do this once the last Task is gone.
        let release = async {
            let path = format!("{APPS}/web");
            loop {
                let object = server.get(&path).await.json();
                if object["metadata"]["deletionTimestamp"].is_string() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            kubectl
                .ok(&["patch", "app", "web", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#])
                .await
        };
        let (deleted, _) = join(kubectl.ok(&["delete", "app", "web"]), release).await;
        let from = if kubectl.is_at_least(34) { " from default namespace" } else { "" };
        assert_eq!(deleted, format!("app.tenure.dev \"web\" deleted{from}\n"));
        let gone = kubectl.fails(&["delete", "app", "web"], "").await;
        assert!(gone.contains("apps.tenure.dev \"web\" not found"), "{gone}");
        for name in ["conf", "conf2", "conf3"] {
            kubectl.ok_with(&["apply", "-f", "-"], &CONFIG.replace("conf", name)).await;
        }
        kubectl.ok(&["label", "cm", "conf", "gone=soon"]).await;
        let dry = kubectl.ok(&["delete", "cm", "conf", "--dry-run=server"]).await;
        assert!(dry.contains("conf") && dry.contains("dry run"), "{dry}");
        kubectl.ok(&["delete", "cm", "-l", "gone=soon"]).await;
        assert_eq!(kubectl.ok(&["get", "cm", "-o", "name"]).await, "configmap/conf2\nconfigmap/conf3\n");
        kubectl.ok(&["delete", "cm", "conf2", "--force", "--grace-period=0"]).await;
        kubectl.ok(&["delete", "cm", "--all"]).await;
        assert_eq!(kubectl.ok(&["get", "cm", "-o", "name"]).await, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_returns_when_the_condition_holds() {
    for (server, kubectl) in Kubectl::all().await {
        kubectl.ok_with(&["create", "-f", "-"], WEB).await;
        let timed_out =
            kubectl.fails(&["wait", "app/web", "--for=condition=Ready", "--timeout=1s"], "").await;
        assert!(timed_out.contains("timed out"), "{timed_out}");
        let ready = json!({"status": {"conditions": [{
            "type": "Ready", "status": "True", "reason": "AllReady", "message": "all instances are ready",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]}});
        let request = http::Request::patch(format!("{APPS}/web/status"))
            .header("content-type", "application/merge-patch+json")
            .body(ready.to_string().into_bytes());
        let (waited, answer) = join(
            kubectl.ok(&["wait", "app/web", "--for=condition=Ready", "--timeout=30s"]),
            server.ask(request.unwrap()),
        )
        .await;
        assert_eq!((waited.as_str(), answer.status), ("app.tenure.dev/web condition met\n", 200));
        if !kubectl.is_old() {
            kubectl.ok(&["wait", "app/web", "--for=jsonpath={.spec.instances}=2", "--timeout=30s"]).await;
        }
        kubectl.ok_with(&["apply", "-f", "-"], CONFIG).await;
        let wait = ["wait", "configmap/conf", "--for=delete", "--timeout=30s"];
        let delete = ["delete", "cm", "conf", "--wait=false"];
        let (_, _) = join(kubectl.run(&wait), kubectl.ok(&delete)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn get_follows_changes() {
    for (server, kubectl) in Kubectl::all().await {
        kubectl.ok_with(&["create", "-f", "-"], WEB).await;
        for form in [&["-o", "wide"][..], &["-o", "name"], &["-o", "json"]] {
            let arguments = [&["get", "apps", "-w"], form].concat();
            let mut child = kubectl.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut seen = 0;
            let mut wanted = async |count: usize, name: &str| {
                while seen < count {
                    let line =
                        tokio::time::timeout(std::time::Duration::from_secs(30), lines.next_line()).await;
                    let line = line.unwrap().unwrap().unwrap();
                    seen += usize::from(line.contains(name) && !line.contains("last-applied"));
                }
            };
            wanted(1, "web").await;
            let name = format!("late{}", form[1]);
            server.json(http::Method::POST, APPS, &app(&name)).await;
            wanted(2, &name).await;
            child.kill().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_pass_a_dry_run_and_then_apply() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests");
    for (_server, kubectl) in Kubectl::all().await {
        for samples in ["samples", "quickstart"] {
            let samples = format!("{folder}/{samples}");
            let dry = kubectl.ok(&["apply", "--dry-run=server", "-f", &samples]).await;
            assert!(dry.lines().all(|line| line.ends_with("created (server dry run)")), "{dry}");
            kubectl.ok(&["apply", "-f", &samples]).await;
            // Defaults inside a list are news to kubectl each time, which replaces lists whole; the server knows better.
            let revisions = ["get", "apps", "-o", "jsonpath={.items[*].metadata.resourceVersion}"];
            let before = kubectl.ok(&revisions).await;
            kubectl.ok(&["apply", "-f", &samples]).await;
            assert_eq!(kubectl.ok(&revisions).await, before, "nothing was written");
            let outcome = kubectl.run(&["diff", "-f", &samples]).await;
            assert!(outcome.success, "{outcome:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn core_kinds_are_created_from_manifests() {
    for (_server, kubectl) in Kubectl::all().await {
        let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
        assert_eq!(kubectl.ok_with(&["apply", "-f", "-"], namespace).await, "namespace/shop created\n");
        kubectl.ok_with(&["apply", "-n", "shop", "-f", "-"], WEB).await;
        let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hidden}\n";
        kubectl.ok_with(&["apply", "-f", "-"], secret).await;
        let data = kubectl.ok(&["get", "secret", "s", "-o", "jsonpath={.data.password}"]).await;
        assert_eq!(data, "aGlkZGVu");
        // From 1.32 on, kubectl sends these as protobuf.
        assert_eq!(kubectl.ok(&["create", "namespace", "typed"]).await, "namespace/typed created\n");
        kubectl.ok(&["create", "configmap", "typed", "--from-literal=a=b", "--from-literal=c=d"]).await;
        assert_eq!(
            kubectl.ok(&["get", "cm", "typed", "-o", "jsonpath={.data}"]).await,
            r#"{"a":"b","c":"d"}"#
        );
        kubectl.ok(&["create", "secret", "generic", "typed", "--from-literal=password=hidden"]).await;
        let data = kubectl.ok(&["get", "secret", "typed", "-o", "jsonpath={.data.password}"]).await;
        assert_eq!(data, "aGlkZGVu");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn get_prints_built_in_kinds_as_it_does_everywhere() {
    let ages = regex::Regex::new(r"\b\d+(s|m|h|d|y)(\d+[smhd])?\b").unwrap();
    for (server, kubectl) in Kubectl::all().await {
        kubectl.ok(&["create", "configmap", "c", "--from-literal=a=1", "--from-literal=b=2"]).await;
        kubectl.ok(&["create", "secret", "generic", "s", "--from-literal=password=x"]).await;
        kubectl.ok(&["create", "serviceaccount", "bot"]).await;
        kubectl.ok(&["create", "role", "reader", "--verb=get", "--resource=configmaps"]).await;
        kubectl
            .ok(&[
                "create",
                "rolebinding",
                "bot",
                "--role=reader",
                "--serviceaccount=default:bot",
                "--user=ann",
            ])
            .await;
        let event = json!({"metadata": {"name": "e1"}, "reason": "Odd", "type": "Warning", "message": "it is odd\n",
            "involvedObject": {"kind": "App", "name": "web", "namespace": "default", "fieldPath": "spec"},
            "eventTime": "2026-01-01T00:00:00.000000Z", "reportingComponent": "test", "reportingInstance": "test-1"});
        server.json(Method::POST, "/api/v1/namespaces/default/events", &event).await;
        let table = async |arguments: &[&str]| {
            let text = kubectl.ok(&[&["get"], arguments].concat()).await;
            let rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            rows.map(|row| ages.replace_all(&row, "AGE").into_owned()).collect::<Vec<_>>().join("\n")
        };
        for (arguments, expected) in [
            (&["configmap", "c"][..], "NAME DATA AGE\nc 2 AGE"),
            (&["secret", "s"], "NAME TYPE DATA AGE\ns Opaque 1 AGE"),
            (&["serviceaccount", "bot"], "NAME SECRETS AGE\nbot 0 AGE"),
            (&["rolebinding", "bot"], "NAME ROLE AGE\nbot Role/reader AGE"),
            (
                &["rolebinding", "bot", "-o", "wide"],
                "NAME ROLE AGE USERS GROUPS SERVICEACCOUNTS\nbot Role/reader AGE ann default/bot",
            ),
            (&["events"], "LAST SEEN TYPE REASON OBJECT MESSAGE\nAGE Warning Odd app/web it is odd"),
            (
                &["events.v1.events.k8s.io"],
                "LAST SEEN TYPE REASON OBJECT MESSAGE\nAGE Warning Odd app/web it is odd",
            ),
            (
                &["events", "-o", "wide"],
                "LAST SEEN TYPE REASON OBJECT SUBOBJECT SOURCE MESSAGE FIRST SEEN COUNT NAME\n\
                 AGE Warning Odd app/web spec test, test-1 it is odd AGE 1 e1",
            ),
            (&["namespace", "default"], "NAME STATUS AGE\ndefault Active AGE"),
        ] {
            assert_eq!(table(arguments).await, expected, "{} {arguments:?}", kubectl.version);
        }
        let role = table(&["role", "reader"]).await;
        assert!(role.starts_with("NAME CREATED AT\nreader 20"), "{role}");
        assert!(shown(&server, &["get", "events"]).await.starts_with("LAST SEEN"), "tenure get, too");
    }
}
