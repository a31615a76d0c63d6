//! The way to the agent: one connection for its events, another for the calls, one after the other.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::tls::{Tls, explain};
use crate::env::Env;
use crate::mesos::recordio::Decoder;
use crate::mesos::wire::Encoding;
use crate::mesos::wire::executor::{Call, Event};

const PATH: &str = "/api/v1/executor";
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// An agent under load takes its time; one that was stopped takes for ever.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// A LAUNCH holds a whole task.
const RECORD_MAX: usize = 64 << 20;
const TEXT_MAX: usize = 16 << 10;

/// Where an agent listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// `HOST:PORT`.
    Address(String),
    /// A Unix socket.
    Socket(PathBuf),
}

/// Why the agent was not told, or tells nothing any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LinkError {
    /// It is not there, is being restarted, or has lost the subscription. To be tried again.
    #[error("agent is away: {0}")]
    Away(String),
    /// It does not know this executor (any more), or does not believe who it is.
    #[error("agent does not want this executor: {0}")]
    Unwanted(String),
    /// One side does not believe who the other is, or they do not understand each other. That lasts until people change something.
    #[error("TLS with the agent fails: {0}")]
    Insecure(String),
    /// It finds fault with the call itself.
    #[error("agent refuses the call: {0}")]
    Refused(String),
}

use LinkError::{Away, Insecure, Refused, Unwanted};

/// What a broken connection means.
fn broken(error: &(dyn std::error::Error + 'static)) -> LinkError {
    explain(error).map_or_else(|| Away(error.to_string()), Insecure)
}

fn away(error: impl std::fmt::Display) -> LinkError {
    Away(error.to_string())
}

/// How the agent is reached.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) env: Env,
    pub(super) place: Place,
    /// How connections to an address are secured; absent where they are not.
    pub(super) tls: Option<Tls>,
    pub(super) token: Option<String>,
}

type Line = SendRequest<Full<Bytes>>;

impl Way {
    /// Subscribes with `call`; the events that follow.
    ///
    /// # Errors
    /// As [`LinkError`] says.
    pub(super) async fn subscribe(self, call: Call) -> Result<Events, LinkError> {
        let mut line = self.dial().await?;
        let answer = self.ask(&mut line, &call).await?;
        let status = answer.status();
        if status != StatusCode::OK {
            let text = text_of(answer).await?;
            return Err(meaning(status, &text).err().unwrap_or_else(|| away("it answers without a stream")));
        }
        Ok(Events { _line: line, body: answer.into_body(), records: Decoder::new(RECORD_MAX) })
    }

    async fn dial(&self) -> Result<Line, LinkError> {
        let dialled = timeout(CONNECT_MAX, async {
            match &self.place {
                Place::Address(address) => {
                    let stream = TcpStream::connect(address.as_str()).await.map_err(away)?;
                    stream.set_nodelay(true).map_err(away)?;
                    let Some(tls) = &self.tls else { return self.speak(stream).await };
                    let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
                    let host = host.trim_start_matches('[').trim_end_matches(']');
                    let secured = tls.secure(host, stream).await;
                    self.speak(secured.map_err(|error| broken(&error))?).await
                }
                Place::Socket(path) => self.speak(UnixStream::connect(path).await.map_err(away)?).await,
            }
        });
        dialled.await.unwrap_or_else(|_| Err(away("no connection in time")))
    }

    async fn speak<S>(&self, stream: S) -> Result<Line, LinkError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (line, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(away)?;
        self.env.spawn("agent connection", async move {
            // Whoever waits for an answer is told, too.
            let _ended = connection.await;
        });
        Ok(line)
    }

    async fn ask(&self, line: &mut Line, call: &Call) -> Result<Response<Incoming>, LinkError> {
        let host = match &self.place {
            Place::Address(address) => address.as_str(),
            Place::Socket(_) => "agent",
        };
        let media_type = Encoding::Protobuf.media_type();
        let mut request = Request::post(PATH)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, media_type)
            .header(header::ACCEPT, media_type);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = Full::new(Bytes::from(Encoding::Protobuf.encode(call)));
        let request = request.body(body).map_err(|error| Unwanted(error.to_string()))?;
        let answer = async {
            line.ready().await.map_err(away)?;
            line.send_request(request).await.map_err(|error| broken(&error))
        };
        timeout(ANSWER_MAX, answer).await.unwrap_or_else(|_| Err(away("no answer in time")))
    }
}

/// The connection for calls, made when it is needed.
#[derive(Debug)]
pub(super) struct Caller {
    way: Way,
    line: Option<Line>,
}

impl Caller {
    pub(super) fn new(way: Way) -> Caller {
        Caller { way, line: None }
    }

    /// Makes one call; returns itself for the next one. A connection that was closed while nobody used it is made anew; a call that
    /// may have been heard is not repeated here: whoever subscribes again tells what was not stored.
    pub(super) async fn call(mut self, call: Call) -> (Caller, Result<(), LinkError>) {
        let done = self.attempt(&call).await;
        (self, done)
    }

    async fn attempt(&mut self, call: &Call) -> Result<(), LinkError> {
        let mut line = match self.line.take() {
            Some(line) if !line.is_closed() => line,
            _ => self.way.dial().await?,
        };
        let answer = self.way.ask(&mut line, call).await?;
        let status = answer.status();
        let text = text_of(answer).await?;
        self.line = Some(line);
        meaning(status, &text)
    }
}

async fn text_of(answer: Response<Incoming>) -> Result<String, LinkError> {
    let whole = Limited::new(answer.into_body(), TEXT_MAX).collect();
    match timeout(ANSWER_MAX, whole).await {
        Ok(Ok(text)) => Ok(String::from_utf8_lossy(&text.to_bytes()).trim().to_owned()),
        Ok(Err(error)) => Err(away(error)),
        Err(_) => Err(away("its answer does not end")),
    }
}

/// What an answer means (recordings 28 and 29).
fn meaning(status: StatusCode, text: &str) -> Result<(), LinkError> {
    let words = format!("{}: {text}", status.as_u16());
    match status.as_u16() {
        200 | 202 => Ok(()),
        400 if text.ends_with("cannot be found") => Err(Unwanted(words)),
        403 if text == "Executor is not subscribed" => Err(Away(words)),
        401 | 403 => Err(Unwanted(words)),
        400 | 405 | 406 | 415 | 501 => Err(Refused(words)),
        // An agent that starts answers 404, then 503 until it has recovered.
        _ => Err(Away(words)),
    }
}

/// The events of one subscription.
#[derive(Debug)]
pub(super) struct Events {
    /// The connection lives as long as somebody could send over it.
    _line: Line,
    body: Incoming,
    records: Decoder,
}

impl Events {
    /// The next event. May be dropped and called again at any time.
    ///
    /// # Errors
    /// When the stream has ended, or is none.
    pub(super) async fn next(&mut self) -> Result<Event, LinkError> {
        loop {
            if let Some(record) = self.records.record().map_err(away)? {
                return Encoding::Protobuf.decode(&record).map_err(away);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(chunk) = frame.data_ref() {
                        self.records.push(chunk);
                    }
                }
                Some(Err(error)) => return Err(away(error)),
                None => return Err(away("it ended the stream")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_restarts_is_told_from_one_that_has_forgotten_us_and_from_a_bad_call() {
        let meaning = |status: u16, text| super::meaning(StatusCode::from_u16(status).unwrap(), text);
        assert_eq!(meaning(202, ""), Ok(()));
        let away = [
            (404, "404 Not Found."),
            (503, "Agent has not finished recovery"),
            (403, "Executor is not subscribed"),
            (500, ""),
        ];
        for (status, text) in away {
            assert!(matches!(meaning(status, text), Err(Away(_))), "{status} {text}");
        }
        let unwanted = [
            (400, "Executor cannot be found"),
            (400, "Framework cannot be found"),
            (401, ""),
            (403, "Executor is not allowed"),
        ];
        for (status, text) in unwanted {
            assert!(matches!(meaning(status, text), Err(Unwanted(_))), "{status} {text}");
        }
        let refused = [(400, "Failed to validate Executor::Call: Not a valid UUID"), (415, ""), (501, "")];
        for (status, text) in refused {
            assert!(matches!(meaning(status, text), Err(Refused(_))), "{status} {text}");
        }
    }
}
