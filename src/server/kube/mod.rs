//! The Kubernetes API over the registry: routes, negotiation, discovery, verbs and watches.
//!
//! ```text
//! request ── route ──┬── documents: catalog (discovery, openapi)
//!                    └── objects ── accept ── body ── registry ── view ── reply
//! ```
//!
//! Nothing here knows a particular kind, except that Tasks have logs.

mod accept;
mod body;
mod catalog;
mod discovery;
mod document;
mod facade;
mod objects;
mod openapi;
mod protobuf;
mod published;
mod reply;
mod route;
mod task;
mod view;
mod watch;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::Request;
use tokio_util::sync::CancellationToken;

use self::catalog::Catalogs;
use self::route::Route;
use super::logs::TaskLogs;
use super::metrics::RequestMetrics;
use crate::env::Env;
use crate::registry::{Failure, KindDef, Registry};

/// The API of one server.
pub(super) struct Api {
    env: Env,
    registry: Arc<Registry>,
    logs: Arc<dyn TaskLogs>,
    requests: RequestMetrics,
    catalogs: Catalogs,
    /// Served beside the scheme's, for reading.
    services: Option<Arc<KindDef>>,
    events: watch::EventCache,
    /// Ends the watches.
    shutdown: CancellationToken,
}

impl Api {
    pub(super) fn new(
        env: Env,
        registry: Arc<Registry>,
        logs: Arc<dyn TaskLogs>,
        requests: RequestMetrics,
        shutdown: CancellationToken,
    ) -> Api {
        let (catalogs, events) = (Catalogs::default(), watch::EventCache::default());
        let services = facade::services().map(Arc::new);
        Api { env, registry, logs, requests, catalogs, services, events, shutdown }
    }

    /// Answers a request that is allowed to be answered.
    pub(super) async fn answer(self: &Arc<Self>, request: Request<Body>) -> Response {
        let (head, body) = request.into_parts();
        match Route::parse(head.uri.path()) {
            None => reply::not_found(),
            Some(Route::Objects(target)) => self.objects(target, &head, body).await,
            Some(route) => self.document(&route, &head),
        }
    }
}

/// `/version`, which anybody may ask; beside what Kubernetes tells it names the installation.
pub(super) fn version(installation: &str) -> Response {
    document::version(installation)
}

/// 401.
pub(super) fn unauthorized() -> Response {
    reply::failure(&Failure::unauthorized())
}

/// 503.
pub(super) fn not_ready(why: &str) -> Response {
    reply::failure(&Failure::unavailable(why))
}

/// 429.
pub(super) fn busy() -> Response {
    reply::failure(&Failure::too_many_requests("the server has too many requests to answer now", 1))
}
