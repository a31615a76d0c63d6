//! RecordIO: how events follow each other on a stream: decimal length, newline, so many bytes.
//!
//! Records and the chunks of the transport have nothing to do with each other: a chunk may end anywhere.

use bytes::{Buf, Bytes, BytesMut};

/// The bytes are no RecordIO, or more than we take. The stream cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A length is not a decimal number.
    #[error("record length holds byte {byte:#04x}, which is no digit")]
    NotADigit {
        /// The first such byte.
        byte: u8,
    },
    /// A newline without a number before it.
    #[error("record length is empty")]
    NoLength,
    /// A record is longer than allowed.
    #[error("record is longer than {limit} bytes")]
    TooLong {
        /// The longest allowed.
        limit: usize,
    },
}

/// Splits a stream into records.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    /// Set while the bytes of a record are awaited.
    length: Option<usize>,
    limit: usize,
}

/// More digits than any length has.
const DIGITS: usize = 20;

impl Decoder {
    /// A decoder that takes records up to `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Decoder {
        Decoder { buffer: BytesMut::new(), length: None, limit }
    }

    /// Takes in what has arrived. Call [`Decoder::record`] until it has no more.
    pub fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next whole record, if it has arrived.
    ///
    /// # Errors
    /// When the stream is malformed; every later call fails likewise.
    pub fn record(&mut self) -> Result<Option<Bytes>, RecordError> {
        let length = match self.length {
            Some(length) => length,
            None => match self.read_length()? {
                Some(length) => *self.length.insert(length),
                None => return Ok(None),
            },
        };
        if self.buffer.len() < length {
            self.buffer.reserve(length - self.buffer.len());
            return Ok(None);
        }
        self.length = None;
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    fn read_length(&mut self) -> Result<Option<usize>, RecordError> {
        let header = self.buffer.iter().take(DIGITS + 1).position(|byte| *byte == b'\n');
        let digits = &self.buffer[..header.unwrap_or(self.buffer.len().min(DIGITS + 1))];
        if let Some(byte) = digits.iter().find(|byte| !byte.is_ascii_digit()) {
            return Err(RecordError::NotADigit { byte: *byte });
        }
        let too_long = RecordError::TooLong { limit: self.limit };
        let Some(end) = header else {
            return if digits.len() > DIGITS { Err(too_long) } else { Ok(None) };
        };
        if digits.is_empty() {
            return Err(RecordError::NoLength);
        }
        let value =
            |length: usize, digit: &u8| length.checked_mul(10)?.checked_add(usize::from(digit - b'0'));
        let length =
            digits.iter().try_fold(0, value).filter(|length| *length <= self.limit).ok_or(too_long)?;
        self.buffer.advance(end + 1);
        Ok(Some(length))
    }
}

/// Appends one record to `stream`.
pub fn encode(record: &[u8], stream: &mut Vec<u8>) {
    stream.extend_from_slice(record.len().to_string().as_bytes());
    stream.push(b'\n');
    stream.extend_from_slice(record);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(chunks: &[&[u8]]) -> Result<Vec<Bytes>, RecordError> {
        let (mut decoder, mut records) = (Decoder::new(100), Vec::new());
        for chunk in chunks {
            decoder.push(chunk);
            while let Some(record) = decoder.record()? {
                records.push(record);
            }
        }
        Ok(records)
    }

    #[test]
    fn an_unfinished_record_is_waited_for() {
        assert_eq!(decode(&[b"5\nhel"]), Ok(vec![]));
        assert_eq!(decode(&[b"5\nhel", b"lo3", b"\nyou"]), Ok(vec!["hello".into(), "you".into()]));
    }

    #[test]
    fn what_is_no_record_ends_the_stream() {
        assert_eq!(decode(&[b"5\r\nhello"]), Err(RecordError::NotADigit { byte: b'\r' }));
        assert_eq!(decode(&[b"{"]), Err(RecordError::NotADigit { byte: b'{' }));
        assert_eq!(decode(&[b"-1\n"]), Err(RecordError::NotADigit { byte: b'-' }));
        assert_eq!(decode(&[b"\n"]), Err(RecordError::NoLength));
        assert_eq!(decode(&[b"101\n"]), Err(RecordError::TooLong { limit: 100 }));
        assert_eq!(decode(&[b"99999999999999999999\n"]), Err(RecordError::TooLong { limit: 100 }));
        assert_eq!(decode(&[b"000000000000000000000"]), Err(RecordError::TooLong { limit: 100 }));
    }

    proptest! {
        #[test]
        fn records_survive_any_chunking(
            records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 0..8),
            cuts in proptest::collection::vec(1_usize..40, 1..50),
        ) {
            let mut stream = Vec::new();
            records.iter().for_each(|record| encode(record, &mut stream));
            let (mut rest, mut chunks) = (stream.as_slice(), Vec::new());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, later) = rest.split_at((*cut).min(rest.len()));
                chunks.push(chunk);
                rest = later;
            }
            let decoded = decode(&chunks).unwrap();
            prop_assert_eq!(decoded, records.into_iter().map(Bytes::from).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _any = decode(&[&bytes]);
        }
    }
}
