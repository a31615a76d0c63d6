//! The operator API, `/api/v1`, and what is asked of a master to find out who leads.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::reply::{self, Reply, bad};
use super::scheduler::{accepted, expect_post};
use super::{Front, RECOVERING, Role, books, files, maintenance, read, v1, watching};
use crate::mesos::embedded::master::{MasterHandle, VERSION};
use crate::mesos::wire::{AgentId, Encoding, FrameworkId};

pub(super) const READ_WRITE: &str = "mesos-master-readwrite";
pub(super) const READ_ONLY: &str = "mesos-master-readonly";

pub(super) fn version() -> Reply {
    reply::json(&json!({"version": VERSION}))
}

impl Front {
    pub(super) fn redirect(&self) -> Reply {
        match &*self.role.borrow() {
            Role::Leads(leader, _) | Role::Follows(leader) => reply::redirect(&format!("//{leader}")),
            Role::Elects | Role::Recovers => reply::unavailable("No leader elected"),
        }
    }

    pub(super) fn unbuilt(&self, request: &Request<Incoming>) -> Reply {
        match self.leading(request) {
            Ok(_) => unbuilt(request.uri().path(), "master"),
            Err(reply) => *reply,
        }
    }

    /// Answered by every master. The leading one looks at all tasks for it; [`Front::redirect`] tells for nothing who leads.
    pub(super) async fn metrics(&self) -> Reply {
        let role = self.role.borrow().clone();
        let metrics = match role {
            Role::Leads(_, master) => master.metrics().await,
            Role::Follows(_) | Role::Elects | Role::Recovers => None,
        };
        reply::json(&metrics.map_or_else(|| json!({"master/elected": 0.0}), |it| json!(it)))
    }

    pub(super) async fn operator(&self, request: Request<Incoming>) -> Reply {
        self.operate(request).await.unwrap_or_else(|reply| *reply)
    }

    async fn operate(&self, request: Request<Incoming>) -> Result<Reply, Box<Reply>> {
        self.authenticate(request.headers(), READ_WRITE)?;
        let master = self.leading(&request)?;
        let call = operator_call(request, "master").await?;
        if let Some(answer) = maintenance::call(&master, &call).await {
            return answer;
        }
        if let Some(answer) = files::call(&self.env, self.roots(), &call).await {
            return Ok(answer);
        }
        let kind = call["type"].as_str().unwrap_or_default();
        if kind == "SUBSCRIBE" {
            return watching::watch(&master).await;
        }
        if let Some(answer) = self.act(&master, kind, &call).await {
            return answer;
        }
        let told = match kind {
            "GET_HEALTH" | "GET_VERSION" => of_process(kind),
            "GET_METRICS" => Some(metric_list(&master.metrics().await.ok_or_else(recovering)?)),
            _ => match v1::extent(kind) {
                Some(extent) => v1::answer(kind, &*master.books(extent).await.ok_or_else(recovering)?),
                None => None,
            },
        };
        Ok(told.map_or_else(|| unbuilt(kind, "master"), |told| answered(kind, told)))
    }

    /// Does what an operator wants to be done; none if the call only asks.
    async fn act(
        &self,
        master: &MasterHandle,
        kind: &str,
        call: &Value,
    ) -> Option<Result<Reply, Box<Reply>>> {
        let field = kind.to_ascii_lowercase();
        let wish = &call[field.as_str()];
        let agent = || AgentId::new(wish["agent_id"]["value"].as_str().unwrap_or_default());
        let done = match kind {
            "TEARDOWN" => {
                let id = wish["framework_id"]["value"].as_str().unwrap_or_default();
                master.teardown(&FrameworkId::new(id)).await
            }
            "UPDATE_WEIGHTS" => return Some(books::update_weights(master, &wish["weight_infos"]).await),
            "DEACTIVATE_AGENT" => master.deactivate_agent(&agent()).await,
            "REACTIVATE_AGENT" => master.reactivate_agent(&agent()).await,
            "MARK_AGENT_GONE" => master.mark_agent_gone(&agent()).await,
            "DRAIN_AGENT" => {
                let grace = match grace(&wish["max_grace_period"]) {
                    Ok(grace) => grace,
                    Err(refused) => return Some(Err(refused)),
                };
                master.drain_agent(&agent(), grace, wish["mark_gone"] == true).await
            }
            _ => return None,
        };
        Some(match done {
            Ok(()) => Ok(reply::empty(StatusCode::OK)),
            Err(error) => Err(bad(&error.message)),
        })
    }
}

/// The call that a request to the operator API of `process` holds.
pub(super) async fn operator_call(request: Request<Incoming>, process: &str) -> Result<Value, Box<Reply>> {
    expect_post(request.method())?;
    let (head, body) = request.into_parts();
    if read::encoding(&head.headers)? == Encoding::Protobuf {
        return Err(Box::new(unbuilt("application/x-protobuf in the operator API", process)));
    }
    accepted(&head.headers)?;
    let body = read::body(&head.headers, body).await?;
    let call = read::tree(&body).map_err(|why| bad(&format!("Failed to parse body into JSON: {why}")))?;
    let kind = call["type"].as_str().unwrap_or_default();
    // No name of Mesos's looks otherwise.
    let is_named = (kind.contains('_') || ["SUBSCRIBE", "TEARDOWN", "UNKNOWN"].contains(&kind))
        && kind.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let missing =
        |what: &str| bad(&format!("Failed to validate {process}::Call: Expecting '{what}' to be present"));
    if !is_named {
        return Err(missing("type"));
    }
    let field = kind.to_ascii_lowercase();
    if NEED_PARAMETERS.contains(&kind) && !call[field.as_str()].is_object() {
        return Err(missing(&field));
    }
    Ok(call)
}

/// Calls that say more than their type.
const NEED_PARAMETERS: [&str; 9] = [
    "GET_METRICS",
    "LIST_FILES",
    "READ_FILE",
    "TEARDOWN",
    "UPDATE_WEIGHTS",
    "DRAIN_AGENT",
    "DEACTIVATE_AGENT",
    "REACTIVATE_AGENT",
    "MARK_AGENT_GONE",
];

/// What each process tells of itself; none for another call.
pub(super) fn of_process(kind: &str) -> Option<Value> {
    match kind {
        "GET_HEALTH" => Some(json!({"healthy": true})),
        "GET_VERSION" => Some(json!({"version_info": {"version": VERSION}})),
        _ => None,
    }
}

fn metric_list(metrics: &BTreeMap<String, f64>) -> Value {
    let metrics = metrics.iter().map(|(name, value)| json!({"name": name, "value": value}));
    json!({"metrics": metrics.collect::<Vec<_>>()})
}

/// The answer to a call, under the call's name.
pub(super) fn answered(kind: &str, told: Value) -> Reply {
    let mut answer = json!({"type": kind});
    if !told.is_null() {
        answer[kind.to_ascii_lowercase()] = told;
    }
    reply::json(&answer)
}

/// What another master or agent may have.
pub(super) fn unbuilt(what: &str, process: &str) -> Reply {
    reply::text(StatusCode::NOT_IMPLEMENTED, &format!("{what} is not built in this embedded {process}"))
}

fn grace(told: &Value) -> Result<Option<Duration>, Box<Reply>> {
    match (told, told["seconds"].as_u64(), told["nanoseconds"].as_u64()) {
        (Value::Null, ..) => Ok(None),
        (_, Some(seconds), _) => Ok(Some(Duration::from_secs(seconds))),
        (_, None, Some(nanoseconds)) => Ok(Some(Duration::from_nanos(nanoseconds))),
        _ => Err(bad(&format!(
            "Failed to parse max_grace_period {told}: expecting {{\"seconds\": NUMBER}} or {{\"nanoseconds\": NUMBER}}"
        ))),
    }
}

pub(super) fn recovering() -> Box<Reply> {
    Box::new(reply::unavailable(RECOVERING))
}
