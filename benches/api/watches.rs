//! Watches of the API: how soon every one of many has an event, and what one costs that has nothing to tell.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::io::AsyncBufReadExt as _;
use futures::stream::{self, BoxStream, SelectAll};
use futures::{StreamExt as _, TryStreamExt as _};
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyDataStream, Empty};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::served::{Served, get, send};

/// Watches on one connection: the server takes a hundred.
const OF_A_CLIENT: usize = 50;

/// A connection of HTTP/2, as client-go has one for all watches of a process (kube's client has one of HTTP/1.1 for each).
struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    host: String,
    token: HeaderValue,
    /// Drives the connection for as long as it is used.
    _driver: JoinSet<hyper::Result<()>>,
}

impl Connection {
    async fn open(server: &Served) -> Result<Connection> {
        let (host, authorities, token) = server.door()?;
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(CertificateDer::from(authority))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(&host).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("127.0.0.1")?;
        let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await?;
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Ok(Connection {
            sender,
            host,
            token: HeaderValue::try_from(format!("Bearer {token}"))?,
            _driver: driver,
        })
    }

    /// One more watch: its lines. Those of the measure before may still count as this user's for a moment.
    async fn watch(&mut self, path: &str) -> Result<BoxStream<'static, std::io::Result<String>>> {
        loop {
            let request = Request::get(format!("https://{}{path}", self.host));
            let request = request.header(AUTHORIZATION, &self.token).body(Empty::new())?;
            let response = self.sender.send_request(request).await?;
            if response.status() == StatusCode::TOO_MANY_REQUESTS {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            ensure!(response.status() == StatusCode::OK, "a watch was answered with {}", response.status());
            let bytes = BodyDataStream::new(response.into_body()).map_err(std::io::Error::other);
            return Ok(bytes.into_async_read().lines().boxed());
        }
    }
}

/// Open watches, merged.
pub(crate) struct Watches {
    events: SelectAll<BoxStream<'static, std::io::Result<String>>>,
    count: usize,
    /// One for fifty.
    _connections: Vec<Connection>,
}

impl Watches {
    /// Opens `count` watches of the object `name`, from now on.
    pub(crate) async fn open(server: &Served, name: &str, count: usize) -> Result<Watches> {
        // From the present on: the object itself may be older than the history that is kept.
        let list: Value =
            serde_json::from_str(&get(&server.client, &format!("{}?limit=1", server.objects)).await?)?;
        let version = list["metadata"]["resourceVersion"].as_str().context("no version")?;
        let path = format!(
            "{}?watch=true&resourceVersion={version}&fieldSelector=metadata.name={name}",
            server.objects
        );
        let (mut connections, mut all) = (Vec::new(), Vec::new());
        for at in 0..count {
            if at % OF_A_CLIENT == 0 {
                connections.push(Connection::open(server).await?);
            }
            all.push(connections.last_mut().context("no connection")?.watch(&path).await?);
        }
        Ok(Watches { events: stream::select_all(all), count, _connections: connections })
    }

    /// How long each takes to see each of `updates` changes.
    pub(crate) async fn propagation(
        &mut self,
        server: &Served,
        name: &str,
        updates: usize,
    ) -> Result<Vec<Duration>> {
        let path = format!("{}/{name}", server.objects);
        let mut times = Vec::new();
        for update in 0..updates {
            let mut object: Value = serde_json::from_str(&get(&server.client, &path).await?)?;
            // Different from what any measure before wrote: nobody is told of what changes nothing.
            object["metadata"]["annotations"]["bench"] = format!("{} watch {update}", self.count).into();
            let began = Instant::now();
            let seen = async {
                for _ in 0..self.count {
                    self.events.next().await.context("a watch ended")??;
                    times.push(began.elapsed());
                }
                anyhow::Ok(())
            };
            tokio::try_join!(send(&server.client, Method::PUT, &path, &object), seen)?;
        }
        Ok(times)
    }
}
