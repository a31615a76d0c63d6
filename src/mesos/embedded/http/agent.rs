//! An agent's process as an operator sees it: `/state`, the calls of its API that are about itself, and the files of its tasks.

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::accounts::authenticate;
use super::executor::AgentFront;
use super::reply::{self, Reply};
use super::v0::{self, wire};
use super::{files, operator, tasks};
use crate::mesos::embedded::bundle::Bundle;
use crate::mesos::embedded::executors::{ExecutorEntry, Overview};
use crate::mesos::embedded::master::{TaskEntry, VERSION};
use crate::mesos::wire::FrameworkId;

impl AgentFront {
    /// What stands at a path that is not the executors'. That it lives, and its version, are told to everybody.
    pub(super) async fn operator(&self, request: Request<Incoming>, path: &str) -> Reply {
        match path {
            "/health" => reply::empty(StatusCode::OK),
            "/version" => reply::json(&json!({"version": VERSION})),
            path => match authenticate(self.accounts.as_deref(), request.headers(), files::REALM) {
                Ok(_) => self.told(request, path).await,
                Err(reply) => *reply,
            },
        }
    }

    async fn told(&self, request: Request<Incoming>, path: &str) -> Reply {
        match path {
            "/state" => reply::json(&state(&self.executors.overview())),
            "/containers" | "/monitor/statistics" | "/flags" | "/metrics/snapshot" => {
                operator::unbuilt(path, "agent")
            }
            path => match path.strip_prefix("/files/") {
                Some(what) => files::get(&self.env, self.roots(), &request, what).await,
                None if path.starts_with("/api/v1") => self.operate(request).await.unwrap_or_else(|it| *it),
                None => reply::text(StatusCode::NOT_FOUND, "404 Not Found."),
            },
        }
    }

    /// Sandboxes by the names of framework and executor, and where they really are.
    fn roots(&self) -> Vec<files::Root> {
        let overview = self.executors.overview();
        let of_agent = overview.work_dir.join(format!("slaves/{}/frameworks", overview.id()));
        vec![("/frameworks".into(), of_agent), (overview.work_dir.clone(), overview.work_dir)]
    }

    async fn operate(&self, request: Request<Incoming>) -> Result<Reply, Box<Reply>> {
        let call = operator::operator_call(request, "agent").await?;
        if let Some(answer) = files::call(&self.env, self.roots(), &call).await {
            return Ok(answer);
        }
        let kind = call["type"].as_str().unwrap_or_default();
        let told = operator::of_process(kind).or_else(|| answer(kind, &self.executors.overview()));
        Ok(told.map_or_else(|| operator::unbuilt(kind, "agent"), |told| operator::answered(kind, told)))
    }
}

/// What a call is answered with; none for one that is not built.
fn answer(kind: &str, overview: &Overview) -> Option<Value> {
    Some(match kind {
        "GET_AGENT" => json!({"agent_info": wire(&overview.info)}),
        "GET_TASKS" => tasks(overview),
        "GET_EXECUTORS" => executors(overview),
        "GET_STATE" => json!({"get_tasks": tasks(overview), "get_executors": executors(overview)}),
        _ => return None,
    })
}

fn tasks(overview: &Overview) -> Value {
    let of = |executors: &[ExecutorEntry], pick: fn(&ExecutorEntry) -> &[TaskEntry]| {
        executors.iter().flat_map(pick).map(tasks::message).collect::<Vec<_>>()
    };
    let mut completed = of(&overview.executors, |it| &it.completed);
    completed.extend(of(&overview.completed, |it| &it.completed));
    json!({
        "pending_tasks": [],
        "queued_tasks": of(&overview.executors, |it| &it.queued),
        "launched_tasks": of(&overview.executors, |it| &it.tasks),
        "terminated_tasks": [],
        "completed_tasks": completed,
    })
}

fn executors(overview: &Overview) -> Value {
    let all = |entries: &[ExecutorEntry]| -> Vec<Value> {
        let told = |entry: &ExecutorEntry| {
            let mut info = wire(&entry.info);
            info["framework_id"] = wire(&entry.framework);
            json!({"executor_info": info})
        };
        entries.iter().map(told).collect()
    };
    json!({"executors": all(&overview.executors), "completed_executors": all(&overview.completed)})
}

/// `/state`.
fn state(overview: &Overview) -> Value {
    let total = v0::bundle(&overview.info.resources);
    let mut used = Bundle::default();
    for executor in &overview.executors {
        used.add(&held(executor));
    }
    let port = overview.info.port.unwrap_or(5051);
    json!({
        "version": VERSION,
        "id": overview.id().value,
        "pid": format!("slave(1)@{}:{port}", overview.ip),
        "hostname": overview.info.hostname,
        "start_time": v0::seconds(overview.started),
        "capabilities": v0::AGENT_CAPABILITIES,
        "attributes": v0::attributes(&overview.info),
        "resources": v0::amounts(&total),
        "reserved_resources": {},
        "unreserved_resources": v0::amounts(&total),
        "reserved_resources_full": {},
        "unreserved_resources_full": wire(&total.resources()),
        "reserved_resources_allocated": {},
        "unreserved_resources_allocated": v0::amounts(&used),
        "resource_providers": [],
        "flags": {"work_dir": overview.work_dir.display().to_string(), "port": port.to_string()},
        "frameworks": frameworks(overview),
        "completed_frameworks": [],
    })
}

/// What an executor and its tasks hold.
fn held(executor: &ExecutorEntry) -> Bundle {
    let mut held = v0::bundle(&executor.info.resources);
    executor.tasks.iter().chain(&executor.queued).for_each(|task| held.add(&task.resources));
    held
}

/// An agent knows of a framework what its executors need: its id.
fn frameworks(overview: &Overview) -> Vec<Value> {
    let all = overview.executors.iter().chain(&overview.completed);
    let mut ids: Vec<&FrameworkId> = all.map(|entry| &entry.framework).collect();
    ids.sort();
    ids.dedup();
    let of = |id: &FrameworkId, entries: &[ExecutorEntry]| -> Vec<Value> {
        entries.iter().filter(|entry| entry.framework == *id).map(executor).collect()
    };
    let framework = |id: &FrameworkId| {
        json!({
            "id": id.value,
            "executors": of(id, &overview.executors),
            "completed_executors": of(id, &overview.completed),
        })
    };
    ids.into_iter().map(framework).collect()
}

fn executor(entry: &ExecutorEntry) -> Value {
    let tasks = |entries: &[TaskEntry]| entries.iter().map(tasks::flat).collect::<Vec<_>>();
    json!({
        "id": entry.info.executor_id.value,
        "name": entry.info.name(),
        "source": entry.info.source(),
        "container": entry.container,
        "directory": entry.directory.display().to_string(),
        "resources": v0::amounts(&held(entry)),
        "type": "CUSTOM",
        "tasks": tasks(&entry.tasks),
        "queued_tasks": tasks(&entry.queued),
        "completed_tasks": tasks(&entry.completed),
    })
}
