//! What the roles permit to a user, and whether that covers a request or another role. Pure.

use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};

use super::aggregation;
use crate::registry::builtin::rbac::GROUP;
use crate::registry::{Key, Resource, Snapshot};
use crate::server::auth::user::{AUTHENTICATED, User};

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) verb: String,
    pub(crate) group: String,
    /// The plural, with `/subresource`. Empty: it is about `path`.
    pub(crate) resource: String,
    /// Empty: about what is in no namespace, or in all.
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) path: String,
}

impl Access {
    /// Access to an object.
    pub(crate) fn named(verb: &str, group: &str, resource: &str, namespace: &str, name: &str) -> Access {
        let text = str::to_owned;
        Access {
            verb: text(verb),
            group: text(group),
            resource: text(resource),
            namespace: text(namespace),
            name: text(name),
            path: String::new(),
        }
    }

    /// Access to a path outside of resources.
    pub(crate) fn path(verb: &str, path: &str) -> Access {
        Access { verb: verb.to_owned(), path: path.to_owned(), ..Access::default() }
    }
}

/// All rules that hold for `user` in `namespace` (empty: outside of all), whoever gave them.
pub(crate) fn rules_of(snapshot: &Snapshot, user: &User, namespace: &str) -> Vec<PolicyRule> {
    let mut rules = if user.is_in(AUTHENTICATED) { basic() } else { Vec::new() };
    for doc in snapshot.list(&resource("clusterrolebindings"), None) {
        let Ok(binding) = doc.typed::<ClusterRoleBinding>() else { continue };
        if binding.subjects.iter().flatten().any(|subject| is(subject, user, "")) {
            rules.extend(role(snapshot, &binding.role_ref, ""));
        }
    }
    if namespace.is_empty() {
        return rules;
    }
    for doc in snapshot.list(&resource("rolebindings"), Some(namespace)) {
        let Ok(binding) = doc.typed::<RoleBinding>() else { continue };
        if binding.subjects.iter().flatten().any(|subject| is(subject, user, namespace)) {
            rules.extend(role(snapshot, &binding.role_ref, namespace));
        }
    }
    rules
}

/// What everybody may who is somebody: find out what there is, and who and what they are here.
fn basic() -> Vec<PolicyRule> {
    let texts = |texts: &[&str]| Some(texts.iter().map(|&text| text.to_owned()).collect());
    let create = |group: &str, resources: &[&str]| PolicyRule {
        verbs: vec!["create".to_owned()],
        api_groups: texts(&[group]),
        resources: texts(resources),
        ..PolicyRule::default()
    };
    vec![
        PolicyRule {
            verbs: vec!["get".to_owned()],
            non_resource_urls: texts(&[
                "/",
                "/api",
                "/api/*",
                "/apis",
                "/apis/*",
                "/openapi/*",
                "/version",
                "/version/*",
            ]),
            ..PolicyRule::default()
        },
        create("authorization.k8s.io", &["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
        create("authentication.k8s.io", &["selfsubjectreviews"]),
    ]
}

/// The rules of the role that `reference` names; none when there is no such role.
pub(crate) fn role(snapshot: &Snapshot, reference: &RoleRef, namespace: &str) -> Vec<PolicyRule> {
    let rules = match reference.kind.as_str() {
        "ClusterRole" => return aggregation::rules(snapshot, &reference.name),
        "Role" if !namespace.is_empty() => {
            let doc = snapshot.get(&Key::new(&resource("roles"), namespace, &reference.name));
            doc.and_then(|doc| doc.typed::<Role>().ok()).and_then(|role| role.rules.clone())
        }
        _ => None,
    };
    rules.unwrap_or_default()
}

fn resource(plural: &str) -> Resource {
    Resource::new(GROUP, plural)
}

fn is(subject: &Subject, user: &User, namespace: &str) -> bool {
    match subject.kind.as_str() {
        "User" => subject.name == user.name,
        "Group" => user.is_in(&subject.name),
        "ServiceAccount" => {
            let of = subject.namespace.as_deref().filter(|it| !it.is_empty()).unwrap_or(namespace);
            !of.is_empty() && user.name == format!("system:serviceaccount:{of}:{}", subject.name)
        }
        _ => false,
    }
}

/// Whether one of `rules` permits `ask`.
pub(crate) fn allows(rules: &[PolicyRule], ask: &Access) -> bool {
    rules.iter().any(|rule| permits(rule, ask))
}

fn permits(rule: &PolicyRule, ask: &Access) -> bool {
    if !has(Some(&rule.verbs), &ask.verb) {
        return false;
    }
    if ask.resource.is_empty() {
        let paths = rule.non_resource_urls.iter().flatten();
        return paths.into_iter().any(|known| match known.strip_suffix('*') {
            Some(start) => ask.path.starts_with(start),
            None => *known == ask.path,
        });
    }
    let names = rule.resource_names.as_deref().unwrap_or_default();
    has(rule.api_groups.as_ref(), &ask.group)
        && has_resource(rule, &ask.resource)
        && (names.is_empty() || names.contains(&ask.name))
}

fn has(list: Option<&Vec<String>>, wanted: &str) -> bool {
    list.is_some_and(|list| list.iter().any(|known| known == "*" || known == wanted))
}

fn has_resource(rule: &PolicyRule, resource: &str) -> bool {
    let part = resource.split_once('/').map(|(_, part)| format!("*/{part}"));
    let known = rule.resources.iter().flatten();
    known.into_iter().any(|known| known == "*" || known == resource || Some(known) == part.as_ref())
}

/// The parts of `wanted` that `held` does not cover, in words.
pub(crate) fn uncovered(held: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<String> {
    wanted
        .iter()
        .flat_map(parts)
        .filter(|part| !held.iter().any(|rule| covers(rule, part)))
        .map(|part| told(&part))
        .collect()
}

/// A rule as rules of one verb, one group, one resource, one name: each of these is covered by one rule or not at all.
fn parts(rule: &PolicyRule) -> Vec<PolicyRule> {
    let mut parts = Vec::new();
    for verb in &rule.verbs {
        for path in rule.non_resource_urls.iter().flatten() {
            parts.push(PolicyRule {
                verbs: vec![verb.clone()],
                non_resource_urls: Some(vec![path.clone()]),
                ..PolicyRule::default()
            });
        }
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                let names = rule.resource_names.clone().unwrap_or_default();
                let each: Vec<Option<Vec<String>>> = if names.is_empty() {
                    vec![None]
                } else {
                    names.into_iter().map(|name| Some(vec![name])).collect()
                };
                parts.extend(each.into_iter().map(|resource_names| PolicyRule {
                    verbs: vec![verb.clone()],
                    api_groups: Some(vec![group.clone()]),
                    resources: Some(vec![resource.clone()]),
                    resource_names,
                    non_resource_urls: None,
                }));
            }
        }
    }
    parts
}

fn covers(rule: &PolicyRule, part: &PolicyRule) -> bool {
    let first = |list: &Option<Vec<String>>| list.iter().flatten().next().cloned().unwrap_or_default();
    let ask = Access {
        verb: part.verbs.first().cloned().unwrap_or_default(),
        group: first(&part.api_groups),
        resource: first(&part.resources),
        name: first(&part.resource_names),
        namespace: String::new(),
        path: first(&part.non_resource_urls),
    };
    // All names are not covered by a rule about some.
    let all_names =
        part.resource_names.is_none() && rule.resource_names.as_ref().is_some_and(|it| !it.is_empty());
    !all_names && permits(rule, &ask)
}

fn told(part: &PolicyRule) -> String {
    let list = |name: &str, list: Option<&Vec<String>>| {
        list.filter(|list| !list.is_empty()).map(|list| format!("{name}:{list:?}"))
    };
    let fields = [
        list("APIGroups", part.api_groups.as_ref()),
        list("Resources", part.resources.as_ref()),
        list("ResourceNames", part.resource_names.as_ref()),
        list("NonResourceURLs", part.non_resource_urls.as_ref()),
        list("Verbs", Some(&part.verbs)),
    ];
    format!("{{{}}}", fields.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> PolicyRule {
        // verbs groups resources names | verbs paths
        let list = |text: &str| {
            (text != "-").then(|| text.split(',').map(|it| it.trim_matches('\'').to_owned()).collect())
        };
        let fields: Vec<&str> = text.split(' ').collect();
        match fields.as_slice() {
            [verbs, paths] => PolicyRule {
                verbs: list(verbs).unwrap(),
                non_resource_urls: list(paths),
                ..PolicyRule::default()
            },
            [verbs, groups, resources, names] => PolicyRule {
                verbs: list(verbs).unwrap(),
                api_groups: list(groups),
                resources: list(resources),
                resource_names: list(names),
                non_resource_urls: None,
            },
            _ => panic!("{text}"),
        }
    }

    fn access(text: &str) -> Access {
        let fields: Vec<&str> = text.split(' ').collect();
        let field = |at: usize| {
            fields.get(at).filter(|it| **it != "''").map(|it| (*it).to_owned()).unwrap_or_default()
        };
        match fields.len() {
            2 => Access { verb: field(0), path: field(1), ..Access::default() },
            _ => Access {
                verb: field(0),
                group: field(1),
                resource: field(2),
                name: field(3),
                ..Access::default()
            },
        }
    }

    #[test]
    fn a_rule_permits_what_it_names_and_nothing_else() {
        for (given, asked, permitted) in [
            ("get,list tenure.dev apps -", "get tenure.dev apps web", true),
            ("get,list tenure.dev apps -", "delete tenure.dev apps web", false),
            ("get '' apps -", "get tenure.dev apps web", false),
            ("get '' secrets -", "get '' secrets s", true),
            ("* * * -", "deletecollection x y ''", true),
            ("get tenure.dev apps -", "get tenure.dev apps/status web", false),
            ("get tenure.dev apps/status -", "get tenure.dev apps/status web", true),
            ("get tenure.dev */scale -", "get tenure.dev apps/scale web", true),
            ("get tenure.dev * -", "get tenure.dev apps/scale web", true),
            ("get tenure.dev apps web,db", "get tenure.dev apps db", true),
            ("get tenure.dev apps web,db", "get tenure.dev apps other", false),
            ("list tenure.dev apps web", "list tenure.dev apps ''", false),
            ("get /metrics", "get /metrics", true),
            ("get /metrics", "get /metrics/x", false),
            ("get /logs/*", "get /logs/x", true),
            ("* * * -", "get /metrics", false),
        ] {
            assert_eq!(allows(&[rule(given)], &access(asked)), permitted, "{given}: {asked}");
        }
    }

    #[test]
    fn a_role_is_covered_part_by_part() {
        let held =
            [rule("get,list tenure.dev apps -"), rule("get tenure.dev tasks a,b"), rule("get /metrics")];
        for (wanted, missing) in [
            ("get tenure.dev apps -", 0),
            ("get,list tenure.dev apps web", 0),
            ("get,delete tenure.dev apps -", 1),
            ("get tenure.dev apps,tasks -", 1),
            ("get tenure.dev tasks a", 0),
            ("get tenure.dev tasks a,c", 1),
            ("* tenure.dev apps -", 1),
            ("get * apps -", 1),
            ("get /metrics", 0),
            ("get /*", 1),
        ] {
            assert_eq!(uncovered(&held, &[rule(wanted)]).len(), missing, "{wanted}");
        }
        assert_eq!(
            uncovered(&held, &[rule("delete tenure.dev apps -")]),
            [r#"{APIGroups:["tenure.dev"], Resources:["apps"], Verbs:["delete"]}"#]
        );
        assert!(uncovered(&[rule("* * * -"), rule("* *")], &held).is_empty());
    }
}
