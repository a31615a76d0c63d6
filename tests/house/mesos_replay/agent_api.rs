//! Plays the requests of executors in a recording against an embedded agent over HTTP on loopback, and compares status, headers
//! and text of each answer. Frameworks and executors keep the ids of then: the agent is told to run them.

use std::collections::BTreeMap;

use serde_json::Value;
use tenure::env::Env;
use tenure::mesos::embedded::executors::{Executors, ExecutorsConfig};
use tenure::mesos::embedded::http::AgentFront;
use tenure::mesos::embedded::launcher::{Launch, Launcher, reports};
use tenure::mesos::wire::{AgentId, CommandInfo, ExecutorInfo, FrameworkId, TaskInfo, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::transport::{Difference, request_text};
use super::wire::{Answer, Wire};

/// What the process of an executor does here, whose calls are made by the test: it waits for the test to end.
const WAITS: &str = "while kill -0 $PPID; do sleep 0.1; done";

/// Plays the recording and tells what differs.
pub(crate) async fn differences(records: Vec<Value>) -> Vec<Difference> {
    let env = Env::system().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sink, _reports) = reports();
    let config = ExecutorsConfig::new(folder.path().to_owned(), address, "agent1");
    let executors = Executors::new(&env, config, sink);
    let stop = CancellationToken::new();
    env.spawn("agent", AgentFront::new(&env, executors.clone()).serve(listener, stop.clone()));
    for launch in records.iter().flat_map(launches) {
        executors.launch(launch).await;
    }

    let (mut found, mut streams) = (Vec::new(), BTreeMap::new());
    for (index, record) in records.iter().enumerate() {
        let conn = record["conn"].as_str().unwrap_or_default();
        if record["dir"] != ">" || !(conn == "raw" || conn.starts_with("exec")) {
            continue;
        }
        let is_answer = |it: &&Value| it["dir"] == "<" && it["id"] == record["id"];
        let answer = records[index..].iter().find(is_answer).expect("a request without an answer");
        let sent = request_text(record);
        let mut wire = Wire::of(TcpStream::connect(address).await.unwrap());
        wire.send(&sent).await;
        let theirs = Answer::recorded(answer);
        let ours = wire.answer(&theirs, false).await;
        if answer["stream"] == true {
            streams.insert(conn.to_owned(), wire);
        }
        let (theirs, ours) = (theirs.to_string(), ours.to_string());
        if theirs != ours {
            let text = format!("> {sent}\n--- Mesos\n{theirs}\n--- ours\n{ours}");
            found.push(Difference { subject: record["id"].to_string(), text });
        }
    }
    stop.cancel();
    found
}

/// The tasks that a call of a scheduler launches, as its agent is told of them.
fn launches(record: &Value) -> Vec<Launch> {
    let framework = record["body"]["framework_id"]["value"].as_str().unwrap_or_default();
    let operations = record["body"]["accept"]["operations"].as_array().into_iter().flatten();
    let tasks = operations.flat_map(|it| it["launch"]["task_infos"].as_array().into_iter().flatten());
    let launch = |task: &Value| {
        let task: TaskInfo = json::from_value(task.clone()).unwrap();
        let command = Some(CommandInfo { value: Some(WAITS.to_owned()), ..CommandInfo::default() });
        let executor = task.executor.clone().map(|executor| ExecutorInfo { command, ..executor });
        Launch {
            framework_id: FrameworkId::new(framework),
            agent_id: AgentId::new("agent1"),
            task: TaskInfo { executor, ..task },
            environment: BTreeMap::new(),
        }
    };
    tasks.map(launch).collect()
}
