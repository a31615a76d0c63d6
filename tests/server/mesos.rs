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
use crate::harness::{Server, curl, is_converged, is_live, port_block};

/// A simulated Mesos, which may be down.
struct Mesos {
    folder: TempDir,
    port: u16,
    flags: Vec<String>,
    variables: Vec<(String, String)>,
    child: Option<Child>,
}

impl Mesos {
    async fn start(flags: &[&str]) -> Mesos {
        Mesos::start_with(flags, &[]).await
    }

    async fn start_with(flags: &[&str], variables: &[(&str, &str)]) -> Mesos {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut mesos = Mesos { folder: tempfile::tempdir().unwrap(), port, flags, variables, child: None };
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
            .envs(self.variables.iter().cloned())
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
    let served = server.logged("agents fetch the executor here").await;
    let uri = served.split('"').nth(1).expect("the URI is in the line");
    let length = std::fs::metadata(env!("CARGO_BIN_EXE_tenure-executor")).unwrap().len();
    let head = curl(uri, &["--head"]).await;
    assert!(head.contains(&format!("content-length: {length}\r\n")), "{uri}: {head}");
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
async fn agents_fetch_the_executor_from_the_server_and_it_runs_containers_and_processes() {
    let dockerd = Dockerd::start();
    let image = dockerd.busybox().await;
    let work = tempfile::tempdir().unwrap();
    let work_dir = work.path().to_str().unwrap();
    // One agent: two of one machine would offer the same ports.
    let first = port_block();
    let ports = format!("ports:[{first}-{}]", first + 99);
    let flags = ["--agents", "1", "--work-dir", work_dir, "--agent-resources", &ports];
    let mesos = Mesos::start_with(&flags, &[("DOCKER_HOST", dockerd.host())]).await;
    let mut server = Server::prepare(dockerd, "on-agents", &["--mesos", &mesos.url()]).await;
    server.up(&[]).await;
    let uid = server.uid().await;
    server.apply("boxed", serving(image)).await;
    server.converged("boxed").await;
    server.assert_one_container_per_task("boxed", &uid).await;
    let plain = json!({
        "instances": 1, "cmd": "echo started; exec sleep 1000", "resources": {"cpus": "100m", "memory": "32Mi"},
    });
    server.apply("plain", plain).await;
    server.converged("plain").await;

    // What a task wrote is in its sandbox, where Mesos has it.
    let task = server.tasks("plain").await.remove(0);
    let id = task.status.unwrap().mesos_task_id.unwrap();
    let pattern = format!("/executors/{id}/runs/latest/stdout");
    let listed =
        Command::new("find").args(["-L", work_dir, "-path", &format!("*{pattern}")]).output().unwrap();
    let path = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(std::fs::read_to_string(path.trim()).unwrap(), "started\n");

    for app in ["boxed", "plain"] {
        server.remove(app).await;
    }
    server.without_containers(&uid).await;
}

/// Two that answer, by their checks' word.
fn serving(image: &str) -> Value {
    json!({
        "instances": 2, "cmd": "mkdir -p /www; echo ok > /www/health; exec httpd -f -p 8080 -h /www",
        "container": {"image": image, "network": "bridge"},
        "ports": [{"containerPort": 8080}],
        "healthChecks": [{"http": {"path": "/health"}, "interval": "200ms"}],
        "readinessChecks": [{"http": {"path": "/health"}, "interval": "200ms"}],
        "resources": {"cpus": "100m", "memory": "32Mi"},
    })
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
        (vec!["--mesos-executor", "executor"], "must be artifact, off, a URI"),
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
