//! A server on a Mesos over HTTP: `tenure mesos`, in a process of its own.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures::AsyncReadExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tenure::api::{App, Task};
use tenure::registry::Prefix;
use tenure::store::Store;

use crate::dockerd::Dockerd;
use crate::etcd::Etcd;
use crate::harness::{Server, curl, is_converged, is_live, port_block};
use crate::zookeeper::ZooKeeper;

/// A simulated Mesos, which may be down.
pub(crate) struct Mesos {
    folder: TempDir,
    /// Where its master listens, if it has one.
    port: Option<u16>,
    flags: Vec<String>,
    variables: Vec<(String, String)>,
    child: Option<Child>,
}

impl Mesos {
    pub(crate) async fn start(flags: &[&str]) -> Mesos {
        Mesos::start_with(flags, &[]).await
    }

    pub(crate) async fn start_with(flags: &[&str], variables: &[(&str, &str)]) -> Mesos {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Mesos::run(Some(port), &[&["--listen", &format!("127.0.0.1:{port}")], flags].concat(), variables)
            .await
    }

    async fn run(port: Option<u16>, flags: &[&str], variables: &[(&str, &str)]) -> Mesos {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut mesos = Mesos { folder: tempfile::tempdir().unwrap(), port, flags, variables, child: None };
        mesos.up().await;
        mesos
    }

    /// Starts a process of agents that join this one's master.
    pub(crate) async fn joined_by(&self, flags: &[&str], variables: &[(&str, &str)]) -> Mesos {
        let master = format!("127.0.0.1:{}", self.port.unwrap());
        Mesos::run(None, &[&["--join", &master], flags].concat(), variables).await
    }

    /// Starts it and waits until its master listens, if it has one.
    pub(crate) async fn up(&mut self) {
        let log = self.folder.path().join("log");
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let command = Command::new(env!("CARGO_BIN_EXE_tenure"))
            .arg("mesos")
            .args(&self.flags)
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(log))
            .spawn();
        let child = self.child.insert(command.unwrap());
        let Some(port) = self.port else { return };
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert_eq!(child.try_wait().unwrap(), None, "it does not run");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.unwrap())
    }
}

impl Drop for Mesos {
    fn drop(&mut self) {
        // Executors outlive a kill, and end with a process that is asked to: until then they need what the test has.
        if let Some(child) = &mut self.child {
            let pid = child.id().to_string();
            let _gone = Command::new("kill").arg(pid).status();
            let began = tokio::time::Instant::now();
            while began.elapsed() < PATIENCE && child.try_wait().is_ok_and(|ended| ended.is_none()) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        self.kill9();
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
        }
    }
}

/// Longer than any executor may take to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Nobody here looks whether it is healthy.
fn sleeper(instances: u32) -> Value {
    json!({"instances": instances, "cmd": "sleep 1000", "resources": {"cpus": "100m", "memory": "32Mi"}})
}

pub(crate) async fn names(server: &Server) -> BTreeSet<String> {
    let tasks = server.tasks("web").await;
    tasks.into_iter().filter(is_live).filter_map(|task| task.metadata.name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_runs_on_a_mesos_over_http_and_outlives_the_server_and_the_master() {
    let etcd = Etcd::start().await;
    let mut mesos = Mesos::start(&["--agents", "3"]).await;
    // Of the masters that are named, the first is not there.
    let masters = format!("http://127.0.0.1:1,{}", mesos.url());
    let flags =
        ["--store", &etcd.url(), "--mesos", &masters, "--mesos-role", "web", "--mesos-encoding", "json"];
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

    // What a task wrote is in its sandbox, from where its agent serves it.
    let task = server.tasks("plain").await.remove(0);
    let text = server.client().request_text(log_of(&task, "stream=stdout")).await;
    assert_eq!(text.unwrap(), "started\n");
    told_by_its_agent(&mesos, &task).await;

    for app in ["boxed", "plain"] {
        server.remove(app).await;
    }
    server.without_containers(&uid).await;
}

/// An operator finds the agent of a task at the master, and there its executor, its sandbox and what it wrote.
async fn told_by_its_agent(mesos: &Mesos, task: &Task) {
    let get = async |url: String| curl(&url, &[]).await;
    let tree = async |url: String| serde_json::from_str::<Value>(&get(url).await).unwrap();
    let state = tree(format!("{}/state", mesos.url())).await;
    let id = task.spec.binding.as_ref().unwrap().mesos_task_id.clone();
    let is_ours = |it: &&Value| it["id"] == json!(id);
    let told = state["frameworks"][0]["tasks"].as_array().unwrap().iter().find(is_ours).unwrap().clone();
    assert_eq!((&told["state"], &told["executor_id"]), (&json!("TASK_RUNNING"), &json!(id)));
    let agent = state["slaves"].as_array().unwrap().iter().find(|it| it["id"] == told["slave_id"]).unwrap();
    let agent = format!("http://{}", agent["pid"].as_str().unwrap().split('@').nth(1).unwrap());

    let state = tree(format!("{agent}/slave(1)/state")).await;
    assert_eq!(state["id"], told["slave_id"]);
    let executors = state["frameworks"][0]["executors"].as_array().unwrap();
    let executor = executors.iter().find(is_ours).unwrap();
    assert_eq!(executor["tasks"][0]["state"], "TASK_RUNNING");
    let directory = executor["directory"].as_str().unwrap();
    let listed = tree(format!("{agent}/files/browse?path={directory}")).await;
    let paths: Vec<&str> = listed.as_array().unwrap().iter().filter_map(|it| it["path"].as_str()).collect();
    assert!(paths.contains(&format!("{directory}/stdout").as_str()), "{paths:?}");
    let read = tree(format!("{agent}/files/read?path={directory}/stdout&offset=0")).await;
    assert_eq!(read, json!({"data": "started\n", "offset": 0}));
    assert_eq!(get(format!("{agent}/files/download?path={directory}/stdout")).await, "started\n");
    let outside =
        get(format!("{agent}/files/read?path={directory}/../../../../../../../etc/passwd&offset=0")).await;
    assert!(outside.contains("is inaccessible"), "{outside}");
    assert!(get(format!("{agent}/containers")).await.contains("/containers is not built"));
}

/// Two that answer, by their checks' word.
pub(crate) fn serving(image: &str) -> Value {
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
async fn a_profile_makes_a_cluster_of_unlike_agents_and_says_what_is_wrong_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("profile.toml");
    let text = "
        [[agents]]
        name = 'big'
        count = 2
        resources = 'cpus:16;mem:65536'
        attributes = 'rack:r1'
        region = 'eu'
        zone = 'eu-1'

        [[agents]]
        name = 'broken'
        count = 1
        attributes = 'rack:r2'
        start-delay = '10ms'
        failure-rate = 1.0
    ";
    std::fs::write(&profile, text).unwrap();
    let mesos = Mesos::start(&["--profile", profile.to_str().unwrap()]).await;
    let told: Value = serde_json::from_str(&curl(&format!("{}/slaves", mesos.url()), &[]).await).unwrap();
    let told = told["slaves"].as_array().unwrap().iter().map(|it| {
        let zone = it["domain"]["fault_domain"]["zone"]["name"].as_str().unwrap_or("none");
        let part = |name: &str| it[name].as_str().unwrap().to_owned();
        (
            part("hostname"),
            it["resources"]["cpus"].as_f64(),
            it["attributes"]["rack"].clone(),
            zone.to_owned(),
        )
    });
    let told: Vec<_> = told.collect();
    let agent = |name: &str, cpus: f64, rack: &str, zone: &str| {
        (name.to_owned(), Some(cpus), json!(rack), zone.to_owned())
    };
    for expected in [
        agent("big1", 16.0, "r1", "eu-1"),
        agent("big2", 16.0, "r1", "eu-1"),
        agent("broken1", 4.0, "r2", "none"),
    ] {
        assert!(told.contains(&expected), "{expected:?} is not in {told:?}");
    }
    assert_eq!(told.len(), 3);

    // What is placed by attribute and domain runs where it belongs; what can only be where all fails, fails.
    let mut server = Server::prepare(Dockerd::start(), "on-unlike", &["--mesos", &mesos.url()]).await;
    server.up(&[]).await;
    let mut web = sleeper(2);
    web["constraints"] = json!([{"attribute": "@zone", "operator": "IS", "value": "eu-1"}]);
    server.apply("web", web).await;
    server.converged("web").await;
    let hosts: BTreeSet<String> =
        server.tasks("web").await.into_iter().filter_map(|task| task.status?.host).collect();
    assert!(hosts.iter().all(|host| host.starts_with("big")) && !hosts.is_empty(), "{hosts:?}");
    let mut doomed = sleeper(1);
    doomed["constraints"] = json!([{"attribute": "rack", "operator": "IS", "value": "r2"}]);
    server.apply("doomed", doomed).await;
    let failed = |app: &App| app.status.as_ref().is_some_and(|it| it.backoff.is_some());
    server.until::<App>("doomed", "failing", failed).await;

    std::fs::write(&profile, text.replace("1.0", "1.5")).unwrap();
    let tenure = env!("CARGO_BIN_EXE_tenure");
    let refused =
        Command::new(tenure).args(["mesos", "--profile", profile.to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("agents[1]: failure-rate is 1.5: allowed are 0.0 to 1.0"),
        "{said}"
    );
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
        (vec!["--mesos", "zk://127.0.0.1:2181"], "must be zk://HOST:PORT,HOST:PORT,…/PATH"),
        (vec!["--mesos", "https://127.0.0.1:5050"], "needs --mesos-ca-file"),
        (vec!["--mesos", "http://127.0.0.1:5050", "--mesos-ca-file", &accounts], "is for masters with TLS"),
        (
            vec!["--mesos", "http://127.0.0.1:5050", "--mesos-auth-file", "/nowhere"],
            "--mesos-auth-file /nowhere: No such file",
        ),
        (vec!["--mesos-auth-file", &accounts], "is for a Mesos over HTTP"),
        (vec!["--mesos-executor-per", "agent"], "--mesos-executor-per is for a Mesos over HTTP"),
        (vec!["--mesos-executor", "executor"], "must be artifact, off, a URI"),
        (vec!["--mesos-executor-per", "machine"], "must be task or agent"),
        (vec!["--mesos-encoding", "yaml"], "must be protobuf or json"),
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

/// The reason and message of the condition `Waiting` of App `web`, once it is true and says `words`.
pub(crate) async fn waits_for(server: &Server, words: &str) -> (String, String) {
    let find = |app: &App| {
        let conditions = app.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
        let waiting = conditions.into_iter().find(|it| it.type_ == "Waiting" && it.status == "True")?;
        waiting.message.contains(words).then_some((waiting.reason, waiting.message))
    };
    let app = server.until::<App>("web", &format!("waiting: {words}"), |app| find(app).is_some()).await;
    find(&app).unwrap()
}

async fn readyz(server: &Server) -> (String, String) {
    let url = format!("{}/readyz", server.url());
    (curl(&url, &[]).await, curl(&format!("{url}?verbose"), &[]).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_master_the_api_serves_on_and_says_why_nothing_is_launched() {
    let etcd = Etcd::start().await;
    let mut mesos = Mesos::start(&["--agents", "1"]).await;
    mesos.kill9();
    let flags = ["--mesos", &mesos.url()];
    let mut server = Server::prepare(Dockerd::start(), "no-master", &flags).await;
    server.up(&[]).await;
    server.apply("web", sleeper(1)).await;
    let (reason, message) = waits_for(&server, "Connection refused").await;
    assert_eq!(reason, "NotSubscribed");
    let words = format!(
        "1 task waits: not subscribed to the Mesos master: no leading master reached: {}",
        mesos.url()
    );
    assert!(message.starts_with(&words), "{message}");
    let (brief, verbose) = readyz(&server).await;
    assert_eq!(brief, "ok");
    assert!(verbose.contains("[-]mesos failed, the API serves on: no leading master reached: "), "{verbose}");
    let metrics = server.metrics().await;
    assert!(metrics.contains("tenure_ready{check=\"mesos\"} 0\n"), "{metrics}");
    assert!(metrics.contains("tenure_mesos_subscribed 0\n"), "{metrics}");

    mesos.up().await;
    server.converged("web").await;
    let metrics = server.metrics().await;
    assert!(metrics.contains("tenure_ready{check=\"mesos\"} 1\n"), "{metrics}");
    assert!(metrics.contains("tenure_mesos_subscribed 1\n"), "{metrics}");
    let (_, verbose) = readyz(&server).await;
    assert!(verbose.contains("[+]mesos ok\n"), "{verbose}");
    server.kill9();

    // What listens there is no Mesos.
    let other = etcd.url().replace("etcd://", "http://");
    let mut server = Server::prepare(Dockerd::start(), "refused", &["--mesos", &other]).await;
    server.up(&[]).await;
    server.apply("web", sleeper(1)).await;
    let (reason, message) = waits_for(&server, "404: ").await;
    assert_eq!(reason, "NotSubscribed", "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_framework_that_mesos_has_removed_is_registered_anew_only_by_order() {
    let mut mesos = Mesos::start(&["--agents", "2"]).await;
    let flags = ["--mesos", &mesos.url()];
    let mut server = Server::prepare(Dockerd::start(), "removed", &flags).await;
    server.up(&[]).await;
    server.apply("web", sleeper(2)).await;
    server.converged("web").await;
    let before = names(&server).await;
    let subscribed = server.logged("subscribed framework=").await;
    let id = subscribed.split("framework=").nth(1).unwrap().split(' ').next().unwrap().to_owned();

    let teardown = json!({"type": "TEARDOWN", "teardown": {"framework_id": {"value": id}}}).to_string();
    let head = ["--header", "Content-Type: application/json", "--data", &teardown];
    assert_eq!(curl(&format!("{}/api/v1", mesos.url()), &head).await, "");
    let told = server.logged("--mesos-register-anew").await;
    assert!(told.contains(&format!("Mesos has removed framework {id}")) && told.contains("ERROR"), "{told}");
    server.apply("web", sleeper(3)).await;
    let down = |app: &App| app.status.as_ref().is_some_and(|it| (it.running, it.waiting) == (0, 3));
    server.until::<App>("web", "down", down).await;
    waits_for(&server, &format!("--mesos-register-anew {id}")).await;
    assert!(names(&server).await.is_disjoint(&before));

    // The next master would take the id again; it is not asked.
    server.kill9();
    mesos.kill9();
    mesos.up().await;
    server.up(&[]).await;
    waits_for(&server, &format!("--mesos-register-anew {id}")).await;
    let (brief, verbose) = readyz(&server).await;
    assert!(brief == "ok" && verbose.contains(&format!("--mesos-register-anew {id}")), "{verbose}");
    let removed = async || server.metrics().await.contains("tenure_mesos_framework_removed 1\n");
    assert!(removed().await);
    assert_eq!(server.lines_with("subscribed framework="), 1);

    server.kill9();
    server.up(&[("TENURE_MESOS_REGISTER_ANEW", &id)]).await;
    let fresh = |app: &App| is_converged(app) && app.spec.instances == 3;
    server
        .until::<App>("web", "started anew", |app| {
            fresh(app) && app.status.as_ref().is_some_and(|status| status.launched >= 5)
        })
        .await;
    let after = names(&server).await;
    assert!(server.metrics().await.contains("tenure_mesos_framework_removed 0\n"));
    assert!(after.is_disjoint(&before) && after.len() == 3, "{before:?} became {after:?}");
    assert_eq!(server.lines_with("subscribed framework="), 2);
    assert_eq!(server.lines_with(&format!("subscribed framework={id} ")), 1);

    // The order is spent.
    server.kill9();
    server.up(&[("TENURE_MESOS_REGISTER_ANEW", &id)]).await;
    server.until::<App>("web", "still there", fresh).await;
    assert_eq!(names(&server).await, after);
}

pub(crate) fn log_of(task: &Task, query: &str) -> http::Request<Vec<u8>> {
    let name = task.metadata.name.as_deref().unwrap();
    let path = format!("/apis/tenure.dev/v1/namespaces/default/tasks/{name}/log?{query}");
    http::Request::get(path).body(Vec::new()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tasks_write_is_read_from_the_sandboxes_of_their_agents() {
    let folder = tempfile::tempdir().unwrap();
    let mut mesos = Mesos::start(&["--agents", "2", "--sandboxes", folder.path().to_str().unwrap()]).await;
    let flags = ["--mesos", &mesos.url()];
    let mut server = Server::prepare(Dockerd::start(), "sandbox-logs", &flags).await;
    server.up(&[]).await;
    server.apply("web", sleeper(1)).await;
    server.converged("web").await;
    let task = server.tasks("web").await.remove(0);
    let log = |query: &str| log_of(&task, query);
    let text = async |query: &str| server.client().request_text(log(query)).await;
    let absent = text("stream=stdout").await.unwrap_err().to_string();
    assert!(absent.contains("has not begun to write, or its sandbox was collected"), "{absent}");

    let subscribed = server.logged("subscribed framework=").await;
    let framework = subscribed.split("framework=").nth(1).unwrap().split(' ').next().unwrap();
    let id = &task.spec.binding.as_ref().unwrap().mesos_task_id;
    let run = folder.path().join(format!("frameworks/{framework}/executors/{id}/runs/latest"));
    std::fs::create_dir_all(&run).unwrap();
    std::fs::write(run.join("stdout"), "one\ntwo\n").unwrap();
    std::fs::write(run.join("stderr"), "oops\n").unwrap();
    assert_eq!(text("stream=stdout").await.unwrap(), "one\ntwo\n");
    assert_eq!(text("stream=stdout&tailLines=1").await.unwrap(), "two\n");
    assert_eq!(text("stream=stderr").await.unwrap(), "oops\n");
    let both = text("").await.unwrap();
    assert!(both.contains("two\n") && both.contains("oops\n"), "{both}");

    // Until the task has ended.
    let mut followed =
        server.client().request_stream(log("stream=stdout&follow=true&tailLines=1")).await.unwrap();
    let mut read = String::new();
    while read != "two\n" {
        let mut piece = [0; 64];
        let length = followed.read(&mut piece).await.unwrap();
        assert_ne!(length, 0, "the stream goes on");
        read += std::str::from_utf8(&piece[..length]).unwrap();
    }
    let more = std::fs::File::options().append(true).open(run.join("stdout"));
    more.unwrap().write_all(b"three\n").unwrap();
    server.apply("web", sleeper(0)).await;
    followed.read_to_string(&mut read).await.unwrap();
    assert_eq!(read, "two\nthree\n");

    server.apply("web", sleeper(1)).await;
    server.converged("web").await;
    let task = server.tasks("web").await.into_iter().find(is_live).unwrap();
    mesos.kill9();
    let unreachable = server.get(&log_of(&task, "stream=stdout").uri().to_string()).await;
    assert!(unreachable.contains("does not answer: Connection refused"), "{unreachable}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leading_master_is_found_through_zookeeper() {
    let ensemble = ZooKeeper::start();
    let mut first = Mesos::start(&["--agents", "1"]).await;
    let second = Mesos::start(&["--agents", "1"]).await;
    let entry = |number: u32, mesos: &Mesos| {
        let address = json!({"hostname": "unknown.invalid", "ip": "127.0.0.1", "port": mesos.port});
        format!("create /mesos/json.info_{number:010} {}", json!({"address": address}))
    };
    // Of the ensemble, one server is not there.
    let target = format!("zk://127.0.0.1:1,{}/mesos", ensemble.address());
    let mut server = Server::prepare(Dockerd::start(), "zookeeper", &["--mesos", &target]).await;
    server.up(&[]).await;
    server.apply("web", sleeper(1)).await;
    waits_for(&server, "no master has ever stood for election there").await;
    ensemble.run(&["create /mesos x", "create /mesos/json.info_0000000001 garbage"]);
    waits_for(&server, "the leader's entry is no JSON").await;
    ensemble.run(&[
        "delete /mesos/json.info_0000000001",
        "create /mesos/log_replicas x",
        &entry(2, &first),
        &entry(10, &second),
    ]);
    server.converged("web").await;
    let subscribed = server.logged("subscribed framework=").await;
    let framework = subscribed.split("framework=").nth(1).unwrap().split(' ').next().unwrap().to_owned();

    // The lead goes to the other one, which takes us as who we are and does not know our task.
    ensemble.run(&["delete /mesos/json.info_0000000002"]);
    first.kill9();
    let anew =
        |app: &App| is_converged(app) && app.status.as_ref().is_some_and(|status| status.launched >= 2);
    server.until::<App>("web", "started on the other", anew).await;
    assert_eq!(server.lines_with(&format!("subscribed framework={framework} ")), 2);
    // Each attempt is told by who made it, and not once more by the library.
    assert_eq!(server.lines_with("zookeeper_client"), 0);
}
