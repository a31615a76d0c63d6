//! The offers that are held, from the leader's loops to the front door; where this server does not lead, from the server that does.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::leader::{WhoLeads, root};
use crate::api::Offer;
use crate::controllers::Offers;
use crate::server::{LiveOffers, PEER_OFFERS};

/// How long the leader may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The offers of this process, if it leads, else the leader's.
#[derive(Debug)]
pub(super) struct HeldOffers {
    pub(super) offers: Offers,
    pub(super) leader: Arc<WhoLeads>,
}

#[async_trait]
impl LiveOffers for HeldOffers {
    async fn live(&self) -> Result<Vec<Offer>, String> {
        if let Some(offers) = self.offers.live().await.map_err(|busy| busy.to_string())? {
            return Ok(offers);
        }
        self.leader.asked("offers are held by the leader", PATIENCE, ask).await
    }

    async fn held(&self) -> Result<Vec<Offer>, String> {
        let held = self.offers.live().await.map_err(|busy| busy.to_string())?;
        held.ok_or_else(|| "this server does not lead".to_owned())
    }
}

/// The offers that `leader` holds.
async fn ask(leader: kube::Client) -> Result<Vec<Offer>, String> {
    let request = http::Request::get(PEER_OFFERS).body(Vec::new()).map_err(|error| error.to_string())?;
    leader.request(request).await.map_err(|error| match error {
        kube::Error::Api(status) => status.message.clone(),
        error => root(&error),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::env::Env;
    use crate::server::PeerKeys;
    use crate::store::memory::MemoryStore;
    use crate::store::{Op, Store, Txn};

    #[tokio::test]
    async fn who_does_not_lead_asks_the_leader_and_says_why_that_does_not_answer() {
        let env = Env::system().unwrap();
        let store: Arc<dyn Store> = MemoryStore::new(&env);
        let keys = PeerKeys::new(&[[7; 32]]);
        let leader = Arc::new(WhoLeads { store: store.clone(), key: "/leader".into(), keys });
        let held = HeldOffers { offers: Offers::default(), leader: leader.clone() };
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
