//! The schema of `metadata`, the same for every kind.

use std::collections::BTreeMap;

use super::{ListType, Schema, Type};

/// ObjectMeta of Kubernetes, with the list types that server-side apply needs.
#[must_use]
pub fn object_meta() -> Schema {
    object([
        ("annotations", map_of_strings()),
        ("creationTimestamp", scalar(Type::String)),
        ("deletionGracePeriodSeconds", scalar(Type::Integer)),
        ("deletionTimestamp", scalar(Type::String)),
        ("finalizers", list(scalar(Type::String), ListType::Set)),
        ("generateName", scalar(Type::String)),
        ("generation", scalar(Type::Integer)),
        ("labels", map_of_strings()),
        ("managedFields", list(managed_fields_entry(), ListType::Atomic)),
        ("name", scalar(Type::String)),
        ("namespace", scalar(Type::String)),
        ("ownerReferences", list(owner_reference(), ListType::Map(vec!["uid".to_owned()]))),
        ("resourceVersion", scalar(Type::String)),
        ("selfLink", scalar(Type::String)),
        ("uid", scalar(Type::String)),
    ])
}

fn owner_reference() -> Schema {
    let mut reference = object([
        ("apiVersion", scalar(Type::String)),
        ("blockOwnerDeletion", scalar(Type::Boolean)),
        ("controller", scalar(Type::Boolean)),
        ("kind", scalar(Type::String)),
        ("name", scalar(Type::String)),
        ("uid", scalar(Type::String)),
    ]);
    reference.atomic_map = true;
    reference
}

fn managed_fields_entry() -> Schema {
    object([
        ("apiVersion", scalar(Type::String)),
        ("fieldsType", scalar(Type::String)),
        ("fieldsV1", Schema { type_: Type::Object, preserve_unknown: true, ..Schema::default() }),
        ("manager", scalar(Type::String)),
        ("operation", scalar(Type::String)),
        ("subresource", scalar(Type::String)),
        ("time", scalar(Type::String)),
    ])
}

fn object<const N: usize>(fields: [(&str, Schema); N]) -> Schema {
    let properties: BTreeMap<String, Schema> =
        fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    Schema { type_: Type::Object, properties, ..Schema::default() }
}

fn scalar(type_: Type) -> Schema {
    Schema { type_, ..Schema::default() }
}

fn map_of_strings() -> Schema {
    Schema { type_: Type::Object, additional: Some(Box::new(scalar(Type::String))), ..Schema::default() }
}

fn list(items: Schema, list: ListType) -> Schema {
    Schema { type_: Type::Array, items: Some(Box::new(items)), list, ..Schema::default() }
}
