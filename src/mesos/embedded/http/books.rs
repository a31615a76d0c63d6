//! `/slaves`, `/frameworks` and `/tasks`: what an operator reads of a cluster, in the shapes of Mesos.

use http::Request;
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::reply::{self, Reply};
use super::{Front, operator};
use crate::mesos::embedded::bundle::Bundle;
use crate::mesos::embedded::master::{AgentEntry, Books, FrameworkEntry, TaskEntry};
use crate::mesos::wire::json as mesos_json;

/// How many tasks are told when nobody says otherwise.
const TASKS: usize = 100;

impl Front {
    pub(super) async fn books(&self, request: &Request<Incoming>, path: &str) -> Reply {
        self.read_books(request, path).await.unwrap_or_else(|reply| *reply)
    }

    async fn read_books(&self, request: &Request<Incoming>, path: &str) -> Result<Reply, Box<Reply>> {
        self.authenticate(request.headers(), operator::READ_ONLY)?;
        let master = self.leading(request)?;
        let books = master.books().await.ok_or_else(operator::recovering)?;
        Ok(reply::json(&match path {
            "/slaves" => json!({"slaves": all(&books.agents, agent), "recovered_slaves": []}),
            "/frameworks" => json!({
                "frameworks": all(&books.frameworks, framework),
                "completed_frameworks": [],
                "unregistered_frameworks": [],
            }),
            _ => tasks(&books, request.uri().query().unwrap_or_default()),
        }))
    }
}

fn all<T>(entries: &[T], told: fn(&T) -> Value) -> Vec<Value> {
    entries.iter().map(told).collect()
}

/// Some of the tasks: `limit` of them after the first `offset`, only those of one id or framework if so asked.
fn tasks(books: &Books, query: &str) -> Value {
    let value = |name: &str| {
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|it| it.1)
    };
    let number = |name: &str| value(name).and_then(|it| it.parse::<usize>().ok());
    let is_asked = |entry: &&TaskEntry| {
        value("task_id").is_none_or(|id| id == entry.id.value)
            && value("framework_id").is_none_or(|id| id == entry.framework.value)
    };
    let asked = books.tasks.iter().filter(is_asked).skip(number("offset").unwrap_or(0));
    let told: Vec<Value> = asked.take(number("limit").unwrap_or(TASKS)).map(task).collect();
    json!({"tasks": told})
}

fn task(entry: &TaskEntry) -> Value {
    let executor = entry.status.executor_id.as_ref().map_or("", |id| id.value.as_str());
    let status = mesos_json::to_value(&entry.status).unwrap_or_default();
    json!({
        "id": entry.id.value,
        "framework_id": entry.framework.value,
        "executor_id": executor,
        "slave_id": entry.agent.value,
        "state": entry.state.as_str(),
        "resources": amounts(&entry.resources),
        "statuses": [status],
    })
}

fn agent(entry: &AgentEntry) -> Value {
    let attributes: Map<String, Value> = entry
        .info
        .attributes
        .iter()
        .map(|it| {
            let value = match (&it.scalar, &it.text) {
                (Some(scalar), _) => json!(scalar.value),
                (None, Some(text)) => json!(text.value),
                (None, None) => mesos_json::to_value(it).unwrap_or_default(),
            };
            (it.name.clone(), value)
        })
        .collect();
    let port = entry.info.port.unwrap_or(5051);
    json!({
        "id": entry.id.value,
        "hostname": entry.info.hostname,
        "port": port,
        "pid": format!("slave(1)@{}:{port}", entry.ip),
        "attributes": attributes,
        "resources": amounts(&entry.total),
        "used_resources": amounts(&entry.used),
        "offered_resources": amounts(&entry.offered),
        "active": entry.active && entry.connected,
        "deactivated": !entry.active,
    })
}

fn framework(entry: &FrameworkEntry) -> Value {
    let info = mesos_json::to_value(&entry.info).unwrap_or_default();
    let told = |name: &str| info.get(name).cloned().unwrap_or_default();
    json!({
        "id": entry.id.value,
        "name": entry.info.name,
        "user": entry.info.user,
        "hostname": told("hostname"),
        "principal": told("principal"),
        "role": told("role"),
        "roles": told("roles"),
        "failover_timeout": told("failover_timeout"),
        "webui_url": told("webui_url"),
        "active": entry.connected,
        "connected": entry.connected,
    })
}

/// Resources as Mesos sums them up: numbers, and ports as text.
fn amounts(bundle: &Bundle) -> Value {
    let mut amounts = Map::new();
    for name in ["cpus", "mem", "disk", "gpus"] {
        #[expect(clippy::cast_precision_loss, reason = "thousandths of what a machine has")]
        amounts.insert(name.to_owned(), json!(bundle.scalar(name) as f64 / 1000.0));
    }
    let resources = bundle.resources();
    let ranges = resources.iter().filter(|it| it.name == "ports").filter_map(|it| it.ranges.as_ref());
    let ranges = ranges.flat_map(|it| &it.range).map(|it| format!("{}-{}", it.begin, it.end));
    let ports = ranges.collect::<Vec<_>>().join(", ");
    if !ports.is_empty() {
        amounts.insert("ports".to_owned(), json!(format!("[{ports}]")));
    }
    Value::Object(amounts)
}
