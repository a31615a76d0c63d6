//! The HTTP front door: TLS, who may enter, health, metrics, and the Kubernetes API.
//!
//! ```text
//! listen ── TLS ── HTTP ── health, /version
//!                      └── auth ── metrics, kube (routes, negotiation, verbs, watches)
//! ```
//!
//! Everything enters through [`Server::run`]. Health and version are answered to anybody, all else to who shows the
//! token.

mod artifacts;
mod auth;
mod files;
mod health;
mod kube;
mod kubeconfig;
mod listen;
mod logs;
mod metrics;
mod tls;
mod waiting;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use artifacts::Artifact;
pub use auth::Token;
pub use files::{FileError, read_private, write_private};
pub use health::ReadyCheck;
pub use kubeconfig::Kubeconfig;
pub use logs::{LogError, LogQuery, LogStream, TaskLogs};
pub use metrics::{ReadyMetrics, RequestMetrics};
pub use tls::{Authority, ServerCertificate, TlsError};
pub use waiting::Waiting;

use self::auth::Authenticator;
use self::kube::Api;
use crate::env::Env;
use crate::registry::Registry;

/// All that the front door needs from the rest of the house.
pub struct Server {
    pub env: Env,
    pub registry: Arc<Registry>,
    /// The installation's uid; `/version` tells it.
    pub installation: String,
    /// Who shows it may do everything.
    pub token: Token,
    pub certificate: Arc<ServerCertificate>,
    /// Where a task's output is read from.
    pub logs: Arc<dyn TaskLogs>,
    /// What `/readyz` asks, in order.
    pub ready: Arc<[ReadyCheck]>,
    /// What the front door counts; registered in `metrics` by the caller.
    pub requests: RequestMetrics,
    /// What `/metrics` shows.
    pub metrics: Arc<prometheus_client::registry::Registry>,
}

impl Server {
    /// Serves HTTPS on `listener` until `shutdown`; then no connection is accepted any more, watches end, requests
    /// finish, and what has not ended after a few seconds is cut.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub async fn run(self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), TlsError> {
        let (env, tls) = (self.env.clone(), self.certificate.clone().config()?);
        listen::serve(&env, listener, tls, self.router(shutdown.clone()), shutdown).await;
        Ok(())
    }

    fn router(self, shutdown: CancellationToken) -> Router {
        let Server { env, registry, installation, token, certificate: _, logs, ready, requests, metrics } =
            self;
        let authenticator = Authenticator::new(&token);
        let api = Arc::new(Api::new(env, registry, logs, requests, shutdown));
        let door = Arc::new(Door {
            authenticator,
            installation,
            places: Semaphore::new(REQUESTS_MAX),
            ready,
            metrics,
            api,
        });
        Router::new().fallback(enter).with_state(door)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}

/// Requests that are worked on at once; an open watch is not one of them. More are asked to come again.
const REQUESTS_MAX: usize = 1_024;

struct Door {
    installation: String,
    authenticator: Authenticator,
    /// A permit is held while an answer is made.
    places: Semaphore,
    ready: Arc<[ReadyCheck]>,
    metrics: Arc<prometheus_client::registry::Registry>,
    api: Arc<Api>,
}

async fn enter(State(door): State<Arc<Door>>, request: Request) -> Response {
    if request.method() == Method::HEAD {
        headless(door.answer(request).await)
    } else {
        door.answer(request).await
    }
}

impl Door {
    async fn answer(&self, request: Request) -> Response {
        let path = request.uri().path();
        let path = path.strip_suffix('/').unwrap_or(path);
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        match path {
            "/healthz" | "/livez" if reads => return "ok".into_response(),
            "/readyz" if reads => {
                let verbose = request.uri().query().is_some_and(|query| query.contains("verbose"));
                return health::readyz(&self.ready, verbose);
            }
            "/version" if reads => return kube::version(&self.installation),
            _ => {}
        }
        if !self.authenticator.admits(request.headers()) {
            return kube::unauthorized();
        }
        let Ok(_place) = self.places.try_acquire() else { return kube::busy() };
        match path {
            "/metrics" if reads => metrics::render(&self.metrics),
            _ => self.api.answer(request).await,
        }
    }
}

/// The head of an answer to HEAD: as to GET, with the length of the body that GET would have sent.
fn headless(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, Body::empty())
}
