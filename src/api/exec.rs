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
const HEAD: usize = 5;
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

    /// Takes the next frame off the front of `heard`, what has come over the line so far; nothing while it is not whole. Frames of
    /// channels that nobody here knows are taken off, too, and passed over.
    ///
    /// # Errors
    /// When what comes is no line of ours: a frame is longer than frames are, or what it carries is malformed.
    pub fn take(heard: &mut Vec<u8>) -> io::Result<Option<Frame>> {
        while let Some((&[channel, ref length @ ..], rest)) = heard.split_first_chunk::<HEAD>() {
            let length = u32::from_be_bytes(*length);
            let bytes = usize::try_from(length).map_err(io::Error::other)?;
            if length > LENGTH_MAX {
                return Err(too_long(bytes));
            }
            let Some(carried) = rest.get(..bytes) else { break };
            let frame = Frame::decode(channel, carried.to_vec())?;
            heard.drain(..HEAD + bytes);
            if frame.is_some() {
                return Ok(frame);
            }
        }
        Ok(None)
    }

    fn decode(channel: u8, bytes: Vec<u8>) -> io::Result<Option<Frame>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_the_line_cuts_them() {
        let frames = [
            Frame::Stdin(b"ls\n".to_vec()),
            Frame::Stdout(Vec::new()),
            Frame::Stderr(vec![0, 255]),
            Frame::StdinEnds,
            Frame::Size(Size { width: 80, height: 24 }),
            Frame::End(End::ExitCode(3)),
        ];
        let line: Vec<u8> = frames.iter().flat_map(|frame| frame.encode().unwrap()).collect();
        assert_eq!(&line[..8], b"\x00\x00\x00\x00\x03ls\n");
        for piece in [1, 7, line.len()] {
            let (mut heard, mut out) = (Vec::new(), Vec::new());
            for bytes in line.chunks(piece) {
                heard.extend_from_slice(bytes);
                out.extend(std::iter::from_fn(|| Frame::take(&mut heard).unwrap()));
            }
            assert_eq!((out, heard), (frames.to_vec(), Vec::new()), "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_frame_is_refused_and_an_unknown_channel_is_passed_over() {
        let mut unknown = b"\x09\x00\x00\x00\x01x\xff\x00\x00\x00\x01\x00\x01\x00".to_vec();
        assert_eq!(Frame::take(&mut unknown).unwrap(), Some(Frame::StdinEnds));
        assert_eq!((Frame::take(&mut unknown).unwrap(), unknown), (None, b"\x01\x00".to_vec()));
        for bad in [&b"GET / HTTP/1.1\r\n"[..], b"\x04\x00\x00\x00\x02{}"] {
            assert!(Frame::take(&mut bad.to_vec()).is_err());
        }
        assert!(Frame::Stdout(vec![0; (1 << 20) + 1]).encode().is_err());
    }
}
