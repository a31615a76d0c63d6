//! A server in this process, and plain requests to it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::Value;
use tempfile::TempDir;
use tenure::api::{Held, Offer, OfferStatus, Task, Totals};
use tenure::env::Env;
use tenure::registry::cache::CacheOptions;
use tenure::registry::{Cache, Fence, Prefix, Registry, Scheme, Write, crd};
use tenure::server::{
    Audit, Authority, ClientAuthority, ExecError, ExecRequest, Kubeconfig, Line, LiveOffers, LogError,
    LogQuery, LogStream, PeerKeys, ReadyCheck, RequestMetrics, Server, ServerCertificate, SigningKeys,
    TaskExec, TaskLogs, Token,
};
use tenure::store::memory::MemoryStore;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A running server. It ends when this is dropped.
pub(crate) struct TestServer {
    pub(crate) client: kube::Client,
    /// What kubectl is given.
    pub(crate) kubeconfig: PathBuf,
    /// Kept until the server ends.
    pub(crate) folder: TempDir,
    pub(crate) shutdown: CancellationToken,
}

impl TestServer {
    pub(crate) async fn start() -> TestServer {
        TestServer::start_with(CacheOptions::default()).await
    }

    /// A server that keeps as much history as `options` say.
    pub(crate) async fn start_with(options: CacheOptions) -> TestServer {
        TestServer::start_as(options, None).await
    }

    /// A server that believes the certificates of `clients`.
    pub(crate) async fn believing(clients: ClientAuthority) -> TestServer {
        TestServer::start_as(CacheOptions::default(), Some(clients)).await
    }

    /// A server of the small App and Node of the recordings in place of ours.
    pub(crate) async fn of_the_recordings(options: CacheOptions) -> TestServer {
        let mut scheme = Scheme::ours().unwrap();
        let text = include_str!("../traces/kube/crds-of-the-recordings.yaml");
        for document in text.split("---\n").filter(|document| !document.trim().is_empty()) {
            let definition = serde_json::from_str(document).unwrap();
            scheme.insert(crd::kind(&definition).unwrap());
        }
        TestServer::serving(scheme, options, None).await
    }

    async fn start_as(options: CacheOptions, clients: Option<ClientAuthority>) -> TestServer {
        TestServer::serving(Scheme::ours().unwrap(), options, clients).await
    }

    async fn serving(scheme: Scheme, options: CacheOptions, clients: Option<ClientAuthority>) -> TestServer {
        let folder = tempfile::tempdir().unwrap();
        let env = Env::system().unwrap();
        let shutdown = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let token = Token::load_or_create(&folder.path().join("token"), &env).unwrap();
        let authority = Authority::load_or_create(&folder.path().join("tls")).unwrap();
        let certificate = ServerCertificate::new(env.clone(), authority, &[]).unwrap();
        let certificate = Arc::new(match clients {
            Some(clients) => certificate.believing(clients),
            None => certificate,
        });
        let kubeconfig = folder.path().join("kubeconfig");
        Kubeconfig {
            server: &format!("https://{address}"),
            authority_pem: certificate.authority_pem(),
            token: &token,
        }
        .write(&kubeconfig)
        .unwrap();
        let registry = registry(&env, scheme, options).await;
        let mut metrics = prometheus_client::registry::Registry::default();
        let server = Server {
            env: env.clone(),
            registry,
            installation: "test".to_owned(),
            token,
            signing: SigningKeys::new(&[[7; 32]]),
            peers: PeerKeys::new(&[[9; 32]]),
            audit: Audit::open(&env, &folder.path().join("audit")).unwrap(),
            certificate,
            logs: Arc::new(CannedLogs),
            exec: Arc::new(CannedExec),
            offers: Arc::new(CannedOffers),
            ready: [ReadyCheck::new("store", || Ok(()))].into(),
            requests: RequestMetrics::register(&mut metrics),
            metrics: Arc::new(metrics),
        };
        env.spawn("server", server.run(listener, shutdown.clone()));
        let client = client(&kubeconfig).await;
        TestServer { client, kubeconfig, folder, shutdown }
    }

    /// The answer to a request with the token: its head and its whole body.
    pub(crate) async fn ask(&self, request: Request<Vec<u8>>) -> Answer {
        Answer::of(self.client.send(request.map(Body::from)).await.unwrap()).await
    }

    /// Like [`TestServer::ask`], for a method, a path and a JSON body.
    pub(crate) async fn json(&self, method: Method, path: &str, body: &Value) -> Answer {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        self.ask(request.body(body.to_string().into_bytes()).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Vec::new()).unwrap()).await
    }

    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.ask(Request::get(path).header("accept", accept).body(Vec::new()).unwrap()).await
    }

    /// The lines of a stream, as they come.
    pub(crate) async fn lines(&self, path: &str) -> BoxStream<'static, Value> {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = self.client.send(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let mut pending = Vec::new();
        let chunks = response.into_body().into_data_stream();
        let lines = chunks.flat_map(move |chunk| {
            pending.extend_from_slice(&chunk.unwrap());
            let mut lines = Vec::new();
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                lines.push(serde_json::from_slice(&line).unwrap());
            }
            stream::iter(lines)
        });
        lines.boxed()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) async fn of(response: Response<Body>) -> Answer {
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status.as_u16(), headers: head.headers, bytes }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Status code, reason and message of a refusal.
    pub(crate) fn refusal(&self) -> (u16, String, String) {
        let status = self.json();
        assert_eq!(status["kind"], "Status", "{status}");
        let text = |key: &str| status[key].as_str().unwrap_or_default().to_owned();
        (self.status, text("reason"), text("message"))
    }
}

/// Kinds over an empty store, with the one namespace that kubectl takes for granted.
async fn registry(env: &Env, scheme: Scheme, options: CacheOptions) -> Arc<Registry> {
    let (store, prefix) = (MemoryStore::new(env), Prefix::new("test"));
    let cache = Cache::start_with(env, store.clone(), &prefix, options);
    cache.listed().await;
    let registry = Registry::new(env, store, cache, &prefix, scheme);
    let namespace = serde_json::json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"},
    });
    registry.commit(&Fence::none(), vec![Write::Create { value: namespace }]).await.unwrap();
    registry.follow_definitions();
    registry
}

async fn client(kubeconfig: &std::path::Path) -> kube::Client {
    let config = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
    let mut config = kube::Config::from_custom_kubeconfig(config, &Default::default()).await.unwrap();
    // What is refused is what the tests want to see.
    config.default_retry = false;
    kube::Client::try_from(config).unwrap()
}

/// Says what it is asked to run, and that is all.
struct CannedExec;

#[async_trait]
impl TaskExec for CannedExec {
    async fn open(&self, task: &Task, request: ExecRequest) -> Result<Line, ExecError> {
        let ExecRequest { argv, terminal, stdin } = request;
        let name = task.metadata.name.as_deref().unwrap();
        let said = format!("{name} runs {argv:?} terminal={terminal} stdin={stdin}");
        let (mut ours, theirs) = tokio::io::duplex(1024);
        ours.write_all(said.as_bytes()).await.unwrap();
        Ok(Box::new(theirs))
    }

    async fn open_here(&self, task: &Task, request: ExecRequest) -> Result<Line, ExecError> {
        self.open(task, request).await
    }
}

/// Two offers, of which one is wanted.
struct CannedOffers;

#[async_trait]
impl LiveOffers for CannedOffers {
    async fn live(&self) -> Result<Vec<Offer>, String> {
        let offer = |number: u32, held, apps: &[&str]| {
            let mut offer = Offer::new(&format!("m1-o{number}"));
            let resources = Totals {
                cpus: "1500m".parse().unwrap(),
                memory: "512Mi".parse().unwrap(),
                ..Totals::default()
            };
            offer.status = Some(OfferStatus {
                offer_id: format!("m1-O{number}"),
                role: Some("web".to_owned()),
                agent_id: format!("m1-S{number}"),
                hostname: format!("host{number}"),
                resources,
                held,
                apps: apps.iter().map(|&app| app.to_owned()).collect(),
                ..OfferStatus::default()
            });
            offer
        };
        Ok(vec![offer(1, Held::Waiting, &["shop/web", "shop/db"]), offer(2, Held::Lease, &[])])
    }

    async fn held(&self) -> Result<Vec<Offer>, String> {
        self.live().await
    }
}

/// Two lines of output, and a third that comes later when it is followed. Nothing is kept of a task named `forgotten`.
struct CannedLogs;

#[async_trait]
impl TaskLogs for CannedLogs {
    async fn open(
        &self,
        task: &Task,
        query: LogQuery,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, LogError> {
        let name = task.metadata.name.as_deref().unwrap();
        if name == "forgotten" {
            return Err(LogError::Absent(format!("no output is kept of task {name}")));
        }
        if query.stream == LogStream::Stderr {
            return Err(LogError::Absent(format!("task {name} has written nothing")));
        }
        let mut lines = vec!["one\n", "two\n"];
        if let Some(tail) = query.tail_lines {
            lines.drain(..lines.len().saturating_sub(usize::try_from(tail).unwrap()));
        }
        let now = stream::iter(lines).map(|line| Ok(Bytes::from(line)));
        let later = stream::once(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(Bytes::from("three\n"))
        });
        Ok(if query.follow { now.chain(later).boxed() } else { now.boxed() })
    }
}

/// The smallest App.
pub(crate) fn app(name: &str) -> Value {
    serde_json::json!({
        "apiVersion": "tenure.dev/v1", "kind": "App", "metadata": {"name": name},
        "spec": {"instances": 2, "cmd": "sleep 1000"},
    })
}

pub(crate) const APPS: &str = "/apis/tenure.dev/v1/namespaces/default/apps";
