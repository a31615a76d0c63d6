//! ClusterRoles that gather the rules of others by their labels, so that whoever brings a kind also brings who may see it.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector as Selector;
use serde_json::Value;

use crate::registry::builtin::rbac::GROUP;
use crate::registry::selector::LabelSelector;
use crate::registry::{Key, Resource, Snapshot};

/// The rules of the ClusterRole `name`: its own, and those that it gathers, as they are now.
pub(crate) fn rules(snapshot: &Snapshot, name: &str) -> Vec<PolicyRule> {
    let mut rules = Vec::new();
    gather(snapshot, name, &mut BTreeSet::new(), &mut rules);
    rules
}

/// Adds the rules of `name` to `rules`, unless it is one of `seen`: roles may gather each other.
fn gather(snapshot: &Snapshot, name: &str, seen: &mut BTreeSet<String>, rules: &mut Vec<PolicyRule>) {
    if !seen.insert(name.to_owned()) {
        return;
    }
    let resource = Resource::new(GROUP, "clusterroles");
    let Some(doc) = snapshot.get(&Key::new(&resource, "", name)) else { return };
    let Ok(role) = doc.typed::<ClusterRole>() else { return };
    rules.extend(role.rules.iter().flatten().cloned());
    let selectors = role.aggregation_rule.iter().filter_map(|it| it.cluster_role_selectors.as_ref());
    // One that selects nothing in particular selects nothing at all.
    let selectors: Vec<LabelSelector> = selectors.flatten().filter_map(parsed).collect();
    if selectors.is_empty() {
        return;
    }
    for other in snapshot.list(&resource, None) {
        if selectors.iter().any(|selector| selector.matches(&other.meta().labels)) {
            gather(snapshot, &other.key().name, seen, rules);
        }
    }
}

/// Whether `role` gathers anything.
pub(super) fn gathers(role: &Value) -> bool {
    role["aggregationRule"]["clusterRoleSelectors"].as_array().is_some_and(|it| !it.is_empty())
}

/// The same selector as a query spells it; none if it is empty or cannot be read.
fn parsed(selector: &Selector) -> Option<LabelSelector> {
    let labels = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    let expressions = selector.match_expressions.iter().flatten().map(|it| {
        let values = it.values.iter().flatten().cloned().collect::<Vec<_>>().join(",");
        match it.operator.as_str() {
            "In" => format!("{} in ({values})", it.key),
            "NotIn" => format!("{} notin ({values})", it.key),
            "Exists" => it.key.clone(),
            "DoesNotExist" => format!("!{}", it.key),
            other => format!("{} {other}", it.key),
        }
    });
    let text = labels.chain(expressions).collect::<Vec<_>>().join(",");
    LabelSelector::parse(&text).ok().filter(|selector| !selector.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::registry::Doc;

    fn role(name: &str, labels: Value, resource: &str, selectors: Value) -> Arc<Doc> {
        let rules = match resource {
            "" => json!([]),
            resource => json!([{"verbs": ["get"], "apiGroups": [""], "resources": [resource]}]),
        };
        let stored = json!({"metadata": {"name": name, "labels": labels}, "rules": rules,
            "aggregationRule": {"clusterRoleSelectors": selectors}});
        let key = Key::new(&Resource::new(GROUP, "clusterroles"), "", name);
        Arc::new(Doc::from_stored(key, 1, stored.to_string().as_bytes()).unwrap())
    }

    fn shown(snapshot: &Snapshot, name: &str) -> String {
        let rules = rules(snapshot, name);
        rules.iter().flat_map(|it| it.resources.clone().unwrap_or_default()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_role_has_its_rules_and_those_that_it_gathers_however_far() {
        let snapshot = Snapshot::of(
            1,
            [
                role(
                    "view",
                    json!({"to-edit": "true"}),
                    "apps",
                    json!([{"matchLabels": {"to-view": "true"}}]),
                ),
                role("edit", json!({"to-view": "false"}), "", json!([{"matchLabels": {"to-edit": "true"}}])),
                role("plugin", json!({"to-view": "true"}), "backups", json!([])),
                role(
                    "any",
                    json!({"to-view": "true", "to-edit": "true"}),
                    "",
                    json!([
                        {"matchExpressions": [{"key": "to-view", "operator": "In", "values": ["true"]}]},
                        {"matchExpressions": [{"key": "to-edit", "operator": "Strange"}]},
                        {},
                    ]),
                ),
            ],
        );
        assert_eq!(shown(&snapshot, "view"), "apps backups");
        assert_eq!(shown(&snapshot, "edit"), "backups apps", "each once, though some gather each other");
        assert_eq!(shown(&snapshot, "plugin"), "backups");
        assert_eq!(shown(&snapshot, "any"), "backups", "what selects nothing in particular gathers nothing");
        assert_eq!(shown(&snapshot, "absent"), "");
    }
}
