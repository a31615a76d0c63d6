//! An embedded master over HTTP/1.1, as Mesos serves it: the scheduler API, and what is asked for to find the leader; and an
//! agent, as its executors see it.
//!
//! Statuses, headers and texts, and the order in which a request is found fault with, are those of the recordings (the table of
//! `tests/house/mesos_replay`). Left out: bodies and answers in gzip, protobuf in the operator API and its stream of events,
//! reservations, quotas, flags. What is left out answers 501 and names it.

mod accounts;
mod agent;
mod books;
mod executor;
mod files;
mod joining;
mod maintenance;
mod operator;
mod read;
mod reply;
mod required;
mod scheduler;
mod tasks;
#[cfg(test)]
mod tests;
mod v0;
mod v1;
mod watching;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::master::MasterHandle;
use super::remote;
use crate::env::{Env, watch};
pub use accounts::{Accounts, AccountsError};
pub use executor::AgentFront;
use reply::Reply;
pub use watching::told;

/// What a master says that leads and does not know yet what it leads.
const RECOVERING: &str = "Master has not finished recovery";

/// The operator's endpoints of Mesos that are not built here: another master may have them.
const UNBUILT: [&str; 8] = [
    "/flags",
    "/reserve",
    "/unreserve",
    "/create-volumes",
    "/destroy-volumes",
    "/logging/toggle",
    "/system/stats.json",
    "/teardown",
];

/// After a failed accept (no file descriptors left): nothing tells when one is free again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a master process is in its cluster.
#[derive(Debug, Clone)]
pub enum Role {
    /// It leads, and is reached at this address.
    Leads(SocketAddr, MasterHandle),
    /// The one at this address leads.
    Follows(SocketAddr),
    /// It knows of no leader.
    Elects,
    /// It leads, but has not read its registry yet.
    Recovers,
}

/// A master process as the network sees it. Clones share everything.
#[derive(Debug, Clone)]
pub struct Front {
    env: Env,
    role: watch::Receiver<Role>,
    accounts: Option<Arc<Accounts>>,
    tls: Option<Arc<ServerConfig>>,
    /// The folder of the sandboxes of its agents.
    sandboxes: Option<Arc<Path>>,
}

impl Front {
    /// A process whose role is told by `role`, and may change.
    #[must_use]
    pub fn new(env: &Env, role: watch::Receiver<Role>) -> Front {
        Front { env: env.clone(), role, accounts: None, tls: None, sandboxes: None }
    }

    /// The same, for frameworks and operators in `accounts` only.
    #[must_use]
    pub fn authenticating(mut self, accounts: Accounts) -> Front {
        self.accounts = Some(Arc::new(accounts));
        self
    }

    /// The same, for agents whose files stand in the folder `sandboxes` under the paths that agents give them.
    #[must_use]
    pub fn with_sandboxes(mut self, sandboxes: &Path) -> Front {
        self.sandboxes = Some(Arc::from(sandboxes));
        self
    }

    /// The same with TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: Arc<ServerConfig>) -> Front {
        self.tls = Some(tls);
        self
    }

    /// Serves until `stop`, then breaks all connections at once, as a process that dies.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (front, stop) = (self.clone(), stop.clone());
                    self.env.spawn("master connection", async move {
                        tokio::select! {
                            biased;
                            () = stop.cancelled() => {}
                            () = front.talk(stream) => {}
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    self.env.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn talk(self, stream: TcpStream) {
        // Small answers and events go out at once.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "connection is gone");
            return;
        }
        match self.tls.clone() {
            None => self.talk_over(stream).await,
            Some(tls) => match TlsAcceptor::from(tls).accept(stream).await {
                Ok(stream) => self.talk_over(stream).await,
                Err(error) => tracing::debug!(%error, "TLS failed"),
            },
        }
    }

    async fn talk_over<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(self, stream: S) {
        converse(stream, move |request| {
            let front = self.clone();
            async move { front.answer(request).await }
        })
        .await;
    }

    /// Paths may begin with the name of the process, and end with a slash.
    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let path = request.uri().path().trim_end_matches('/');
        let path = path.strip_prefix("/master").unwrap_or(path).to_owned();
        match path.as_str() {
            "/api/v1/scheduler" => self.scheduler(request).await,
            remote::PATH => self.join(request).await,
            "/redirect" => self.redirect(),
            "/health" => reply::empty(StatusCode::OK),
            "/version" => operator::version(),
            "/metrics/snapshot" => self.metrics().await,
            "/state" | "/state-summary" | "/slaves" | "/frameworks" | "/tasks" | "/roles" | "/weights"
            | "/quota" => self.books(request, &path).await,
            "/maintenance/schedule" | "/maintenance/status" | "/machine/down" | "/machine/up" => {
                self.maintenance(request, &path).await
            }
            files if files.starts_with("/files/") => self.files(&request, &files["/files/".len()..]).await,
            unbuilt if UNBUILT.contains(&unbuilt) => self.unbuilt(&request),
            // So in Mesos: what no longer path takes, this one does.
            operator if operator.starts_with("/api/v1") => self.operator(request).await,
            _ => reply::text(StatusCode::NOT_FOUND, "404 Not Found."),
        }
    }

    /// GET below `/files`.
    async fn files(&self, request: &Request<Incoming>, what: &str) -> Reply {
        match self.authenticate(request.headers(), files::REALM) {
            Ok(_) => files::get(&self.env, self.roots(), request, what).await,
            Err(reply) => *reply,
        }
    }

    /// Its agents' sandboxes: all are at its address.
    fn roots(&self) -> Vec<files::Root> {
        self.sandboxes.iter().map(|folder| ("/".into(), folder.to_path_buf())).collect()
    }

    /// The master, if it is this process that leads.
    ///
    /// # Errors
    /// What to answer instead.
    fn leading(&self, request: &Request<Incoming>) -> Result<MasterHandle, Box<Reply>> {
        match &*self.role.borrow() {
            Role::Leads(_, master) => Ok(master.clone()),
            Role::Follows(leader) => {
                let path = request.uri().path_and_query().map_or("", |it| it.as_str());
                let path = path.strip_prefix("/master").unwrap_or(path);
                Err(Box::new(reply::redirect(&format!("//{leader}/master{path}"))))
            }
            Role::Elects => Err(Box::new(reply::unavailable("No leader elected"))),
            Role::Recovers => Err(Box::new(reply::unavailable(RECOVERING))),
        }
    }
}

/// Answers what comes over `stream`, with headers as Mesos writes them, until it ends.
async fn converse<S, F, A>(stream: S, answer: F)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Reply>,
{
    let service = service_fn(move |request| {
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let connection =
        http1::Builder::new().title_case_headers(true).serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.with_upgrades().await {
        tracing::debug!(%error, "connection ended");
    }
}
