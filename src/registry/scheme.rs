//! The served kinds, found by resource, by route and by their name in a document.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::builtin;
use super::crd::{self, CrdError};
use super::key::Resource;
use super::kind::KindDef;
use crate::api;

/// All kinds that are served, one version of each.
#[derive(Debug, Clone, Default)]
pub struct Scheme {
    by_resource: BTreeMap<Resource, Arc<KindDef>>,
}

impl Scheme {
    /// Our own kinds and the core kinds.
    ///
    /// # Errors
    /// When one of our own CRDs is not understood: a mistake of the program, found by a test.
    pub fn ours() -> Result<Scheme, CrdError> {
        let mut scheme = Scheme::default();
        for kind in builtin::kinds()? {
            scheme.insert(kind);
        }
        for definition in api::crds() {
            scheme.insert(builtin::own(crd::kind(&definition)?));
        }
        Ok(scheme)
    }

    /// Adds `kind`, or replaces the one of the same resource.
    pub fn insert(&mut self, kind: KindDef) {
        self.by_resource.insert(kind.resource.clone(), Arc::new(kind));
    }

    /// The kind whose objects stand under `resource`.
    #[must_use]
    pub fn by_resource(&self, resource: &Resource) -> Option<&Arc<KindDef>> {
        self.by_resource.get(resource)
    }

    /// The kind behind `/apis/<group>/<version>/<plural>` (core: `/api/<version>/<plural>`).
    #[must_use]
    pub fn by_route(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<KindDef>> {
        self.by_resource(&Resource::new(group, plural)).filter(|kind| kind.version == version)
    }

    /// The kind that a document names by `apiVersion` and `kind`.
    #[must_use]
    pub fn by_kind(&self, api_version: &str, name: &str) -> Option<&Arc<KindDef>> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.iter().find(|kind| kind.kind == name && kind.version == version && kind.group == group)
    }

    /// All kinds: the core group first, then groups and plurals in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<KindDef>> {
        self.by_resource.values()
    }
}
