//! The top-level fields of a document as the bytes they are, so that a write to one leaves the others untouched and
//! undecoded.

use serde_json::{Map, Value};

use super::splice::{expect, skip_space, skip_string, skip_value};

/// The fields of one document, in their order.
#[derive(Debug)]
pub(super) struct Parts<'d> {
    /// The name with its quotes, and the value.
    fields: Vec<(&'d [u8], &'d [u8])>,
}

impl<'d> Parts<'d> {
    /// The fields of `document`, which must be valid JSON; none when it is no object.
    pub(super) fn of(document: &'d [u8]) -> Option<Parts<'d>> {
        let mut fields = Vec::with_capacity(8);
        let mut at = skip_space(document, expect(document, 0, b'{')?);
        while document.get(at) == Some(&b'"') {
            let end = skip_string(document, at)?;
            let name = &document[at..end];
            let begin = skip_space(document, expect(document, end, b':')?);
            let end = skip_value(document, begin)?;
            fields.push((name, &document[begin..end]));
            at = match expect(document, end, b',') {
                Some(next) => skip_space(document, next),
                None => break,
            };
        }
        Some(Parts { fields })
    }

    /// The value of the field `name`.
    pub(super) fn get(&self, name: &str) -> Option<&'d [u8]> {
        self.fields.iter().find(|(known, _)| is_name(known, name)).map(|(_, value)| *value)
    }

    /// Puts `value` in the place of that of the field `name`, if there is one.
    pub(super) fn replace(&mut self, name: &str, value: &'d [u8]) {
        let field = self.fields.iter_mut().find(|(known, _)| is_name(known, name));
        if let Some((_, present)) = field {
            *present = value;
        }
    }

    /// An object of those fields that are called one of `names`.
    pub(super) fn select(&self, names: &[&str]) -> serde_json::Result<Value> {
        let mut object = Map::new();
        for (name, value) in &self.fields {
            if let Some(name) = names.iter().find(|wanted| is_name(name, wanted)) {
                object.insert((*name).to_owned(), serde_json::from_slice(value)?);
            }
        }
        Ok(Value::Object(object))
    }

    /// The document with the fields of `object` in the place of its own, or behind them. Those of `names` that are not
    /// in `object` are left out.
    pub(super) fn with(&self, names: &[&str], object: &Map<String, Value>) -> serde_json::Result<Vec<u8>> {
        let mut document = Vec::with_capacity(self.fields.iter().map(|(n, v)| n.len() + v.len() + 2).sum());
        let begin = |document: &mut Vec<u8>, name: &[u8]| {
            document.push(if document.is_empty() { b'{' } else { b',' });
            document.extend_from_slice(name);
            document.push(b':');
        };
        for (name, value) in &self.fields {
            match names.iter().find(|touched| is_name(name, touched)) {
                None => {
                    begin(&mut document, name);
                    document.extend_from_slice(value);
                }
                Some(touched) => {
                    if let Some(value) = object.get(*touched) {
                        begin(&mut document, name);
                        serde_json::to_writer(&mut document, value)?;
                    }
                }
            }
        }
        for (name, value) in object {
            if !self.fields.iter().any(|(known, _)| is_name(known, name)) {
                begin(&mut document, &serde_json::to_vec(name)?);
                serde_json::to_writer(&mut document, value)?;
            }
        }
        if document.is_empty() {
            document.push(b'{');
        }
        document.push(b'}');
        Ok(document)
    }
}

/// Whether `quoted` is the JSON text of `name`, which needs no escapes.
fn is_name(quoted: &[u8], name: &str) -> bool {
    quoted.len() == name.len() + 2 && &quoted[1..quoted.len() - 1] == name.as_bytes()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(document: &str, names: &[&str], object: &Value) -> String {
        let parts = Parts::of(document.as_bytes()).unwrap();
        String::from_utf8(parts.with(names, object.as_object().unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn fields_that_are_not_named_keep_their_bytes() {
        let document = r#" { "a" : {"x":[1, "}"]} , "b":-1.50,"c":"\",b" } "#;
        assert_eq!(with(document, &["b"], &json!({"b": 2})), r#"{"a":{"x":[1, "}"]},"b":2,"c":"\",b"}"#);
        assert_eq!(with(document, &["b"], &json!({})), r#"{"a":{"x":[1, "}"]},"c":"\",b"}"#);
        assert_eq!(
            with(document, &["d"], &json!({"d": []})),
            r#"{"a":{"x":[1, "}"]},"b":-1.50,"c":"\",b","d":[]}"#
        );
        assert_eq!(with("{}", &["d"], &json!({"d": []})), r#"{"d":[]}"#);
        assert_eq!(with(r#"{"d":1}"#, &["d"], &json!({})), "{}");
    }

    #[test]
    fn only_what_is_selected_is_decoded() {
        let parts = Parts::of(br#"{"a":[not json],"b":{"c":1}}"#).unwrap();
        assert_eq!(parts.select(&["b", "z"]).unwrap(), json!({"b": {"c": 1}}));
        assert!(parts.select(&["a"]).is_err());
        assert!(Parts::of(b"[]").is_none());
    }
}
