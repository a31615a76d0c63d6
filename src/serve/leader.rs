//! The server that leads: who it is, by the store, and how the others of the installation ask it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::server::PeerKeys;
use crate::store::Store;

/// Knows who leads, by the store.
#[derive(Debug)]
pub(super) struct WhoLeads {
    pub(super) store: Arc<dyn Store>,
    /// The leader's key.
    pub(super) key: Arc<str>,
    /// What the leader is shown.
    pub(super) keys: PeerKeys,
}

/// Who leads.
#[derive(Debug, Deserialize)]
struct Sitting {
    holder: String,
    /// Absent where an older version leads.
    #[serde(default)]
    door: Option<Door>,
}

/// How other servers of the installation reach one: its front door, and who has signed the certificate that is shown there.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Door {
    /// `https://HOST:PORT`
    pub(super) url: String,
    /// PEM.
    pub(super) authority: String,
}

impl WhoLeads {
    /// Who leads; if that is not known, a sentence that says why: `what` is the leader's affair.
    async fn sitting(&self, what: &str) -> Result<Sitting, String> {
        match self.store.get(&self.key).await {
            Ok(Some(record)) => serde_json::from_slice(&record.value)
                .map_err(|error| format!("{what}, and the store tells nothing usable of it: {error}")),
            Ok(None) => Err(format!("{what}, and nobody leads now")),
            Err(error) => {
                Err(format!("this server does not lead, and the store does not tell who does: {error}"))
            }
        }
    }

    /// Whom to ask instead of this server, and why: `what` is the leader's affair.
    pub(super) async fn told(&self, what: &str) -> String {
        match self.sitting(what).await {
            Ok(Sitting { holder, door }) => {
                let place = door.map(|door| format!(" at {}", door.url)).unwrap_or_default();
                format!("{what}, and this server does not lead: ask {holder}{place}")
            }
            Err(why) => why,
        }
    }

    /// What `ask` brings from the leader, which gets `patience` for it.
    ///
    /// # Errors
    /// As a sentence, with who leads, why there is no answer: `what` is the leader's affair.
    pub(super) async fn asked<T>(
        &self,
        what: &str,
        patience: Duration,
        ask: impl AsyncFnOnce(kube::Client) -> Result<T, String>,
    ) -> Result<T, String> {
        let Sitting { holder, door } = self.sitting(what).await?;
        let Some(Door { url, authority }) = door else {
            return Err(format!("{what}, and {holder} does not say where it listens: ask it there"));
        };
        let answer = async {
            let client = client(&url, &authority, &self.keys).await;
            ask(client.map_err(|error| format!("its door cannot be used: {error}"))?).await
        };
        let answer = tokio::time::timeout(patience, answer).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {} s", patience.as_secs())));
        answer.map_err(|why| format!("{what}, {holder}, at {url}: {why}"))
    }
}

/// The way through the door at `url`.
async fn client(
    url: &str,
    authority: &str,
    keys: &PeerKeys,
) -> Result<kube::Client, Box<dyn std::error::Error>> {
    let cluster = json!({"server": url, "certificate-authority-data": STANDARD.encode(authority)});
    let kubeconfig: Kubeconfig = serde_json::from_value(json!({
        "clusters": [{"name": "leader", "cluster": cluster}],
        "users": [{"name": "peer", "user": {"token": keys.shown()}}],
        "contexts": [{"name": "peer", "context": {"cluster": "leader", "user": "peer"}}],
        "current-context": "peer",
    }))?;
    let options = KubeConfigOptions::default();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    config.default_retry = false;
    // Of `tenure exec`, whose command may not read for a while; what is gone is noticed by TCP.
    config.write_timeout = None;
    // Whatever the environment says of proxies: servers reach each other, or do not.
    config.proxy_url = None;
    Ok(kube::Client::try_from(config)?)
}

/// What the operating system said, below all the layers of the client.
pub(super) fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
