//! CustomResourceDefinitions: turned into served kinds, or told which part of them is not understood.
//!
//! ```text
//! write ─▶ rules (what a definition must be) ─▶ store ─▶ follow ─▶ accept (who gets which names) ─▶ scheme, status
//! ```

mod accept;
pub mod cel;
mod follow;
pub(super) mod rules;
mod selectable;
mod written;

use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, CustomResourceDefinitionVersion,
    CustomResourceSubresourceScale,
};
use serde_json::Value;

use self::cel::Expressions;
use super::form::Form;
use super::jsonpath::{JsonPath, JsonPathError};
use super::key::Resource;
use super::kind::{Cell, Column, ColumnType, KindDef, Origin, ScalePaths};
use super::names::NameRule;
use super::schema::{self, Schema, SchemaError};

/// Why a CRD cannot be served.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CrdError {
    /// Objects are stored in exactly one version.
    #[error("{crd}: spec.versions: exactly one version must be marked as storage version, found {found}")]
    Storage { crd: String, found: usize },
    /// One version was expected: ours have no others.
    #[error("{crd}: spec.versions: one version is expected, found {found}")]
    Versions { crd: String, found: usize },
    #[error("{crd}: {path}: required value")]
    NoSchema { crd: String, path: String },
    #[error("{crd}: {path}")]
    Schema { crd: String, path: String, source: SchemaError },
    #[error("{crd}: {path}: {source}")]
    Path { crd: String, path: String, source: JsonPathError },
    #[error("{crd}: {path}: column {column} has the unknown type {type_}")]
    ColumnType { crd: String, path: String, column: String, type_: String },
}

/// The kind that `definition`, which has one version, declares.
///
/// # Errors
/// When a part of it is not supported, so that nothing it promises is silently left out.
pub fn kind(definition: &CustomResourceDefinition) -> Result<KindDef, CrdError> {
    let found = definition.spec.versions.len();
    match kinds(definition)?.pop() {
        Some(kind) if found == 1 => Ok(kind),
        _ => Err(CrdError::Versions { crd: name_of(definition), found }),
    }
}

/// The versions that `definition` declares: first the one that objects are stored in.
///
/// # Errors
/// As [`kind`].
pub fn kinds(definition: &CustomResourceDefinition) -> Result<Vec<KindDef>, CrdError> {
    let versions = &definition.spec.versions;
    let found = versions.iter().filter(|version| version.storage).count();
    if found != 1 {
        return Err(CrdError::Storage { crd: name_of(definition), found });
    }
    let mut kinds: Vec<(bool, KindDef)> = Vec::new();
    for (at, version) in versions.iter().enumerate() {
        let place = Place { crd: name_of(definition), path: format!("spec.versions[{at}]") };
        kinds.push((version.storage, place.kind(definition, version)?));
    }
    kinds.sort_by_key(|(storage, _)| !storage);
    Ok(kinds.into_iter().map(|(_, kind)| kind).collect())
}

fn name_of(definition: &CustomResourceDefinition) -> String {
    format!("{}.{}", definition.spec.names.plural, definition.spec.group)
}

/// Where in which definition something stands, for messages.
struct Place {
    crd: String,
    path: String,
}

impl Place {
    fn kind(
        &self,
        definition: &CustomResourceDefinition,
        version: &CustomResourceDefinitionVersion,
    ) -> Result<KindDef, CrdError> {
        let (spec, names) = (&definition.spec, &definition.spec.names);
        let (openapi, schema) = self.schema(version)?;
        let api_version = format!("{}/{}", spec.group, version.name);
        let expressions = Expressions::of(&openapi, (&api_version, &spec.group, &names.kind)).map(Arc::new);
        let parts = version.subresources.as_ref();
        let form = if spec.versions.len() > 1 { Form::Versioned } else { Form::Served };
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
            form,
            schema: Arc::new(schema),
            openapi: Arc::new(openapi),
            status: parts.is_some_and(|parts| parts.status.is_some()),
            scale: parts.and_then(|parts| parts.scale.as_ref()).map(|it| self.scale(it)).transpose()?,
            columns: self.columns(version)?,
            origin: Origin::Custom,
            selectable: selectable::fields(version),
            deprecation: deprecation(definition, version),
            served: version.served,
            terminating: definition.metadata.deletion_timestamp.is_some(),
            counted: true,
            name_rule: NameRule::Subdomain,
            rules: None,
            expressions,
            prepare: None,
            holds_by_spec: false,
            finalizers: &[],
            ttl: None,
        })
    }

    fn below(&self, field: &str) -> String {
        format!("{}.{field}", self.path)
    }

    fn schema(&self, version: &CustomResourceDefinitionVersion) -> Result<(Value, Schema), CrdError> {
        let (crd, path) = (self.crd.clone(), self.below("schema.openAPIV3Schema"));
        let written = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
        let Some(openapi) = written.and_then(|schema| serde_json::to_value(schema).ok()) else {
            return Err(CrdError::NoSchema { crd, path });
        };
        match schema::root(&openapi) {
            Ok(schema) => Ok((openapi, schema)),
            Err(source) => Err(CrdError::Schema { crd, path, source }),
        }
    }

    fn path(&self, text: &str, field: &str) -> Result<JsonPath, CrdError> {
        let located = |source| CrdError::Path { crd: self.crd.clone(), path: self.below(field), source };
        JsonPath::parse(text).map_err(located)
    }

    fn scale(&self, scale: &CustomResourceSubresourceScale) -> Result<ScalePaths, CrdError> {
        let field = |name: &str| format!("subresources.scale.{name}");
        let selector = scale.label_selector_path.as_ref();
        Ok(ScalePaths {
            spec: self.path(&scale.spec_replicas_path, &field("specReplicasPath"))?,
            status: self.path(&scale.status_replicas_path, &field("statusReplicasPath"))?,
            selector: selector.map(|path| self.path(path, &field("labelSelectorPath"))).transpose()?,
        })
    }

    fn columns(&self, version: &CustomResourceDefinitionVersion) -> Result<Vec<Column>, CrdError> {
        let declared = version.additional_printer_columns.as_deref().unwrap_or_default();
        if declared.is_empty() {
            return Ok(vec![age_column()]);
        }
        declared.iter().enumerate().map(|(at, declared)| self.column(at, declared)).collect()
    }

    fn column(&self, at: usize, declared: &CustomResourceColumnDefinition) -> Result<Column, CrdError> {
        let field = |name: &str| format!("additionalPrinterColumns[{at}].{name}");
        let type_ = ColumnType::parse(&declared.type_).ok_or_else(|| CrdError::ColumnType {
            crd: self.crd.clone(),
            path: self.below(&field("type")),
            column: declared.name.clone(),
            type_: declared.type_.clone(),
        })?;
        Ok(Column {
            name: declared.name.clone(),
            type_,
            format: declared.format.clone().unwrap_or_default(),
            description: declared.description.clone().unwrap_or_default(),
            priority: declared.priority.unwrap_or_default(),
            cell: Cell::At(self.path(&declared.json_path, &field("jsonPath"))?),
        })
    }
}

/// What whoever uses `version` is told.
fn deprecation(
    definition: &CustomResourceDefinition,
    version: &CustomResourceDefinitionVersion,
) -> Option<String> {
    let said = version.deprecation_warning.clone();
    let spec = &definition.spec;
    let plain = || format!("{}/{} {} is deprecated", spec.group, version.name, spec.names.kind);
    version.deprecated.unwrap_or_default().then(|| said.unwrap_or_else(plain))
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
        cell: Cell::At(JsonPath::field(&["metadata", "creationTimestamp"])),
    }
}
