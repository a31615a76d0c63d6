//! How objects are shown: whole, as rows of a Table, or by their metadata only.
//!
//! What is shown whole is never decoded: a document's bytes are what is served. A list is made of its documents while it is sent.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::accept::{MetaVersion, Transform};
use super::joined::Joined;
use crate::registry::form::Form;
use crate::registry::table::{cells, column_definitions};
use crate::registry::{Doc, Failure, KindDef, Revision};

/// What a row of a Table carries beside its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Include {
    Metadata,
    Object,
    Nothing,
}

impl Include {
    /// From `includeObject`; anything unknown is refused.
    pub(crate) fn parse(text: &str) -> Result<Include, Failure> {
        match text {
            "" | "Metadata" => Ok(Include::Metadata),
            "Object" => Ok(Include::Object),
            "None" => Ok(Include::Nothing),
            other => Err(Failure::bad_request(format!(
                "unrecognized includeObject value: {other:?}: supported values: \"Metadata\", \"Object\", \"None\""
            ))),
        }
    }
}

/// How the objects of one answer are shown.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) kind: &'a Arc<KindDef>,
    pub(crate) transform: Transform,
    pub(crate) include: Include,
    /// Ages are counted to this moment.
    pub(crate) now: Timestamp,
}

/// `metadata` of a list.
#[derive(Debug, Default)]
pub(crate) struct ListMeta {
    pub(crate) revision: Revision,
    pub(crate) continue_: Option<String>,
    pub(crate) remaining: Option<usize>,
}

impl ListMeta {
    fn value(&self) -> Value {
        let mut meta = Map::new();
        meta.insert("resourceVersion".to_owned(), json!(self.revision.to_string()));
        if let Some(token) = &self.continue_ {
            meta.insert("continue".to_owned(), json!(token));
        }
        if let Some(remaining) = self.remaining {
            meta.insert("remainingItemCount".to_owned(), json!(remaining));
        }
        Value::Object(meta)
    }
}

impl View<'_> {
    /// One stored document.
    pub(crate) fn doc(&self, doc: &Doc) -> Result<Bytes, Failure> {
        if self.is_stored_form() {
            return Ok(doc.bytes().clone());
        }
        Ok(encoded(&self.object(&tree(self.kind, doc)?)?))
    }

    /// One object that is not stored in this form: the result of a dry run, a Scale.
    pub(crate) fn object(&self, object: &Value) -> Result<Value, Failure> {
        match self.transform {
            Transform::Whole => Ok(object.clone()),
            Transform::Metadata(version) => Ok(metadata(version, object)),
            Transform::Table(version) => {
                let meta = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
                Ok(one_row(version, &meta, &column_definitions(self.kind), self.row(version, object)))
            }
            Transform::MetadataList(_) => Err(Failure::internal("content is not a list")),
        }
    }

    /// A list of stored documents.
    pub(crate) fn list(&self, docs: Vec<Arc<Doc>>, meta: &ListMeta) -> Result<Joined, Failure> {
        let (meta, kind) = (meta.value(), self.kind);
        let (object, name) = match self.transform {
            Transform::Whole => {
                (json!({"kind": kind.list_kind, "apiVersion": kind.api_version(), "metadata": meta}), "items")
            }
            Transform::Table(version) => (table(version, &meta, &column_definitions(kind)), "rows"),
            Transform::MetadataList(version) => (
                json!({
                    "kind": "PartialObjectMetadataList", "apiVersion": version.api_version(), "metadata": meta,
                }),
                "items",
            ),
            Transform::Metadata(_) => return Err(Failure::internal("content is a list")),
        };
        let bytes = self.is_stored_form().then(|| docs.iter().map(|doc| doc.bytes().len()).sum());
        let View { transform, include, now, .. } = *self;
        let kind = kind.clone();
        let item = move |doc: Arc<Doc>| View { kind: &kind, transform, include, now }.item(&doc);
        Joined::new(&object.to_string(), name, docs.into_iter().map(item), bytes)
    }

    /// Whether a document's bytes are what is shown of it.
    fn is_stored_form(&self) -> bool {
        self.transform == Transform::Whole && self.kind.form == Form::Served
    }

    /// A document in a list.
    fn item(&self, doc: &Doc) -> Result<Bytes, Failure> {
        match self.transform {
            Transform::Table(version) => Ok(encoded(&self.row(version, &tree(self.kind, doc)?))),
            Transform::MetadataList(version) => Ok(encoded(&metadata(version, &tree(self.kind, doc)?))),
            Transform::Whole | Transform::Metadata(_) => self.doc(doc),
        }
    }

    /// One event's object: like [`View::object`], but a watch tells a Table's columns only once.
    pub(crate) fn event(&self, object: &Value, first: bool) -> Result<Value, Failure> {
        let Transform::Table(version) = self.transform else { return self.object(object) };
        let meta = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
        let columns = if first { column_definitions(self.kind) } else { Value::Null };
        Ok(one_row(version, &meta, &columns, self.row(version, object)))
    }

    /// A bookmark's object: nothing but the revision, and whether it ends the present state.
    pub(crate) fn bookmark(&self, revision: Revision, ends_initial: bool) -> Value {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if ends_initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        match self.transform {
            Transform::Table(version) => {
                // kubectl reads the revision of the list, Go's informers that of the row.
                let object = json!({
                    "kind": self.kind.kind, "apiVersion": self.kind.api_version(), "metadata": metadata,
                });
                let row = json!({"cells": [], "object": object});
                one_row(version, &json!({"resourceVersion": revision.to_string()}), &Value::Null, row)
            }
            Transform::Metadata(version) | Transform::MetadataList(version) => json!({
                "kind": "PartialObjectMetadata", "apiVersion": version.api_version(), "metadata": metadata,
            }),
            Transform::Whole => json!({
                "kind": self.kind.kind, "apiVersion": self.kind.api_version(), "metadata": metadata,
            }),
        }
    }

    fn row(&self, version: MetaVersion, object: &Value) -> Value {
        let shown = match self.include {
            Include::Metadata => metadata(version, object),
            Include::Object => object.clone(),
            Include::Nothing => Value::Null,
        };
        json!({"cells": cells(self.kind, object, self.now), "object": shown})
    }
}

/// A Table without its rows.
fn table(version: MetaVersion, meta: &Value, columns: &Value) -> Value {
    json!({"kind": "Table", "apiVersion": version.api_version(), "metadata": meta, "columnDefinitions": columns})
}

fn one_row(version: MetaVersion, meta: &Value, columns: &Value, row: Value) -> Value {
    let mut table = table(version, meta, columns);
    table["rows"] = Value::Array(vec![row]);
    table
}

/// A document as `kind` serves it, as a tree, for as long as this answer is made.
pub(crate) fn tree(kind: &KindDef, doc: &Doc) -> Result<Value, Failure> {
    let mut tree = doc.value().map_err(|error| Failure::internal(error.to_string()))?;
    kind.form.show(kind, &mut tree);
    Ok(tree)
}

fn metadata(version: MetaVersion, object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": version.api_version(), "metadata": object["metadata"]})
}

fn encoded(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}
