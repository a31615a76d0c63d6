//! The two forms of a message on the wire, and how HTTP names them.

use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::json;

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// Less than half the bytes: for everything that is not read by people.
    #[default]
    Protobuf,
    /// Mesos's own JSON.
    Json,
}

/// Bytes that are no message of the type that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not protobuf, or of another shape.
    #[error("failed to parse protobuf")]
    Protobuf(#[source] prost::DecodeError),
    /// Not JSON, or a value that Mesos would refuse.
    #[error("failed to parse JSON")]
    Json(#[source] serde_json::Error),
}

impl Encoding {
    /// Its name in `Content-Type` and `Accept`.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        }
    }

    /// The encoding that `Content-Type` names; Mesos takes no parameters and no capitals.
    #[must_use]
    pub fn of_media_type(name: &str) -> Option<Encoding> {
        [Encoding::Protobuf, Encoding::Json].into_iter().find(|encoding| encoding.media_type() == name)
    }

    /// Writes one message.
    #[must_use]
    pub fn encode<T: Message + Serialize>(self, message: &T) -> Vec<u8> {
        match self {
            Encoding::Protobuf => message.encode_to_vec(),
            Encoding::Json => json::to_vec(message).expect("messages of the wire are JSON"),
        }
    }

    /// Reads one message.
    ///
    /// # Errors
    /// When `bytes` are none.
    pub fn decode<T: Message + Default + DeserializeOwned>(self, bytes: &[u8]) -> Result<T, DecodeError> {
        match self {
            Encoding::Protobuf => T::decode(bytes).map_err(DecodeError::Protobuf),
            Encoding::Json => json::from_slice(bytes).map_err(DecodeError::Json),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scheduler::{Call, Reconcile};
    use super::super::{CallType, FrameworkId};
    use super::*;

    #[test]
    fn what_is_written_is_read_again_in_both_encodings() {
        let call = Call {
            reconcile: Some(Reconcile::default()),
            ..Call::of(FrameworkId::new("f"), CallType::Reconcile)
        };
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            assert_eq!(encoding.decode::<Call>(&encoding.encode(&call)).unwrap(), call);
            assert_eq!(Encoding::of_media_type(encoding.media_type()), Some(encoding));
        }
        assert!(Encoding::Protobuf.decode::<Call>(b"<html>").is_err());
        assert_eq!(Encoding::of_media_type("application/json; charset=utf-8"), None);
    }
}
