//! The served kinds, found by resource, by route and by their name in a document.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::builtin;
use super::crd::{self, CrdError};
use super::form::Form;
use super::key::Resource;
use super::kind::KindDef;
use crate::api;

/// All kinds that are served.
#[derive(Debug, Clone, Default)]
pub struct Scheme {
    by_resource: BTreeMap<Resource, Arc<KindDef>>,
    /// Other forms and versions of kinds that stand above, by group, version and plural.
    faces: BTreeMap<(String, String, String), Arc<KindDef>>,
}

impl Scheme {
    /// Our own kinds and the core kinds.
    ///
    /// # Errors
    /// When one of our own CRDs is not understood: a mistake of the program, found by a test.
    pub fn ours() -> Result<Scheme, CrdError> {
        let mut scheme = Scheme::default();
        for kind in builtin::kinds()? {
            if kind.form == Form::Served { scheme.insert(kind) } else { scheme.insert_face(kind) }
        }
        for definition in api::crds() {
            scheme.insert(builtin::own(crd::kind(&definition)?));
        }
        Ok(scheme)
    }

    /// Adds `kind`, or replaces the one of the same resource: its objects are kept in this form.
    pub fn insert(&mut self, kind: KindDef) {
        self.by_resource.insert(kind.resource.clone(), Arc::new(kind));
    }

    /// Adds another way to see the objects of a kind.
    pub fn insert_face(&mut self, kind: KindDef) {
        let route = (kind.group.clone(), kind.version.clone(), kind.plural.clone());
        self.faces.insert(route, Arc::new(kind));
    }

    /// The kind whose objects stand under `resource`.
    #[must_use]
    pub fn by_resource(&self, resource: &Resource) -> Option<&Arc<KindDef>> {
        self.by_resource.get(resource)
    }

    /// The kind behind `/apis/<group>/<version>/<plural>` (core: `/api/<version>/<plural>`).
    #[must_use]
    pub fn by_route(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<KindDef>> {
        let stored = self.by_resource(&Resource::new(group, plural)).filter(|kind| kind.version == version);
        let kind =
            stored.or_else(|| self.faces.get(&(group.to_owned(), version.to_owned(), plural.to_owned())));
        kind.filter(|kind| kind.served)
    }

    /// The kind that a document names by `apiVersion` and `kind`.
    #[must_use]
    pub fn by_kind(&self, api_version: &str, name: &str) -> Option<&Arc<KindDef>> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.iter().find(|kind| kind.kind == name && kind.version == version && kind.group == group)
    }

    /// All kinds: as they are kept (the core group first, then groups and plurals in order), then other ways to see them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<KindDef>> {
        self.by_resource.values().chain(self.faces.values()).filter(|kind| kind.served)
    }
}
