//! HTTP by hand: requests as they were recorded, malformed ones included, and answers as far as they are compared.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tenure::mesos::recordio::Decoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is compared: one head and body for each request that was sent, and whether the connection was closed.
pub(crate) struct Answer {
    heads: Vec<Head>,
    closed: bool,
}

struct Head {
    status: u16,
    /// By lower-case names, without those that say when and how long a stream is.
    headers: BTreeMap<String, String>,
    /// Nothing of a stream.
    body: String,
}

impl Head {
    fn is_stream(&self) -> bool {
        let endless = ["mesos-stream-id", "transfer-encoding"];
        endless.iter().any(|name| self.headers.contains_key(*name)) && self.body.is_empty()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for head in &self.heads {
            writeln!(f, "{}", head.status)?;
            for (name, value) in &head.headers {
                // Which stream it is differs by nature.
                let value = if name == "mesos-stream-id" { "*" } else { value };
                writeln!(f, "{name}: {value}")?;
            }
            writeln!(f, "{}", in_one_order(&head.body))?;
        }
        if self.closed { f.write_str("closed") } else { Ok(()) }
    }
}

/// An event of a stream with its fields in one order.
fn in_one_order(body: &str) -> String {
    let event = body.split_once('\n').map(|(length, event)| (length, serde_json::from_str::<Value>(event)));
    match event {
        Some((length, Ok(event))) => format!("{length}\n{event}"),
        _ => body.to_owned(),
    }
}

impl Answer {
    /// The recorded answer.
    pub(crate) fn recorded(record: &Value) -> Answer {
        match record["text"].as_str() {
            Some(raw) => Answer::parse(raw),
            None => {
                let headers = record["headers"].as_object().unwrap();
                let headers = headers
                    .iter()
                    .map(|(name, value)| (name.to_lowercase(), value.as_str().unwrap().to_owned()));
                let body = match (&record["body"], record["body_b64"].as_str()) {
                    (Value::Null, None) => record["body_text"].as_str().unwrap_or_default().to_owned(),
                    (Value::Null, Some(bytes)) => {
                        String::from_utf8_lossy(&STANDARD.decode(bytes).unwrap()).into_owned()
                    }
                    (tree, _) => tree.to_string(),
                };
                let status = u16::try_from(record["status"].as_u64().unwrap()).unwrap();
                Answer { heads: vec![Head { status, headers: headers.collect(), body }], closed: false }
            }
        }
    }

    /// The same with trees changed; how long they are is not compared then.
    pub(crate) fn with_trees(mut self, change: impl Fn(&mut Value)) -> Answer {
        for head in &mut self.heads {
            let tree = serde_json::from_str::<Value>(&head.body);
            if let Some(mut tree) = tree.ok().filter(|tree| tree.is_object() || tree.is_array()) {
                change(&mut tree);
                head.body = tree.to_string();
                head.headers.remove("content-length");
            }
        }
        self
    }

    /// The first answer's header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.heads.first()?.headers.get(name).map(String::as_str)
    }

    /// The first answer's body, if that is JSON.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_str(&self.heads.first()?.body).ok()
    }

    fn parse(raw: &str) -> Answer {
        let (mut rest, mut heads) = (raw, Vec::new());
        while rest.starts_with("HTTP/1.1") {
            let (head, body) = rest.split_once("\r\n\r\n").unwrap();
            let (head, length) = parse_head(head);
            heads.push(Head { body: body.get(..length).unwrap_or_default().to_owned(), ..head });
            rest = body.get(length..).unwrap_or_default();
        }
        Answer { heads, closed: raw.ends_with("<closed by server>") }
    }
}

/// A head without its body, and the length of that.
fn parse_head(text: &str) -> (Head, usize) {
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let mut headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    headers.remove("date");
    // It says no more than that the connection will be closed.
    headers.remove("connection");
    let length = headers.get("content-length").map_or(0, |it| it.parse().unwrap());
    (Head { status, headers, body: String::new() }, length)
}

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    records: Decoder,
}

impl Wire {
    pub(crate) fn of(stream: TcpStream) -> Wire {
        Wire { stream, buffer: Vec::new(), records: Decoder::new(1 << 20) }
    }

    pub(crate) async fn send(&mut self, request: impl AsRef<[u8]>) {
        self.stream.write_all(request.as_ref()).await.unwrap();
    }

    /// As many answers as `theirs` holds; and whether the connection is closed then, where theirs was.
    pub(crate) async fn answer(&mut self, theirs: &Answer, is_head: bool) -> Answer {
        let mut heads = Vec::new();
        while heads.len() < theirs.heads.len().max(usize::from(!theirs.closed)) {
            let their_stream = theirs.heads.get(heads.len()).is_some_and(Head::is_stream);
            match self.head(is_head, their_stream).await {
                Some(head) => heads.push(head),
                None => return Answer { heads, closed: true },
            }
        }
        let closed = theirs.closed && self.is_closed(&mut heads).await;
        Answer { heads, closed }
    }

    /// What comes before the end, if anything does, is an answer, too.
    async fn is_closed(&mut self, heads: &mut Vec<Head>) -> bool {
        while let Some(head) = self.head(false, false).await {
            heads.push(head);
        }
        true
    }

    async fn head(&mut self, is_head: bool, is_stream: bool) -> Option<Head> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            self.more().await?;
        };
        let text = String::from_utf8(self.buffer.drain(..end + 4).collect()).unwrap();
        let (mut head, length) = parse_head(text.trim_end());
        if head.headers.contains_key("transfer-encoding") {
            if !is_stream {
                while let Some(chunk) = self.chunk().await {
                    head.body += std::str::from_utf8(&chunk).unwrap();
                }
            }
        } else if !is_head {
            while self.buffer.len() < length {
                self.more().await?;
            }
            head.body =
                String::from_utf8_lossy(&self.buffer.drain(..length).collect::<Vec<_>>()).into_owned();
        }
        Some(head)
    }

    /// The next event of a stream in JSON.
    pub(crate) async fn event(&mut self) -> Value {
        serde_json::from_slice(&self.record().await).unwrap()
    }

    /// The next event of a stream as it is.
    pub(crate) async fn record(&mut self) -> Vec<u8> {
        loop {
            if let Some(record) = self.records.record().unwrap() {
                return record.to_vec();
            }
            let chunk = self.chunk().await.expect("the stream ends");
            self.records.push(&chunk);
        }
    }

    /// The next chunk; none after the last.
    async fn chunk(&mut self) -> Option<Vec<u8>> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                break end;
            }
            self.more().await?;
        };
        let length = usize::from_str_radix(std::str::from_utf8(&self.buffer[..end]).unwrap(), 16).unwrap();
        let whole = end + 2 + length + 2;
        while self.buffer.len() < whole {
            self.more().await?;
        }
        let chunk: Vec<u8> = self.buffer.drain(..whole).skip(end + 2).take(length).collect();
        (!chunk.is_empty()).then_some(chunk)
    }

    /// Reads on; nothing at the end.
    async fn more(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.buffer);
        let count = tokio::time::timeout(PATIENCE, read).await.expect("no answer");
        count.ok().filter(|count| *count > 0).map(|_| ())
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
