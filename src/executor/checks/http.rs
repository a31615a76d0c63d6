//! One GET, by hand: HTTP/1.1 over a fresh connection, of which only the status line is read. Redirects are not
//! followed (300 to 399 is healthy as it is), and a body of any length costs nothing.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than any status line; what has none by then is not HTTP.
const STATUS_LINE_MAX: usize = 1024;

/// The status that a GET of `path` answers with.
///
/// # Errors
/// When nothing listens, the connection breaks or the answer is not HTTP.
pub(super) async fn get(address: SocketAddr, path: &str) -> io::Result<u16> {
    let mut stream = TcpStream::connect(address).await?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: tenure-health\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut line = Vec::with_capacity(64);
    while !line.contains(&b'\n') && line.len() < STATUS_LINE_MAX {
        if stream.read_buf(&mut line).await? == 0 {
            break;
        }
    }
    status(&line).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|b| *b == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/"))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_the_second_word_of_an_http_answer() {
        assert_eq!(status(b"HTTP/1.0 200 OK\r\nServer: x\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.1 404\r\n"), Some(404));
        assert_eq!(status(b"SSH-2.0-OpenSSH\r\n"), None);
        assert_eq!(status(b""), None);
    }
}
