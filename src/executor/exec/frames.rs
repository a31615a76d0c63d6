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
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest frame: whoever sends more is not one of ours.
const FRAME_MAX: u32 = 1 << 20;

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

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const END: u8 = 3;
const SIZE: u8 = 4;
const CLOSE: u8 = 255;

impl Frame {
    /// Sends the frame.
    ///
    /// # Errors
    /// When the line is broken.
    pub async fn write(&self, line: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let json = |it: Result<Vec<u8>, serde_json::Error>| it.map_err(io::Error::other);
        let (channel, bytes) = match self {
            Frame::Stdin(bytes) => (STDIN, bytes.clone()),
            Frame::Stdout(bytes) => (STDOUT, bytes.clone()),
            Frame::Stderr(bytes) => (STDERR, bytes.clone()),
            Frame::StdinEnds => (CLOSE, vec![STDIN]),
            Frame::Size(size) => (SIZE, json(serde_json::to_vec(size))?),
            Frame::End(end) => (END, json(serde_json::to_vec(end))?),
        };
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let mut whole = Vec::with_capacity(bytes.len() + 5);
        whole.push(channel);
        whole.extend(length.to_be_bytes());
        whole.extend(bytes);
        line.write_all(&whole).await?;
        line.flush().await
    }

    /// The next frame; nothing at the end of the line. Those of unknown channels are passed over.
    ///
    /// # Errors
    /// When the line is broken, or what comes is no frame.
    pub async fn read(line: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
        loop {
            let channel = match line.read_u8().await {
                Ok(channel) => channel,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error),
            };
            let length = line.read_u32().await?;
            if length > FRAME_MAX {
                return Err(io::Error::other(format!(
                    "a frame of {length} bytes: at most {FRAME_MAX} are allowed"
                )));
            }
            let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            line.read_exact(&mut bytes).await?;
            return Ok(Some(match channel {
                STDIN => Frame::Stdin(bytes),
                STDOUT => Frame::Stdout(bytes),
                STDERR => Frame::Stderr(bytes),
                CLOSE if bytes == [STDIN] => Frame::StdinEnds,
                SIZE => Frame::Size(serde_json::from_slice(&bytes)?),
                END => Frame::End(serde_json::from_slice(&bytes)?),
                _ => continue,
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_out_as_they_went_in() {
        let frames = [
            Frame::Stdin(b"ls\n".to_vec()),
            Frame::Stdout(Vec::new()),
            Frame::Stderr(vec![0, 255]),
            Frame::StdinEnds,
            Frame::Size(Size { width: 80, height: 24 }),
            Frame::End(End::ExitCode(3)),
        ];
        let mut line = Vec::new();
        for frame in &frames {
            frame.write(&mut line).await.unwrap();
        }
        assert_eq!(&line[..8], b"\x00\x00\x00\x00\x03ls\n");
        let mut rest = &line[..];
        for frame in frames {
            assert_eq!(Frame::read(&mut rest).await.unwrap(), Some(frame));
        }
        assert_eq!(Frame::read(&mut rest).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_no_frame_breaks_the_line_and_an_unknown_channel_does_not() {
        let mut unknown: &[u8] = b"\x09\x00\x00\x00\x01x\xff\x00\x00\x00\x01\x00";
        assert_eq!(Frame::read(&mut unknown).await.unwrap(), Some(Frame::StdinEnds));
        for mut bad in [&b"GET / HTTP/1.1\r\n"[..], b"\x01\x00\x00\x00\x05ab", b"\x04\x00\x00\x00\x02{}"] {
            assert!(Frame::read(&mut bad).await.is_err());
        }
    }
}
