//! Plays a recording of executors against an embedded agent over HTTP on loopback: what executors ask, in its order, what the
//! scheduler has its tasks do, and the ends of their processes. Compared are status, headers and text of each answer, the events that
//! executors get, and what the agent's master is to be told of tasks. Frameworks and executors keep the ids of then.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use prost::Message as _;
use serde_json::Value;
use tenure::env::Env;
use tenure::mesos::embedded::executors::{Executors, ExecutorsConfig};
use tenure::mesos::embedded::http::AgentFront;
use tenure::mesos::embedded::launcher::{Launch, Launcher, Report, Reports, reports};
use tenure::mesos::wire::executor::Event;
use tenure::mesos::wire::scheduler::Message;
use tenure::mesos::wire::{
    AgentId, CommandInfo, ExecutorId, ExecutorInfo, FrameworkId, TaskId, TaskInfo, TaskStatus, json,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::transport::{Difference, request_bytes};
use super::wire::{Answer, Wire};

/// What the process of an executor does here, whose calls are made by the test: it waits for the sign to exit, or for the test to end.
const WAITS: &str = "while kill -0 $PPID; do [ ! -e exit ] || exit $(cat exit); sleep 0.1; done";
/// The grace of a kill that names none, as agents have it.
const GRACE: Duration = Duration::from_secs(5);
/// Differences of an agent's process that comes after another.
const STARTS: &str = "while the agent starts";
const LATE: &str = "late after a restart";
/// What is awaited comes by then.
const PATIENCE: Duration = Duration::from_secs(20);

/// Plays the recording and tells what differs.
pub(crate) async fn differences(mut records: Vec<Value>) -> Vec<Difference> {
    records.iter_mut().for_each(read_protobuf);
    let mut play = Play::start(&records).await;
    for index in 0..records.len() {
        play.step(&records[index..]).await;
    }
    play.stop.cancel();
    play.found
}

struct Play {
    env: Env,
    folder: tempfile::TempDir,
    executors: Executors,
    front: AgentFront,
    reports: Reports,
    /// Those that came while another was awaited.
    early: Vec<Report>,
    address: SocketAddr,
    stop: CancellationToken,
    streams: BTreeMap<String, Wire>,
    /// Its agent's process was killed. (No executor is found again by the next one: here all that runs goes on, unknown to it.)
    restarts: bool,
    /// Executors that were late after that.
    late: BTreeSet<String>,
    /// Tasks that the master refused: they never came to the agent.
    refused: BTreeSet<String>,
    /// What the scheduler was told already.
    told: BTreeSet<String>,
    /// All that the recorded executors were told to have arrived.
    acknowledged: BTreeSet<String>,
    launched: BTreeSet<String>,
    ended: BTreeSet<String>,
    /// The framework is removed.
    over: bool,
    found: Vec<Difference>,
}

impl Play {
    async fn start(records: &[Value]) -> Play {
        let env = Env::system().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sink, told) = reports();
        let mut config = ExecutorsConfig::new(folder.path().to_owned(), address, "agent1");
        let flags =
            records.iter().filter_map(|it| it["flags"].as_array()).flatten().filter_map(Value::as_str);
        let limit = flags.filter_map(|flag| flag.strip_prefix("--executor_registration_timeout=")).next();
        if let Some(seconds) = limit.and_then(|limit| limit.strip_suffix("secs")) {
            config.registration_timeout = Duration::from_secs(seconds.parse().unwrap());
        }
        let executors = Executors::new(&env, config, sink);
        let reports = journalled(&env, executors.clone(), told);
        let stop = CancellationToken::new();
        let front = AgentFront::new(&env, executors.clone());
        env.spawn("agent", front.clone().serve(listener, stop.clone()));
        let uuids = records.iter().filter_map(|it| it["event"]["acknowledged"]["uuid"].as_str());
        Play {
            env,
            folder,
            executors,
            front,
            reports,
            early: Vec::new(),
            address,
            stop,
            streams: BTreeMap::new(),
            restarts: false,
            late: late(records),
            refused: refused(records),
            told: BTreeSet::new(),
            acknowledged: uuids.map(str::to_owned).collect(),
            launched: BTreeSet::new(),
            ended: BTreeSet::new(),
            over: false,
            found: Vec::new(),
        }
    }

    async fn step(&mut self, rest: &[Value]) {
        let record = &rest[0];
        if self.over && !record["event"].is_object() {
            return;
        }
        let conn = record["conn"].as_str().unwrap_or_default();
        let (is_executors, is_schedulers) = (conn.starts_with("exec-"), conn.starts_with("sched"));
        match record["dir"].as_str().unwrap_or_default() {
            "!" if record["action"] == "executor-process-exits" => self.exits(record),
            "!" if record["action"] == "close-stream" => drop(self.streams.remove(conn)),
            "!" if record["action"] == "kill-agent" => {
                self.restarts = true;
                self.stop.cancel();
                self.streams.clear();
            }
            "!" if record["action"] == "start-agent" && self.restarts => self.serve().await,
            _ if self.restarts && self.is_late(record) => {
                let text = record.to_string();
                self.found.push(Difference { subject: LATE.to_owned(), text });
            }
            ">" if is_executors || conn == "raw" => self.request(rest).await,
            ">" if is_schedulers => self.call(&record["body"]).await,
            "<" if is_executors && record["event"].is_object() => {
                self.heard(conn, &record["event"], record["event_b64"].is_string()).await;
            }
            "<" if is_schedulers && record["event"]["type"] == "UPDATE" => {
                self.told(&record["event"]["update"]["status"]).await;
            }
            "<" if is_schedulers && record["event"]["type"] == "MESSAGE" => {
                self.said(&record["event"]["message"]).await;
            }
            "<" if is_schedulers && record["event"]["type"] == "FAILURE" => {
                self.failed(&record["event"]["failure"]).await;
            }
            _ => {}
        }
    }

    /// The agent's process is there again.
    async fn serve(&mut self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.address = listener.local_addr().unwrap();
        self.stop = CancellationToken::new();
        self.env.spawn("agent", self.front.clone().serve(listener, self.stop.clone()));
    }

    /// Whether it is about an executor that was late after a restart.
    fn is_late(&self, record: &Value) -> bool {
        let ids = ["/body/executor_id", "/event/failure/executor_id", "/event/update/status/executor_id"];
        let ids = ids.iter().filter_map(|it| record.pointer(it)?["value"].as_str());
        let is_told = record["event"]["update"]["status"]["state"] != "TASK_RUNNING";
        is_told && ids.into_iter().any(|id| self.late.contains(id))
    }

    /// The process of an executor ends.
    fn exits(&self, record: &Value) {
        let id = ExecutorId::new(record["executor"].as_str().unwrap());
        let overview = self.executors.overview();
        let executor = overview.executors.iter().find(|it| it.info.executor_id == id).unwrap();
        assert!(executor.directory.starts_with(self.folder.path()));
        std::fs::write(executor.directory.join("exit"), record["code"].to_string()).unwrap();
    }

    async fn request(&mut self, rest: &[Value]) {
        let record = &rest[0];
        let is_answer = |it: &&Value| it["dir"] == "<" && it["id"] == record["id"];
        let answer = rest.iter().find(is_answer).expect("a request without an answer");
        let request = request_bytes(record);
        let sent = String::from_utf8_lossy(&request).into_owned();
        if self.restarts && (answer["status"] == 404 || answer["status"] == 503) {
            return self.found.push(Difference { subject: STARTS.to_owned(), text: sent });
        }
        let mut wire = Wire::of(TcpStream::connect(self.address).await.unwrap());
        wire.send(&request).await;
        let theirs = Answer::recorded(answer);
        let ours = wire.answer(&theirs, false).await;
        if answer["stream"] == true {
            self.streams.insert(record["conn"].as_str().unwrap_or_default().to_owned(), wire);
        }
        let (theirs, ours) = (theirs.to_string(), ours.to_string());
        if theirs != ours {
            let text = format!("> {sent}\n--- Mesos\n{theirs}\n--- ours\n{ours}");
            self.found.push(Difference { subject: record["id"].to_string(), text });
        }
    }

    /// What a call of the scheduler has the agent do.
    async fn call(&mut self, body: &Value) {
        for launch in launches(body) {
            if self.refused.contains(&launch.task_id().value) {
                continue;
            }
            self.launched.insert(launch.task_id().value.clone());
            self.executors.launch(launch).await;
        }
        let framework = FrameworkId::new(body["framework_id"]["value"].as_str().unwrap_or_default());
        match body["type"].as_str() {
            Some("KILL") => {
                let kill = &body["kill"];
                let grace = kill["kill_policy"]["grace_period"]["nanoseconds"].as_u64();
                let task = TaskId::new(kill["task_id"]["value"].as_str().unwrap());
                self.executors.kill(&task, grace.map_or(GRACE, Duration::from_nanos)).await;
            }
            Some("SHUTDOWN") => {
                let executor = body["shutdown"]["executor_id"]["value"].as_str().unwrap();
                self.executors.shutdown(&framework, &ExecutorId::new(executor)).await;
            }
            // Of its tasks nothing is told any more.
            Some("TEARDOWN") => {
                self.executors.framework_removed(&framework).await;
                self.over = true;
            }
            Some("MESSAGE") => {
                let message: Message = json::from_value(body["message"].clone()).unwrap();
                self.executors.message(&framework, &message.executor_id, message.data).await;
            }
            _ => {}
        }
    }

    /// An executor got this event.
    async fn heard(&mut self, conn: &str, theirs: &Value, in_protobuf: bool) {
        let Some(stream) = self.streams.get_mut(conn) else { return };
        let wanted = essence(theirs);
        loop {
            let Ok(record) = tokio::time::timeout(PATIENCE, stream.record()).await else {
                let text = format!("{conn} never gets {wanted}");
                return self.found.push(Difference { subject: wanted, text });
            };
            let event: Value = if in_protobuf {
                json::to_value(&Event::decode(record.as_slice()).unwrap()).unwrap()
            } else {
                serde_json::from_slice(&record).unwrap()
            };
            let uuid = event["acknowledged"]["uuid"].as_str().map(str::to_owned);
            let ours = essence(&event);
            if uuid.is_some_and(|uuid| !self.acknowledged.contains(&uuid)) {
                let text = format!("{conn} gets {ours}");
                self.found.push(Difference { subject: "acknowledged too often".to_owned(), text });
                continue;
            }
            if ours != wanted {
                let text = format!("{conn} gets {ours}");
                self.found.push(Difference { subject: wanted, text });
            }
            return;
        }
    }

    /// The framework was told this by an executor.
    async fn said(&mut self, theirs: &Value) {
        let theirs: Message = json::from_value(theirs.clone()).unwrap();
        let wanted = format!("{} says {:?}", theirs.executor_id, theirs.data);
        let ours = self.report(|it| matches!(it, Report::Message(_))).await;
        let ours = match ours {
            Some(Report::Message(ours)) => format!("{} says {:?}", ours.executor_id, ours.data),
            _ => "nothing".to_owned(),
        };
        if ours != wanted {
            self.found.push(Difference { subject: wanted, text: format!("told is {ours:?}") });
        }
    }

    /// The framework was told that an executor has ended.
    async fn failed(&mut self, theirs: &Value) {
        let Some(executor) = theirs["executor_id"]["value"].as_str() else { return };
        let wanted = format!("{executor} exits with {}", theirs["status"]);
        let is_meant = |it: &Report| matches!(it, Report::Exited(exit) if exit.executor_id.value == executor);
        let ours = match self.report(is_meant).await {
            Some(Report::Exited(exit)) => format!("{} exits with {}", exit.executor_id, exit.status),
            _ => "nothing".to_owned(),
        };
        if ours != wanted {
            self.found.push(Difference { subject: wanted, text: format!("told is {ours:?}") });
        }
    }

    /// The master was told this status; of a task that was not launched, or has ended before, agents here tell nothing.
    async fn told(&mut self, theirs: &Value) {
        let by_agent = ["REASON_TASK_KILLED_DURING_LAUNCH", "REASON_RECONCILIATION"];
        if theirs["source"] == "SOURCE_MASTER" || by_agent.iter().any(|reason| theirs["reason"] == *reason) {
            return;
        }
        // Until it is acknowledged the agent tells it again, a new process of it, too.
        if theirs["uuid"].as_str().is_some_and(|uuid| !self.told.insert(uuid.to_owned())) {
            return;
        }
        let theirs: TaskStatus = json::from_value(theirs.clone()).unwrap();
        let task = theirs.task_id.value.clone();
        let wanted = brief(&theirs);
        if !self.launched.contains(&task) || self.ended.contains(&task) {
            let subject = "told of a task that is not there".to_owned();
            return self.found.push(Difference { subject, text: wanted });
        }
        let is_meant = |it: &Report| matches!(it, Report::Status(status) if status.task_id == theirs.task_id);
        let ours = self.report(is_meant).await.and_then(Report::into_status);
        let ours = ours.map_or_else(|| "nothing".to_owned(), |it| brief(&it));
        if theirs.state().is_terminal() {
            self.ended.insert(task);
        }
        if ours != wanted {
            self.found.push(Difference { subject: wanted, text: format!("told is {ours}") });
        }
    }

    /// The next report of this kind.
    async fn report(&mut self, is_meant: impl Fn(&Report) -> bool) -> Option<Report> {
        if let Some(at) = self.early.iter().position(&is_meant) {
            return Some(self.early.remove(at));
        }
        loop {
            let report = tokio::time::timeout(PATIENCE, self.reports.recv()).await.ok()??;
            if is_meant(&report) {
                return Some(report);
            }
            self.early.push(report);
        }
    }
}

/// The tasks that the master refused.
fn refused(records: &[Value]) -> BTreeSet<String> {
    let statuses = records.iter().map(|it| &it["event"]["update"]["status"]);
    let refused =
        statuses.filter(|it| it["source"] == "SOURCE_MASTER" && it["reason"] == "REASON_TASK_INVALID");
    refused.filter_map(|it| it["task_id"]["value"].as_str()).map(str::to_owned).collect()
}

/// The reports, of which the executors are told that they are on the disk: no agent of ours is here that has one.
fn journalled(env: &Env, executors: Executors, mut told: Reports) -> Reports {
    let (pass_on, reports) = tokio::sync::mpsc::channel(1024);
    env.spawn("journal", async move {
        while let Some(report) = told.recv().await {
            if let Report::Status(status) = &report
                && let Some(uuid) = &status.uuid
            {
                executors.journalled(&status.task_id, uuid).await;
            }
            if pass_on.send(report).await.is_err() {
                return;
            }
        }
    });
    reports
}

/// The executors that were late when their agent was there again.
fn late(records: &[Value]) -> BTreeSet<String> {
    let statuses = records.iter().map(|it| &it["event"]["update"]["status"]);
    let late = statuses.filter(|it| it["reason"] == "REASON_EXECUTOR_REREGISTRATION_TIMEOUT");
    late.filter_map(|it| it["executor_id"]["value"].as_str()).map(str::to_owned).collect()
}

/// The tasks that a call of a scheduler launches, as its agent is told of them.
fn launches(body: &Value) -> Vec<Launch> {
    let framework = body["framework_id"]["value"].as_str().unwrap_or_default();
    let operations = body["accept"]["operations"].as_array().into_iter().flatten();
    let tasks = operations.flat_map(|it| it["launch"]["task_infos"].as_array().into_iter().flatten());
    let launch = |task: &Value| {
        let task: TaskInfo = json::from_value(task.clone()).unwrap();
        let executor = task.executor.clone().map(|executor| {
            let given = executor.command.clone().unwrap_or_default();
            let waits = CommandInfo { value: Some(WAITS.to_owned()), ..CommandInfo::default() };
            let command = if given.value().contains("-e exit") { waits } else { given };
            ExecutorInfo { command: Some(command), ..executor }
        });
        Launch {
            framework_id: FrameworkId::new(framework),
            agent_id: AgentId::new("agent1"),
            task: TaskInfo { executor, ..task },
            environment: BTreeMap::new(),
        }
    };
    tasks.map(launch).collect()
}

/// Puts what a message in protobuf says where it stands of others.
fn read_protobuf(record: &mut Value) {
    let decoded = record["decoded"].take();
    if decoded.is_object() {
        let part = if record["event_b64"].is_string() { "event" } else { "body" };
        record[part] = decoded;
    }
}

/// What an event is about.
fn essence(event: &Value) -> String {
    let kind = event["type"].as_str().unwrap_or_default();
    let about = &event[kind.to_ascii_lowercase().as_str()];
    match kind {
        "SUBSCRIBED" => format!("SUBSCRIBED {}", about["executor_info"]["executor_id"]["value"]),
        "LAUNCH" => format!("LAUNCH {}", about["task"]["task_id"]["value"]),
        _ => format!("{kind} {about}"),
    }
}

fn brief(status: &TaskStatus) -> String {
    // What stands in quotes are names of containers.
    let (id, message) = (&status.task_id, status.message().split('\'').next().unwrap_or_default());
    format!("{id} {} {} {} {message}", status.state(), status.source(), status.reason())
}
