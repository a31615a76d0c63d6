//! Plain requests: who may enter, negotiation, discovery, documents, logs.

use http::{Method, Request};
use serde_json::{Value, json};

use crate::server::{APPS, TestServer, app};

#[tokio::test(flavor = "multi_thread")]
async fn only_health_and_version_are_answered_without_the_token() {
    let server = TestServer::start().await;
    let mut config = kube::config::Kubeconfig::read_from(&server.kubeconfig).unwrap();
    config.auth_infos[0].auth_info.as_mut().unwrap().token = Some("wrong".to_owned().into());
    let config = kube::Config::from_custom_kubeconfig(config, &Default::default()).await.unwrap();
    let stranger = TestServerClient(kube::Client::try_from(config).unwrap());
    for path in ["/healthz", "/livez", "/readyz", "/readyz?verbose", "/version"] {
        assert_eq!(stranger.status(path).await.0, 200, "{path}");
    }
    for path in ["/", "/api", "/apis", "/metrics", "/openapi/v2", "/nowhere", APPS] {
        let (status, body) = stranger.status(path).await;
        assert_eq!((status, body["reason"].as_str()), (401, Some("Unauthorized")), "{path}");
    }
}

struct TestServerClient(kube::Client);

impl TestServerClient {
    async fn status(&self, path: &str) -> (u16, Value) {
        use http_body_util::BodyExt;
        let request = Request::get(path).body(kube::client::Body::empty()).unwrap();
        let response = self.0.send(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_is_told_plainly_and_at_once() {
    let server = TestServer::start().await;
    let groups = server.get("/apis/").await.json();
    assert_eq!(
        (&groups["kind"], &groups["groups"][0]["name"]),
        (&json!("APIGroupList"), &json!("tenure.dev"))
    );
    assert_eq!(server.get("/api").await.json()["versions"], json!(["v1"]));
    assert_eq!(server.get("/apis/tenure.dev").await.json()["kind"], "APIGroup");
    let resources = server.get("/apis/tenure.dev/v1").await.json();
    let names: Vec<&str> =
        resources["resources"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    for name in ["apps", "apps/status", "apps/scale", "tasks", "revisions", "agents", "endpoints"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                  application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
    let aggregated = server.get_as("/apis", accept).await;
    assert_eq!(
        aggregated.headers["content-type"],
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    assert_eq!(aggregated.headers["vary"], "Accept");
    let list = aggregated.json();
    assert_eq!(
        (&list["kind"], &list["items"][0]["metadata"]["name"]),
        (&json!("APIGroupDiscoveryList"), &json!("tenure.dev"))
    );
    let etag = aggregated.headers["etag"].clone();
    let again = Request::get("/apis").header("accept", accept).header("if-none-match", etag);
    let again = server.ask(again.body(Vec::new()).unwrap()).await;
    assert_eq!((again.status, again.bytes.len()), (304, 0));
    let core = server.get_as("/api", accept).await.json();
    assert_eq!(core["items"][0]["metadata"], json!({}));
    let kinds: Vec<&Value> =
        core["items"][0]["versions"][0]["resources"].as_array().unwrap().iter().collect();
    assert!(kinds.iter().any(|kind| kind["resource"] == "namespaces" && kind["scope"] == "Cluster"));
}

#[tokio::test(flavor = "multi_thread")]
async fn openapi_tells_dry_run_validation_and_patches() {
    let server = TestServer::start().await;
    let index = server.get("/openapi/v3").await.json();
    let url = index["paths"]["apis/tenure.dev/v1"]["serverRelativeURL"].as_str().unwrap();
    let document = server.get(url).await;
    assert!(document.headers["cache-control"].to_str().unwrap().contains("immutable"));
    let document = document.json();
    let patch = &document["paths"]["/apis/tenure.dev/v1/namespaces/{namespace}/apps/{name}"]["patch"];
    let parameters: Vec<&str> =
        patch["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(parameters, ["dryRun", "fieldManager", "fieldValidation", "force"]);
    let types: Vec<&String> = patch["requestBody"]["content"].as_object().unwrap().keys().collect();
    assert!(!types.iter().any(|name| name.contains("strategic")), "{types:?}");
    let app = &document["components"]["schemas"]["dev.tenure.v1.App"];
    assert_eq!(app["x-kubernetes-group-version-kind"][0]["kind"], "App");
    assert!(app["properties"]["spec"]["properties"]["instances"].is_object());
    let v2 = server.get("/openapi/v2").await.json();
    assert_eq!(v2["swagger"], "2.0");
    assert!(!v2.to_string().contains("#/components/"), "a reference of version 3 in version 2");
    let protobuf =
        server.get_as("/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf").await;
    assert_eq!(&protobuf.bytes[..5], b"\x0a\x032.0");
    // Every reference of both documents leads somewhere.
    for (document, root) in [(&document, "/components/schemas/"), (&v2, "/definitions/")] {
        let text = document.to_string();
        for name in text.split(&format!("\"$ref\":\"#{root}")).skip(1) {
            let name = name.split('"').next().unwrap();
            assert!(document.pointer(&format!("{root}{name}")).is_some(), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_in_the_form_that_was_asked_for() {
    let server = TestServer::start().await;
    let created = server.json(Method::POST, APPS, &app("web")).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let web = format!("{APPS}/web");
    let yaml = server.get_as(&web, "application/yaml").await;
    assert_eq!(yaml.headers["content-type"], "application/yaml");
    assert!(yaml.text().contains("kind: App\n"), "{}", yaml.text());
    let meta = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,\
                application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
    let meta = server.get_as(&web, meta).await.json();
    assert_eq!((&meta["kind"], &meta["metadata"]["name"]), (&json!("PartialObjectMetadata"), &json!("web")));
    assert!(meta.get("spec").is_none());
    let metas = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let metas_list = server.get_as(APPS, metas).await.json();
    assert_eq!(
        (&metas_list["kind"], metas_list["items"].as_array().unwrap().len()),
        (&json!("PartialObjectMetadataList"), 1)
    );
    let single = server.get_as(&web, metas).await;
    assert_eq!(single.refusal(), (500, String::new(), "content is not a list".to_owned()));
    let table = "application/json;as=Table;v=v1beta1;g=meta.k8s.io";
    let rows = server.get_as(APPS, table).await.json();
    assert_eq!((&rows["kind"], &rows["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1beta1")));
    assert_eq!(
        rows["columnDefinitions"].as_array().unwrap().len(),
        rows["rows"][0]["cells"].as_array().unwrap().len()
    );
    assert_eq!(rows["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let whole = server.get_as(&format!("{APPS}?includeObject=Object"), table).await.json();
    assert_eq!(whole["rows"][0]["object"]["kind"], "App");
    let none = server.get_as(&format!("{APPS}?includeObject=None"), table).await.json();
    assert_eq!(none["rows"][0]["object"], Value::Null);
    let scale = server.get_as(&format!("{web}/scale"), "application/json").await.json();
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&json!("Scale"), &json!(2)));
    let head = server.ask(Request::head(&web).body(Vec::new()).unwrap()).await;
    assert_eq!((head.status, head.bytes.len()), (200, 0));
    let text = "only the following media types are accepted: application/json, application/yaml";
    assert_eq!(server.get_as(APPS, "text/html").await.refusal(), (406, "NotAcceptable".into(), text.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_any_verb_answers_as_if_and_changes_nothing() {
    let server = TestServer::start().await;
    let mut web = app("web");
    web["metadata"]["labels"] = json!({"a": "b"});
    let made = server.json(Method::POST, APPS, &web).await.json();
    let path = format!("{APPS}/web");
    let mut changed = made.clone();
    changed["spec"]["instances"] = json!(9);
    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}, "spec": {"replicas": 9}});
    let spec = json!({"spec": {"instances": 9}});
    let apply = json!({"apiVersion": "tenure.dev/v1", "kind": "App", "spec": {"instances": 9}});
    let operations = json!([{"op": "replace", "path": "/spec/instances", "value": 9}]);
    let (json_type, merge) = ("application/json", "application/merge-patch+json");
    for (method, path, type_, body, shown) in [
        (Method::POST, APPS.to_owned(), json_type, app("other"), "/spec/instances"),
        (Method::PUT, path.clone(), json_type, changed, "/spec/instances"),
        (Method::PATCH, path.clone(), merge, spec, "/spec/instances"),
        (Method::PATCH, path.clone(), "application/json-patch+json", operations, "/spec/instances"),
        (
            Method::PATCH,
            format!("{path}?fieldManager=m&force=true"),
            "application/apply-patch+yaml",
            apply,
            "/spec/instances",
        ),
        (
            Method::PATCH,
            format!("{path}/status"),
            merge,
            json!({"status": {"running": 9}}),
            "/status/running",
        ),
        (Method::PUT, format!("{path}/scale"), json_type, scale.clone(), "/spec/replicas"),
        (Method::PATCH, format!("{path}/scale"), merge, json!({"spec": {"replicas": 9}}), "/spec/replicas"),
        (Method::DELETE, path.clone(), json_type, Value::Null, "/metadata/deletionTimestamp"),
        (Method::DELETE, format!("{APPS}?labelSelector=a"), json_type, Value::Null, "/items/0/metadata/name"),
    ] {
        let and = if path.contains('?') { '&' } else { '?' };
        let request = Request::builder().method(&method).uri(format!("{path}{and}dryRun=All"));
        let request = request.header("content-type", type_).body(match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        });
        let answer = server.ask(request.unwrap()).await;
        assert!(answer.status < 300, "{method} {path}: {}", answer.text());
        let told = answer.json().pointer(shown).cloned().unwrap_or_default();
        assert!(
            [json!(9), json!(2), json!("web")].contains(&told)
                || shown.ends_with("Timestamp") && told.is_string(),
            "{method} {path}: {told}"
        );
        let list = server.get(APPS).await.json();
        assert_eq!(list["items"], json!([made]), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_are_not_served_are_not_found() {
    let server = TestServer::start().await;
    for path in ["/apis/nope.dev/v1/foos", "/apis/tenure.dev/v9/apps", "/apis/tenure.dev/v1/foos", "/nowhere"]
    {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.text().as_str()), (404, "404 page not found\n"), "{path}");
    }
    let agent_in_namespace = server.get("/apis/tenure.dev/v1/namespaces/default/agents").await;
    assert_eq!(agent_in_namespace.status, 404);
    let nowhere = server.json(Method::POST, "/apis/tenure.dev/v1/apps", &app("web")).await;
    assert_eq!((nowhere.status, nowhere.text().as_str()), (404, "404 page not found\n"));
    let on_name = server.json(Method::POST, "/api/v1/namespaces/default/configmaps/web", &json!({})).await;
    assert_eq!(on_name.refusal().0, 405);
    let other = server.json(Method::POST, &format!("{APPS}/other"), &app("web")).await;
    let text = "the name of the object (web) does not match the name on the URL (other)";
    assert_eq!(other.refusal(), (400, "BadRequest".into(), text.into()));
    assert_eq!(server.json(Method::POST, &format!("{APPS}/web"), &app("web")).await.status, 201);
    let service = server.json(Method::POST, "/api/v1/namespaces/default/services", &json!({})).await;
    assert_eq!(service.refusal().0, 405, "there are none, and none can be made");
    let collection = server.json(Method::PUT, APPS, &app("web")).await;
    assert_eq!(collection.refusal(), (400, "BadRequest".into(), "name must be provided".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_of_a_task_are_streamed() {
    let server = TestServer::start().await;
    let task = json!({
        "apiVersion": "tenure.dev/v1", "kind": "Task", "metadata": {"name": "web-1"},
        "spec": {"app": "web", "revision": "web-abc", "slot": 0},
    });
    let tasks = "/apis/tenure.dev/v1/namespaces/default/tasks";
    let created = server.json(Method::POST, tasks, &task).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let log = |query: &str| format!("{tasks}/web-1/log{query}");
    assert_eq!(server.get(&log("")).await.text(), "one\ntwo\n");
    assert_eq!(server.get(&log("?tailLines=1&follow=true")).await.text(), "two\nthree\n");
    let (code, _, message) = server.get(&log("?stream=stderr")).await.refusal();
    assert_eq!((code, message.as_str()), (400, "task web-1 has written nothing"));
    let (code, _, message) = server.get(&log("?tailLines=-1")).await.refusal();
    assert_eq!(
        (code, message.as_str()),
        (400, "tailLines: Invalid value: \"-1\": must be a whole number, 0 or more")
    );
    assert_eq!(server.get(&format!("{tasks}/nope/log")).await.refusal().0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_requests() {
    let server = TestServer::start().await;
    server.get(APPS).await;
    let metrics = server.get("/metrics").await.text();
    assert!(
        metrics.contains(r#"tenure_api_requests_total{verb="list",resource="apps.tenure.dev",code="200"} 1"#),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_is_refused_before_it_is_kept() {
    let server = TestServer::start().await;
    let mut large = app("web");
    large["metadata"]["annotations"] = json!({"x": "y".repeat(4 * 1024 * 1024)});
    let answer = server.json(Method::POST, APPS, &large).await;
    let text = "Request entity too large: limit is 3145728";
    assert_eq!(answer.refusal(), (413, "RequestEntityTooLarge".into(), text.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_taken_in_any_spelling_and_kept_in_one() {
    let server = TestServer::start().await;
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    // As Python writes them.
    let lease = json!({"metadata": {"name": "l"}, "spec": {"renewTime": "2026-11-20T10:31:42.4518+00:00",
        "acquireTime": "2026-11-20T11:31:42+01:00"}});
    let mut made = server.json(Method::POST, leases, &lease).await.json();
    assert_eq!(made["spec"]["renewTime"], "2026-11-20T10:31:42.451800Z");
    assert_eq!(made["spec"]["acquireTime"], "2026-11-20T10:31:42.000000Z");
    let born = made["metadata"]["creationTimestamp"].as_str().unwrap().replace('Z', "+00:00");
    made["metadata"]["creationTimestamp"] = json!(born);
    let path = format!("{leases}/l");
    let same = server.json(Method::PUT, &path, &made).await;
    assert_eq!(same.status, 200, "{}", same.text());
    assert_eq!(
        same.json()["metadata"]["resourceVersion"],
        made["metadata"]["resourceVersion"],
        "nothing changed"
    );
    made["metadata"]["creationTimestamp"] = json!("2026-11-20T10:31:42Z");
    assert_eq!(server.json(Method::PUT, &path, &made).await.refusal().0, 422);
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}, "count": 1,
        "firstTimestamp": "2026-11-20T10:31:42.4518+00:00", "eventTime": "2026-11-20T10:31:42+00:00"});
    let event = server.json(Method::POST, "/api/v1/namespaces/default/events", &event).await.json();
    assert_eq!(event["firstTimestamp"], "2026-11-20T10:31:42Z");
    assert_eq!(event["eventTime"], "2026-11-20T10:31:42.000000Z");
}
