//! Helm: a chart of ours, with a kind of its own, is installed, upgraded, rolled back and taken away.

use std::process::Output;

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::newer::clients;
use crate::server::{APPS, TestServer};

const CHART: [(&str, &str); 3] = [
    ("Chart.yaml", "apiVersion: v2\nname: shop\nversion: 0.1.0\n"),
    (
        "crds/till.yaml",
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: tills.shop.example}
spec:
  group: shop.example
  names: {plural: tills, kind: Till}
  scope: Namespaced
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {drawers: {type: integer}}}}}
",
    ),
    (
        "templates/all.yaml",
        "apiVersion: tenure.dev/v1
kind: App
metadata: {name: '{{ .Release.Name }}-web'}
spec: {instances: {{ .Values.instances }}, cmd: sleep 1000}
---
apiVersion: v1
kind: Secret
metadata: {name: '{{ .Release.Name }}-login'}
stringData: {password: a}
---
apiVersion: shop.example/v1
kind: Till
metadata: {name: '{{ .Release.Name }}-till'}
drawers: 1
",
    ),
];

struct Helm {
    program: String,
    kubeconfig: String,
    home: TempDir,
}

impl Helm {
    async fn of(version: &str, server: &TestServer) -> Helm {
        let program = clients(version).await.join("helm/helm").display().to_string();
        let home = tempfile::tempdir().unwrap();
        for (name, text) in CHART {
            let path = home.path().join("chart").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Helm { program, kubeconfig: server.kubeconfig.display().to_string(), home }
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().env("HOME", self.home.path()).env("KUBECONFIG", &self.kubeconfig);
        command.current_dir(self.home.path()).kill_on_drop(true).output().await.unwrap()
    }

    async fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {arguments:?}: {told}", self.program);
        String::from_utf8(output.stdout).unwrap()
    }

    async fn revision(&self) -> Value {
        let list = self.ok(&["list", "-o", "json"]).await;
        let list: Value = serde_json::from_str(&list).unwrap();
        list[0]["revision"].clone()
    }
}

async fn installs_upgrades_rolls_back_and_takes_away(version: &str) {
    let server = TestServer::start().await;
    let helm = Helm::of(version, &server).await;
    let web = async || server.get(&format!("{APPS}/s-web")).await.json();
    helm.ok(&["install", "s", "./chart", "--set", "instances=1"]).await;
    assert_eq!(web().await["spec"]["instances"], 1);
    let till = server.get("/apis/shop.example/v1/namespaces/default/tills/s-till").await;
    assert_eq!(till.json()["drawers"], 1, "a kind that came with the chart");
    helm.ok(&["upgrade", "s", "./chart", "--set", "instances=2"]).await;
    assert_eq!((web().await["spec"]["instances"].clone(), helm.revision().await), (json!(2), json!("2")));
    let refused = helm.run(&["upgrade", "s", "./chart", "--set", "instances=-1"]).await;
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && told.contains("should be greater than or equal to 0"), "{told}");
    assert_eq!(web().await["spec"]["instances"], 2);
    helm.ok(&["rollback", "s", "1"]).await;
    assert_eq!((web().await["spec"]["instances"].clone(), helm.revision().await), (json!(1), json!("4")));
    helm.ok(&["uninstall", "s"]).await;
    assert!(
        web().await["metadata"]["deletionTimestamp"].is_string(),
        "its loop, which lets it go, does not run here"
    );
    let secrets = server.json(Method::GET, "/api/v1/namespaces/default/secrets", &Value::Null).await.json();
    assert_eq!(secrets["items"], json!([]), "releases are Secrets");
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_4_installs_upgrades_rolls_back_and_takes_away() {
    installs_upgrades_rolls_back_and_takes_away("v36").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "hack/test clients runs it: it fetches 30 MB of an older Helm"]
async fn helm_3_does_the_same() {
    installs_upgrades_rolls_back_and_takes_away("v27").await;
}
