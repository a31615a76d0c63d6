//! Structural schemas: what a CRD's `openAPIV3Schema` says, parsed once, and the walkers over it.
//!
//! ```text
//! body ─ nulls ─ prune ─ defaults ─ canonical ─ validate ─ document
//! ```
//!
//! Each walker is one file and one pass over a value and its schema. A schema that uses a keyword which no walker
//! obeys is refused when it is parsed, so that nothing it promises is silently left out.

mod canonical;
mod defaults;
mod found;
mod hint;
mod nulls;
mod object_meta;
mod parse;
mod prune;
mod structural;
mod validate;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

pub use canonical::canonicalise;
pub use defaults::{apply_defaults, defaults_faults};
pub use found::{Found, without};
pub(super) use hint::{declared, nearest};
pub use nulls::drop_nulls;
pub use object_meta::object_meta;
pub use parse::{SchemaError, root};
pub use prune::{Unknown, prune};
pub use structural::structural_faults;
pub use validate::{validate, validate_update};

/// What a value at one place may be.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    pub type_: Type,
    pub nullable: bool,
    pub format: Option<String>,
    pub properties: BTreeMap<String, Schema>,
    /// What values of undeclared keys must be.
    pub additional: Option<Box<Schema>>,
    pub items: Option<Box<Schema>>,
    pub required: Vec<String>,
    pub default: Option<Value>,
    /// Undeclared keys are kept.
    pub preserve_unknown: bool,
    pub list: ListType,
    /// An object that is owned and replaced as one value.
    pub atomic_map: bool,
    pub rules: Rules,
}

/// JSON types, as schemas name them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Type {
    /// Nothing is said about the type.
    #[default]
    Any,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
}

/// How items of a list are told apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ListType {
    /// The list is one value.
    #[default]
    Atomic,
    /// Each scalar stands once.
    Set,
    /// Each item is known by the values of these fields.
    Map(Vec<String>),
}

/// Limits beyond the type.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    pub enum_: Vec<Value>,
    pub minimum: Option<Bound>,
    pub maximum: Option<Bound>,
    pub multiple_of: Option<f64>,
    pub min_length: Option<usize>,
    pub max_length: Option<usize>,
    pub pattern: Option<Regex>,
    pub min_items: Option<usize>,
    pub max_items: Option<usize>,
    pub min_properties: Option<usize>,
    pub max_properties: Option<usize>,
    pub all_of: Vec<Schema>,
    pub any_of: Vec<Schema>,
    pub one_of: Vec<Schema>,
    pub not: Option<Box<Schema>>,
}

/// One end of a range.
#[derive(Debug, Clone)]
pub struct Bound {
    pub value: f64,
    /// As written, for messages.
    pub text: String,
    pub exclusive: bool,
}

impl Schema {
    /// Says nothing: maps field by field, lists as one value.
    #[must_use]
    pub const fn open() -> Schema {
        Schema {
            type_: Type::Any,
            nullable: false,
            format: None,
            properties: BTreeMap::new(),
            additional: None,
            items: None,
            required: Vec::new(),
            default: None,
            preserve_unknown: true,
            list: ListType::Atomic,
            atomic_map: false,
            rules: Rules {
                enum_: Vec::new(),
                minimum: None,
                maximum: None,
                multiple_of: None,
                min_length: None,
                max_length: None,
                pattern: None,
                min_items: None,
                max_items: None,
                min_properties: None,
                max_properties: None,
                all_of: Vec::new(),
                any_of: Vec::new(),
                one_of: Vec::new(),
                not: None,
            },
        }
    }

    /// The schema of the field `name` of an object, if anything is said about it.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Schema> {
        self.properties.get(name).or(self.additional.as_deref())
    }
}

impl Type {
    /// As in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Type::Any => "",
            Type::Object => "object",
            Type::Array => "array",
            Type::String => "string",
            Type::Integer => "integer",
            Type::Number => "number",
            Type::Boolean => "boolean",
            Type::IntOrString => "integer,string",
        }
    }
}
