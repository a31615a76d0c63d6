//! The JSON that Mesos speaks.
//!
//! It differs from protobuf's own: proto names, enums by name, 64-bit integers as numbers, infinities as text, bytes
//! as base64. Mesos's reader is lenient, and so is this one: `null` is absent, unknown fields and unknown enum names
//! vanish, a lone value is a list of one, and text that spells a number or a boolean is one. An enum given as a number is
//! refused.

use std::marker::PhantomData;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::value::SeqDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Visitor,
};
use serde::{Deserialize, Serialize, Serializer, forward_to_deserialize_any};
use serde_json::{Error, Value};

/// Reads one message.
///
/// # Errors
/// When `bytes` are not JSON, or a value has a type that Mesos would refuse.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    from_value(serde_json::from_slice(bytes)?)
}

/// Reads one message from its parsed form.
///
/// # Errors
/// When a value has a type that Mesos would refuse.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    T::deserialize(Lenient(value))
}

/// Writes one message; what is unset is left out.
///
/// # Errors
/// None for the messages of [`super`]; a type whose own `Serialize` fails passes its error on.
pub fn to_vec<T: Serialize>(message: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(&to_value(message)?)
}

/// Like [`to_vec`], as a tree.
///
/// # Errors
/// As [`to_vec`].
pub fn to_value<T: Serialize>(message: &T) -> Result<Value, Error> {
    let mut value = serde_json::to_value(message)?;
    prune(&mut value);
    Ok(value)
}

/// Drops what Mesos does not write: nulls and empty lists. An empty message stays: its presence says something.
fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(prune);
            fields.retain(|_, v| !v.is_null() && v.as_array().is_none_or(|list| !list.is_empty()));
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// An enum that JSON spells by name and protobuf by number.
pub trait WireEnum {
    /// Every name with its number.
    const NAMES: &'static [(&'static str, i32)];
}

/// `#[serde(with = "Name::<T>")]` for an optional enum field.
#[derive(Debug)]
pub struct Name<T>(PhantomData<T>);

impl<T: WireEnum> Name<T> {
    /// Writes the name. A number without one (newer than this code) is written as nothing.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(number: &Option<i32>, serializer: S) -> Result<S::Ok, S::Error> {
        let named = |number: i32| T::NAMES.iter().find(|(_, n)| *n == number).map(|(name, _)| *name);
        number.and_then(named).serialize(serializer)
    }

    /// Reads a name. An unknown one reads as absent.
    ///
    /// # Errors
    /// When the value is not text.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
        let name = Option::<String>::deserialize(deserializer)?;
        Ok(name.and_then(|name| T::NAMES.iter().find(|(n, _)| *n == name).map(|(_, number)| *number)))
    }
}

/// `#[serde(with = "Base64")]` for bytes and optional bytes.
#[derive(Debug)]
pub struct Base64;

/// A field that holds bytes.
pub trait BytesField: Sized {
    /// The bytes, if any.
    fn bytes(&self) -> Option<&[u8]>;
    /// The field holding `bytes`.
    fn holding(bytes: Option<Vec<u8>>) -> Self;
}

impl BytesField for Vec<u8> {
    fn bytes(&self) -> Option<&[u8]> {
        Some(self)
    }
    fn holding(bytes: Option<Vec<u8>>) -> Vec<u8> {
        bytes.unwrap_or_default()
    }
}

impl BytesField for Option<Vec<u8>> {
    fn bytes(&self) -> Option<&[u8]> {
        self.as_deref()
    }
    fn holding(bytes: Option<Vec<u8>>) -> Option<Vec<u8>> {
        bytes
    }
}

/// Standard alphabet; Mesos writes padding and reads with or without it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Base64 {
    /// Writes the bytes as base64.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<T: BytesField, S: Serializer>(field: &T, serializer: S) -> Result<S::Ok, S::Error> {
        field.bytes().map(|bytes| BASE64.encode(bytes)).serialize(serializer)
    }

    /// Reads base64.
    ///
    /// # Errors
    /// When the value is not text, or not of the standard alphabet.
    pub fn deserialize<'de, T: BytesField, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let bytes =
            text.map(|text| BASE64.decode(text)).transpose().map_err(|e| D::Error::custom(no_base64(&e)))?;
        Ok(T::holding(bytes))
    }
}

/// `#[serde(with = "Double")]` for a number that may be infinite.
#[derive(Debug)]
pub struct Double;

impl Double {
    /// Writes the number; what JSON has no number for as text.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        match *number {
            n if n.is_finite() => serializer.serialize_f64(n),
            n if n.is_nan() => serializer.serialize_str("NaN"),
            n if n > 0.0 => serializer.serialize_str("Infinity"),
            _ => serializer.serialize_str("-Infinity"),
        }
    }

    /// Reads a number, or text that spells one.
    ///
    /// # Errors
    /// When it is neither.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(number) => Ok(number),
            NumberOrText::Text(text) => text.parse().map_err(|_| D::Error::custom(no_number(&text))),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(f64),
    Text(String),
}

/// Stands in an error for the name of the field that it is about, which only the object around it knows.
const FIELD: &str = "'?'";

fn no_number(text: &str) -> String {
    format!(
        "Failed to parse '{text}' as a JSON number for field {FIELD}: syntax error at line 1 near: {text}"
    )
}

fn no_base64(error: &base64::DecodeError) -> String {
    match error {
        base64::DecodeError::InvalidByte(_, byte) => {
            format!("Failed to base64 decode bytes field {FIELD}: Invalid character '{}'", char::from(*byte))
        }
        other => format!("Failed to base64 decode bytes field {FIELD}: {other}"),
    }
}

/// A value of a kind that its field does not take, in the words of Mesos.
fn not_expected(kind: &str) -> Error {
    Error::custom(format!("Not expecting a JSON {kind} for field {FIELD}"))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A tree of JSON that reads itself as leniently as Mesos does.
struct Lenient(Value);

impl IntoDeserializer<'_, Error> for Lenient {
    type Deserializer = Lenient;

    fn into_deserializer(self) -> Lenient {
        self
    }
}

/// The fields of an object that are not null. Errors of their values get their names.
struct Fields {
    rest: serde_json::map::IntoIter,
    value: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.value = self.rest.find(|(_, value)| !value.is_null());
        let Some((name, _)) = &self.value else { return Ok(None) };
        seed.deserialize(name.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (name, value) = self.value.take().unwrap_or_default();
        seed.deserialize(Lenient(value)).map_err(|error| match error.to_string() {
            text if text.contains(FIELD) => Error::custom(text.replacen(FIELD, &format!("'{name}'"), 1)),
            _ => error,
        })
    }
}

/// Methods for types whose values may stand as text.
macro_rules! or_as_text {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let kind = kind_of(&self.0);
            match &self.0 {
                Value::String(text) => match text.parse::<$type>() {
                    Ok(value) => visitor.$visit(value),
                    Err(_) => Err(Error::custom(no_number(text))),
                },
                _ => self.0.$method(visitor).map_err(|_| not_expected(kind)),
            }
        }
    )*};
}

/// Methods for types that stand as text only.
macro_rules! only_text {
    ($($method:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0 {
                Value::String(text) => visitor.visit_string(text),
                other => Err(not_expected(kind_of(&other))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Lenient {
    type Error = Error;

    or_as_text!(
        deserialize_bool visit_bool bool,
        deserialize_i32 visit_i32 i32,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_f64 visit_f64 f64
    );

    only_text!(deserialize_str, deserialize_string);

    /// A fraction is cut off, and what is too large wraps: as in Mesos.
    #[expect(clippy::cast_possible_truncation, reason = "it is what Mesos does")]
    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0 {
            Value::String(text) => match text.parse() {
                Ok(value) => visitor.visit_i64(value),
                Err(_) => Err(Error::custom(no_number(text))),
            },
            Value::Number(number) => {
                let large = || number.as_u64().map(u64::cast_signed);
                let whole = number.as_i64().or_else(large);
                visitor.visit_i64(whole.unwrap_or_else(|| number.as_f64().unwrap_or_default() as i64))
            }
            other => Err(not_expected(kind_of(other))),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Lenient))),
            Value::Object(fields) => visitor.visit_map(Fields { rest: fields.into_iter(), value: None }),
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(_) => self.deserialize_any(visitor),
            lone => visitor.visit_seq(SeqDeserializer::new(std::iter::once(Lenient(lone)))),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(_) => self.deserialize_any(visitor),
            other => Err(not_expected(kind_of(&other))),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u128 f32 char bytes byte_buf unit unit_struct newtype_struct tuple tuple_struct
        map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::super::scheduler::{Call, Event};
    use super::super::{CallType, Resource, Scalar, TaskInfo, TaskState};
    use super::*;

    fn read<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
        from_slice(text.as_bytes())
    }

    #[test]
    fn unknown_fields_and_enum_names_vanish() {
        let event: Event = read(
            r#"{"type":"UPDATE","new":{"a":[1]},"update":{"status":{"task_id":{"value":"t"},
                "state":"TASK_RUNNING","reason":"REASON_OF_TOMORROW"}}}"#,
        )
        .unwrap();
        let status = event.update.unwrap().status;
        assert_eq!((status.state(), status.reason), (TaskState::Running, None));
    }

    #[test]
    fn text_stands_for_numbers_and_booleans_but_numbers_not_for_enums() {
        let task: TaskInfo = read(
            r#"{"resources":{"name":"cpus","type":"SCALAR","scalar":{"value":"0.5"}},
                "command":{"shell":"false"},"kill_policy":{"grace_period":{"nanoseconds":"5"}},"labels":null}"#,
        )
        .unwrap();
        assert_eq!(task.resources[0].scalar, Some(Scalar { value: 0.5 }));
        assert_eq!(task.command.unwrap().shell, Some(false));
        assert_eq!(task.kill_policy.unwrap().grace_period.unwrap().nanoseconds, 5);
        assert!(read::<Resource>(r#"{"type":0}"#).is_err());
        assert!(read::<Resource>(r#"{"name":5}"#).is_err(), "a number for text is refused");
    }

    #[test]
    fn an_error_names_its_field_in_the_words_of_mesos() {
        for (text, words) in [
            (r#"{"type":5}"#, "Not expecting a JSON number for field 'type'"),
            (r#"{"framework_id":"x"}"#, "Not expecting a JSON string for field 'framework_id'"),
            (r#"{"kill":{"task_id":{"value":5}}}"#, "Not expecting a JSON number for field 'value'"),
            (
                r#"{"decline":{"filters":{"refuse_seconds":"abc"}}}"#,
                "Failed to parse 'abc' as a JSON number for field 'refuse_seconds': syntax error at line 1 near: abc",
            ),
            (
                r#"{"acknowledge":{"uuid":"!!!"}}"#,
                "Failed to base64 decode bytes field 'uuid': Invalid character '!'",
            ),
        ] {
            assert_eq!(read::<Call>(text).unwrap_err().to_string(), words);
        }
    }

    #[test]
    fn infinity_is_text_both_ways() {
        let scalar: Scalar = read(r#"{"value":"Infinity"}"#).unwrap();
        assert_eq!(scalar.value, f64::INFINITY);
        assert_eq!(to_vec(&scalar).unwrap(), br#"{"value":"Infinity"}"#);
    }

    #[test]
    fn base64_needs_no_padding_but_the_standard_alphabet() {
        let with: Call = read(r#"{"acknowledge":{"uuid":"AQI="}}"#).unwrap();
        let without: Call = read(r#"{"acknowledge":{"uuid":"AQI"}}"#).unwrap();
        assert_eq!(with.acknowledge.unwrap().uuid, [1, 2]);
        assert_eq!(without.acknowledge.unwrap().uuid, [1, 2]);
        assert!(read::<Call>(r#"{"acknowledge":{"uuid":"-_-_"}}"#).is_err());
    }

    #[test]
    fn an_empty_message_is_written_but_an_empty_list_is_not() {
        let call = Call { reconcile: Some(super::super::scheduler::Reconcile::default()), ..Call::default() };
        let call = Call { r#type: CallType::Reconcile.wire(), ..call };
        assert_eq!(to_vec(&call).unwrap(), br#"{"reconcile":{},"type":"RECONCILE"}"#);
    }
}
