//! The agent's side of the v1 executor API, as recordings 27 to 30 and 52 show it: it starts `tenure-executor`, answers its calls
//! with the recorded codes and texts, and keeps what it was told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::channel::mpsc;
use http::{Request, Response, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tenure::env::{Env, Spawned};
use tenure::mesos::recordio;
use tenure::mesos::wire::executor::{
    Acknowledged, Call, Event, Kill, Launch, LaunchGroup, MessageEvent, Subscribed,
};
use tenure::mesos::wire::offer::TaskGroupInfo;
use tenure::mesos::wire::{
    AgentId, AgentInfo, Capability, Encoding, ExecutorCallType, ExecutorEventType, ExecutorId, ExecutorInfo,
    FrameworkId, FrameworkInfo, KillPolicy, Source, TaskId, TaskInfo, TaskState, TaskStatus,
};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Far more than anything here takes, and less than the test runner's patience.
const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const FRAMEWORK: &str = "1f273792-6059-482b-bf08-df8678e49080-0000";

/// `tenure-executor`, as it is built for tests.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_tenure-executor");

/// One agent with one executor.
pub(crate) struct Agent {
    env: Env,
    address: SocketAddr,
    told: Arc<Told>,
    listening: Option<(CancellationToken, Spawned<()>)>,
    pub(crate) sandbox: tempfile::TempDir,
    /// Where its executors show that they live.
    pub(crate) locks: tempfile::TempDir,
    pub(crate) installation: String,
    pub(crate) executor_id: String,
    variables: Vec<(String, String)>,
    tls: Tls,
}

/// How connections are secured, if they are: it may change while it listens.
type Tls = Arc<Mutex<Option<Arc<ServerConfig>>>>;

/// What the executor has told, and how it is answered.
struct Told {
    state: Mutex<State>,
    news: Notify,
    executor_id: String,
}

#[derive(Default)]
struct State {
    stream: Option<mpsc::UnboundedSender<Bytes>>,
    /// SUBSCRIBE is answered so before it is answered well.
    refusals: VecDeque<(u16, &'static str)>,
    subscriptions: Vec<Call>,
    updates: VecDeque<TaskStatus>,
    /// Updates are stored at once.
    stores: bool,
    authorization: Option<String>,
    connections: usize,
    was_not_believed: bool,
}

impl Agent {
    /// Listens; no executor is started yet.
    pub(crate) async fn start(executor_id: &str) -> Agent {
        let env = Env::system().unwrap();
        let state = Mutex::new(State { stores: true, ..State::default() });
        let told = Arc::new(Told { state, news: Notify::new(), executor_id: executor_id.to_owned() });
        let mut agent = Agent {
            installation: env.uid(),
            env,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            told,
            listening: None,
            sandbox: tempfile::tempdir().unwrap(),
            locks: tempfile::tempdir().unwrap(),
            executor_id: executor_id.to_owned(),
            variables: Vec::new(),
            tls: Tls::default(),
        };
        agent.listen().await;
        agent
    }

    /// One more variable for the executor, in the place of the usual one.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Agent {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// From now on it speaks TLS.
    pub(crate) fn secured(self, config: Arc<ServerConfig>) -> Agent {
        *self.tls.lock().unwrap() = Some(config);
        self
    }

    /// Starts the executor as a real agent does (recording 27).
    pub(crate) fn executor(&self) -> Executor {
        let sandbox = self.sandbox.path();
        let file = |name: &str| {
            Stdio::from(std::fs::File::options().append(true).create(true).open(sandbox.join(name)).unwrap())
        };
        // The one built for size in the place of the one built for tests: `hack/executor`.
        let program = std::env::var("TENURE_TEST_EXECUTOR");
        let child = Command::new(program.as_deref().unwrap_or(PROGRAM))
            .env_clear()
            .env("LIBPROCESS_IP", "127.0.0.1")
            .env("LIBPROCESS_PORT", "0")
            .env("MESOS_AGENT_ENDPOINT", self.address.to_string())
            .env("MESOS_CHECKPOINT", "1")
            .env("MESOS_DIRECTORY", sandbox)
            .env("MESOS_EXECUTOR_ID", &self.executor_id)
            .env("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "20secs")
            .env("MESOS_FRAMEWORK_ID", FRAMEWORK)
            .env("MESOS_HTTP_COMMAND_EXECUTOR", "0")
            .env("MESOS_RECOVERY_TIMEOUT", "15mins")
            .env("MESOS_SANDBOX", sandbox)
            .env("MESOS_SUBSCRIPTION_BACKOFF_MAX", "2secs")
            .env("TENURE_EXECUTOR_LOCKS", self.locks.path())
            .env("TENURE_INSTALLATION", &self.installation)
            .envs(self.variables.iter().cloned())
            .current_dir(sandbox)
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Executor { child, log: sandbox.join("executor.log") }
    }

    /// The process is there again, at the same address.
    pub(crate) async fn listen(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let (env, told, over, tls) = (self.env.clone(), self.told.clone(), stop.clone(), self.tls.clone());
        let listening = self.env.spawn("agent", async move {
            while let Some(Ok((stream, _))) = stop.run_until_cancelled(listener.accept()).await {
                let (heard, told) = (told.clone(), told.clone());
                let service = service_fn(move |request| {
                    let told = heard.clone();
                    async move { Ok::<_, Infallible>(told.answer(request).await) }
                });
                told.connected();
                let (stop, tls) = (stop.clone(), tls.lock().unwrap().clone());
                env.spawn("connection", async move {
                    let http = hyper::server::conn::http1::Builder::new();
                    let connection = async {
                        let Some(tls) = tls else {
                            let _over = http.serve_connection(TokioIo::new(stream), service).await;
                            return;
                        };
                        let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await else {
                            told.not_believed();
                            return;
                        };
                        let _over = http.serve_connection(TokioIo::new(stream), service).await;
                    };
                    stop.run_until_cancelled(connection).await;
                });
            }
        });
        self.listening = Some((over, listening));
    }

    /// The process is killed: its connections break, and nobody listens.
    pub(crate) async fn kill(&mut self) {
        let (over, listening) = self.listening.take().unwrap();
        over.cancel();
        listening.join().await.unwrap();
        self.told.state.lock().unwrap().stream = None;
    }

    /// So SUBSCRIBE is answered the next times.
    pub(crate) fn refuse(&self, refusals: &[(u16, &'static str)]) {
        self.told.state.lock().unwrap().refusals = refusals.iter().copied().collect();
    }

    /// From now on updates are stored at once, or not at all.
    pub(crate) fn stores(&self, stores: bool) {
        self.told.state.lock().unwrap().stores = stores;
    }

    /// What the executor said of itself.
    pub(crate) fn authorization(&self) -> Option<String> {
        self.told.state.lock().unwrap().authorization.clone()
    }

    /// How many connections were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.told.state.lock().unwrap().connections
    }

    /// Waits until an executor has hung up because of the agent's certificate.
    pub(crate) async fn was_not_believed(&self) {
        self.told.until(|state| state.was_not_believed.then_some(())).await;
    }

    /// The `number`-th subscription, from 1.
    pub(crate) async fn subscription(&self, number: usize) -> Call {
        self.told.until(|state| state.subscriptions.get(number - 1).cloned()).await
    }

    /// The next update that came, in order.
    pub(crate) async fn update(&self) -> TaskStatus {
        self.told.until(|state| state.updates.pop_front()).await
    }

    /// The next update of this state; earlier ones of states that may come in between, or not, are passed over.
    pub(crate) async fn update_of(&self, state: TaskState) -> TaskStatus {
        loop {
            let status = self.update().await;
            if status.state() == state {
                return status;
            }
            assert!(!status.state().is_terminal(), "wanted {state}: {status:?}");
        }
    }

    fn send(&self, kind: ExecutorEventType, event: Event) {
        self.told.send(&Event { r#type: kind.wire(), ..event });
    }

    pub(crate) fn launch(&self, task: TaskInfo) {
        // As an agent hands it on: with the executor that it is for.
        let executor = ExecutorInfo { executor_id: ExecutorId::new(&self.executor_id), ..Default::default() };
        let task = TaskInfo { executor: Some(executor), ..task };
        self.send(ExecutorEventType::Launch, Event { launch: Some(Launch { task }), ..Event::default() });
    }

    pub(crate) fn launch_group(&self, tasks: Vec<TaskInfo>) {
        let launch_group = Some(LaunchGroup { task_group: TaskGroupInfo { tasks } });
        self.send(ExecutorEventType::LaunchGroup, Event { launch_group, ..Event::default() });
    }

    pub(crate) fn kill_task(&self, task: &str, grace: Option<Duration>) {
        let kill_policy = grace.map(|grace| KillPolicy { grace_period: Some(grace.into()) });
        let kill = Some(Kill { task_id: TaskId::new(task), kill_policy });
        self.send(ExecutorEventType::Kill, Event { kill, ..Event::default() });
    }

    pub(crate) fn message(&self, data: Vec<u8>) {
        let message = Some(MessageEvent { data });
        self.send(ExecutorEventType::Message, Event { message, ..Event::default() });
    }

    pub(crate) fn shut_down(&self) {
        self.send(ExecutorEventType::Shutdown, Event::default());
    }

    /// The files by which its executors are seen to live.
    pub(crate) fn signs(&self) -> Vec<PathBuf> {
        let files = self.locks.path().read_dir().unwrap().map(|entry| entry.unwrap().path());
        files.filter(|it| it.file_name().unwrap().to_str().unwrap().starts_with("executor-")).collect()
    }

    /// The process that watches over its executor's containers.
    pub(crate) fn guard(&self) -> i32 {
        let locks = self.locks.path().to_str().unwrap();
        let is_it = |pid: &i32| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.contains("\0guarding\0") && line.contains(locks)
        };
        let pids = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.into_iter().find(is_it).expect("a guard runs")
    }

    /// What a task wrote.
    pub(crate) fn output(&self, name: &str) -> String {
        std::fs::read_to_string(self.sandbox.path().join(name)).unwrap()
    }
}

type Body = BoxBody<Bytes, Infallible>;

impl Told {
    fn not_believed(&self) {
        self.state.lock().unwrap().was_not_believed = true;
        self.news.notify_waiters();
    }

    fn connected(&self) {
        self.state.lock().unwrap().connections += 1;
        self.news.notify_waiters();
    }

    async fn until<T>(&self, mut found: impl FnMut(&mut State) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let news = self.news.notified();
                if let Some(found) = found(&mut self.state.lock().unwrap()) {
                    return found;
                }
                news.await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the executor did not say so in time")
    }

    fn send(&self, event: &Event) {
        let mut record = Vec::new();
        recordio::encode(&Encoding::Protobuf.encode(event), &mut record);
        if let Some(stream) = &self.state.lock().unwrap().stream {
            // An agent does not notice that a stream is broken: what it sends is lost.
            let _lost = stream.unbounded_send(record.into());
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let header =
            |name| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let kind = header(header::CONTENT_TYPE).unwrap_or_default();
        if request.uri().path() != "/api/v1/executor" || kind != Encoding::Protobuf.media_type() {
            return text(415, "Expecting 'Content-Type' of application/json or application/x-protobuf");
        }
        let authorization = header(header::AUTHORIZATION);
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let call: Call = Encoding::Protobuf.decode(&body).unwrap();
        self.state.lock().unwrap().authorization = authorization;
        if call.framework_id.value != FRAMEWORK {
            return text(400, "Framework cannot be found");
        }
        if call.executor_id.value != self.executor_id {
            return text(400, "Executor cannot be found");
        }
        let answer = match call.r#type() {
            ExecutorCallType::Subscribe => self.subscribe(call),
            ExecutorCallType::Update => self.update(call),
            _ => text(501, "501 Not Implemented."),
        };
        self.news.notify_waiters();
        answer
    }

    fn subscribe(&self, call: Call) -> Response<Body> {
        let (sender, receiver) = mpsc::unbounded();
        {
            let mut state = self.state.lock().unwrap();
            if let Some((status, words)) = state.refusals.pop_front() {
                return text(status, words);
            }
            state.stream = Some(sender);
        }
        self.send(&Event {
            r#type: ExecutorEventType::Subscribed.wire(),
            subscribed: Some(subscribed(&self.executor_id)),
            ..Event::default()
        });
        let again = call.subscribe.clone().expect("Expecting 'subscribe' to be present");
        self.state.lock().unwrap().subscriptions.push(call);
        for update in again.unacknowledged_updates {
            self.take(update.status);
        }
        let frames = receiver.map(|record| Ok(Frame::data(record)));
        let body = BodyExt::boxed(StreamBody::new(frames));
        Response::builder().header(header::CONTENT_TYPE, Encoding::Protobuf.media_type()).body(body).unwrap()
    }

    fn update(&self, call: Call) -> Response<Body> {
        if self.state.lock().unwrap().stream.is_none() {
            return text(403, "Executor is not subscribed");
        }
        let status = call.update.expect("Expecting 'update' to be present").status;
        let uuid = status.uuid.as_deref().unwrap_or_default();
        if uuid.len() != 16 || status.source() != Source::Executor || status.state() == TaskState::Staging {
            return text(400, "Failed to validate Executor::Call: this is no update of an executor");
        }
        self.take(status);
        Response::builder().status(202).body(BodyExt::boxed(Full::default())).unwrap()
    }

    fn take(&self, status: TaskStatus) {
        let (task_id, uuid) = (status.task_id.clone(), status.uuid.clone().unwrap());
        let stores = {
            let mut state = self.state.lock().unwrap();
            state.updates.push_back(status);
            state.stores
        };
        if stores {
            let acknowledged = Some(Acknowledged { task_id, uuid });
            let kind = ExecutorEventType::Acknowledged.wire();
            self.send(&Event { r#type: kind, acknowledged, ..Event::default() });
        }
    }
}

fn text(status: u16, words: &'static str) -> Response<Body> {
    Response::builder().status(status).body(BodyExt::boxed(Full::from(words))).unwrap()
}

fn subscribed(executor_id: &str) -> Subscribed {
    let framework_id = Some(FrameworkId::new(FRAMEWORK));
    Subscribed {
        executor_info: ExecutorInfo {
            executor_id: ExecutorId::new(executor_id),
            framework_id: framework_id.clone(),
            ..ExecutorInfo::default()
        },
        framework_info: FrameworkInfo {
            id: framework_id,
            capabilities: vec![Capability::TaskKillingState.into()],
            ..FrameworkInfo::default()
        },
        agent_info: AgentInfo { id: Some(AgentId::new("agent-1")), ..AgentInfo::default() },
        container_id: None,
    }
}

/// A process that was started; ended when it is forgotten.
pub(crate) struct Executor {
    child: Child,
    log: PathBuf,
}

impl Executor {
    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let log = self.log.clone();
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("it runs on:\n{}", std::fs::read_to_string(log).unwrap())).unwrap()
    }

    /// As `kill -9` does.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id().unwrap().cast_signed()
    }

    /// Its resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }
}
