//! Two servers of one installation: both serve the API, one leads.

use serde_json::{Value, json};

use crate::dockerd::Dockerd;
use crate::etcd::Etcd;
use crate::harness::Server;
use crate::mesos::Mesos;

/// A server of the installation that `first` is of, which leads as it was there first.
async fn second(first: &Server, name: &str, flags: &[&str]) -> Server {
    let mut second = Server::prepare(Dockerd::start(), name, flags).await;
    std::fs::create_dir_all(second.data()).unwrap();
    std::fs::copy(first.data().join("secrets.key"), second.data().join("secrets.key")).unwrap();
    second.up(&[]).await;
    second
}

fn is_waited_for(offer: &Value) -> bool {
    offer["status"]["held"] == "Waiting"
}

/// Waits until `server` holds this many offers for tasks that wait; them.
async fn held(server: &Server, count: usize) -> Vec<Value> {
    let began = tokio::time::Instant::now();
    loop {
        let request = http::Request::get("/apis/tenure.dev/v1/offers").body(Vec::new()).unwrap();
        let list = server.client().request::<Value>(request).await.unwrap_or_default();
        match list["items"].as_array() {
            Some(items) if items.len() == count && items.iter().all(is_waited_for) => return items.clone(),
            _ => assert!(began.elapsed().as_secs() < 60, "{list:#}\n{}", server.log_tail()),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_shows_the_offers_that_it_holds_and_the_other_server_says_who_leads() {
    let etcd = Etcd::start().await;
    let mesos = Mesos::start(&["--agents", "2"]).await;
    let (store, masters) = (etcd.url(), mesos.url());
    let flags = ["--store", &store, "--mesos", &masters];
    let mut first = Server::prepare(Dockerd::start(), "replicas", &flags).await;
    first.up(&[]).await;
    first.logged("leading").await;
    let mut second = second(&first, "replicas", &flags).await;
    // More than there is: both offers are held while it waits.
    let greedy = json!({"instances": 1, "cmd": "sleep 1000", "resources": {"cpus": 4000}});
    first.apply("greedy", greedy).await;
    for offer in held(&first, 2).await {
        let status = &offer["status"];
        assert_eq!(
            (&status["held"], &status["apps"]),
            (&json!("Waiting"), &json!(["default/greedy"])),
            "{offer}"
        );
        assert!(status["hostname"].as_str().unwrap().starts_with("agent"), "{offer}");
        assert_eq!(offer["metadata"]["uid"], status["offerId"]);
    }
    let told = second.get("/apis/tenure.dev/v1/offers").await;
    let pid = first.pid();
    assert!(
        told.contains("this server does not lead: ask ") && told.contains(&format!("(pid {pid})")),
        "{told}"
    );

    first.kill9();
    held(&second, 2).await;
    second.kill9();
}
