//! What the server serves, told in the two ways that clients ask for: group by group, and all at once.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::accept::AGGREGATED;
use super::facade;
use super::published::Published;
use crate::api;
use crate::registry::KindDef;

/// What can be done with a kind.
const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// What can be done with namespaces.
const NAMESPACE_VERBS: [&str; 7] = ["create", "delete", "get", "list", "patch", "update", "watch"];
/// What can be done with a kind that is only there to be read.
const READ_VERBS: [&str; 3] = ["get", "list", "watch"];
/// And with one that has no history.
const LOOK_VERBS: [&str; 2] = ["get", "list"];
/// What can be done with a subresource.
const SUBRESOURCE_VERBS: [&str; 3] = ["get", "patch", "update"];

/// The documents of all served kinds.
#[derive(Debug)]
pub(crate) struct Discovery {
    /// `/api`
    pub(crate) core_versions: Published,
    /// `/apis`
    pub(crate) groups: Published,
    /// `/apis/<group>`
    pub(crate) group: BTreeMap<String, Published>,
    /// `/api/v1`, `/apis/<group>/<version>`
    pub(crate) resources: BTreeMap<(String, String), Published>,
    /// `/api` and `/apis` at each of [`AGGREGATED`].
    pub(crate) aggregated_core: Vec<Published>,
    pub(crate) aggregated_groups: Vec<Published>,
}

impl Discovery {
    pub(crate) fn of(kinds: &[&KindDef]) -> Discovery {
        let groups = groups(kinds);
        let named: Vec<&Group<'_>> = groups.iter().filter(|group| !group.name.is_empty()).collect();
        let core: Vec<&Group<'_>> = groups.iter().filter(|group| group.name.is_empty()).collect();
        let list: Vec<Value> = named.iter().map(|group| group.element()).collect();
        let resources = groups.iter().flat_map(|group| {
            group.versions.iter().map(|(version, kinds)| {
                let list = Published::json(&resource_list(group.name, version, kinds));
                ((group.name.to_owned(), (*version).to_owned()), list)
            })
        });
        Discovery {
            core_versions: Published::json(&json!({
                "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [],
            })),
            groups: Published::json(&json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": list })),
            group: named
                .iter()
                .map(|group| (group.name.to_owned(), Published::json(&group.document())))
                .collect(),
            resources: resources.collect(),
            aggregated_core: AGGREGATED.map(|version| aggregated(&core, version)).to_vec(),
            aggregated_groups: AGGREGATED.map(|version| aggregated(&named, version)).to_vec(),
        }
    }
}

/// A group and its kinds by version.
struct Group<'a> {
    name: &'a str,
    versions: BTreeMap<&'a str, Vec<&'a KindDef>>,
}

/// Ours first: the order is that in which `kubectl get apps` tries the groups.
fn groups<'k>(kinds: &[&'k KindDef]) -> Vec<Group<'k>> {
    let mut groups: BTreeMap<&str, Group<'k>> = BTreeMap::new();
    for kind in kinds {
        let group = groups
            .entry(&kind.group)
            .or_insert_with(|| Group { name: &kind.group, versions: BTreeMap::new() });
        group.versions.entry(&kind.version).or_default().push(kind);
    }
    let mut groups: Vec<Group<'k>> = groups.into_values().collect();
    groups.sort_by_key(|group| group.name != api::GROUP);
    groups
}

impl Group<'_> {
    fn element(&self) -> Value {
        let named =
            |version: &&str| json!({"groupVersion": format!("{}/{version}", self.name), "version": version});
        let mut names: Vec<&str> = self.versions.keys().copied().collect();
        names.sort_by_key(|name| priority(name));
        let versions: Vec<Value> = names.iter().map(named).collect();
        json!({"name": self.name, "preferredVersion": versions.first(), "versions": versions})
    }

    fn document(&self) -> Value {
        let mut document = self.element();
        document["kind"] = json!("APIGroup");
        document["apiVersion"] = json!("v1");
        document
    }
}

/// Orders versions as Kubernetes does: v10, v2, v1, v2beta1, v1alpha1, and what is not called so by name.
fn priority(version: &str) -> (u8, Reverse<u32>, Reverse<u32>, String) {
    let parsed = version.strip_prefix('v').and_then(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (major, rest) = rest.split_at(end);
        let stages = [(0, ""), (1, "beta"), (2, "alpha")];
        let (stage, minor) =
            stages.iter().rev().find_map(|(stage, word)| Some((*stage, rest.strip_prefix(word)?)))?;
        let minor = if minor.is_empty() && stage == 0 { 0 } else { minor.parse().ok()? };
        Some((stage, Reverse(major.parse().ok()?), Reverse(minor), String::new()))
    });
    parsed.unwrap_or((3, Reverse(0), Reverse(0), version.to_owned()))
}

fn resource_list(group: &str, version: &str, kinds: &[&KindDef]) -> Value {
    let resources: Vec<Value> = kinds.iter().flat_map(|kind| resources(kind)).collect();
    let version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources})
}

fn verbs(kind: &KindDef) -> &'static [&'static str] {
    match () {
        () if facade::is_live(kind) => &LOOK_VERBS,
        () if facade::is_read_only(kind) => &READ_VERBS,
        () if facade::is_review(kind) => &["create"],
        () if kind.holds_by_spec => &NAMESPACE_VERBS,
        () => &VERBS,
    }
}

/// A kind and its subresources, a row each.
fn resources(kind: &KindDef) -> Vec<Value> {
    let mut main = json!({
        "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind,
        "verbs": verbs(kind),
    });
    add_names(&mut main, kind);
    let mut rows = vec![main];
    if kind.status {
        rows.push(json!({
            "name": format!("{}/status", kind.plural), "singularName": "", "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": SUBRESOURCE_VERBS,
        }));
    }
    if kind.holds_by_spec {
        rows.push(json!({
            "name": format!("{}/finalize", kind.plural), "singularName": "", "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": ["update"],
        }));
    }
    if (kind.group.as_str(), kind.kind.as_str()) == ("", "ServiceAccount") {
        rows.push(json!({
            "name": "serviceaccounts/token", "singularName": "", "namespaced": true, "group": "authentication.k8s.io",
            "version": "v1", "kind": "TokenRequest", "verbs": ["create"],
        }));
    }
    if kind.scale.is_some() {
        rows.push(json!({
            "name": format!("{}/scale", kind.plural), "singularName": "", "namespaced": kind.namespaced,
            "group": "autoscaling", "version": "v1", "kind": "Scale", "verbs": SUBRESOURCE_VERBS,
        }));
    }
    rows
}

fn add_names(row: &mut Value, kind: &KindDef) {
    for (key, names) in [("shortNames", &kind.short_names), ("categories", &kind.categories)] {
        if !names.is_empty() {
            row[key] = json!(names);
        }
    }
}

fn aggregated(groups: &[&Group<'_>], version: &str) -> Published {
    let items: Vec<Value> = groups
        .iter()
        .map(|group| {
            let metadata = if group.name.is_empty() { json!({}) } else { json!({ "name": group.name }) };
            let mut sorted: Vec<_> = group.versions.iter().collect();
            sorted.sort_by_key(|(version, _)| priority(version));
            let versions: Vec<Value> = sorted
                .into_iter()
                .map(|(version, kinds)| {
                    let resources: Vec<Value> = kinds.iter().map(|kind| aggregated_resource(kind)).collect();
                    json!({"version": version, "freshness": "Current", "resources": resources})
                })
                .collect();
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    Published::json(&json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {}, "items": items,
    }))
}

fn aggregated_resource(kind: &KindDef) -> Value {
    let own = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
    let scale = json!({"group": "autoscaling", "version": "v1", "kind": "Scale"});
    let parts = [("status", kind.status, &own), ("scale", kind.scale.is_some(), &scale)];
    let subresources: Vec<Value> = parts
        .into_iter()
        .filter(|(_, served, _)| *served)
        .map(|(name, _, kind)| json!({"subresource": name, "responseKind": kind, "verbs": SUBRESOURCE_VERBS}))
        .collect();
    let mut subresources = subresources;
    if kind.holds_by_spec {
        subresources.push(json!({"subresource": "finalize", "responseKind": own, "verbs": ["update"]}));
    }
    if (kind.group.as_str(), kind.kind.as_str()) == ("", "ServiceAccount") {
        let request = json!({"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"});
        subresources.push(json!({"subresource": "token", "responseKind": request, "verbs": ["create"]}));
    }
    let mut row = json!({
        "resource": kind.plural, "responseKind": own, "singularResource": kind.singular,
        "verbs": verbs(kind),
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
    });
    add_names(&mut row, kind);
    if !subresources.is_empty() {
        row["subresources"] = json!(subresources);
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_and_newer_versions_come_first() {
        let mut versions =
            ["v1alpha1", "foo10", "v1", "v2beta1", "v10", "v3beta12", "v2", "v3beta2", "v11alpha2"];
        versions.sort_by_key(|version| priority(version));
        assert_eq!(
            versions,
            ["v10", "v2", "v1", "v3beta12", "v3beta2", "v2beta1", "v11alpha2", "v1alpha1", "foo10"]
        );
    }
}
