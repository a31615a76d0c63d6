//! Two servers of one installation, of which the leading one is not let in by Mesos: the other one goes on.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use tenure::api::App;
use tenure::registry::Prefix;
use tenure::store::{Op, Store as _, Txn};

use crate::dockerd::Dockerd;
use crate::etcd::Etcd;
use crate::failover::leads;
use crate::harness::{Server, curl, is_converged};
use crate::mesos::Mesos;
use crate::replicas::second;

fn sleeper(instances: u32) -> Value {
    json!({"instances": instances, "cmd": "sleep 1000", "resources": {"cpus": "100m", "memory": "32Mi"}})
}

async fn scaled(server: &Server, instances: u32) {
    server.apply("web", sleeper(instances)).await;
    let done = |app: &App| app.spec.instances == instances && is_converged(app);
    server.until::<App>("web", &format!("{instances} instances"), done).await;
}

async fn readyz(server: &Server) -> String {
    curl(&format!("{}/readyz?verbose", server.url()), &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_with_a_wrong_secret_lets_the_other_server_lead_and_is_let_in_once_its_file_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let etcd = Etcd::start().await;
    let accounts = file("accounts", "rec:s3cret\n");
    let mesos = Mesos::start(&["--agents", "2", "--credentials", &accounts]).await;
    let (store, masters) = (etcd.url(), mesos.url());
    let (wrong, right) = (file("wrong", "rec:guessed\n"), file("right", "rec:s3cret\n"));
    let flags =
        |auth: &str| ["--store", &store, "--mesos", &masters, "--mesos-auth-file", auth].map(str::to_owned);
    let of_first = flags(&wrong);
    let mut first =
        Server::prepare(Dockerd::start(), "locked-out", &of_first.each_ref().map(String::as_str)).await;
    first.up(&[]).await;
    leads(&first, 1).await;
    assert_eq!(first.lines_with("on other machines cannot ask this one"), 1, "it listens on loopback");
    let of_second = flags(&right);
    let mut second = second(&first, "locked-out", &of_second.each_ref().map(String::as_str)).await;
    let line = first.logged("leadership given up").await;
    assert!(line.contains("the principal and secret are not accepted (401)"), "{line}");
    scaled(&second, 2).await;
    assert_eq!((second.lines_with("leading term="), second.lines_with("leadership given up")), (1, 0));
    let told = readyz(&first).await;
    let words = "[-]mesos failed, the API serves on: the leadership was given up, for others to try: ";
    assert!(told.contains(words) && told.contains("(401)"), "{told}");
    let metrics = first.metrics().await;
    assert!(metrics.contains("tenure_leadership_given_up_total 1\n"), "{metrics}");
    assert!(metrics.contains("tenure_leader 0\n"), "{metrics}");
    assert!(second.metrics().await.contains("tenure_leader 1\n"));

    // It needs no restart, and nothing that runs is touched when it leads.
    file("wrong", "rec:s3cret\n");
    let before = crate::mesos::names(&first).await;
    second.kill9();
    leads(&first, 2).await;
    scaled(&first, 3).await;
    assert!(crate::mesos::names(&first).await.is_superset(&before));
    assert!(readyz(&first).await.contains("[+]mesos ok\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_reaches_the_store_and_no_master_lets_the_other_server_lead() {
    let etcd = Etcd::start().await;
    let mesos = Mesos::start(&["--agents", "2"]).await;
    // Nobody listens there.
    let (store, nowhere) = (etcd.url(), "http://127.0.0.1:1");
    let mut first =
        Server::prepare(Dockerd::start(), "no-way", &["--store", &store, "--mesos", nowhere]).await;
    first.up(&[]).await;
    leads(&first, 1).await;
    let second = second(&first, "no-way", &["--store", &store, "--mesos", &mesos.url()]).await;
    second.apply("web", sleeper(2)).await;
    leads(&second, 1).await;
    scaled(&second, 2).await;
    assert!(readyz(&first).await.contains("the leadership was given up, for others to try: "));
    assert_eq!(first.lines_with("leading term="), 1, "{}", first.log_tail());
}

/// Waits until `server` has told `times` that a stranger has its framework id; for how many seconds it leaves that alone then.
async fn usurped(server: &Server, times: usize) -> u64 {
    let began = tokio::time::Instant::now();
    let words = "another scheduler has subscribed with our framework id";
    while server.lines_with(words) < times {
        assert!(began.elapsed().as_secs() < 120, "{}", server.log_tail());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let line = server.last_line_with(words);
    let seconds = line.split("trying again in ").nth(1).unwrap().split(' ').next().unwrap();
    seconds.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_installations_with_one_framework_id_say_so_and_leave_each_other_alone_for_longer_and_longer() {
    let (etcd, copy) = (Etcd::start().await, Etcd::start().await);
    let mesos = Mesos::start(&["--agents", "2"]).await;
    let (of_first, of_second, masters) = (etcd.url(), copy.url(), mesos.url());
    let mut first =
        Server::prepare(Dockerd::start(), "twice", &["--store", &of_first, "--mesos", &masters]).await;
    first.up(&[]).await;
    scaled(&first, 1).await;
    let fact = Prefix::new("twice").meta("framework-id");
    let id = etcd.store().get(&fact).await.unwrap().expect("the framework is remembered").value;
    let put = Op::Put { key: fact, value: id, lease: None };
    copy.store().txn(Txn { guards: Vec::new(), ops: vec![put] }).await.unwrap();
    let mut second =
        Server::prepare(Dockerd::start(), "twice", &["--store", &of_second, "--mesos", &masters]).await;
    second.up(&[]).await;

    let brief = usurped(&first, 1).await;
    let told = readyz(&first).await;
    let words = "[-]mesos failed, the API serves on: the master says \"Framework failed over\"";
    assert!(told.contains(words) && told.contains("(a restored backup, a staging copy)"), "{told}");
    assert!(first.metrics().await.contains("tenure_mesos_failed_over_total 1\n"));
    first.apply("web", sleeper(2)).await;
    let (reason, message) = crate::mesos::waits_for(&first, "a copy of this store").await;
    assert_eq!(reason, "NotSubscribed", "{message}");
    usurped(&second, 1).await;
    let long = usurped(&first, 2).await;
    assert!(long > brief, "{brief} s and then {long} s");
    // The terms are theirs all the time.
    assert_eq!((first.lines_with("leading term="), second.lines_with("leading term=")), (1, 1));
    second.kill9();
    scaled(&first, 2).await;
}
