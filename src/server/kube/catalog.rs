//! All documents about the served kinds, made again only when the kinds change.

use std::sync::{Arc, Mutex, PoisonError};

use super::discovery::Discovery;
use super::openapi::Documents;
use crate::registry::{KindDef, Scheme};

/// What is said about one scheme.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) discovery: Discovery,
    pub(crate) openapi: Documents,
}

/// The catalog of the scheme that was asked for last.
#[derive(Debug, Default)]
pub(crate) struct Catalogs {
    latest: Mutex<Option<(Arc<Scheme>, Arc<Catalog>)>>,
}

impl Catalogs {
    /// The catalog of `scheme` and of the kinds beside it. Whoever asks first after a change makes it; the others wait for that.
    pub(crate) fn of(&self, scheme: &Arc<Scheme>, beside: &[Arc<KindDef>]) -> Arc<Catalog> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, catalog)) = latest.as_ref()
            && Arc::ptr_eq(known, scheme)
        {
            return catalog.clone();
        }
        let kinds: Vec<&KindDef> = scheme.iter().chain(beside).map(AsRef::as_ref).collect();
        let catalog = Arc::new(Catalog { discovery: Discovery::of(&kinds), openapi: Documents::of(&kinds) });
        *latest = Some((scheme.clone(), catalog.clone()));
        catalog
    }
}
