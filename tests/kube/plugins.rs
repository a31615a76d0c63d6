//! The samples in `manifests/plugins`, each as the account that its manifest makes.

use http::Method;
use serde_json::json;

use crate::kubectl::Kubectl;
use crate::server::{APPS, app};

const NIGHTLY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/plugins/nightly");

#[tokio::test(flavor = "multi_thread")]
async fn nightly_scales_down_at_night_and_back_by_day_with_no_more_rights_than_its_manifest_gives() {
    for (server, kubectl) in Kubectl::all().await {
        let mut web = app("web");
        web["metadata"]["labels"] = json!({"night": "1"});
        web["spec"]["instances"] = json!(3);
        assert_eq!(server.json(Method::POST, APPS, &web).await.status, 201);
        assert_eq!(server.json(Method::POST, APPS, &app("other")).await.status, 201);
        kubectl.ok(&["apply", "-f", &format!("{NIGHTLY}.yaml")]).await;
        let path = "/api/v1/namespaces/default/serviceaccounts/nightly/token";
        let token = server.json(Method::POST, path, &json!({})).await.json();
        let config = std::fs::read_to_string(&server.kubeconfig).unwrap();
        let admin = std::fs::read_to_string(server.folder.path().join("token")).unwrap();
        let config = config.replace(admin.trim(), token["status"]["token"].as_str().unwrap());
        let config = kubectl.file("nightly.kubeconfig", &config);
        let instances = async |name: &str| {
            server.get(&format!("{APPS}/{name}")).await.json()["spec"]["instances"].clone()
        };
        // Twice: what is as it should be is left alone.
        for (hour, expected) in [("23", 1), ("05", 1), ("08", 3), ("21", 3)] {
            let outcome = kubectl.script(&format!("{NIGHTLY}.sh"), &config, ("HOUR", hour)).await;
            assert!(outcome.success, "{} at {hour}: {outcome:?}", kubectl.version);
            assert_eq!(instances("web").await, json!(expected), "{} at {hour}", kubectl.version);
            assert_eq!(instances("other").await, json!(2));
        }
    }
}
