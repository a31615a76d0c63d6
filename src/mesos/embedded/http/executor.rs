//! `POST /api/v1/executor` of an agent: what is found fault with, in this order: the method, the type of the body, the body, the
//! call, what is accepted as an answer, the framework, the executor, and its subscription (recording 28).

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::accounts::Accounts;
use super::read;
use super::reply::{self, Reply, bad};
use super::required::OF_EXECUTORS;
use super::scheduler::{accepted, expect_post};
use crate::env::Env;
use crate::mesos::embedded::executors::{Executors, Key, Unknown};
use crate::mesos::recordio;
use crate::mesos::wire::executor::Call;
use crate::mesos::wire::{
    CheckStatusInfo, CheckType, Encoding, ExecutorCallType, Source, TaskId, TaskState, TaskStatus, is_uuid,
};

/// An agent's process as its executors and operators see it.
#[derive(Debug, Clone)]
pub struct AgentFront {
    pub(super) env: Env,
    pub(super) executors: Executors,
    pub(super) accounts: Option<Arc<Accounts>>,
}

impl AgentFront {
    /// The agent of `executors`.
    #[must_use]
    pub fn new(env: &Env, executors: Executors) -> AgentFront {
        AgentFront { env: env.clone(), executors, accounts: None }
    }

    /// The same, for operators in `accounts` only. Executors have none.
    #[must_use]
    pub fn authenticating(mut self, accounts: Accounts) -> AgentFront {
        self.accounts = Some(Arc::new(accounts));
        self
    }

    /// Serves until `stop`, then breaks all connections at once, as a process that dies.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, _)) => {
                    let (front, stop) = (self.clone(), stop.clone());
                    self.env.spawn("executor connection", async move {
                        let _over = stop.run_until_cancelled(front.talk(stream)).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    self.env.sleep(super::ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn talk(self, stream: TcpStream) {
        // Small answers and events go out at once.
        if let Err(error) = stream.set_nodelay(true) {
            return tracing::debug!(%error, "connection is gone");
        }
        super::converse(stream, move |request| {
            let front = self.clone();
            async move { front.answer(request).await }
        })
        .await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let path = request.uri().path().trim_end_matches('/');
        // Files are not below the agent's name.
        let below = path.strip_prefix("/slave(1)").filter(|below| !below.starts_with("/files"));
        let path = below.unwrap_or(path).to_owned();
        match path.as_str() {
            "/api/v1/executor" => self.call(request).await.unwrap_or_else(|reply| *reply),
            path => self.operator(request, path).await,
        }
    }

    async fn call(&self, request: Request<Incoming>) -> Result<Reply, Box<Reply>> {
        expect_post(request.method())?;
        let (head, body) = request.into_parts();
        let encoding = read::encoding(&head.headers)?;
        let body = read::body(&head.headers, body).await?;
        let call: Call = read::call(encoding, &body, OF_EXECUTORS)?;
        validate(&call).map_err(|why| bad(&format!("Failed to validate Executor::Call: {why}")))?;
        let kind = call.r#type();
        if kind == ExecutorCallType::Heartbeat {
            return Ok(reply::empty(StatusCode::ACCEPTED));
        }
        let is_subscribe = kind == ExecutorCallType::Subscribe;
        let accepted = if is_subscribe { accepted(&head.headers)? } else { Encoding::Json };
        if !self.executors.has_recovered() {
            return Err(Box::new(reply::unavailable("Agent has not finished recovery")));
        }
        let key = (call.framework_id, call.executor_id);
        let is_subscribed = self.executors.is_subscribed(&key).map_err(|unknown| match unknown {
            Unknown::Framework => bad("Framework cannot be found"),
            Unknown::Executor => bad("Executor cannot be found"),
        })?;
        if !is_subscribed && !is_subscribe {
            return Err(Box::new(reply::text(StatusCode::FORBIDDEN, "Executor is not subscribed")));
        }
        match kind {
            ExecutorCallType::Subscribe => {
                let subscribe = call.subscribe.unwrap_or_default();
                let told =
                    subscribe.unacknowledged_updates.iter().map(|update| update.status.task_id.clone());
                let known = subscribe.unacknowledged_tasks.into_iter().map(|task| task.task_id).chain(told);
                let known = known.collect();
                let reply = self.subscribe(&key, &known, accepted).await;
                for update in subscribe.unacknowledged_updates {
                    self.executors.update(&key, update.status).await;
                }
                Ok(reply)
            }
            ExecutorCallType::Update => {
                self.executors.update(&key, call.update.unwrap_or_default().status).await;
                Ok(reply::empty(StatusCode::ACCEPTED))
            }
            ExecutorCallType::Message => {
                self.executors.message(key, call.message.unwrap_or_default().data).await;
                Ok(reply::empty(StatusCode::ACCEPTED))
            }
            _ => Ok(reply::text(StatusCode::NOT_IMPLEMENTED, "501 Not Implemented.")),
        }
    }

    async fn subscribe(&self, key: &Key, known: &BTreeSet<TaskId>, encoding: Encoding) -> Reply {
        let events = self.executors.subscribe(key, known).await;
        let records = ReceiverStream::new(events).map(move |event| {
            let mut record = Vec::new();
            recordio::encode(&encoding.encode(&event), &mut record);
            Ok(Frame::data(Bytes::from(record)))
        });
        let mut reply = Response::new(StreamBody::new(records).boxed_unsync());
        let kind = HeaderValue::from_static(encoding.media_type());
        reply.headers_mut().insert(header::CONTENT_TYPE, kind);
        reply
    }
}

/// The first thing that is wrong.
fn validate(call: &Call) -> Result<(), String> {
    let present =
        |is: bool, what: &str| if is { Ok(()) } else { Err(format!("Expecting '{what}' to be present")) };
    match call.r#type() {
        ExecutorCallType::Unrecognised => present(false, "type"),
        ExecutorCallType::Subscribe => present(call.subscribe.is_some(), "subscribe"),
        ExecutorCallType::Message => present(call.message.is_some(), "message"),
        ExecutorCallType::Update => match &call.update {
            Some(update) => validate_update(call, &update.status),
            None => present(false, "update"),
        },
        ExecutorCallType::Heartbeat | ExecutorCallType::Unknown => Ok(()),
    }
}

fn validate_update(call: &Call, status: &TaskStatus) -> Result<(), String> {
    let Call { executor_id, framework_id, .. } = call;
    match &status.uuid {
        None => return Err("Expecting 'uuid' to be present".to_owned()),
        Some(uuid) if !is_uuid(uuid) => return Err("Not a valid UUID".to_owned()),
        Some(_) => {}
    }
    if let Some(other) = status.executor_id.as_ref().filter(|other| *other != executor_id) {
        return Err(format!(
            "ExecutorID in Call: {executor_id} does not match ExecutorID in TaskStatus: {other}"
        ));
    }
    if status.source() != Source::Executor {
        return Err(format!(
            "Received Call from executor {executor_id} of framework {framework_id} with invalid source, \
             expecting 'SOURCE_EXECUTOR'"
        ));
    }
    if status.state() == TaskState::Staging {
        return Err(format!(
            "Received TASK_STAGING from executor {executor_id} of framework {framework_id} which is not allowed"
        ));
    }
    status.check_status.as_ref().map_or(Ok(()), validate_check)
}

fn validate_check(check: &CheckStatusInfo) -> Result<(), String> {
    let set = |is: bool, what: &str, kind: &str| {
        if is { Ok(()) } else { Err(format!("Expecting '{what}' to be set for {kind} check's status")) }
    };
    match check.r#type() {
        CheckType::Command => set(check.command.is_some(), "command", "COMMAND"),
        CheckType::Http => set(check.http.is_some(), "http", "HTTP"),
        CheckType::Tcp => set(check.tcp.is_some(), "tcp", "TCP"),
        CheckType::Unknown | CheckType::Unrecognised => Err("CheckStatusInfo must specify 'type'".to_owned()),
    }
}
