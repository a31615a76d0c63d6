//! A served kind: its names, its schema and what the registry does with its objects.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::crd::cel::Expressions;
use super::field::FieldError;
use super::form::Form;
use super::jsonpath::JsonPath;
use super::key::{Key, Resource};
use super::names::NameRule;
use super::schema::Schema;

/// A kind's own rules beyond its schema: the new object, and the one it replaces.
pub type Rules = fn(plural: &str, new: &Value, old: Option<&Value>) -> Vec<FieldError>;

/// What else happens to an object of a core kind before it is validated (a Secret's `stringData`, say).
pub type Prepare = fn(object: &mut Value);

/// A served kind, made from a CRD (ours or a user's) or, for the core kinds, by hand.
pub struct KindDef {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    /// CamelCase singular, as in documents.
    pub kind: String,
    pub list_kind: String,
    pub plural: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    /// Group and plural of what is stored, as in store keys.
    pub resource: Resource,
    /// How objects are kept.
    pub form: Form,
    pub schema: Arc<Schema>,
    /// The schema as it was written: what OpenAPI publishes.
    pub openapi: Arc<Value>,
    /// Whether `/status` is a subresource.
    pub status: bool,
    pub scale: Option<ScalePaths>,
    /// Columns behind the name.
    pub columns: Vec<Column>,
    pub origin: Origin,
    /// Fields beside `metadata.name` and `metadata.namespace` that a field selector may name.
    pub selectable: Vec<String>,
    /// What whoever uses it is warned of.
    pub deprecation: Option<String>,
    /// Whether it has a route; otherwise its objects are only kept so.
    pub served: bool,
    /// Its definition is going: nothing new comes into being.
    pub terminating: bool,
    /// Whether changes of `spec` are counted by `metadata.generation`.
    pub counted: bool,
    pub name_rule: NameRule,
    pub rules: Option<Rules>,
    /// Rules that its definition brings.
    pub expressions: Option<Arc<Expressions>>,
    pub prepare: Option<Prepare>,
    /// `spec` holds finalizers and nothing else, which people's writes leave alone: a Namespace's.
    pub holds_by_spec: bool,
    /// Every new object holds these, so that a controller sees it out.
    pub finalizers: &'static [&'static str],
    /// Objects vanish this long after their last write.
    pub ttl: Option<Duration>,
}

/// Where a kind comes from, which decides a few manners of its API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Built in: a body may leave out apiVersion and kind, a PUT the resourceVersion; strategic merge patches work.
    Core,
    /// From a CustomResourceDefinition.
    Custom,
}

/// Where `/scale` finds its numbers.
#[derive(Debug, Clone)]
pub struct ScalePaths {
    pub spec: JsonPath,
    pub status: JsonPath,
    pub selector: Option<JsonPath>,
}

/// A printer column.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub type_: ColumnType,
    pub format: String,
    pub description: String,
    /// 0: always shown; above: only `-o wide`.
    pub priority: i32,
    pub cell: Cell,
}

/// Where the value of a cell comes from.
#[derive(Debug, Clone)]
pub enum Cell {
    /// From a place of the object.
    At(JsonPath),
    /// It is made of the whole object.
    Made(fn(&Value) -> Value),
}

/// What a cell holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    Integer,
    Number,
    String,
    Boolean,
    Date,
}

impl ColumnType {
    /// The type called `name`.
    #[must_use]
    pub fn parse(name: &str) -> Option<ColumnType> {
        Some(match name {
            "integer" => ColumnType::Integer,
            "number" => ColumnType::Number,
            "string" => ColumnType::String,
            "boolean" => ColumnType::Boolean,
            "date" => ColumnType::Date,
            _ => return None,
        })
    }

    /// As in a CRD and a Table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ColumnType::Integer => "integer",
            ColumnType::Number => "number",
            ColumnType::String => "string",
            ColumnType::Boolean => "boolean",
            ColumnType::Date => "date",
        }
    }
}

impl KindDef {
    /// `tenure.dev/v1`, or `v1` for the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `apps.tenure.dev`, or `secrets` for the core group.
    #[must_use]
    pub fn group_resource(&self) -> String {
        qualified(&self.plural, &self.group)
    }

    /// `App.tenure.dev`, or `Secret` for the core group.
    #[must_use]
    pub fn group_kind(&self) -> String {
        qualified(&self.kind, &self.group)
    }

    /// The key of the object `name`; `namespace` is ignored for a cluster kind.
    #[must_use]
    pub fn key(&self, namespace: &str, name: &str) -> Key {
        Key::new(&self.resource, if self.namespaced { namespace } else { "" }, name)
    }

    /// Whether it is built in.
    #[must_use]
    pub fn is_core(&self) -> bool {
        self.origin == Origin::Core
    }
}

fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

impl fmt::Debug for KindDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KindDef").field(&self.group_kind()).finish()
    }
}
