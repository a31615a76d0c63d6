//! Answers in the shapes of Mesos: plain text with its charset, JSON, nothing at all, or an endless stream.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::Value;

/// An answer.
pub(super) type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

pub(super) fn empty(status: StatusCode) -> Reply {
    whole(status, Bytes::new())
}

pub(super) fn text(status: StatusCode, text: &str) -> Reply {
    let mut reply = whole(status, Bytes::copy_from_slice(text.as_bytes()));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    reply
}

/// 400, boxed as what stops an answer.
pub(super) fn bad(why: &str) -> Box<Reply> {
    Box::new(text(StatusCode::BAD_REQUEST, why))
}

pub(super) fn unavailable(why: &str) -> Reply {
    text(StatusCode::SERVICE_UNAVAILABLE, why)
}

pub(super) fn json(value: &Value) -> Reply {
    let mut reply = whole(StatusCode::OK, Bytes::from(value.to_string()));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

pub(super) fn bytes(data: Vec<u8>) -> Reply {
    whole(StatusCode::OK, Bytes::from(data))
}

/// 307. Mesos leaves the scheme out.
pub(super) fn redirect(location: &str) -> Reply {
    let mut reply = empty(StatusCode::TEMPORARY_REDIRECT);
    reply.headers_mut().insert(header::LOCATION, value(location));
    reply
}

fn whole(status: StatusCode, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body).boxed_unsync());
    *reply.status_mut() = status;
    reply
}

/// The value of a header that is made of our own text and of what was a header or a path before.
pub(super) fn value(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).expect("it holds no control characters")
}
