//! Where live offers come from: declared here, implemented over the leader where the rooms are wired.

use async_trait::async_trait;

use crate::api::Offer;

/// Knows the offers that are held now.
#[async_trait]
pub trait LiveOffers: Send + Sync + 'static {
    /// All of them.
    ///
    /// # Errors
    /// Why this server does not know them, as a sentence for people: who does.
    async fn live(&self) -> Result<Vec<Offer>, String>;
}
