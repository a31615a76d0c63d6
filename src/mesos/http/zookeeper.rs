//! Who leads, as ZooKeeper tells it: the masters stand for election under one path, as `json.info_0000000012`, and the lowest number
//! leads.
//!
//! Asked anew before each subscription, in a session of its own that ends with the answer: a master that loses the lead ends, and
//! its stream with it, so that nothing needs to be watched. The servers are asked one after the other, each by the client library
//! alone: given all of them it would try them in any order, and tell of none why it is of no use.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;
use zookeeper_client::{Client, Error};

use super::url::MasterUrl;

/// What the masters' entries begin with. Others are the binary ones of old masters, and their replicated log.
const ENTRY: &str = "json.info_";
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
            let asked = tokio::time::timeout(patience, self.ask(server, patience)).await;
            match asked.unwrap_or_else(|_| Err(format!("no answer within {} s", patience.as_secs_f32()))) {
                Ok(found) => return found.map_err(|why| format!("{self}: {why}")),
                Err(why) => tried.push(format!("{server}: {why}")),
            }
        }
        Err(format!("{self}: {}", tried.join("; ")))
    }

    /// What one server knows. The outer error is its own, the inner one everybody's.
    async fn ask(&self, server: &str, patience: Duration) -> Result<Result<MasterUrl, String>, String> {
        // Its own patience is longer than ours, so that it is ours which is told.
        let connector = Client::connector()
            .with_fail_eagerly()
            .with_session_timeout(4 * patience)
            .with_connection_timeout(2 * patience);
        match connector.connect(server).await {
            Ok(session) => self.read_leader(&session).await,
            Err(Error::NoHosts) => Err(why_not(server).await),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn read_leader(&self, session: &Client) -> Result<Result<MasterUrl, String>, String> {
        loop {
            let children = match session.list_children(&self.path).await {
                Ok(children) => children,
                Err(Error::NoNode) => {
                    return Ok(Err("no master has ever stood for election there".to_owned()));
                }
                Err(error) => return refused("list the masters", &error),
            };
            let Some(leader) = lowest(&children) else {
                return Ok(Err("no master stands for election".to_owned()));
            };
            match session.get_data(&format!("{}/{leader}", self.path)).await {
                Ok((info, _)) => return Ok(address(&info, self.tls)),
                // It lost the lead meanwhile.
                Err(Error::NoNode) => {}
                Err(error) => return refused("tell who leads", &error),
            }
        }
    }
}

/// A session that was not answered. What is wrong with the question every server would say.
fn refused(what: &str, error: &Error) -> Result<Result<MasterUrl, String>, String> {
    match error {
        Error::NoAuth | Error::BadArguments(_) => Ok(Err(format!("refused to {what}: {error}"))),
        _ => Err(error.to_string()),
    }
}

/// Why `server` opened no session: the library tells that of none.
async fn why_not(server: &str) -> String {
    match TcpStream::connect(server).await {
        Ok(_) => "takes connections and opens no session: is it ZooKeeper, and has it a quorum?".to_owned(),
        Err(error) => error.to_string(),
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::env::Env;

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

    /// A server that answers whatever comes with `bytes`; then it is silent, or hangs up.
    async fn server(env: &Env, bytes: &'static [u8], hangs_up: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let node = env.clone();
        env.spawn("no ZooKeeper", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                node.spawn("connection", async move {
                    let mut hello = [0; 1024];
                    if stream.read(&mut hello).await.is_ok_and(|length| length > 0) {
                        stream.write_all(bytes).await.unwrap();
                    }
                    while !hangs_up && stream.read(&mut hello).await.is_ok_and(|length| length > 0) {}
                });
            }
        });
        address
    }

    async fn why(servers: &[String]) -> String {
        let ensemble: ZooKeeper = format!("zk://{}/mesos", servers.join(",")).parse().unwrap();
        ensemble.leader(Duration::from_millis(300)).await.unwrap_err()
    }

    #[tokio::test]
    async fn of_each_server_it_is_told_why_it_is_of_no_use() {
        let env = Env::system().unwrap();
        let silent = server(&env, b"", false).await;
        let web = server(&env, b"HTTP/1.1 400 Bad Request\r\n\r\n", true).await;
        // A length of minus one, and one of nothing.
        let garbage = server(&env, &[0xff; 64], false).await;
        let empty = server(&env, &[0; 64], false).await;
        // A session of 10 s, then an answer to nothing that was asked.
        let mut hello = vec![0, 0, 0, 37, 0, 0, 0, 0, 0, 0, 0x27, 0x10, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 16];
        hello.extend([0; 17]);
        hello.extend([0, 0, 0, 16]);
        hello.extend([0x7f; 16]);
        let confused = server(&env, hello.leak(), false).await;
        let servers =
            ["127.0.0.1:1".to_owned(), silent.clone(), web.clone(), garbage.clone(), empty, confused];
        let told = why(&servers).await;
        assert!(told.starts_with(&format!("zk://{}/mesos: ", servers.join(","))), "{told}");
        assert!(told.contains("127.0.0.1:1: Connection refused"), "{told}");
        assert!(told.contains(&format!("{silent}: no answer within 0.3 s")), "{told}");
        for server in &servers[2..] {
            let none = format!("{server}: takes connections and opens no session: is it ZooKeeper");
            assert!(told.contains(&none), "{told}");
        }
    }
}
