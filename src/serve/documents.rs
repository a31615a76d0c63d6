//! The store that a server stands on: opened, waited for, and closed at the end.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::sealing::Sealing;
use crate::cli::server_args::{ServerConfig, StoreTarget};
use crate::env::{Env, watch};
use crate::registry::Prefix;
use crate::server::{ServerCertificate, Waiting};
use crate::store::embedded::{EmbeddedOptions, EmbeddedStore};
use crate::store::etcd::{EtcdConfig, EtcdStore};
use crate::store::room::Room;
use crate::store::sealed::Sealed;
use crate::store::{Op, Store, StoreError, Txn};

/// The wait before a store that did not answer is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Different reasons that the log is told of while it waits.
const REASONS_MAX: usize = 16;
/// How often a full store is asked whether it still is.
const PROBE: Duration = Duration::from_secs(5);

/// The store, and what must be done with it at the end.
pub(super) struct Documents {
    pub(super) store: Arc<dyn Store>,
    /// Why it takes no writes, while it is full.
    pub(super) full: watch::Receiver<Option<String>>,
    /// The same, without its memory of whether there is room.
    pub(super) sealed: Arc<Sealed>,
    embedded: Option<Arc<EmbeddedStore>>,
}

impl Documents {
    /// Opens the store that `config` names. etcd is not asked for anything yet.
    pub(super) async fn open(env: &Env, config: &ServerConfig, sealing: &Sealing) -> Result<Documents> {
        let prefix = Prefix::new(&config.name);
        let over = |store: Arc<dyn Store>, embedded| {
            let sealed = sealing.over(env, store, &prefix);
            let room = Room::of(sealed.clone());
            Documents { full: room.full(), store: room, sealed, embedded }
        };
        match &config.store {
            StoreTarget::Embedded => {
                let folder = config.data_dir.join("store");
                let embedded = EmbeddedStore::open(env, &folder, EmbeddedOptions::default()).await?;
                Ok(over(embedded.clone(), Some(embedded)))
            }
            StoreTarget::Etcd(url) => {
                let etcd = EtcdConfig::new(url, config.store_auth_file.as_deref())?;
                Ok(over(EtcdStore::new(etcd, prefix.as_str()), None))
            }
        }
    }

    /// While the store is full, tries again and again whether it still is. Runs for ever.
    pub(super) fn probe_room(&self, env: &Env, key: Arc<str>) -> impl Future<Output = ()> + use<> {
        let (env, store, mut full) = (env.clone(), self.store.clone(), self.full.clone());
        async move {
            // The sender lives in the store.
            while full.wait_for(Option::is_some).await.is_ok() {
                env.sleep(PROBE).await;
                let put = Op::Put { key: key.clone(), value: Bytes::from_static(b"1"), lease: None };
                if let Err(error) = store.txn(Txn { guards: Vec::new(), ops: vec![put] }).await {
                    tracing::debug!(%error, "the store is still full");
                }
            }
        }
    }

    pub(super) async fn close(self) -> Result<()> {
        match self.embedded {
            Some(embedded) => embedded.close().await.context("failed to close the store"),
            None => Ok(()),
        }
    }
}

/// Where whoever asks meanwhile is told that the store is waited for.
pub(super) struct Hall<'a> {
    pub(super) env: &'a Env,
    pub(super) listener: &'a TcpListener,
    pub(super) certificate: &'a Arc<ServerCertificate>,
}

impl Hall<'_> {
    /// What `ask` answers, asked again for as long as the store does not answer. One line of the log tells that it is waited
    /// for, one more for each other reason.
    ///
    /// # Errors
    /// What waiting does not cure: refused credentials, no trust, a damaged store.
    pub(super) async fn wait<T, F>(&self, ask: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut door: Option<Door> = None;
        loop {
            let error = match ask().await {
                Ok(answer) => break self.leave(door, answer).await,
                Err(error) => error,
            };
            let why = match unanswered(&error) {
                Some(unanswered) => unanswered.to_string(),
                None => return Err(error),
            };
            match &mut door {
                Some(door) => door.tell(why),
                None => door = Some(self.open(why)?),
            }
            self.env.sleep(self.env.jitter(AGAIN, 0.2)).await;
        }
    }

    fn open(&self, why: String) -> Result<Door> {
        let address = self.listener.local_addr().context("no address")?;
        tracing::warn!(%address, why, "waiting for the store");
        let listener = self.listener.try_clone().context("failed to share the listener")?;
        let listener = tokio::net::TcpListener::from_std(listener).context("failed to listen")?;
        let (tell, told) = watch::channel(why.clone());
        let over = CancellationToken::new();
        let (env, certificate) = (self.env.clone(), self.certificate.clone());
        let waiting = Waiting { env, certificate, why: told };
        let until = over.clone();
        let served = self.env.spawn("waiting", async move { waiting.run(listener, until).await });
        Ok(Door { tell, logged: [why].into(), over, served })
    }

    async fn leave<T>(&self, door: Option<Door>, answer: T) -> Result<T> {
        if let Some(Door { over, served, .. }) = door {
            tracing::info!("the store answers");
            over.cancel();
            served.join().await.context("the waiting front door crashed")??;
        }
        Ok(answer)
    }
}

/// An open front door with nothing behind it.
struct Door {
    tell: watch::Sender<String>,
    /// What the log was told: reasons may take turns.
    logged: BTreeSet<String>,
    over: CancellationToken,
    served: crate::env::Spawned<Result<(), crate::server::TlsError>>,
}

impl Door {
    fn tell(&mut self, why: String) {
        if self.logged.len() < REASONS_MAX && self.logged.insert(why.clone()) {
            tracing::warn!(why, "still waiting for the store");
        }
        self.tell.send_replace(why);
    }
}

/// What is wrong with the store, if waiting may help.
fn unanswered(error: &anyhow::Error) -> Option<&StoreError> {
    let store = error.chain().find_map(|cause| cause.downcast_ref::<StoreError>());
    store.filter(|error| error.is_retryable())
}
