//! How objects are shown: whole, as rows of a Table, or by their metadata only.
//!
//! What is shown whole is never decoded: a document's bytes are what is served, so a list is made by joining them.

use bytes::{BufMut, Bytes, BytesMut};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::accept::{MetaVersion, Transform};
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
    pub(crate) kind: &'a KindDef,
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
        match self.transform {
            Transform::Whole if self.kind.form == Form::Served => Ok(doc.bytes().clone()),
            _ => Ok(encoded(&self.object(&tree(self.kind, doc)?)?)),
        }
    }

    /// One object that is not stored in this form: the result of a dry run, a Scale.
    pub(crate) fn object(&self, object: &Value) -> Result<Value, Failure> {
        match self.transform {
            Transform::Whole => Ok(object.clone()),
            Transform::Metadata(version) => Ok(metadata(version, object)),
            Transform::Table(version) => {
                let meta = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
                Ok(self.table(version, meta, column_definitions(self.kind), vec![self.row(version, object)]))
            }
            Transform::MetadataList(_) => Err(Failure::internal("content is not a list")),
        }
    }

    /// A list of stored documents.
    pub(crate) fn list<'d>(
        &self,
        docs: impl IntoIterator<Item = &'d Doc>,
        meta: &ListMeta,
    ) -> Result<Bytes, Failure> {
        let trees = docs.into_iter();
        match self.transform {
            Transform::Whole => self.joined(trees, meta),
            Transform::Table(version) => {
                let rows: Result<_, Failure> =
                    trees.map(|doc| Ok(self.row(version, &tree(self.kind, doc)?))).collect();
                Ok(encoded(&self.table(version, meta.value(), column_definitions(self.kind), rows?)))
            }
            Transform::MetadataList(version) => {
                let items: Result<Vec<_>, Failure> =
                    trees.map(|doc| Ok(metadata(version, &tree(self.kind, doc)?))).collect();
                Ok(encoded(&json!({
                    "kind": "PartialObjectMetadataList", "apiVersion": version.api_version(),
                    "metadata": meta.value(), "items": items?,
                })))
            }
            Transform::Metadata(_) => Err(Failure::internal("content is a list")),
        }
    }

    /// One event's object: like [`View::object`], but a watch tells a Table's columns only once.
    pub(crate) fn event(&self, object: &Value, first: bool) -> Result<Value, Failure> {
        let Transform::Table(version) = self.transform else { return self.object(object) };
        let meta = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
        let columns = if first { column_definitions(self.kind) } else { Value::Null };
        Ok(self.table(version, meta, columns, vec![self.row(version, object)]))
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
                self.table(version, json!({"resourceVersion": revision.to_string()}), Value::Null, vec![row])
            }
            Transform::Metadata(version) | Transform::MetadataList(version) => json!({
                "kind": "PartialObjectMetadata", "apiVersion": version.api_version(), "metadata": metadata,
            }),
            Transform::Whole => json!({
                "kind": self.kind.kind, "apiVersion": self.kind.api_version(), "metadata": metadata,
            }),
        }
    }

    fn joined<'d>(&self, docs: impl Iterator<Item = &'d Doc>, meta: &ListMeta) -> Result<Bytes, Failure> {
        let mut list = BytesMut::with_capacity(4_096);
        let head = json!({"kind": self.kind.list_kind, "apiVersion": self.kind.api_version(), "metadata": meta.value()});
        let head = head.to_string();
        // An object's text without its closing brace, so that the items can follow.
        list.put_slice(head.strip_suffix('}').unwrap_or(&head).as_bytes());
        list.put_slice(b",\"items\":[");
        for (index, doc) in docs.enumerate() {
            if index > 0 {
                list.put_u8(b',');
            }
            list.put_slice(&self.doc(doc)?);
        }
        list.put_slice(b"]}\n");
        Ok(list.freeze())
    }

    fn table(&self, version: MetaVersion, meta: Value, columns: Value, rows: Vec<Value>) -> Value {
        json!({
            "kind": "Table", "apiVersion": version.api_version(), "metadata": meta, "columnDefinitions": columns,
            "rows": rows,
        })
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
