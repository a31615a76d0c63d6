//! Offers: read from the memory of the leader, so there is nothing to write, and no history to watch.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;

use super::Api;
use super::accept::Offer as Form;
use super::objects::{Ask, Verb, encoded, listed};
use super::view::ListMeta;
use crate::api::Offer;
use crate::registry::options::ListQuery;
use crate::registry::{At, Doc, Failure, KindDef, Revision};

impl Api {
    /// Answers what is asked of offers: `get` and `list`.
    pub(super) async fn live_offers(&self, verb: Verb, ask: &Ask<'_>) -> Result<Response, Failure> {
        if !matches!(verb, Verb::Get | Verb::List) || ask.target.subresource.is_some() {
            return Err(Failure::method_not_allowed());
        }
        let accepted = ask.accepted(Form::Objects)?;
        let query = ListQuery::parse(None, &ask.query)?;
        query.fields.check(&ask.kind)?;
        if matches!(query.at, At::Exact(_)) || query.continue_.is_some() {
            return Err(Failure::expired(
                "offers are shown as they are now only: none of before are kept",
                None,
            ));
        }
        let revision = self.registry.cache().snapshot().revision;
        let live = self.offers.live().await.map_err(|why| Failure::unavailable(&why))?;
        let docs = live.iter().map(|offer| document(&ask.kind, offer, revision));
        let mut docs: Vec<Arc<Doc>> = docs.collect::<Result<_, Failure>>()?;
        let view = self.view(ask, accepted)?;
        if verb == Verb::Get {
            let name = &ask.key().name;
            let found = docs.iter().find(|doc| doc.key().name == *name);
            let found = found.ok_or_else(|| Failure::not_found(&ask.kind, name))?;
            return encoded(accepted.encoding, StatusCode::OK, view.doc(found)?);
        }
        docs.retain(|it| query.labels.matches(&it.meta().labels) && query.fields.matches(it));
        let meta = ListMeta { revision, ..ListMeta::default() };
        listed(accepted.encoding, view.list(docs, &meta)?)
    }
}

/// The offer as if it was stored: it is shown as stored objects are.
fn document(kind: &KindDef, offer: &Offer, revision: Revision) -> Result<Arc<Doc>, Failure> {
    let key = kind.key("", offer.metadata.name.as_deref().unwrap_or_default());
    let json = serde_json::to_vec(offer).map_err(|error| Failure::internal(error.to_string()))?;
    Doc::from_stored(key, revision, &json).map(Arc::new).map_err(|error| Failure::damaged(&error))
}
