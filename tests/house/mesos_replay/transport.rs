//! Plays a recording request by request against an embedded master over HTTP on loopback, as fast as it answers, and
//! compares status, headers and text of each answer. Agents are not started: a call is answered before anything is done.
//!
//! Who leads is what the recording says: an answer that redirects is asked of a process that follows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tenure::env::{Env, watch};
use tenure::mesos::embedded::http::{Accounts, Front, Role};
use tenure::mesos::embedded::master::{self, MasterConfig, MasterHandle};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::wire::{Answer, Wire};

/// A difference, by the id or the label of the request.
pub(crate) struct Difference {
    pub(crate) subject: String,
    pub(crate) text: String,
}

/// In this time a master has noticed that a stream is closed.
const PATIENCE: Duration = Duration::from_secs(10);

/// The records of a recording.
pub(crate) fn records(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/traces/mesos/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Plays the recording and tells what differs.
pub(crate) async fn differences(records: Vec<Value>) -> Vec<Difference> {
    let mut play = Play::new(records).await;
    play.run().await;
    play.found
}

struct Play {
    env: Env,
    records: Vec<Value>,
    role: watch::Sender<Role>,
    master: MasterHandle,
    accounts: Option<Accounts>,
    /// The process that is there, if one is: where, and what ends it.
    process: Option<(SocketAddr, CancellationToken)>,
    streams: BTreeMap<String, Wire>,
    /// Ids of then and of now.
    ids: BTreeMap<String, String>,
    /// Something has happened that the master may not have noticed.
    unsettled: bool,
    found: Vec<Difference>,
}

impl Play {
    async fn new(records: Vec<Value>) -> Play {
        let env = Env::system().unwrap();
        let master = master::start(&env, MasterConfig::default(), BTreeSet::new());
        let (role, _) = watch::channel(Role::Elects);
        Play {
            env,
            records,
            role,
            master,
            accounts: None,
            process: None,
            streams: BTreeMap::new(),
            ids: BTreeMap::new(),
            unsettled: false,
            found: Vec::new(),
        }
    }

    async fn run(&mut self) {
        for index in 0..self.records.len() {
            let record = self.records[index].clone();
            match record["action"].as_str() {
                Some("start-master") => self.start(&record),
                Some("kill-master") => {
                    self.close();
                    self.master = master::start(&self.env, MasterConfig::default(), BTreeSet::new());
                }
                Some("close-stream") => {
                    self.streams.remove(record["conn"].as_str().unwrap());
                    self.unsettled = true;
                }
                _ if record["dir"] == ">" => self.request(index, &record).await,
                _ => {}
            }
        }
        self.close();
    }

    fn start(&mut self, record: &Value) {
        let flags = record["flags"].to_string();
        if flags.contains("--authenticate_http_frameworks") {
            // The file is not in the recording, what was sent is.
            self.accounts = Some(Accounts::parse("rec:s3cret\np2:s3cret\n").unwrap());
        }
    }

    fn close(&mut self) {
        if let Some((_, stop)) = self.process.take() {
            stop.cancel();
        }
    }

    /// The process, with the role that gave this answer. None where nobody answered.
    async fn process(&mut self, answer: &Value) -> Option<SocketAddr> {
        if answer["error"].is_string() {
            self.close();
            return None;
        }
        let recorded =
            |text: &str| text.trim_start_matches('/').split('/').next().unwrap().parse::<SocketAddr>();
        let location = answer["headers"]["Location"].as_str().map(|it| recorded(it).unwrap());
        self.role.send_replace(match (answer["body_text"].as_str(), location) {
            (_, Some(leader)) => Role::Follows(leader),
            (Some("No leader elected"), _) => Role::Elects,
            (Some("Master has not finished recovery"), _) => Role::Recovers,
            _ => Role::Leads(SocketAddr::from(([127, 0, 0, 1], 5050)), self.master.clone()),
        });
        if self.process.is_none() {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let mut front = Front::new(&self.env, self.role.subscribe());
            if let Some(accounts) = &self.accounts {
                front = front.authenticating(accounts.clone());
            }
            let stop = CancellationToken::new();
            self.env.spawn("front", front.serve(listener, stop.clone()));
            self.process = Some((address, stop));
        }
        self.process.as_ref().map(|(address, _)| *address)
    }

    async fn request(&mut self, index: usize, record: &Value) {
        // The operator's endpoints have rows of their own.
        if record["conn"].as_str().unwrap().starts_with("operator") {
            return;
        }
        let key = if record["id"].is_null() { "label" } else { "id" };
        let is_answer = |it: &&Value| it["dir"] == "<" && it[key] == record[key];
        let answer =
            self.records[index..].iter().find(is_answer).expect("a request without an answer").clone();
        let subject = record[key].as_str().map_or_else(|| record[key].to_string(), str::to_owned);
        let Some(address) = self.process(&answer).await else { return };
        let sent = self.now(&request_text(record));
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let mut wire = Wire::of(TcpStream::connect(address).await.unwrap());
            wire.send(&sent).await;
            let theirs = Answer::recorded(&answer);
            let is_head = record["method"] == "HEAD";
            let ours = wire.answer(&theirs, is_head).await;
            if answer["stream"] == true {
                self.subscribed(index, record, &answer, &ours, wire).await;
            }
            let (theirs, ours) = (self.now(&theirs.to_string()), ours.to_string());
            if theirs == ours {
                break;
            }
            if !self.unsettled || tokio::time::Instant::now() > deadline {
                let text = format!("> {sent}\n--- Mesos\n{theirs}\n--- ours\n{ours}");
                self.found.push(Difference { subject, text });
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.unsettled = false;
    }

    /// Learns the ids of a subscription, and keeps it open.
    async fn subscribed(&mut self, index: usize, record: &Value, then: &Value, now: &Answer, mut wire: Wire) {
        if let (Some(then), Some(now)) =
            (then["headers"]["Mesos-Stream-Id"].as_str(), now.header("mesos-stream-id"))
        {
            self.ids.insert(then.to_uppercase(), now.to_uppercase());
            self.ids.insert(then.to_owned(), now.to_owned());
        }
        let is_first = |it: &&Value| it["conn"] == record["conn"] && it["event"]["type"] == "SUBSCRIBED";
        let event_then =
            self.records[index..].iter().find(is_first).expect("a subscription without its event");
        let event_now = wire.event().await;
        for pointer in ["/subscribed/framework_id/value", "/subscribed/master_info/id"] {
            let id = |event: &Value| event.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            if let (Some(then), Some(now)) = (id(&event_then["event"]), id(&event_now)) {
                self.ids.insert(then, now);
            }
        }
        self.streams.insert(record["conn"].as_str().unwrap().to_owned(), wire);
    }

    /// The text with ids of now.
    fn now(&self, text: &str) -> String {
        self.ids.iter().fold(text.to_owned(), |text, (then, now)| text.replace(then, now))
    }
}

/// The request as it was sent, whatever its body is.
pub(crate) fn request_bytes(record: &Value) -> Vec<u8> {
    let Some(body) = record["body_b64"].as_str() else { return request_text(record).into_bytes() };
    let body = STANDARD.decode(body).unwrap();
    let mut request = head(record, body.len()).into_bytes();
    request.extend(body);
    request
}

/// The request as it was sent.
pub(crate) fn request_text(record: &Value) -> String {
    if let Some(raw) = record["text"].as_str() {
        return raw.to_owned();
    }
    let body = match (record["body_text"].as_str(), &record["body"]) {
        (Some(text), _) => text.to_owned(),
        (None, Value::Null) => String::new(),
        (None, tree) => tree.to_string(),
    };
    head(record, body.len()) + &body
}

fn head(record: &Value, length: usize) -> String {
    let (method, path) = (record["method"].as_str().unwrap(), record["path"].as_str().unwrap());
    let headers = record["headers"].as_object().unwrap();
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {}\r\n", value.as_str().unwrap())).collect();
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {length}\r\n\r\n")
}
