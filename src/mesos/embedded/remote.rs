//! The link between a master and an agent that is a process of its own.
//!
//! ```text
//! agent ─ ToMaster ─▶ channel ─▶ [`RemoteMaster`] ══ records over one connection ══ [`carry`] ─▶ channel ─▶ master
//!       ◀─ ToAgent ─ channel ◀─                                                            ◀─ channel ◀─
//! ```
//!
//! An agent of Mesos speaks libprocess to its master; this one upgrades a connection to [`PATH`] of the master's own port, and sends what
//! the two say to each other in one process, as JSON. When either process ends, or the connection does, the link is broken for both.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::master::MasterHandle;
use super::protocol::{LINK, ToMaster};
use crate::env::Env;
use crate::mesos::recordio::{self, Decoder};

/// Where agents upgrade their connection, and to what.
pub(super) const PATH: &str = "/tenure/agent";
pub(super) const PROTOCOL: &str = "tenure-agent";

/// No message is longer: a registration with all tasks of an agent is the longest.
const LONGEST: usize = 256 << 20;

/// How long a master may take to take an agent's connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// How much is read at once.
const CHUNK: usize = 16 << 10;

/// Where an agent's master is.
#[derive(Debug, Clone)]
pub enum Upstream {
    /// In this process.
    Here(MasterHandle),
    /// In another one.
    Remote(RemoteMaster),
}

/// A master in another process, as its agents reach it.
#[derive(Debug, Clone)]
pub struct RemoteMaster {
    env: Env,
    address: SocketAddr,
    authorization: Option<HeaderValue>,
}

impl From<MasterHandle> for Upstream {
    fn from(master: MasterHandle) -> Upstream {
        Upstream::Here(master)
    }
}

impl Upstream {
    /// A new link of an agent; nothing when the master is gone.
    pub(super) async fn connect_agent(&self) -> Option<mpsc::Sender<ToMaster>> {
        match self {
            Upstream::Here(master) => master.connect_agent().await,
            Upstream::Remote(master) => match timeout(CONNECT_MAX, master.connect()).await {
                Ok(Ok(uplink)) => Some(uplink),
                Err(_) => {
                    tracing::warn!(master = %master.address, "master does not answer");
                    None
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, master = %master.address, "master not reached");
                    None
                }
            },
        }
    }
}

impl RemoteMaster {
    /// The master at `address`, to which `authorization` proves who the agent is, if it asks.
    #[must_use]
    pub fn new(env: &Env, address: SocketAddr, authorization: Option<HeaderValue>) -> RemoteMaster {
        RemoteMaster { env: env.clone(), address, authorization }
    }

    async fn connect(&self) -> io::Result<mpsc::Sender<ToMaster>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (mut requests, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        self.env.spawn("connection to the master", async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "connection to the master ended");
            }
        });
        let request = Request::builder()
            .method(Method::GET)
            .uri(PATH)
            .header(header::HOST, self.address.to_string())
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, PROTOCOL);
        let request = match &self.authorization {
            Some(authorization) => request.header(header::AUTHORIZATION, authorization),
            None => request,
        };
        let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
        let answer = requests.send_request(request).await.map_err(io::Error::other)?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(io::Error::other(format!("the master answers {}", answer.status())));
        }
        let stream = TokioIo::new(hyper::upgrade::on(answer).await.map_err(io::Error::other)?);
        let (uplink, messages) = mpsc::channel(LINK);
        self.env.spawn("link to the master", async move {
            if let Err(error) = speak(stream, messages).await {
                tracing::debug!(%error, "link to the master ended");
            }
        });
        Ok(uplink)
    }
}

/// The agent's end: what it says goes out, what the master says goes to the link that the registration brought.
async fn speak(
    stream: impl AsyncRead + AsyncWrite,
    mut messages: mpsc::Receiver<ToMaster>,
) -> io::Result<()> {
    let (read, mut write) = tokio::io::split(stream);
    // Nothing is said to an agent before it has registered.
    let Some(first) = messages.recv().await else { return Ok(()) };
    send(&mut write, &first).await?;
    let ToMaster::Register { link, .. } = first else { return Ok(()) };
    // Neither direction waits for the other: each is bounded, and an agent may be at both ends.
    tokio::select! {
        ended = send_all(messages, write) => ended,
        ended = deliver(Records::new(read), link) => ended,
    }
}

/// The master's end of the link of one agent, until that ends.
///
/// # Errors
/// When the connection breaks, or something else than an agent speaks.
pub(super) async fn carry(master: &MasterHandle, stream: impl AsyncRead + AsyncWrite) -> io::Result<()> {
    let (read, write) = tokio::io::split(stream);
    let mut incoming = Records::new(read);
    let Some(uplink) = master.connect_agent().await else { return Ok(()) };
    let (own, told) = mpsc::channel(LINK);
    let Some(mut first) = incoming.next::<ToMaster>().await? else { return Ok(()) };
    let ToMaster::Register { link, .. } = &mut first else {
        return Err(io::Error::other("an agent registers first"));
    };
    // Only the master holds it from here on: when it cuts the link, what is told ends.
    *link = own;
    if uplink.send(first).await.is_err() {
        return Ok(());
    }
    tokio::select! {
        ended = send_all(told, write) => ended,
        ended = deliver(incoming, uplink) => ended,
    }
}

/// Writes what comes, until no more can come.
async fn send_all<W: AsyncWrite, T: Serialize>(
    mut messages: mpsc::Receiver<T>,
    mut write: WriteHalf<W>,
) -> io::Result<()> {
    while let Some(message) = messages.recv().await {
        send(&mut write, &message).await?;
    }
    Ok(())
}

/// Hands on what is read, until the other end closes or nobody listens.
async fn deliver<R: AsyncRead, T: DeserializeOwned>(
    mut incoming: Records<R>,
    to: mpsc::Sender<T>,
) -> io::Result<()> {
    while let Some(message) = incoming.next().await? {
        if to.send(message).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn send<W: AsyncWrite>(write: &mut WriteHalf<W>, message: &impl Serialize) -> io::Result<()> {
    let mut record = Vec::new();
    recordio::encode(&serde_json::to_vec(message)?, &mut record);
    write.write_all(&record).await
}

/// What comes over a connection, message by message.
struct Records<R> {
    read: ReadHalf<R>,
    decoder: Decoder,
    chunk: Vec<u8>,
}

impl<R: AsyncRead> Records<R> {
    fn new(read: ReadHalf<R>) -> Records<R> {
        Records { read, decoder: Decoder::new(LONGEST), chunk: Vec::with_capacity(CHUNK) }
    }

    /// The next message; nothing at the end.
    async fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(record) = self.decoder.record().map_err(io::Error::other)? {
                return Ok(Some(serde_json::from_slice(&record)?));
            }
            self.chunk.clear();
            match self.read.read_buf(&mut self.chunk).await? {
                0 => return Ok(None),
                _ => self.decoder.push(&self.chunk),
            }
        }
    }
}
