//! Who may do what: by Roles, ClusterRoles and their bindings, and by nothing else. What no role permits is denied.
//!
//! Nobody can give more than they have: who writes a role must hold what is in it, who writes a binding the role that it
//! gives, who writes a token the right to be whom it stands for.

mod aggregation;
pub(crate) mod rules;

use std::sync::Arc;

use k8s_openapi::api::rbac::v1::{PolicyRule, RoleRef};
use serde_json::Value;

use self::rules::{Access, allows, role, rules_of, uncovered};
use super::auth::stored;
use super::auth::user::User;
use crate::registry::builtin::rbac::GROUP;
use crate::registry::builtin::token;
use crate::registry::options::Admission;
use crate::registry::{Failure, KindDef, Registry, Snapshot};

/// Whether `user` may do what is asked.
pub(crate) fn may(snapshot: &Snapshot, user: &User, ask: &Access) -> bool {
    user.is_master() || allows(&rules_of(snapshot, user, &ask.namespace), ask)
}

/// Lets pass what `user` may do.
///
/// # Errors
/// 403, saying who may not do what.
pub(crate) fn check(snapshot: &Snapshot, user: &User, ask: &Access) -> Result<(), Failure> {
    if may(snapshot, user, ask) { Ok(()) } else { Err(denied(user, ask)) }
}

fn denied(user: &User, ask: &Access) -> Failure {
    let who = format!("User {:?} cannot {}", user.name, ask.verb);
    if ask.resource.is_empty() {
        return Failure::forbidden_path(&format!("{who} path {:?}", ask.path));
    }
    let place = match ask.namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    let plural = ask.resource.split('/').next().unwrap_or_default();
    let text = format!("{who} resource {:?} in API group {:?} {place}", ask.resource, ask.group);
    Failure::forbidden(&ask.group, plural, &ask.name, &text)
}

/// What must hold of an object of `kind` that `user` writes, known only when it is about to be stored.
pub(crate) fn admission(registry: &Arc<Registry>, user: &User, kind: &KindDef, namespace: &str) -> Admission {
    let gives = kind.group == GROUP || (kind.group.is_empty() && kind.kind == "Secret");
    if user.is_master() {
        return Admission::default();
    }
    let (registry, user, namespace) = (registry.clone(), user.clone(), namespace.to_owned());
    let create = Access::named("create", &kind.group, &kind.plural, &namespace, "");
    let (kind, group, plural) = (kind.kind.clone(), kind.group.clone(), kind.plural.clone());
    Admission::new(move |new: &Value, old: Option<&Value>| {
        let snapshot = registry.cache().snapshot();
        if old.is_none() {
            // An apply that creates is a patch by name.
            check(&snapshot, &user, &create)?;
        }
        if !gives {
            return Ok(());
        }
        let giver = Giver { snapshot: &snapshot, user: &user, namespace: &namespace };
        let missing = match kind.as_str() {
            "Role" | "ClusterRole" => giver.of_role(&plural, new, old),
            "RoleBinding" | "ClusterRoleBinding" => giver.of_binding(new),
            _ => giver.of_token(new),
        };
        if missing.is_empty() {
            return Ok(());
        }
        let name = new["metadata"]["name"].as_str().unwrap_or_default();
        let text = format!(
            "user {:?} (groups={:?}) is attempting to grant RBAC permissions not currently held:\n{}",
            user.name,
            user.groups,
            missing.join("\n")
        );
        Err(Failure::forbidden(&group, &plural, name, &text))
    })
}

/// What cluster-admin may.
fn everything() -> [PolicyRule; 2] {
    let all = || Some(vec!["*".to_owned()]);
    let verbs = || vec!["*".to_owned()];
    let resources =
        PolicyRule { verbs: verbs(), api_groups: all(), resources: all(), ..PolicyRule::default() };
    [resources, PolicyRule { verbs: verbs(), non_resource_urls: all(), ..PolicyRule::default() }]
}

/// Somebody who gives permissions to others.
struct Giver<'a> {
    snapshot: &'a Snapshot,
    user: &'a User,
    namespace: &'a str,
}

impl Giver<'_> {
    fn may(&self, verb: &str, resource: &str, name: &str) -> bool {
        let access = Access::named(verb, GROUP, resource, self.namespace, name);
        may(self.snapshot, self.user, &access)
    }

    fn held(&self) -> Vec<PolicyRule> {
        rules_of(self.snapshot, self.user, self.namespace)
    }

    fn of_role(&self, plural: &str, new: &Value, old: Option<&Value>) -> Vec<String> {
        // Labels may be changed by whoever may change labels.
        let same = |field: &str| old.is_some_and(|old| old.get(field) == new.get(field));
        if same("rules") && same("aggregationRule") {
            return Vec::new();
        }
        let name = new["metadata"]["name"].as_str().unwrap_or_default();
        if self.may("escalate", plural, name) {
            return Vec::new();
        }
        if aggregation::gathers(new) && !uncovered(&self.held(), &everything()).is_empty() {
            // It may come to gather anything.
            return vec!["must have cluster-admin privileges to use an aggregationRule".to_owned()];
        }
        let rules = new.get("rules").cloned().unwrap_or_default();
        let wanted: Vec<PolicyRule> = serde_json::from_value(rules).unwrap_or_default();
        uncovered(&self.held(), &wanted)
    }

    fn of_binding(&self, new: &Value) -> Vec<String> {
        let Ok(reference) = serde_json::from_value::<RoleRef>(new["roleRef"].clone()) else {
            return vec!["roleRef cannot be read".to_owned()];
        };
        let plural = if reference.kind == "Role" { "roles" } else { "clusterroles" };
        if self.may("bind", plural, &reference.name) {
            return Vec::new();
        }
        let wanted = role(self.snapshot, &reference, self.namespace);
        if wanted.is_empty() {
            // It may come to say something later.
            return vec![format!("{} {:?} is not there", reference.kind, reference.name)];
        }
        uncovered(&self.held(), &wanted)
    }

    fn of_token(&self, new: &Value) -> Vec<String> {
        if new["type"] != token::TYPE {
            return Vec::new();
        }
        let (user, groups) = stored::subject(new);
        let may = |plural: &str, name: &str| {
            may(self.snapshot, self.user, &Access::named("impersonate", "", plural, "", name))
        };
        let users = (!may("users", &user)).then(|| format!("to be user {user:?}"));
        let groups = groups.iter().filter(|group| !may("groups", group));
        users.into_iter().chain(groups.map(|group| format!("to be in group {group:?}"))).collect()
    }
}
