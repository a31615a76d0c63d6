//! What operators read: what it costs, and who may.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::{Accounts, AgentFront, v0, v1};
use crate::env::Env;
use crate::mesos::embedded::bundle::Bundle;
use crate::mesos::embedded::executors::{Executors, ExecutorsConfig};
use crate::mesos::embedded::launcher::reports;
use crate::mesos::embedded::master::{AgentEntry, Books, Extent, FrameworkEntry, TaskEntry};
use crate::mesos::wire::{
    AgentId, AgentInfo, FrameworkId, FrameworkInfo, MasterInfo, TaskId, TaskState, TaskStatus,
};
use crate::proportion::is_kept;

/// So many agents and frameworks, and as many tasks: the `n`-th of the `n`-th framework on the `n`-th agent.
fn books(size: usize) -> Books {
    let at = Timestamp::UNIX_EPOCH;
    let framework = |number: usize| FrameworkEntry {
        id: FrameworkId::new(format!("f{number:05}")),
        info: FrameworkInfo::default(),
        connected: true,
        registered: at,
        reregistered: None,
        unregistered: None,
    };
    let agent = |number: usize| AgentEntry {
        id: AgentId::new(format!("a{number:05}")),
        info: AgentInfo::default(),
        ip: String::new(),
        connected: true,
        active: true,
        registered: at,
        reregistered: None,
        total: Bundle::default(),
        used: Bundle::default(),
        offered: Bundle::default(),
        drain: None,
    };
    let task = |number: usize| {
        let id = TaskId::new(format!("t{number:05}"));
        TaskEntry {
            framework: FrameworkId::new(format!("f{number:05}")),
            agent: AgentId::new(format!("a{number:05}")),
            role: Arc::from("*"),
            state: TaskState::Running,
            resources: Bundle::default(),
            info: None,
            statuses: vec![TaskStatus::of(id.clone(), TaskState::Running)],
            id,
        }
    };
    Books {
        master: MasterInfo::default(),
        started: at,
        agents: (0..size).map(agent).collect(),
        recovered: Vec::new(),
        unreachable_agents: 0,
        frameworks: (0..size).map(framework).collect(),
        completed_frameworks: Vec::new(),
        tasks: (0..size).map(task).collect(),
        unreachable_tasks: Vec::new(),
        completed_tasks: Vec::new(),
        offers: Vec::new(),
        roles: Vec::new(),
        weights: [].into(),
    }
}

#[test]
fn what_is_told_of_a_cluster_costs_in_proportion_to_its_size() {
    is_kept("/state", books, |books| v0::state(books).is_object());
    is_kept("/state-summary", books, |books| v0::summary(books).is_object());
    is_kept("GET_STATE", books, |books| v1::answer("GET_STATE", books).is_some());
}

#[test]
fn a_summary_counts_the_tasks_of_each_agent_and_framework() {
    let mut books = books(2);
    let ended = TaskEntry { state: TaskState::Failed, ..books.tasks[1].clone() };
    let elsewhere = TaskEntry { agent: AgentId::new("a00000"), ..ended.clone() };
    books.completed_tasks = vec![ended, elsewhere];
    let told = v0::summary(&books);
    let (agents, frameworks) = (&told["slaves"], &told["frameworks"]);
    assert_eq!((&agents[0]["TASK_RUNNING"], &agents[0]["TASK_FAILED"]), (&1.into(), &1.into()));
    assert_eq!(agents[0]["framework_ids"], serde_json::json!(["f00000", "f00001"]));
    assert_eq!((&frameworks[1]["TASK_RUNNING"], &frameworks[1]["TASK_FAILED"]), (&1.into(), &2.into()));
    assert_eq!(frameworks[1]["slave_ids"], serde_json::json!(["a00000", "a00001"]));
}

#[test]
fn what_is_asked_of_the_master_for_a_call_is_enough_to_answer_it() {
    let books = books(1);
    for kind in [
        "GET_MASTER",
        "GET_OPERATIONS",
        "GET_WEIGHTS",
        "GET_QUOTA",
        "GET_AGENTS",
        "GET_ROLES",
        "GET_FRAMEWORKS",
        "GET_TASKS",
        "GET_EXECUTORS",
        "GET_STATE",
        "GET_FLAGS",
        "FOO_BAR",
    ] {
        assert_eq!(v1::extent(kind).is_some(), v1::answer(kind, &books).is_some(), "{kind}");
    }
    for kind in ["GET_MASTER", "GET_WEIGHTS", "GET_QUOTA", "GET_OPERATIONS"] {
        assert_eq!(v1::extent(kind), Some(Extent::Head), "{kind}");
    }
}

/// The status of the answer to `head` at an agent of `front`.
async fn status(address: SocketAddr, head: &str) -> String {
    let mut line = TcpStream::connect(address).await.unwrap();
    let request = format!("{head}\r\nHost: agent\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    line.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    line.read_to_string(&mut answer).await.unwrap();
    answer.split_whitespace().nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn an_agent_with_accounts_tells_others_nothing_of_its_tasks_and_asks_executors_for_none() {
    let (env, disk, (sink, _reports)) = (Env::system().unwrap(), tempfile::tempdir().unwrap(), reports());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = ExecutorsConfig::new(disk.path().to_owned(), address, "agent1");
    let front = AgentFront::new(&env, Executors::new(&env, config, sink));
    let front = front.authenticating(Accounts::parse("rec:s3cret").unwrap());
    let stop = CancellationToken::new();
    env.spawn("agent", front.serve(listener, stop.clone()));
    for path in ["/state", "/slave(1)/state", "/files/debug", "/files/browse?path=/frameworks", "/containers"]
    {
        assert_eq!(status(address, &format!("GET {path} HTTP/1.1")).await, "401", "{path}");
    }
    assert_eq!(status(address, "POST /api/v1 HTTP/1.1").await, "401");
    let known = "GET /state HTTP/1.1\r\nAuthorization: Basic cmVjOnMzY3JldA==";
    for open in [known, "GET /health HTTP/1.1", "GET /version HTTP/1.1"] {
        assert_eq!(status(address, open).await, "200", "{open}");
    }
    assert_eq!(status(address, "POST /api/v1/executor HTTP/1.1").await, "400", "it has no Content-Type");
    stop.cancel();
}
