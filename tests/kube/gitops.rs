//! What GitOps tools build on: apply sets and pruning, and conditions on which everybody agrees.

use http::Method;
use serde_json::{Value, json};

use crate::cli::{tenure, with_input};
use crate::kubectl::Kubectl;
use crate::server::{APPS, TestServer, app};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PART_OF: &str = "applyset.kubernetes.io/part-of";
const KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";

fn manifest(objects: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}})
}

/// Applies `objects` as the set `web`, which a ConfigMap keeps; what is said on both outputs.
async fn apply(server: &TestServer, objects: &[Value], more: &[&str]) -> (i32, String) {
    let arguments = ["apply", "-f", "-", "--prune", "--applyset", "configmaps/web"];
    let outcome = with_input(server, &[&arguments, more].concat(), &manifest(objects)).await;
    (outcome.code, outcome.stdout + &outcome.stderr)
}

async fn names(server: &TestServer, path: &str) -> Vec<String> {
    let list = server.get(path).await.json();
    let items = list["items"].as_array().unwrap().iter();
    // Those that are going are held by a finalizer of a loop that does not run here.
    let stays = items.filter(|item| item["metadata"]["deletionTimestamp"].is_null());
    stays.map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_set_no_longer_has_is_pruned_and_nothing_else() {
    let server = TestServer::start().await;
    server.json(Method::POST, "/api/v1/namespaces", &json!({"metadata": {"name": "shop"}})).await;
    server.json(Method::POST, APPS, &app("by-hand")).await;
    let mut there = config_map("there");
    there["metadata"]["namespace"] = json!("shop");
    let all = [app("a"), app("b"), config_map("c"), there.clone()];
    let (code, told) = apply(&server, &all, &["--dry-run"]).await;
    assert_eq!((code, told.matches("created (server dry run)").count()), (0, 4), "{told}");
    assert_eq!(names(&server, CONFIG_MAPS).await, Vec::<String>::new(), "a dry run writes no parent");
    let (code, told) = apply(&server, &all, &[]).await;
    assert_eq!((code, told.matches("created\n").count()), (0, 4), "{told}");
    let parent = async || server.get(&format!("{CONFIG_MAPS}/web")).await.json()["metadata"].clone();
    let kept = parent().await;
    assert_eq!(kept["annotations"][KINDS], "App.tenure.dev,ConfigMap");
    assert_eq!(kept["annotations"]["applyset.kubernetes.io/additional-namespaces"], "shop");
    let id = kept["labels"]["applyset.kubernetes.io/id"].clone();
    let a = server.get(&format!("{APPS}/a")).await.json();
    assert_eq!(a["metadata"]["labels"][PART_OF], id);

    let (code, told) = apply(&server, &[app("a")], &["--dry-run"]).await;
    let pruned = ["app.tenure.dev/b", "configmap/there", "configmap/c"];
    assert!(
        code == 0 && pruned.iter().all(|it| told.contains(&format!("{it} pruned (server dry run)\n"))),
        "{told}"
    );
    assert_eq!(names(&server, APPS).await, ["a", "b", "by-hand"]);
    // One mistake, and nothing goes.
    let mut wrong = app("d");
    wrong["spec"]["instances"] = json!(-1);
    let (code, told) = apply(&server, &[app("a"), wrong], &[]).await;
    assert!(code == 1 && told.contains("nothing was pruned, because not all was applied"), "{told}");
    assert_eq!(names(&server, APPS).await, ["a", "b", "by-hand"]);

    let (code, told) = apply(&server, &[app("a")], &[]).await;
    assert_eq!((code, told.matches(" pruned\n").count()), (0, 3), "{told}");
    assert_eq!(names(&server, APPS).await, ["a", "by-hand"]);
    assert_eq!(names(&server, CONFIG_MAPS).await, ["web"]);
    assert_eq!(names(&server, "/api/v1/namespaces/shop/configmaps").await, Vec::<String>::new());
    let kept = parent().await;
    assert_eq!(kept["annotations"][KINDS], "App.tenure.dev");
    assert_eq!(kept["annotations"]["applyset.kubernetes.io/additional-namespaces"], "");
    assert_eq!(apply(&server, &[app("a")], &[]).await, (0, "app.tenure.dev/a unchanged\n".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_diff_of_a_set_tells_what_its_apply_would_do() {
    let server = TestServer::start().await;
    let diff = async |objects: &[Value]| {
        let arguments = ["diff", "-f", "-", "--prune", "--applyset", "configmaps/web"];
        let outcome = with_input(&server, &arguments, &manifest(objects)).await;
        (outcome.code, outcome.stdout + &outcome.stderr)
    };
    let all = [app("a"), config_map("c")];
    let (code, told) = diff(&all).await;
    assert!(code == 1 && told.contains("+++ wanted/configmap/c\n"), "{told}");
    assert_eq!(names(&server, CONFIG_MAPS).await, Vec::<String>::new(), "it makes no set");
    assert_eq!(apply(&server, &all, &[]).await.0, 0);
    assert_eq!(diff(&all).await, (0, String::new()), "nothing would change");
    let (code, told) = diff(&all[..1]).await;
    assert!(
        code == 1 && told.contains("--- live/configmap/c\n") && told.contains("\n-kind: ConfigMap\n"),
        "{told}"
    );
    assert!(!told.contains("app.tenure.dev/a"), "{told}");
    let mut wrong = app("a");
    wrong["spec"]["instances"] = json!(-1);
    let (code, told) = diff(&[wrong]).await;
    assert!(code == 2 && !told.contains("configmap/c"), "nothing would be pruned: {told}");
    let other = ["diff", "-f", "-", "--prune", "--applyset", "other"];
    let stolen = with_input(&server, &other, &manifest(&all)).await;
    assert!(stolen.code == 2 && stolen.stderr.contains("belongs to another apply set"), "{}", stolen.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_another_set_or_tool_is_left_alone() {
    let server = TestServer::start().await;
    let (code, told) = apply(&server, &[app("a")], &[]).await;
    assert_eq!(code, 0, "{told}");
    let other = ["apply", "-f", "-", "--prune", "--applyset", "other"];
    let stolen = with_input(&server, &other, &manifest(&[app("b"), app("a")])).await;
    assert!(
        stolen.code == 1 && stolen.stderr.contains("app.tenure.dev/a belongs to another apply set"),
        "{}",
        stolen.stderr
    );
    assert!(stolen.stderr.contains("nothing was applied"), "{}", stolen.stderr);
    assert_eq!(names(&server, APPS).await, ["a"]);
    let mut labelled = app("b");
    labelled["metadata"]["labels"] = json!({PART_OF: "applyset-x-v1"});
    let (code, told) = apply(&server, &[labelled], &[]).await;
    assert!(code == 1 && told.contains("leave it out, it is set by --applyset"), "{told}");

    for (name, expected) in [("plain", "is no apply set: it has no label applyset.kubernetes.io/id")] {
        server.json(Method::POST, CONFIG_MAPS, &config_map(name)).await;
        let set = format!("configmaps/{name}");
        let outcome =
            with_input(&server, &["apply", "-f", "-", "--prune", "--applyset", &set], &manifest(&[app("a")]))
                .await;
        assert!(outcome.code == 1 && outcome.stderr.contains(expected), "{}", outcome.stderr);
    }
    let app_as_parent = tenure(&server, &["apply", "-f", "-", "--prune", "--applyset", "apps/a"]).await;
    assert_ne!(app_as_parent.code, 0);
    let alone = tenure(&server, &["apply", "-f", "-", "--prune"]).await;
    assert!(alone.code == 2 && alone.stderr.contains("--applyset"), "{}", alone.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_prunes_by_apply_sets_and_by_lists_of_kinds() {
    for (server, kubectl) in Kubectl::all().await {
        let by_list = |objects: &[Value]| {
            let mut objects = objects.to_vec();
            for object in &mut objects {
                object["metadata"]["labels"] = json!({"set": "p"});
            }
            kubectl.file("list.json", &manifest(&objects))
        };
        let flag = if kubectl.is_old() { "--prune-whitelist" } else { "--prune-allowlist" };
        let kinds = format!("{flag}=tenure.dev/v1/App");
        kubectl.ok(&["apply", "-f", &by_list(&[app("x"), app("y")]), "--prune", "-l", "set=p", &kinds]).await;
        let told =
            kubectl.ok(&["apply", "-f", &by_list(&[app("x")]), "--prune", "-l", "set=p", &kinds]).await;
        assert!(told.contains("app.tenure.dev/y pruned"), "{told}");
        if kubectl.is_old() {
            continue;
        }
        for parent in ["configmaps/aset", "sset"] {
            let set = format!("--applyset={parent}");
            let arguments = ["apply", "-n", "default", "--prune", &set, "-f"];
            let objects = [app("pa"), app("pb"), config_map("pc")];
            let all = kubectl.file("set.json", &manifest(&objects));
            kubectl.ok(&[&arguments[..], &[&all]].concat()).await;
            let one = kubectl.file("set.json", &manifest(&objects[..1]));
            let told = kubectl.ok(&[&arguments[..], &[&one]].concat()).await;
            assert!(
                told.contains("app.tenure.dev/pb pruned") && told.contains("configmap/pc pruned"),
                "{told}"
            );
            assert!(!names(&server, APPS).await.contains(&"pb".to_owned()));
            // Ours does not touch what kubectl keeps.
            let ours = ["apply", "-f", &one, "--prune", "--applyset", parent];
            let refused = tenure(&server, &ours).await;
            assert!(
                refused.code == 1 && refused.stderr.contains("is an apply set of \"kubectl/"),
                "{}",
                refused.stderr
            );
            // Nor kubectl what belongs to another set: each has its own App.
            server.json(Method::DELETE, &format!("{APPS}/pa"), &Value::Null).await;
            for name in ["pa", "pb"] {
                let path = format!("{APPS}/{name}");
                let release =
                    http::Request::patch(path).header("content-type", "application/merge-patch+json");
                server.ask(release.body(br#"{"metadata":{"finalizers":null}}"#.to_vec()).unwrap()).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_wait_and_tenure_wait_agree_about_every_condition() {
    for (server, kubectl) in Kubectl::all().await {
        let report = async |status: Value| {
            let path = format!("{APPS}/web/status");
            let request = http::Request::patch(path).header("content-type", "application/merge-patch+json");
            let answer =
                server.ask(request.body(json!({"status": status}).to_string().into_bytes()).unwrap()).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        };
        server.json(Method::POST, APPS, &app("web")).await;
        let condition = |status: &str, observed: Value| {
            let mut condition = json!({"type": "Ready", "status": status, "reason": "Test", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"});
            if !observed.is_null() {
                condition["observedGeneration"] = observed;
            }
            json!([condition])
        };
        // The generation is 1.
        for (status, observed, of_status, holds) in [
            ("True", json!(1), json!(1), true),
            ("False", json!(1), json!(1), false),
            ("True", Value::Null, json!(1), true),
            ("True", Value::Null, Value::Null, true),
            ("True", json!(0), json!(1), false),
            ("True", Value::Null, json!(0), false),
        ] {
            report(
                json!({"observedGeneration": of_status, "conditions": condition(status, observed.clone())}),
            )
            .await;
            let arguments = ["wait", "app.tenure.dev/web", "--for=condition=Ready", "--timeout=1s"];
            let told = format!("{} {status} {observed} {of_status}", kubectl.version);
            // 1.20 does not ask which generation a status or a condition is about.
            if !kubectl.is_old() || (observed != 0 && of_status != 0) {
                assert_eq!(kubectl.run(&arguments).await.success, holds, "kubectl {told}");
            }
            assert_eq!(tenure(&server, &arguments).await.code == 0, holds, "tenure {told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_and_tenure_wait_for_tasks_and_agents() {
    for (server, kubectl) in Kubectl::all().await {
        let tasks = "/apis/tenure.dev/v1/namespaces/default/tasks";
        let task = json!({"metadata": {"name": "web-1"}, "apiVersion": "tenure.dev/v1", "kind": "Task",
            "spec": {"app": "web", "revision": "web-abc", "slot": 0}});
        let agents = "/apis/tenure.dev/v1/agents";
        let agent = json!({"metadata": {"name": "a1"}, "apiVersion": "tenure.dev/v1", "kind": "Agent"});
        for (path, object) in [(tasks, task), (agents, agent)] {
            let made = server.json(Method::POST, path, &object).await;
            assert_eq!(made.status, 201, "{}", made.text());
        }
        let ready = json!([{"type": "Ready", "status": "True", "reason": "AgentReady", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
        for (path, name, object, goal, status) in [
            (tasks, "web-1", "task/web-1", "--for=jsonpath={.status.ready}=true", json!({"ready": true})),
            (agents, "a1", "agent/a1", "--for=condition=Ready", json!({"conditions": ready})),
        ] {
            let arguments = |timeout| ["wait", object, goal, timeout];
            // Of values at a path kubectl knows since 1.23.
            let knows = !kubectl.is_old() || goal.contains("condition");
            assert_ne!(tenure(&server, &arguments("--timeout=1s")).await.code, 0, "{object}");
            assert!(!knows || !kubectl.run(&arguments("--timeout=1s")).await.success, "{object}");
            let request = http::Request::patch(format!("{path}/{name}/status"))
                .header("content-type", "application/merge-patch+json");
            let body = json!({"status": status}).to_string().into_bytes();
            assert_eq!(server.ask(request.body(body).unwrap()).await.status, 200);
            assert_eq!(tenure(&server, &arguments("--timeout=30s")).await.code, 0, "{object}");
            if knows {
                kubectl.ok(&arguments("--timeout=30s")).await;
            }
        }
    }
}

/// A value as Lua writes it.
fn lua(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Array(items) => format!("{{{}}}", items.iter().map(lua).collect::<Vec<_>>().join(",")),
        Value::Object(map) => {
            let fields = map.iter().map(|(name, value)| format!("[{name:?}]={}", lua(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::String(text) => format!("{text:?}"),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// The health that Argo CD would show, by the script for this kind: a word and a message.
async fn health(kind: &str, object: &Value) -> (String, String) {
    let text = include_str!("../../manifests/gitops/argocd-cm.yaml");
    let config: Value = tenure::cli::yaml::parse(text).unwrap();
    let script =
        config["data"][format!("resource.customizations.health.tenure.dev_{kind}")].as_str().unwrap();
    let program = format!(
        "obj = {}\nlocal health = (function()\n{script}\nend)()\nprint(health.status)\nprint(health.message)",
        lua(object)
    );
    let run = tokio::process::Command::new("lua5.1").args(["-e", &program]).output().await;
    let output = run.unwrap_or_else(|error| panic!("lua5.1: {error}; apt-get install lua5.1"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).unwrap();
    let (word, message) = told.trim_end().split_once('\n').unwrap();
    (word.to_owned(), message.to_owned())
}

#[tokio::test]
async fn argo_cd_shows_how_apps_tasks_and_agents_fare() {
    let condition = |type_: &str, status: &str| json!({"type": type_, "status": status, "reason": "Why", "message": format!("{type_} is {status}")});
    let app = |observed: Value, conditions: Value| json!({"metadata": {"generation": 2}, "status": {"observedGeneration": observed, "conditions": conditions}});
    let (ready, unready) = (condition("Ready", "True"), condition("Ready", "False"));
    let task = |phase: &str, ready: bool| json!({"metadata": {}, "status": {"phase": phase, "ready": ready}});
    let agent = |condition: &Value| json!({"status": {"conditions": [condition]}});
    for (kind, object, word, message) in [
        ("App", json!({"metadata": {"generation": 1}}), "Progressing", "its change has not been seen yet"),
        ("App", app(json!(1), json!([ready])), "Progressing", "its change has not been seen yet"),
        ("App", app(json!(2), json!([])), "Progressing", "it is not ready"),
        (
            "App",
            app(json!(2), json!([unready, condition("Stalled", "False")])),
            "Progressing",
            "Ready is False",
        ),
        ("App", app(json!(2), json!([unready, condition("Stalled", "True")])), "Degraded", "Stalled is True"),
        ("App", app(json!(2), json!([ready, condition("Stalled", "False")])), "Healthy", "Ready is True"),
        ("Task", json!({"metadata": {}}), "Progressing", "Pending"),
        ("Task", task("Running", false), "Progressing", "Running"),
        ("Task", task("Running", true), "Healthy", "Running"),
        ("Task", task("Stopping", true), "Progressing", "Stopping"),
        ("Task", task("Finished", false), "Healthy", "Finished"),
        ("Task", task("Failed", false), "Degraded", "Failed"),
        ("Task", task("Lost", false), "Degraded", "Lost"),
        ("Agent", json!({}), "Progressing", "nothing is known of it yet"),
        ("Agent", agent(&ready), "Healthy", "Why"),
        ("Agent", agent(&unready), "Degraded", "Why: Ready is False"),
    ] {
        assert_eq!(health(kind, &object).await, (word.to_owned(), message.to_owned()), "{kind} {object}");
    }
}

/// What Flux's kustomize-controller does of a manifest, request by request, with the rights of `manifests/gitops/account.yaml`.
#[tokio::test(flavor = "multi_thread")]
async fn flux_applies_once_and_finds_nothing_to_do_after() {
    let server = TestServer::start().await;
    let account = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/gitops/account.yaml");
    crate::cli::shown(&server, &["apply", "-f", account]).await;
    let edit = json!({"metadata": {"name": "edit"}, "rules": [
        {"verbs": ["*"], "apiGroups": ["tenure.dev"], "resources": ["apps"]}]});
    server.json(Method::POST, "/apis/rbac.authorization.k8s.io/v1/clusterroles", &edit).await;
    let flux = crate::access::Person::known(&server, "gitops").await;
    server.get("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings").await;
    let send = async |method: Method, query: &str, type_: &str, body: &Value| {
        let request = http::Request::builder().method(method).uri(format!("{APPS}/web{query}"));
        let request = request.header("content-type", type_).body(body.to_string().into_bytes());
        flux.send(request.unwrap().map(kube::client::Body::from)).await
    };
    let apply = async |more: &str, object: &Value| {
        let query = format!("?fieldManager=kustomize-controller&force=true{more}");
        send(Method::PATCH, &query, "application/apply-patch+yaml", object).await
    };
    let content = |object: &Value| {
        let meta = &object["metadata"];
        json!([meta["labels"], meta["annotations"], object["spec"]])
    };
    let mut wanted = app("web");
    wanted["metadata"]["labels"] = json!({"kustomize.toolkit.fluxcd.io/name": "shop"});
    let get = async || send(Method::GET, "", "application/json", &Value::Null).await;
    assert_eq!(get().await.status, 404);
    let dry = apply("&dryRun=All", &wanted).await;
    assert_eq!(
        (dry.status, &dry.json()["metadata"]["resourceVersion"]),
        (201, &Value::Null),
        "it says that it is new"
    );
    assert_eq!(apply("", &wanted).await.status, 201);
    let live = get().await.json();
    let dry = apply("&dryRun=All", &wanted).await.json();
    assert_eq!(content(&dry), content(&live), "nothing to do");
    assert_eq!(dry["metadata"]["resourceVersion"], live["metadata"]["resourceVersion"]);
    // Somebody changed it by hand; Flux takes kubectl's share away and puts its own back.
    let by_hand = json!({"spec": {"instances": 9}, "metadata": {"annotations": {"note": "by hand"}}});
    let request = http::Request::patch(format!("{APPS}/web?fieldManager=kubectl-edit"))
        .header("content-type", "application/merge-patch+json");
    server.ask(request.body(by_hand.to_string().into_bytes()).unwrap()).await;
    let changed = get().await.json();
    let managers = changed["metadata"]["managedFields"].as_array().unwrap().iter();
    let rest: Vec<&Value> = managers.filter(|it| it["manager"] != "kubectl-edit").collect();
    let patch = json!([{"op": "test", "path": "/metadata/resourceVersion", "value": changed["metadata"]["resourceVersion"]},
        {"op": "replace", "path": "/metadata/managedFields", "value": rest}]);
    let patched =
        send(Method::PATCH, "?fieldManager=kustomize-controller", "application/json-patch+json", &patch)
            .await;
    assert_eq!(patched.status, 200, "{}", patched.text());
    let dry = apply("&dryRun=All", &wanted).await.json();
    assert_ne!(content(&dry), content(&changed));
    assert_eq!(apply("", &wanted).await.json()["spec"]["instances"], 2);
    let deleted =
        send(Method::DELETE, "", "application/json", &json!({"propagationPolicy": "Background"})).await;
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    // And no more than it was given.
    let secret = json!({"metadata": {"name": "x"}, "rules": []});
    let request = http::Request::post("/apis/rbac.authorization.k8s.io/v1/clusterroles")
        .header("content-type", "application/json");
    let refused =
        flux.send(request.body(kube::client::Body::from(secret.to_string().into_bytes())).unwrap()).await;
    assert_eq!(refused.refusal().0, 403);
}
