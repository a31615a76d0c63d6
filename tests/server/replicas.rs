//! Two servers of one installation: both serve the API, one leads.

use serde_json::{Value, json};

use crate::dockerd::Dockerd;
use crate::etcd::Etcd;
use crate::harness::Server;
use crate::mesos::Mesos;

/// A server of the installation that `first` is of, which leads as it was there first.
pub(crate) async fn second(first: &Server, name: &str, flags: &[&str]) -> Server {
    let mut second = Server::prepare(Dockerd::start(), name, flags).await;
    std::fs::create_dir_all(second.data()).unwrap();
    std::fs::copy(first.data().join("secrets.key"), second.data().join("secrets.key")).unwrap();
    second.up(&[]).await;
    second
}

/// More of it than there is: offers are held for seconds whenever one more of them waits, and none could be for it.
async fn greedy(server: &Server, instances: usize) {
    let app = json!({"instances": instances, "cmd": "sleep 1000", "resources": {"cpus": 4000}});
    server.apply("greedy", app).await;
}

/// Waits until the offers that `server` shows are of these hosts and for these Apps; them. They are asked for now and then.
async fn shows(server: &Server, wanted: &[(&str, &[&str])]) -> Vec<Value> {
    let began = tokio::time::Instant::now();
    for look in 1.. {
        let request = http::Request::get("/apis/tenure.dev/v1/offers").body(Vec::new()).unwrap();
        let list = server.client().request::<Value>(request).await.unwrap_or_default();
        let offers = list["items"].as_array().cloned().unwrap_or_default();
        let mut seen: Vec<(Value, Value)> = offers
            .iter()
            .map(|it| {
                let apps = it["status"].get("apps").cloned().unwrap_or(json!([]));
                (it["status"]["hostname"].clone(), apps)
            })
            .collect();
        seen.sort_by_key(|(host, _)| host.to_string());
        if seen == wanted.iter().map(|(host, apps)| (json!(host), json!(apps))).collect::<Vec<_>>() {
            return offers;
        }
        assert!(began.elapsed().as_secs() < 120, "{list:#}\n{}", server.log_tail());
        if look % 100 == 0 {
            greedy(server, server.tasks("greedy").await.len() + 1).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    unreachable!("it looks until it sees them")
}

#[tokio::test(flavor = "multi_thread")]
async fn both_servers_show_the_offers_that_the_leader_holds_and_for_whom_each_could_be() {
    let etcd = Etcd::start().await;
    let mesos = Mesos::start(&["--agents", "2"]).await;
    let (store, masters) = (etcd.url(), mesos.url());
    let flags = ["--store", &store, "--mesos", &masters];
    let mut first = Server::prepare(Dockerd::start(), "replicas", &flags).await;
    first.up(&[]).await;
    first.logged("leading").await;
    let mut second = second(&first, "replicas", &flags).await;
    greedy(&first, 1).await;
    // One machine has too little left for what waits for its Secret, and the other one has the wrong name for one of these.
    let on = |host: &str| json!([{"attribute": "hostname", "operator": "IS", "value": host}]);
    let app = |cpus: u32, constraints: Value| {
        json!({
            "instances": 1, "cmd": "sleep 1000", "resources": {"cpus": cpus, "memory": "32Mi"}, "constraints": constraints,
        })
    };
    first.apply("sleeper", app(2, on("agent2"))).await;
    first.converged("sleeper").await;
    let secret = json!([{"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "words", "key": "word"}}}]);
    for (name, cpus, constraints) in
        [("roomy", 3, json!([])), ("small", 1, json!([])), ("picky", 1, on("agent2"))]
    {
        let mut app = app(cpus, constraints);
        app["env"] = secret.clone();
        first.apply(name, app).await;
    }
    let wanted: [(&str, &[&str]); 2] =
        [("agent1", &["default/roomy", "default/small"]), ("agent2", &["default/picky", "default/small"])];
    for server in [&first, &second] {
        let is_listed = async || {
            for offer in shows(server, &wanted).await {
                assert_eq!(offer["status"]["held"], "Waiting", "{offer}");
                assert_eq!(offer["metadata"]["uid"], offer["status"]["offerId"]);
            }
            let listed = std::process::Command::new(env!("CARGO_BIN_EXE_tenure"))
                .args(["get", "offers"])
                .env("KUBECONFIG", server.kubeconfig())
                .output()
                .unwrap();
            let listed = String::from_utf8(listed.stdout).unwrap();
            listed.starts_with("NAME ") && listed.contains("agent1")
        };
        // Their leases may just have ended.
        assert!(is_listed().await || is_listed().await);
    }
    let leads = async |server: &Server| server.metrics().await.contains("tenure_leader 1\n");
    assert!(leads(&first).await && !leads(&second).await);
    // Whoever is no server of the installation is not let in by that door.
    let told = crate::harness::curl(&format!("{}/peers/offers", first.url()), &[]).await;
    assert!(told.contains("Unauthorized"), "{told}");

    first.kill9();
    shows(&second, &wanted).await;
    assert!(leads(&second).await);
    second.kill9();
}
