//! The HTTP front door: TLS, who may enter, health, metrics, and the Kubernetes API.
//!
//! ```text
//! listen ── TLS ── HTTP ── health, /version
//!                      └── auth (who) ── rbac (may they) ── metrics, kube (routes, negotiation, verbs, watches)
//!                                   └── audit (what they did)
//! ```
//!
//! Everything enters through [`Server::run`]. Health and version are answered to anybody, what servers ask each other to peers, all else
//! to who is known and may ask it.

mod artifacts;
mod audit;
mod auth;
mod exec;
mod files;
mod gather;
mod gzip;
mod health;
mod kube;
mod kubeconfig;
mod lines;
mod listen;
mod logs;
mod metrics;
mod offers;
mod peers;
mod rates;
mod rbac;
mod shares;
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

pub use artifacts::{AgentDoor, Artifact};
pub use audit::Audit;
pub use auth::{SigningKeys, Token};
pub use exec::{ExecError, ExecRequest, Line, TaskExec};
pub use files::{FileError, read_private, write_private};
pub use health::ReadyCheck;
pub use kubeconfig::Kubeconfig;
pub use lines::Lines;
pub use logs::{LogError, LogQuery, LogStream, TaskLogs};
pub use metrics::{ReadyMetrics, RequestMetrics};
pub use offers::LiveOffers;
pub use peers::{PEER_EXEC, PEER_OFFERS, PeerKeys};
pub use tls::{Authority, ClientAuthority, ServerCertificate, TlsError};
pub use waiting::Waiting;

use self::audit::told::Told;
use self::auth::user::User;
use self::auth::{Authenticator, impersonate};
use self::kube::Api;
use self::rbac::rules::Access;
use self::shares::Shares;
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
    /// What the tokens of ServiceAccounts are signed with.
    pub signing: SigningKeys,
    /// What other servers of the installation show.
    pub peers: PeerKeys,
    /// Where changes and denials are written down.
    pub audit: Audit,
    pub certificate: Arc<ServerCertificate>,
    /// Where a task's output is read from.
    pub logs: Arc<dyn TaskLogs>,
    /// Where commands are run beside tasks.
    pub exec: Arc<dyn TaskExec>,
    /// Where the offers that are held are known.
    pub offers: Arc<dyn LiveOffers>,
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
        let Server { env, registry, token, signing, logs, exec, offers, requests, .. } = self;
        let Server { installation, peers, audit, certificate: _, ready, metrics, .. } = self;
        let authenticator = Authenticator::new(&env, &registry, &token, signing);
        let api = Arc::new(Api::new(
            env.clone(),
            registry.clone(),
            authenticator.clone(),
            kube::Cluster { logs, exec, offers: offers.clone() },
            requests,
            shutdown,
        ));
        let door = Arc::new(Door {
            env,
            registry,
            authenticator,
            peers,
            offers,
            audit,
            users: Shares::of(REQUESTS_OF_USER_MAX),
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

/// Requests of one user that are worked on at once.
const REQUESTS_OF_USER_MAX: usize = REQUESTS_MAX / 4;

struct Door {
    env: Env,
    registry: Arc<Registry>,
    installation: String,
    authenticator: Authenticator,
    peers: PeerKeys,
    offers: Arc<dyn LiveOffers>,
    audit: Audit,
    users: Arc<Shares>,
    /// A permit is held while an answer is made.
    places: Semaphore,
    ready: Arc<[ReadyCheck]>,
    metrics: Arc<prometheus_client::registry::Registry>,
    api: Arc<Api>,
}

async fn enter(State(door): State<Arc<Door>>, request: Request) -> Response {
    let takes_gzip = gzip::is_accepted(request.headers());
    let is_head = request.method() == Method::HEAD;
    match door.answer(request).await {
        response if is_head => headless(response),
        response if takes_gzip => gzip::compressed(response),
        response => response,
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
            PEER_OFFERS if reads && self.peers.recognise(request.headers()) => {
                let Ok(_place) = self.places.try_acquire() else { return kube::busy() };
                return peers::offers(&*self.offers).await;
            }
            // Who asked for it is known, and written down, where they came in.
            PEER_EXEC if *request.method() == Method::POST && self.peers.recognise(request.headers()) => {
                let Ok(_place) = self.places.try_acquire() else { return kube::busy() };
                return self.api.peer_exec(request.into_parts().0).await;
            }
            _ => {}
        }
        let Some(user) = self.authenticator.identify(&request) else { return kube::unauthorized() };
        let told = Told::of(&self.env, &request, &user);
        let (response, acting) = self.answer_known(request, user).await;
        if told.is_worth_it(&response) {
            self.audit.write(&told.event(&response, acting.as_ref(), self.env.now())).await;
        }
        response
    }

    /// The answer to somebody who is known, and whom they acted as if that was somebody else.
    async fn answer_known(&self, request: Request, user: User) -> (Response, Option<User>) {
        let snapshot = self.registry.cache().snapshot();
        let acting = match impersonate::wanted(&snapshot, &user, request.headers()) {
            Ok(acting) => acting,
            Err(failure) => return (kube::refused(&failure), None),
        };
        let Some(_share) = self.users.take(&user) else { return (kube::busy(), acting) };
        let Ok(_place) = self.places.try_acquire() else { return (kube::busy(), acting) };
        let user = acting.clone().unwrap_or(user);
        let path = request.uri().path();
        let is_metrics = path.trim_end_matches('/') == "/metrics";
        let response = if is_metrics && matches!(*request.method(), Method::GET | Method::HEAD) {
            match rbac::check(&snapshot, &user, &Access::path("get", "/metrics")) {
                Ok(()) => metrics::render(&self.metrics),
                Err(failure) => kube::refused(&failure),
            }
        } else {
            self.api.answer(request, user).await
        };
        (response, acting)
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
