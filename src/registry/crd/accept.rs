//! Which definitions are served under which names, and what their status says of it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionCondition, CustomResourceDefinitionStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::kinds;
use crate::registry::kind::KindDef;
use crate::registry::scheme::Scheme;

const ESTABLISHED: &str = "Established";
const NAMES_ACCEPTED: &str = "NamesAccepted";
const TERMINATING: &str = "Terminating";

/// What becomes of all definitions.
pub(super) struct Accepted {
    /// The built-in kinds and those of the definitions.
    pub scheme: Scheme,
    /// By the name of the definition.
    pub status: BTreeMap<String, CustomResourceDefinitionStatus>,
}

/// Serves what it can of `definitions` beside the kinds of `built_in`. Who has its names keeps them; of others the older
/// comes first.
pub(super) fn accept(
    built_in: &Scheme,
    definitions: &[Arc<CustomResourceDefinition>],
    now: Timestamp,
) -> Accepted {
    let mut sorted: Vec<&Arc<CustomResourceDefinition>> = definitions.iter().collect();
    sorted.sort_by_key(|it| (!is(it, NAMES_ACCEPTED), &it.metadata.creation_timestamp, &it.metadata.name));
    let (mut scheme, mut status) = (built_in.clone(), BTreeMap::new());
    let mut taken: BTreeSet<(String, String)> = built_in.iter().flat_map(|kind| names(kind)).collect();
    for definition in sorted {
        let name = definition.metadata.name.clone().unwrap_or_default();
        let verdict = match kinds(definition) {
            Err(error) => Verdict::Unserved(chain(&error)),
            Ok(kinds) => match kinds.iter().flat_map(names).find(|name| taken.contains(name)) {
                Some((_, name)) => Verdict::Conflict(name),
                None => {
                    taken.extend(kinds.iter().flat_map(names));
                    let mut kinds = kinds.into_iter();
                    kinds.next().into_iter().for_each(|kept| scheme.insert(kept));
                    kinds.for_each(|face| scheme.insert_face(face));
                    Verdict::Served
                }
            },
        };
        status.insert(name, told(definition, &verdict, now));
    }
    Accepted { scheme, status }
}

enum Verdict {
    Served,
    /// Another kind of the group has this name.
    Conflict(String),
    /// It was stored when other rules were in force.
    Unserved(String),
}

/// Whatever a kind can be asked for by in its group; kinds apart from plurals and their like.
fn names(kind: &KindDef) -> Vec<(String, String)> {
    let resource = [&kind.plural, &kind.singular].into_iter().chain(&kind.short_names);
    let kinds = [&kind.kind, &kind.list_kind];
    let all: BTreeSet<&String> = resource.chain(kinds).collect();
    all.into_iter().map(|name| (kind.group.clone(), name.clone())).collect()
}

fn is(definition: &CustomResourceDefinition, type_: &str) -> bool {
    let conditions = definition.status.as_ref().and_then(|it| it.conditions.as_ref());
    conditions.into_iter().flatten().any(|it| it.type_ == type_ && it.status == "True")
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

fn told(
    definition: &CustomResourceDefinition,
    verdict: &Verdict,
    now: Timestamp,
) -> CustomResourceDefinitionStatus {
    let before = definition.status.clone().unwrap_or_default();
    let mut conditions = before.conditions.unwrap_or_default();
    let mut set = |type_: &str, holds: bool, reason: &str, message: &str| {
        let status = if holds { "True" } else { "False" };
        let old = conditions.iter().position(|it| it.type_ == type_);
        let since = old.map(|at| conditions.remove(at)).filter(|it| it.status == status);
        let since = since.and_then(|it| it.last_transition_time).unwrap_or_else(|| Time(seconds(now)));
        conditions.push(CustomResourceDefinitionCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_transition_time: Some(since),
        });
    };
    match verdict {
        Verdict::Served => {
            set(NAMES_ACCEPTED, true, "NoConflicts", "no conflicts found");
            set(ESTABLISHED, true, "InitialNamesAccepted", "the initial names have been accepted");
        }
        Verdict::Conflict(name) => {
            set(NAMES_ACCEPTED, false, "NamesConflict", &format!("{name:?} is already in use"));
            set(ESTABLISHED, false, "NotAccepted", "not all names are accepted");
        }
        Verdict::Unserved(why) => {
            set(ESTABLISHED, false, "NotSupported", why);
        }
    }
    if definition.metadata.deletion_timestamp.is_some() {
        let text = "CustomResource deletion is in progress";
        set(TERMINATING, true, "InstanceDeletionInProgress", text);
    }
    let mut stored_versions = before.stored_versions.unwrap_or_default();
    let stored = definition.spec.versions.iter().find(|version| version.storage).map(|it| &it.name);
    if let Some(stored) = stored.filter(|stored| !stored_versions.contains(stored)) {
        stored_versions.push(stored.clone());
    }
    let names = matches!(verdict, Verdict::Served).then(|| definition.spec.names.clone());
    CustomResourceDefinitionStatus {
        conditions: Some(conditions),
        accepted_names: names.or(before.accepted_names),
        stored_versions: Some(stored_versions),
    }
}

/// Times in status have no fractions.
fn seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(plural: &str, kind: &str, created: i64) -> Arc<CustomResourceDefinition> {
        let schema = json!({"openAPIV3Schema": {"type": "object"}});
        let definition = json!({
            "metadata": {"name": format!("{plural}.example.com"),
                "creationTimestamp": Timestamp::from_second(created).unwrap().to_string()},
            "spec": {"group": "example.com", "scope": "Namespaced",
                "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
                "versions": [
                    {"name": "v1", "served": true, "storage": true, "schema": schema},
                    {"name": "v1beta1", "served": true, "storage": false, "schema": schema},
                ]},
        });
        Arc::new(serde_json::from_value(definition).unwrap())
    }

    fn conditions(status: &CustomResourceDefinitionStatus) -> Vec<String> {
        let conditions = status.conditions.iter().flatten();
        conditions.map(|it| format!("{}={} {}", it.type_, it.status, it.message.as_ref().unwrap())).collect()
    }

    #[test]
    fn the_older_of_two_gets_a_name_and_keeps_it() {
        let (old, new) = (definition("widgets", "Widget", 1), definition("gadgets", "Widget", 2));
        let now = Timestamp::from_second(9).unwrap();
        let accepted = accept(&Scheme::default(), &[new.clone(), old.clone()], now);
        assert_eq!(
            conditions(&accepted.status["gadgets.example.com"]),
            [
                "NamesAccepted=False \"Widget\" is already in use",
                "Established=False not all names are accepted"
            ]
        );
        assert!(conditions(&accepted.status["widgets.example.com"])[1].starts_with("Established=True"));
        assert!(accepted.scheme.by_route("example.com", "v1beta1", "widgets").is_some());
        assert!(accepted.scheme.by_route("example.com", "v1", "gadgets").is_none());

        // Whoever has its names is not driven out by one that is older.
        let mut holder = (*new).clone();
        let alone = accept(&Scheme::default(), &[new], now);
        holder.status = Some(alone.status["gadgets.example.com"].clone());
        let accepted = accept(&Scheme::default(), &[old, Arc::new(holder.clone())], now);
        assert_eq!(accepted.status["gadgets.example.com"], holder.status.unwrap());
        assert!(accepted.scheme.by_route("example.com", "v1", "widgets").is_none());
    }
}
