//! A server on a Mesos over HTTP: `tenure mesos`, in a process of its own.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tenure::api::App;
use tenure::registry::Prefix;
use tenure::store::Store;

use crate::dockerd::Dockerd;
use crate::etcd::Etcd;
use crate::harness::{Server, is_converged, is_live};

/// A simulated Mesos, which may be down.
struct Mesos {
    folder: TempDir,
    port: u16,
    flags: Vec<String>,
    child: Option<Child>,
}

impl Mesos {
    async fn start(flags: &[&str]) -> Mesos {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut mesos = Mesos { folder: tempfile::tempdir().unwrap(), port, flags, child: None };
        mesos.up().await;
        mesos
    }

    /// Starts it and waits until it listens.
    async fn up(&mut self) {
        let log = self.folder.path().join("log");
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let command = Command::new(env!("CARGO_BIN_EXE_tenure"))
            .args(["mesos", "--listen", &format!("127.0.0.1:{}", self.port)])
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(log))
            .spawn();
        let child = self.child.insert(command.unwrap());
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert_eq!(child.try_wait().unwrap(), None, "it does not run");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Mesos {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// Nobody here looks whether it is healthy.
fn sleeper(instances: u32) -> Value {
    json!({"instances": instances, "cmd": "sleep 1000", "resources": {"cpus": "100m", "memory": "32Mi"}})
}

async fn names(server: &Server) -> BTreeSet<String> {
    let tasks = server.tasks("web").await;
    tasks.into_iter().filter(is_live).filter_map(|task| task.metadata.name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_runs_on_a_mesos_over_http_and_outlives_the_server_and_the_master() {
    let etcd = Etcd::start().await;
    let mut mesos = Mesos::start(&["--agents", "3"]).await;
    // Of the masters that are named, the first is not there.
    let masters = format!("http://127.0.0.1:1,{}", mesos.url());
    let flags = ["--store", &etcd.url(), "--mesos", &masters, "--mesos-role", "web"];
    let mut server = Server::prepare(Dockerd::start(), "on-mesos", &flags).await;
    server.up(&[]).await;
    server.apply("web", sleeper(3)).await;
    server.converged("web").await;
    let hosts: BTreeSet<String> =
        server.tasks("web").await.into_iter().filter_map(|task| task.status?.host).collect();
    assert!(hosts.iter().all(|host| host.starts_with("agent")) && !hosts.is_empty(), "{hosts:?}");
    let fact = Prefix::new("on-mesos").meta("framework-id");
    let store = etcd.store();
    let framework = store.get(&fact).await.unwrap().expect("the framework is remembered").value;

    let before = names(&server).await;
    server.kill9();
    server.up(&[]).await;
    server.apply("web", sleeper(4)).await;
    // A watch may begin with the App of before.
    server.until::<App>("web", "scaled", |app| app.spec.instances == 4 && is_converged(app)).await;
    let after = names(&server).await;
    assert!(after.is_superset(&before) && after.len() == 4, "{before:?} became {after:?}");

    // The tasks go with the simulated agents. The new master knows neither, so that they count as unreachable and are replaced.
    mesos.kill9();
    mesos.up().await;
    server
        .until::<App>("web", "started anew", |app| {
            is_converged(app) && app.status.as_ref().is_some_and(|status| status.launched >= 8)
        })
        .await;
    let anew = names(&server).await;
    assert_eq!(anew.difference(&after).count(), 4, "{after:?} became {anew:?}");
    assert_eq!(store.get(&fact).await.unwrap().unwrap().value, framework);
    // Once by the first server, twice by the second.
    let same = format!("subscribed framework={} ", String::from_utf8_lossy(&framework));
    assert_eq!((server.lines_with("subscribed framework="), server.lines_with(&same)), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_says_why_mesos_does_not_let_it_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let accounts = file("accounts", "rec:s3cret\n", 0o600);
    let mesos = Mesos::start(&["--agents", "1", "--credentials", &accounts]).await;
    let wrong = file("wrong", "rec:guessed\n", 0o600);
    let flags = ["--mesos", &mesos.url(), "--mesos-auth-file", &wrong];
    let mut server = Server::prepare(Dockerd::start(), "mesos-login", &flags).await;
    server.up(&[]).await;
    let line = server.logged("not subscribed").await;
    assert!(line.contains("the principal and secret are not accepted (401)"), "{line}");
    assert!(!line.contains("guessed"), "{line}");
    server.kill9();
    file("wrong", "rec:s3cret\n", 0o600);
    server.up(&[]).await;
    server.apply("web", sleeper(1)).await;
    server.converged("web").await;
    server.remove("web").await;

    for (flags, words) in [
        (vec!["--mesos", "zk://127.0.0.1:2181/mesos"], "through ZooKeeper is not built yet"),
        (vec!["--mesos", "https://127.0.0.1:5050"], "needs --mesos-ca-file"),
        (vec!["--mesos", "http://127.0.0.1:5050", "--mesos-ca-file", &accounts], "is for masters with TLS"),
        (
            vec!["--mesos", "http://127.0.0.1:5050", "--mesos-auth-file", "/nowhere"],
            "--mesos-auth-file /nowhere: No such file",
        ),
        (vec!["--mesos-auth-file", &accounts], "is for a Mesos over HTTP"),
    ] {
        let mut server = Server::prepare(Dockerd::start(), "mesos-flags", &flags).await;
        server.spawn(&[]);
        assert!(!server.ended().await.success());
        let told = server.logged("error: ").await;
        assert!(told.contains(words), "{told}");
    }
    let open = file("open", "rec:s3cret", 0o644);
    let flags = ["--mesos", &mesos.url(), "--mesos-auth-file", &open];
    let mut server = Server::prepare(Dockerd::start(), "mesos-mode", &flags).await;
    server.spawn(&[]);
    assert!(!server.ended().await.success());
    assert!(server.logged("error: ").await.contains("readable by others (mode 644)"));
}
