//! The frames of an exec, sent and read.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub use crate::api::exec::{End, Frame, Size};

/// Sends a frame.
///
/// # Errors
/// When the line is broken.
pub async fn write(line: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> io::Result<()> {
    line.write_all(&frame.encode()?).await?;
    line.flush().await
}

/// The next frame; nothing at the end of the line. `heard` is what has come of the one after it.
///
/// # Errors
/// When the line is broken, or what comes is no frame.
pub async fn read(line: &mut (impl AsyncRead + Unpin), heard: &mut Vec<u8>) -> io::Result<Option<Frame>> {
    loop {
        if let Some(frame) = Frame::take(heard)? {
            return Ok(Some(frame));
        }
        if line.read_buf(heard).await? == 0 {
            return if heard.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_is_read_to_its_end_and_one_that_breaks_within_a_frame_is_broken() {
        let (mut line, mut heard) = (Vec::new(), Vec::new());
        for frame in [Frame::Stdin(b"ls\n".to_vec()), Frame::StdinEnds] {
            write(&mut line, &frame).await.unwrap();
        }
        let mut rest = &line[..];
        assert_eq!(read(&mut rest, &mut heard).await.unwrap(), Some(Frame::Stdin(b"ls\n".to_vec())));
        assert_eq!(read(&mut rest, &mut heard).await.unwrap(), Some(Frame::StdinEnds));
        assert_eq!(read(&mut rest, &mut heard).await.unwrap(), None);
        let mut broken: &[u8] = b"\x01\x00\x00\x00\x05ab";
        assert_eq!(
            read(&mut broken, &mut Vec::new()).await.unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}
