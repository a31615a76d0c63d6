//! Images of a private registry: with the right login, with a wrong one, with none.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::dockerd::BUSYBOX;
use crate::harness::{Server, web};
use crate::registry_server::{PASSWORD, Registry};
use crate::trouble::event;

fn login(registry: &Registry, password: &str) -> Value {
    let auths = json!({"auths": {registry.host(): {"username": "tenant", "password": password}}});
    json!({".dockerconfigjson": auths.to_string()})
}

#[tokio::test(flavor = "multi_thread")]
async fn app_pulls_from_a_private_registry_and_a_wrong_password_is_told() {
    let registry = Registry::start();
    let mut server = Server::start("registry", &[]).await;
    let image = registry.push(server.dockerd().host(), BUSYBOX);
    let private = |pull_secret: Option<&str>| {
        let mut spec = web(1, "private");
        spec["container"] = json!({"image": image, "network": "host"});
        if let Some(name) = pull_secret {
            spec["container"]["pullSecret"] = json!(name);
        }
        spec["backoff"] = json!({"initial": "1s", "factor": 1.0, "max": "1s"});
        spec
    };
    server.apply("anonymous", private(None)).await;
    let told = event(&server, "anonymous", |text| text.contains(&image)).await;
    assert!(told.contains("no basic auth credentials"), "{told}");
    server.remove("anonymous").await;

    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": "registry-login"},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": login(&registry, "wrong"),
    }))
    .unwrap();
    server.api::<Secret>().create(&PostParams::default(), &secret).await.unwrap();
    server.apply("web", private(Some("registry-login"))).await;
    let told = event(&server, "web", |text| text.contains(&image)).await;
    assert!(told.contains("unauthorized") && told.contains("\"tenant\""), "{told}");
    assert!(!told.contains("wrong"), "the password is not told: {told}");

    let patch = Patch::Merge(json!({"stringData": login(&registry, PASSWORD)}));
    server.api::<Secret>().patch("registry-login", &PatchParams::default(), &patch).await.unwrap();
    server.converged("web").await;
    server.remove("web").await;
}
