//! The front door while the store has not answered yet: alive, not ready, and why.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::health::{self, ReadyCheck};
use super::{ServerCertificate, TlsError, kube, listen};
use crate::env::{Env, watch};

/// A front door behind which there is nothing yet.
#[derive(Debug)]
pub struct Waiting {
    pub env: Env,
    pub certificate: Arc<ServerCertificate>,
    /// What is waited for, in a sentence.
    pub why: watch::Receiver<String>,
}

impl Waiting {
    /// Serves HTTPS on `listener` until `over`: `/livez` answers, `/readyz` and everything else say why not.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub async fn run(self, listener: TcpListener, over: CancellationToken) -> Result<(), TlsError> {
        let tls = self.certificate.clone().config()?;
        let router = Router::new().fallback(answer).with_state(self.why);
        listen::serve(&self.env, listener, tls, router, over).await;
        Ok(())
    }
}

async fn answer(State(why): State<watch::Receiver<String>>, request: Request) -> Response {
    let why = why.borrow().clone();
    match request.uri().path() {
        "/healthz" | "/livez" => "ok".into_response(),
        "/readyz" => health::readyz(&[ReadyCheck::new("store", move || Err(why.clone()))], true),
        _ => kube::not_ready(&why),
    }
}
