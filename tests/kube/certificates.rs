//! Client certificates: who shows one is who it says, while it is good.

use http::Method;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};
use tenure::server::ClientAuthority;

use crate::kubectl::Kubectl;
use crate::server::{APPS, TestServer};

/// An authority of clients.
struct Clients {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Clients {
    fn new(name: &str) -> Clients {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Clients { issuer: Issuer::new(params, key), pem }
    }

    /// A kubeconfig for `server` with a certificate of `name` in `groups`, good until the end of a year, and no token.
    fn kubeconfig(&self, server: &TestServer, name: &str, groups: &[&str], year: i32) -> String {
        use base64::Engine as _;
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        // A name of this library has each type once; that of organizations is spelt in a second way.
        let organizations = [DnType::OrganizationName, DnType::CustomDnType(vec![2, 5, 4, 10])];
        for (type_, group) in organizations.into_iter().zip(groups) {
            params.distinguished_name.push(type_, *group);
        }
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let config = std::fs::read_to_string(&server.kubeconfig).unwrap();
        let mut config: Value = tenure::cli::yaml::parse(&config).unwrap();
        config["users"][0]["user"] = json!({"client-certificate-data": encoded(&certificate),
            "client-key-data": encoded(&key.serialize_pem())});
        config.to_string()
    }
}

/// Each kubectl, with a server that believes `clients`.
async fn all(clients: &Clients) -> Vec<(TestServer, Kubectl)> {
    let mut all = Kubectl::all().await;
    for (server, kubectl) in &mut all {
        *server = TestServer::believing(ClientAuthority::from_pem(clients.pem.as_bytes()).unwrap()).await;
        kubectl.reads(&server.kubeconfig);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_its_common_name_in_its_organizations() {
    let clients = Clients::new("people");
    for (server, mut kubectl) in all(&clients).await {
        let rbac = "/apis/rbac.authorization.k8s.io/v1";
        let rule = json!({"verbs": ["list"], "apiGroups": ["tenure.dev"], "resources": ["apps"]});
        let role = json!({"metadata": {"name": "dev"}, "rules": [rule]});
        server.json(Method::POST, &format!("{rbac}/clusterroles"), &role).await;
        let binding = json!({"metadata": {"name": "dev"}, "roleRef": {"kind": "ClusterRole", "name": "dev"},
            "subjects": [{"kind": "Group", "name": "dev"}]});
        server.json(Method::POST, &format!("{rbac}/clusterrolebindings"), &binding).await;
        server.get(&format!("{rbac}/clusterrolebindings")).await;
        // Who shows none is who the token says.
        assert_eq!(server.get(APPS).await.status, 200);

        let ann = kubectl.file("ann", &clients.kubeconfig(&server, "ann", &["dev", "ops"], 2090));
        kubectl.reads(ann.as_ref());
        kubectl.ok(&["get", "apps.tenure.dev"]).await;
        let told = kubectl.fails(&["get", "configmaps"], "").await;
        assert!(told.contains("User \"ann\" cannot list resource \"configmaps\""), "{told}");
        if kubectl.is_at_least(28) {
            let told = kubectl.ok(&["auth", "whoami", "-o", "json"]).await;
            let told: Value = serde_json::from_str(&told).unwrap();
            assert_eq!(
                told["status"]["userInfo"],
                json!({"username": "ann", "groups": ["dev", "ops", "system:authenticated"]})
            );
        }
        let root = kubectl.file("root", &clients.kubeconfig(&server, "root", &["system:masters"], 2090));
        kubectl.reads(root.as_ref());
        kubectl.ok(&["create", "configmap", "c", "--from-literal=a=b"]).await;
        let bob = kubectl.file("bob", &clients.kubeconfig(&server, "bob", &[], 2090));
        kubectl.reads(bob.as_ref());
        assert!(kubectl.fails(&["get", "apps.tenure.dev"], "").await.contains("User \"bob\" cannot list"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_and_one_of_somebody_else_get_no_connection_and_are_told_why() {
    let (clients, others) = (Clients::new("people"), Clients::new("others"));
    for (server, mut kubectl) in all(&clients).await {
        for (config, told) in [
            (clients.kubeconfig(&server, "ann", &["system:masters"], 2021), "expired certificate"),
            (others.kubeconfig(&server, "ann", &["system:masters"], 2090), "unknown certificate authority"),
        ] {
            let config = kubectl.file("config", &config);
            kubectl.reads(config.as_ref());
            // The alert may be lost when the client writes its request into the connection that is being closed.
            let mut heard = String::new();
            for _ in 0..50 {
                heard = kubectl.fails(&["get", "apps.tenure.dev"], "").await;
                if heard.contains(told) {
                    break;
                }
            }
            assert!(heard.contains(told), "{}: {told} in {heard}", kubectl.version);
        }
    }
    // A server that believes nobody's asks for none.
    let (server, mut kubectl) = Kubectl::all().await.remove(0);
    let config = kubectl.file("config", &clients.kubeconfig(&server, "ann", &["system:masters"], 2090));
    kubectl.reads(config.as_ref());
    let error = kubectl.fails(&["get", "apps.tenure.dev"], "").await;
    assert!(error.contains("Unauthorized") || error.contains("provide credentials"), "{error}");
}
