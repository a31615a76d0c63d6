//! What a CustomResourceDefinition must be, beyond its own schema.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionNames, CustomResourceDefinitionVersion,
};
use serde_json::{Value, json};

use super::cel::expression_faults;
use super::selectable::selectable_faults;
use super::written::written_faults;
use super::{CrdError, kinds};
use crate::api;
use crate::registry::field::FieldError;
use crate::registry::names::NameRule;
use crate::registry::schema::{self, defaults_faults, structural_faults};

/// Says that the authors of Kubernetes agreed to a kind in one of their groups.
const APPROVED: &str = "api-approved.kubernetes.io";
/// Groups whose kinds are built in.
const BUILT_IN: [&str; 8] = [
    api::GROUP,
    "apiextensions.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "coordination.k8s.io",
    "events.k8s.io",
    "rbac.authorization.k8s.io",
    "meta.k8s.io",
];

const MIXED_CASE: &str = "may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case \
    alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. \
    'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

/// Fills in the names that may be left out, and the only conversion there is.
pub(in crate::registry) fn prepare(object: &mut Value) {
    let Some(names) = object.pointer_mut("/spec/names").filter(|names| names.is_object()) else { return };
    let kind = names["kind"].as_str().unwrap_or_default().to_owned();
    if !kind.is_empty() {
        for (name, default) in [("singular", kind.to_lowercase()), ("listKind", format!("{kind}List"))] {
            if names[name].as_str().unwrap_or_default().is_empty() {
                names[name] = json!(default);
            }
        }
    }
    if object["spec"].get("conversion").is_none() {
        object["spec"]["conversion"] = json!({"strategy": "None"});
    }
}

/// Everything that is wrong with the definition `new`, which replaces `old`.
pub(in crate::registry) fn faults(_: &str, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let definition: CustomResourceDefinition = match serde_json::from_value(new.clone()) {
        Ok(definition) => definition,
        Err(error) => return vec![FieldError::invalid("spec", Value::Null, error.to_string())],
    };
    let mut faults = Vec::new();
    group(&definition, &mut faults);
    names(&definition, &mut faults);
    versions(&definition, &mut faults);
    let strategy = definition.spec.conversion.as_ref().map_or("None", |it| it.strategy.as_str());
    if strategy != "None" {
        faults.push(FieldError::not_supported("spec.conversion.strategy", strategy, &["None"]));
    }
    if definition.spec.preserve_unknown_fields == Some(true) {
        faults.push(FieldError::invalid("spec.preserveUnknownFields", true, "must be false"));
    }
    if let Some(old) = old {
        immutable(new, old, &mut faults);
        stored_versions(&definition, old, &mut faults);
    }
    schemas(new, &mut faults);
    if faults.is_empty() {
        match kinds(&definition) {
            Ok(kinds) => faults.extend(kinds.iter().flat_map(|kind| {
                let at = definition.spec.versions.iter().position(|version| version.name == kind.version);
                let path = format!("spec.versions[{}].schema.openAPIV3Schema", at.unwrap_or_default());
                let mut found = structural_faults(&kind.schema, &path);
                found.extend(defaults_faults(&kind.schema, &path));
                found.extend(expression_faults(&kind.openapi, &path));
                found
            })),
            Err(error) => faults.push(unserved(&error)),
        }
    }
    faults
}

/// Why it cannot be served, as a fault of one of its fields.
fn unserved(error: &CrdError) -> FieldError {
    match error {
        CrdError::Storage { found, .. } | CrdError::Versions { found, .. } => FieldError::invalid(
            "spec.versions",
            *found,
            "must have exactly one version marked as storage version",
        ),
        CrdError::NoSchema { path, .. } => FieldError::required(path.clone(), "schemas are required"),
        CrdError::Schema { path, source, .. } => FieldError::forbidden(path.clone(), source.to_string()),
        CrdError::Path { path, source, .. } => {
            FieldError::invalid(path.clone(), source.text(), source.to_string())
        }
        CrdError::ColumnType { path, type_, .. } => {
            let known = ["boolean", "date", "integer", "number", "string"];
            FieldError::not_supported(path.clone(), type_.as_str(), &known)
        }
    }
}

fn group(definition: &CustomResourceDefinition, faults: &mut Vec<FieldError>) {
    let group = definition.spec.group.as_str();
    for fault in NameRule::Subdomain.faults(group) {
        faults.push(FieldError::invalid("spec.group", group, fault));
    }
    if !group.contains('.') {
        faults.push(FieldError::invalid("spec.group", group, "should be a domain with at least one dot"));
    }
    if BUILT_IN.contains(&group) {
        faults.push(FieldError::forbidden("spec.group", format!("the kinds of {group} are built in")));
    }
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group == *domain || group.ends_with(&format!(".{domain}")));
    let approved = definition.metadata.annotations.as_ref().is_some_and(|it| it.contains_key(APPROVED));
    if protected && !approved {
        let text = format!("protected groups must have approval annotation {APPROVED:?}");
        faults.push(FieldError::required(format!("metadata.annotations[{APPROVED}]"), text));
    }
}

fn names(definition: &CustomResourceDefinition, faults: &mut Vec<FieldError>) {
    let CustomResourceDefinitionNames { plural, singular, kind, list_kind, short_names, categories } =
        &definition.spec.names;
    let mut label = |path: String, name: &str| {
        let found = NameRule::Label.faults(name).into_iter();
        faults.extend(found.map(|fault| FieldError::invalid(path.clone(), name, fault)));
    };
    label("spec.names.plural".to_owned(), plural);
    label("spec.names.singular".to_owned(), singular.as_deref().unwrap_or_default());
    for (field, all) in [("shortNames", short_names), ("categories", categories)] {
        for (at, name) in all.iter().flatten().enumerate() {
            label(format!("spec.names.{field}[{at}]"), name);
        }
    }
    for (field, name) in [("kind", kind), ("listKind", list_kind.as_ref().unwrap_or(kind))] {
        if !is_dns_1035(&name.to_lowercase()) {
            faults.push(FieldError::invalid(format!("spec.names.{field}"), name.as_str(), MIXED_CASE));
        }
    }
    if list_kind.as_ref() == Some(kind) {
        let text = "kind and listKind may not be the same";
        faults.push(FieldError::invalid("spec.names.listKind", kind.as_str(), text));
    }
    let name = definition.metadata.name.as_deref().unwrap_or_default();
    if name != format!("{plural}.{}", definition.spec.group) {
        let text = "must be spec.names.plural+\".\"+spec.group";
        faults.push(FieldError::invalid("metadata.name", name, text));
    }
}

/// A label that begins with a letter.
fn is_dns_1035(name: &str) -> bool {
    NameRule::Label.faults(name).is_empty() && name.starts_with(|first: char| first.is_ascii_lowercase())
}

fn versions(definition: &CustomResourceDefinition, faults: &mut Vec<FieldError>) {
    let versions = &definition.spec.versions;
    if versions.is_empty() {
        faults.push(FieldError::required("spec.versions", "must have at least one version"));
    }
    let mut seen = BTreeSet::new();
    for (at, version) in versions.iter().enumerate() {
        let CustomResourceDefinitionVersion { name, deprecated, deprecation_warning, .. } = version;
        if let Some(warning) = deprecation_warning
            && deprecated != &Some(true)
        {
            let path = format!("spec.versions[{at}].deprecationWarning");
            faults.push(FieldError::invalid(
                path,
                warning.as_str(),
                "can only be set for deprecated versions",
            ));
        }
        let path = format!("spec.versions[{at}].name");
        for fault in NameRule::Label.faults(name) {
            faults.push(FieldError::invalid(path.clone(), name.as_str(), fault));
        }
        if !seen.insert(name) {
            faults.push(FieldError::duplicate(path, name.as_str()));
        }
    }
    let stored = versions.iter().filter(|version| version.storage).count();
    if stored != 1 && !versions.is_empty() {
        let text = "must have exactly one version marked as storage version";
        faults.push(FieldError::invalid("spec.versions", stored, text));
    }
}

/// Refuses keywords that nobody obeys, as they were sent: the type that a definition is decoded into does not have them.
fn schemas(new: &Value, faults: &mut Vec<FieldError>) {
    let versions = new.pointer("/spec/versions").and_then(Value::as_array);
    for (at, version) in versions.into_iter().flatten().enumerate() {
        let Some(written) = version.pointer("/schema/openAPIV3Schema") else { continue };
        let path = format!("spec.versions[{at}].schema.openAPIV3Schema");
        let found = written_faults(written, &path);
        match schema::root(written) {
            Err(error) if found.is_empty() => faults.push(FieldError::forbidden(path, error.to_string())),
            _ => faults.extend(found),
        }
        faults.extend(selectable_faults(version, &format!("spec.versions[{at}]")));
    }
}

/// What objects that exist already stand by.
fn immutable(new: &Value, old: &Value, faults: &mut Vec<FieldError>) {
    for path in ["spec.group", "spec.scope", "spec.names.plural", "spec.names.kind"] {
        let pointer = format!("/{}", path.replace('.', "/"));
        let value = new.pointer(&pointer);
        if value != old.pointer(&pointer) {
            faults.push(FieldError::invalid(path, value.cloned().unwrap_or_default(), "field is immutable"));
        }
    }
}

/// A version in which objects may be stored cannot go.
fn stored_versions(definition: &CustomResourceDefinition, old: &Value, faults: &mut Vec<FieldError>) {
    let before = old.pointer("/status/storedVersions").and_then(Value::as_array);
    let kept = definition.status.as_ref().and_then(|it| it.stored_versions.as_ref());
    for (at, version) in before.into_iter().flatten().filter_map(Value::as_str).enumerate() {
        let declared = definition.spec.versions.iter().any(|it| it.name == version);
        let given_up = kept.is_some_and(|kept| !kept.iter().any(|it| it == version));
        if !declared && !given_up {
            let text = format!(
                "missing from spec.versions; {version} was previously a storage version, and must remain in \
                 spec.versions until a storage migration ensures no data remains persisted in {version} and removes \
                 {version} from status.storedVersions"
            );
            faults.push(FieldError::invalid(format!("status.storedVersions[{at}]"), version, text));
        }
    }
}
