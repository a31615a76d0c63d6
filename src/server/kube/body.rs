//! What a request carries: read within bounds, then decoded by its content type.

use std::time::Duration;

use axum::body::Body as Stream;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::protobuf;
use crate::registry::body::{Body, Encoding};
use crate::registry::failure::BODY_BYTES_MAX;
use crate::registry::{Failure, KindDef, Patch};

/// How long a client may take to send a body.
const SEND_MAX: Duration = Duration::from_secs(60);
/// So much of a body is read, though not kept, when it is too large: a client that is still sending sees a broken
/// connection instead of the answer.
const DISCARD_BYTES_MAX: usize = 4 * BODY_BYTES_MAX;

const OBJECT_TYPES: &str = "application/json, application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Reads the whole body.
pub(super) async fn read(body: Stream) -> Result<Bytes, Failure> {
    let late = format!("the body did not arrive within {} s", SEND_MAX.as_secs());
    timeout(SEND_MAX, collect(body)).await.unwrap_or_else(|_| Err(Failure::bad_request(late)))
}

async fn collect(mut body: Stream) -> Result<Bytes, Failure> {
    let (mut kept, mut length) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Failure::bad_request(format!("the body cannot be read: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length <= BODY_BYTES_MAX {
            kept.extend_from_slice(&data);
        } else if length <= DISCARD_BYTES_MAX {
            kept.clear();
        } else {
            return Err(Failure::body_too_large());
        }
    }
    if length > BODY_BYTES_MAX { Err(Failure::body_too_large()) } else { Ok(kept.freeze()) }
}

/// An object of `kind`, or a Scale of one.
pub(super) fn object(kind: &str, headers: &HeaderMap, bytes: &[u8]) -> Result<Body, Failure> {
    if content_type(headers) == PROTOBUF {
        return protobuf::decode(bytes);
    }
    let encoding = object_encoding(headers)?;
    Body::decode(bytes, encoding).map_err(|error| error.of_object(kind, bytes))
}

/// Options that may be left out.
pub(super) fn options(headers: &HeaderMap, bytes: &[u8]) -> Result<Body, Failure> {
    if bytes.is_empty() { Ok(Body::default()) } else { object("DeleteOptions", headers, bytes) }
}

/// A patch for an object of `kind`. Whether the kind takes it is decided where it is applied.
pub(super) fn patch(kind: &KindDef, headers: &HeaderMap, bytes: &[u8]) -> Result<Patch, Failure> {
    let decode = |encoding| Body::decode(bytes, encoding).map_err(|error| error.of_patch());
    match content_type(headers) {
        "application/json-patch+json" => decode(Encoding::Json).map(Patch::Json),
        "application/merge-patch+json" => decode(Encoding::Json).map(Patch::Merge),
        "application/strategic-merge-patch+json" => decode(Encoding::Json).map(Patch::Strategic),
        // Nearly always JSON, which is YAML too, and whose reader is far faster.
        "application/apply-patch+yaml" => match Body::decode(bytes, Encoding::Json) {
            Ok(body) => Ok(Patch::Apply(body)),
            Err(_) => decode(Encoding::Yaml).map(Patch::Apply),
        },
        _ => Err(Failure::unsupported_media_type(Patch::accepted(kind))),
    }
}

/// Whether the patch is a server-side apply: its options follow other rules.
pub(super) fn is_apply(headers: &HeaderMap) -> bool {
    content_type(headers) == "application/apply-patch+yaml"
}

/// The media type of the body, without parameters; empty when there is none.
fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

fn object_encoding(headers: &HeaderMap) -> Result<Encoding, Failure> {
    match content_type(headers) {
        // Sent without a type by every kubectl's scale, and by kubectl 1.20's typed creates.
        "" | "application/json" => Ok(Encoding::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(Encoding::Yaml),
        _ => Err(Failure::unsupported_media_type(OBJECT_TYPES)),
    }
}
