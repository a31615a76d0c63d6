//! The members of the cluster: one is used until it fails, then the next.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use super::EtcdConfig;
use super::failure::{self, Asked};
use crate::store::StoreError;

/// etcd closes connections of clients that ping more often than every 5 s.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Cloning is cheap: all clones use the same member over the same connection.
#[derive(Clone)]
pub(super) struct Members {
    config: EtcdConfig,
    /// One client per endpoint, made when first needed: making one may mean logging in.
    clients: Arc<[OnceCell<Client>]>,
    current: Arc<AtomicUsize>,
    /// Where connections live: a client made on a passing runtime would die with it.
    home: Handle,
}

impl Members {
    /// Must be called inside the runtime that lives as long as the store is used.
    pub(super) fn new(config: EtcdConfig) -> Members {
        let clients = config.endpoints.iter().map(|_| OnceCell::new()).collect();
        Members { config, clients, current: Arc::new(AtomicUsize::new(0)), home: Handle::current() }
    }

    pub(super) fn endpoints(&self) -> &[String] {
        &self.config.endpoints
    }

    /// Makes `request` of the current member. One that cannot be connected to has not got the request, so the next one
    /// is asked; any other silence is told to the caller, who cannot know what came of it, and the next request goes to
    /// the next member.
    pub(super) async fn call<T, F>(
        &self,
        asked: Asked<'_>,
        request: impl Fn(Client) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let at = self.current.load(Ordering::Relaxed);
            let error = match self.attempt(at, &request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let is_unsent = failure::is_unsent(&error);
            let meaning = failure::meaning(error, asked);
            if matches!(meaning, StoreError::Unavailable(_)) {
                let next = (at + 1) % self.clients.len();
                // Somebody else may have moved on already.
                let _ = self.current.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
            }
            if !is_unsent || attempt >= self.clients.len() {
                return Err(meaning);
            }
        }
    }

    async fn attempt<T, F>(&self, at: usize, request: impl Fn(Client) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let answering = async {
            let client = self.clients[at].get_or_try_init(|| self.connect(at)).await?;
            request(client.clone()).await
        };
        let timeout = self.config.timeout;
        let late = || Error::Internal(format!("etcd did not answer within {timeout:?}"));
        tokio::time::timeout(timeout, answering).await.unwrap_or_else(|_| Err(late()))
    }

    async fn connect(&self, at: usize) -> Result<Client, Error> {
        let mut options = ConnectOptions::new()
            .with_keep_alive(PING_EVERY, PING_TIMEOUT)
            .with_connect_timeout(self.config.timeout)
            .with_tcp_keepalive(PING_EVERY)
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if let Some(tls) = self.config.tls.clone() {
            options = options.with_tls(tls);
        }
        if let Some((user, password)) = self.config.user.clone() {
            options = options.with_user(user, password);
        }
        let endpoint = [self.config.endpoints[at].clone()];
        let connecting = self.home.spawn(async move { Client::connect(endpoint, Some(options)).await });
        connecting.await.map_err(|error| Error::Internal(error.to_string()))?
    }
}
