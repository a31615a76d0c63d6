//! OpenAPI documents of the served kinds: version 3 by group and version, and version 2 as JSON and as protobuf.
//!
//! kubectl reads from them whether the server knows dry runs and field validation, which patches a kind takes, and
//! what `explain` shows; kubectl 1.20 and Argo CD read nothing but the protobuf form of version 2.
//!
//! ```text
//! KindDef ── definitions ──┬── v3 ── JSON by group and version
//!         └─ operations  ──┴── v2 ── JSON ── gnostic ── protobuf
//! ```

mod definitions;
mod gnostic;
mod operations;
mod v2;
mod v3;

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use serde_json::{Map, Value, json};

use super::published::Published;
use crate::registry::KindDef;

/// Everything that OpenAPI says about the served kinds; made once per set of kinds.
#[derive(Debug)]
pub(crate) struct Documents {
    /// `/openapi/v3`
    pub(crate) index: Published,
    /// `/openapi/v3/…`, by group and version.
    pub(crate) v3: BTreeMap<(String, String), Published>,
    pub(crate) v2_json: Published,
    pub(crate) v2_protobuf: Published,
}

impl Documents {
    pub(crate) fn of(kinds: &[&KindDef]) -> Documents {
        let meta = definitions::meta();
        let mut groups: BTreeMap<(String, String), Vec<&KindDef>> = BTreeMap::new();
        for &kind in kinds {
            groups.entry((kind.group.clone(), kind.version.clone())).or_default().push(kind);
        }
        let v3: BTreeMap<_, _> = groups
            .into_iter()
            .map(|(version, kinds)| (version, Published::json(&v3::document(&kinds, &meta))))
            .collect();
        let v2 = v2::document(kinds, &meta);
        let protobuf = gnostic::Document::from(&v2).encode_to_vec();
        Documents {
            index: Published::json(&index(&v3)),
            v3,
            v2_protobuf: Published::new(Bytes::from(protobuf)),
            v2_json: Published::json(&v2),
        }
    }
}

fn index(documents: &BTreeMap<(String, String), Published>) -> Value {
    let paths: Map<String, Value> = documents
        .iter()
        .map(|((group, version), document)| {
            let path = relative_root(group, version);
            let url = format!("/openapi/v3/{path}?hash={}", document.hash);
            (path, json!({ "serverRelativeURL": url }))
        })
        .collect();
    json!({ "paths": paths })
}

/// `apis/tenure.dev/v1`, or `api/v1` for the core group.
fn relative_root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// `[{group, version, kind}]`, by which clients find a schema or an operation of a kind.
fn gvk(group: &str, version: &str, kind: &str) -> Value {
    json!({ "group": group, "version": version, "kind": kind })
}
