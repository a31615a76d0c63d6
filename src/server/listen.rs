//! Connections: TLS, HTTP/1.1 and HTTP/2, with bounds on how many, how slow and how large their headers may be.
//!
//! On shutdown no connection is accepted any more, the open ones finish what they answer (watches are ended by
//! their own streams), and after a while the rest is cut.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::auth::certificate::Peer;
use super::gather::{self, Gathered};
use super::tls::H2;
use crate::env::Env;

/// Connections open at once; one more waits in the kernel's queue.
const CONNECTIONS_MAX: u32 = 4_096;
/// Requests at once on one HTTP/2 connection (each open watch is one), as Kubernetes has it since rapid resets became an
/// attack (CVE-2023-44487): clients open another connection for more.
const STREAMS_MAX: u32 = 100;
const HEADER_BYTES_MAX: u32 = 64 * 1_024;
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
const HEADERS_MAX: Duration = Duration::from_secs(30);
/// A peer that is gone without a word is noticed after this and [`PING_ANSWER_MAX`].
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_ANSWER_MAX: Duration = Duration::from_secs(15);
/// What open connections may take to finish after shutdown.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// After a failed accept (no file descriptors left): nothing tells when one is free again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `shutdown`, then drains.
pub(crate) async fn serve(
    env: &Env,
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    router: Router,
    shutdown: CancellationToken,
) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
    let acceptor = TlsAcceptor::from(tls);
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        match accepted {
            Ok((stream, permit)) => {
                let (acceptor, router) = (acceptor.clone(), router.clone());
                let connection = Connection { env: env.clone(), acceptor, router, permit };
                let shutdown = shutdown.clone();
                env.spawn("connection", async move {
                    if let Err(error) = connection.serve(stream, shutdown).await {
                        // Scanners, port probes and clients that hang up: of interest only to who debugs them.
                        tracing::debug!(error = %error, "connection ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if timeout(DRAIN_MAX, connections.acquire_many(CONNECTIONS_MAX)).await.is_err() {
        tracing::info!("cut connections that did not end in time");
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = connections.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

struct Connection {
    env: Env,
    acceptor: TlsAcceptor,
    router: Router,
    permit: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(
        self,
        stream: TcpStream,
        shutdown: CancellationToken,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let Connection { env, acceptor, router, permit } = self;
        // Small answers and watch events go out at once.
        stream.set_nodelay(true)?;
        let stream = timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await??;
        let mut builder = Builder::new(OnNode(env));
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS_MAX)
            .max_buf_size(HEADER_BYTES_MAX as usize);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADER_BYTES_MAX)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_ANSWER_MAX);
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let router = match certificate.and_then(|certificate| Peer::of(certificate)) {
            Some(peer) => router.layer(Extension(peer)),
            None => router,
        };
        let service = TowerToHyperService::new(router);
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(H2);
        let stream = Gathered::new(stream, is_h2);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream.clone()), service);
        tokio::pin!(connection);
        let result = tokio::select! {
            biased;
            result = gather::drive(&stream, connection.as_mut()) => result,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                gather::drive(&stream, connection).await
            }
        };
        drop(permit);
        result
    }
}

/// Streams of an HTTP/2 connection live and die with the node.
#[derive(Clone)]
struct OnNode(Env);

impl<F> Executor<F> for OnNode
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn("stream", future);
    }
}
