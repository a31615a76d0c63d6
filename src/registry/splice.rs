//! Puts `metadata.resourceVersion` into a stored document without building a tree of it.
//!
//! Stored documents carry no resourceVersion, for the store itself counts. The bytes that are served do, and they are
//! made once, when the cache takes the document in.

use bytes::Bytes;

use crate::store::Revision;

/// `document` with `metadata.resourceVersion` set to `revision`; none when it is no object with an object `metadata`.
///
/// `document` must be valid JSON, and its metadata must not have a resourceVersion already.
pub(super) fn with_revision(document: &[u8], revision: Revision) -> Option<Bytes> {
    let inside = start_of_metadata(document)?;
    let is_empty = document[skip_space(document, inside)..].first() == Some(&b'}');
    let field = format!("\"resourceVersion\":\"{revision}\"{}", if is_empty { "" } else { "," });
    Some(Bytes::from([&document[..inside], field.as_bytes(), &document[inside..]].concat()))
}

/// The object `metadata` of a served document as it was before [`with_revision`] put `revision` into it; none when it
/// stands elsewhere.
pub(super) fn without_revision(metadata: &[u8], revision: Revision) -> Option<Vec<u8>> {
    let rest = metadata.strip_prefix(format!("{{\"resourceVersion\":\"{revision}\"").as_bytes())?;
    let rest = rest.strip_prefix(b",").unwrap_or(rest);
    Some([b"{", rest].concat())
}

/// Where the first field of the top-level `metadata` object would stand.
fn start_of_metadata(document: &[u8]) -> Option<usize> {
    let mut at = expect(document, 0, b'{')?;
    loop {
        at = skip_space(document, at);
        let end = skip_string(document, at)?;
        let name = &document[at..end];
        at = expect(document, end, b':')?;
        if name == b"\"metadata\"" {
            return expect(document, at, b'{');
        }
        at = skip_value(document, skip_space(document, at))?;
        at = expect(document, at, b',')?;
    }
}

/// After the byte `wanted`, which may have space before it.
pub(super) fn expect(document: &[u8], at: usize, wanted: u8) -> Option<usize> {
    let at = skip_space(document, at);
    (document.get(at) == Some(&wanted)).then_some(at + 1)
}

pub(super) fn skip_space(document: &[u8], at: usize) -> usize {
    let space = document[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    at + space
}

/// After the string that begins at `at`.
pub(super) fn skip_string(document: &[u8], at: usize) -> Option<usize> {
    let mut at = expect(document, at, b'"')?;
    loop {
        match document.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// After the value that begins at `at`: a string, a bracketed value, or up to the next delimiter.
pub(super) fn skip_value(document: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    loop {
        match document.get(at)? {
            b'"' => at = skip_string(document, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b',' | b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            _ => at += 1,
        }
        let closed = matches!(document[at - 1], b'"' | b'}' | b']');
        if depth == 0 && closed {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn spliced(document: &str) -> Option<String> {
        with_revision(document.as_bytes(), 42).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn the_revision_becomes_the_first_field_of_metadata() {
        for (document, expected) in [
            (r#"{"metadata":{}}"#, r#"{"metadata":{"resourceVersion":"42"}}"#),
            (r#"{"metadata":{"name":"a"}}"#, r#"{"metadata":{"resourceVersion":"42","name":"a"}}"#),
            (
                r#" { "kind" : "x\"}" , "a": [1, {"metadata":{}}], "n":-1.5 ,"metadata" : { } }"#,
                r#" { "kind" : "x\"}" , "a": [1, {"metadata":{}}], "n":-1.5 ,"metadata" : {"resourceVersion":"42" } }"#,
            ),
        ] {
            assert_eq!(spliced(document).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_was_put_in_is_taken_out() {
        for metadata in ["{}", r#"{"name":"a"}"#, "{ }"] {
            let document = spliced(&format!(r#"{{"metadata":{metadata}}}"#)).unwrap();
            let served = &document.as_bytes()[r#"{"metadata":"#.len()..document.len() - 1];
            assert_eq!(without_revision(served, 42).unwrap(), metadata.as_bytes());
            assert_eq!(without_revision(served, 4), None);
        }
        assert_eq!(without_revision(br#"{"name":"a","resourceVersion":"42"}"#, 42), None);
    }

    #[test]
    fn a_document_without_metadata_is_refused() {
        for document in
            ["", "[]", "{}", r#"{"a":1}"#, r#"{"metadata":1}"#, r#"{"a":{"metadata":{}}}"#, "{\"a"]
        {
            assert_eq!(spliced(document), None, "{document}");
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[\"\\\\{}a,:é]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a\"\\\\}]{0,3}", inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_else_changes(before in values(), metadata in prop::collection::btree_map("[b-d]", values(), 0..3)) {
            let mut document = json!({"a": before, "metadata": metadata, "z": before});
            let served: Value = serde_json::from_str(&spliced(&document.to_string()).unwrap()).unwrap();
            document["metadata"]["resourceVersion"] = json!("42");
            prop_assert_eq!(served, document);
        }
    }
}
