//! Paths of fields, and the faults that a schema can find beside those of [`crate::api`].

use std::fmt::{self, Write as _};

use serde_json::Value;

use super::apply::PathElement;
pub use crate::api::FieldError;
pub use crate::api::field::{Reason as FieldReason, cut};

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

/// The most faults that are told about one document: what people read, and no more than the server can say.
pub const FAULTS_MAX: usize = 100;

/// Where a walk over a document stands. It becomes text only where there is a fault to tell, and is cut there where it is longer
/// than anybody reads: what is sent may have names of a megabyte with many fields below them.
#[derive(Debug, Clone, Copy)]
pub enum Place<'p> {
    /// Where the walk began; empty for the document itself.
    Root(&'p str),
    /// The document itself, where paths begin with a dot.
    Dotted,
    Field(&'p Place<'p>, &'p str),
    Item(&'p Place<'p>, usize),
    /// An item of a list, by what it is known by.
    Element(&'p Place<'p>, &'p PathElement),
}

impl Place<'_> {
    fn spell(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Root(path) => f.write_str(path),
            Place::Dotted => Ok(()),
            Place::Field(Place::Root(""), name) => f.write_str(name),
            Place::Field(parent, name) => {
                parent.spell(f)?;
                f.write_char('.')?;
                f.write_str(name)
            }
            Place::Item(parent, index) => {
                parent.spell(f)?;
                write!(f, "[{index}]")
            }
            Place::Element(parent, step) => {
                parent.spell(f)?;
                write!(f, "{step}")
            }
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&cut(Spelled(self)))
    }
}

/// All of a path, of which only so much is asked for as is shown.
struct Spelled<'p>(&'p Place<'p>);

impl fmt::Display for Spelled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.spell(f)
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
        assert_eq!(Place::Item(&Place::Field(&Place::Dotted, "cmd"), 2).to_string(), ".cmd[2]");
        let step = PathElement::Key(r#"{"name":"A"}"#.to_owned());
        assert_eq!(Place::Element(&ports, &step).to_string(), r#"ports[name="A"]"#);
        let long = "x".repeat(1_000_000);
        let name = Place::Field(&root, &long);
        assert_eq!(Place::Item(&name, 1).to_string(), cut(&long));
    }
}
