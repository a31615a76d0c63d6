//! Documents about the API itself: made once, named by their hash, and not sent to a client that has them.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A document and its hash.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    bytes: Bytes,
    /// Upper-case hex; part of a URL and of the ETag.
    pub(crate) hash: String,
}

impl Published {
    pub(crate) fn new(bytes: Bytes) -> Published {
        let digest = Sha256::digest(&bytes);
        let hash = digest.iter().take(16).map(|byte| format!("{byte:02X}")).collect();
        Published { bytes, hash }
    }

    pub(crate) fn json(value: &Value) -> Published {
        Published::new(Bytes::from(value.to_string()))
    }

    /// The document, or 304 when `asked` already names it.
    pub(crate) fn answer(&self, content_type: &'static str, asked: &HeaderMap) -> Response {
        let etag = format!("\"{}\"", self.hash);
        let known = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let fresh = known
            .flat_map(|value| value.split(','))
            .any(|value| value.trim().trim_start_matches("W/") == etag);
        let (status, body) = if fresh {
            (StatusCode::NOT_MODIFIED, Body::empty())
        } else {
            (StatusCode::OK, Body::from(self.bytes.clone()))
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(VARY, HeaderValue::from_static("Accept"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            headers.insert(ETAG, etag);
        }
        response
    }

    /// The same under a URL that holds the hash: a client may keep it for ever.
    pub(crate) fn answer_for_ever(&self, content_type: &'static str, asked: &HeaderMap) -> Response {
        let mut response = self.answer(content_type, asked);
        let year = HeaderValue::from_static("public, immutable, max-age=31536000");
        response.headers_mut().insert(CACHE_CONTROL, year);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_has_the_document_does_not_get_it_again() {
        let document = Published::json(&Value::Null);
        let mut headers = HeaderMap::new();
        let first = document.answer("application/json", &headers);
        assert_eq!(first.status(), StatusCode::OK);
        headers.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());
        assert_eq!(document.answer("application/json", &headers).status(), StatusCode::NOT_MODIFIED);
    }
}
