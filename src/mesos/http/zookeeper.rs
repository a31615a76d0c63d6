//! Who leads, as ZooKeeper tells it: the masters stand for election under one path, as `json.info_0000000012`, and the lowest number
//! leads.
//!
//! Asked anew before each subscription, in a session of its own that is closed at once: a master that loses the lead ends, and
//! its stream with it, so that nothing needs to be watched. Two requests of ZooKeeper's protocol do; a client library for more than
//! that would bring a second runtime with it.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::url::MasterUrl;

/// What the masters' entries begin with. Others are the binary ones of old masters, and their replicated log.
const ENTRY: &str = "json.info_";
/// How long the ensemble would keep a session that was not closed, in milliseconds.
const SESSION_TIMEOUT: i32 = 10_000;
/// The longest answer: the names of some masters, and what one of them says of itself.
const ANSWER_MAX: usize = 1 << 20;

const GET_DATA: i32 = 4;
const GET_CHILDREN: i32 = 8;
const CLOSE: i32 = -11;
const NO_NODE: i32 = -101;

/// An ensemble, and where the masters stand in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZooKeeper {
    /// `HOST:PORT`.
    servers: Vec<String>,
    /// Begins with `/`.
    path: String,
    /// Whether the masters speak TLS; they do not tell.
    pub(super) tls: bool,
}

/// A text that does not say where an ensemble is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no ensemble: must be zk://HOST:PORT,HOST:PORT,…/PATH, without credentials (everybody may read who leads)"
)]
pub struct ZooKeeperError {
    /// The text, without what stands before an `@`.
    pub text: String,
}

impl FromStr for ZooKeeper {
    type Err = ZooKeeperError;

    fn from_str(text: &str) -> Result<ZooKeeper, ZooKeeperError> {
        let shown = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
        let error = || ZooKeeperError { text: shown.to_owned() };
        let (hosts, path) = text.strip_prefix("zk://").and_then(|it| it.split_once('/')).ok_or_else(error)?;
        let path = path.trim_end_matches('/');
        let is_server = |host: &str| format!("http://{host}").parse::<MasterUrl>().is_ok();
        if path.is_empty() || path.split('/').any(str::is_empty) || !hosts.split(',').all(is_server) {
            return Err(error());
        }
        let servers = hosts.split(',').map(str::to_owned).collect();
        Ok(ZooKeeper { servers, path: format!("/{path}"), tls: false })
    }
}

impl fmt::Display for ZooKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "zk://{}{}", self.servers.join(","), self.path)
    }
}

impl ZooKeeper {
    /// The same, of masters that speak TLS.
    #[must_use]
    pub fn with_tls(self, tls: bool) -> ZooKeeper {
        ZooKeeper { tls, ..self }
    }

    /// The master that leads now; `patience` is for each server of the ensemble.
    ///
    /// # Errors
    /// Why nobody is known to, with all that was tried.
    pub(super) async fn leader(&self, patience: Duration) -> Result<MasterUrl, String> {
        let mut tried = Vec::new();
        for server in &self.servers {
            let asked = tokio::time::timeout(patience, self.ask(server)).await;
            match asked
                .unwrap_or_else(|_| Err(format!("no answer within {} s", patience.as_secs_f32()).into()))
            {
                Ok(found) => return found.map_err(|why| format!("{self}: {why}")),
                Err(error) => tried.push(format!("{server}: {error}")),
            }
        }
        Err(format!("{self}: {}", tried.join("; ")))
    }

    /// What one server knows. The outer error is its own, the inner one everybody's.
    async fn ask(&self, server: &str) -> Result<Result<MasterUrl, String>, Broken> {
        let mut session = Session::open(TcpStream::connect(server).await?).await?;
        let leader = self.read_leader(&mut session).await;
        if leader.is_ok() {
            session.close().await?;
        }
        leader
    }

    async fn read_leader(&self, session: &mut Session) -> Result<Result<MasterUrl, String>, Broken> {
        loop {
            let children = match session.request(GET_CHILDREN, &self.path).await? {
                Ok(mut answer) => answer.strings()?,
                Err(NO_NODE) => return Ok(Err("no master has ever stood for election there".to_owned())),
                Err(code) => return Ok(Err(format!("refused to list the masters (error {code})"))),
            };
            let Some(leader) = lowest(&children) else {
                return Ok(Err("no master stands for election".to_owned()));
            };
            match session.request(GET_DATA, &format!("{}/{leader}", self.path)).await? {
                Ok(mut answer) => return Ok(address(answer.bytes()?, self.tls)),
                // It lost the lead meanwhile.
                Err(NO_NODE) => {}
                Err(code) => return Ok(Err(format!("refused to tell who leads (error {code})"))),
            }
        }
    }
}

/// The entry with the lowest number.
fn lowest(children: &[String]) -> Option<&String> {
    let number = |child: &&String| child.strip_prefix(ENTRY).and_then(|it| it.parse::<u64>().ok());
    children.iter().filter(|child| number(child).is_some()).min_by_key(number)
}

/// Where a master says that it is. Its name may not be known here, and is what its certificate holds.
fn address(info: &[u8], tls: bool) -> Result<MasterUrl, String> {
    let info: Value =
        serde_json::from_slice(info).map_err(|error| format!("the leader's entry is no JSON: {error}"))?;
    let told = &info["address"];
    let host = if tls { told["hostname"].as_str() } else { told["ip"].as_str() };
    let (Some(host), Some(port)) = (host, told["port"].as_u64()) else {
        return Err("the leader's entry tells no address".to_owned());
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let scheme = if tls { "https" } else { "http" };
    format!("{scheme}://{host}:{port}").parse().map_err(|error: super::UrlError| error.to_string())
}

/// A session with one server broke.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Told(String),
}

impl From<String> for Broken {
    fn from(text: String) -> Broken {
        Broken::Told(text)
    }
}

/// A session: requests and answers, each with its length before it.
struct Session {
    stream: TcpStream,
    sent: i32,
}

impl Session {
    async fn open(stream: TcpStream) -> Result<Session, Broken> {
        let mut session = Session { stream, sent: 0 };
        let mut hello = Vec::new();
        // Protocol version, the last change seen, the timeout, and no former session with its password.
        hello.extend(0_i32.to_be_bytes());
        hello.extend(0_i64.to_be_bytes());
        hello.extend(SESSION_TIMEOUT.to_be_bytes());
        hello.extend(0_i64.to_be_bytes());
        hello.extend(16_i32.to_be_bytes());
        hello.extend([0; 16]);
        session.write(&hello).await?;
        // Its number and password are of no use: it is never resumed.
        let _welcome = session.read().await?;
        Ok(session)
    }

    /// Asks about `path`; a refusal is its code.
    async fn request(&mut self, kind: i32, path: &str) -> Result<Result<Answer, i32>, Broken> {
        self.sent += 1;
        let mut request = Vec::new();
        request.extend(self.sent.to_be_bytes());
        request.extend(kind.to_be_bytes());
        request
            .extend(i32::try_from(path.len()).map_err(|_| "the path is too long".to_owned())?.to_be_bytes());
        request.extend(path.as_bytes());
        // Without a watch.
        request.push(0);
        self.write(&request).await?;
        let mut answer = self.read().await?;
        let (number, _change, code) = (answer.int()?, answer.long()?, answer.int()?);
        if number != self.sent {
            return Err(format!("its answer is to request {number} and not {}", self.sent).into());
        }
        Ok(if code == 0 { Ok(answer) } else { Err(code) })
    }

    async fn close(mut self) -> Result<(), Broken> {
        let mut request = Vec::new();
        request.extend((self.sent + 1).to_be_bytes());
        request.extend(CLOSE.to_be_bytes());
        self.write(&request).await
    }

    async fn write(&mut self, body: &[u8]) -> Result<(), Broken> {
        let length = u32::try_from(body.len()).map_err(|_| "the request is too long".to_owned())?;
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend(body);
        Ok(self.stream.write_all(&frame).await?)
    }

    async fn read(&mut self) -> Result<Answer, Broken> {
        let length = usize::try_from(self.stream.read_u32().await?).unwrap_or(usize::MAX);
        if length > ANSWER_MAX {
            return Err("what answers is no ZooKeeper".to_owned().into());
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok(Answer { body, at: 0 })
    }
}

/// The parts of an answer, read one after the other.
#[derive(Debug)]
struct Answer {
    body: Vec<u8>,
    at: usize,
}

impl Answer {
    fn take(&mut self, length: usize) -> Result<&[u8], Broken> {
        let end = self.at.saturating_add(length);
        let part = self.body.get(self.at..end).ok_or_else(|| "its answer is cut off".to_owned())?;
        self.at = end;
        Ok(part)
    }

    fn int(&mut self) -> Result<i32, Broken> {
        let bytes = self.take(4)?.first_chunk().copied().unwrap_or_default();
        Ok(i32::from_be_bytes(bytes))
    }

    fn long(&mut self) -> Result<i64, Broken> {
        let bytes = self.take(8)?.first_chunk().copied().unwrap_or_default();
        Ok(i64::from_be_bytes(bytes))
    }

    /// A length of -1 stands for nothing.
    fn bytes(&mut self) -> Result<&[u8], Broken> {
        let length = self.int()?;
        self.take(usize::try_from(length).unwrap_or_default())
    }

    fn strings(&mut self) -> Result<Vec<String>, Broken> {
        let count = self.int()?;
        (0..count.max(0)).map(|_| Ok(String::from_utf8_lossy(self.bytes()?).into_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ensemble_is_hosts_with_ports_and_a_path() {
        for text in ["zk://a:2181/mesos", "zk://a:2181,10.0.0.2:2181,[::1]:2181/x/mesos"] {
            assert_eq!(text.parse::<ZooKeeper>().unwrap().to_string(), text);
        }
        for text in [
            "zk://a:2181",
            "zk://a:2181/",
            "zk://a/mesos",
            "zk:///mesos",
            "zk://a:2181//m",
            "zk://a:2181,/mesos",
        ] {
            let error = text.parse::<ZooKeeper>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("zk://HOST:PORT"), "{error}");
        }
        let error = "zk://user:hush@a:2181/mesos".parse::<ZooKeeper>().unwrap_err().to_string();
        assert!(error.contains("without credentials") && !error.contains("hush"), "{error}");
    }

    #[test]
    fn the_lowest_number_leads_and_other_entries_are_passed_over() {
        let children = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let all =
            children(&["log_replicas", "json.info_0000000012", "info_0000000001", "json.info_0000000003"]);
        assert_eq!(lowest(&all).unwrap(), "json.info_0000000003");
        assert_eq!(lowest(&children(&["log_replicas", "json.info_x"])), None);
    }

    #[test]
    fn a_master_is_reached_at_its_address_and_with_tls_by_its_name() {
        let info = br#"{"address":{"hostname":"m1","ip":"10.0.0.1","port":5050},"hostname":"m1","id":"x","ip":16777226,"port":5050}"#;
        assert_eq!(address(info, false).unwrap().to_string(), "http://10.0.0.1:5050");
        assert_eq!(address(info, true).unwrap().to_string(), "https://m1:5050");
        assert!(address(b"{}", false).unwrap_err().contains("no address"));
        assert!(address(b"\x00", false).unwrap_err().contains("no JSON"));
    }
}
