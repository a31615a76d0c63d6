//! Small writes to one connection, sent together.
//!
//! HTTP/2 flushes after every frame of data. When fifty watches on one connection are told the same event, that is fifty TLS
//! records and fifty system calls; gathered they are a few. What has been written goes out when the connection has nothing
//! more to write now ([`drive`]), so nothing waits for a later write.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes gathered at most: two TLS records. A connection that has been quiet keeps no room for them.
const GATHERED_MAX: usize = 32 * 1_024;

/// A stream whose writes are gathered, or, where nobody drives it (after an upgrade of HTTP/1.1), are not. Clones share it.
#[derive(Debug)]
pub(super) struct Gathered<S>(Arc<Mutex<Shared<S>>>);

#[derive(Debug)]
struct Shared<S> {
    stream: S,
    gathers: bool,
    unsent: BytesMut,
}

impl<S> Gathered<S> {
    pub(super) fn new(stream: S, gathers: bool) -> Gathered<S> {
        Gathered(Arc::new(Mutex::new(Shared { stream, gathers, unsent: BytesMut::new() })))
    }

    /// Held within one poll, by one task: nobody ever waits for it.
    fn shared(&self) -> MutexGuard<'_, Shared<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Clone for Gathered<S> {
    fn clone(&self) -> Gathered<S> {
        Gathered(self.0.clone())
    }
}

impl<S: AsyncWrite + Unpin> Shared<S> {
    /// Ready when everything that was gathered has been handed to the kernel.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unsent.is_empty() {
            return Pin::new(&mut self.stream).poll_flush(cx);
        }
        while !self.unsent.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.advance(sent);
        }
        self.unsent = BytesMut::new();
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.shared().stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut shared = self.shared();
        if !shared.gathers {
            return Pin::new(&mut shared.stream).poll_write(cx, bytes);
        }
        if shared.unsent.len() >= GATHERED_MAX {
            ready!(shared.poll_send(cx))?;
        }
        let taken = bytes.len().min(GATHERED_MAX - shared.unsent.len());
        shared.unsent.extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    /// Ready at once where writes are gathered: who drives the connection sends them.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.shared();
        if shared.gathers { Poll::Ready(Ok(())) } else { Pin::new(&mut shared.stream).poll_flush(cx) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.shared();
        ready!(shared.poll_send(cx))?;
        Pin::new(&mut shared.stream).poll_shutdown(cx)
    }
}

/// Polls `connection`, which is served over `stream`, to its end; what it writes in one turn is sent at the end of the turn.
pub(super) async fn drive<S, C, T, E>(stream: &Gathered<S>, mut connection: Pin<&mut C>) -> Result<T, E>
where
    S: AsyncWrite + Unpin,
    C: Future<Output = Result<T, E>>,
    E: From<io::Error>,
{
    poll_fn(|cx| {
        let end = connection.as_mut().poll(cx);
        // What cannot be sent yet is sent in the turn that begins when it can.
        match stream.shared().poll_send(cx) {
            Poll::Ready(Err(error)) if end.is_pending() => Poll::Ready(Err(error.into())),
            _ => end,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Counts the writes that reach it.
    #[derive(Debug)]
    struct Counted<S> {
        stream: S,
        writes: usize,
    }

    impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.writes += 1;
            Pin::new(&mut self.stream).poll_write(cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.stream).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.stream).poll_shutdown(cx)
        }
    }

    async fn frames(mut stream: impl AsyncWrite + Unpin, count: usize) -> io::Result<()> {
        for _ in 0..count {
            stream.write_all(&[7; 1_000]).await?;
            stream.flush().await?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn what_is_written_in_one_turn_is_sent_together_and_waits_for_no_later_write() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let stream = Gathered::new(Counted { stream: near, writes: 0 }, true);
        let connection = async {
            frames(stream.clone(), 20).await?;
            std::future::pending::<io::Result<()>>().await
        };
        tokio::pin!(connection);
        let mut read = vec![0; 20_000];
        tokio::select! {
            never = drive(&stream, connection) => panic!("ended: {never:?}"),
            read = far.read_exact(&mut read) => assert_eq!(read.unwrap(), 20_000),
        }
        assert_eq!(stream.shared().stream.writes, 1);
    }

    #[tokio::test]
    async fn a_slow_reader_makes_the_writer_wait_and_loses_nothing() {
        let (near, mut far) = tokio::io::duplex(1_000);
        let stream = Gathered::new(near, true);
        let connection = frames(stream.clone(), 200);
        tokio::pin!(connection);
        let reader = async {
            let mut read = vec![0; 200_000 - GATHERED_MAX];
            far.read_exact(&mut read).await.unwrap();
            assert!(read.iter().all(|byte| *byte == 7));
        };
        let (written, ()) = tokio::join!(drive(&stream, connection), reader);
        written.unwrap();
        assert!(stream.shared().unsent.len() <= GATHERED_MAX);
        // The end of a stream sends what is left.
        let mut rest = Vec::new();
        let mut last = stream.clone();
        let (shut, read) = tokio::join!(last.shutdown(), far.read_to_end(&mut rest));
        shut.unwrap();
        assert!(read.unwrap() <= GATHERED_MAX && rest.iter().all(|byte| *byte == 7));
        assert!(stream.shared().unsent.is_empty());
    }

    #[tokio::test]
    async fn a_stream_that_is_not_gathered_is_written_at_once() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let stream = Gathered::new(Counted { stream: near, writes: 0 }, false);
        frames(stream.clone(), 3).await.unwrap();
        let mut read = vec![0; 3_000];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(stream.shared().stream.writes, 3);
    }
}
