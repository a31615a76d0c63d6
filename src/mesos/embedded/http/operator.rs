//! What is asked of a master to find out who leads: a few of the operator's endpoints.

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::reply::{self, Reply};
use super::scheduler::expect_post;
use super::{Front, RECOVERING, Role, maintenance, read};
use crate::mesos::embedded::master::{AgentView, VERSION};
use crate::mesos::wire::{FrameworkId, json as mesos_json};

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
            Ok(_) => {
                let text = format!("{} is not built in this embedded master", request.uri().path());
                reply::text(StatusCode::NOT_IMPLEMENTED, &text)
            }
            Err(reply) => *reply,
        }
    }

    /// Answered by every master: the cheapest way to find the leading one.
    pub(super) async fn metrics(&self) -> Reply {
        let role = self.role.borrow().clone();
        let Role::Leads(_, master) = role else { return reply::json(&json!({"master/elected": 0.0})) };
        let agents = master.agents().await;
        let count = |is: fn(&&AgentView) -> bool| agents.iter().filter(is).count() as f64;
        reply::json(&json!({
            "master/elected": 1.0,
            "master/slaves_active": count(|agent| agent.active && agent.connected),
            "master/slaves_connected": count(|agent| agent.connected),
            "master/slaves_disconnected": count(|agent| !agent.connected),
        }))
    }

    /// As much of the state as tells who leads, and how many agents there are.
    pub(super) async fn state(&self, request: &Request<Incoming>) -> Reply {
        match self.leader_state(request).await {
            Ok(state) => reply::json(&state),
            Err(reply) => *reply,
        }
    }

    async fn leader_state(&self, request: &Request<Incoming>) -> Result<Value, Box<Reply>> {
        self.authenticate(request.headers(), READ_ONLY)?;
        let master = self.leading(request)?;
        let info = master.introduction().await.ok_or_else(recovering)?;
        let agents = master.agents().await;
        Ok(json!({
            "version": VERSION,
            "id": info.id,
            "pid": info.pid,
            "leader": info.pid,
            "hostname": info.hostname,
            "leader_info":
                {"id": info.id, "pid": info.pid, "port": info.port, "hostname": info.hostname},
            "activated_slaves": agents.iter().filter(|agent| agent.connected && agent.active).count(),
            "deactivated_slaves": agents.iter().filter(|agent| !agent.connected || !agent.active).count(),
        }))
    }

    pub(super) async fn operator(&self, request: Request<Incoming>) -> Reply {
        match self.operate(request).await {
            Ok(reply) => reply,
            Err(reply) => *reply,
        }
    }

    async fn operate(&self, request: Request<Incoming>) -> Result<Reply, Box<Reply>> {
        self.authenticate(request.headers(), READ_WRITE)?;
        let master = self.leading(&request)?;
        expect_post(request.method())?;
        let (head, body) = request.into_parts();
        read::encoding(&head.headers)?;
        let body = read::body(&head.headers, body).await?;
        let call = read::tree(&body).unwrap_or_default();
        if let Some(answer) = maintenance::call(&master, &call).await {
            return answer;
        }
        let answer = |value: Value| Ok(reply::json(&value));
        match call["type"].as_str() {
            Some("GET_HEALTH") => answer(json!({"type": "GET_HEALTH", "get_health": {"healthy": true}})),
            Some("GET_VERSION") => {
                answer(json!({"type": "GET_VERSION", "get_version": {"version_info": {"version": VERSION}}}))
            }
            Some("GET_MASTER") => {
                let info = master.introduction().await.ok_or_else(recovering)?;
                let info = mesos_json::to_value(&info).unwrap_or_default();
                answer(json!({"type": "GET_MASTER", "get_master": {"master_info": info}}))
            }
            Some("READ_FILE") => Ok(self.read_file(&call).await),
            Some("TEARDOWN") => {
                let id = call["teardown"]["framework_id"]["value"].as_str().unwrap_or_default();
                let done = master.teardown(&FrameworkId::new(id)).await;
                done.map_err(|error| Box::new(reply::text(StatusCode::BAD_REQUEST, &error.message)))?;
                Ok(reply::empty(StatusCode::OK))
            }
            Some(kind) if kind.contains('_') || kind == "SUBSCRIBE" => {
                let text = format!("{kind} is not built in this embedded master");
                Err(Box::new(reply::text(StatusCode::NOT_IMPLEMENTED, &text)))
            }
            _ => {
                let text = "Failed to validate master::Call: Expecting 'type' to be present";
                Err(Box::new(reply::text(StatusCode::BAD_REQUEST, text)))
            }
        }
    }
}

pub(super) fn recovering() -> Box<Reply> {
    Box::new(reply::unavailable(RECOVERING))
}
