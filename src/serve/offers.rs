//! The offers that are held, from the leader's loops to the front door; where this server does not lead, from the server that does.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::Offer;
use crate::controllers::Offers;
use crate::server::{LiveOffers, PEER_OFFERS, PeerKeys};
use crate::store::Store;

/// How long the leader may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The offers of this process, if it leads, else the leader's.
#[derive(Debug)]
pub(super) struct HeldOffers {
    pub(super) offers: Offers,
    pub(super) leader: Arc<WhoLeads>,
    pub(super) keys: PeerKeys,
}

/// Knows who leads, by the store.
#[derive(Debug)]
pub(super) struct WhoLeads {
    pub(super) store: Arc<dyn Store>,
    /// The leader's key.
    pub(super) key: Arc<str>,
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

#[async_trait]
impl LiveOffers for HeldOffers {
    async fn live(&self) -> Result<Vec<Offer>, String> {
        if let Some(offers) = self.offers.live().await.map_err(|busy| busy.to_string())? {
            return Ok(offers);
        }
        let Sitting { holder, door } = self.leader.sitting("offers are held by the leader").await?;
        let Some(door) = door else {
            return Err(format!(
                "offers are held by the leader, and {holder} does not say where it listens: ask it there"
            ));
        };
        let answer = tokio::time::timeout(PATIENCE, ask(&door, &self.keys)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())));
        answer.map_err(|why| format!("offers are held by the leader, {holder}, at {}: {why}", door.url))
    }

    async fn held(&self) -> Result<Vec<Offer>, String> {
        let held = self.offers.live().await.map_err(|busy| busy.to_string())?;
        held.ok_or_else(|| "this server does not lead".to_owned())
    }
}

/// The offers that the server behind `door` holds.
async fn ask(door: &Door, keys: &PeerKeys) -> Result<Vec<Offer>, String> {
    let client = client(door, keys).await.map_err(|error| format!("its door cannot be used: {error}"))?;
    let request = http::Request::get(PEER_OFFERS).body(Vec::new()).map_err(|error| error.to_string())?;
    client.request(request).await.map_err(|error| match error {
        kube::Error::Api(status) => status.message.clone(),
        error => root(&error),
    })
}

async fn client(door: &Door, keys: &PeerKeys) -> Result<kube::Client, Box<dyn std::error::Error>> {
    let cluster = json!({"server": door.url, "certificate-authority-data": STANDARD.encode(&door.authority)});
    let kubeconfig: Kubeconfig = serde_json::from_value(json!({
        "clusters": [{"name": "leader", "cluster": cluster}],
        "users": [{"name": "peer", "user": {"token": keys.shown()}}],
        "contexts": [{"name": "peer", "context": {"cluster": "leader", "user": "peer"}}],
        "current-context": "peer",
    }))?;
    let options = KubeConfigOptions::default();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    config.default_retry = false;
    // Whatever the environment says of proxies: servers reach each other, or do not.
    config.proxy_url = None;
    Ok(kube::Client::try_from(config)?)
}

/// What the operating system said, below all the layers of the client.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
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
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::env::Env;
    use crate::store::memory::MemoryStore;
    use crate::store::{Op, Txn};

    #[tokio::test]
    async fn who_does_not_lead_asks_the_leader_and_says_why_that_does_not_answer() {
        let env = Env::system().unwrap();
        let store: Arc<dyn Store> = MemoryStore::new(&env);
        let leader = Arc::new(WhoLeads { store: store.clone(), key: "/leader".into() });
        let keys = PeerKeys::new(&[[7; 32]]);
        let held = HeldOffers { offers: Offers::default(), leader: leader.clone(), keys };
        assert_eq!(held.live().await.unwrap_err(), "offers are held by the leader, and nobody leads now");
        let put = async |value: &'static [u8]| {
            let put = Op::Put { key: "/leader".into(), value: Bytes::from_static(value), lease: None };
            store.txn(Txn { guards: Vec::new(), ops: vec![put] }).await.unwrap();
        };
        put(br#"{"holder":"m2 (pid 7)","ballot":"x"}"#).await;
        let why = held.live().await.unwrap_err();
        assert!(why.contains("m2 (pid 7) does not say where it listens"), "{why}");
        put(br#"{"holder":"m2 (pid 7)","ballot":"x","door":{"url":"https://127.0.0.1:1","authority":""}}"#)
            .await;
        let why = held.live().await.unwrap_err();
        assert!(
            why.starts_with("offers are held by the leader, m2 (pid 7), at https://127.0.0.1:1: "),
            "{why}"
        );
        let told = leader.told("executors are reached through the leader").await;
        assert!(told.ends_with("this server does not lead: ask m2 (pid 7) at https://127.0.0.1:1"), "{told}");
        assert_eq!(held.held().await.unwrap_err(), "this server does not lead");
    }
}
