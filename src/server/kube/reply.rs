//! Answers: objects, lists, Status errors and warnings as HTTP.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use super::accept::Encoding;
use crate::registry::Failure;

pub(crate) const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const WARNING: HeaderName = HeaderName::from_static("warning");
/// Characters of one warning, once all of them together pass [`WARNINGS_MAX`].
const WARNING_MAX: usize = 256;
/// Characters of all that are told.
const WARNINGS_MAX: usize = 4_096;

/// `value` in the agreed encoding.
pub(crate) fn value(status: StatusCode, value: &Value, encoding: Encoding) -> Response {
    match encoding {
        Encoding::Json => bytes(status, JSON, Bytes::from(value.to_string())),
        Encoding::Yaml => match serde_saphyr::to_string(value) {
            Ok(text) => bytes(status, YAML, Bytes::from(text)),
            Err(error) => failure(&Failure::internal(format!("failed to write YAML: {error}"))),
        },
    }
}

/// Bytes that are already encoded.
pub(crate) fn bytes(status: StatusCode, content_type: &'static str, bytes: Bytes) -> Response {
    body(status, content_type, Body::from(bytes))
}

/// A body that is made while it is sent.
pub(crate) fn body(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A Status; always JSON, which every client reads.
pub(crate) fn failure(failure: &Failure) -> Response {
    let status = StatusCode::from_u16(failure.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = value(status, &failure.status(), Encoding::Json);
    if let Some(seconds) = failure.retry_after_secs {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What real servers answer to a path they do not know.
pub(crate) fn not_found() -> Response {
    bytes(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", Bytes::from_static(b"404 page not found\n"))
}

/// Adds `warnings`, which kubectl prints: each once, and when they are many the first, shortened.
pub(crate) fn warn(response: &mut Response, warnings: &[String]) {
    let total: usize = warnings.iter().map(|warning| warning.chars().count()).sum();
    let (mut told, mut left) = (BTreeSet::new(), WARNINGS_MAX);
    for warning in warnings {
        if !told.insert(warning) {
            continue;
        }
        let mut text: String = warning.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if total > WARNINGS_MAX {
            text = text.chars().take(WARNING_MAX).collect();
        }
        let Some(rest) = left.checked_sub(text.chars().count()) else { break };
        left = rest;
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(header) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            response.headers_mut().append(WARNING, header);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_escaped_and_told_once() {
        let mut response = not_found();
        let warning = "unknown field \"spec.bogus\"".to_owned();
        warn(&mut response, &[warning.clone(), warning, "a\nb".to_owned()]);
        let told: Vec<_> = response.headers().get_all(WARNING).iter().map(|v| v.to_str().unwrap()).collect();
        assert_eq!(told, [r#"299 - "unknown field \"spec.bogus\"""#, r#"299 - "a b""#]);
    }

    #[test]
    fn of_very_many_warnings_as_many_are_told_as_clients_take() {
        let mut response = not_found();
        let warnings: Vec<String> = (0..50_000).map(|at| format!("{at:0300}")).collect();
        warn(&mut response, &warnings);
        let told: Vec<usize> = response.headers().get_all(WARNING).iter().map(|text| text.len()).collect();
        assert_eq!(told, [WARNING_MAX + "299 - \"\"".len(); WARNINGS_MAX / WARNING_MAX]);
    }

    #[test]
    fn a_failure_tells_when_a_repeat_is_welcome() {
        let response = failure(&Failure::revision_too_large(9, 5));
        assert_eq!(
            (response.status(), &response.headers()[RETRY_AFTER]),
            (StatusCode::GATEWAY_TIMEOUT, &HeaderValue::from(1))
        );
    }
}
