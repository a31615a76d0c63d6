//! What only a whole server shows of its Kubernetes API: what stands on the disk, and what its loops take away.

use http::Request;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::dockerd::Dockerd;
use crate::harness::{Server, web};

const PASSWORD: &str = "correct-horse-battery-staple";

/// Every file of a folder that holds `text`.
fn files_with(folder: &std::path::Path, text: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if std::fs::read(&path).unwrap().windows(text.len()).any(|window| window == text) {
            found.push(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_stand_nowhere_in_the_data_folder_and_need_its_key() {
    let mut server = Server::prepare(Dockerd::start(), "sealed", &[]).await;
    server.up(&[]).await;
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": "login"}, "stringData": {"password": PASSWORD},
    }))
    .unwrap();
    server.api::<Secret>().create(&PostParams::default(), &secret).await.unwrap();
    let encoded = base64(PASSWORD);
    server.kill9();
    for text in [PASSWORD, &encoded] {
        assert_eq!(files_with(&server.data(), text.as_bytes()), Vec::<std::path::PathBuf>::new());
        assert_eq!(server.lines_with(text), 0, "nor in the log");
    }
    server.up(&[]).await;
    let read = server.api::<Secret>().get("login").await.unwrap();
    assert_eq!(read.data.unwrap()["password"].0, PASSWORD.as_bytes());
    server.kill9();

    let (key, aside) = (server.data().join("secrets.key"), server.data().join("aside"));
    std::fs::rename(&key, &aside).unwrap();
    server.spawn(&[]);
    assert!(!server.ended().await.success());
    let told = server.logged("error: ").await;
    assert!(told.contains("secrets.key is missing"), "{told}");
    assert!(!key.exists(), "no other key takes its place");
    std::fs::write(&key, base64(&"x".repeat(32))).unwrap();
    server.spawn(&[]);
    assert!(!server.ended().await.success());
    server.logged("are not those that this installation's Secrets are sealed with").await;
    std::fs::rename(&aside, &key).unwrap();
    server.up(&[]).await;
    assert!(server.api::<Secret>().get("login").await.is_ok());
}

fn base64(text: &str) -> String {
    serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec()))
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_outlives_a_restart_and_goes_with_its_objects() {
    let mut server = Server::prepare(Dockerd::start(), "defined", &[]).await;
    server.up(&[]).await;
    let definition: CustomResourceDefinition = serde_json::from_value(json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
    }))
    .unwrap();
    let definitions = Api::<CustomResourceDefinition>::all(server.client());
    definitions.create(&PostParams::default(), &definition).await.unwrap();
    established(&server).await;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", "Widget"));
    let widgets = |server: &Server| Api::<DynamicObject>::default_namespaced_with(server.client(), &resource);
    let widget = |name: &str| DynamicObject::new(name, &resource);
    widgets(&server).create(&PostParams::default(), &widget("w1")).await.unwrap();
    let mut held = widget("w2");
    held.metadata.finalizers = Some(vec!["example.com/hold".to_owned()]);
    widgets(&server).create(&PostParams::default(), &held).await.unwrap();

    server.kill9();
    server.up(&[]).await;
    assert_eq!(widgets(&server).list(&Default::default()).await.unwrap().items.len(), 2);
    let definitions = Api::<CustomResourceDefinition>::all(server.client());
    definitions.delete("widgets.example.com", &DeleteParams::default()).await.unwrap();
    // One goes at once, the other is held, and with it the definition.
    server.until_answered(|| async { absent(widgets(&server).get_opt("w1").await) }).await;
    assert!(definitions.get("widgets.example.com").await.unwrap().metadata.deletion_timestamp.is_some());
    let release = kube::api::Patch::Merge(json!({"metadata": {"finalizers": []}}));
    widgets(&server).patch("w2", &Default::default(), &release).await.unwrap();
    server.until_answered(|| async { absent(definitions.get_opt("widgets.example.com").await) }).await;
    let path = Request::get("/apis/example.com/v1/widgets").body(Vec::new()).unwrap();
    assert!(server.client().request::<Value>(path).await.is_err());
}

/// An error while it is there.
fn absent<T>(found: kube::Result<Option<T>>) -> kube::Result<()> {
    match found? {
        None => Ok(()),
        Some(_) => Err(kube::Error::LinesCodecMaxLineLengthExceeded),
    }
}

async fn established(server: &Server) {
    let definitions = Api::<CustomResourceDefinition>::all(server.client());
    server
        .until_answered(|| async {
            let definition = definitions.get("widgets.example.com").await?;
            let conditions = definition.status.and_then(|status| status.conditions).unwrap_or_default();
            let holds = conditions.iter().any(|it| it.type_ == "Established" && it.status == "True");
            absent(Ok((!holds).then_some(())))
        })
        .await;
}

/// What kubectl says with the server's own kubeconfig.
async fn kubectl(server: &Server, arguments: &[&str]) -> String {
    let cache = tempfile::tempdir().unwrap();
    let output = tokio::process::Command::new("kubectl")
        .args(arguments)
        .env("KUBECONFIG", server.kubeconfig())
        .arg(format!("--cache-dir={}", cache.path().display()))
        .output()
        .await
        .unwrap_or_else(|error| panic!("kubectl: {error}; apt-get install kubernetes-client"));
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_tells_the_story_of_an_app_and_its_tasks() {
    let server = Server::start("story", &[]).await;
    let uid = server.uid().await;
    server.apply("web", web(1, "one")).await;
    let revision = server.converged("web").await.status.unwrap().revision.unwrap();
    crate::trouble::event(&server, "web", |message| message.starts_with("all instances are ready")).await;
    let story = kubectl(&server, &["describe", "apps.tenure.dev", "web"]).await;
    for word in ["RolloutStarted", "RolledOut", &revision] {
        assert!(story.contains(word), "{word}: {story}");
    }
    let task = server.tasks("web").await[0].metadata.name.clone().unwrap();
    let told = kubectl(&server, &["describe", "tasks.tenure.dev", &task]).await;
    assert!(told.contains("Phase:") && told.contains("Running") && told.contains(&revision), "{told}");

    let victim = server.containers(&uid).await[0].id.clone().unwrap();
    server.docker().kill_container(&victim, None).await.unwrap();
    crate::trouble::event(&server, "web", |message| message.contains("exited with status 137")).await;
    let story = kubectl(&server, &["describe", "apps.tenure.dev", "web"]).await;
    assert!(story.contains("Warning") && story.contains("Failed"), "{story}");
    let events = ["get", "events", "--field-selector", "involvedObject.kind=Task", "--no-headers"];
    let told = kubectl(&server, &events).await;
    assert!(told.contains(&format!("task/{task}")) && told.contains("TaskFailed"), "{told}");
    server.converged("web").await;
    server.remove("web").await;
}
