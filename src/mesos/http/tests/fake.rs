//! A server that answers each request as the test says, and when it says so.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

/// What begins a stream that says nothing yet.
pub(super) const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nMesos-Stream-Id: s\r\n\r\n";
/// What a call is answered that was queued.
pub(super) const ACCEPTED: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

pub(super) struct Fake {
    pub(super) address: SocketAddr,
    asked: mpsc::Receiver<Asked>,
}

/// A request that waits for its answer. Its connection is closed when it gets none.
pub(super) struct Asked {
    /// The request line and the headers.
    pub(super) head: String,
    reply: oneshot::Sender<String>,
}

impl Asked {
    pub(super) fn answer(self, text: &str) {
        self.reply.send(text.to_owned()).unwrap();
    }
}

impl Fake {
    pub(super) async fn start(env: &Env) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (told, asked) = mpsc::channel(64);
        let node = env.clone();
        env.spawn("fake", async move {
            while let Ok((stream, _)) = listener.accept().await {
                node.spawn("connection of fake", converse(stream, told.clone()));
            }
        });
        Fake { address, asked }
    }

    pub(super) fn url(&self) -> MasterUrl {
        format!("http://{}", self.address).parse().unwrap()
    }

    pub(super) async fn next(&mut self) -> Asked {
        tokio::time::timeout(PATIENCE, self.asked.recv()).await.expect("a request comes").unwrap()
    }

    /// The subscription of the next request.
    pub(super) async fn subscribed(&mut self, env: &Env) -> Subscription {
        let connection = HttpConnection::new(env, HttpConfig::new(vec![self.url()]));
        let subscribing = env
            .spawn("subscribe", async move { connection.subscribe(refusals::subscribe(), &|| true).await });
        self.next().await.answer(STREAM);
        subscribing.join().await.unwrap().unwrap()
    }
}

/// Reads requests and writes answers until either side has enough.
async fn converse(mut stream: TcpStream, told: mpsc::Sender<Asked>) {
    let mut read = Vec::new();
    while let Some(head) = request(&mut stream, &mut read).await {
        let (reply, replied) = oneshot::channel();
        if told.send(Asked { head, reply }).await.is_err() {
            return;
        }
        let Ok(text) = replied.await else { return };
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Takes one request out of `read`, reading on as long as it is not whole.
async fn request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<String> {
    loop {
        let text = String::from_utf8_lossy(read);
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let whole = head.len() + 4 + length.map_or(0, |it| it.parse::<usize>().unwrap());
            if read.len() >= whole {
                let head = head.to_owned();
                read.drain(..whole);
                return Some(head);
            }
        }
        let mut chunk = vec![0; 1 << 14];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => read.extend_from_slice(&chunk[..count]),
        }
    }
}
