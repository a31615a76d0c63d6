//! The offers that are held, from the leader's loops to the front door; where this server does not lead, who does.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::api::Offer;
use crate::controllers::Offers;
use crate::server::LiveOffers;
use crate::store::Store;

/// The offers of this process, if it leads.
#[derive(Debug)]
pub(super) struct HeldOffers {
    pub(super) offers: Offers,
    pub(super) store: Arc<dyn Store>,
    /// The leader's key.
    pub(super) leader: Arc<str>,
}

#[async_trait]
impl LiveOffers for HeldOffers {
    async fn live(&self) -> Result<Vec<Offer>, String> {
        match self.offers.live() {
            Some(offers) => Ok(offers),
            None => Err(self.elsewhere().await),
        }
    }
}

impl HeldOffers {
    /// Who holds them, as the store has it.
    async fn elsewhere(&self) -> String {
        match self.store.get(&self.leader).await {
            Ok(Some(record)) => {
                let holder = serde_json::from_slice::<Value>(&record.value).ok();
                let holder = holder.as_ref().and_then(|it| it["holder"].as_str()).unwrap_or("another server");
                format!("offers are held by the leader, and this server does not lead: ask {holder}")
            }
            Ok(None) => "nobody leads now, so no offers are held".to_owned(),
            Err(error) => format!("this server does not lead, and the store does not tell who does: {error}"),
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
    async fn who_does_not_lead_names_the_leader() {
        let env = Env::system().unwrap();
        let store: Arc<dyn Store> = MemoryStore::new(&env);
        let held = HeldOffers { offers: Offers::default(), store: store.clone(), leader: "/leader".into() };
        assert_eq!(held.live().await.unwrap_err(), "nobody leads now, so no offers are held");
        let value = Bytes::from_static(br#"{"holder":"m2 (pid 7)","ballot":"x"}"#);
        let put = Op::Put { key: "/leader".into(), value, lease: None };
        store.txn(Txn { guards: Vec::new(), ops: vec![put] }).await.unwrap();
        let why = held.live().await.unwrap_err();
        assert!(why.ends_with("this server does not lead: ask m2 (pid 7)"), "{why}");
    }
}
