//! Secrets that stand for tokens of people: what must be in one, so that none is kept that would be good for nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use crate::registry::field::FieldError;

/// The type of such a Secret.
pub const TYPE: &str = "tenure.dev/token";
/// Where they stand.
pub const NAMESPACE: &str = "kube-system";

/// What its Secret is called, which tells nothing of the token whose hash this is.
#[must_use]
pub fn name(hash: &str) -> String {
    format!("token-{}", hash.get(..16).unwrap_or(hash))
}

/// A field of its data, decoded; none when it is absent or no text.
#[must_use]
pub fn field(secret: &Value, name: &str) -> Option<String> {
    let bytes = STANDARD.decode(secret["data"][name].as_str()?).ok()?;
    String::from_utf8(bytes).ok()
}

/// What is wrong with a Secret of this type; nothing with one of another.
pub(super) fn faults(secret: &Value) -> Vec<FieldError> {
    if secret["type"] != TYPE {
        return Vec::new();
    }
    let mut faults = Vec::new();
    let metadata = |name: &str| secret["metadata"][name].as_str().unwrap_or_default();
    if metadata("namespace") != NAMESPACE {
        let text = format!("Secrets of type {TYPE} stand in {NAMESPACE}");
        faults.push(FieldError::forbidden("metadata.namespace", text));
    }
    // Values are not shown: they are a Secret's.
    let hidden = || Value::Null;
    let hash = field(secret, "hash").unwrap_or_default();
    if hash.len() != 64 || !hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        faults.push(FieldError::invalid(
            "data.hash",
            hidden(),
            "must be the SHA-256 of the token in lower-case hex",
        ));
    } else if metadata("name") != name(&hash) {
        let text = "must be token- and the first 16 characters of the hash";
        faults.push(FieldError::invalid("metadata.name", metadata("name"), text));
    }
    match field(secret, "user").unwrap_or_default() {
        user if user.is_empty() => faults.push(FieldError::required("data.user", "")),
        user if user.starts_with("system:") => {
            faults
                .push(FieldError::forbidden("data.user", "names that begin with system: are not for people"));
        }
        _ => {}
    }
    if field(secret, "groups").unwrap_or_default().split(',').any(|group| group.trim().starts_with("system:"))
    {
        faults
            .push(FieldError::forbidden("data.groups", "groups that begin with system: are not for people"));
    }
    if field(secret, "expiration").is_some_and(|end| end.trim().parse::<Timestamp>().is_err()) {
        faults.push(FieldError::invalid(
            "data.expiration",
            hidden(),
            "must be a time such as 2026-11-20T10:00:00Z",
        ));
    }
    faults
}
