//! Runs commands that people at a server's side wait for: told by a MESSAGE, over a connection that is made from here. No port of the
//! machine is open for it.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::tls::Tls;
use crate::api::exec::PROTOCOL;
use crate::env::Env;
use crate::executor::exec::Command;
use crate::executor::launcher::LocalLauncher;
use crate::mesos::wire::{EXEC_PATH, ExecOrder, ExecutorData};

/// Whoever waits does not wait longer.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// What every server's certificate names, however it is reached; its authority signs for nobody else.
const SELF: &str = "localhost";

/// Obeys a message, beside everything else.
pub(super) fn obey(env: &Env, launcher: &LocalLauncher, data: &[u8]) {
    let order = match ExecutorData::decode(data) {
        Ok(ExecutorData::Exec(order)) => order,
        Err(error) => return tracing::warn!(%error, "a message that means nothing here"),
    };
    tracing::info!(?order, "a command is wanted");
    let (node, launcher) = (env.clone(), launcher.clone());
    env.spawn("exec", async move {
        match timeout(CONNECT_MAX, connect(&node, &order)).await {
            Ok(Ok(line)) => {
                let ExecOrder { task, argv, terminal, stdin, .. } = order;
                launcher.exec(&task, &Command { argv, terminal, stdin }, TokioIo::new(line)).await;
            }
            Ok(Err(error)) => tracing::warn!(server = order.server, error, "no line to whoever waits"),
            Err(_) => tracing::warn!(server = order.server, "no line to whoever waits in time"),
        }
    });
}

/// A connection to the server, which takes it for the one that it waits for.
async fn connect(env: &Env, order: &ExecOrder) -> Result<Upgraded, String> {
    let stream = TcpStream::connect(order.server.as_str()).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let Some(authority) = &order.authority else { return upgrade(env, order, stream).await };
    let tls = Tls::of_authority(authority).map_err(|error| error.to_string())?;
    let stream = tls.secure(SELF, stream).await.map_err(|error| format!("TLS failed: {error}"))?;
    upgrade(env, order, stream).await
}

async fn upgrade<S>(env: &Env, order: &ExecOrder, stream: S) -> Result<Upgraded, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut line, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    env.spawn("exec connection", async move {
        // Whoever uses the line is told, too.
        let _ended = connection.with_upgrades().await;
    });
    let request = Request::post(EXEC_PATH)
        .header(header::HOST, &order.server)
        .header(header::AUTHORIZATION, format!("Bearer {}", order.token))
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, PROTOCOL)
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = line.send_request(request).await.map_err(|error| error.to_string())?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(format!("the server answers {}", answer.status()));
    }
    hyper::upgrade::on(answer).await.map_err(|error| error.to_string())
}
