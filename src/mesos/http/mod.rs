//! The way to Apache Mesos: the v1 scheduler API over HTTP/1.1.
//!
//! ```text
//! subscribe ─▶ a master of the list, or the one that ZooKeeper names ─307▶ the leading one ─200▶ one connection: the stream of events (RecordIO)
//!                                                               another, to the same address: the calls, one after the other
//!                                                               a few more there: the acknowledgements
//! ```
//!
//! No pool for the calls: over several connections their order would be chance. A DECLINE after its REVIVE hides an agent, and a
//! RECONCILE before the ACCEPT that it asks about is answered that there is no such task. Acknowledgements alone need no order. Redirects are followed by hand, because their scheme is left out and credentials must go along. A stream on which
//! nothing comes is noticed by whoever reads it: the session knows the interval of heartbeats.

mod answer;
mod calls;
mod credentials;
mod dial;
mod finding;
mod sandbox;
mod stream;
mod tail;
#[cfg(test)]
mod tests;
mod trust;
mod url;
mod zookeeper;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, ConnectionError, MayAct, SUBSCRIBE_MAX, Subscription};
use super::wire::Encoding;
use super::wire::scheduler::Call;
use crate::env::Env;
use calls::{HttpAcknowledgements, HttpCalls, Leader};
pub use credentials::{Credentials, CredentialsError};
use dial::Dialer;
use finding::Roll;
pub use sandbox::{AgentFile, AgentFiles, FileError, sandbox_path};
pub use tail::HasEnded;
pub use trust::{Trust, TrustError};
pub use url::{MasterUrl, UrlError};
pub use zookeeper::{ZooKeeper, ZooKeeperError};

/// The header that ties calls to their subscription.
pub const STREAM_ID: &str = "Mesos-Stream-Id";

/// During an election two masters may point at each other.
const REDIRECTS_MAX: usize = 2;

/// How the leading master is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Masters {
    /// All masters, or some of them: any that answers tells which one leads.
    Listed(Vec<MasterUrl>),
    /// The one that stands in ZooKeeper.
    Elected(ZooKeeper),
}

impl From<Vec<MasterUrl>> for Masters {
    fn from(masters: Vec<MasterUrl>) -> Masters {
        Masters::Listed(masters)
    }
}

impl Masters {
    /// Whether they speak TLS.
    fn have_tls(&self) -> bool {
        match self {
            Masters::Listed(masters) => masters.iter().any(|master| master.tls),
            Masters::Elected(ensemble) => ensemble.tls,
        }
    }

    /// Whom to ask.
    async fn known(&self, patience: Duration) -> Result<Vec<MasterUrl>, ConnectionError> {
        match self {
            Masters::Listed(masters) => Ok(masters.clone()),
            Masters::Elected(ensemble) => match ensemble.leader(patience).await {
                Ok(leader) => Ok(vec![leader]),
                Err(message) => Err(ConnectionError::Unreachable { message }),
            },
        }
    }
}

/// How masters are reached.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// How the leading one is found.
    pub masters: Masters,
    /// How messages are written, both ways.
    pub encoding: Encoding,
    /// Sent along with every request, if any.
    pub credentials: Option<Credentials>,
    /// Whose certificates are believed; needed for masters with TLS.
    pub trust: Option<Trust>,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long a master may take to answer a SUBSCRIBE. One that is given up may still be carried out, and is one more failover.
    pub subscribe_timeout: Duration,
    /// How long one of several listed masters that has not answered before may be silent before the others are asked. It is asked once
    /// more, and waited for, if they are of no use. To be asked twice costs it one more failover.
    pub silence_timeout: Duration,
    /// How long a master may take to answer a call while the stream of its subscription lives.
    pub call_timeout: Duration,
    /// The longest event: the offers of 50,000 agents are 60 MB.
    pub record_limit: usize,
}

impl HttpConfig {
    /// Masters without authentication or TLS, spoken to in protobuf.
    #[must_use]
    pub fn new(masters: impl Into<Masters>) -> HttpConfig {
        HttpConfig {
            masters: masters.into(),
            encoding: Encoding::default(),
            credentials: None,
            trust: None,
            connect_timeout: Duration::from_secs(5),
            subscribe_timeout: SUBSCRIBE_MAX,
            silence_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(5 * 60),
            record_limit: 256 << 20,
        }
    }
}

/// The way to the leading one of several masters.
#[derive(Clone)]
pub struct HttpConnection {
    client: Arc<Client>,
}

/// What requests are made with.
#[derive(Debug)]
struct Client {
    dialer: Dialer,
    masters: Masters,
    roll: Roll,
    encoding: Encoding,
    authorization: Option<HeaderValue>,
    subscribe_timeout: Duration,
    silence_timeout: Duration,
    call_timeout: Duration,
    record_limit: usize,
}

impl HttpConnection {
    /// The way to `config.masters`. Nothing is connected yet.
    #[must_use]
    pub fn new(env: &Env, config: HttpConfig) -> HttpConnection {
        let HttpConfig { masters, encoding, credentials, trust, .. } = config;
        let HttpConfig { connect_timeout, subscribe_timeout, silence_timeout, .. } = config;
        let HttpConfig { call_timeout, record_limit, .. } = config;
        let client = Client {
            dialer: Dialer { env: env.clone(), trust, connect_timeout },
            masters,
            roll: Roll::default(),
            encoding,
            authorization: credentials.as_ref().map(Credentials::header),
            subscribe_timeout,
            silence_timeout,
            call_timeout,
            record_limit,
        };
        HttpConnection { client: Arc::new(client) }
    }
}

impl fmt::Debug for HttpConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpConnection").field(&self.client.masters).finish()
    }
}

#[async_trait]
impl Connection for HttpConnection {
    async fn subscribe(&self, call: Call, may_act: MayAct<'_>) -> Result<Subscription, ConnectionError> {
        let body = Bytes::from(self.client.encoding.encode(&call));
        let masters = self.client.masters.known(self.client.dialer.connect_timeout).await?;
        let accept = |(leader, answer)| self.accept(leader, answer);
        self.client.find_leader_of(&masters, &body, may_act, accept).await
    }
}

impl HttpConnection {
    /// The subscription of a 200, if that is what it is.
    fn accept(&self, leader: Leader, answer: Response<Incoming>) -> Result<Subscription, ConnectionError> {
        let client = &self.client;
        let kind = answer.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let stream_id = answer.headers().get(STREAM_ID).cloned();
        let Some(stream_id) = stream_id.filter(|_| kind == client.encoding.media_type().as_bytes()) else {
            let kind = String::from_utf8_lossy(kind);
            let message =
                format!("{}: is no Mesos master: its answer is no event stream but {kind:?}", leader.url);
            return Err(ConnectionError::Unreachable { message });
        };
        let env = client.dialer.env.clone();
        let over = CancellationToken::new();
        let ends = over.clone().drop_guard();
        let events = stream::events(env, answer.into_body(), client.encoding, client.record_limit, ends);
        let calls = HttpCalls::new(client.clone(), leader, stream_id, over);
        let acknowledgements = Box::new(HttpAcknowledgements::beside(&calls));
        Ok(Subscription { events, calls: Box::new(calls), acknowledgements })
    }
}

impl Client {
    /// SUBSCRIBE without the id of a stream, any other call with it.
    fn request(&self, url: &MasterUrl, stream_id: Option<&HeaderValue>, body: Bytes) -> Request<Full<Bytes>> {
        let media_type = self.encoding.media_type();
        let mut request = Request::post(url.path.as_str())
            .header(header::HOST, url.authority())
            .header(header::CONTENT_TYPE, media_type)
            .header(header::ACCEPT, media_type);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(stream_id) = stream_id {
            request = request.header(STREAM_ID, stream_id);
        }
        request.body(Full::new(body)).expect("paths of masters are checked when they are read")
    }
}
