//! `POST …/tasks/NAME/exec?command=…&tty&stdin`: the connection becomes a line to a command beside the task.

use std::sync::Arc;

use axum::response::Response;
use http::Method;
use http::header::UPGRADE;
use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};

use super::objects::{Ask, query};
use super::task::refused;
use super::{Api, reply};
use crate::api::exec::PROTOCOL;
use crate::api::{GROUP, Task};
use crate::registry::{At, Failure, Key, KindDef, Query, Reason, Resource};
use crate::server::exec::{ExecError, ExecRequest, Line};
use crate::server::lines::switching;

impl Api {
    /// Switches the connection over, once the command is reached.
    pub(super) async fn task_exec(&self, ask: &Ask<'_>) -> Result<Response, Failure> {
        if ask.head.method != Method::POST {
            return Err(Failure::method_not_allowed());
        }
        let upgrade = upgrade(ask.head)?;
        let request = request(&ask.query)?;
        let task = self.task(&ask.kind, &ask.key()).await?;
        let text = "too many streams are open: close some first";
        let share = self.watchers.take(&ask.user).ok_or_else(|| Failure::too_many_requests(text, 1))?;
        let line = self.exec.open(&task, request).await.map_err(failure)?;
        self.join(upgrade, line, share);
        Ok(switching())
    }

    /// The same for a peer, whose user may have it and is counted there.
    pub(in crate::server) async fn peer_exec(&self, head: Parts) -> Response {
        self.exec_for_peer(&head).await.unwrap_or_else(|failure| reply::failure(&failure))
    }

    async fn exec_for_peer(&self, head: &Parts) -> Result<Response, Failure> {
        let upgrade = upgrade(head)?;
        let query = query(head)?;
        let request = request(&query)?;
        let kind = self.registry.scheme().by_resource(&Resource::new(GROUP, "tasks")).cloned();
        let kind = kind.ok_or_else(|| Failure::internal("this server knows no tasks"))?;
        let task = self.task(&kind, &kind.key(query.text("namespace"), query.text("name"))).await?;
        if task.metadata.uid.as_deref() != Some(query.text("uid")) {
            return Err(Failure::bad_request("the task is gone, and another one has its name"));
        }
        let line = self.exec.open_here(&task, request).await.map_err(failure)?;
        self.join(upgrade, line, ());
        Ok(switching())
    }

    async fn task(&self, kind: &KindDef, key: &Key) -> Result<Arc<Task>, Failure> {
        let doc = self.registry.get(kind, key, At::MostRecent).await?;
        doc.typed::<Task>().map_err(|error| Failure::internal(error.to_string()))
    }

    /// Passes on what comes from either side until one has enough, or this server ends. `held` is let go then.
    fn join(&self, upgrade: OnUpgrade, mut line: Line, held: impl Send + 'static) {
        let shutdown = self.shutdown.clone();
        self.env.spawn("exec", async move {
            let _held = held;
            let client = match upgrade.await {
                Ok(client) => client,
                Err(error) => return tracing::debug!(%error, "whoever wanted a command is gone"),
            };
            let mut client = TokioIo::new(client);
            let joined = copy_bidirectional(&mut client, &mut line);
            if let Some(Err(error)) = shutdown.run_until_cancelled(joined).await {
                tracing::debug!(%error, "the line to a command broke");
            }
            // Whoever waits at the other end is told that it is over, and not only cut off.
            if let Err(error) = client.shutdown().await {
                tracing::debug!(%error, "whoever wanted a command is gone");
            }
        });
    }
}

fn failure(error: ExecError) -> Failure {
    match error {
        ExecError::Refused(why) => Failure::bad_request(why),
        ExecError::Unavailable(why) => refused(503, Some(Reason::ServiceUnavailable), why),
    }
}

/// The connection, if it can be switched over.
fn upgrade(head: &Parts) -> Result<OnUpgrade, Failure> {
    let wanted = head.headers.get(UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !wanted.eq_ignore_ascii_case(PROTOCOL) {
        let text = format!(
            "exec is a stream: ask with the headers `Connection: Upgrade` and `Upgrade: {PROTOCOL}`, as `tenure exec` does"
        );
        return Err(Failure::bad_request(text));
    }
    let connection = head.extensions.get::<OnUpgrade>().cloned();
    connection.ok_or_else(|| Failure::bad_request("exec needs a connection of its own: ask over HTTP/1.1"))
}

fn request(query: &Query) -> Result<ExecRequest, Failure> {
    let argv: Vec<String> = query.all("command").map(str::to_owned).collect();
    if argv.first().is_none_or(String::is_empty) {
        return Err(Failure::bad_request(
            "command: Required value: the program, and then each argument, as `command=…`",
        ));
    }
    Ok(ExecRequest { argv, terminal: query.flag("tty"), stdin: query.flag("stdin") })
}
