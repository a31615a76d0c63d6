//! Objects as rules see them: fields under names that the language can spell, times, durations and bytes as what they are.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube_cel::cel::objects::Key;
use kube_cel::cel::{Context, Program, Value};
use kube_cel::{CompiledSchema, SchemaFormat};
use serde_json::{Number, Value as Json};

/// Words that are no names in the language.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// `value`, of which `schema` tells the formats.
pub(super) fn of(value: &Json, schema: Option<&CompiledSchema>) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => of_number(number),
        Json::String(text) => of_text(text, schema.map(|schema| &schema.format)),
        Json::Array(items) => {
            let of_items = schema.and_then(|schema| schema.items.as_deref());
            Value::List(Arc::new(items.iter().map(|item| of(item, of_items)).collect()))
        }
        Json::Object(fields) => {
            // The keys of a map are data, not names of fields.
            let is_map = schema.is_some_and(|schema| schema.is_map);
            let entry = |(name, field): (&String, &Json)| {
                let below = schema.and_then(|schema| {
                    schema.properties.get(name).or(schema.additional_properties.as_deref())
                });
                let name = if is_map { name.clone() } else { escaped(name) };
                (Key::String(Arc::new(name)), of(field, below))
            };
            let mut all: Vec<(Key, Value)> = fields.iter().map(entry).collect();
            if schema.is_some_and(|schema| schema.embedded_resource) {
                for (name, absent) in [("apiVersion", text("")), ("kind", text("")), ("metadata", map([]))] {
                    if !fields.contains_key(name) {
                        all.push((Key::String(Arc::new(name.to_owned())), absent));
                    }
                }
            }
            map(all)
        }
    }
}

pub(super) fn text(text: &str) -> Value {
    Value::String(Arc::new(text.to_owned()))
}

fn map(entries: impl IntoIterator<Item = (Key, Value)>) -> Value {
    Value::Map(kube_cel::cel::objects::Map { map: Arc::new(entries.into_iter().collect()) })
}

fn of_number(number: &Number) -> Value {
    match (number.as_i64(), number.as_u64()) {
        (Some(number), _) => Value::Int(number),
        (None, Some(number)) => Value::UInt(number),
        (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
    }
}

/// What cannot be read as its format says stays a text: that it is wrong is the schema's to tell.
fn of_text(given: &str, format: Option<&SchemaFormat>) -> Value {
    let found = match format {
        Some(SchemaFormat::DateTime) => converted("timestamp(it)", given),
        Some(SchemaFormat::Duration) => converted("duration(it)", given),
        Some(SchemaFormat::Bytes) => STANDARD.decode(given).ok().map(|bytes| Value::Bytes(Arc::new(bytes))),
        _ => None,
    };
    found.unwrap_or_else(|| text(given))
}

/// The language's own conversion.
fn converted(conversion: &str, given: &str) -> Option<Value> {
    let mut context = Context::default();
    context.add_variable_from_value("it", text(given));
    Program::compile(conversion).ok()?.execute(&context).ok()
}

/// A field's name as rules spell it.
pub(super) fn escaped(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}
