//! The frames of an exec, sent and read.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::api::exec::HEAD;
pub use crate::api::exec::{End, Frame, Size};

/// Sends a frame.
///
/// # Errors
/// When the line is broken.
pub async fn write(line: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> io::Result<()> {
    line.write_all(&frame.encode()?).await?;
    line.flush().await
}

/// The next frame; nothing at the end of the line. Those of unknown channels are passed over.
///
/// # Errors
/// When the line is broken, or what comes is no frame.
pub async fn read(line: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    loop {
        let mut head = [0; HEAD];
        if line.read(&mut head[..1]).await? == 0 {
            return Ok(None);
        }
        line.read_exact(&mut head[1..]).await?;
        let (channel, length) = Frame::announced(head)?;
        let mut bytes = vec![0; length];
        line.read_exact(&mut bytes).await?;
        if let Some(frame) = Frame::decode(channel, bytes)? {
            return Ok(Some(frame));
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
            write(&mut line, frame).await.unwrap();
        }
        assert_eq!(&line[..8], b"\x00\x00\x00\x00\x03ls\n");
        let mut rest = &line[..];
        for frame in frames {
            assert_eq!(read(&mut rest).await.unwrap(), Some(frame));
        }
        assert_eq!(read(&mut rest).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_no_frame_breaks_the_line_and_an_unknown_channel_does_not() {
        let mut unknown: &[u8] = b"\x09\x00\x00\x00\x01x\xff\x00\x00\x00\x01\x00";
        assert_eq!(read(&mut unknown).await.unwrap(), Some(Frame::StdinEnds));
        for mut bad in [&b"GET / HTTP/1.1\r\n"[..], b"\x01\x00\x00\x00\x05ab", b"\x04\x00\x00\x00\x02{}"] {
            assert!(read(&mut bad).await.is_err());
        }
        assert!(write(&mut Vec::new(), &Frame::Stdout(vec![0; (1 << 20) + 1])).await.is_err());
    }
}
