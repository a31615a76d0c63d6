//! `POST …/tasks/NAME/exec?command=…&tty&stdin`: the connection becomes a line to a command beside the task.

use axum::response::Response;
use http::Method;
use http::header::UPGRADE;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use super::Api;
use super::objects::Ask;
use super::task::refused;
use crate::api::Task;
use crate::api::exec::PROTOCOL;
use crate::registry::{At, Failure, Reason};
use crate::server::exec::{ExecError, ExecRequest};
use crate::server::lines::switching;

impl Api {
    /// Switches the connection over, once the command is reached.
    pub(super) async fn task_exec(&self, ask: &Ask<'_>) -> Result<Response, Failure> {
        if ask.head.method != Method::POST {
            return Err(Failure::method_not_allowed());
        }
        let upgrade = upgrade(ask)?;
        let request = request(ask)?;
        let doc = self.registry.get(&ask.kind, &ask.key(), At::MostRecent).await?;
        let task = doc.typed::<Task>().map_err(|error| Failure::internal(error.to_string()))?;
        let text = "too many streams are open: close some first";
        let share = self.watchers.take(&ask.user).ok_or_else(|| Failure::too_many_requests(text, 1))?;
        let mut line = self.exec.open(&task, request).await.map_err(|error| match error {
            ExecError::Refused(why) => Failure::bad_request(why),
            ExecError::Unavailable(why) => refused(503, Some(Reason::ServiceUnavailable), why),
        })?;
        let shutdown = self.shutdown.clone();
        self.env.spawn("exec", async move {
            let _share = share;
            let client = match upgrade.await {
                Ok(client) => client,
                Err(error) => return tracing::debug!(%error, "whoever wanted a command is gone"),
            };
            let mut client = TokioIo::new(client);
            let joined = copy_bidirectional(&mut client, &mut line);
            if let Some(Err(error)) = shutdown.run_until_cancelled(joined).await {
                tracing::debug!(%error, "the line to a command broke");
            }
        });
        Ok(switching())
    }
}

/// The connection, if it can be switched over.
fn upgrade(ask: &Ask<'_>) -> Result<OnUpgrade, Failure> {
    let wanted = ask.head.headers.get(UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !wanted.eq_ignore_ascii_case(PROTOCOL) {
        let text = format!(
            "exec is a stream: ask with the headers `Connection: Upgrade` and `Upgrade: {PROTOCOL}`, as `tenure exec` does"
        );
        return Err(Failure::bad_request(text));
    }
    let connection = ask.head.extensions.get::<OnUpgrade>().cloned();
    connection.ok_or_else(|| Failure::bad_request("exec needs a connection of its own: ask over HTTP/1.1"))
}

fn request(ask: &Ask<'_>) -> Result<ExecRequest, Failure> {
    let argv: Vec<String> = ask.query.all("command").map(str::to_owned).collect();
    if argv.first().is_none_or(String::is_empty) {
        return Err(Failure::bad_request(
            "command: Required value: the program, and then each argument, as `command=…`",
        ));
    }
    Ok(ExecRequest { argv, terminal: ask.query.flag("tty"), stdin: ask.query.flag("stdin") })
}
