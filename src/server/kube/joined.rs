//! A list as the body of an answer: what is served of each object is joined while it is sent, piece by piece, so that a list of
//! ten thousand objects, asked for by many at once, stands in memory once, as the objects that it is made of.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::HttpBody;
use bytes::{BufMut, Bytes, BytesMut};
use hyper::body::{Frame, SizeHint};

/// Objects are gathered up to about this many bytes.
const PIECE: usize = 64 * 1_024;
const END: &[u8] = b"]}\n";

/// A JSON object whose last field is the list of the items.
#[derive(Debug)]
pub(crate) struct Joined {
    /// What stands before the items; none once it was sent.
    head: Option<String>,
    items: std::vec::IntoIter<Bytes>,
    first: bool,
    /// Bytes that were not sent.
    left: usize,
}

impl Joined {
    /// `object`, a JSON object with a field at least, and as its last field `name`: the `items`, each of which is JSON.
    pub(crate) fn new(object: &str, name: &str, items: Vec<Bytes>) -> Joined {
        // Without its closing brace, so that the items can follow.
        let object = object.strip_suffix('}').unwrap_or(object);
        let head = format!("{object},\"{name}\":[");
        let commas = items.len().saturating_sub(1);
        let left = head.len() + items.iter().map(Bytes::len).sum::<usize>() + commas + END.len();
        Joined { head: Some(head), items: items.into_iter(), first: true, left }
    }

    /// All of it.
    pub(crate) fn whole(mut self) -> Bytes {
        let mut whole = BytesMut::with_capacity(self.left);
        while self.left > 0 {
            self.fill(&mut whole, usize::MAX);
        }
        whole.freeze()
    }

    /// Goes on until `piece` has `enough` bytes, or all is said.
    fn fill(&mut self, piece: &mut BytesMut, enough: usize) {
        let before = piece.len();
        if let Some(head) = self.head.take() {
            piece.put_slice(head.as_bytes());
        }
        let is_full = loop {
            if piece.len() >= enough {
                break true;
            }
            let Some(item) = self.items.next() else { break false };
            if !std::mem::take(&mut self.first) {
                piece.put_u8(b',');
            }
            piece.put_slice(&item);
        };
        if !is_full {
            piece.put_slice(END);
        }
        self.left -= piece.len() - before;
    }
}

impl HttpBody for Joined {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let mut piece = BytesMut::with_capacity(self.left.min(PIECE + PIECE / 4));
        self.fill(&mut piece, PIECE);
        Poll::Ready(Some(Ok(Frame::data(piece.freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use serde_json::{Value, json};

    use super::*;

    fn joined(sizes: &[usize]) -> (Joined, Value) {
        let items: Vec<Value> = sizes.iter().map(|size| json!({"text": "x".repeat(*size)})).collect();
        let bytes = items.iter().map(|item| Bytes::from(item.to_string())).collect();
        (Joined::new(r#"{"kind":"List"}"#, "items", bytes), json!({"kind": "List", "items": items}))
    }

    #[tokio::test]
    async fn a_list_is_sent_in_pieces_that_are_told_beforehand_and_make_the_whole() {
        for sizes in [&[][..], &[3], &[1, 2, 3], &[PIECE], &[PIECE - 40, 7, 5 * PIECE, 1], &[900; 1_000]] {
            let (mut body, expected) = joined(sizes);
            let told = body.size_hint().exact().unwrap();
            let largest = sizes.iter().max().copied().unwrap_or_default();
            let mut text = Vec::new();
            while let Some(frame) = body.frame().await {
                let piece = frame.unwrap().into_data().unwrap();
                assert!(piece.len() <= PIECE + largest + 64, "{}", piece.len());
                text.extend_from_slice(&piece);
                assert_eq!(body.size_hint().exact(), Some(told - text.len() as u64));
            }
            assert!(body.is_end_stream());
            assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), expected);
            assert_eq!(joined(sizes).0.whole(), text);
        }
    }
}
