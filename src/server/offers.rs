//! Where live offers come from: declared here, implemented over the leader where the rooms are wired.

use async_trait::async_trait;

use crate::api::Offer;

/// Knows the offers that are held now.
#[async_trait]
pub trait LiveOffers: Send + Sync + 'static {
    /// All of them, whichever server holds them.
    ///
    /// # Errors
    /// Why they are not known here, as a sentence for people.
    async fn live(&self) -> Result<Vec<Offer>, String>;

    /// Those that this process holds.
    ///
    /// # Errors
    /// As a sentence, when it does not lead.
    async fn held(&self) -> Result<Vec<Offer>, String>;
}
