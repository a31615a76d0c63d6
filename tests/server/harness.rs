//! A `tenure server` of this build with data in a temporary folder, a client of its API, and the containers that carry
//! its uid.

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptionsBuilder;
use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::NamespaceResourceScope;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tenure::api::{App, Task};

use crate::dockerd::{BUSYBOX, Dockerd};

/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server, which may be down.
pub(crate) struct Server {
    folder: TempDir,
    name: String,
    /// The first of the 100 host ports that its agent offers, which no other test's does.
    ports: u16,
    extra: Vec<String>,
    /// What its command begins with, such as that it runs in a network namespace.
    inside: Vec<String>,
    child: Option<Child>,
    client: Option<kube::Client>,
    docker: Docker,
    /// Removed last, with every container in it if it is our own.
    dockerd: Dockerd,
}

impl Server {
    /// Starts a server on a fresh data folder and waits until it is ready. `extra` are further flags.
    pub(crate) async fn start(name: &str, extra: &[&str]) -> Server {
        Server::start_on(Dockerd::start(), name, extra).await
    }

    /// The same on a given dockerd.
    pub(crate) async fn start_on(dockerd: Dockerd, name: &str, extra: &[&str]) -> Server {
        let mut server = Server::prepare(dockerd, name, extra).await;
        server.up(&[]).await;
        server.uid().await;
        server
    }

    /// A server that has never been started, on a dockerd that has the test's image.
    pub(crate) async fn prepare(dockerd: Dockerd, name: &str, extra: &[&str]) -> Server {
        dockerd.busybox().await;
        let root = std::env::var_os("TENURE_TEST_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        Server {
            folder: tempfile::Builder::new().prefix("server.").tempdir_in(root).unwrap(),
            name: name.to_owned(),
            ports: port_block(),
            extra: extra.iter().map(|flag| (*flag).to_owned()).collect(),
            inside: Vec::new(),
            child: None,
            client: None,
            docker: dockerd.client(),
            dockerd,
        }
    }

    /// It will run by the command that these words begin.
    pub(crate) fn run_inside(&mut self, words: Vec<String>) {
        self.inside = words;
    }

    /// Starts the process, with `environment` added, and waits until it is ready.
    pub(crate) async fn up(&mut self, environment: &[(&str, &str)]) {
        self.spawn(environment);
        self.ready().await;
    }

    /// Starts the process without waiting for anything.
    pub(crate) fn spawn(&mut self, environment: &[(&str, &str)]) {
        assert!(self.child.is_none(), "the server already runs");
        let kubeconfig = self.kubeconfig();
        if kubeconfig.exists() {
            std::fs::remove_file(&kubeconfig).unwrap();
        }
        let log = std::fs::File::options().create(true).append(true).open(self.log()).unwrap();
        let resources = format!("cpus:8;mem:4096;disk:4096;ports:[{}-{}]", self.ports, self.ports + 99);
        let program = env!("CARGO_BIN_EXE_tenure").to_owned();
        let mut words = self.inside.iter().chain([&program]);
        let mut command = Command::new(words.next().unwrap());
        command
            .args(words)
            .args(["server", "--name", &self.name, "--listen", "127.0.0.1:0", "--marathon-listen", "off"])
            .args(["--artifact-listen", "127.0.0.1:0"])
            .args(["--address", "127.0.0.1", "--data-dir"])
            .arg(self.data())
            // A flag wins over the environment.
            .env("TENURE_AGENT_RESOURCES", &resources)
            .args(&self.extra)
            .env("DOCKER_HOST", self.dockerd.host())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(log));
        self.child = Some(command.spawn().unwrap());
        self.client = None;
    }

    /// Waits for the kubeconfig, which the server writes when it is ready.
    pub(crate) async fn ready(&mut self) {
        let began = tokio::time::Instant::now();
        while !self.kubeconfig().exists() {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                panic!("the server ended ({status}):\n{}", self.log_tail());
            }
            assert!(began.elapsed() < PATIENCE, "the server did not become ready:\n{}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let config = Kubeconfig::read_from(self.kubeconfig()).unwrap();
        let config =
            kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
        self.client = Some(kube::Client::try_from(config).unwrap());
    }

    /// Ends the process as `kill -9` does.
    pub(crate) fn kill9(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// The process's number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server is up").id()
    }

    /// Waits until the process has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        let began = tokio::time::Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if began.elapsed() > PATIENCE {
                self.child = Some(child);
                panic!("the server did not end:\n{}", self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.data().join("kubeconfig")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Waits until the log has a line that contains `text`; the line.
    pub(crate) async fn logged(&self, text: &str) -> String {
        let began = tokio::time::Instant::now();
        loop {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(began.elapsed() < PATIENCE, "never logged: {text}\n{}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The lines of the log that contain `text`.
    pub(crate) fn lines_with(&self, text: &str) -> usize {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        log.lines().filter(|line| line.contains(text)).count()
    }

    /// The last line of the log that contains `text`; empty when there is none.
    pub(crate) fn last_line_with(&self, text: &str) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        log.lines().rfind(|line| line.contains(text)).unwrap_or_default().to_owned()
    }

    /// The last lines of the server's log, for a failing test.
    pub(crate) fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    pub(crate) fn client(&self) -> kube::Client {
        self.client.clone().expect("the server is up")
    }

    /// The objects of a namespaced kind in `default`.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::default_namespaced(self.client())
    }

    /// Server-side applies an App in `default`.
    pub(crate) async fn apply(&self, name: &str, spec: Value) -> App {
        let app =
            json!({"apiVersion": "tenure.dev/v1", "kind": "App", "metadata": {"name": name}, "spec": spec});
        let params = PatchParams::apply("test").force();
        self.api::<App>().patch(name, &params, &Patch::Apply(app)).await.unwrap()
    }

    /// As [`Server::apply`], to a server that may end before it answers.
    pub(crate) async fn apply_to_the_end(&self, name: &str, spec: Value) {
        let app =
            json!({"apiVersion": "tenure.dev/v1", "kind": "App", "metadata": {"name": name}, "spec": spec});
        let params = PatchParams::apply("test").force();
        match self.api::<App>().patch(name, &params, &Patch::Apply(app)).await {
            Ok(_) | Err(kube::Error::HyperError(_) | kube::Error::Service(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits until object `name` satisfies `done`, by watching it.
    pub(crate) async fn until<K>(&self, name: &str, what: &str, done: impl Fn(&K) -> bool) -> K
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug
            + Send
            + 'static,
    {
        let api = self.api::<K>();
        let mut last = None;
        let found = tokio::time::timeout(PATIENCE, async {
            let params = WatchParams::default().fields(&format!("metadata.name={name}"));
            loop {
                let Ok(events) = api.watch(&params, "0").await else { continue };
                let mut events = events.boxed();
                while let Ok(Some(event)) = events.try_next().await {
                    if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event {
                        if done(&object) {
                            return object;
                        }
                        last = Some(object);
                    }
                }
            }
        })
        .await;
        found.unwrap_or_else(|_| {
            panic!("{name} never came to be {what}; last seen: {last:#?}\n{}", self.log_tail())
        })
    }

    /// Waits until App `name` runs all its instances on its newest revision, healthy and ready, and nothing beside.
    pub(crate) async fn converged(&self, name: &str) -> App {
        self.until::<App>(name, "converged", is_converged).await
    }

    /// Deletes App `name` and waits until no container of it is left.
    pub(crate) async fn remove(&self, name: &str) {
        self.api::<App>().delete(name, &DeleteParams::default()).await.unwrap();
        self.gone::<App>(name).await;
    }

    /// Asks until there is an answer.
    pub(crate) async fn until_answered<T, F>(&self, ask: impl Fn() -> F) -> T
    where
        F: Future<Output = kube::Result<T>>,
    {
        let began = tokio::time::Instant::now();
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(error) => assert!(began.elapsed() < PATIENCE, "no answer: {error}\n{}", self.log_tail()),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until object `name` does not exist.
    pub(crate) async fn gone<K>(&self, name: &str)
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug
            + Send
            + 'static,
    {
        let api = self.api::<K>();
        let began = tokio::time::Instant::now();
        loop {
            let listed =
                api.list(&ListParams::default().fields(&format!("metadata.name={name}"))).await.unwrap();
            if listed.items.is_empty() {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{name} is still there: {listed:#?}\n{}", self.log_tail());
            let params = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(5);
            let version = listed.metadata.resource_version.unwrap();
            let mut events = api.watch(&params, &version).await.unwrap().boxed();
            while let Ok(Some(event)) = events.try_next().await {
                if matches!(event, WatchEvent::Deleted(_)) {
                    break;
                }
            }
        }
    }

    /// Waits until `default` has no object of the kind.
    pub(crate) async fn none_left<K>(&self)
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let began = tokio::time::Instant::now();
        loop {
            let left = self.api::<K>().list(&ListParams::default()).await.unwrap().items;
            if left.is_empty() {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "left over: {left:#?}\n{}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The Tasks of App `app`.
    pub(crate) async fn tasks(&self, app: &str) -> Vec<Task> {
        let all = self.api::<Task>().list(&ListParams::default()).await.unwrap().items;
        all.into_iter().filter(|task| task.spec.app == app).collect()
    }

    /// This installation's uid, from `/version`.
    pub(crate) async fn uid(&self) -> String {
        let request = http::Request::get("/version").body(Vec::new()).unwrap();
        let version: Value = self.client().request(request).await.unwrap();
        let uid = version["installation"].as_str().expect("/version tells the installation").to_owned();
        // For the destructor.
        std::fs::write(self.folder.path().join("uid"), &uid).unwrap();
        uid
    }

    /// Every container, running or not, that carries `uid`.
    pub(crate) async fn containers(&self, uid: &str) -> Vec<ContainerSummary> {
        let filters = [("label", vec![format!("tenure.dev/installation={uid}")])].into_iter().collect();
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        self.docker.list_containers(Some(options)).await.unwrap()
    }

    /// Waits until nothing runs that carries `uid`. A few that failed stay, stopped, for a look at their output.
    pub(crate) async fn without_containers(&self, uid: &str) {
        let began = tokio::time::Instant::now();
        loop {
            let mut left = self.containers(uid).await;
            left.retain(is_running);
            if left.is_empty() {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "containers outlive their tasks: {left:#?}\n{}",
                self.log_tail()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until `/readyz` says what is missing; its text. By curl, which does not ask again as kube-rs does.
    pub(crate) async fn until_not_ready(&self) -> String {
        let began = tokio::time::Instant::now();
        loop {
            let answer = curl(&format!("{}/readyz", self.url()), &[]).await;
            if answer.contains("[-]") {
                return answer;
            }
            assert!(began.elapsed() < PATIENCE, "the server stays ready\n{}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Where the server listens, by its kubeconfig.
    pub(crate) fn url(&self) -> String {
        let config = Kubeconfig::read_from(self.kubeconfig()).unwrap();
        config.clusters[0].cluster.as_ref().unwrap().server.clone().unwrap()
    }

    /// `/metrics`.
    pub(crate) async fn metrics(&self) -> String {
        self.get("/metrics").await
    }

    /// What stands at `path`, whatever the status: by curl, which does not ask again as kube-rs does.
    pub(crate) async fn get(&self, path: &str) -> String {
        let token = std::fs::read_to_string(self.data().join("token")).unwrap();
        let header = format!("Authorization: Bearer {}", token.trim());
        curl(&format!("{}{path}", self.url()), &["--header", &header]).await
    }

    pub(crate) fn docker(&self) -> &Docker {
        &self.docker
    }

    /// The dockerd, to be stopped and started.
    pub(crate) fn dockerd(&mut self) -> &mut Dockerd {
        &mut self.dockerd
    }

    /// What must hold once things are quiet, for which this waits: exactly one running container for each live Task of
    /// `app`, and nothing else.
    pub(crate) async fn assert_one_container_per_task(&self, app: &str, uid: &str) {
        let began = tokio::time::Instant::now();
        loop {
            let mut wanted: Vec<String> =
                self.tasks(app).await.into_iter().filter(is_live).map(name_of).collect();
            wanted.sort_unstable();
            let mut found: Vec<String> =
                self.containers(uid).await.iter().filter(|c| is_running(c)).map(task_of).collect();
            found.sort_unstable();
            if found == wanted {
                return;
            }
            let late = began.elapsed() > PATIENCE;
            assert!(!late, "containers {found:?} run, tasks {wanted:?} live\n{}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// What `url` answers, whatever its status.
pub(crate) async fn curl(url: &str, more: &[&str]) -> String {
    let asked = tokio::process::Command::new("curl")
        .args(["--silent", "--insecure"])
        .args(more)
        .arg(url)
        .output()
        .await
        .expect("curl is missing: apt-get install curl");
    String::from_utf8_lossy(&asked.stdout).into_owned()
}

pub(crate) fn is_live(task: &Task) -> bool {
    !task.is_terminal()
}

fn name_of(task: Task) -> String {
    task.metadata.name.expect("stored objects have names")
}

pub(crate) fn task_of(container: &ContainerSummary) -> String {
    container.labels.as_ref().unwrap()["tenure.dev/task"].clone()
}

pub(crate) fn is_running(container: &ContainerSummary) -> bool {
    container.state.is_some_and(|state| state.to_string() == "running")
}

/// All instances of the newest spec run, healthy and ready, and nothing beside them.
pub(crate) fn is_converged(app: &App) -> bool {
    app.status.as_ref().is_some_and(|status| {
        status.observed_generation == app.metadata.generation
            && [status.instances, status.running, status.healthy, status.ready, status.updated]
                .iter()
                .all(|count| *count == app.spec.instances)
    })
}

/// The process and what it launched must not outlive the test, whatever became of it.
impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- server log ---\n{}", self.log_tail());
        }
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
        let uid = std::fs::read_to_string(self.folder.path().join("uid")).unwrap_or_default();
        if !uid.is_empty() {
            remove_containers(self.dockerd.host(), &uid);
        }
    }
}

/// Removes every container that carries `uid`; asks the client program, because a destructor cannot wait for a future.
fn remove_containers(host: &str, uid: &str) {
    let docker = |args: &[&str]| Command::new("docker").args(["--host", host]).args(args).output();
    let filter = format!("label=tenure.dev/installation={uid}");
    let Ok(listed) = docker(&["ps", "-aq", "--filter", &filter]) else { return };
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for id in listed.split_whitespace() {
        drop(docker(&["rm", "-f", id]));
    }
}

/// The first of 100 host ports that no other test process has: the folder lists the blocks that are taken.
pub(crate) fn port_block() -> u16 {
    let blocks = std::env::var_os("TENURE_TEST_DIR")
        .map_or_else(std::env::temp_dir, PathBuf::from)
        .join("port-blocks");
    std::fs::create_dir_all(&blocks).unwrap();
    (200..300_u16)
        .map(|block| block * 100)
        .find(|first| std::fs::create_dir(blocks.join(first.to_string())).is_ok())
        .expect("there are 100 blocks of ports, and fewer tests")
}

/// A web app of `instances`, checked over HTTP, that answers with `text`.
pub(crate) fn web(instances: u32, text: &str) -> Value {
    json!({
        "instances": instances,
        "cmd": format!("mkdir -p /tmp/www && echo {text} > /tmp/www/index.html && exec httpd -f -p $PORT0 -h /tmp/www"),
        "container": {"image": BUSYBOX, "network": "host"},
        "resources": {"cpus": "10m", "memory": "16Mi"},
        "ports": [{"name": "http"}],
        "healthChecks": [{"http": {"port": "http", "path": "/"}, "gracePeriod": "5s", "interval": "1s", "timeout": "2s"}],
        "kill": {"gracePeriod": "1s"},
        "update": {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0.5},
    })
}
