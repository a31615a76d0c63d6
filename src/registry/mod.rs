//! What a write means, for HTTP and controllers alike, and the watch cache. No HTTP.
//!
//! ```text
//! body ─▶ [`body`] ─▶ [`write`] (schema, apply, patch) ─▶ store
//!                                                           │ watch
//!        get, list, watch ◀─ [`read`] ◀─ [`cache`] ◀────────┘
//! ```
//!
//! A [`Registry`] knows the served kinds ([`Scheme`]) as data: whatever a CRD, ours or a user's, says, and nothing of what our own kinds
//! mean beyond their rules in [`crate::api`]. Refusals are [`Failure`]s: Kubernetes' `Status` as a value.

pub mod apply;
pub mod body;
pub mod builtin;
pub mod cache;
pub mod crd;
pub mod doc;
pub mod failure;
pub mod field;
pub mod form;
pub mod jsonpath;
pub mod key;
pub mod kind;
pub mod labels;
mod meta;
pub mod names;
mod object;
pub mod options;
mod parts;
pub mod patch;
pub mod read;
pub mod schema;
pub mod scheme;
pub mod selector;
pub mod snapshot;
mod splice;
pub mod table;
mod ttl;
pub mod write;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

pub use self::body::{Body, BodyError, Encoding};
pub use self::cache::Cache;
pub use self::doc::Doc;
pub use self::failure::{Failure, Reason};
pub use self::key::{Key, Prefix, Resource};
pub use self::kind::KindDef;
pub use self::options::{At, DeleteOptions, ListQuery, Query, Verb, WatchQuery, WriteOptions};
pub use self::patch::Patch;
pub use self::read::{ListPage, WatchEvent, WatchStream};
pub use self::scheme::Scheme;
pub use self::snapshot::{Change, Snapshot};
pub use self::write::{CommitError, Committed, Deleted, Fence, Subresource, Write, Written};
/// What a resource version counts: the store's revision.
pub use crate::store::Revision;

use self::read::Pages;
use self::ttl::Ttl;
use crate::env::Env;
use crate::store::{Limits, Store, StoreError};

/// Objects of all served kinds: reads from the cache, writes into the store.
pub struct Registry {
    env: Env,
    store: Arc<dyn Store>,
    cache: Arc<Cache>,
    prefix: Prefix,
    /// The kinds that are there without any definition.
    built_in: Scheme,
    scheme: RwLock<Arc<Scheme>>,
    namespaces: Resource,
    pages: Pages,
    ttl: Ttl,
}

impl Registry {
    /// A registry of `scheme`'s kinds under `prefix`. `cache` must be of the same store and prefix.
    #[must_use]
    pub fn new(
        env: &Env,
        store: Arc<dyn Store>,
        cache: Arc<Cache>,
        prefix: &Prefix,
        scheme: Scheme,
    ) -> Arc<Registry> {
        Arc::new(Registry {
            env: env.clone(),
            store,
            cache,
            prefix: prefix.clone(),
            built_in: scheme.clone(),
            scheme: RwLock::new(Arc::new(scheme)),
            namespaces: Resource::new("", "namespaces"),
            pages: Pages::default(),
            ttl: Ttl::default(),
        })
    }

    /// The kinds that are served now.
    #[must_use]
    pub fn scheme(&self) -> Arc<Scheme> {
        self.scheme.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_scheme(&self, scheme: Scheme) {
        *self.scheme.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(scheme);
    }

    /// Where reads come from.
    #[must_use]
    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// The object as the store itself has it now, whatever the cache shows: for the few decisions that must not depend on a
    /// watch. None when there is none.
    ///
    /// # Errors
    /// When the store does not answer, or holds what is no document.
    pub async fn stored(&self, key: &Key) -> Result<Option<Doc>, StoreError> {
        let Some(record) = self.store.get(&key.store_key(&self.prefix)).await? else { return Ok(None) };
        let doc = Doc::from_stored(key.clone(), record.revision, &record.value);
        doc.map(Some).map_err(|error| StoreError::Damaged(format!("{key}: {error}")))
    }

    /// What one transaction may hold.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.store.limits()
    }

    /// Where everything of this installation stands in the store.
    #[must_use]
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("prefix", &self.prefix).field("cache", &self.cache).finish()
    }
}
