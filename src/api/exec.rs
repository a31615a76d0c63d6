//! What goes over the line of an exec, in both directions: frames of a channel, a length and so many bytes.
//!
//! ```text
//! channel (1 byte) │ length (4 bytes, most significant first) │ bytes
//! ```
//!
//! The channels are those of Kubernetes' remote commands: what is typed, the two outputs, how it ended, the size of the terminal,
//! and the end of a channel.

use std::io;

use serde::{Deserialize, Serialize};

/// How the line is called where a connection is turned into one.
pub const PROTOCOL: &str = "tenure-exec";
/// Bytes of a frame before those that it carries.
pub const HEAD: usize = 5;
/// The longest frame: whoever sends more is not one of ours.
const LENGTH_MAX: u32 = 1 << 20;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const END: u8 = 3;
const SIZE: u8 = 4;
const CLOSE: u8 = 255;

/// What a frame carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    Stdin(Vec<u8>),
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    /// Nothing more is typed.
    StdinEnds,
    /// The terminal is this large.
    Size(Size),
    /// It is over; the last frame.
    End(End),
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Size {
    pub width: u16,
    pub height: u16,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum End {
    /// With this exit code; 128 and the number of a signal that ended it.
    ExitCode(i64),
    /// It did not begin, or nobody knows how it ended: why.
    Failed(String),
}

impl Frame {
    /// The frame as it goes over the line.
    ///
    /// # Errors
    /// When it carries more than a frame can.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        let json = |it: Result<Vec<u8>, serde_json::Error>| it.map_err(io::Error::other);
        let (channel, bytes) = match self {
            Frame::Stdin(bytes) => (STDIN, bytes.clone()),
            Frame::Stdout(bytes) => (STDOUT, bytes.clone()),
            Frame::Stderr(bytes) => (STDERR, bytes.clone()),
            Frame::StdinEnds => (CLOSE, vec![STDIN]),
            Frame::Size(size) => (SIZE, json(serde_json::to_vec(size))?),
            Frame::End(end) => (END, json(serde_json::to_vec(end))?),
        };
        let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= LENGTH_MAX);
        let length = length.ok_or_else(|| too_long(bytes.len()))?;
        Ok([&[channel], &length.to_be_bytes()[..], &bytes].concat())
    }

    /// The channel that `head` names, and how many bytes follow it.
    ///
    /// # Errors
    /// When they are more than a frame carries: what comes is no line of ours.
    pub fn announced([channel, length @ ..]: [u8; HEAD]) -> io::Result<(u8, usize)> {
        let length = u32::from_be_bytes(length);
        let bytes = usize::try_from(length).map_err(io::Error::other)?;
        if length > LENGTH_MAX { Err(too_long(bytes)) } else { Ok((channel, bytes)) }
    }

    /// What came over a channel; nothing if nobody here knows that channel.
    ///
    /// # Errors
    /// When a size or an end is malformed.
    pub fn decode(channel: u8, bytes: Vec<u8>) -> io::Result<Option<Frame>> {
        Ok(Some(match channel {
            STDIN => Frame::Stdin(bytes),
            STDOUT => Frame::Stdout(bytes),
            STDERR => Frame::Stderr(bytes),
            CLOSE if bytes == [STDIN] => Frame::StdinEnds,
            SIZE => Frame::Size(serde_json::from_slice(&bytes)?),
            END => Frame::End(serde_json::from_slice(&bytes)?),
            _ => return Ok(None),
        }))
    }
}

fn too_long(bytes: usize) -> io::Error {
    io::Error::other(format!("a frame of {bytes} bytes: at most {LENGTH_MAX} are allowed"))
}
