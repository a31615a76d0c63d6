//! Large answers go out compressed to whoever takes them so, as Kubernetes' own server does: beyond 128 KiB, at the fastest level.
//! An answer is compressed piece by piece as it is read, so neither the whole of it stands in memory twice nor do others wait.

use std::io::{self, Write as _};

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{Stream, StreamExt as _, stream};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, VARY};
use http::{HeaderMap, HeaderValue};

/// Answers up to this size go out as they are.
pub(super) const PLAIN_MAX: usize = 128 * 1_024;
/// What is compressed at a time.
const PIECE: usize = 64 * 1_024;

/// Whether a request's headers say that gzip is understood.
pub(super) fn is_accepted(headers: &HeaderMap) -> bool {
    let texts = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|it| it.trim().parse() == Ok(0.0_f32));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

/// The same answer, compressed if it is large.
pub(super) fn compressed(response: Response) -> Response {
    // Of a stream, such as a watch, nothing is known.
    let is_large = response.body().size_hint().lower() > PLAIN_MAX as u64;
    if !is_large || response.headers().contains_key(CONTENT_ENCODING) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    head.headers.remove(CONTENT_LENGTH);
    head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    head.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    Response::from_parts(head, Body::from_stream(pieces(body.into_data_stream())))
}

/// What is left to do of an answer.
struct Rest {
    body: BodyDataStream,
    /// Read and not yet compressed.
    read: Bytes,
    /// None once the end has been written.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

fn pieces(body: BodyDataStream) -> impl Stream<Item = io::Result<Vec<u8>>> {
    let encoder = Some(GzEncoder::new(Vec::new(), Compression::fast()));
    stream::try_unfold(Rest { body, read: Bytes::new(), encoder }, async |mut rest| {
        let piece = rest.piece().await?;
        Ok(piece.map(|piece| (piece, rest)))
    })
}

impl Rest {
    /// The next bytes to send; none after the last.
    async fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let Some(mut encoder) = self.encoder.take() else { return Ok(None) };
            if self.read.is_empty() {
                match self.body.next().await {
                    Some(read) => self.read = read.map_err(io::Error::other)?,
                    None => return encoder.finish().map(Some),
                }
            }
            let piece = self.read.split_to(self.read.len().min(PIECE));
            encoder.write_all(&piece)?;
            let written = std::mem::take(encoder.get_mut());
            self.encoder = Some(encoder);
            // Little of it may be enough for the encoder to keep all to itself.
            if !written.is_empty() {
                return Ok(Some(written));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use http_body_util::BodyExt as _;

    use super::*;

    fn headers(text: &'static str) -> HeaderMap {
        [(ACCEPT_ENCODING, HeaderValue::from_static(text))].into_iter().collect()
    }

    #[test]
    fn gzip_is_taken_from_who_names_it_and_does_not_refuse_it() {
        for (text, accepted) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("identity", false),
            ("x-gzip", false),
        ] {
            assert_eq!(is_accepted(&headers(text)), accepted, "{text}");
        }
        assert!(!is_accepted(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn a_large_answer_is_the_same_when_it_is_unpacked_and_a_small_one_is_left_alone() {
        for size in [0, 10, PLAIN_MAX, PLAIN_MAX + 1, 3_000_000] {
            // Not too easy to compress: pieces of it are larger than what the encoder keeps.
            let text: Vec<u8> =
                (0..size).map(|at: usize| (at.wrapping_mul(2_654_435_761) >> 7).to_le_bytes()[0]).collect();
            let response = compressed(Response::new(Body::from(text.clone())));
            let packed = response.headers().contains_key(CONTENT_ENCODING);
            assert_eq!(packed, size > PLAIN_MAX, "{size}");
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            let mut unpacked = Vec::new();
            if packed {
                flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).unwrap();
            } else {
                unpacked.extend_from_slice(&bytes);
            }
            assert!(unpacked == text, "{size}");
        }
    }
}
