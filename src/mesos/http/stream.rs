//! The body of a SUBSCRIBE answer as events.

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio_util::sync::DropGuard;

use super::dial::chain;
use crate::env::Env;
use crate::mesos::connection::ConnectionError;
use crate::mesos::recordio::Decoder;
use crate::mesos::wire::Encoding;
use crate::mesos::wire::scheduler::Event;

/// From this size on a record is decoded where blocking is allowed: the offers of a large cluster take a tenth of a second.
const LARGE: usize = 1 << 20;

struct Reader {
    env: Env,
    body: Incoming,
    encoding: Encoding,
    records: Decoder,
    over: bool,
    /// Dropped with the stream: that is how its calls learn that they are void.
    _ends: DropGuard,
}

/// The events of `body`. A record that is cut off at the end is dropped; whatever is no record, or no event, ends the stream
/// with an error. When they are dropped, `ends` is too.
pub(super) fn events(
    env: Env,
    body: Incoming,
    encoding: Encoding,
    record_limit: usize,
    ends: DropGuard,
) -> BoxStream<'static, Result<Event, ConnectionError>> {
    let records = Decoder::new(record_limit);
    let reader = Reader { env, body, encoding, records, over: false, _ends: ends };
    stream::unfold(reader, async |mut reader| {
        let event = reader.next().await?;
        reader.over = event.is_err();
        Some((event, reader))
    })
    .boxed()
}

impl Reader {
    async fn next(&mut self) -> Option<Result<Event, ConnectionError>> {
        while !self.over {
            match self.records.record() {
                Ok(Some(record)) => return Some(self.decode(record).await),
                Ok(None) => {}
                Err(error) => return Some(Err(malformed(error.to_string()))),
            }
            match self.body.frame().await? {
                Ok(frame) => {
                    if let Ok(chunk) = frame.into_data() {
                        self.records.push(&chunk);
                    }
                }
                Err(error) => return Some(Err(ConnectionError::Lost { message: chain(&error) })),
            }
        }
        None
    }

    async fn decode(&self, record: Bytes) -> Result<Event, ConnectionError> {
        let (encoding, length) = (self.encoding, record.len());
        let decode = move || encoding.decode::<Event>(&record).map_err(|error| malformed(chain(&error)));
        if length < LARGE {
            return decode();
        }
        let ended = |_| ConnectionError::Lost { message: "this process ends".to_owned() };
        self.env.run_blocking(decode).await.map_err(ended)?
    }
}

fn malformed(message: String) -> ConnectionError {
    ConnectionError::Malformed { message }
}
