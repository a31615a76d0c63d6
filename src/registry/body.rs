//! A request's body, decoded: the tree, the keys that stood in it twice, and the text itself for messages.

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::failure::{BODY_BYTES_MAX, Failure};
use super::field::{FAULTS_MAX, Place};

/// A decoded body.
#[derive(Debug, Clone, Default)]
pub struct Body {
    pub value: Value,
    /// Paths of fields that were given more than once, the first hundred; the last one given counts.
    pub duplicates: Vec<String>,
    /// As it was sent, for messages that quote it.
    pub text: String,
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Json,
    /// YAML 1.1, as Kubernetes reads it: `y` is true and `010` is 8.
    Yaml,
}

/// Why a text is no JSON or YAML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("limit is {BODY_BYTES_MAX}")]
    TooLarge,
    /// In the words of Go's JSON reader, which tools know.
    #[error("{0}")]
    Json(String),
    #[error("error converting YAML to JSON: yaml: {0}")]
    Yaml(String),
}

impl Body {
    /// Decodes `bytes`.
    ///
    /// # Errors
    /// When they are too many, or no text of that encoding.
    pub fn decode(bytes: &[u8], encoding: Encoding) -> Result<Body, BodyError> {
        if bytes.len() > BODY_BYTES_MAX {
            return Err(BodyError::TooLarge);
        }
        let duplicates = RefCell::new(Vec::new());
        let tree = Tree { place: Place::Root(""), duplicates: &duplicates };
        let value = match encoding {
            Encoding::Json => json(bytes, tree)?,
            Encoding::Yaml => yaml(bytes, tree)?,
        };
        let text = String::from_utf8_lossy(bytes).into_owned();
        Ok(Body { value, duplicates: duplicates.into_inner(), text })
    }

    /// A body that is a tree already (a protobuf message, say).
    #[must_use]
    pub fn of(value: Value) -> Body {
        Body { text: value.to_string(), value, duplicates: Vec::new() }
    }
}

impl BodyError {
    /// The refusal of a body that should have been an object of `kind`.
    #[must_use]
    pub fn of_object(&self, kind: &str, bytes: &[u8]) -> Failure {
        let text = String::from_utf8_lossy(bytes);
        let quoted = if text.is_empty() { "<empty>" } else { text.trim_end() };
        match self {
            BodyError::TooLarge => Failure::body_too_large(),
            BodyError::Json(problem) => Failure::bad_request(format!(
                "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse \
                 error: {problem} ({})",
                shortened(quoted)
            )),
            BodyError::Yaml(_) => Failure::bad_request(self.to_string()),
        }
    }

    /// The refusal of a body that should have been a patch.
    #[must_use]
    pub fn of_patch(&self) -> Failure {
        match self {
            BodyError::TooLarge => Failure::body_too_large(),
            _ => Failure::bad_request(format!("error decoding patch: {self}")),
        }
    }
}

/// The first few characters, as messages quote a body.
pub(super) fn shortened(text: &str) -> String {
    const SHOWN: usize = 30;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_owned(),
    }
}

fn json(bytes: &[u8], tree: Tree<'_>) -> Result<Value, BodyError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = tree.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| BodyError::Json(as_go(&error, bytes)))
}

/// serde_json's complaint in Go's words.
pub(super) fn as_go(error: &serde_json::Error, bytes: &[u8]) -> String {
    if error.is_eof() {
        return "unexpected end of JSON input".to_owned();
    }
    let text = error.to_string();
    let line = bytes.split(|&byte| byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let Some(&byte) = line.get(error.column().saturating_sub(1)) else { return text };
    let place = match text.split(" at line").next().unwrap_or_default() {
        "key must be a string" => "looking for beginning of object key string",
        "expected value" | "expected ident" | "invalid number" => "looking for beginning of value",
        "expected `,` or `}`" => "after object key:value pair",
        "expected `,` or `]`" => "after array element",
        "expected `:`" => "after object key",
        "trailing characters" => "after top-level value",
        "trailing comma" => "looking for beginning of object key string",
        _ => return text,
    };
    format!("invalid character {} {place}", quoted(byte))
}

/// A byte as Go's JSON reader shows it: what is no ASCII by its number.
fn quoted(byte: u8) -> String {
    let shown = match byte {
        b'"' => "\"".to_owned(),
        0x07 => "\\a".to_owned(),
        0x08 => "\\b".to_owned(),
        0x0b => "\\v".to_owned(),
        0x0c => "\\f".to_owned(),
        // The others as Rust has them.
        _ => byte.escape_ascii().to_string(),
    };
    format!("'{shown}'")
}

fn yaml(bytes: &[u8], tree: Tree<'_>) -> Result<Value, BodyError> {
    let text = std::str::from_utf8(bytes).map_err(|error| BodyError::Yaml(error.to_string()))?;
    let mut options = serde_saphyr::Options::default();
    options.legacy_octal_numbers = true;
    options.strict_booleans = false;
    options.duplicate_keys = serde_saphyr::DuplicateKeyPolicy::LastWins;
    options.with_snippet = false;
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options, |reader| {
        tree.deserialize(reader)
    });
    read.map_err(|error| {
        let line = error.location().map(|at| format!("line {}: ", at.line())).unwrap_or_default();
        BodyError::Yaml(format!("{line}{error}"))
    })
}

/// Builds a tree and notes keys that come twice, the first of them.
struct Tree<'t> {
    place: Place<'t>,
    duplicates: &'t RefCell<Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number must be finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        let at = |index| Tree { place: Place::Item(&self.place, index), duplicates: self.duplicates };
        while let Some(value) = sequence.next_element_seed(at(items.len()))? {
            items.push(value);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let place = Place::Field(&self.place, &key);
            let value = access.next_value_seed(Tree { place, duplicates: self.duplicates })?;
            if map.contains_key(&key) && self.duplicates.borrow().len() < FAULTS_MAX {
                self.duplicates.borrow_mut().push(place.to_string());
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decode(text: &str, encoding: Encoding) -> Result<Body, BodyError> {
        Body::decode(text.as_bytes(), encoding)
    }

    #[test]
    fn keys_given_twice_are_noted_and_the_last_one_counts() {
        let body =
            decode(r#"{"spec":{"image":"a","l":[{"x":1,"x":2}],"image":"b"}}"#, Encoding::Json).unwrap();
        assert_eq!(body.value, json!({"spec": {"image": "b", "l": [{"x": 2}]}}));
        assert_eq!(body.duplicates, ["spec.l[0].x", "spec.image"]);
    }

    #[test]
    fn bad_json_is_told_in_the_words_of_go() {
        for (text, message) in [
            ("{nope", "invalid character 'n' looking for beginning of object key string"),
            ("", "unexpected end of JSON input"),
            ("{\"a\":}", "invalid character '}' looking for beginning of value"),
            ("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"),
            ("'", r"invalid character '\'' looking for beginning of value"),
            ("\\", r"invalid character '\\' looking for beginning of value"),
            ("\u{1}", r"invalid character '\x01' looking for beginning of value"),
            ("\u{7f}", r"invalid character '\x7f' looking for beginning of value"),
            ("\u{b}", r"invalid character '\v' looking for beginning of value"),
            ("ü", r"invalid character '\xc3' looking for beginning of value"),
        ] {
            assert_eq!(decode(text, Encoding::Json).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn yaml_is_read_as_1_1() {
        let body = decode("image: y\nmode: 010\nname: 'y'\nn: ~\nf: 1.5\n", Encoding::Yaml).unwrap();
        assert_eq!(body.value, json!({"image": true, "mode": 8, "name": "y", "n": null, "f": 1.5}));
    }

    #[test]
    fn bad_yaml_names_its_line() {
        let error = decode("a: 1\nb: [1, 2\nc: 3\n", Encoding::Yaml).unwrap_err().to_string();
        assert!(error.starts_with("error converting YAML to JSON: yaml: line "), "{error}");
    }

    #[test]
    fn a_body_that_is_too_large_is_refused() {
        let text = format!("\"{}\"", "x".repeat(BODY_BYTES_MAX));
        assert_eq!(decode(&text, Encoding::Json).unwrap_err(), BodyError::TooLarge);
    }
}
