//! Kinds that users define are served exactly as ours are.

use http::{Method, Request};
use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::server::{Answer, TestServer};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

/// Widgets: two versions, defaults, a list-map, status, scale, columns, a selectable field.
fn widgets() -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "description": "Something small.", "required": ["spec"],
    "properties": {
        "spec": {"type": "object", "description": "What is wanted.", "required": ["color"], "properties": {
            "color": {"type": "string", "description": "How it looks.", "enum": ["red", "blue"]},
            "size": {"type": "integer", "format": "int32", "minimum": 0, "default": 3},
            "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {
                    "name": {"type": "string", "pattern": "^[a-z]+$"}, "count": {"type": "integer", "default": 1}}}},
        }},
        "status": {"type": "object", "properties": {"ready": {"type": "integer"}, "phase": {"type": "string"}}},
    }}});
    let version = |name: &str, storage: bool| {
        json!({"name": name, "served": true, "storage": storage, "schema": schema,
            "subresources": {"status": {},
                "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.ready"}},
            "selectableFields": [{"jsonPath": ".spec.color"}],
            "additionalPrinterColumns": [{"name": "Color", "type": "string", "jsonPath": ".spec.color"},
                {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}]})
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]},
            "versions": [version("v1beta1", false), version("v1", true)]},
    })
}

fn widget(name: &str) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {"color": "red"}})
}

/// Waits for the status of a definition: the change is told by a watch.
async fn until(server: &TestServer, name: &str, type_: &str, status: &str) -> Value {
    let watched = format!("{DEFINITIONS}?watch=true&fieldSelector=metadata.name%3D{name}");
    let mut lines = server.lines(&watched).await;
    loop {
        let line = futures::StreamExt::next(&mut lines).await.unwrap();
        let conditions = line["object"]["status"]["conditions"].as_array().cloned().unwrap_or_default();
        if conditions.iter().any(|it| it["type"] == type_ && it["status"] == status) {
            return line["object"].clone();
        }
    }
}

async fn defined(server: &TestServer) {
    let created = server.json(Method::POST, DEFINITIONS, &widgets()).await;
    assert_eq!(created.status, 201, "{}", created.text());
    until(server, "widgets.example.com", "Established", "True").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_uses_a_version_that_is_going_is_warned_and_names_may_be_limited() {
    for (server, kubectl) in Kubectl::all().await {
        let mut definition = widgets();
        definition["spec"]["versions"][0]["deprecated"] = json!(true);
        definition["spec"]["versions"][1]["deprecationWarning"] = json!("too early");
        let (code, _, message) = server.json(Method::POST, DEFINITIONS, &definition).await.refusal();
        let expected = "spec.versions[1].deprecationWarning: Invalid value: \"too early\": can only be set for deprecated versions";
        assert!(code == 422 && message.ends_with(expected), "{message}");
        definition["spec"]["versions"][1].as_object_mut().unwrap().remove("deprecationWarning");
        let schema = &mut definition["spec"]["versions"][1]["schema"]["openAPIV3Schema"]["properties"];
        schema["metadata"] =
            json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 4}}});
        let created = server.json(Method::POST, DEFINITIONS, &definition).await;
        assert_eq!(created.status, 201, "{}", created.text());
        until(&server, "widgets.example.com", "Established", "True").await;
        let (code, _, message) = server.json(Method::POST, WIDGETS, &widget("longer")).await.refusal();
        assert!(code == 422 && message.contains("metadata.name: Too long"), "{message}");
        assert_eq!(server.json(Method::POST, WIDGETS, &widget("w")).await.status, 201);
        let old = kubectl.run(&["get", "widgets.v1beta1.example.com"]).await;
        assert!(old.success && old.stdout.contains("red"), "{old:?}");
        assert_eq!(old.stderr, "Warning: example.com/v1beta1 Widget is deprecated\n");
        assert_eq!(kubectl.run(&["get", "widgets.v1.example.com"]).await.stderr, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defined_kind_is_validated_defaulted_pruned_and_has_its_subresources() {
    let server = TestServer::start().await;
    assert_eq!(server.get(WIDGETS).await.status, 404);
    let created = server.json(Method::POST, DEFINITIONS, &widgets()).await;
    assert!(!created.headers.contains_key("warning"), "{:?}", created.headers);
    let created = created.json();
    assert_eq!(created["spec"]["names"]["listKind"], "WidgetList");
    assert_eq!(
        (&created["spec"]["names"]["singular"], &created["metadata"]["generation"]),
        (&json!("widget"), &json!(1))
    );
    let told = until(&server, "widgets.example.com", "Established", "True").await;
    assert_eq!(told["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(told["status"]["acceptedNames"]["plural"], "widgets");

    let mut sent = widget("w1");
    sent["spec"]["parts"] = json!([{"name": "a"}]);
    sent["spec"]["bogus"] = json!(1);
    sent["status"] = json!({"ready": 7});
    let created = server.json(Method::POST, WIDGETS, &sent).await;
    assert_eq!(created.headers["warning"], r#"299 - "unknown field \"spec.bogus\"""#);
    let created = created.json();
    assert_eq!(created["spec"], json!({"color": "red", "size": 3, "parts": [{"name": "a", "count": 1}]}));
    assert!(created.get("status").is_none() && created["metadata"]["generation"] == 1);
    let refused: Answer =
        server.json(Method::POST, &format!("{WIDGETS}?fieldValidation=Strict"), &sent).await;
    assert_eq!(refused.refusal().0, 400);
    let mut wrong = widget("w2");
    wrong["spec"] = json!({"color": "green", "parts": [{"name": "A"}]});
    let (code, reason, message) = server.json(Method::POST, WIDGETS, &wrong).await.refusal();
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    assert!(
        message.contains("spec.color: Unsupported value: \"green\"")
            && message.contains("spec.parts[0].name"),
        "{message}"
    );

    let status =
        Request::patch(format!("{WIDGETS}/w1/status")).header("content-type", "application/merge-patch+json");
    let patched = server
        .ask(status.body(br#"{"status":{"ready":2},"spec":{"size":9}}"#.to_vec()).unwrap())
        .await
        .json();
    assert_eq!((&patched["status"]["ready"], &patched["spec"]["size"]), (&json!(2), &json!(3)));
    let scale = server.get(&format!("{WIDGETS}/w1/scale")).await.json();
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["replicas"]), (&json!(3), &json!(2)));
    let strategic = Request::patch(format!("{WIDGETS}/w1"))
        .header("content-type", "application/strategic-merge-patch+json");
    assert_eq!(server.ask(strategic.body(b"{}".to_vec()).unwrap()).await.status, 415);
    let apply = Request::patch(format!("{WIDGETS}/w1?fieldManager=me&force=true"))
        .header("content-type", "application/apply-patch+yaml");
    let mut config = widget("w1");
    config["spec"]["color"] = json!("blue");
    let applied = server.ask(apply.body(config.to_string().into_bytes()).unwrap()).await.json();
    assert_eq!(applied["spec"]["color"], "blue");
    for (selector, count) in [("spec.color%3Dblue", 1), ("spec.color%3Dred", 0)] {
        let list = server.get(&format!("{WIDGETS}?fieldSelector={selector}")).await.json();
        assert_eq!(list["items"].as_array().map(Vec::len), Some(count), "{selector}");
    }
    assert_eq!(server.get(&format!("{WIDGETS}?fieldSelector=spec.size%3D3")).await.refusal().0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_shows_the_same_objects() {
    let server = TestServer::start().await;
    defined(&server).await;
    let old = WIDGETS.replace("/v1/", "/v1beta1/");
    let mut sent = widget("w1");
    sent["apiVersion"] = json!("example.com/v1beta1");
    let created = server.json(Method::POST, &old, &sent).await;
    assert_eq!((created.status, created.json()["apiVersion"].clone()), (201, json!("example.com/v1beta1")));
    let new = server.get(&format!("{WIDGETS}/w1")).await.json();
    assert_eq!((&new["apiVersion"], &new["spec"]["size"]), (&json!("example.com/v1"), &json!(3)));
    let mut changed = server.get(&format!("{old}/w1")).await.json();
    let version = changed["metadata"]["resourceVersion"].clone();
    let same = server.json(Method::PUT, &format!("{old}/w1"), &changed).await.json();
    assert_eq!(same["metadata"]["resourceVersion"], version, "nothing changed");
    changed["spec"]["size"] = json!(5);
    let put = server.json(Method::PUT, &format!("{old}/w1"), &changed).await.json();
    assert_eq!(
        (&put["apiVersion"], &put["metadata"]["generation"]),
        (&json!("example.com/v1beta1"), &json!(2))
    );
    let list = server.get(&old).await.json();
    assert_eq!(
        (&list["apiVersion"], &list["items"][0]["apiVersion"]),
        (&json!("example.com/v1beta1"), &json!("example.com/v1beta1"))
    );
    let mut lines = server.lines(&format!("{old}?watch=true")).await;
    let line = futures::StreamExt::next(&mut lines).await.unwrap();
    assert_eq!(line["object"]["apiVersion"], "example.com/v1beta1");
    let group = server.get("/apis/example.com").await.json();
    assert_eq!(group["preferredVersion"]["version"], "v1", "{group}");

    // A version in which objects may be stored cannot go.
    let mut definition = server.get(&format!("{DEFINITIONS}/widgets.example.com")).await.json();
    definition["spec"]["versions"] = json!([definition["spec"]["versions"][0]]);
    definition["spec"]["versions"][0]["storage"] = json!(true);
    let (code, _, message) =
        server.json(Method::PUT, &format!("{DEFINITIONS}/widgets.example.com"), &definition).await.refusal();
    assert!(code == 422 && message.contains("v1 was previously a storage version"), "{message}");
}

type Change = fn(&mut Value);

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_cannot_be_kept_is_refused_with_its_reason() {
    let server = TestServer::start().await;
    let schema = "/spec/versions/0/schema/openAPIV3Schema";
    let rows: [(&str, Change); 16] = [
        (
            "metadata.name: Invalid value: \"others.example.com\": must be spec.names.plural+\".\"+spec.group",
            |it| {
                it["metadata"]["name"] = json!("others.example.com");
            },
        ),
        ("spec.group: Forbidden: the kinds of tenure.dev are built in", |it| {
            it["metadata"]["name"] = json!("widgets.tenure.dev");
            it["spec"]["group"] = json!("tenure.dev");
        }),
        ("metadata.annotations[api-approved.kubernetes.io]: Required value", |it| {
            it["metadata"]["name"] = json!("widgets.x.k8s.io");
            it["spec"]["group"] = json!("x.k8s.io");
        }),
        ("spec.versions: Invalid value: 2: must have exactly one version marked as storage version", |it| {
            it["spec"]["versions"][0]["storage"] = json!(true);
        }),
        ("spec.versions[1].name: Duplicate value: \"v1\"", |it| {
            it["spec"]["versions"][0]["name"] = json!("v1");
        }),
        ("spec.conversion.strategy: Unsupported value: \"Webhook\": supported values: \"None\"", |it| {
            it["spec"]["conversion"] = json!({"strategy": "Webhook"});
        }),
        ("spec.scope: Unsupported value: \"Galaxy\"", |it| it["spec"]["scope"] = json!("Galaxy")),
        ("spec.versions[0].schema.openAPIV3Schema: Required value", |it| {
            it["spec"]["versions"][0].as_object_mut().unwrap().remove("schema");
        }),
        (
            "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[size].type: Required value: must not be empty",
            |it| {
                it.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/size")
                    .unwrap()
                    .as_object_mut()
                    .unwrap()
                    .remove("type");
            },
        ),
        ("spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[size].default", |it| {
            it.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/size")
                .unwrap()["default"] = json!("x");
        }),
        ("properties[spec].patternProperties: Forbidden: patternProperties is not supported", |it| {
            it.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap()["patternProperties"] =
                json!({});
        }),
        ("x-kubernetes-validations[0].rule: Invalid value: \"self.size >\": compilation failed", |it| {
            it.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap()["x-kubernetes-validations"] =
                json!([{"rule": "self.size >"}]);
        }),
        ("compilation failed: undefined field 'sise'", |it| {
            it.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap()["x-kubernetes-validations"] =
                json!([{"rule": "self.sise > 1"}]);
        }),
        ("exceeds K8s budget", |it| {
            it.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap()["x-kubernetes-validations"] = json!([{"rule": "self.parts.all(a, self.parts.all(b, self.parts.all(c, a.name + b.name != c.name)))"}]);
        }),
        ("properties[spec].pattern: Invalid value: \"(\": must be a valid regular expression", |it| {
            it.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap()["pattern"] =
                json!("(");
        }),
        ("spec.versions[0].additionalPrinterColumns[0].jsonPath: Invalid value", |it| {
            it["spec"]["versions"][0]["additionalPrinterColumns"][0]["jsonPath"] = json!(".spec[");
        }),
    ];
    assert!(widgets().pointer(schema).is_some());
    for (expected, change) in rows {
        let mut definition = widgets();
        change(&mut definition);
        let answer = server.json(Method::POST, DEFINITIONS, &definition).await;
        let (code, _, message) = answer.refusal();
        assert!(code == 422 && message.contains(expected), "{expected}\n{code} {message}");
    }
    assert_eq!(server.get(DEFINITIONS).await.json()["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_a_definition_judge_its_objects() {
    let server = TestServer::start().await;
    let mut definition = widgets();
    for version in 0..2 {
        let spec = format!("/spec/versions/{version}/schema/openAPIV3Schema/properties/spec");
        definition.pointer_mut(&spec).unwrap()["x-kubernetes-validations"] = json!([
            {"rule": "self.size <= 10", "message": "at most ten"},
            {"rule": "self.color == oldSelf.color", "message": "paint does not come off", "fieldPath": ".color"},
        ]);
    }
    let created = server.json(Method::POST, DEFINITIONS, &definition).await;
    assert_eq!(created.status, 201, "{}", created.text());
    until(&server, "widgets.example.com", "Established", "True").await;
    let mut large = widget("w1");
    large["spec"]["size"] = json!(11);
    let (code, reason, message) = server.json(Method::POST, WIDGETS, &large).await.refusal();
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    assert!(message.contains("spec: Invalid value: \"object\": at most ten"), "{message}");
    assert_eq!(server.json(Method::POST, WIDGETS, &widget("w1")).await.status, 201);
    let paint =
        Request::patch(format!("{WIDGETS}/w1")).header("content-type", "application/merge-patch+json");
    let painted = server.ask(paint.body(br#"{"spec":{"color":"blue"}}"#.to_vec()).unwrap()).await;
    let (code, _, message) = painted.refusal();
    assert!(code == 422 && message.contains("paint does not come off"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_taken_are_not_accepted() {
    let server = TestServer::start().await;
    defined(&server).await;
    let mut second = widgets();
    second["metadata"]["name"] = json!("gadgets.example.com");
    second["spec"]["names"]["plural"] = json!("gadgets");
    assert_eq!(server.json(Method::POST, DEFINITIONS, &second).await.status, 201);
    let told = until(&server, "gadgets.example.com", "Established", "False").await;
    assert!(told.to_string().contains("is already in use"), "{told}");
    assert_eq!(server.get("/apis/example.com/v1/gadgets").await.status, 404);
    // Nothing of that kind is there, so the first one can go, and the second gets the names.
    let path = format!("{DEFINITIONS}/widgets.example.com");
    assert_eq!(server.json(Method::DELETE, &path, &Value::Null).await.status, 200);
    let told = until(&server, "widgets.example.com", "Terminating", "True").await;
    assert_eq!(told["metadata"]["finalizers"], json!(["customresourcecleanup.apiextensions.k8s.io"]));
    let (code, _, message) = server.json(Method::POST, WIDGETS, &widget("late")).await.refusal();
    assert_eq!(
        (code, message.as_str()),
        (405, "create not allowed while custom resource definition is terminating")
    );
    let release = Request::patch(&path).header("content-type", "application/merge-patch+json");
    server.ask(release.body(br#"{"metadata":{"finalizers":[]}}"#.to_vec()).unwrap()).await;
    until(&server, "gadgets.example.com", "Established", "True").await;
    assert_eq!(server.get("/apis/example.com/v1/gadgets").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_uses_a_defined_kind_as_any_other() {
    for (server, kubectl) in Kubectl::all().await {
        let file = kubectl.file("crd.json", &widgets().to_string());
        kubectl.ok(&["apply", "-f", &file]).await;
        kubectl
            .ok(&["wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=30s"])
            .await;
        assert!(kubectl.ok(&["get", "crd"]).await.contains("widgets.example.com"));
        assert!(kubectl.ok(&["apply", "-f", &file]).await.contains("unchanged"));
        let object = kubectl.file("widget.json", &widget("w1").to_string());
        assert!(kubectl.ok(&["apply", "-f", &object]).await.contains("widget.example.com/w1 created"));
        let row = kubectl.ok(&["get", "wd", "w1"]).await;
        assert!(row.contains("COLOR") && row.contains("red") && row.contains('3'), "{row}");
        assert!(kubectl.ok(&["explain", "widget.spec.color"]).await.contains("How it looks."));
        assert!(kubectl.ok(&["api-resources", "--api-group=example.com"]).await.contains("wd"));
        kubectl.ok(&["scale", "widget", "w1", "--replicas=4"]).await;
        assert!(kubectl.ok(&["get", "all"]).await.contains("widget.example.com/w1"));
        let wrong = widget("w2").to_string().replace("red", "green");
        let file = kubectl.file("wrong.json", &wrong);
        let told = kubectl.fails(&["apply", "-f", &file], "").await;
        assert!(told.contains("green"), "{told}");
        kubectl.ok(&["delete", "wd", "w1"]).await;
        drop(server);
    }
}
