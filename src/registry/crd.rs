//! Turns a CustomResourceDefinition into a served kind, or says which part of it is not understood.

use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, CustomResourceDefinitionVersion,
    CustomResourceSubresourceScale,
};
use serde_json::Value;

use super::form::Form;
use super::jsonpath::{JsonPath, JsonPathError};
use super::key::Resource;
use super::kind::{Column, ColumnType, KindDef, Origin, ScalePaths};
use super::names::NameRule;
use super::schema::{self, SchemaError};

/// Why a CRD cannot be served.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CrdError {
    /// Only one version of a kind can be served: there are no converters.
    #[error("{crd}: spec.versions: one served and stored version is supported, found {found}")]
    Versions { crd: String, found: usize },
    #[error("{crd}: spec.versions[0].schema.openAPIV3Schema: required value")]
    NoSchema { crd: String },
    #[error("{crd}: spec.versions[0].schema.openAPIV3Schema")]
    Schema { crd: String, source: SchemaError },
    #[error("{crd}: {field}: {source}")]
    Path { crd: String, field: &'static str, source: JsonPathError },
    #[error("{crd}: additionalPrinterColumns: column {column} has the unknown type {type_}")]
    ColumnType { crd: String, column: String, type_: String },
}

/// The kind that `definition` declares.
///
/// # Errors
/// When a part of it is not supported, so that nothing it promises is silently left out.
pub fn kind(definition: &CustomResourceDefinition) -> Result<KindDef, CrdError> {
    let spec = &definition.spec;
    let crd = format!("{}.{}", spec.names.plural, spec.group);
    let served: Vec<_> = spec.versions.iter().filter(|version| version.served).collect();
    let [version] = served.as_slice() else {
        return Err(CrdError::Versions { crd, found: served.len() });
    };
    let openapi = openapi(version).ok_or_else(|| CrdError::NoSchema { crd: crd.clone() })?;
    let schema = schema::root(&openapi).map_err(|source| CrdError::Schema { crd: crd.clone(), source })?;
    let names = &spec.names;
    Ok(KindDef {
        group: spec.group.clone(),
        version: version.name.clone(),
        kind: names.kind.clone(),
        list_kind: names.list_kind.clone().unwrap_or_else(|| format!("{}List", names.kind)),
        plural: names.plural.clone(),
        singular: names.singular.clone().unwrap_or_else(|| names.kind.to_lowercase()),
        short_names: names.short_names.clone().unwrap_or_default(),
        categories: names.categories.clone().unwrap_or_default(),
        namespaced: spec.scope == "Namespaced",
        resource: Resource::new(&spec.group, &names.plural),
        form: Form::Served,
        schema: Arc::new(schema),
        openapi: Arc::new(openapi),
        status: version.subresources.as_ref().is_some_and(|sub| sub.status.is_some()),
        scale: match version.subresources.as_ref().and_then(|sub| sub.scale.as_ref()) {
            Some(scale) => Some(scale_paths(&crd, scale)?),
            None => None,
        },
        columns: columns(&crd, version)?,
        origin: Origin::Custom,
        selectable: &[],
        name_rule: NameRule::Subdomain,
        rules: None,
        prepare: None,
        holds_by_spec: false,
        finalizers: &[],
        ttl: None,
    })
}

fn openapi(version: &CustomResourceDefinitionVersion) -> Option<Value> {
    let schema = version.schema.as_ref()?.open_api_v3_schema.as_ref()?;
    serde_json::to_value(schema).ok()
}

fn scale_paths(crd: &str, scale: &CustomResourceSubresourceScale) -> Result<ScalePaths, CrdError> {
    let parse = |text: &str, field| {
        JsonPath::parse(text).map_err(|source| CrdError::Path { crd: crd.to_owned(), field, source })
    };
    Ok(ScalePaths {
        spec: parse(&scale.spec_replicas_path, "specReplicasPath")?,
        status: parse(&scale.status_replicas_path, "statusReplicasPath")?,
        selector: match &scale.label_selector_path {
            Some(path) => Some(parse(path, "labelSelectorPath")?),
            None => None,
        },
    })
}

fn columns(crd: &str, version: &CustomResourceDefinitionVersion) -> Result<Vec<Column>, CrdError> {
    let declared = version.additional_printer_columns.as_deref().unwrap_or_default();
    if declared.is_empty() {
        return Ok(vec![age_column()]);
    }
    declared.iter().map(|declared| column(crd, declared)).collect()
}

fn column(crd: &str, declared: &CustomResourceColumnDefinition) -> Result<Column, CrdError> {
    let type_ = ColumnType::parse(&declared.type_).ok_or_else(|| CrdError::ColumnType {
        crd: crd.to_owned(),
        column: declared.name.clone(),
        type_: declared.type_.clone(),
    })?;
    let path = JsonPath::parse(&declared.json_path).map_err(|source| CrdError::Path {
        crd: crd.to_owned(),
        field: "additionalPrinterColumns.jsonPath",
        source,
    })?;
    Ok(Column {
        name: declared.name.clone(),
        type_,
        format: declared.format.clone().unwrap_or_default(),
        description: declared.description.clone().unwrap_or_default(),
        priority: declared.priority.unwrap_or_default(),
        path,
    })
}

/// The column that a kind without columns of its own has.
#[must_use]
pub fn age_column() -> Column {
    Column {
        name: "Age".to_owned(),
        type_: ColumnType::Date,
        format: String::new(),
        description: "When the object was created.".to_owned(),
        priority: 0,
        path: JsonPath::field(&["metadata", "creationTimestamp"]),
    }
}
