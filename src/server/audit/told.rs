//! What a line of the audit log says of one request.

use axum::extract::Request;
use axum::response::Response;
use http::header::USER_AGENT;
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::env::Env;
use crate::server::auth::user::User;
use crate::server::kube;

/// A request, before it is answered.
pub(crate) struct Told {
    id: String,
    received: Timestamp,
    changes: bool,
    verb: String,
    uri: String,
    object: Option<Value>,
    user: Value,
    agent: String,
}

impl Told {
    pub(crate) fn of(env: &Env, request: &Request, user: &User) -> Told {
        let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        let (verb, object) = kube::described(request.method(), request.uri());
        let agent = request.headers().get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        Told {
            // A read that is let pass leaves nothing behind, so that it draws no id either.
            id: if changes { env.uid() } else { String::new() },
            received: env.now(),
            changes,
            verb,
            uri: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
            object,
            user: user.info(),
            agent: agent.unwrap_or_default().to_owned(),
        }
    }

    /// Whether it stands in the log: what changes something, and what was denied.
    pub(crate) fn is_worth_it(&self, response: &Response) -> bool {
        self.changes || response.status() == StatusCode::FORBIDDEN
    }

    /// The line. `acting` is who they acted as.
    pub(crate) fn event(&self, response: &Response, acting: Option<&User>, now: Timestamp) -> Value {
        let decision = if response.status() == StatusCode::FORBIDDEN { "forbid" } else { "allow" };
        let mut event = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": self.id,
            "stage": "ResponseComplete", "requestURI": self.uri, "verb": self.verb, "user": self.user,
            "userAgent": self.agent, "responseStatus": {"code": response.status().as_u16()},
            "requestReceivedTimestamp": format!("{:.6}", self.received), "stageTimestamp": format!("{now:.6}"),
            "annotations": {"authorization.k8s.io/decision": decision},
        });
        if let Some(object) = &self.object {
            event["objectRef"] = object.clone();
        }
        if let Some(acting) = acting {
            event["impersonatedUser"] = acting.info();
        }
        event
    }
}
