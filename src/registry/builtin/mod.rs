//! The kinds of Kubernetes that are built in, with small schemas made by hand; and what our own kinds have beyond their
//! CRDs.

mod columns;
mod content;
pub mod definition;
mod event;
pub mod rbac;
pub mod token;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::crd::{CrdError, age_column};
use super::form::Form;
use super::jsonpath::JsonPath;
use super::key::Resource;
use super::kind::{Cell, Column, ColumnType, KindDef, Origin};
use super::names::NameRule;
use super::object::respell_time;
use super::schema;
use crate::api;

/// Holds an App until its last Task is gone.
pub const TASKS_FINALIZER: &str = "tenure.dev/tasks";
/// Holds a Namespace, in `spec.finalizers`, until everything in it is gone.
pub const NAMESPACE_FINALIZER: &str = "kubernetes";
/// How long an Event is kept after its last write.
pub const EVENT_TTL: Duration = Duration::from_secs(3600);

/// The core kinds.
///
/// # Errors
/// When one of their schemas is not understood: a mistake of the program, found by a test.
pub fn kinds() -> Result<Vec<KindDef>, CrdError> {
    let mut kinds = vec![
        namespace()?,
        config_map()?,
        secret()?,
        service_account()?,
        event::old()?,
        event::new()?,
        lease()?,
        definition::kind()?,
    ];
    kinds.extend(rbac::kinds()?);
    Ok(kinds)
}

/// `kind`, a kind of our own group, with what its CRD cannot say.
#[must_use]
pub fn own(mut kind: KindDef) -> KindDef {
    kind.rules = Some(api::validate::document);
    if kind.kind == "App" {
        kind.name_rule = NameRule::Label;
        kind.finalizers = &[TASKS_FINALIZER];
    }
    kind
}

fn core(kind: &str, plural: &str, short_names: &[&str], schema: Value) -> Result<KindDef, CrdError> {
    let parsed = schema::root(&schema).map_err(|source| CrdError::Schema {
        crd: plural.to_owned(),
        path: kind.to_owned(),
        source,
    })?;
    Ok(KindDef {
        group: String::new(),
        version: "v1".to_owned(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short_names: short_names.iter().map(|&name| name.to_owned()).collect(),
        categories: Vec::new(),
        namespaced: true,
        resource: Resource::new("", plural),
        form: Form::Served,
        schema: Arc::new(parsed),
        openapi: Arc::new(schema),
        status: false,
        scale: None,
        columns: vec![age_column()],
        origin: Origin::Core,
        selectable: Vec::new(),
        deprecation: None,
        served: true,
        terminating: false,
        counted: false,
        name_rule: NameRule::Subdomain,
        rules: None,
        expressions: None,
        prepare: None,
        holds_by_spec: false,
        finalizers: &[],
        ttl: None,
    })
}

fn column(name: &str, type_: ColumnType, fields: &[&str], priority: i32) -> Column {
    Column {
        name: name.to_owned(),
        type_,
        format: String::new(),
        description: String::new(),
        priority,
        cell: Cell::At(JsonPath::field(fields)),
    }
}

fn object(description: &str, properties: Value) -> Value {
    let mut all = json!({"apiVersion": text("Version of this representation."), "kind": text("Kind of this object."),
        "metadata": {"type": "object"}});
    if let (Value::Object(all), Value::Object(more)) = (&mut all, properties) {
        all.extend(more);
    }
    json!({"type": "object", "description": description, "properties": all})
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn texts(description: &str) -> Value {
    json!({"type": "object", "description": description, "additionalProperties": {"type": "string"}})
}

fn integer(description: &str) -> Value {
    json!({"type": "integer", "format": "int32", "description": description})
}

fn time(description: &str) -> Value {
    json!({"type": "string", "format": "date-time", "description": description})
}

fn namespace() -> Result<KindDef, CrdError> {
    let condition = json!({"type": "object", "required": ["type", "status"], "properties": {
        "type": text("What it is about."), "status": text("True, False or Unknown."),
        "reason": text("One word."), "message": text("A sentence."),
        "lastTransitionTime": time("Since when."),
    }});
    let schema = object(
        "A scope for names.",
        json!({
            "spec": {"type": "object", "description": "What is wanted.", "properties": {
                "finalizers": {"type": "array", "description": "Who must be done before the namespace is gone.",
                    "items": {"type": "string"}},
            }},
            "status": {"type": "object", "description": "What is observed.", "properties": {
                "phase": text("Active or Terminating."),
                "conditions": {"type": "array", "description": "What keeps it.", "items": condition,
                    "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
            }},
        }),
    );
    let mut kind = core("Namespace", "namespaces", &["ns"], schema)?;
    kind.namespaced = false;
    kind.status = true;
    kind.name_rule = NameRule::Label;
    kind.prepare = Some(prepare_namespace);
    kind.holds_by_spec = true;
    kind.columns.insert(0, column("Status", ColumnType::String, &["status", "phase"], 0));
    Ok(kind)
}

/// Gives a namespace its phase, its hold and the label by which it can be selected.
fn prepare_namespace(object: &mut Value) {
    let name = object["metadata"]["name"].clone();
    if name.is_string() {
        object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
    }
    let terminating = object["metadata"].get("deletionTimestamp").is_some();
    if object.get("status").is_none() {
        object["status"] = json!({"phase": "Active"});
    }
    if terminating {
        object["status"]["phase"] = json!("Terminating");
    } else if object.get("spec").is_none() {
        object["spec"] = json!({"finalizers": [NAMESPACE_FINALIZER]});
    }
}

fn config_map() -> Result<KindDef, CrdError> {
    let schema = object(
        "Configuration as text.",
        json!({
            "data": texts("Values, as text."),
            "binaryData": {"type": "object", "description": "Values, as base64.",
                "additionalProperties": {"type": "string", "format": "byte"}},
            "immutable": {"type": "boolean", "description": "Refuses every later change of the data."},
        }),
    );
    let mut kind = core("ConfigMap", "configmaps", &["cm"], schema)?;
    kind.rules = Some(content::config_map);
    kind.columns.insert(0, columns::data());
    Ok(kind)
}

fn secret() -> Result<KindDef, CrdError> {
    let schema = object(
        "What must not be shown.",
        json!({
            "data": {"type": "object", "description": "Values, as base64.",
                "additionalProperties": {"type": "string", "format": "byte"}},
            "stringData": texts("Values as text; written into data, never read."),
            "type": {"type": "string", "description": "What reads it.", "default": "Opaque"},
            "immutable": {"type": "boolean", "description": "Refuses every later change of the data."},
        }),
    );
    let mut kind = core("Secret", "secrets", &[], schema)?;
    kind.prepare = Some(fold_string_data);
    kind.rules = Some(content::secret);
    kind.columns.splice(0..0, [column("Type", ColumnType::String, &["type"], 0), columns::data()]);
    Ok(kind)
}

/// Moves a Secret's `stringData` into `data`.
fn fold_string_data(object: &mut Value) {
    use base64::Engine;
    let Some(fields) = object.as_object_mut() else { return };
    let Some(Value::Object(texts)) = fields.remove("stringData") else { return };
    let data = fields.entry("data").or_insert_with(|| Value::Object(Map::new()));
    for (key, text) in texts {
        if let (Some(text), Value::Object(data)) = (text.as_str(), &mut *data) {
            data.insert(key, base64::engine::general_purpose::STANDARD.encode(text).into());
        }
    }
}

fn service_account() -> Result<KindDef, CrdError> {
    let names = |description: &str| {
        json!({"type": "array", "description": description, "items": {"type": "object", "properties": {
            "name": text("Its name."),
        }}, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]})
    };
    let schema = object(
        "Who a program is.",
        json!({
            "secrets": names("Secrets that are meant for it."),
            "imagePullSecrets": names("Kept for clients that write it; pullSecret of a container is what is read."),
            "automountServiceAccountToken": {"type": "boolean", "description": "Kept for clients that write it."},
        }),
    );
    let mut kind = core("ServiceAccount", "serviceaccounts", &["sa"], schema)?;
    kind.columns.insert(0, columns::secrets());
    Ok(kind)
}

fn lease() -> Result<KindDef, CrdError> {
    let schema = object(
        "Who leads, and until when.",
        json!({
            "spec": {"type": "object", "description": "The lease.", "properties": {
                "holderIdentity": text("Who holds it."),
                "leaseDurationSeconds": integer("How long it holds after the last renewal."),
                "acquireTime": time("When it was taken."), "renewTime": time("When it was last renewed."),
                "leaseTransitions": integer("How often it changed hands."),
                "preferredHolder": text("Who should hold it."), "strategy": text("How holders are chosen."),
            }},
        }),
    );
    let mut kind = core("Lease", "leases", &[], schema)?;
    kind.group = "coordination.k8s.io".to_owned();
    kind.resource = Resource::new(&kind.group, "leases");
    kind.rules = Some(content::lease);
    kind.columns.insert(0, column("Holder", ColumnType::String, &["spec", "holderIdentity"], 0));
    kind.prepare = Some(|lease| {
        for path in ["/spec/acquireTime", "/spec/renewTime"] {
            if let Some(time) = lease.pointer_mut(path) {
                respell_time(time, true);
            }
        }
    });
    Ok(kind)
}
