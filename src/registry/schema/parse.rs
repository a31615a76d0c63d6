//! Parses `openAPIV3Schema`, and refuses what no walker obeys.

use std::collections::BTreeMap;

use regex::Regex;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Bound, ListType, Rules, Schema, Type, object_meta};
use crate::registry::field::{child, item};

/// Why a schema is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    #[error("{path}: {keyword} is not supported")]
    Unsupported { path: String, keyword: String },
    #[error("{path}: {keyword}: {problem}")]
    Malformed { path: String, keyword: &'static str, problem: String },
}

/// Keywords without an effect on documents.
const SILENT: [&str; 5] = ["description", "title", "example", "externalDocs", "$schema"];

/// Keywords that the walkers obey.
const OBEYED: [&str; 32] = [
    "type",
    "nullable",
    "format",
    "properties",
    "additionalProperties",
    "items",
    "required",
    "default",
    "enum",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    // By `crd::cel`.
    "x-kubernetes-validations",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
];

/// Whether schemas may have `keyword`.
#[must_use]
pub fn is_keyword(keyword: &str) -> bool {
    OBEYED.contains(&keyword) || SILENT.contains(&keyword)
}

/// Parses the schema of a whole object. `metadata` is always Kubernetes' own ObjectMeta.
///
/// # Errors
/// When a keyword is unknown, malformed or not supported.
pub fn root(schema: &Value) -> Result<Schema, SchemaError> {
    let mut root = parse(schema, "")?;
    let mut meta = object_meta();
    // What a definition may say about it: which names there may be.
    for (name, said) in root.properties.remove("metadata").into_iter().flat_map(|it| it.properties) {
        if let Some(field) = meta.properties.get_mut(&name).filter(|field| field.type_ == said.type_) {
            field.rules = said.rules;
        }
    }
    root.properties.insert("metadata".to_owned(), meta);
    for name in ["apiVersion", "kind"] {
        root.properties
            .entry(name.to_owned())
            .or_insert_with(|| Schema { type_: Type::String, ..Schema::default() });
    }
    Ok(root)
}

fn parse(value: &Value, path: &str) -> Result<Schema, SchemaError> {
    let map = value.as_object().ok_or_else(|| malformed(path, "schema", "must be an object"))?;
    let node = Node { map, path };
    node.refuse_unknown()?;
    let mut schema = Schema {
        type_: node.type_()?,
        nullable: node.flag("nullable")?,
        format: node.read("format")?,
        properties: node.properties()?,
        additional: node.additional()?,
        items: node.inner("items")?.map(Box::new),
        required: node.read("required")?.unwrap_or_default(),
        default: node.map.get("default").cloned(),
        preserve_unknown: node.flag("x-kubernetes-preserve-unknown-fields")?,
        list: node.list()?,
        atomic_map: node.read::<String>("x-kubernetes-map-type")?.is_some_and(|kind| kind == "atomic"),
        rules: node.rules()?,
    };
    if node.flag("x-kubernetes-embedded-resource")? {
        embed(&mut schema);
    }
    Ok(schema)
}

/// What every object has, whole objects within others too.
fn embed(schema: &mut Schema) {
    schema.properties.insert("metadata".to_owned(), object_meta());
    for name in ["apiVersion", "kind"] {
        let text = || Schema { type_: Type::String, ..Schema::default() };
        schema.properties.entry(name.to_owned()).or_insert_with(text);
        if !schema.required.iter().any(|required| required == name) {
            schema.required.push(name.to_owned());
        }
    }
}

fn malformed(path: &str, keyword: &'static str, problem: impl ToString) -> SchemaError {
    SchemaError::Malformed { path: path.to_owned(), keyword, problem: problem.to_string() }
}

struct Node<'s> {
    map: &'s Map<String, Value>,
    path: &'s str,
}

impl Node<'_> {
    fn refuse_unknown(&self) -> Result<(), SchemaError> {
        // Not unique is what every list is.
        let known = |keyword: &str, value: &Value| {
            is_keyword(keyword) || (keyword == "uniqueItems" && value != &Value::Bool(true))
        };
        match self.map.iter().find(|(keyword, value)| !known(keyword, value)) {
            Some((keyword, _)) => Err(SchemaError::Unsupported {
                path: if self.path.is_empty() { "<root>".to_owned() } else { self.path.to_owned() },
                keyword: keyword.clone(),
            }),
            None => Ok(()),
        }
    }

    fn read<T: DeserializeOwned>(&self, keyword: &'static str) -> Result<Option<T>, SchemaError> {
        match self.map.get(keyword) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                T::deserialize(value).map(Some).map_err(|error| malformed(self.path, keyword, error))
            }
        }
    }

    fn flag(&self, keyword: &'static str) -> Result<bool, SchemaError> {
        Ok(self.read(keyword)?.unwrap_or(false))
    }

    fn type_(&self) -> Result<Type, SchemaError> {
        if self.flag("x-kubernetes-int-or-string")? {
            return Ok(Type::IntOrString);
        }
        match self.read::<String>("type")?.as_deref() {
            None | Some("") => Ok(Type::Any),
            Some("object") => Ok(Type::Object),
            Some("array") => Ok(Type::Array),
            Some("string") => Ok(Type::String),
            Some("integer") => Ok(Type::Integer),
            Some("number") => Ok(Type::Number),
            Some("boolean") => Ok(Type::Boolean),
            Some(other) => Err(malformed(self.path, "type", format!("{other:?} is not a JSON type"))),
        }
    }

    fn properties(&self) -> Result<BTreeMap<String, Schema>, SchemaError> {
        let Some(properties) = self.read::<Map<String, Value>>("properties")? else {
            return Ok(BTreeMap::new());
        };
        properties
            .iter()
            .map(|(name, value)| Ok((name.clone(), parse(value, &child(self.path, name))?)))
            .collect()
    }

    fn additional(&self) -> Result<Option<Box<Schema>>, SchemaError> {
        match self.map.get("additionalProperties") {
            Some(Value::Bool(true)) => {
                Ok(Some(Box::new(Schema { preserve_unknown: true, ..Schema::default() })))
            }
            Some(Value::Bool(false)) => Ok(None),
            _ => Ok(self.inner("additionalProperties")?.map(Box::new)),
        }
    }

    fn inner(&self, keyword: &'static str) -> Result<Option<Schema>, SchemaError> {
        self.map.get(keyword).map(|value| parse(value, &child(self.path, "*"))).transpose()
    }

    fn branches(&self, keyword: &'static str) -> Result<Vec<Schema>, SchemaError> {
        let branches = self.read::<Vec<Value>>(keyword)?.unwrap_or_default();
        branches.iter().enumerate().map(|(at, value)| parse(value, &item(self.path, at))).collect()
    }

    fn list(&self) -> Result<ListType, SchemaError> {
        let keys: Option<Vec<String>> = self.read("x-kubernetes-list-map-keys")?;
        match (self.read::<String>("x-kubernetes-list-type")?.as_deref(), keys) {
            (None | Some("atomic"), None) => Ok(ListType::Atomic),
            (Some("set"), None) => Ok(ListType::Set),
            (Some("map"), Some(keys)) if !keys.is_empty() => Ok(ListType::Map(keys)),
            (list, keys) => Err(malformed(
                self.path,
                "x-kubernetes-list-type",
                format!("{list:?} with x-kubernetes-list-map-keys {keys:?}"),
            )),
        }
    }

    fn bound(&self, keyword: &'static str, exclusive: &'static str) -> Result<Option<Bound>, SchemaError> {
        let Some(value) = self.read::<f64>(keyword)? else { return Ok(None) };
        Ok(Some(Bound { value, text: value.to_string(), exclusive: self.flag(exclusive)? }))
    }

    fn rules(&self) -> Result<Rules, SchemaError> {
        let pattern = self.read::<String>("pattern")?.map(|text| Regex::new(&text)).transpose();
        Ok(Rules {
            enum_: self.read("enum")?.unwrap_or_default(),
            minimum: self.bound("minimum", "exclusiveMinimum")?,
            maximum: self.bound("maximum", "exclusiveMaximum")?,
            multiple_of: self.read("multipleOf")?,
            min_length: self.read("minLength")?,
            max_length: self.read("maxLength")?,
            pattern: pattern.map_err(|error| malformed(self.path, "pattern", error))?,
            min_items: self.read("minItems")?,
            max_items: self.read("maxItems")?,
            min_properties: self.read("minProperties")?,
            max_properties: self.read("maxProperties")?,
            all_of: self.branches("allOf")?,
            any_of: self.branches("anyOf")?,
            one_of: self.branches("oneOf")?,
            not: self.inner("not")?.map(Box::new),
        })
    }
}
