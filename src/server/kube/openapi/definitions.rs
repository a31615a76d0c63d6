//! Schemas by name, in the manner of OpenAPI 3: what every kind shares, and each kind's own.

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, ListMeta, ObjectMeta, Status};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::gvk;
use crate::registry::KindDef;

pub(super) type Definitions = BTreeMap<String, Value>;

/// Where references point to; version 2 has another place.
pub(super) const ROOT: &str = "#/components/schemas/";

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
pub(super) const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
pub(super) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
pub(super) const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";

/// The schemas that all kinds refer to, from k8s-openapi.
pub(super) fn meta() -> Definitions {
    let mut generator = SchemaSettings::openapi3().into_generator();
    generator.subschema_for::<ObjectMeta>();
    generator.subschema_for::<ListMeta>();
    generator.subschema_for::<Status>();
    generator.subschema_for::<DeleteOptions>();
    generator.subschema_for::<Scale>();
    let mut definitions: Definitions = generator.take_definitions(true).into_iter().collect();
    if let Some(meta) = definitions.get_mut(&format!("{META}.ObjectMeta")) {
        let lists = &mut meta["properties"];
        extend(
            &mut lists["finalizers"],
            json!({"x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge"}),
        );
        extend(
            &mut lists["ownerReferences"],
            json!({
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"],
                "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "uid",
            }),
        );
    }
    if let Some(owner) = definitions.get_mut(&format!("{META}.OwnerReference")) {
        extend(owner, json!({"x-kubernetes-map-type": "atomic"}));
    }
    if let Some(scale) = definitions.get_mut(SCALE) {
        extend(scale, json!({"x-kubernetes-group-version-kind": [gvk("autoscaling", "v1", "Scale")]}));
    }
    definitions
}

/// `dev.tenure.v1.App`: the group backwards, the version, the kind.
pub(super) fn name_of(kind: &KindDef, suffix: &str) -> String {
    let group = match kind.group.as_str() {
        "" => "io.k8s.api.core".to_owned(),
        group => group.rsplit('.').collect::<Vec<_>>().join("."),
    };
    format!("{group}.{}.{}{suffix}", kind.version, kind.kind)
}

/// The schemas of a kind and of its list.
pub(super) fn insert(definitions: &mut Definitions, kind: &KindDef) {
    definitions.insert(name_of(kind, ""), object(kind));
    definitions.insert(name_of(kind, "List"), list(kind));
}

fn object(kind: &KindDef) -> Value {
    let mut schema = kind.openapi.as_ref().clone();
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    extend(&mut schema["properties"], type_meta());
    schema["properties"]["metadata"] = described_reference(
        &format!("{META}.ObjectMeta"),
        "Name, namespace, labels and everything else that is kept about any object.",
    );
    schema["type"] = json!("object");
    schema["x-kubernetes-group-version-kind"] = json!([gvk(&kind.group, &kind.version, &kind.kind)]);
    schema
}

fn list(kind: &KindDef) -> Value {
    let mut properties = type_meta();
    properties["metadata"] =
        described_reference(&format!("{META}.ListMeta"), "Revision and paging of the list.");
    properties["items"] = json!({
        "description": format!("The {}.", kind.plural), "type": "array", "items": reference(&name_of(kind, "")),
    });
    json!({
        "description": format!("A list of {}.", kind.plural),
        "type": "object",
        "required": ["items"],
        "properties": properties,
        "x-kubernetes-group-version-kind": [gvk(&kind.group, &kind.version, &kind.list_kind)],
    })
}

fn type_meta() -> Value {
    json!({
        "apiVersion": {"type": "string", "description": "Group and version of the kind, such as tenure.dev/v1."},
        "kind": {"type": "string", "description": "The kind of the object, in CamelCase."},
    })
}

/// `{"$ref": …}`
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("{ROOT}{name}") })
}

/// A reference may have no siblings in OpenAPI 3.0.
fn described_reference(name: &str, description: &str) -> Value {
    json!({ "allOf": [reference(name)], "description": description })
}

fn extend(schema: &mut Value, with: Value) {
    if let (Value::Object(schema), Value::Object(with)) = (schema, with) {
        schema.extend::<Map<String, Value>>(with);
    }
}
