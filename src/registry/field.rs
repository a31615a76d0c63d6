//! Paths of fields, and the faults that a schema can find beside those of [`crate::api`].

use std::fmt;

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

/// The most faults of one kind that are told about one document: what people read, and no more than the server can say.
pub const FAULTS_MAX: usize = 100;
/// A path is told up to about here.
const PATH_BYTES_MAX: usize = 1_024;

/// Where a walk over a document stands. It becomes text only where there is a fault to tell: what is sent may have names of a
/// megabyte with many fields below them.
#[derive(Debug, Clone, Copy)]
pub enum Place<'p> {
    /// Where the walk began; empty for the document itself.
    Root(&'p str),
    Field(&'p Place<'p>, &'p str),
    Item(&'p Place<'p>, usize),
}

impl Place<'_> {
    /// The path for people, cut where it is longer than anybody reads.
    #[must_use]
    pub fn told(&self) -> String {
        cut(self.to_string())
    }
}

/// A path without what nobody reads of it.
#[must_use]
pub fn cut(mut path: String) -> String {
    if path.len() > PATH_BYTES_MAX {
        let ends = |at: &usize| path.is_char_boundary(*at);
        path.truncate((0..=PATH_BYTES_MAX).rev().find(ends).unwrap_or_default());
        path.push('…');
    }
    path
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Root(path) => f.write_str(path),
            Place::Field(Place::Root(""), name) => f.write_str(name),
            Place::Field(parent, name) => write!(f, "{parent}.{name}"),
            Place::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_spelled_as_its_path() {
        let root = Place::Root("");
        let ports = Place::Field(&root, "ports");
        let name = Place::Item(&ports, 1);
        let name = Place::Field(&name, "name");
        assert_eq!((name.to_string(), root.to_string()), ("ports[1].name".to_owned(), String::new()));
        assert_eq!(Place::Field(&Place::Root("spec"), "cmd").to_string(), child("spec", "cmd"));
        let long = "ü".repeat(PATH_BYTES_MAX);
        assert_eq!(Place::Root(&long).told(), format!("{}…", "ü".repeat(PATH_BYTES_MAX / 2)));
    }
}
