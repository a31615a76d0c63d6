//! One HTTP/1.1 connection to one master: dialled, sent over, read from. Masters speak nothing newer.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustix::net::sockopt;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::trust::{self, Trust, explain};
use super::url::MasterUrl;
use crate::env::Env;

/// How much of the text of a refusal is read.
const TEXT_MAX: usize = 64 << 10;

/// How long what was sent may stay unconfirmed.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a connection may rest before it is asked whether it still is one.
const REST: Duration = Duration::from_secs(15);
/// How often that is asked then, until [`SILENCE`] is over.
const PROBES: Duration = Duration::from_secs(5);

fn end_when_silent(stream: &TcpStream) -> rustix::io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, REST)?;
    sockopt::set_tcp_keepintvl(stream, PROBES)?;
    sockopt::set_tcp_user_timeout(stream, u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX))
}

/// What a request is sent over.
pub(super) type Line = SendRequest<Full<Bytes>>;

/// How connections are made.
///
/// An answer may take minutes. So it is the connection that tells a master that is slow from a way on which nothing comes through: one
/// on which the other side's machine confirms nothing for [`SILENCE`] is closed, whether it was asked something or not.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    pub(super) env: Env,
    pub(super) trust: Option<Trust>,
    pub(super) connect_timeout: Duration,
}

impl Dialer {
    /// A new connection. It lives on the node, until it is closed by either side or nobody needs it any more.
    ///
    /// # Errors
    /// Why nobody was reached there; nothing was sent.
    pub(super) async fn dial(&self, url: &MasterUrl) -> Result<Line, String> {
        Ok(self.dial_at(url, None).await?.0)
    }

    /// A new connection to `url`, and to whom: to `address` where one is given, under the name of `url` all the same. A name may
    /// mean several masters.
    ///
    /// # Errors
    /// As [`Dialer::dial`].
    pub(super) async fn dial_at(
        &self,
        url: &MasterUrl,
        address: Option<SocketAddr>,
    ) -> Result<(Line, SocketAddr), String> {
        match tokio::time::timeout(self.connect_timeout, self.connect(url, address)).await {
            Ok(line) => line,
            Err(_) => Err(format!("no connection within {} s", self.connect_timeout.as_secs_f32())),
        }
    }

    async fn connect(
        &self,
        url: &MasterUrl,
        address: Option<SocketAddr>,
    ) -> Result<(Line, SocketAddr), String> {
        let stream = match address {
            Some(address) => TcpStream::connect(address).await,
            None => TcpStream::connect((url.host.as_str(), url.port)).await,
        };
        let stream = stream.map_err(|error| error.to_string())?;
        let peer = stream.peer_addr().map_err(|error| error.to_string())?;
        // Calls are small and wait for their answers.
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        end_when_silent(&stream).map_err(|error| error.to_string())?;
        if !url.tls {
            return Ok((self.speak(stream).await?, peer));
        }
        let Some(trust) = &self.trust else { return Err("no authority is configured for https".to_owned()) };
        let name = ServerName::try_from(url.host.clone()).map_err(|error| error.to_string())?;
        let secured = TlsConnector::from(trust.config.clone()).connect(name, stream).await;
        let secured = secured.map_err(|error| format!("TLS failed: {}", explain(&error)))?;
        Ok((self.speak(secured).await?, peer))
    }

    async fn speak<S>(&self, stream: S) -> Result<Line, String>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (line, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        self.env.spawn("mesos connection", async move {
            // Whoever waits for an answer is told, too.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to a master ended");
            }
        });
        Ok(line)
    }
}

/// A request got no answer.
#[derive(Debug)]
pub(super) enum SendError {
    /// It has not left: the connection was closed before.
    NotSent,
    /// It may have been read by the master.
    Unanswered(String),
}

/// Sends one request and waits for the head of its answer.
pub(super) async fn exchange(
    line: &mut Line,
    request: Request<Full<Bytes>>,
    patience: Duration,
) -> Result<Response<Incoming>, SendError> {
    let answer = async {
        line.ready().await.map_err(|_closed| SendError::NotSent)?;
        line.try_send_request(request).await.map_err(|mut error| match error.take_message() {
            Some(_request) => SendError::NotSent,
            None => SendError::Unanswered(chain(&error.into_error())),
        })
    };
    match tokio::time::timeout(patience, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(SendError::Unanswered(format!("no answer within {} s", patience.as_secs_f32()))),
    }
}

/// The text of an answer, to its end, so that its connection can be used again.
pub(super) async fn text_of(body: Incoming, patience: Duration) -> Result<String, SendError> {
    let whole = Limited::new(body, TEXT_MAX).collect();
    match tokio::time::timeout(patience, whole).await {
        Ok(Ok(text)) => Ok(String::from_utf8_lossy(&text.to_bytes()).trim().to_owned()),
        Ok(Err(error)) => Err(SendError::Unanswered(format!("failed to read the answer: {error}"))),
        Err(_) => Err(SendError::Unanswered("the answer does not end".to_owned())),
    }
}

/// An error of hyper with its causes, which its own text leaves out.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = || std::iter::successors(Some(error), |error| error.source());
    let hints = causes().filter_map(trust::hint).map(ToOwned::to_owned);
    causes().map(ToString::to_string).chain(hints).collect::<Vec<_>>().join(": ")
}
