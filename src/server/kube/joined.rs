//! A list as the body of an answer: what is served of each object is made and joined while it is sent, piece by piece, so that a
//! list of ten thousand objects, asked for by many at once, stands in memory once, as the objects that it is made of.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::HttpBody;
use bytes::{BufMut, Bytes, BytesMut};
use hyper::body::{Frame, SizeHint};

use crate::registry::Failure;
use crate::server::gzip::PLAIN_MAX;

/// Objects are gathered up to about this many bytes.
const PIECE: usize = 64 * 1_024;
/// Of a list whose length nobody knows so much is made beforehand: a short one has a length then, and of a long one it is known that
/// it is worth compressing.
const AHEAD: usize = PLAIN_MAX;
const END: &[u8] = b"]}\n";

/// The JSON of each object in its turn.
type Items = Box<dyn Iterator<Item = Result<Bytes, Failure>> + Send>;

/// A JSON object whose last field is the list of the items.
pub(crate) struct Joined {
    /// Made and not yet sent.
    ready: BytesMut,
    /// None once the end has been made.
    items: Option<Items>,
    first: bool,
    /// How many bytes are still to be made, where that is known.
    unmade: Option<usize>,
}

impl Joined {
    /// `object`, a JSON object with a field at least, and as its last field `name`: the `items`, which are JSON of so many `bytes`
    /// in all where that is known.
    ///
    /// # Errors
    /// Those of the first items. When a later one fails the answer breaks off.
    pub(crate) fn new(
        object: &str,
        name: &str,
        items: impl ExactSizeIterator<Item = Result<Bytes, Failure>> + Send + 'static,
        bytes: Option<usize>,
    ) -> Result<Joined, Failure> {
        // Without its closing brace, so that the items can follow.
        let object = object.strip_suffix('}').unwrap_or(object);
        let ready = BytesMut::from(format!("{object},\"{name}\":[").as_str());
        let commas = items.len().saturating_sub(1);
        let unmade = bytes.map(|bytes| bytes + commas + END.len());
        let mut joined = Joined { ready, items: Some(Box::new(items)), first: true, unmade };
        if bytes.is_none() {
            joined.make(AHEAD)?;
        }
        Ok(joined)
    }

    /// All of it.
    pub(crate) fn whole(mut self) -> Result<Bytes, Failure> {
        self.make(usize::MAX)?;
        Ok(self.ready.freeze())
    }

    /// Goes on until more than `enough` bytes are ready, or all is made.
    fn make(&mut self, enough: usize) -> Result<(), Failure> {
        let before = self.ready.len();
        if before <= enough {
            self.ready.reserve(self.unmade.unwrap_or(PIECE).min(enough.saturating_add(PIECE / 4)));
        }
        while self.ready.len() <= enough
            && let Some(items) = &mut self.items
        {
            let Some(item) = items.next() else {
                self.ready.put_slice(END);
                self.items = None;
                break;
            };
            if !std::mem::take(&mut self.first) {
                self.ready.put_u8(b',');
            }
            self.ready.put_slice(&item?);
        }
        let made = self.ready.len() - before;
        self.unmade = match &self.items {
            Some(_) => self.unmade.map(|unmade| unmade - made),
            None => Some(0),
        };
        Ok(())
    }
}

impl HttpBody for Joined {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        if let Err(failure) = self.make(PIECE) {
            let error = &failure as &dyn std::error::Error;
            tracing::error!(error, "failed to make an item of a list, of which a part is sent already");
            (self.items, self.unmade) = (None, Some(0));
            self.ready.clear();
            return Poll::Ready(Some(Err(failure)));
        }
        Poll::Ready(Some(Ok(Frame::data(self.ready.split().freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.items.is_none() && self.ready.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let ready = self.ready.len() as u64;
        match self.unmade {
            Some(unmade) => SizeHint::with_exact(ready + unmade as u64),
            None => {
                let mut hint = SizeHint::new();
                hint.set_lower(ready);
                hint
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use serde_json::{Value, json};

    use super::*;

    /// A list of items of these sizes, of which may be known beforehand how long they are.
    fn joined(sizes: &[usize], is_known: bool) -> (Joined, Value) {
        let items: Vec<Value> = sizes.iter().map(|size| json!({"text": "x".repeat(*size)})).collect();
        let texts: Vec<Bytes> = items.iter().map(|item| Bytes::from(item.to_string())).collect();
        let bytes = is_known.then(|| texts.iter().map(Bytes::len).sum());
        let list = Joined::new(r#"{"kind":"List"}"#, "items", texts.into_iter().map(Ok), bytes).unwrap();
        (list, json!({"kind": "List", "items": items}))
    }

    #[tokio::test]
    async fn a_list_is_sent_in_pieces_that_are_told_beforehand_and_make_the_whole() {
        for sizes in [&[][..], &[3], &[1, 2, 3], &[PIECE], &[PIECE - 40, 7, 5 * PIECE, 1], &[900; 1_000]] {
            for is_known in [true, false] {
                let (mut body, expected) = joined(sizes, is_known);
                let told = body.size_hint();
                let is_short = sizes.iter().sum::<usize>() <= PIECE;
                assert_eq!(told.exact().is_some(), is_known || is_short, "{sizes:?}");
                let largest = sizes.iter().max().copied().unwrap_or_default();
                let mut text = Vec::new();
                while let Some(frame) = body.frame().await {
                    let piece = frame.unwrap().into_data().unwrap();
                    assert!(piece.len() <= AHEAD + largest + 64, "{}", piece.len());
                    text.extend_from_slice(&piece);
                    if let Some(told) = told.exact() {
                        assert_eq!(body.size_hint().exact(), Some(told - text.len() as u64));
                    }
                }
                assert!(body.is_end_stream() && text.len() as u64 >= told.lower());
                assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), expected);
                assert_eq!(joined(sizes, is_known).0.whole().unwrap(), text);
            }
        }
    }

    #[tokio::test]
    async fn items_are_made_while_they_are_sent_and_one_that_cannot_be_made_breaks_the_answer_off() {
        let (made, seen) = std::sync::mpsc::channel();
        let item = move |at| {
            made.send(at).unwrap();
            if at == 900 { Err(Failure::internal("broken")) } else { Ok(Bytes::from(vec![b'1'; 1_000])) }
        };
        let mut body = Joined::new(r#"{"kind":"List"}"#, "items", (0..1_000).map(item), None).unwrap();
        let mut count = seen.try_iter().count();
        assert!(count < 200, "{count} were made before anything was sent");
        let mut frames = 0;
        let failure = loop {
            match body.frame().await.unwrap() {
                Ok(_) => frames += 1,
                Err(failure) => break failure,
            }
        };
        count += seen.try_iter().count();
        assert_eq!((failure.code, count), (500, 901));
        assert!(frames > 5 && body.frame().await.is_none());
        let broken =
            Joined::new(r#"{"kind":"List"}"#, "items", [Err(Failure::internal("broken"))].into_iter(), None);
        assert_eq!(broken.err().map(|failure| failure.code), Some(500));
    }
}
