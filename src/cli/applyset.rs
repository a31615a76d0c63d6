//! Apply sets, as kubectl keeps them (KEP-3659): what was applied together, so that what is no longer among it can be deleted.
//!
//! A Secret or ConfigMap, the parent, names the kinds and namespaces of a set's members; each member carries the set's id as a
//! label. The parent names more than there is while a set changes, never less, so that nothing is forgotten halfway.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::apply::Object;
use super::connection::{APPLY_PATCH, Connection, with_query};
use super::get::items;
use super::kinds::{Catalog, Resource};

const PART_OF: &str = "applyset.kubernetes.io/part-of";
const ID: &str = "applyset.kubernetes.io/id";
const TOOLING: &str = "applyset.kubernetes.io/tooling";
const KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";
/// Before the slash: who keeps a set. Another tool's is left alone.
const TOOL: &str = "tenure";
const FIELD_MANAGER: &str = "tenure-applyset";

/// Kinds (`App.tenure.dev`) and namespaces in which a set may have members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Reach {
    kinds: BTreeSet<String>,
    namespaces: BTreeSet<String>,
}

/// One set.
#[derive(Debug)]
pub(super) struct ApplySet<'a> {
    parent: &'a Resource,
    name: String,
    namespace: String,
    id: String,
    /// What the parent says.
    known: Reach,
}

/// An object that is in a set and no longer in its files.
#[derive(Debug)]
pub(super) struct Leftover {
    pub(super) called: String,
    path: String,
    uid: String,
}

impl<'a> ApplySet<'a> {
    /// The set that `text` names: NAME (of a Secret), secrets/NAME or configmaps/NAME.
    ///
    /// # Errors
    ///
    /// If it cannot be a parent, or is one of another tool.
    pub(super) async fn open(
        connection: &Connection,
        catalog: &'a Catalog,
        text: &str,
    ) -> anyhow::Result<Self> {
        let (kind, name) = text.split_once('/').unwrap_or(("secrets", text));
        let parent = catalog.find(kind)?;
        if !parent.group.is_empty() || !["Secret", "ConfigMap"].contains(&parent.kind.as_str()) {
            bail!(
                "--applyset {text}: a set is kept by a Secret or a ConfigMap: secrets/NAME or configmaps/NAME"
            );
        }
        if name.is_empty() || name.contains('/') {
            bail!("--applyset {text}: must be NAME, secrets/NAME or configmaps/NAME");
        }
        let namespace = connection.namespace.clone();
        let id = id(name, &namespace, parent);
        let mut set = Self { parent, name: name.to_owned(), namespace, id, known: Reach::default() };
        match connection.get(&set.path()).await {
            Ok(found) => set.known = set.reach(&found)?,
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error).context(set.called()),
        }
        Ok(set)
    }

    fn path(&self) -> String {
        self.parent.path(Some(&self.namespace), Some(&self.name))
    }

    fn called(&self) -> String {
        self.parent.called(&self.name)
    }

    /// What an existing parent says of its members.
    fn reach(&self, parent: &Value) -> anyhow::Result<Reach> {
        let (labels, notes) = (&parent["metadata"]["labels"], &parent["metadata"]["annotations"]);
        let called = self.called();
        match labels[ID].as_str() {
            Some(id) if id == self.id => {}
            Some(other) => {
                bail!("{called} exists and its label {ID} is {other:?}; that of this set is {:?}", self.id)
            }
            None => bail!("{called} exists and is no apply set: it has no label {ID}"),
        }
        let tooling = notes[TOOLING].as_str().unwrap_or_default();
        if tooling.split('/').next() != Some(TOOL) {
            bail!("{called} is an apply set of {tooling:?}, not of {TOOL:?}: use the tool that made it");
        }
        let list = |key: &str| -> BTreeSet<String> {
            let text = notes[key].as_str().unwrap_or_default();
            text.split(',').map(str::trim).filter(|it| !it.is_empty()).map(ToOwned::to_owned).collect()
        };
        Ok(Reach { kinds: list(KINDS), namespaces: list(NAMESPACES) })
    }

    /// Makes `object` one of this set.
    ///
    /// # Errors
    ///
    /// If its document, or what stands in the store, says that it is one of another.
    pub(super) async fn take(&self, connection: &Connection, object: &mut Object<'_>) -> anyhow::Result<()> {
        if let Some(given) = object.label(PART_OF).filter(|given| *given != self.id) {
            bail!("metadata.labels[{PART_OF}] is {given:?}: leave it out, it is set by --applyset");
        }
        let live = object.live(connection).await?.unwrap_or_default();
        if let Some(other) = live["metadata"]["labels"][PART_OF].as_str().filter(|it| *it != self.id) {
            bail!(
                "{} belongs to another apply set ({other}): delete it there, or take its label {PART_OF} off",
                object.called()
            );
        }
        object.set_label(PART_OF, &self.id);
        Ok(())
    }

    /// Writes down that members may be what `objects` are, beside what is known.
    ///
    /// # Errors
    ///
    /// If the parent cannot be written.
    pub(super) async fn grow(
        &mut self,
        connection: &Connection,
        objects: &[Object<'_>],
    ) -> anyhow::Result<()> {
        let Reach { kinds, namespaces } = self.reach_of(objects);
        self.known.kinds.extend(kinds);
        self.known.namespaces.extend(namespaces);
        self.write(connection, &self.known).await
    }

    /// Writes down that `objects` are all that there is.
    ///
    /// # Errors
    ///
    /// If the parent cannot be written.
    pub(super) async fn settle(&self, connection: &Connection, objects: &[Object<'_>]) -> anyhow::Result<()> {
        self.write(connection, &self.reach_of(objects)).await
    }

    fn reach_of(&self, objects: &[Object<'_>]) -> Reach {
        let namespaces = objects.iter().filter_map(Object::namespace).filter(|it| *it != self.namespace);
        Reach {
            kinds: objects.iter().map(|object| group_kind(object.resource)).collect(),
            namespaces: namespaces.map(ToOwned::to_owned).collect(),
        }
    }

    async fn write(&self, connection: &Connection, reach: &Reach) -> anyhow::Result<()> {
        let joined = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(",");
        let body = json!({
            "apiVersion": self.parent.api_version(), "kind": self.parent.kind,
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": {ID: self.id}, "annotations": {
                TOOLING: format!("{TOOL}/v{}", env!("CARGO_PKG_VERSION")),
                KINDS: joined(&reach.kinds), NAMESPACES: joined(&reach.namespaces),
            }},
        });
        let path = with_query(&self.path(), &[("fieldManager", Some(FIELD_MANAGER))]);
        connection.patch(&path, APPLY_PATCH, &body).await.with_context(|| self.called())?;
        Ok(())
    }

    /// Members that are none of `objects`, in the order of kinds and names.
    ///
    /// # Errors
    ///
    /// If they cannot be listed.
    pub(super) async fn leftovers(
        &self,
        connection: &Connection,
        catalog: &Catalog,
        objects: &[Object<'_>],
    ) -> anyhow::Result<Vec<Leftover>> {
        let kept: BTreeSet<&str> = objects.iter().map(Object::path).collect();
        let places: Vec<&str> =
            self.known.namespaces.iter().map(String::as_str).chain([self.namespace.as_str()]).collect();
        let mut leftovers = Vec::new();
        for kind in &self.known.kinds {
            // A kind that is no longer served has no objects.
            let Some(resource) = catalog.iter().find(|resource| group_kind(resource) == *kind) else {
                continue;
            };
            let places = if resource.namespaced { places.as_slice() } else { &[""] };
            for namespace in places {
                let selector = format!("{PART_OF}={}", self.id);
                let path = with_query(
                    &resource.path(Some(namespace), None),
                    &[("labelSelector", Some(selector.as_str()))],
                );
                for item in items(resource, connection.get(&path).await?) {
                    let text = |field: &str| item["metadata"][field].as_str().unwrap_or_default().to_owned();
                    let path = resource.path(Some(namespace), Some(&text("name")));
                    // What goes already has been deleted.
                    if !kept.contains(path.as_str()) && item["metadata"]["deletionTimestamp"].is_null() {
                        leftovers.push(Leftover {
                            called: resource.called(&text("name")),
                            path,
                            uid: text("uid"),
                        });
                    }
                }
            }
        }
        Ok(leftovers)
    }
}

impl Leftover {
    /// As it stands in the store.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub(super) async fn live(&self, connection: &Connection) -> anyhow::Result<Value> {
        connection.get(&self.path).await.with_context(|| self.called.clone())
    }

    /// Deletes it, if it is still the one that was found.
    ///
    /// # Errors
    ///
    /// If the server refuses; not if it is gone already.
    pub(super) async fn delete(&self, connection: &Connection, dry_run: bool) -> anyhow::Result<()> {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
            "preconditions": {"uid": self.uid}});
        let path = with_query(&self.path, &[("dryRun", dry_run.then_some("All"))]);
        match connection.delete(&path, &options).await {
            Err(error) if !error.is_not_found() => Err(error).context(self.called.clone()),
            _ => Ok(()),
        }
    }
}

/// `App.tenure.dev`, `ConfigMap`
fn group_kind(resource: &Resource) -> String {
    if resource.group.is_empty() {
        resource.kind.clone()
    } else {
        format!("{}.{}", resource.kind, resource.group)
    }
}

/// The id of the set whose parent this is: the same for every tool.
fn id(name: &str, namespace: &str, parent: &Resource) -> String {
    use base64::Engine as _;
    let hash = Sha256::digest(format!("{name}.{namespace}.{}.{}", parent.kind, parent.group));
    format!("applyset-{}-v1", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash))
}

#[cfg(test)]
mod tests {
    use super::super::kinds::tests::catalog;
    use super::*;

    #[test]
    fn a_set_has_the_id_that_kubectl_gives_it() {
        let catalog = catalog();
        // Recorded from kubectl 1.32.
        assert_eq!(
            id("aset", "default", catalog.find("configmaps").unwrap()),
            "applyset-D5vhk_VEPgHOVKuwtgrcHD09__mKL-GQfvpRN4MKHsA-v1"
        );
    }

    #[test]
    fn a_parent_is_taken_at_its_word_if_it_is_ours() {
        let catalog = catalog();
        let parent = catalog.find("configmaps").unwrap();
        let set = ApplySet {
            parent,
            name: "s".to_owned(),
            namespace: "default".to_owned(),
            id: "applyset-x-v1".to_owned(),
            known: Reach::default(),
        };
        let stored = |id: &str, tooling: &str| {
            json!({"metadata": {"labels": {ID: id}, "annotations": {
                TOOLING: tooling, KINDS: "App.tenure.dev,ConfigMap", NAMESPACES: ""}}})
        };
        let reach = set.reach(&stored("applyset-x-v1", "tenure/v9")).unwrap();
        assert_eq!(reach.kinds.into_iter().collect::<Vec<_>>(), ["App.tenure.dev", "ConfigMap"]);
        assert!(reach.namespaces.is_empty());
        for (parent, told) in [
            (stored("applyset-x-v1", "kubectl/v1.32.4"), "is an apply set of \"kubectl/v1.32.4\""),
            (stored("applyset-y-v1", "tenure/v9"), "is \"applyset-y-v1\""),
            (json!({"metadata": {}}), "is no apply set"),
        ] {
            let error = set.reach(&parent).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
