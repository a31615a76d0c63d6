//! CustomResourceDefinition, by which users add kinds of their own.

use serde_json::{Value, json};

use super::{columns, core, object, text, time};
use crate::registry::crd::{self, CrdError};
use crate::registry::key::Resource;
use crate::registry::kind::KindDef;

/// The group of definitions.
pub const GROUP: &str = "apiextensions.k8s.io";
/// Holds a definition until its last object is gone.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

pub(super) fn kind() -> Result<KindDef, CrdError> {
    let schema =
        object("Declares a kind, which is served from then on.", json!({"spec": spec(), "status": status()}));
    let mut kind = core("CustomResourceDefinition", "customresourcedefinitions", &["crd", "crds"], schema)?;
    kind.group = GROUP.to_owned();
    kind.resource = Resource::new(GROUP, &kind.plural);
    kind.namespaced = false;
    kind.categories = vec!["api-extensions".to_owned()];
    kind.status = true;
    kind.counted = true;
    kind.finalizers = &[CLEANUP_FINALIZER];
    kind.prepare = Some(crd::rules::prepare);
    kind.rules = Some(crd::rules::faults);
    kind.columns = vec![columns::created_at()];
    Ok(kind)
}

fn list(description: &str, items: &Value) -> Value {
    json!({"type": "array", "description": description, "items": items})
}

fn flag(description: &str) -> Value {
    json!({"type": "boolean", "description": description})
}

fn names() -> Value {
    json!({"type": "object", "description": "What the kind is called.", "required": ["plural", "kind"], "properties": {
        "plural": text("As in URLs: lower case."),
        "singular": text("As on the command line; by default the kind in lower case."),
        "kind": text("As in documents: CamelCase."),
        "listKind": text("The kind of lists; by default the kind and List."),
        "shortNames": list("Short forms for the command line.", &json!({"type": "string"})),
        "categories": list("Groups of kinds such as all.", &json!({"type": "string"})),
    }})
}

fn version() -> Value {
    let column = json!({"type": "object", "required": ["name", "type", "jsonPath"], "properties": {
        "name": text("The heading."), "type": text("integer, number, string, boolean or date."),
        "jsonPath": text("Where the value stands."), "format": text("How the value is written."),
        "description": text("What it says."),
        "priority": {"type": "integer", "format": "int32", "description": "Above 0: with -o wide only."},
    }});
    let scale = json!({"type": "object", "description": "Serves /scale.",
    "required": ["specReplicasPath", "statusReplicasPath"], "properties": {
        "specReplicasPath": text("Where the wanted number stands."),
        "statusReplicasPath": text("Where the observed number stands."),
        "labelSelectorPath": text("Where a selector of what is scaled stands, as text."),
    }});
    let open = |description: &str| json!({"type": "object", "description": description, "x-kubernetes-preserve-unknown-fields": true});
    json!({"type": "object", "required": ["name", "served", "storage"], "properties": {
        "name": text("Such as v1 or v1beta1."),
        "served": flag("Whether clients see it."),
        "storage": flag("Whether objects are stored in it: one version of all."),
        "deprecated": flag("Whether its use is warned of."),
        "deprecationWarning": text("What the warning says."),
        "schema": {"type": "object", "description": "What its objects are made of.", "properties": {
            "openAPIV3Schema": open("A structural schema."),
        }},
        "subresources": {"type": "object", "description": "Parts with a path of their own.", "properties": {
            "status": open("Serves /status."), "scale": scale,
        }},
        "additionalPrinterColumns": list("What kubectl get shows.", &column),
        "selectableFields": list("What field selectors may name.", &json!({
            "type": "object", "required": ["jsonPath"], "properties": {"jsonPath": text("Such as .spec.color.")},
        })),
    }})
}

fn spec() -> Value {
    json!({"type": "object", "description": "The kind.", "required": ["group", "names", "scope", "versions"],
    "properties": {
        "group": text("The API group, a domain of the author."),
        "names": names(),
        "scope": {"type": "string", "enum": ["Cluster", "Namespaced"], "description": "Where its objects stand."},
        "versions": list("Its versions.", &version()),
        "preserveUnknownFields": flag("Must be false."),
        "conversion": {"type": "object", "description": "How versions are made of one another.",
            "properties": {"strategy": text("None: only apiVersion changes."),
                "webhook": {"type": "object", "description": "Not supported.",
                    "x-kubernetes-preserve-unknown-fields": true}}},
    }})
}

fn status() -> Value {
    let condition = json!({"type": "object", "required": ["type", "status"], "properties": {
        "type": text("What it is about."), "status": text("True, False or Unknown."), "reason": text("One word."),
        "message": text("A sentence."), "lastTransitionTime": time("Since when."),
    }});
    json!({"type": "object", "description": "What became of it.", "properties": {
        "conditions": {"type": "array", "description": "Established: it is served.", "items": condition,
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        "acceptedNames": {"type": "object", "description": "The names that it has got.",
            "x-kubernetes-preserve-unknown-fields": true},
        "storedVersions": list("Versions in which objects may be stored.", &json!({"type": "string"})),
    }})
}
