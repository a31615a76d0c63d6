//! A dockerd that is away, or that refuses to remove a container, beside executors and their guards.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tenure::env::Env;
use tenure::executor::docker::{EXECUTOR_LABEL, LOCK_LABEL, container_name};
use tenure::mesos::wire::{SHARED_EXECUTOR, TaskId, TaskState};
use tokio::net::UnixListener;

use super::agent::{Agent, FRAMEWORK, PROGRAM};
use super::for_executor;
use crate::agent::container;

/// Lists containers, and removes those that are not busy.
#[derive(Clone, Default)]
struct StandIn {
    /// By name, the lock that each names.
    containers: Arc<Mutex<BTreeMap<String, String>>>,
    /// Containers whose names begin so are not removed.
    busy: Arc<Mutex<Option<&'static str>>>,
    executor: String,
    /// Whether it has every image; containers it makes of none.
    has_images: bool,
    /// How often it was asked for a list.
    lists: Arc<AtomicUsize>,
}

impl StandIn {
    fn add(&self, name: &str, lock: &Path) {
        self.containers.lock().unwrap().insert(name.to_owned(), lock.to_str().unwrap().to_owned());
    }

    fn is_busy(&self, names: Option<&'static str>) {
        *self.busy.lock().unwrap() = names;
    }

    fn names(&self) -> Vec<String> {
        self.containers.lock().unwrap().keys().cloned().collect()
    }

    async fn until_left(&self, names: &[&str]) {
        let left = async {
            while self.names() != names {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let left = tokio::time::timeout(Duration::from_secs(60), left).await;
        left.unwrap_or_else(|_| panic!("{:?} instead of {names:?}", self.names()));
    }

    fn listen(&self, socket: &Path) {
        let (stand_in, env) = (self.clone(), Env::system().unwrap());
        let (listener, node) = (UnixListener::bind(socket).unwrap(), env.clone());
        env.spawn("dockerd", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let stand_in = stand_in.clone();
                let service = service_fn(move |request| {
                    let answer = stand_in.answer(&request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                let connection = http.serve_connection(TokioIo::new(stream), service);
                node.spawn("dockerd connection", async move {
                    // Whoever asked may go.
                    let _over = connection.await;
                });
            }
        });
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let mut containers = self.containers.lock().unwrap();
        if path.ends_with("/containers/json") {
            self.lists.fetch_add(1, Ordering::Relaxed);
            let entry = |(name, lock): (&String, &String)| {
                let labels = json!({EXECUTOR_LABEL: self.executor, LOCK_LABEL: lock});
                json!({"Id": name, "Names": [format!("/{name}")], "Labels": labels})
            };
            return said(200, &json!(containers.iter().map(entry).collect::<Vec<_>>()));
        }
        if self.has_images && path.contains("/images/") {
            return said(200, &json!({"Id": "sha256:1"}));
        }
        let name = path.rsplit('/').next().unwrap();
        if request.method() != Method::DELETE {
            return said(404, &json!({"message": "no such container"}));
        }
        if self.busy.lock().unwrap().is_some_and(|busy| name.starts_with(busy)) {
            return said(500, &json!({"message": "device or resource busy"}));
        }
        containers.remove(name);
        Response::builder().status(204).body(Full::default()).unwrap()
    }
}

fn said(status: u16, words: &serde_json::Value) -> Response<Full<Bytes>> {
    let answer = Response::builder().status(status).header("content-type", "application/json");
    answer.body(Full::from(words.to_string())).unwrap()
}

#[tokio::test]
async fn a_guard_waits_for_dockerd_and_one_container_that_stays_keeps_none_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, lock) = (folder.path().join("docker.sock"), folder.path().join("executor-1"));
    // There is one, and nobody listens.
    drop(UnixListener::bind(&socket).unwrap());
    // Its executor is dead: nobody has it locked.
    std::fs::write(&lock, "").unwrap();
    let stand_in = StandIn { executor: "f/e".to_owned(), ..StandIn::default() };
    stand_in.add("a-busy", &lock);
    stand_in.add("b", &lock);
    stand_in.add("c", &folder.path().join("executor-2"));
    stand_in.is_busy(Some("a-"));
    let words = folder.path().join("stderr");
    let program = std::env::var("TENURE_TEST_EXECUTOR");
    let mut guard = tokio::process::Command::new(program.as_deref().unwrap_or(PROGRAM))
        .args(["guarding", lock.to_str().unwrap(), "f/e", &format!("unix://{}", socket.display())])
        .env_clear()
        .stderr(Stdio::from(std::fs::File::create(&words).unwrap()))
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let said = |text: &str| std::fs::read_to_string(&words).unwrap().contains(text);
    while !said("tenure-executor: guard: ") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    std::fs::remove_file(&socket).unwrap();
    stand_in.listen(&socket);
    stand_in.until_left(&["a-busy", "c"]).await;
    while !said("device or resource busy") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stand_in.is_busy(None);
    assert!(guard.wait().await.unwrap().success());
    assert_eq!(stand_in.names(), ["c"], "another executor's is none of its business");
    assert!(!lock.exists());
}

#[tokio::test]
async fn what_dockerd_refuses_to_remove_is_left_to_the_guard() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let agent = Agent::start("e1").await.with(SHARED_EXECUTOR, "1");
    let agent = agent.with("DOCKER_HOST", &format!("unix://{}", socket.display()));
    let stand_in = StandIn { executor: format!("{FRAMEWORK}/e1"), ..StandIn::default() };
    stand_in.is_busy(Some(""));
    stand_in.listen(&socket);
    let mut executor = agent.executor();
    agent.subscription(1).await;
    agent.launch(for_executor(container("t.busy", "sleep 600").launch().task));
    agent.kill_task("t.busy", None);
    agent.update_of(TaskState::Killed).await;
    let name = container_name(&TaskId::new("t.busy"));
    stand_in.add(&name, &agent.signs()[0]);
    agent.shut_down();
    assert!(executor.ended().await.success());
    assert!(agent.output("executor.log").contains("device or resource busy"));
    stand_in.is_busy(None);
    stand_in.until_left(&[]).await;
    while !agent.signs().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_launch_has_containers_listed_only_if_an_executor_is_dead() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let agent = Agent::start("e1").await.with(SHARED_EXECUTOR, "1").with("TENURE_EXECUTOR_SWEEP", "0secs");
    let agent = agent.with("DOCKER_HOST", &format!("unix://{}", socket.display()));
    let stand_in = StandIn { executor: format!("{FRAMEWORK}/dead"), has_images: true, ..StandIn::default() };
    stand_in.listen(&socket);
    let mut executor = agent.executor();
    agent.subscription(1).await;
    let launched = async |id: &str| {
        agent.launch(for_executor(container(id, "sleep 600").launch().task));
        let failed = agent.update_of(TaskState::Failed).await;
        assert!(failed.message().contains("no such container"), "{}", failed.message());
        (stand_in.lists.load(Ordering::Relaxed), stand_in.names())
    };
    assert_eq!(launched("t.first").await, (0, vec![]));
    let own = agent.signs();
    let [sign] = &own[..] else { panic!("{own:?}") };

    let dead = sign.with_file_name(format!("{}-dead", sign.file_name().unwrap().display()));
    std::fs::write(&dead, "").unwrap();
    stand_in.add("left", &dead);
    assert_eq!(launched("t.second").await, (1, vec![]));
    // One that has left nothing, and its guard neither, does not cost every later launch a list.
    std::fs::write(&dead, "").unwrap();
    assert_eq!(launched("t.third").await, (2, vec![]));
    assert_eq!((launched("t.fourth").await, agent.signs()), ((2, vec![]), own));
    agent.shut_down();
    assert!(executor.ended().await.success());
}
