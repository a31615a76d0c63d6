//! Files that tasks write on an agent, read through the agent's own API: READ_FILE, in pieces of at most 64 KiB.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::answer::brief;
use super::dial::{Dialer, Line, SendError, exchange};
use super::url::MasterUrl;
use super::{Credentials, HttpConfig};
use crate::env::Env;
use crate::mesos::wire::{ExecutorId, FrameworkId};

/// The most that an agent gives at once, in bytes.
pub(super) const PIECE: u64 = 64 << 10;
/// Beyond the end of every file: who reads there is told the size alone.
const BEYOND: u64 = 1 << 62;
/// The longest answer: a piece in base64.
const ANSWER_MAX: usize = 256 << 10;
/// How long an agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
const PATH: &str = "/api/v1";

/// The way to the files of agents.
#[derive(Debug, Clone)]
pub struct AgentFiles {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dialer: Dialer,
    /// Whether the cluster speaks TLS; an offer does not tell.
    tls: bool,
    authorization: Option<HeaderValue>,
    patience: Duration,
}

/// One file of one agent.
#[derive(Debug)]
pub struct AgentFile {
    shared: Arc<Shared>,
    agent: MasterUrl,
    path: String,
    line: Option<Line>,
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// How long the file is now, in bytes.
    pub(super) size: u64,
    /// What stands at the offset that was asked for; empty at the end.
    pub(super) data: Bytes,
}

/// A file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The agent has no such file, or no such sandbox (any longer).
    #[error("the agent at {agent} has no file {path}")]
    Absent { agent: String, path: String },
    /// Nobody answers there, or not yet.
    #[error("the agent at {agent} does not answer: {message}")]
    Unreachable { agent: String, message: String },
    /// The agent does not let us read it.
    #[error("the agent at {agent} refuses: {message}")]
    Refused { agent: String, message: String },
}

/// The path under which an agent keeps the present sandbox of an executor, with `file` in it. The executor of a task that brings
/// none has the task's id.
#[must_use]
pub fn sandbox_path(framework: &FrameworkId, executor: &ExecutorId, file: &str) -> String {
    format!("/frameworks/{}/executors/{}/runs/latest/{file}", framework.value, executor.value)
}

impl AgentFiles {
    /// The way to the agents of the cluster that `config` leads to.
    #[must_use]
    pub fn new(env: &Env, config: &HttpConfig) -> AgentFiles {
        let dialer =
            Dialer { env: env.clone(), trust: config.trust.clone(), connect_timeout: config.connect_timeout };
        let shared = Shared {
            dialer,
            tls: config.masters.have_tls(),
            authorization: config.credentials.as_ref().map(Credentials::header),
            patience: PATIENCE,
        };
        AgentFiles { shared: Arc::new(shared) }
    }

    /// Whether agents are spoken to with TLS: then their names must be those of their certificates.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.shared.tls
    }

    /// The file `path` of the agent at `host:port`. Nothing is asked yet.
    ///
    /// # Errors
    /// When there can be no agent.
    pub fn file(&self, agent: &str, path: String) -> Result<AgentFile, FileError> {
        let scheme = if self.shared.tls { "https" } else { "http" };
        let url = format!("{scheme}://{agent}").parse().map_err(|error: super::UrlError| {
            FileError::Unreachable { agent: agent.to_owned(), message: error.to_string() }
        })?;
        Ok(AgentFile { shared: self.shared.clone(), agent: url, path, line: None })
    }
}

impl AgentFile {
    /// Another file beside this one, whose name goes on with `suffix`.
    pub(super) fn beside(&self, suffix: &str) -> AgentFile {
        let (shared, agent) = (self.shared.clone(), self.agent.clone());
        AgentFile { shared, agent, path: format!("{}{suffix}", self.path), line: None }
    }

    pub(super) fn env(&self) -> &Env {
        &self.shared.dialer.env
    }

    /// How long the file is now, in bytes.
    pub(super) async fn size(&mut self) -> Result<u64, FileError> {
        Ok(self.read(BEYOND, 1).await?.size)
    }

    /// What stands at `offset`, at most `length` bytes of it.
    ///
    /// # Errors
    /// When the agent gives none.
    pub(super) async fn read(&mut self, offset: u64, length: u64) -> Result<Piece, FileError> {
        let call = json!({
            "type": "READ_FILE",
            "read_file": {"path": self.path, "offset": offset, "length": length},
        });
        let body = Bytes::from(call.to_string());
        let (status, text) = match self.line.take() {
            Some(line) => match self.ask_on(line, body.clone()).await {
                // Closed since the last piece.
                Err(SendError::NotSent) => self.ask(body).await?,
                answered => answered.map_err(|error| self.unreachable(error))?,
            },
            None => self.ask(body).await?,
        };
        let agent = self.agent.authority();
        match status.as_u16() {
            200 => piece(&text).ok_or_else(|| FileError::Refused {
                message: format!("its answer is none: {}", brief(&String::from_utf8_lossy(&text))),
                agent,
            }),
            404 => Err(FileError::Absent { agent, path: self.path.clone() }),
            // It has just started.
            502 | 503 => Err(FileError::Unreachable { agent, message: told(status, &text) }),
            _ => Err(FileError::Refused { agent, message: told(status, &text) }),
        }
    }

    async fn ask(&mut self, body: Bytes) -> Result<(StatusCode, Bytes), FileError> {
        let line = self.shared.dialer.dial(&self.agent).await;
        let line =
            line.map_err(|message| FileError::Unreachable { agent: self.agent.authority(), message })?;
        self.ask_on(line, body).await.map_err(|error| self.unreachable(error))
    }

    async fn ask_on(&mut self, mut line: Line, body: Bytes) -> Result<(StatusCode, Bytes), SendError> {
        let patience = self.shared.patience;
        let mut request = Request::post(PATH)
            .header(header::HOST, self.agent.authority())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json");
        if let Some(authorization) = &self.shared.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(body)).expect("a fixed path and headers that were checked");
        let answer = exchange(&mut line, request, patience).await?;
        let status = answer.status();
        let whole = whole(answer.into_body(), patience).await?;
        self.line = Some(line);
        Ok((status, whole))
    }

    fn unreachable(&self, error: SendError) -> FileError {
        let message = match error {
            SendError::NotSent => "the connection was closed at once".to_owned(),
            SendError::Unanswered(why) => why,
        };
        FileError::Unreachable { agent: self.agent.authority(), message }
    }
}

async fn whole(body: Incoming, patience: Duration) -> Result<Bytes, SendError> {
    match tokio::time::timeout(patience, Limited::new(body, ANSWER_MAX).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) => Err(SendError::Unanswered(format!("failed to read the answer: {error}"))),
        Err(_) => Err(SendError::Unanswered("the answer does not end".to_owned())),
    }
}

fn told(status: StatusCode, text: &[u8]) -> String {
    format!("{}: {}", status.as_u16(), brief(&String::from_utf8_lossy(text)))
}

fn piece(answer: &[u8]) -> Option<Piece> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let read = answer.get("read_file")?;
    let data = STANDARD.decode(read.get("data")?.as_str()?).ok()?;
    Some(Piece { size: read.get("size")?.as_u64()?, data: data.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_read_as_agents_write_it() {
        // Of the recording 33-sandbox-files.
        let answer =
            br#"{"type":"READ_FILE","read_file":{"size":428894,"data":"bGluZSAxIG9mIHRoZSBsb2cKbGk="}}"#;
        let data = Bytes::from_static(b"line 1 of the log\nli");
        assert_eq!(piece(answer), Some(Piece { size: 428_894, data }));
        for none in [r#"{"type":"READ_FILE"}"#, "<html>", r#"{"read_file":{"size":1,"data":"%"}}"#] {
            assert_eq!(piece(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn the_sandbox_of_an_executor_has_a_path_of_its_own() {
        let path = sandbox_path(&FrameworkId::new("F-0001"), &ExecutorId::new("web.1"), "stdout");
        assert_eq!(path, "/frameworks/F-0001/executors/web.1/runs/latest/stdout");
    }
}
