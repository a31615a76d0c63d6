//! The body of a request as a call, or what Mesos says of it.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::reply::{self, Reply, bad};
use super::required::{self, Required};
use crate::mesos::wire::{Encoding, json};

/// The encoding that `Content-Type` names.
pub(super) fn encoding(headers: &HeaderMap) -> Result<Encoding, Box<Reply>> {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return Err(bad("Expecting 'Content-Type' to be present"));
    };
    Encoding::of_media_type(kind.to_str().unwrap_or_default()).ok_or_else(|| {
        let text = "Expecting 'Content-Type' of application/json or application/x-protobuf";
        Box::new(reply::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
    })
}

/// The whole body. Compressed ones are not read here.
pub(super) async fn body(headers: &HeaderMap, body: Incoming) -> Result<Bytes, Box<Reply>> {
    let plain = headers.get(header::CONTENT_ENCODING).is_none_or(|encoding| encoding == "identity");
    match body.collect().await {
        Ok(whole) if plain => Ok(whole.to_bytes()),
        _ => Err(Box::new(reply::text(StatusCode::INTERNAL_SERVER_ERROR, "failed to decode body"))),
    }
}

/// The call that `body` holds, with all fields in `required`. Of protobuf it cannot be told whether a required field was missing or empty.
pub(super) fn call<T>(encoding: Encoding, body: &Bytes, required: Required) -> Result<T, Box<Reply>>
where
    T: prost::Message + Default + DeserializeOwned,
{
    match encoding {
        Encoding::Protobuf => {
            Encoding::Protobuf.decode(body).map_err(|_| bad("Failed to parse body into Call protobuf"))
        }
        Encoding::Json => {
            let tree = tree(body).map_err(|why| bad(&format!("Failed to parse body into JSON: {why}")))?;
            of_tree(tree, required)
                .map_err(|why| bad(&format!("Failed to convert JSON into Call protobuf: {why}")))
        }
    }
}

fn of_tree<T: DeserializeOwned>(tree: Value, required: Required) -> Result<T, String> {
    if !tree.is_object() {
        return Err("Expecting a JSON object".to_owned());
    }
    let missing = required::missing(&tree, required);
    let call = json::from_value(tree).map_err(|error| error.to_string())?;
    if missing.is_empty() {
        Ok(call)
    } else {
        Err(format!("Missing required fields: {}", missing.join(", ")))
    }
}

/// A tree of JSON, or where it stops to be one in the words of picojson, which Mesos reads with.
pub(super) fn tree(body: &[u8]) -> Result<Value, String> {
    let text = String::from_utf8_lossy(body);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let value = match values.next() {
        Some(Ok(value)) => value,
        Some(Err(error)) => return Err(syntax_error(text, error.line(), error.column())),
        None => return Err(syntax_error(text, 1, 1)),
    };
    let rest = &text[values.byte_offset()..];
    if rest.trim().is_empty() {
        return Ok(value);
    }
    Err(format!("Parsed JSON included non-whitespace trailing characters: {rest}"))
}

fn syntax_error(text: &str, line: usize, column: usize) -> String {
    let near: String = text
        .lines()
        .nth(line.saturating_sub(1))
        .unwrap_or_default()
        .chars()
        .skip(column.saturating_sub(1))
        .collect();
    // At the end of the text there is nothing near.
    let over = text.trim_end().chars().count() <= column && line >= text.trim_end().lines().count();
    format!("syntax error at line {line} near: {}", if over { "" } else { &near })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_json_is_told_as_mesos_tells_it() {
        assert_eq!(tree(b"").unwrap_err(), "syntax error at line 1 near: ");
        assert_eq!(tree(b"{").unwrap_err(), "syntax error at line 1 near: ");
        assert_eq!(tree(b"//c\n{}").unwrap_err(), "syntax error at line 1 near: //c");
        let trailing = "Parsed JSON included non-whitespace trailing characters:  x";
        assert_eq!(tree(b"{} x").unwrap_err(), trailing);
        assert_eq!(tree(b"\xef\xbb\xbf{}\n").unwrap(), serde_json::json!({}));
    }
}
