//! The Kubernetes API over the registry: routes, negotiation, discovery, verbs and watches.
//!
//! ```text
//! request ── route ──┬── documents: catalog (discovery, openapi)
//!                    └── objects ── accept ── body ── registry ── view ── reply
//! ```
//!
//! Nothing here knows a particular kind, except that Tasks have logs and lines into them, and that Offers are not stored.

mod accept;
mod body;
mod catalog;
mod discovery;
mod document;
mod exec;
mod facade;
mod objects;
mod offers;
mod openapi;
mod protobuf;
mod published;
mod reply;
mod review;
mod route;
mod task;
mod view;
mod watch;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{Method, Request, Uri};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::catalog::Catalogs;
use self::route::Route;
use super::auth::Authenticator;
use super::auth::user::User;
use super::exec::TaskExec;
use super::logs::TaskLogs;
use super::metrics::RequestMetrics;
use super::offers::LiveOffers;
use super::rbac;
use super::rbac::rules::Access;
use super::shares::Shares;
use crate::env::Env;
use crate::registry::{Failure, KindDef, Registry};

/// Watches that one user may have open at a time.
const WATCHES_MAX: usize = 1_000;

/// The API of one server.
pub(super) struct Api {
    env: Env,
    registry: Arc<Registry>,
    logs: Arc<dyn TaskLogs>,
    exec: Arc<dyn TaskExec>,
    offers: Arc<dyn LiveOffers>,
    requests: RequestMetrics,
    catalogs: Catalogs,
    /// Served beside the scheme's.
    facades: Vec<Arc<KindDef>>,
    authenticator: Authenticator,
    /// Watches that one user may have open.
    watchers: Arc<Shares>,
    events: watch::EventCache,
    /// Ends the watches.
    shutdown: CancellationToken,
}

/// What is asked of the cluster and not of the registry.
pub(super) struct Cluster {
    pub(super) logs: Arc<dyn TaskLogs>,
    pub(super) exec: Arc<dyn TaskExec>,
    pub(super) offers: Arc<dyn LiveOffers>,
}

impl Api {
    pub(super) fn new(
        env: Env,
        registry: Arc<Registry>,
        authenticator: Authenticator,
        Cluster { logs, exec, offers }: Cluster,
        requests: RequestMetrics,
        shutdown: CancellationToken,
    ) -> Api {
        let (catalogs, events) = (Catalogs::default(), watch::EventCache::default());
        let (facades, watchers) = (facade::kinds(), Shares::of(WATCHES_MAX));
        Api {
            env,
            registry,
            authenticator,
            watchers,
            logs,
            exec,
            offers,
            requests,
            catalogs,
            facades,
            events,
            shutdown,
        }
    }

    /// Answers what `user` asks, if they may.
    pub(super) async fn answer(self: &Arc<Self>, request: Request<Body>, user: User) -> Response {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let verb = head.method.as_str().to_lowercase();
        match Route::parse(path) {
            None => reply::not_found(),
            Some(Route::Objects(target)) => self.objects(target, &head, body, user).await,
            Some(route) => {
                match rbac::check(&self.registry.cache().snapshot(), &user, &Access::path(&verb, path)) {
                    Ok(()) => self.document(&route, &head),
                    Err(failure) => reply::failure(&failure),
                }
            }
        }
    }
}

/// What a request is about, as the audit log tells it: the verb, and the object where there is one.
pub(super) fn described(method: &Method, uri: &Uri) -> (String, Option<Value>) {
    let verb = method.as_str().to_lowercase();
    let Some(Route::Objects(target)) = Route::parse(uri.path()) else { return (verb, None) };
    let verb = objects::Verb::spelled(method, target.name.is_some(), uri.query()).unwrap_or(verb);
    let mut object = json!({"resource": target.plural, "apiVersion": target.version});
    let parts = [("namespace", target.namespace), ("name", target.name), ("subresource", target.subresource)];
    for (name, part) in
        parts.into_iter().chain([("apiGroup", Some(target.group).filter(|it| !it.is_empty()))])
    {
        if let Some(part) = part {
            object[name] = json!(part);
        }
    }
    (verb, Some(object))
}

/// `/version`, which anybody may ask; beside what Kubernetes tells it names the installation.
pub(super) fn version(installation: &str) -> Response {
    document::version(installation)
}

/// 401.
pub(super) fn unauthorized() -> Response {
    reply::failure(&Failure::unauthorized())
}

/// What `failure` says.
pub(super) fn refused(failure: &Failure) -> Response {
    reply::failure(failure)
}

/// 503.
pub(super) fn not_ready(why: &str) -> Response {
    reply::failure(&Failure::unavailable(why))
}

/// 429.
pub(super) fn busy() -> Response {
    reply::failure(&Failure::too_many_requests("the server has too many requests to answer now", 1))
}
