//! Paths of fields, and the faults that a schema can find beside those of [`crate::api`].

use serde_json::Value;

pub use crate::api::FieldError;
pub use crate::api::field::Reason as FieldReason;

/// `parent.name`, without a dot at the root.
#[must_use]
pub fn child(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

/// `parent[index]`.
#[must_use]
pub fn item(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}

/// The value has the wrong type; `got` names the type that it has.
#[must_use]
pub fn wrong_type(path: &str, got: &str, message: String) -> FieldError {
    FieldError { path: path.to_owned(), value: got.into(), reason: FieldReason::TypeInvalid, message }
}

/// More than `max` bytes.
#[must_use]
pub fn too_long(path: &str, max: usize) -> FieldError {
    let message = format!("may not be more than {max} bytes");
    FieldError { path: path.to_owned(), value: Value::Null, reason: FieldReason::TooLong, message }
}

/// More than `max` items.
#[must_use]
pub fn too_many(path: &str, count: usize, max: usize) -> FieldError {
    let message = format!("{count}: must have at most {max} items");
    FieldError { path: path.to_owned(), value: Value::Null, reason: FieldReason::TooMany, message }
}
