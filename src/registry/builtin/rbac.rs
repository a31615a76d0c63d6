//! Roles and their bindings: who may do what.

use serde_json::{Map, Value, json};

use super::{columns, core, object, text};
use crate::registry::crd::CrdError;
use crate::registry::field::FieldError;
use crate::registry::key::Resource;
use crate::registry::kind::KindDef;
use crate::registry::names::NameRule;

/// The group of roles.
pub const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn kinds() -> Result<Vec<KindDef>, CrdError> {
    let role = |description| object(description, json!({"rules": rules()}));
    let binding = |description| object(description, json!({"subjects": subjects(), "roleRef": role_ref()}));
    let mut gathering = role("Permissions that can be given anywhere.");
    gathering["properties"]["aggregationRule"] = aggregation_rule();
    Ok(vec![
        kind("Role", "roles", true, role("Permissions within a namespace."))?,
        kind("ClusterRole", "clusterroles", false, gathering)?,
        kind("RoleBinding", "rolebindings", true, binding("Gives a role within its namespace."))?,
        kind("ClusterRoleBinding", "clusterrolebindings", false, binding("Gives a ClusterRole everywhere."))?,
    ])
}

/// The ClusterRoles that an installation begins with. They are made when they are missing, and people may change them. As in
/// Kubernetes, `view`, `edit` and `admin` also have what is in ClusterRoles with a label such as
/// `rbac.authorization.k8s.io/aggregate-to-view: "true"`, and what one of them has, the next has too.
#[must_use]
pub fn default_roles() -> Vec<(&'static str, Value)> {
    let read = ["get", "list", "watch"];
    let write = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
    let rule = |verbs: &[&str], group: &str, resources: &[&str]| json!({"verbs": verbs, "apiGroups": [group], "resources": resources});
    let seen = |verbs: &[&str]| {
        vec![
            rule(verbs, "tenure.dev", &["apps", "apps/scale"]),
            rule(&read, "tenure.dev", &["apps/status", "tasks", "tasks/log", "revisions", "endpoints"]),
            rule(verbs, "", &["configmaps"]),
            rule(&read, "", &["events", "namespaces", "serviceaccounts", "services"]),
            rule(&read, "events.k8s.io", &["events"]),
        ]
    };
    let mut edit = seen(&write);
    edit.push(rule(&write, "", &["secrets", "serviceaccounts"]));
    edit.push(rule(&["delete", "deletecollection"], "tenure.dev", &["tasks"]));
    edit.push(rule(&["create"], "tenure.dev", &["tasks/exec"]));
    edit.push(rule(&write, "coordination.k8s.io", &["leases"]));
    let mut admin = edit.clone();
    admin.push(rule(&write, GROUP, &["roles", "rolebindings"]));
    admin.push(rule(&["create"], "authorization.k8s.io", &["localsubjectaccessreviews"]));
    admin.push(rule(&["create"], "", &["serviceaccounts/token"]));
    let everything = vec![rule(&["*"], "*", &["*"]), json!({"verbs": ["*"], "nonResourceURLs": ["*"]})];
    let label = |to: &str| format!("{GROUP}/aggregate-to-{to}");
    let gathering = |name: &'static str, rules: Vec<Value>, next: Option<&str>| {
        let labels: Map<String, Value> = next.map(|next| (label(next), json!("true"))).into_iter().collect();
        let selectors = json!([{"matchLabels": {(label(name)): "true"}}]);
        let role = json!({"metadata": {"name": name, "labels": labels}, "rules": rules,
            "aggregationRule": {"clusterRoleSelectors": selectors}});
        (name, role)
    };
    vec![
        gathering("admin", admin, None),
        ("cluster-admin", json!({"metadata": {"name": "cluster-admin"}, "rules": everything})),
        gathering("edit", edit, Some("admin")),
        gathering("view", seen(&read), Some("edit")),
    ]
}

fn aggregation_rule() -> Value {
    let expression = json!({"type": "object", "required": ["key", "operator"], "properties": {
        "key": text("The label."),
        "operator": {"type": "string", "description": "In, NotIn, Exists or DoesNotExist.",
            "enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
        "values": texts("What it is compared with."),
    }});
    let selector = json!({"type": "object", "properties": {
        "matchLabels": {"type": "object", "description": "Labels that must be so.",
            "additionalProperties": {"type": "string"}},
        "matchExpressions": {"type": "array", "description": "What must hold of labels.", "items": expression},
    }});
    json!({"type": "object", "description": "Other ClusterRoles whose rules belong to this one as well.", "properties": {
        "clusterRoleSelectors": {"type": "array", "description": "Which: those that any of these selects.",
            "items": selector},
    }})
}

fn kind(name: &str, plural: &str, namespaced: bool, schema: Value) -> Result<KindDef, CrdError> {
    let mut kind = core(name, plural, &[], schema)?;
    kind.group = GROUP.to_owned();
    kind.resource = Resource::new(GROUP, plural);
    kind.namespaced = namespaced;
    // Colons and capitals stand in the names of roles: system:discovery.
    kind.name_rule = NameRule::Segment;
    if plural.ends_with("bindings") {
        kind.columns = columns::binding();
        kind.prepare = Some(prepare);
        kind.rules = Some(binding_faults);
    } else {
        kind.columns = vec![columns::created_at()];
        kind.rules = Some(role_faults);
    }
    Ok(kind)
}

fn texts(description: &str) -> Value {
    json!({"type": "array", "description": description, "items": {"type": "string"}})
}

fn rules() -> Value {
    json!({"type": "array", "description": "What is permitted.", "items": {
    "type": "object", "required": ["verbs"], "properties": {
        "verbs": texts("Such as get, list or *."),
        "apiGroups": texts("Groups of the resources; the core group is empty."),
        "resources": texts("Plurals, with /subresource; * for all."),
        "resourceNames": texts("If given, objects of these names only."),
        "nonResourceURLs": texts("Paths outside of resources, such as /metrics; only in a ClusterRole."),
    }}})
}

fn subjects() -> Value {
    json!({"type": "array", "description": "Who gets it.", "items": {
    "type": "object", "required": ["kind", "name"], "properties": {
        "kind": {"type": "string", "description": "User, Group or ServiceAccount.",
            "enum": ["User", "Group", "ServiceAccount"]},
        "apiGroup": text("Empty for a ServiceAccount."),
        "name": text("Its name."),
        "namespace": text("Of a ServiceAccount."),
    }}})
}

fn role_ref() -> Value {
    json!({"type": "object", "description": "What they get.", "required": ["kind", "name"], "properties": {
        "apiGroup": text("The group of roles."),
        "kind": {"type": "string", "description": "Role or ClusterRole.", "enum": ["Role", "ClusterRole"]},
        "name": text("Its name."),
    }})
}

/// Fills in the groups that may be left out.
fn prepare(object: &mut Value) {
    if let Some(reference) = object.get_mut("roleRef").filter(|it| it.is_object())
        && reference["apiGroup"].as_str().unwrap_or_default().is_empty()
    {
        reference["apiGroup"] = json!(GROUP);
    }
    for subject in object.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
        let is_account = subject["kind"] == "ServiceAccount";
        if subject.is_object() && !is_account && subject["apiGroup"].as_str().unwrap_or_default().is_empty() {
            subject["apiGroup"] = json!(GROUP);
        }
    }
}

fn binding_faults(plural: &str, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut faults = Vec::new();
    let reference = &new["roleRef"];
    if new.get("roleRef").is_none() {
        faults.push(FieldError::required("roleRef", ""));
    }
    if plural == "clusterrolebindings" && reference["kind"] == "Role" {
        faults.push(FieldError::not_supported("roleRef.kind", "Role", &["ClusterRole"]));
    }
    if reference["name"].as_str().unwrap_or_default().is_empty() {
        faults.push(FieldError::required("roleRef.name", ""));
    }
    let group = reference["apiGroup"].as_str().unwrap_or_default();
    if group != GROUP && new.get("roleRef").is_some() {
        faults.push(FieldError::not_supported("roleRef.apiGroup", group, &[GROUP]));
    }
    if old.is_some_and(|old| &old["roleRef"] != reference) {
        faults.push(FieldError::invalid("roleRef", reference.clone(), "cannot change roleRef"));
    }
    for (at, subject) in new["subjects"].as_array().into_iter().flatten().enumerate() {
        let is_account = subject["kind"] == "ServiceAccount";
        if is_account && subject["namespace"].as_str().unwrap_or_default().is_empty() {
            faults.push(FieldError::required(format!("subjects[{at}].namespace"), ""));
        }
        let (group, known) =
            (subject["apiGroup"].as_str().unwrap_or_default(), if is_account { "" } else { GROUP });
        if group != known {
            faults.push(FieldError::not_supported(format!("subjects[{at}].apiGroup"), group, &[known]));
        }
        let (path, name) = (format!("subjects[{at}].name"), subject["name"].as_str().unwrap_or_default());
        if name.is_empty() {
            faults.push(FieldError::required(path, ""));
        } else if is_account {
            let wrong = NameRule::Subdomain.faults(name).into_iter();
            faults.extend(wrong.map(|why| FieldError::invalid(path.clone(), name, why)));
        }
    }
    faults
}

fn role_faults(plural: &str, new: &Value, _: Option<&Value>) -> Vec<FieldError> {
    let mut faults = Vec::new();
    for (at, rule) in new["rules"].as_array().into_iter().flatten().enumerate() {
        let given = |field: &str| rule[field].as_array().is_some_and(|list| !list.is_empty());
        let path = |field: &str| format!("rules[{at}].{field}");
        if !given("verbs") {
            faults.push(FieldError::required(path("verbs"), "verbs must contain at least one value"));
        }
        if given("nonResourceURLs") {
            let text = "namespaced rules cannot apply to non-resource URLs";
            if plural == "roles" {
                faults.push(FieldError::invalid(
                    path("nonResourceURLs"),
                    rule["nonResourceURLs"].clone(),
                    text,
                ));
            }
            if given("apiGroups") || given("resources") || given("resourceNames") {
                let text = "rules cannot apply to both regular resources and non-resource URLs";
                faults.push(FieldError::invalid(
                    path("nonResourceURLs"),
                    rule["nonResourceURLs"].clone(),
                    text,
                ));
            }
            continue;
        }
        for (field, text) in [
            ("apiGroups", "resource rules must supply at least one api group"),
            ("resources", "resource rules must supply at least one resource"),
        ] {
            if !given(field) {
                faults.push(FieldError::required(path(field), text));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_change_what_runs_may_run_commands_beside_it() {
        let names = |rule: &Value, field: &str, name: &str| {
            rule[field].as_array().is_some_and(|all| all.contains(&json!(name)) || all.contains(&json!("*")))
        };
        let may_exec = |role: &Value| {
            let mut rules = role["rules"].as_array().unwrap().iter();
            rules.any(|rule| names(rule, "resources", "tasks/exec") && names(rule, "verbs", "create"))
        };
        let of: Map<String, Value> =
            default_roles().iter().map(|(name, role)| ((*name).to_owned(), json!(may_exec(role)))).collect();
        assert_eq!(json!(of), json!({"admin": true, "cluster-admin": true, "edit": true, "view": false}));
    }
}
