//! One version of one object, shared by everybody who reads it.
//!
//! A [`Doc`] holds the exact bytes that are served (made once), the part of `metadata` that selects and links objects
//! (parsed once), and a typed value (decoded at most once, on demand). A JSON tree exists only inside one request.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::key::Key;
use super::labels::Labels;
use super::splice;
use crate::store::Revision;

/// One version of one object.
pub struct Doc {
    key: Key,
    revision: Revision,
    meta: Arc<Meta>,
    bytes: Bytes,
    typed: OnceLock<Arc<dyn Any + Send + Sync>>,
}

/// What selects and links objects, without decoding the whole of them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    pub uid: String,
    pub generation: i64,
    pub labels: Labels,
    pub finalizers: Box<[String]>,
    #[serde(rename = "ownerReferences")]
    pub owners: Box<[OwnerReference]>,
    /// When deletion was asked for: the object is going, and only finalizers hold it.
    #[serde(rename = "deletionTimestamp")]
    pub deletion: Option<Timestamp>,
    #[serde(rename = "creationTimestamp")]
    pub created: Option<Timestamp>,
    /// What an Event is about; for `core/events` only.
    #[serde(skip)]
    pub event: Option<Box<EventFields>>,
    /// Never in a stored document; one that has it was written by somebody else.
    resource_version: Option<String>,
}

/// The fields of a core/v1 Event that field selectors name; absent ones are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventFields {
    pub involved_object: Involved,
    pub reason: String,
    #[serde(rename = "type")]
    pub type_: String,
    pub reporting_component: String,
    pub source: EventSource,
}

/// `involvedObject` of an Event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Involved {
    pub api_version: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub resource_version: String,
    pub field_path: String,
}

/// `source` of an Event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct EventSource {
    pub component: String,
}

/// Stored bytes that are no document, or no document of the wanted type.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, or a field of the wrong type.
    #[error("failed to decode {key} at revision {revision}")]
    Json {
        key: Key,
        revision: Revision,
        #[source]
        source: serde_json::Error,
    },
    /// Not an object with an object `metadata`.
    #[error("{key} at revision {revision} has no metadata")]
    NoMetadata { key: Key, revision: Revision },
}

impl Doc {
    /// The document that `revision` wrote to `key`, from the bytes in the store (which carry no resourceVersion).
    ///
    /// # Errors
    /// When `stored` is no JSON object with an object `metadata`, or a field of [`Meta`] has another type.
    pub fn from_stored(key: Key, revision: Revision, stored: &[u8]) -> Result<Doc, DecodeError> {
        #[derive(Deserialize)]
        struct Envelope {
            metadata: Meta,
        }
        let json = |source| DecodeError::Json { key: key.clone(), revision, source };
        let Envelope { metadata: mut meta } = serde_json::from_slice(stored).map_err(json)?;
        let bytes = match meta.resource_version.take() {
            None => splice::with_revision(stored, revision),
            Some(_) => Some(rewritten(stored, revision).map_err(json)?),
        };
        if (key.resource.group(), key.resource.plural()) == ("", "events") {
            meta.event = Some(serde_json::from_slice(stored).map_err(json)?);
        }
        let bytes = bytes.ok_or_else(|| DecodeError::NoMetadata { key: key.clone(), revision })?;
        debug_assert_eq!(
            serde_json::from_slice::<Value>(&bytes).ok(),
            rewritten(stored, revision).and_then(|bytes| serde_json::from_slice(&bytes)).ok(),
            "splicing the revision in changes nothing else"
        );
        Ok(Doc { key, revision, meta: Arc::new(meta), bytes, typed: OnceLock::new() })
    }

    /// As [`Doc::from_stored`], of a document whose metadata says what `meta` does: that is shared, and not decoded again.
    pub(super) fn with_meta(
        key: Key,
        revision: Revision,
        meta: Arc<Meta>,
        stored: &[u8],
    ) -> Result<Doc, DecodeError> {
        let bytes = splice::with_revision(stored, revision);
        let bytes = bytes.ok_or_else(|| DecodeError::NoMetadata { key: key.clone(), revision })?;
        debug_assert_eq!(
            Doc::from_stored(key.clone(), revision, stored).ok().map(|doc| doc.meta.clone()).as_ref(),
            Some(&meta),
            "the metadata is what it was"
        );
        Ok(Doc { key, revision, meta, bytes, typed: OnceLock::new() })
    }

    /// Whose version this is.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The object's resourceVersion: the revision that wrote this version.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The parsed part of `metadata`.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The same, to be shared with a version that says nothing else in it.
    pub(super) fn shared_meta(&self) -> Arc<Meta> {
        self.meta.clone()
    }

    /// The document as it is served: JSON, resourceVersion included. Cloning shares it.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The document as a `K`, decoded at the first call and shared by all later ones of the same type.
    ///
    /// # Errors
    /// When a field has another type than in `K`.
    pub fn typed<K: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<Arc<K>, DecodeError> {
        if let Some(decoded) = self.typed.get().and_then(|any| any.clone().downcast::<K>().ok()) {
            return Ok(decoded);
        }
        let decoded: Arc<K> = Arc::new(self.decode()?);
        // Somebody else may have decoded meanwhile, or holds the document as another type: then this value is its own.
        let _ = self.typed.set(decoded.clone());
        Ok(decoded)
    }

    /// The whole document as a tree: only for within one request.
    ///
    /// # Errors
    /// Never for a document that could be made; the type leaves it to the caller to say so.
    pub fn value(&self) -> Result<Value, DecodeError> {
        self.decode()
    }

    fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        serde_json::from_slice(&self.bytes).map_err(|source| DecodeError::Json {
            key: self.key.clone(),
            revision: self.revision,
            source,
        })
    }
}

/// Equal is what is the same version of the same object.
impl PartialEq for Doc {
    fn eq(&self, other: &Doc) -> bool {
        self.revision == other.revision && self.key == other.key
    }
}

impl Eq for Doc {}

impl fmt::Debug for Doc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} @{}", self.key, self.revision)
    }
}

/// The slow way, for documents that somebody stored with a resourceVersion.
fn rewritten(stored: &[u8], revision: Revision) -> Result<Bytes, serde_json::Error> {
    let mut document: Value = serde_json::from_slice(stored)?;
    document["metadata"]["resourceVersion"] = Value::String(revision.to_string());
    serde_json::to_vec(&document).map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::key::Resource;
    use super::*;

    fn doc(plural: &str, stored: &str) -> Result<Doc, DecodeError> {
        Doc::from_stored(Key::new(&Resource::new("", plural), "ns", "x"), 7, stored.as_bytes())
    }

    #[test]
    fn served_bytes_carry_the_revision_and_meta_is_parsed() {
        let doc = doc(
            "secrets",
            r#"{"metadata":{"uid":"u","labels":{"a":"b"},"deletionTimestamp":"2026-11-20T10:00:00Z"}}"#,
        );
        let doc = doc.unwrap();
        assert!(doc.bytes().starts_with(br#"{"metadata":{"resourceVersion":"7","uid":"u""#));
        assert_eq!((doc.meta().uid.as_str(), &doc.meta().labels["a"]), ("u", "b"));
        assert!(doc.meta().deletion.is_some() && doc.meta().event.is_none());
    }

    #[test]
    fn a_stored_resource_version_is_replaced() {
        let doc = doc("secrets", r#"{"metadata":{"resourceVersion":"3"}}"#).unwrap();
        assert_eq!(doc.value().unwrap()["metadata"]["resourceVersion"], "7");
    }

    #[test]
    fn typed_value_is_decoded_once_and_shared() {
        let doc = doc("secrets", r#"{"metadata":{},"data":{"a":"b"}}"#).unwrap();
        let (first, second) = (doc.typed::<Value>().unwrap(), doc.typed::<Value>().unwrap());
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(doc.typed::<BTreeMap<String, Value>>().unwrap()["data"]["a"], "b");
        assert!(doc.typed::<Vec<u8>>().is_err());
    }

    #[test]
    fn events_tell_what_they_are_about() {
        let doc =
            doc("events", r#"{"metadata":{},"involvedObject":{"kind":"App","name":"web"},"type":"Normal"}"#);
        let event = doc.unwrap().meta().event.clone().unwrap();
        assert_eq!((event.involved_object.name.as_str(), event.type_.as_str()), ("web", "Normal"));
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for stored in ["", "[]", "{}", r#"{"metadata":[]}"#, r#"{"metadata":{"labels":7}}"#] {
            assert!(doc("secrets", stored).is_err(), "{stored}");
        }
    }
}
